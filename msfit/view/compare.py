"""Two results of one subject: the later one laid over the first, and what has changed, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.io.extras import need

COMPARED = ("f_mel", "f_blood", "i_d", "i_s")
_SMOOTH = 8.0  # pixels: slower changes are of light, not of edges
_PARTS = 20  # of a pixel, to which the shift is found


@dataclass(frozen=True, eq=False)
class Change:
    """What has changed from one result to a later one.

    Attributes
    ----------
    maps : dict of float arrays (y, x)
        `change_f_mel` and so on, later minus first [1], NaN where either is; `std_change_*`, one standard deviation of
        each, where both results have standard deviations.
    shift : (float, float)
        By how many rows and columns the later result was moved to lie on the first.
    """

    maps: dict[str, np.ndarray]
    shift: tuple[float, float]


def change(first: FitResult, later: FitResult) -> Change:
    """Lay a later result over the first, by a shift, and subtract.

    Parameters
    ----------
    first, later : FitResult
        Pictures of one size, of one face from one place: a face that has turned or come nearer is not undone.

    Returns
    -------
    Change
        The shift is that of the largest cross-correlation of ln(i_d) without what is slow in it, to a twentieth of a
        pixel; the later maps are interpolated linearly.

    Raises
    ------
    InputError
        Lists of spectra, pictures of different sizes or models.
    """
    if len(first.shape) != 2 or first.shape != later.shape:
        raise InputError(f"later: found pixels {later.shape}; expected a picture of the first's, {first.shape}")
    if first.model != later.model:
        raise InputError(f"later: found the model {later.model}; expected the first's, {first.model}")
    down, right = _shift(first, later)
    maps = {}
    for name in COMPARED:
        moved = _moved(np.asarray(later.map(name), np.float64), (down, right))
        maps[f"change_{name}"] = moved - np.asarray(first.map(name), np.float64)
    for name in COMPARED if first.std and later.std else ():
        assert first.std is not None
        assert later.std is not None
        moved = _moved(np.asarray(later.std[name], np.float64), (down, right))
        maps[f"std_change_{name}"] = np.hypot(moved, np.asarray(first.std[name], np.float64))
    return Change(maps, (down, right))


def _shift(first: FitResult, later: FitResult) -> tuple[float, float]:
    registration = need("skimage.registration", "mask")
    pair = [_edges(np.asarray(result.i_d, np.float64)) for result in (first, later)]
    found, _, _ = registration.phase_cross_correlation(*pair, upsample_factor=_PARTS, normalization=None)
    return float(found[0]), float(found[1])


def _edges(i_d: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(i_d) & (i_d > 0)
    if not known.any():
        return np.zeros(i_d.shape)
    values = np.log(np.where(known, i_d, 1))
    values = np.where(known, np.maximum(values, np.median(values[known]) - 3), np.median(values[known]))
    taper = np.hanning(i_d.shape[0])[:, None] * np.hanning(i_d.shape[1])
    return np.asarray((values - gaussian_filter(values, _SMOOTH)) * taper)


def _moved(values: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """Interpolated linearly; NaN where a pixel that is drawn on is, or lies outside."""
    if by == (0.0, 0.0):
        return values
    from scipy.ndimage import shift

    holes = ~np.isfinite(values)
    moved = shift(np.where(holes, 0, values), by, order=1, mode="constant", cval=np.nan)
    return np.where(shift(holes.astype(float), by, order=1, mode="constant", cval=1.0) > 1e-9, np.nan, moved)
