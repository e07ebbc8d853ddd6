"""JPEG's quality read from the pixels of a picture that was packed and unpacked, and is still in its own pixels.

The cosine transform of its 8 x 8 blocks lies on multiples of the steps of quantisation. Of all qualities of libjpeg the
lowest is taken whose steps fit.

Z. Fan, R. L. de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer estimation", IEEE
Trans. Image Process. 12, 2003. Steps: ISO/IEC 10918-1, annex K.1, and jcparam.c of the Independent JPEG Group.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

_SIDE = 8
#: The first rows and columns of table K.1 (luminance), by (row, column) of the block; quality 50.
STEPS = {(0, 1): 11, (1, 0): 12, (0, 2): 10, (1, 1): 12, (2, 0): 14, (0, 3): 16, (1, 2): 14, (2, 1): 13, (3, 0): 14}
_LUMA = np.array([0.299, 0.587, 0.114])
_LEAST, _MOST = 5, 95
# Mean cosine of coefficients against a step: 1 on its multiples, 0 anywhere. Rounding leaves 0.8 of it at steps of 2.
_FITS, _FEWEST = 0.6, 60
# Qualities above the first that fits, of which the best is taken.
_NEIGHBOURS = 6
# So much of a picture is looked at [pixels along a side].
_LOOKED_AT = 768


def measured_quality(rgb: np.ndarray) -> float | None:
    """Quality of the JPEG that a picture, uint8 (y, x, 3), was; None where its pixels lie on no grid of steps.

    Examples
    --------
    >>> import numpy as np
    >>> measured_quality(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)) is None
    True
    """
    if rgb.dtype != np.uint8:
        return None
    top, left = (max(0, (length - _LOOKED_AT) // 2) // _SIDE * _SIDE for length in rgb.shape[:2])
    luma = rgb[top : top + _LOOKED_AT, left : left + _LOOKED_AT] @ _LUMA - 128
    high, wide = (length // _SIDE for length in luma.shape)
    if high * wide < _FEWEST:
        return None
    blocks = luma[: high * _SIDE, : wide * _SIDE].reshape(high, _SIDE, wide, _SIDE)
    found = fft.dctn(blocks, axes=(1, 3), norm="ortho")
    # blocks that clip are not what was packed
    whole = (np.abs(blocks) < 126).all(axis=(1, 3))
    columns = {place: found[:, place[0], :, place[1]][whole] for place in STEPS}
    fits = {}
    for quality in range(_LEAST, _MOST + 1):
        fits[quality] = _fit(columns, quality)
        first = next((one for one, fit in fits.items() if fit > _FITS), None)
        # steps of neighbouring qualities fit nearly as well
        if first is not None and quality >= first + _NEIGHBOURS:
            break
    if first is None:
        return None
    return float(max((one for one in fits if one >= first), key=fits.__getitem__))


def _fit(columns: dict[tuple[int, int], np.ndarray], quality: int) -> float:
    """Mean cosine of coefficients, by place in the block, against the steps of a quality."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    cosines = []
    for place, values in columns.items():
        step = float(np.clip((STEPS[place] * scale + 50) // 100, 1, 255))
        if step >= 2:
            cosines.append(np.cos(2 * np.pi / step * values[np.abs(values) > 0.5 * step]))
    together = np.concatenate(cosines) if cosines else np.zeros(0)
    return float(together.mean()) if len(together) >= _FEWEST else 0.0
