"""The model as polynomials on cells of its parameters' box, with a bound of what they leave out.

The directions g(f) = r(f) / |r(f)| that reflectance takes are all that matters to a fit whose shadings are free. On a
cell, in its own coordinates x, y in [-1, 1],

    g(f) = sum over i + j <= 3 of c_ij x^i y^j + R(x, y),   |R| <= remainder.

The coefficients come from interpolation at Chebyshev points: 7 x 7 in each of the coarse cells, 11 x 11 in each of 16 x
16, whose polynomials hold on the finer cells too, exactly. So the model is evaluated at 35,000 points, however many
cells there are, and all else is done in few coordinates. The remainder is the length of all the Chebyshev coefficients
that are left out, plus a multiple of the last two shells of them for what the interpolation cannot see: that last part
rests on the coefficients of a smooth model falling off geometrically (L. N. Trefethen, Approximation Theory and
Approximation Practice, SIAM 2013, theorems 8.2 and 16.1).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin

# Exponents (i, j) of the ten monomials, in the order in which their coefficients are stored.
POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
_DEGREE = 6
# Cells of this level and finer ones have the polynomials of its cells, of a higher degree.
_SHARED_LEVEL, _SHARED_DEGREE = 4, 10
# What the interpolation does not see is at most its last two shells of coefficients times this.
_SAFETY = 4.0
# Directions bend most where there is little pigment: cells lie at s(t) = t (t + a) / (1 + a) of the box, t uniform.
# With a = 0.1 the remainder next to f_blood = 0 was too long under msfit-issa-2026 to prove anything there.
_BEND = 0.05
_LEVELS = (1, 2, 4, 8, 16, 32, 64)  # the whole box, and halvings of it
_FOR_BASIS = 3  # the level whose coefficients the basis is made for
_SAMPLES_AT_ONCE = 2**18  # of spectra at nodes: two megabytes, which stay in a core's cache
_BY_BAND_MOST = 2**24  # numbers in coefficients by bands, 128 MiB: levels that do not fit are left out
_SKETCH = 128  # random mixtures that span what all coefficients of a model do
# Length of a direction that may lie outside the basis: it costs the bound as much of the pixel's length at most.
_OUTSIDE = 2e-7
_LANES = 8  # coordinates are padded to a multiple, so that loops over them have no remainder


@dataclass(frozen=True, eq=False)
class Patches:
    """Directions of a model on levels of ever smaller cells.

    `lower`, `width` (2,) float64 of the box; `basis` (band, k) with orthonormal columns, zero ones at the end, or None
    where coordinates are the bands themselves; `white` (k,): the spectrum of ones; `outside`: the greatest length of a
    direction outside the basis; `shapes`: (rows, columns) of each level; `coefficients` (cell, 10, k) and `remainder`
    (cell,), levels one after another, the coarsest first, rows along f_mel; `products` (cell, 9) of a cell's centre and
    its slopes with each other and with white; `bends` (cell,): how far a cell is from its tangent plane at most.
    """

    lower: Tensor
    width: Tensor
    basis: Tensor | None
    white: Tensor
    outside: float
    shapes: tuple[tuple[int, int], ...]
    coefficients: Tensor
    remainder: Tensor
    products: Tensor
    bends: Tensor

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> Patches:
        """Patches of a skin (float64, CPU) over the box [lower, upper], tensors (2,), in few coordinates.

        An axis of no width has one row of cells.
        """
        width = upper - lower
        free = [w > 0 for w in width.tolist()]
        shapes = tuple((n if free[0] else 1, n if free[1] else 1) for n in _LEVELS)
        middle = [
            found.reshape(-1, found.shape[-1]) for _, found in _pieces(skin, lower, width, shapes[_FOR_BASIS], _DEGREE)
        ]
        basis = _basis(np.concatenate(middle))
        basis = np.pad(basis, ((0, 0), (0, -basis.shape[1] % _LANES)))
        coarse = [_projected(skin, lower, width, shape, _DEGREE, basis) for shape in shapes[:_SHARED_LEVEL]]
        shared = _projected(skin, lower, width, shapes[_SHARED_LEVEL], _SHARED_DEGREE, basis)
        levels = [_cubic(found.chebyshev, found.unseen) for found in coarse]
        levels += [_restricted(shared, shapes[_SHARED_LEVEL], shape) for shape in shapes[_SHARED_LEVEL:]]
        kept, remainders = zip(*levels, strict=True)
        coefficients, white = torch.from_numpy(np.concatenate(kept)), torch.from_numpy(basis.sum(0))
        # a part of a cell takes up to three times a cubic term into its square ones
        bends = coefficients[:, 3:6].norm(dim=2).sum(1) + 4 * coefficients[:, 6:].norm(dim=2).sum(1)
        return cls(
            lower,
            width,
            torch.from_numpy(basis),
            white,
            float(shared.beyond.max()),
            shapes,
            coefficients,
            torch.from_numpy(np.concatenate(remainders)),
            products(coefficients, white, torch.ones_like(white)),
            bends,
        )

    def by_band(self) -> Patches:
        """The same with the bands as coordinates, in which weights are diagonal; of many bands on fewer levels."""
        if self.basis is None:
            return self
        bands = self.basis.shape[0]
        levels, cells = _levels_by_band(self.shapes, bands)
        pad = (0, -bands % _LANES)
        basis = torch.nn.functional.pad(self.basis.T, pad)
        white = torch.nn.functional.pad(torch.ones_like(self.basis[:, 0]), pad)
        parts: dict[str, Any] = {name: getattr(self, name)[:cells] for name in ("products", "bends")}
        return replace(
            self,
            basis=None,
            white=white,
            outside=0.0,
            shapes=self.shapes[:levels],
            coefficients=self.coefficients[:cells] @ basis,
            remainder=self.remainder[:cells] + self.outside,
            **parts,
        )

    def to(self, device: torch.device) -> Patches:
        """The same patches in another place."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def fractions(self, positions: Tensor) -> Tensor:
        """Parameters (n, 2) at positions (n, 2) in [0, 1] along the rows and columns of cells."""
        return self.lower + self.width * _stretch(positions)

    def padded(self, spectra: Tensor) -> Tensor:
        """Spectra (n, band) with as many coordinates as the patches where these are the bands themselves."""
        missing = self.white.numel() - spectra.shape[1]
        return spectra if self.basis is not None or missing == 0 else torch.nn.functional.pad(spectra, (0, missing))


@dataclass(frozen=True)
class _Polynomials:
    """Of the cells of a level: Chebyshev coefficients (cell, i, j, k) of any degree in the basis, rows along f_mel;
    lengths (cell,) of what the interpolation does not see, and, with that, of what lies outside the basis."""

    chebyshev: np.ndarray
    unseen: np.ndarray
    beyond: np.ndarray


def by_band_bytes(bands: int) -> int:
    """Bytes that `Patches.by_band` takes at most."""
    return 8 * len(POWERS) * (bands + _LANES) * _levels_by_band(tuple((n, n) for n in _LEVELS), bands)[1]


def _levels_by_band(shapes: tuple[tuple[int, int], ...], bands: int) -> tuple[int, int]:
    """How many levels, of how many cells in all, there is room for with bands as coordinates."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    levels = max(1, int((ends * len(POWERS) * (bands + -bands % _LANES) <= _BY_BAND_MOST).sum()))
    return levels, int(ends[levels - 1])


def products(coefficients: Tensor, white: Tensor, weights: Tensor) -> Tensor:
    """Weighted products of tangent planes (..., 3, k): 00, 01, 02, 11, 12, 22 and those with white, (..., 9)."""
    plane = coefficients[..., :3, :]
    weighted = plane * weights.unsqueeze(-2)
    square = weighted @ plane.transpose(-1, -2)
    rows, columns = torch.triu_indices(3, 3, device=plane.device)
    return torch.cat((square[..., rows, columns], weighted @ white), -1)


def _stretch(t: Any) -> Any:
    return t * (t + _BEND) / (1 + _BEND)


def _pieces(
    skin: Skin, lower: Tensor, width: Tensor, shape: tuple[int, int], degree: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Chebyshev coefficients (cell, i, j, band) of the cells of a level, few at a time."""
    cells = shape[0] * shape[1]
    bands = skin.reflectance(lower).numel()
    step = max(1, _SAMPLES_AT_ONCE // ((degree + 1) ** 2 * bands))
    for start in range(0, cells, step):
        piece = slice(start, min(start + step, cells))
        yield piece, _coefficients(skin, lower, width, shape, piece, degree)


def _projected(
    skin: Skin, lower: Tensor, width: Tensor, shape: tuple[int, int], degree: int, basis: np.ndarray
) -> _Polynomials:
    cells, last = shape[0] * shape[1], np.maximum.outer(*[np.arange(degree + 1)] * 2) >= degree - 1
    chebyshev = np.empty((cells, degree + 1, degree + 1, basis.shape[1]))
    unseen, beyond = np.empty(cells), np.empty(cells)
    for piece, found in _pieces(skin, lower, width, shape, degree):
        inside = _times(found, basis)
        chebyshev[piece] = inside
        unseen[piece] = _SAFETY * (np.linalg.norm(found, axis=-1) * last).sum((1, 2))
        found -= _times(inside, basis.T)
        beyond[piece] = np.linalg.norm(found, axis=-1).sum((1, 2)) + unseen[piece]
    return _Polynomials(chebyshev, unseen, beyond)


def _restricted(coarse: _Polynomials, shape: tuple[int, int], finer: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What `_cubic` makes of the same polynomials in the coordinates of a finer level's cells."""
    degree = coarse.chebyshev.shape[1] - 1
    rows, columns = (_halved(degree, fine // few) for few, fine in zip(shape, finer, strict=True))
    kept = np.empty((shape[0], len(rows), shape[1], len(columns), len(POWERS), coarse.chebyshev.shape[-1]))
    remainder = np.empty(kept.shape[:4])
    for (p, row), (q, column) in itertools.product(enumerate(rows), enumerate(columns)):
        along = np.matmul(row, coarse.chebyshev.reshape(len(coarse.unseen), degree + 1, -1))
        found = np.matmul(column, along.reshape(coarse.chebyshev.shape))
        some, left = _cubic(found, coarse.unseen)
        kept[:, p, :, q], remainder[:, p, :, q] = some.reshape(*shape, *some.shape[1:]), left.reshape(shape)
    return kept.reshape(-1, *kept.shape[4:]), remainder.ravel()


def _times(spectra: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One product of matrices, not one for each of the leading axes."""
    return (spectra.reshape(-1, spectra.shape[-1]) @ matrix).reshape(*spectra.shape[:-1], -1)


def _halved(degree: int, parts: int) -> list[np.ndarray]:
    """Matrices that take Chebyshev coefficients on [-1, 1] to those on each of so many equal parts of it."""
    points, transform = _chebyshev(degree)
    middles = (2 * np.arange(parts) + 1) / parts - 1
    return [transform @ np.polynomial.chebyshev.chebvander(middle + points / parts, degree) for middle in middles]


def _coefficients(
    skin: Skin, lower: Tensor, width: Tensor, shape: tuple[int, int], cells: slice, degree: int
) -> np.ndarray:
    """Chebyshev coefficients (cell, i, j, band) of some cells of a level, rows along the first parameter."""
    rows, columns = np.divmod(np.arange(shape[0] * shape[1])[cells], shape[1])
    axes, transforms = [], []
    for index, count, size in ((rows, shape[0], float(width[0])), (columns, shape[1], float(width[1]))):
        points, transform = _chebyshev(degree if size > 0 else 0)
        axes.append(torch.from_numpy(_stretch((index[:, None] + (points + 1) / 2) / count)))
        transforms.append(transform)
    first, second = (low + size * axis for low, size, axis in zip(lower, width, axes, strict=True))
    grid = torch.stack(
        torch.broadcast_tensors(first[:, :, None], second[:, None, :]), -1
    )  # (cell, node, node, parameter)
    directions = skin.reflectance(grid).numpy()
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    cells_, *nodes, bands = directions.shape
    along = np.matmul(transforms[0], directions.reshape(cells_, nodes[0], -1)).reshape(directions.shape)
    full = np.zeros((cells_, degree + 1, degree + 1, bands))
    full[:, : nodes[0], : nodes[1]] = np.matmul(transforms[1], along)
    return full


def _chebyshev(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points (degree + 1,) and the matrix that takes values there to coefficients."""
    orders = np.arange(degree + 1)
    angles = np.pi * (orders + 0.5) / (degree + 1)
    transform = 2 / (degree + 1) * np.cos(np.outer(orders, angles))
    transform[0] /= 2
    return np.cos(angles), transform


def _cubic(chebyshev: np.ndarray, unseen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of monomials up to the third degree, (cell, 10, k), and the length of the remainder, (cell,)."""
    orders = np.add.outer(*[np.arange(chebyshev.shape[1])] * 2)
    left_out = (np.linalg.norm(chebyshev, axis=-1) * (orders > 3)).sum((1, 2))
    c = chebyshev
    kept = (
        c[:, 0, 0] - c[:, 2, 0] - c[:, 0, 2],
        c[:, 1, 0] - 3 * c[:, 3, 0] - c[:, 1, 2],
        c[:, 0, 1] - 3 * c[:, 0, 3] - c[:, 2, 1],
        2 * c[:, 2, 0],
        c[:, 1, 1],
        2 * c[:, 0, 2],
        4 * c[:, 3, 0],
        2 * c[:, 2, 1],
        2 * c[:, 1, 2],
        4 * c[:, 0, 3],
    )
    return np.stack(kept, 1), left_out + unseen


def _basis(coefficients: np.ndarray) -> np.ndarray:
    """Orthonormal columns (band, k): white, then the main directions of a model, until nearly all of it is held."""
    count, bands = coefficients.shape
    white = np.full((bands, 1), bands**-0.5)
    centred = coefficients - (coefficients @ white) @ white.T
    if bands > _SKETCH:  # random mixtures of the rows span the same space, and are few (Halko et al., SIAM Rev. 2011)
        mixtures = np.random.default_rng(0).standard_normal((_SKETCH, count)) @ centred
        span = np.linalg.qr(mixtures.T)[0]
    else:
        span = np.eye(bands)
    seen = centred @ span
    _, _, directions = np.linalg.svd(seen, full_matrices=False)
    # the longest row that is left out, in all the directions from each one on
    left = np.sqrt(((seen @ directions.T) ** 2)[:, ::-1].cumsum(1)[:, ::-1].max(0))
    wanted = min(-(-(1 + int((left > _OUTSIDE / 3).sum())) // _LANES) * _LANES, bands)
    return np.linalg.qr(np.concatenate((white, span @ directions[: wanted - 1].T), 1))[0]
