"""Pixels far above or below reflectance, fitted in units of their own.

Descents multiply squares of pixels: in single precision such products overflow above some 1e9 and underflow below 1e-9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Mean reflectance within which a pixel is fitted as it is.
LEAST, MOST = 2.0**-20, 2.0**20


def units(pixels: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Power of two (n, 1) near the mean of each pixel (n, band) that is far from one, 1 for others.

    `level` (n,) is about that mean. Division by powers of two is exact.
    """
    far = np.flatnonzero(~((level > LEAST) & (level < MOST)))
    found = np.ones(len(pixels), pixels.dtype)
    mean = np.abs(pixels[far]).mean(1, dtype=np.float64)
    found[far] = np.exp2(np.rint(np.log2(np.where((mean > 0) & np.isfinite(mean), mean, 1)))).astype(pixels.dtype)
    return found[:, None]


def units_of_tensor(pixels: Any) -> Any:
    """The same of a torch tensor (n, 1), without looking at what comes out: a GPU does not wait."""
    import torch

    mean = pixels.abs().mean(1, keepdim=True)
    far = torch.isfinite(mean) & (mean > 0) & ((mean < LEAST) | (mean > MOST))
    return torch.exp2(torch.log2(torch.where(far, mean, torch.ones_like(mean))).round())
