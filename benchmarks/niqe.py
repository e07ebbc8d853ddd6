"""How natural a picture looks without the clean one beside it: NIQE, its model fitted to clean rendered faces.

A. Mittal, R. Soundararajan, A. C. Bovik, "Making a completely blind image quality analyzer", IEEE Signal Processing
Letters 20(3), 2013. The published model is of landscapes and may not be passed on: this one is of faces of the
validation split, so that values compare methods here, and not with other papers.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import gamma

_PATCH, _SPREAD = 64, 7 / 6
_SHAPES = np.arange(0.2, 10, 0.01)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
# Patches of a clean picture count if they are at least as sharp as this share of its sharpest.
_SHARP = 0.5


class Niqe:
    """Distance of pictures, display values (y, x, 3), from clean ones; lower is more natural."""

    def __init__(self, clean: list[np.ndarray]) -> None:
        features = np.concatenate([_features(picture, sharp=True) for picture in clean])
        self._mean, self._covariance = features.mean(axis=0), np.cov(features.T)

    def __call__(self, picture: np.ndarray) -> float:
        features = _features(picture)
        covariance = np.cov(features.T) if len(features) > 1 else np.zeros_like(self._covariance)
        apart = features.mean(axis=0) - self._mean
        return float(np.sqrt(apart @ np.linalg.pinv((self._covariance + covariance) / 2) @ apart))


def _features(picture: np.ndarray, sharp: bool = False) -> np.ndarray:
    """(patch, 36): shapes and scales of normalised luminance and of its products with neighbours, at two sizes."""
    grey, found, sharpness = 255 * (picture @ _LUMINANCE), [], None
    for scale in (1, 2):
        small = grey if scale == 1 else grey[: len(grey) // 2 * 2, : grey.shape[1] // 2 * 2]
        if scale == 2:
            small = small.reshape(small.shape[0] // 2, 2, small.shape[1] // 2, 2).mean(axis=(1, 3))
        mean = gaussian_filter(small, _SPREAD)
        deviation = np.sqrt(np.maximum(gaussian_filter(small**2, _SPREAD) - mean**2, 0))
        normal = (small - mean) / (deviation + 1)
        found.append(np.array([_statistics(part) for part in _patches(normal, _PATCH // scale)]))
        if scale == 1:
            sharpness = np.array([part.mean() for part in _patches(deviation, _PATCH)])
    features = np.concatenate(found, axis=1)
    return features[sharpness >= _SHARP * sharpness.max()] if sharp and sharpness is not None else features


def _patches(values: np.ndarray, side: int) -> list[np.ndarray]:
    rows, columns = (range(0, length - side + 1, side) for length in values.shape)
    return [values[top : top + side, left : left + side] for top in rows for left in columns]


def _statistics(part: np.ndarray) -> list[float]:
    shape, left, right = _fitted(part)
    found = [shape, (left**2 + right**2) / 2]
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        product = part * np.roll(part, (down, across), (0, 1))
        shape, left, right = _fitted(product)
        centre = (right - left) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
        found += [shape, centre, left**2, right**2]
    return found


def _fitted(values: np.ndarray) -> tuple[float, float, float]:
    """Shape and both scales of an asymmetric generalised Gaussian, by moments (Lasmar et al., ICIP 2009)."""
    left = np.sqrt(np.square(values[values < 0]).mean()) if (values < 0).any() else 1e-6
    right = np.sqrt(np.square(values[values > 0]).mean()) if (values > 0).any() else 1e-6
    side = left / max(right, 1e-6)
    ratio = np.abs(values).mean() ** 2 / max(np.square(values).mean(), 1e-12)
    asymmetric = ratio * (side**3 + 1) * (side + 1) / (side**2 + 1) ** 2
    return float(_SHAPES[np.argmin(np.square(_RATIOS - asymmetric))]), float(left), float(right)
