"""Compares what is measured of a scene with what good scenes show, and says what to do about the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.errors import InputError, names_nearest
from msfit.quality.bands import Residuals, missing, piled, residuals
from msfit.quality.picture import falloff, shifts
from msfit.quality.report import KINDS, Finding, Medians, Report, nanometres
from msfit.quality.sample import Sample, take_sample
from msfit.skin import DEFAULT_MODEL
from msfit.skin.held_out import held_out_figures
from msfit.skin.models import get_model

# Limits: above the largest of what good scenes show (`python -m benchmarks.check`: synthetic persons of the training
# and validation splits, of all tones; the largest there stands behind each).
_BLUE = 425.0  # nm: below it skin is dark, and the archive's own spectra scatter
DEPARTURE_BLUE, DEPARTURE, OFFSET = 0.25, 0.09, 0.01
WIDER = 1.7  # times these, from the next neighbours but one
NOISE, NOISE_TIMES = 0.015, 3.0  # good scenes: 1.3 times, whatever the noise is
MOVED = 0.3  # pixels
LIGHT = 0.25
RMSE_TIMES = 1.5
MISSING, CLIPPED = 0.5, 0.005
_MOST = 1 / 3  # of the bands: where more seem bad it is the light or the model that is
_FEWEST = 8  # bands that are left


@names_nearest
def check(cube: Cube, *, model: str = DEFAULT_MODEL, mask: Any = None) -> Report:
    """Look for faults of a scene: bad bands, clipping, bands that moved, light that falls off.

    Parameters
    ----------
    cube : Cube
        A picture or a list of spectra. Of a picture above 1024 x 1024 a window about the middle is read.
    model : str
        Skin model that the bands are compared with.
    mask : bool array (y, x) or (pixel,), optional
        Skin. By default the cube's mask, else what `msfit.skin_mask` finds.

    Returns
    -------
    Report
        Nothing in `findings` where the scene is as good as the synthetic ones that the limits were set on.

    Raises
    ------
    InputError
        Fewer than 8 bands in the model's range; fewer than 50 lit pixels; a mask of another shape.

    Notes
    -----
    The fit is repeated without the worst band until none is off, so that a bad band does not make its neighbours look
    bad. A wrong white shows where ln(measured / fitted) departs from the neighbours'; an error that is smooth over the
    bands looks like other skin, and is not seen. Bands are compared by cross-correlation with the fit of the others.

    Examples
    --------
    >>> import numpy as np, msfit
    >>> nm = np.arange(400.0, 701.0, 10.0)
    >>> skin = 0.8 * msfit.reflectance(np.linspace(0.05, 0.3, 200), 0.03, nm) + 0.04
    >>> skin[:, 12] *= 1.2
    >>> report = msfit.check(msfit.Cube(skin, nm))
    >>> [(finding.kind, finding.bands) for finding in report.findings], report.command_line()
    ([('white', (520.0,))], '--weights 515:525=0')
    """
    skin_model = get_model(model)
    if cube.channels is not None:
        raise InputError("channels: found a cube with responses of a camera; expected narrow bands")
    if mask is not None:
        mask = np.asarray(mask, bool)
        if mask.shape != cube.shape:
            raise InputError(f"mask: found shape {mask.shape}; expected that of the cube, {cube.shape}")
    sample = take_sample(cube, skin_model.wavelength_range, mask)
    nm = sample.wavelengths
    findings: list[Finding] = []

    gone = missing(sample)
    dead = np.flatnonzero(gone > MISSING)
    if nm.size - dead.size < _FEWEST:
        raise InputError(f"bands: {dead.size} of {nm.size} have no signal on the skin; expected {_FEWEST} that do")
    clipped, level, saturation = _clipping(sample, cube, gone)
    usable = np.setdiff1d(np.arange(nm.size), dead)

    first = residuals(sample, usable, model)
    white, noisy, last = _odd_bands(sample, usable, first, model)
    kept = np.setdiff1d(usable, [*white, *noisy])
    moves, moved = np.full((nm.size, 2), np.nan), np.empty(0, int)
    if sample.is_picture:
        moves = shifts(sample, kept, model)
        moved = np.setdiff1d(np.flatnonzero(np.hypot(*moves.T) > MOVED), [*dead, *noisy])
        if moved.size:
            moves = shifts(sample, np.setdiff1d(kept, moved), model) if kept.size - moved.size >= _FEWEST else moves
            moved = np.setdiff1d(np.flatnonzero(np.hypot(*moves.T) > MOVED), [*dead, *noisy])

    dropped = np.union1d(dead, white).astype(int)
    options, words = _options(sample, dropped, noisy, last)
    for kind, bands, text in (
        ("dead", dead, "on more than half of the skin"),
        ("clipped", clipped, f"{100 * float(np.max(level, initial=0)):.2g} % of the skin in the worst band"),
        ("white", white, _by(last.departure[white])),
        ("noisy", noisy, _noise_in_words(last, noisy)),
        ("moved", moved, _moves_in_words(moves[moved])),
    ):
        if len(bands):
            advice = {
                "clipped": _clip_advice(saturation, cube),
                "moved": "lay them on the others: msfit fit --align, or put them back: msfit check --fix",
            }
            names = tuple(float(value) for value in nm[bands])
            told = advice.get(kind) or words
            findings.append(Finding(kind, names, f"{nanometres(names)}, {text}; {told}"))
    if (fall := falloff(sample)) > LIGHT:
        findings.append(
            Finding(
                "light",
                (),
                f"by {100 * fall:.0f} % over what is even in the picture; shading holds it, pigments do not change;"
                " for true shading take a picture of a white card as --white FILE",
            )
        )
    expected = _expected_rmse(model, last, kept)
    if last.rmse > RMSE_TIMES * expected:
        findings.append(
            Finding(
                "rmse",
                (),
                f"{last.rmse:.2g} of the diffuse light with the bands that are left, expected below {expected:.2g}; are"
                " light, white and wavelengths those of the scene, and is it skin?",
            )
        )
    return Report(
        findings=tuple(sorted(findings, key=lambda finding: list(KINDS).index(finding.kind))),
        model=model,
        pixels=int(np.count_nonzero(sample.mask)),
        is_skin=sample.is_skin,
        wavelengths=nm,
        table=_table(sample, last, gone, level, moves),
        before=Medians(first.f_mel, first.f_blood, first.rmse),
        after=Medians(last.f_mel, last.f_blood, last.rmse),
        expected_rmse=expected,
        options=options,
        shifts={float(nm[band]): (-float(moves[band, 0]), -float(moves[band, 1])) for band in moved},
        saturation=saturation,
    )


def _odd_bands(
    sample: Sample, usable: np.ndarray, first: Residuals, model: str
) -> tuple[np.ndarray, np.ndarray, Residuals]:
    """Indices of bands whose white is wrong, of noisy ones, and the residuals without them.

    Where as many would have to go as may, it is not the bands: none is named, and the RMSE tells of it.
    """
    limit = np.where(sample.wavelengths < _BLUE, DEPARTURE_BLUE, DEPARTURE)
    wide_limit = WIDER * np.array([limit[max(0, band - 2) : band + 3].max() for band in range(limit.size)])
    kept, found = usable, first
    white: list[int] = []
    noisy: list[int] = []
    cleared: list[int] = []
    while kept.size - 1 >= max(_FEWEST, (1 - _MOST) * usable.size):
        excess = np.zeros(limit.size)
        off = np.abs(found.offset) > OFFSET
        # of two wrong bands side by side each is half as far from the other's side: the wider line sees both whole
        excess[off] = np.maximum(np.abs(found.departure) / limit, np.abs(found.departure_wide) / wide_limit)[off]
        loud = np.zeros(limit.size)
        if found.noise is not None and found.expected_noise is not None:
            above = found.noise > NOISE
            loud[above] = found.noise[above] / found.expected_noise[above] / NOISE_TIMES
        both = np.nan_to_num(np.maximum(excess, loud))
        # the neighbour of wrong bands may have gone before them; beside those that are left it is right
        right = [band for band in white if both[band] <= 1 and band not in cleared]
        out = np.setdiff1d(np.arange(limit.size), kept)
        both[out] = 0
        worst = int(both.argmax())
        if both[worst] <= 1 and right:
            cleared += right
            white = [band for band in white if band not in right]
            kept = np.union1d(kept, right)
            found = residuals(sample, kept, model)
            continue
        if both[worst] <= 1:
            return np.array(sorted(white), int), np.array(sorted(noisy), int), found
        (noisy if loud[worst] > 1 else white).append(worst)
        kept = kept[kept != worst]
        found = residuals(sample, kept, model)
    return np.empty(0, int), np.empty(0, int), first


def _clipping(sample: Sample, cube: Cube, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Bands that are clipped, the share of clipped samples by band, and their level where the file does not say it."""
    if cube.saturation is not None:
        raw = sample.raw[sample.mask]
        share = np.asarray((raw >= cube.saturation).mean(axis=0))
        return np.flatnonzero(share > CLIPPED), share, None
    share, level = piled(sample)
    clipped = np.flatnonzero((share > CLIPPED) & (gone <= MISSING))
    return clipped, share, level if clipped.size else None


def _clip_advice(level: float | None, cube: Cube) -> str:
    if cube.saturation is not None:
        return "these samples are left out of a fit"
    if level is None:
        return "take a picture with less light, or leave the bands out"
    return f"leave these samples out: --saturation {level:.8g}"


def _options(sample: Sample, dropped: np.ndarray, noisy: np.ndarray, last: Residuals) -> tuple[dict[str, Any], str]:
    """Options of a fit without some bands and with less weight on others, and what to say of them."""
    nm = sample.wavelengths
    low, high = 0, nm.size - 1
    while low in dropped:
        low += 1
    while high in dropped:
        high -= 1
    options: dict[str, Any] = {}
    if (low, high) != (0, nm.size - 1):
        options["bands"] = (float(nm[low]), float(nm[high]))
    weights = {_span(nm, band): 0.0 for band in dropped if low < band < high}
    if noisy.size and last.noise is not None:
        others = np.setdiff1d(np.arange(low, high + 1), [*dropped, *noisy])
        usual = float(np.nanmedian(last.noise[others] ** 2)) + last.rmse**2
        weights |= {
            _span(nm, band): float(np.clip(usual / (usual + last.noise[band] ** 2), 1e-3, 1))
            for band in noisy
            if low <= band <= high
        }
    if weights:
        options["weights"] = dict(sorted(weights.items()))
    advice = [f"--bands {nm[low]:g}:{nm[high]:g}"] if "bands" in options else []
    advice += (
        ["--weights " + ",".join(f"{a:g}:{b:g}={w:.3g}" for (a, b), w in sorted(weights.items()))] if weights else []
    )
    return options, "fit with " + " ".join(advice)


def _span(nm: np.ndarray, band: int) -> tuple[float, float]:
    """A range [nm] that holds one band alone."""
    gaps = np.diff(nm)[max(0, band - 1) : band + 1]
    half = float(gaps.min()) / 2
    return round(float(nm[band]) - half, 4), round(float(nm[band]) + half, 4)


def _expected_rmse(model: str, found: Residuals, bands: np.ndarray) -> float:
    """What 95 % of measured skin stays below, with the noise of this scene."""
    usual = held_out_figures().get(model)
    level = usual.rmse_p95 if usual else max(figures.rmse_p95 for figures in held_out_figures().values())
    noise = 0.0 if found.noise is None else float(np.nanmean(found.noise[bands] ** 2))
    return float(np.sqrt(level**2 + noise))


def _by(departure: np.ndarray) -> str:
    return "by a factor of " + ", ".join(f"{np.exp(value):.3g}" for value in departure)


def _noise_in_words(found: Residuals, bands: np.ndarray) -> str:
    if found.noise is None or found.expected_noise is None or not len(bands):
        return ""
    pairs = (f"{found.noise[band]:.2g} (expected {found.expected_noise[band]:.2g})" for band in bands)
    return "noise " + ", ".join(pairs) + " of the diffuse light"


def _moves_in_words(moves: np.ndarray) -> str:
    return "by (rows, columns) " + ", ".join(f"({down:.2g}, {right:.2g})" for down, right in moves)


def _table(
    sample: Sample, found: Residuals, gone: np.ndarray, clipped: np.ndarray, moves: np.ndarray
) -> dict[str, np.ndarray]:
    unknown = np.full(sample.wavelengths.size, np.nan)
    columns: Sequence[tuple[str, np.ndarray | None]] = (
        ("offset", found.offset),
        ("departure", found.departure),
        ("departure_wide", found.departure_wide),
        ("noise", found.noise),
        ("expected_noise", found.expected_noise),
        ("missing", gone),
        ("clipped", clipped),
        ("shift_y", moves[:, 0]),
        ("shift_x", moves[:, 1]),
    )
    return {name: unknown if values is None else np.asarray(values, np.float64) for name, values in columns}
