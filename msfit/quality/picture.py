"""Measures of a picture as a whole: bands that moved, and light that falls off over what is even in it."""

from __future__ import annotations

import numpy as np

from msfit.io.extras import need
from msfit.quality.sample import Sample, fitted, predicted

_SMOOTH = 8.0  # pixels: slower changes are of light, not of edges
_DARKEST = 5e-3  # reflectance
_PARTS = 20  # of a pixel, to which a shift is found
_SIDE = 512  # pixels of the window that shifts are found in
_TILES, _EVEN = 12, 0.03  # tiles along a side; spread within a tile that is even, of its level
_FEWEST_TILES = 12
_EXPLAINED = 0.8  # share of the variance between tiles that a smooth light explains


def shifts(sample: Sample, bands: np.ndarray, model: str) -> np.ndarray:
    """How far each band lies from where the fit of all puts it.

    Upsampled cross-correlation (M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, "Efficient subpixel image
    registration algorithms", Optics Letters 33, 2008) of logarithms without what is slow in them, so that neither
    light nor the contrast of a band matters.

    Returns
    -------
    float array (band, 2)
        Rows too far down and columns too far right [pixels].
    """
    registration = need("skimage.registration", "mask")
    from scipy.ndimage import gaussian_filter

    cut = _about(sample.mask)
    result = fitted(sample, bands, model)
    prediction = predicted(result, sample.wavelengths, model)[cut]
    measured = sample.reflectance[cut]
    known = np.isfinite(prediction).all(axis=-1)
    taper = np.hanning(known.shape[0])[:, None] * np.hanning(known.shape[1])
    found = np.zeros((sample.wavelengths.size, 2))
    for band in range(sample.wavelengths.size):
        here = known & np.isfinite(measured[..., band])
        if not here.any():
            continue
        pair = []
        for picture in (measured, prediction):
            values = np.log(np.maximum(np.where(here, picture[..., band], np.nan), _DARKEST))
            values = np.where(here, values, np.nanmedian(values))
            pair.append((values - gaussian_filter(values, _SMOOTH)) * taper)
        if not (np.ptp(pair[0]) and np.ptp(pair[1])):
            continue
        shift, _, _ = registration.phase_cross_correlation(*pair, upsample_factor=_PARTS, normalization=None)
        found[band] = shift
    return found


def falloff(sample: Sample) -> float:
    """How much darker the darkest part of what is even is than its brightest, 0 to 1, where light explains it; else 0.

    Tiles of the picture without texture are one surface, or several: only if a quadratic in row and column explains
    nearly all of the difference between them is it taken for the light's.
    """
    if not sample.is_picture or min(sample.mask.shape) < 4 * _TILES:
        return 0.0
    level = np.nanmean(np.where(np.isfinite(sample.reflectance), sample.reflectance, np.nan), axis=-1)
    height, width = (length // _TILES for length in level.shape)
    cut = level[: height * _TILES, : width * _TILES].reshape(_TILES, height, _TILES, width).swapaxes(1, 2)
    skin = sample.mask[: height * _TILES, : width * _TILES].reshape(_TILES, height, _TILES, width).any(axis=(1, 3))
    tiles = cut.reshape(_TILES, _TILES, -1)
    middle = np.median(tiles, axis=-1)
    # within a tile light may fall off too: neighbours are compared, not ends
    rough = np.median(np.abs(np.diff(cut, axis=-1)).reshape(_TILES, _TILES, -1), axis=-1)
    spread = np.percentile(tiles, 90, axis=-1) - np.percentile(tiles, 10, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        even = (middle > _DARKEST) & ~skin & (rough < _EVEN * middle) & (spread < 10 * _EVEN * middle)
    if even.sum() < _FEWEST_TILES:
        return 0.0
    y, x = (place[even] / (_TILES - 1) * 2 - 1 for place in np.indices((_TILES, _TILES)))
    values = np.log(middle[even])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    smooth = terms @ np.linalg.lstsq(terms, values, rcond=None)[0]
    total = values.var()
    if total < 1e-8 or 1 - (values - smooth).var() / total < _EXPLAINED:
        return 0.0
    return float(1 - np.exp(smooth.min() - smooth.max()))


def _about(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns about the skin, with a margin, at most a window of `_SIDE`."""
    cut = []
    for places, length in zip(np.nonzero(mask), mask.shape, strict=True):
        low, high = int(places.min()) - 16, int(places.max()) + 17
        if high - low > _SIDE:
            middle = int(np.median(places))
            low, high = middle - _SIDE // 2, middle + _SIDE // 2
        cut.append(slice(max(0, low), min(length, high)))
    return cut[0], cut[1]
