"""Measures of each band over the skin: what a fit leaves over, noise, samples that are missing or clipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msfit.quality.sample import Sample, fitted, predicted, usable_pixels

# J. Immerkær, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996: this mask takes
# no notice of what is linear in the picture, and gives six times the noise.
_LAPLACIAN = np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])
_GAIN, _NORMAL = 6.0, 0.6745  # the latter: median of |x| of a standard normal
_NEAR = 2  # bands to each side that a band is compared with
_PILED, _UP_TO = 5.0, 0.98  # a pile: times as many samples at the largest value as between that share of it and it
_FEWEST_PILED = 20
_EQUAL = 1e-6  # of a value: rounding in single precision


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a fit of some bands leaves over in all of them.

    Attributes
    ----------
    offset : float array (band,)
        Median of measured minus fitted, as a share of the diffuse shading.
    departure : float array (band,)
        Median of ln(measured / fitted), less what the neighbours that were fitted show: a line through the nearest
        two, or on through the next two at an end. What skin leaves over a model is smooth; a wrong white is not.
    departure_wide : float array (band,)
        The same from the second to each side; 0 at the ends.
    noise : float array (band,) or None
        Standard deviation over neighbouring pixels, as a share of the diffuse shading; None of a list of spectra.
    expected_noise : float array (band,) or None
        What the camera's other bands lead to expect.
    rmse : float
        Median over the pixels of the RMSE over the fitted bands, as a share of the diffuse shading.
    f_mel, f_blood : float
        Medians.
    """

    offset: np.ndarray
    departure: np.ndarray
    departure_wide: np.ndarray
    noise: np.ndarray | None
    expected_noise: np.ndarray | None
    rmse: float
    f_mel: float
    f_blood: float


def residuals(sample: Sample, bands: np.ndarray, model: str) -> Residuals:
    """Fit some bands (indices) of the skin of a sample and compare all with the fit."""
    result = fitted(sample, bands, model, sample.mask)
    prediction = predicted(result, sample.wavelengths, model)
    good = usable_pixels(result)
    good &= np.isfinite(prediction).all(axis=-1)
    i_d = np.asarray(result.i_d, np.float32)
    left = sample.reflectance - prediction
    share = left[good] / i_d[good][:, None]
    ratio = np.log(np.maximum(sample.reflectance[good], 1e-4) / np.maximum(prediction[good], 1e-4))
    offset, middle = _median(share), _median(ratio)
    noise = expected = None
    if sample.is_picture:
        noise = _noise(left, i_d, good)
        level = _median(np.asarray(sample.raw[good], np.float64))
        expected = _expected_noise(noise, float(np.median(i_d[good])), level, sample.light, bands)
    return Residuals(
        offset=offset,
        departure=_departure(middle, bands),
        departure_wide=_departure_wide(middle, bands),
        noise=noise,
        expected_noise=expected,
        rmse=float(np.median(np.sqrt(np.nanmean(share[:, bands] ** 2, axis=1)))),
        f_mel=float(np.nanmedian(np.asarray(result.f_mel)[good])),
        f_blood=float(np.nanmedian(np.asarray(result.f_blood)[good])),
    )


def missing(sample: Sample) -> np.ndarray:
    """Share (band,) of the skin's samples that are missing, saturated, unlit or not above zero."""
    values = sample.reflectance[sample.mask]
    return np.asarray(1 - (values > 0).mean(axis=0))


def piled(sample: Sample) -> tuple[np.ndarray, float | None]:
    """Share (band,) of skin's samples at the largest value of all, or of the band, where these make a pile.

    Returns
    -------
    share : float array (band,)
    level : float or None
        The value, in the file's numbers, where it is one for all bands that have a pile.
    """
    raw = np.asarray(sample.raw[sample.mask], np.float64)
    share, levels = np.zeros(raw.shape[1]), []
    for band, values in enumerate(raw.T):
        values = values[np.isfinite(values)]
        if values.size == 0 or (largest := values.max()) <= 0:
            continue
        at = values >= largest * (1 - _EQUAL)
        below = (values >= _UP_TO * largest) & ~at
        if at.sum() >= max(_FEWEST_PILED, _PILED * below.sum()):
            share[band] = at.mean()
            levels.append(largest)
    if not levels or np.ptp(levels) > _EQUAL * max(levels):
        return share, None
    level = float(min(levels) * (1 - _EQUAL))
    # a pile that is small in its band is one all the same where another band shows the level
    return np.asarray((raw >= level).mean(axis=0)), level


def _median(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    middle = np.full(values.shape[1], np.nan)
    some = known.any(axis=0)
    middle[some] = np.nanmedian(values[:, some], axis=0)
    return middle


def _departure(middle: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Of each band from a line through the two fitted bands about it, or the next two at an end."""
    found = np.zeros(middle.size)
    for band in range(middle.size):
        left, right = bands[bands < band], bands[bands > band]
        if left.size and right.size:
            a, b = left[-1], right[0]
        elif right.size > 1:
            a, b = right[:2]
        elif left.size > 1:
            a, b = left[-2:]
        else:
            continue
        found[band] = middle[band] - (middle[a] + (middle[b] - middle[a]) * (band - a) / (b - a))
    return found


def _departure_wide(middle: np.ndarray, bands: np.ndarray) -> np.ndarray:
    found = np.zeros(middle.size)
    for band in range(middle.size):
        left, right = bands[bands < band], bands[bands > band]
        if left.size > 1 and right.size > 1:
            a, b = left[-2], right[1]
            found[band] = middle[band] - (middle[a] + (middle[b] - middle[a]) * (band - a) / (b - a))
    return found


def _noise(left: np.ndarray, i_d: np.ndarray, good: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_erosion, convolve

    whole = binary_erosion(good, np.ones((3, 3), bool))
    whole = whole if whole.sum() >= 9 else good
    found = np.full(left.shape[-1], np.nan)
    for band in range(left.shape[-1]):
        values = convolve(np.asarray(left[..., band], np.float64), _LAPLACIAN, mode="nearest")[whole] / i_d[whole]
        values = values[np.isfinite(values)]
        if values.size:
            found[band] = np.median(np.abs(values)) / (_NORMAL * _GAIN)
    return found


def _expected_noise(
    noise: np.ndarray, i_d: float, level: np.ndarray, light: np.ndarray, bands: np.ndarray
) -> np.ndarray:
    """Shot and read noise that explain most bands: variance of the signal = a level + b, both not negative.

    Fitted to logarithms of what is measured, so that each band counts alike, and again without those far above. Where
    light varies strongly from band to band, so does noise in reflectance, and no band is bad.
    """
    from scipy.optimize import nnls

    with np.errstate(invalid="ignore"):
        variance = (noise * i_d * light) ** 2
    known = np.isfinite(variance) & (variance > 0) & np.isfinite(level)
    known[np.setdiff1d(np.arange(noise.size), bands)] = False
    if known.sum() < 4:
        return np.full(noise.size, np.nan)
    terms = np.stack([np.maximum(level, 0), np.full(level.size, float(np.median(level[known])))], axis=1)
    keep = known.copy()
    for _ in range(4):
        weight = 1 / variance[keep]
        size = np.abs(terms[keep]).max()
        found, _ = nnls(terms[keep] / size * weight[:, None], np.ones(keep.sum()))
        model = terms @ (found / size)
        ratio = np.divide(variance, model, out=np.full(noise.size, np.inf), where=model > 0)
        middle = np.median(ratio[keep])
        keep = known & (ratio < 4 * middle)
        if keep.sum() < 4:
            break
    by_camera = np.sqrt(model * middle) / (i_d * light)
    by_neighbours = np.array([_neighbours(noise, band, bands) for band in range(noise.size)])
    return np.fmax(by_camera, by_neighbours)


def _neighbours(noise: np.ndarray, band: int, bands: np.ndarray) -> float:
    near = bands[(np.abs(bands - band) <= _NEAR) & (bands != band)]
    return float(np.nanmedian(noise[near])) if near.size and np.isfinite(noise[near]).any() else np.nan
