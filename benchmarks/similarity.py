"""Similarity of pictures beyond PSNR and SSIM: MS-SSIM and GMSD, display values (y, x, 3) in 0..1.

Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003;
W. Xue et al., "Gradient magnitude similarity deviation", IEEE TIP 23(2), 2014. Own code, of a few lines:
piq, which has both, loads torchvision.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate, gaussian_filter

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2, _C = 0.01**2, 0.03**2, 170 / 255**2
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_PREWITT = np.array([[1, 0, -1]] * 3) / 3


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Of luminance: 1 for equal pictures."""
    a, b = first @ _LUMINANCE, second @ _LUMINANCE
    product = 1.0
    for number, weight in enumerate(_WEIGHTS):
        mean_a, mean_b = (gaussian_filter(one, 1.5, truncate=3.5) for one in (a, b))
        spread_a = gaussian_filter(a * a, 1.5, truncate=3.5) - mean_a**2
        spread_b = gaussian_filter(b * b, 1.5, truncate=3.5) - mean_b**2
        both = gaussian_filter(a * b, 1.5, truncate=3.5) - mean_a * mean_b
        structure = (2 * both + _C2) / (spread_a + spread_b + _C2)
        if number == len(_WEIGHTS) - 1:
            structure = structure * (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
        product *= max(float(structure.mean()), 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return product


def gmsd(first: np.ndarray, second: np.ndarray) -> float:
    """Of luminance: 0 for equal pictures."""
    slopes = []
    for one in (first, second):
        grey = _halved(one @ _LUMINANCE)
        slopes.append(np.hypot(correlate(grey, _PREWITT), correlate(grey, _PREWITT.T)))
    same = (2 * slopes[0] * slopes[1] + _C) / (slopes[0] ** 2 + slopes[1] ** 2 + _C)
    return float(same.std())


def _halved(values: np.ndarray) -> np.ndarray:
    rows, columns = (length // 2 * 2 for length in values.shape)
    return np.asarray(values[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)))
