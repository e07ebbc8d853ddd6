"""`msfit.align_bands`: all bands of a picture brought onto one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.align import flow
from msfit.data.cube import Cube, precision
from msfit.errors import InputError, names_nearest

_SMALLEST_SIDE = 48  # pixels
# A band is predicted from as many components of the others, on which it is laid a second time.
_COMPONENTS, _PASSES = 5, 2
# Least correlation of a band's detail with its prediction, where it is aligned, and largest share of the picture's
# side by which it may have moved.
_LEAST_CORRELATION, _LARGEST_SHARE = 0.5, 0.15


@dataclass(frozen=True, eq=False)
class Alignment:
    """Bands in register.

    Attributes
    ----------
    cube : Cube
        The aligned one: bands sampled anew by cubic splines, in float; NaN where a band does not reach.
    fields : float32 array (band, 2, y, x)
        Displacements (y, x) [pixel]: what lies at p in the fixed band was found at p + fields[b, :, y, x] in band b.
    fixed : int
        Index of the band onto which the others were brought.
    correlation : float64 array (band,)
        Of each band's detail with what the others predict of it, after the alignment.
    before : Cube
        As it came.
    """

    cube: Cube
    fields: np.ndarray
    fixed: int
    correlation: np.ndarray
    before: Cube

    @property
    def shifts(self) -> np.ndarray:
        """Median length of each band's displacement [pixel] (band,)."""
        found: np.ndarray = np.median(np.hypot(self.fields[:, 0], self.fields[:, 1]), axis=(1, 2))
        return found

    def plot(self) -> Any:
        """Three bands as red, green and blue before and after, an edge, and how far each band was moved.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to a window; `savefig` writes it.
        """
        from msfit.data.later import later

        return later("msfit.plot.alignment").alignment_panel(self)


@names_nearest
def align_bands(cube: Cube, *, fixed: float | None = None) -> Alignment:
    """Bring the bands of a picture into register.

    Each band is laid on a fixed one by a shift, a rotation and a smooth displacement (`msfit.align.flow`), then again
    on what the other bands, by then in register, predict of it (five principal components): prediction and band agree
    in contrast, which two single bands of skin do not, so that what is left between them is displacement (the idea of
    Y. Peng, A. Ganesh, J. Wright, W. Xu, Y. Ma, "RASL: Robust alignment by sparse and low-rank decomposition", IEEE
    PAMI 34, 2233, 2012).

    Parameters
    ----------
    cube : Cube
        A picture (y, x, band), 48 pixels or more a side. Reflectance is aligned: a white reference stays where it was
        taken. Where there is a mask, what lies outside counts a tenth.
    fixed : float, optional
        Wavelength [nm] of the band onto which the others are brought; by default the sharpest of the middle third.

    Returns
    -------
    Alignment
        `cube` is the aligned one.

    Raises
    ------
    InputError
        No picture, a small one, fewer than two bands; a band that cannot be aligned: without texture, unlike the others
        after the alignment, or farther away than 15 % of the picture's side.
    """
    if len(cube.shape) != 2 or min(cube.shape) < _SMALLEST_SIDE:
        raise InputError(f"cube: found {cube.shape}; expected a picture of {_SMALLEST_SIDE} pixels or more a side")
    if (count := len(cube.wavelengths)) < 2:
        raise InputError(f"cube: found {count} band; expected two or more to bring into register")
    values, usable = cube.rows(slice(None))
    values = np.where(usable, values, np.nan).astype(np.float64)
    pictures = np.moveaxis(values, -1, 0)
    inside = np.ones(cube.shape) if cube.mask is None else np.where(_widened(cube.mask), 1.0, 0.05)
    _check_texture(cube, pictures)
    details = np.stack([flow.detail(picture) for picture in pictures])
    chosen = _fixed(details, inside) if fixed is None else int(np.abs(cube.wavelengths - fixed).argmin())
    weight = flow.levelling(details[chosen], inside)
    fields = _outwards(details, weight, chosen)
    correlation = np.ones(count)
    for _ in range(_PASSES):
        fields, correlation = _together(details, fields, weight, chosen)
    _check(cube, fields, correlation)
    aligned = np.stack([_resampled(picture, field) for picture, field in zip(pictures, fields, strict=True)], -1)
    light = cube.illuminant
    restored = aligned if light is None else aligned * np.asarray(light, np.float64)
    dtype = precision(cube.values.dtype)
    result = cube.changed(values=restored.astype(dtype), saturation=None, dark=None)
    return Alignment(result, fields.astype(np.float32), chosen, correlation, cube)


def _widened(mask: np.ndarray) -> np.ndarray:
    from msfit.io.extras import need

    morphology = need("skimage.morphology", "mask")
    return np.asarray(morphology.dilation(mask, morphology.disk(max(2, min(mask.shape) // 40))))


def _check_texture(cube: Cube, pictures: np.ndarray) -> None:
    for nm, picture in zip(cube.wavelengths, pictures, strict=True):
        some = picture[np.isfinite(picture)]
        if some.size < 0.2 * picture.size or not np.ptp(some) > 0 or not (some > 0).any():
            raise InputError(f"cube: band {nm:g} nm cannot be aligned: it is empty, saturated or of one value")


def _fixed(details: np.ndarray, inside: np.ndarray) -> int:
    """The band of the middle third with the most detail, which noise and blur lower beside its neighbours'."""
    count = len(details)
    middle = range(count // 3, max(count // 3 + 1, count - count // 3))
    shifted = np.roll(np.nan_to_num(details), 1, axis=-1)  # noise of neighbouring pixels is independent
    return max(middle, key=lambda b: float((inside * np.nan_to_num(details[b]) * shifted[b]).sum()))


def _outwards(details: np.ndarray, weight: np.ndarray, chosen: int) -> np.ndarray:
    """Fields (band, 2, y, x): band after band, from the fixed one outwards, is laid on those that lie already."""
    count, shape = len(details), details.shape[1:]
    fields = np.zeros((count, 2, *shape))
    placed = details.copy()
    ready = [chosen]
    for b in sorted(range(count), key=lambda other: abs(other - chosen))[1:]:
        nearest = min(ready, key=lambda other: abs(other - b))
        shift = flow.shift_between(placed[nearest] * weight, details[b] * weight)
        field = np.broadcast_to(shift[:, None, None], (2, *shape)).copy()
        fields[b], _ = flow.laid_on(details[b], _components(placed[ready], weight), weight, field)
        placed[b] = _resampled(details[b], fields[b])
        ready.append(b)
    return fields


def _together(
    details: np.ndarray, fields: np.ndarray, weight: np.ndarray, chosen: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each band laid on all others: fields, and correlations with what these predict."""
    placed = np.stack([_resampled(picture, field) for picture, field in zip(details, fields, strict=True)])
    refined, correlation = np.empty_like(fields), np.ones(len(details))
    for b in range(len(details)):
        components = _components(np.delete(placed, b, axis=0), weight)
        refined[b], correlation[b] = flow.laid_on(details[b], components, weight, fields[b], orders=slice(2, None))
    # the others may have drifted as a whole away from the fixed band, on which all have to lie
    back = flow.inverted(refined[chosen])
    return np.stack([flow.composed(field, back) for field in refined]), correlation


def _components(placed: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Principal components (k, y, x) of details in register, each of unit weighted square."""
    known = np.isfinite(placed).all(0)
    flat = np.nan_to_num(placed).reshape(len(placed), -1)
    gram = (flat * (weight * known).ravel()) @ flat.T
    size, axes = np.linalg.eigh(gram)
    kept = [k for k in range(len(size) - 1, -1, -1) if size[k] > 1e-6 * size[-1]][:_COMPONENTS]
    found: np.ndarray = (axes[:, kept].T @ flat / np.sqrt(size[kept])[:, None]).reshape(-1, *placed.shape[1:])
    return np.where(known, found * np.sqrt(known.sum()), np.nan)


def _resampled(picture: np.ndarray, field: np.ndarray) -> np.ndarray:
    """A band through its field; NaN where it does not reach, or draws on samples that are not usable."""
    bad = ~np.isfinite(picture)
    if not np.abs(field).max() > 0:
        return picture
    sampled = flow.warped(np.where(bad, np.nanmedian(picture), picture), field, 3)
    return np.where(flow.warped(bad.astype(np.float64), field, 1) > 1e-3, np.nan, sampled) if bad.any() else sampled


def _check(cube: Cube, fields: np.ndarray, correlation: np.ndarray) -> None:
    """Refuse what does not look like its prediction, or lies too far away."""
    worst, moved = int(correlation.argmin()), np.median(np.hypot(fields[:, 0], fields[:, 1]), axis=(1, 2))
    if correlation[worst] < _LEAST_CORRELATION:
        raise InputError(
            f"cube: band {cube.wavelengths[worst]:g} nm cannot be aligned: its detail correlates with the others"
            f" by {correlation[worst]:.2f}, expected {_LEAST_CORRELATION:g} or more; leave it out"
        )
    farthest, most = int(moved.argmax()), _LARGEST_SHARE * min(cube.shape)
    if moved[farthest] > most:
        raise InputError(
            f"cube: band {cube.wavelengths[farthest]:g} nm cannot be aligned: it would be {moved[farthest]:.0f} pixels"
            f" away, expected {most:.0f} or fewer; leave it out"
        )
