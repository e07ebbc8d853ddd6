"""The reflectance of a few channels as polynomials of the pigments, piece by piece: what single precision can tell.

A channel is a sum of the model at many wavelengths, but a smooth function of two pigments. On cells of the box,
narrower where pigment is little, it is a polynomial of total degree `DEGREE` in where along both axes of its cell a
point lies, by least squares over Chebyshev's points; of as many cells as bring every channel within `TOLERANCE` of the
model between these points. A descent then reads one cell's polynomials where it would evaluate the model at 30 to 60
wavelengths.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.chebyshev import chebpts1
from numpy.polynomial.polynomial import polyvander

from msfit.skin.layers import Constants
from msfit.skin.registry import Skin

#: Terms u^a v^b with a + b <= DEGREE, b running first; `numba_descent` is written out for so many.
DEGREE, TERMS = 7, 36
#: Channels whose polynomials are evaluated together.
ABREAST = 8
#: Largest error of a channel [reflectance]; that of its integrals comes on top (`msfit.skin.channels`).
TOLERANCE = 2.5e-7
#: Of more channels than this polynomials are not read faster than the model is evaluated.
MOST = 48
#: Cells end at s(u) = u (u + BEND) / (1 + BEND) of the box, u uniform.
BEND = 0.05
# Numbers of cells along f_mel and f_blood that are tried: only where there is hardly any blood are many needed.
_CELLS = ((8, 8), (8, 12), (8, 16), (8, 24), (12, 32))


_Cells = tuple[int, int]


def interpolated(form: Constants, skin: Skin, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Coefficients (cell, cell, eight channels, TERMS * ABREAST) over the box [lower, upper], (2,) float64 each.

    Cells along f_mel, then along f_blood; of each term those of eight channels, zero beyond the last. In a cell u and v
    run from -1 to 1. Empty, in the type of the constants, of bands, of many channels, in double precision, where a
    pigment is held, and where no number of cells does.
    """
    none = np.empty((0, 0, 0, 0), form.spectra.dtype)
    if not 0 < len(form.mixing) <= MOST or none.dtype != np.float32 or not (upper > lower).all():
        return none
    inside, between = chebpts1(DEGREE + 1), np.linspace(-1, 1, DEGREE + 2)
    solved = np.linalg.pinv(_powers(inside, inside))
    for cells in _CELLS:
        if _error(skin, solved, cells, (cells[0], 1), between, lower, upper) > TOLERANCE:
            continue  # where the model bends most
        if _error(skin, solved, cells, cells, between[::4], lower, upper) <= TOLERANCE:
            fitted = solved @ skin.reflectance(_places(cells, cells, inside, lower, upper))
            groups = -(-fitted.shape[2] // ABREAST)
            padded = np.pad(fitted, ((0, 0), (0, 0), (0, groups * ABREAST - fitted.shape[2])))
            parts = padded.reshape(*cells, TERMS, groups, ABREAST).transpose(0, 1, 3, 2, 4)
            return np.ascontiguousarray(parts.reshape(*cells, groups, -1), np.float32)
    return none


def _error(
    skin: Skin,
    solved: np.ndarray,
    cells: _Cells,
    some: _Cells,
    points: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> float:
    """Largest error at points of the first cells along both axes, `some` of all."""
    fitted = solved @ skin.reflectance(_places(cells, some, chebpts1(DEGREE + 1), lower, upper))
    there = skin.reflectance(_places(cells, some, points, lower, upper))
    return float(np.abs(_powers(points, points) @ fitted - there).max())


def _places(cells: _Cells, some: _Cells, points: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Pigments (cell, point * point, 2) at the same points of the first cells along both axes, `some` of all."""
    axes = []
    for count, first, low, high in zip(cells, some, lower, upper, strict=True):
        u = (np.arange(first)[:, None] + (points + 1) / 2) / count
        axes.append(np.clip(low + (high - low) * u * (u + BEND) / (1 + BEND), low, high))
    x = np.empty((*some, len(points), len(points), 2))
    x[..., 0], x[..., 1] = axes[0][:, None, :, None], axes[1][None, :, None, :]
    return x.reshape(some[0] * some[1], -1, 2)


def _powers(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Terms at all pairs of points: (u * v, TERMS)."""
    along, across = polyvander(u, DEGREE), polyvander(v, DEGREE)
    exponents = [(a, b) for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)]
    return np.stack([np.outer(along[:, a], across[:, b]).ravel() for a, b in exponents], 1)
