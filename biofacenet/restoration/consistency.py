"""A restored picture held to the photograph it was made of: least squares behind a known degradation.

Of all pictures x the one is taken that is close to what the network restored, and whose degraded version is close to
the photograph, each as far as it can be trusted:

``min |H x - y|^2 / n^2 + |x - x_net|^2 / e(f)^2``, so ``x = x_net + H / (H^2 + n^2 / e(f)^2) (y - H x_net)``

in the frequencies f of the cosine transform, where H is the Gaussian that stands for blur and sampling, n the
photograph's noise and e(f) the network's error, which grows towards low frequencies: colours over large areas are the
photograph's. Light adds up where it is linear, and so does blur.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from biofacenet.restoration.degradation import Degradation

#: Below this many cycles over the width of a face the photograph's colours are kept, whatever its noise.
HELD_CYCLES = 3.0
# Noise over the network's error at high frequencies: one step of 255 of noise, and one of JPEG quality lost, count so
# much [ratio of powers]; what stands against a photograph without either.
_BY_NOISE, _BY_JPEG, _LEAST = 0.2, 0.05, 1.0
# H below this supports nothing.
_SUPPORT = 0.2


def held(
    restored: np.ndarray, photograph: np.ndarray, degradation: Degradation, width: float, hole: np.ndarray | None = None
) -> np.ndarray:
    """The restored picture, linear RGB (y, x, 3), held to the photograph.

    Parameters
    ----------
    restored, photograph : float32 array (y, x, 3)
        Linear RGB, of one size.
    degradation : Degradation
        Of the photograph.
    width : float
        Of the face, or of what takes its place [pixels].
    hole : float array (y, x), optional
        1 where the photograph holds nothing, so that it is not held to anything there.
    """
    height, across = restored.shape[:2]
    rows, columns = (np.arange(length, dtype=np.float32) / (2 * length) for length in (height, across))
    square = rows[:, None] ** 2 + columns[None] ** 2  # (cycles per pixel)^2
    passed = np.exp(-2 * np.pi**2 * degradation.spread**2 * square, dtype=np.float32)
    doubt = _LEAST + (_BY_NOISE * degradation.noise) ** 2 / 16 + _BY_JPEG * (100 - degradation.quality)
    rising = square * (width / HELD_CYCLES) ** 2
    gain = passed / (passed**2 + doubt * rising)
    gain[passed < _SUPPORT] = 0
    made = np.empty_like(restored)
    for channel in range(restored.shape[2]):
        seen = fft.dctn(restored[..., channel], norm="ortho", overwrite_x=False)
        blurred = fft.idctn(passed * seen, norm="ortho")
        missed = photograph[..., channel] - blurred
        if hole is not None:
            missed = (1 - hole) * missed
        made[..., channel] = restored[..., channel] + fft.idctn(gain * fft.dctn(missed, norm="ortho"), norm="ortho")
    return made


def unsupported(restored: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Detail (y, x) that the degradation would have taken away: what of a picture's luminance is finer than that."""
    grey = restored @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    height, across = grey.shape
    rows, columns = (np.arange(length, dtype=np.float32) / (2 * length) for length in (height, across))
    square = rows[:, None] ** 2 + columns[None] ** 2
    lost = 1 - np.exp(-2 * np.pi**2 * degradation.spread**2 * square, dtype=np.float32)
    return np.asarray(fft.idctn(lost * fft.dctn(grey, norm="ortho"), norm="ortho"))
