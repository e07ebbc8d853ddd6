"""`msfit.estimate_illuminant`: the light of a picture, from the skin in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.colour.light_posterior import Posterior, known_lights, posterior
from msfit.data.channels import Channels
from msfit.data.cube import Cube
from msfit.data.lazy_arrays import flat_light
from msfit.errors import InputError, names_nearest
from msfit.skin.skin_logs import skin_logs

# Bands that tell light from skin: at least so many, over so many nm of 400-700.
FEWEST_BANDS, LEAST_SPAN = 6, 200.0
FEWEST_PIXELS = 50
# Pixels that are looked at, and the share of them that is kept: those nearest the picture's mean spectrum. Hair, lips,
# shadows of a few counts and highlights are beyond.
_MOST_PIXELS, _KEPT = 40_000, 0.6
DARKEST = 0.1  # of the brightest: below it noise decides
_DRAWS = 1000
# The light is not known where the stated error is larger [degrees], or where the likeliest light and tone leave over so
# many times the squares that they should: of pixels that a mask calls skin twice as many, with wider intervals.
MOST_ERROR, WIDENED_MISFIT, MOST_MISFIT = 5.0, 8.0, 16.0
#: Share of the posterior inside the intervals.
INSIDE = 0.68
#: Intervals of the posterior are made so many times as wide, for each kind of light, to hold the truth as often as they
#: say for persons that the table of skin does not know: `python -m scripts.calibrate_light`.
WIDTH = {"daylight": 0.58, "Planckian": 0.74, "lamp": 0.92}
# What the light is tried to be where skin has to be found first.
_TRIED = ("D65", "A", "F2", "F11", "LED-B3")


@dataclass(frozen=True, eq=False)
class LightEstimate:
    """The light of a picture.

    Attributes
    ----------
    wavelengths : float64 array (band,)
        Of the bands [nm]; with channels, their centres.
    power : float64 array (band,)
        What a white surface would give in each band, in the unit of the picture. Its level is not known: it is such
        that the diffuse shading of the brightest twentieth of the skin is 1 or more.
    low, high : float64 arrays (band,)
        Ends of the interval of 68 % of each, at the level of `power`.
    error : float
        Angle between `power` and the true spectrum of the light that is not exceeded with 68 % probability [degrees].
    likely : tuple of (str, float)
        Kinds of light with their probabilities, the likeliest first: "A", "F11", "LED-B3", or "daylight" and
        "Planckian" with their mean colour temperature.
    ita : float
        Mean individual typology angle of the skin [degrees], as far as its spectrum without level tells it.
    spectrum : tuple of float64 arrays (nm,), (nm,)
        Wavelengths [nm] and power of the mean of the lights that are likely, for channels.
    misfit : float
        How many times as far from the archive's skin these pixels lie under the likeliest light as persons do among
        themselves. From 2.8 on, which needs a mask that says where skin is, intervals and error are widened by it.
    """

    wavelengths: np.ndarray
    power: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: float
    likely: tuple[tuple[str, float], ...]
    ita: float
    spectrum: tuple[np.ndarray, np.ndarray]
    misfit: float = 1.0

    def __str__(self) -> str:
        shown = [f"{name} ({100 * share:.0f} %)" for name, share in self.likely if share >= 0.05]
        far = f", {self.misfit:.1f} times as far from skin as skin is" if self.misfit**2 > WIDENED_MISFIT else ""
        return f"estimated from skin: {', '.join(shown)}; within {self.error:.1f} degrees with 68 % probability{far}"


@names_nearest
def estimate_illuminant(
    cube: Cube | Any, wavelengths: Any = None, *, channels: Channels | None = None, unit: str | None = None
) -> LightEstimate:
    """Find the light of a picture from the skin in it.

    One light for the whole picture, whose strength may vary from place to place: one out of daylights (4000-25000 K),
    Planckians (1800-4500 K), CIE A, F1 to F12, LED-B1 to LED-V2, with a smooth deviation of a percent. Skin is what
    the persons of the archive's training split have, light to dark skin being equally likely beforehand.

    Parameters
    ----------
    cube : Cube, or array (y, x, band) or (pixel, band)
        What the camera recorded, in any unit that is linear in light, with what a sensor gives in the dark taken away.
        The illuminant of a Cube is not looked at. Skin is where the mask says; a picture without one is searched for
        it.
    wavelengths : array (band,), optional
        [nm], of an array.
    channels : Channels, optional
        Responses, where bands are no needles. They have to be in one unit: a camera whose channels are amplified
        differently, such as one with a white balance, tells nothing of the light.

    unit : {"energy", "photons"}, optional
        Whether values are in proportion to the energy or to the number of photons of a band. Files of ISET say photons;
        energy where nothing is said. Counts of a sensor that were not divided by its sensitivity are neither.

    Returns
    -------
    LightEstimate
        Bands outside 400-700 nm, where skin is not known, are left out.

    Raises
    ------
    InputError
        Fewer than 50 pixels of skin; fewer than 6 bands on 400-700 nm, or bands that span less than 200 nm of it; a
        light that cannot be known from these: none of the list makes skin of them, or the stated error exceeds 5
        degrees.

    Examples
    --------
    >>> import numpy as np, msfit
    >>> from msfit.colour.illuminants import illuminant
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> skin = msfit.reflectance(np.linspace(0.04, 0.08, 100), 0.02, bands) + 0.02
    >>> light = msfit.estimate_illuminant(illuminant("F11").on(bands) * skin, bands)
    >>> light.likely[0][0]
    'F11'
    """
    if unit not in (None, "energy", "photons"):
        raise InputError(f"unit: found {unit!r}; expected energy or photons")
    source = recorded(cube, wavelengths, channels)
    unit = unit or str(source.provenance.get("unit", "energy"))
    bands = _bands(source)
    mean, levels = common(_skin_pixels(source, bands))
    seen = source.wavelengths[bands] if source.channels is None else source.channels.take(bands)
    found = posterior(mean, seen, unit)
    # whoever gives a mask says that it is skin, which the archive's need not be like
    if found.misfit > (WIDENED_MISFIT if source.mask is None else MOST_MISFIT):
        raise InputError(
            f"illuminant: cannot be known; under the likeliest light, {_likely(found)[0][0]}, these pixels are"
            f" {found.misfit**0.5:.1f} times as far from skin as skin is; give the light, or a mask of skin alone"
        )
    # a Birge ratio (R. T. Birge, Phys. Rev. 40, 207, 1932): what is left over says how well skin was known
    wide = posterior(mean, seen, unit, found.misfit) if found.misfit > WIDENED_MISFIT else found
    estimate = _summary(found, wide, source.wavelengths[bands], levels, float(source.illuminant[0]), unit)
    if estimate.error > MOST_ERROR:
        raise InputError(
            f"illuminant: cannot be known; with 68 % probability it is within {estimate.error:.1f} degrees of its"
            f" estimate, expected {MOST_ERROR:g} or fewer; give the light, or more bands"
        )
    return estimate


def recorded(cube: Any, wavelengths: Any = None, channels: Channels | None = None) -> Cube:
    """What a camera recorded as a Cube, for which a light without colour stands in."""
    if isinstance(cube, Cube):
        if wavelengths is not None:
            raise InputError("wavelengths: given beside a Cube, which has its own; leave them out")
        own = channels if channels is not None else cube.channels
        order = np.argsort(own.centres) if channels is not None and own is not None else slice(None)
        if own is not None and len(own) != cube.values.shape[-1]:
            raise InputError(f"channels: found {len(own)}, the data have {cube.values.shape[-1]} bands")
        values, dark = cube.values, cube.dark
        if channels is not None and own is not None:
            values, own = values[..., order], own.take(order)
            dark = dark if dark is None or dark.ndim == 0 else dark[..., order]
        nm = cube.wavelengths if own is None else own.centres
        unlit = cube.changed(values=values, dark=dark, illuminant=None, channels=own, wavelengths=nm)
        return unlit.changed(illuminant=flat_light(unlit.values))
    if channels is None and wavelengths is None:
        raise InputError("wavelengths: missing; an array needs one number a band [nm]")
    values = np.asarray(cube)
    if values.ndim not in (2, 3) or values.dtype.kind not in "uif":
        raise InputError(f"cube: found shape {values.shape} of {values.dtype}; expected (y, x, band) or (pixel, band)")
    return Cube(values, wavelengths, flat_light(values), channels=channels)


def lit(cube: Cube, estimate: LightEstimate) -> Cube:
    """The recorded cube on the bands where the light is known, with it."""
    kept = np.flatnonzero(np.isin(cube.wavelengths, estimate.wavelengths))
    part = cube.select_bands(kept)
    channels = None if part.channels is None else part.channels.under(estimate.spectrum)
    centres = part.wavelengths if channels is None else channels.centres
    note = "; ".join(filter(None, [str(cube.provenance.get("note", "")), f"light {estimate}"]))
    provenance = {**cube.provenance, "note": note}
    return part.changed(illuminant=estimate.power, channels=channels, wavelengths=centres, provenance=provenance)


def _bands(cube: Cube) -> np.ndarray:
    """Indices of the bands on which skin is known."""
    low, high = skin_logs().wavelengths[[0, -1]]
    if cube.channels is None:
        inside = (cube.wavelengths >= low) & (cube.wavelengths <= high)
    else:
        inside = cube.channels.shares(low, high)[2] <= 0.03
    bands = np.flatnonzero(inside)
    span = np.ptp(cube.wavelengths[bands]) if bands.size else 0.0
    if bands.size < FEWEST_BANDS or span < LEAST_SPAN:
        raise InputError(
            f"illuminant: cannot be known from {bands.size} bands over {span:g} nm of 400-700 nm; expected at least"
            f" {FEWEST_BANDS} over {LEAST_SPAN:g} nm: give the light"
        )
    return bands


def _skin_pixels(cube: Cube, bands: np.ndarray) -> np.ndarray:
    """What was recorded of skin, over the flat light (pixel, band)."""
    mask = cube.mask
    if mask is None and len(cube.shape) == 2:
        mask = _found_skin(cube)
    wanted = np.ones(cube.shape, bool) if mask is None else mask
    step = max(1, round(np.count_nonzero(wanted) / _MOST_PIXELS))
    rows, seen = [], 0
    height = max(1, 2**22 // max(1, int(np.prod(cube.shape[1:])) * len(cube.wavelengths)))
    for first in range(0, cube.shape[0], height):
        here = slice(first, first + height)
        if not wanted[here].any():
            continue
        values, usable = cube.rows(here)
        pick = wanted[here] & usable[..., bands].all(-1)
        found = values[pick][:, bands]
        rows.append(np.asarray(found[-seen % step :: step], np.float64))
        seen += len(found)
    pixels = np.concatenate(rows) if rows else np.empty((0, bands.size))
    level = pixels.mean(1)
    bright = level > DARKEST * np.quantile(level, 0.95) if level.size else np.zeros(0, bool)
    if bright.sum() < FEWEST_PIXELS:
        raise InputError(
            f"illuminant: {int(bright.sum())} pixels of skin that have light in all bands; expected at least"
            f" {FEWEST_PIXELS}: give the light, or a mask of the skin"
        )
    return pixels[bright]


def _found_skin(cube: Cube) -> np.ndarray:
    """Where skin is in a picture under a light that is not known: where most of it is under some common one."""
    from msfit.colour.illuminants import illuminant
    from msfit.mask import skin_mask

    best = np.zeros(cube.shape, bool)
    for name in _TRIED:
        inside = (cube.wavelengths >= 400) & (cube.wavelengths <= 700)
        light = np.where(inside, illuminant(name).on(np.clip(cube.wavelengths, 400, 700)), 0.0)
        try:
            found = skin_mask(cube.changed(illuminant=light, mask=None))
        except InputError as error:
            raise InputError(f"illuminant: skin has to be found first; {error}") from None
        best = found if found.sum() > best.sum() else best
    if not best.any():
        raise InputError("illuminant: no skin was found in the picture; give the light, or a mask of the skin")
    return best


def common(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the mean spectrum without level (band,), and mean over the bands of each pixel that has it (pixel,).

    The mean is taken before the logarithm: where there is little light, that of noise is far from symmetric.
    """
    level = pixels.mean(1, keepdims=True)
    shapes = pixels / level
    middle = np.median(shapes, axis=0)
    spread = np.maximum(np.median(np.abs(shapes - middle), axis=0), 1e-3 * middle.max())
    for _ in range(3):
        far = (((shapes - middle) / spread) ** 2).sum(1)
        near = far <= np.quantile(far, _KEPT)
        middle = shapes[near].mean(0)
    logs = np.log(np.maximum(middle, 1e-6 * middle.max()))
    return logs - logs.mean(), level[near, 0]


def draws(found: Posterior) -> np.ndarray:
    """Lights of a posterior (draw, band), of mean 1."""
    rng = np.random.default_rng(0)
    pair = rng.choice(found.probability.size, _DRAWS, p=found.probability)
    roots = np.stack([np.linalg.cholesky(c + 1e-12 * np.eye(len(c))) for c in found.covariance])
    noise = rng.standard_normal((_DRAWS, found.mean.shape[1]))
    draws = np.exp(found.mean[pair] + np.einsum("nij,nj->ni", roots[found.tone[pair]], noise))
    return np.asarray(draws / draws.mean(1, keepdims=True))


def _summary(
    found: Posterior, wide: Posterior, nm: np.ndarray, levels: np.ndarray, flat: float, unit: str
) -> LightEstimate:
    """The estimate, with the intervals of another posterior about it."""
    power, spread = draws(found).mean(0), draws(wide)
    if wide is found:
        width = float(
            sum(WIDTH[kind_of(found.names[k])] * p for k, p in zip(found.light, found.probability, strict=True))
        )
        spread = power * (spread / power) ** width
    else:
        spread *= power / spread.mean(0)
    spread /= spread.mean(1, keepdims=True)
    low, high = np.quantile(spread, [0.5 - INSIDE / 2, 0.5 + INSIDE / 2], axis=0)
    error = float(np.quantile(angle(spread, power), INSIDE))
    skin, share = skin_logs(), np.bincount(found.tone, found.probability)
    mean_skin = np.exp(np.interp(nm, skin.wavelengths, share @ skin.means))
    scale = flat * float(np.quantile(levels, 0.95)) / (mean_skin * power).mean()
    lights = known_lights()
    by_light = np.bincount(found.light, found.probability, len(lights.names))
    per_band = lights.wavelengths / 550 if unit == "photons" else 1.0
    spectrum = (lights.wavelengths, by_light @ lights.powers * per_band)
    ita, misfit = float(share @ skin.angles), float(np.sqrt(found.misfit))
    return LightEstimate(nm, scale * power, scale * low, scale * high, error, _likely(found), ita, spectrum, misfit)


def kind_of(name: str) -> str:
    """Of a known light: "daylight", "Planckian" (CIE A is one) or "lamp"."""
    kind = name.partition(" of ")[0]
    return "Planckian" if kind == "A" else kind if kind in WIDTH else "lamp"


def _kinds(found: Posterior) -> dict[str, list[tuple[float, float]]]:
    """Lamps, "daylight" and "Planckian": probability and colour temperature [K] of each member."""
    kinds: dict[str, list[tuple[float, float]]] = {}
    for name, share in zip(found.names, np.bincount(found.light, found.probability, len(found.names)), strict=True):
        kind, _, kelvin = name.partition(" of ")
        kinds.setdefault(kind, []).append((float(share), float(kelvin.removesuffix(" K") or "nan")))
    return kinds


def _likely(found: Posterior) -> tuple[tuple[str, float], ...]:
    """Kinds of light with their probabilities, the likeliest first."""
    listed = []
    for kind, members in _kinds(found).items():
        share, kelvin = np.array(members).T
        total = float(share.sum())
        if total > 0.001:
            # colours of light are even in reciprocal temperature
            mean = "" if np.isnan(kelvin[0]) else f" of {total / (share / kelvin).sum():.0f} K"
            listed.append((kind + mean, total))
    return tuple(sorted(listed, key=lambda pair: -pair[1]))


def angle(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angles between spectra (..., band) [degrees]."""
    cosine = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
