"""The model as polynomials on cells of its parameters' box, with a bound of what they leave out.

The directions g(f) = r(f) / |r(f)| that reflectance takes are all that matters to a fit whose shadings are free. On a
cell, in its own coordinates x, y in [-1, 1],

    g(f) = sum over i + j <= 3 of c_ij x^i y^j + R(x, y),   |R| <= remainder.

The coefficients come from interpolation at 7 x 7 Chebyshev points. The remainder is the length of all the Chebyshev
coefficients that are left out, plus a multiple of the last two shells of them for what the interpolation cannot see:
that last part rests on the coefficients of a smooth model falling off geometrically (L. N. Trefethen, Approximation
Theory and Approximation Practice, SIAM 2013, theorems 8.2 and 16.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin

# Exponents (i, j) of the ten monomials, in the order in which their coefficients are stored.
POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
_DEGREE = 6
# What the interpolation does not see is at most its last two shells of coefficients times this.
_SAFETY = 4.0
# Directions bend most where there is little pigment: cells lie at s(t) = t (t + a) / (1 + a) of the box, t uniform.
_BEND = 0.1
_LEVELS = (1, 2, 4, 8, 16, 32, 64)  # the whole box, and halvings of it
_FOR_BASIS = 3  # the level whose coefficients the basis is made for
_CELLS_AT_ONCE = 512
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
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor, compressed: bool) -> Patches:
        """Patches of a skin (float64, CPU) over the box [lower, upper], tensors (2,); `compressed`: in few coordinates.

        An axis of no width has one row of cells.
        """
        width = upper - lower
        free = [w > 0 for w in width.tolist()]
        shapes = tuple((n if free[0] else 1, n if free[1] else 1) for n in _LEVELS)
        middle = _coefficients(skin, lower, width, shapes[_FOR_BASIS], slice(None))
        bands = middle.shape[-1]
        basis = _basis(middle.reshape(-1, bands)) if compressed else np.eye(bands)
        basis = np.pad(basis, ((0, 0), (0, -basis.shape[1] % _LANES)))
        outside, parts, remainders = 0.0, [], []
        for shape in shapes:
            cells = shape[0] * shape[1]
            for start in range(0, cells, _CELLS_AT_ONCE):
                found = _coefficients(skin, lower, width, shape, slice(start, min(start + _CELLS_AT_ONCE, cells)))
                kept, left_out, unseen = _cubic(found)
                parts.append(kept @ basis)
                remainders.append(left_out + unseen)
                if compressed and shape == shapes[-1]:
                    beyond = np.linalg.norm(found - (found @ basis) @ basis.T, axis=-1).sum((1, 2))
                    outside = max(outside, float((beyond + unseen).max()))
        coefficients, white = torch.from_numpy(np.concatenate(parts)), torch.from_numpy(basis.sum(0))
        # a part of a cell takes up to three times a cubic term into its square ones
        bends = coefficients[:, 3:6].norm(dim=2).sum(1) + 4 * coefficients[:, 6:].norm(dim=2).sum(1)
        return cls(
            lower,
            width,
            torch.from_numpy(basis) if compressed else None,
            white,
            outside,
            shapes,
            coefficients,
            torch.from_numpy(np.concatenate(remainders)),
            products(coefficients, white, torch.ones_like(white)),
            bends,
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


def products(coefficients: Tensor, white: Tensor, weights: Tensor) -> Tensor:
    """Weighted products of tangent planes (..., 3, k): 00, 01, 02, 11, 12, 22 and those with white, (..., 9)."""
    plane = coefficients[..., :3, :]
    weighted = plane * weights.unsqueeze(-2)
    square = weighted @ plane.transpose(-1, -2)
    rows, columns = torch.triu_indices(3, 3, device=plane.device)
    return torch.cat((square[..., rows, columns], weighted @ white), -1)


def _stretch(t: Any) -> Any:
    return t * (t + _BEND) / (1 + _BEND)


def _coefficients(skin: Skin, lower: Tensor, width: Tensor, shape: tuple[int, int], cells: slice) -> np.ndarray:
    """Chebyshev coefficients (cell, 7, 7, band) of some cells of a level, rows along the first parameter."""
    rows, columns = np.divmod(np.arange(shape[0] * shape[1])[cells], shape[1])
    axes, transforms = [], []
    for index, count, size in ((rows, shape[0], float(width[0])), (columns, shape[1], float(width[1]))):
        points, transform = _chebyshev(_DEGREE if size > 0 else 0)
        axes.append(torch.from_numpy(_stretch((index[:, None] + (points + 1) / 2) / count)))
        transforms.append(transform)
    first, second = (low + size * axis for low, size, axis in zip(lower, width, axes, strict=True))
    grid = torch.stack(
        torch.broadcast_tensors(first[:, :, None], second[:, None, :]), -1
    )  # (cell, node, node, parameter)
    spectra = skin.reflectance(grid).numpy()
    directions = spectra / np.linalg.norm(spectra, axis=-1, keepdims=True)
    along = np.tensordot(transforms[0], directions, (1, 1)).swapaxes(0, 1)
    found = np.tensordot(transforms[1], along, (1, 2)).transpose(1, 2, 0, 3)
    full = np.zeros((found.shape[0], _DEGREE + 1, _DEGREE + 1, found.shape[-1]))
    full[:, : found.shape[1], : found.shape[2]] = found
    return full


def _chebyshev(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points (degree + 1,) and the matrix that takes values there to coefficients."""
    orders = np.arange(degree + 1)
    angles = np.pi * (orders + 0.5) / (degree + 1)
    transform = 2 / (degree + 1) * np.cos(np.outer(orders, angles))
    transform[0] /= 2
    return np.cos(angles), transform


def _cubic(chebyshev: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of monomials up to the third degree, (cell, 10, band); the lengths left out and unseen, (cell,)."""
    orders = np.add.outer(np.arange(_DEGREE + 1), np.arange(_DEGREE + 1))
    last = np.maximum.outer(np.arange(_DEGREE + 1), np.arange(_DEGREE + 1)) >= _DEGREE - 1
    lengths = np.linalg.norm(chebyshev, axis=-1)
    left_out, unseen = (lengths * (orders > 3)).sum((1, 2)), _SAFETY * (lengths * last).sum((1, 2))
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
    return np.stack(kept, 1), left_out, unseen


def _basis(coefficients: np.ndarray) -> np.ndarray:
    """Orthonormal columns (band, k): white, then the main directions of a model, until nearly all of it is held."""
    bands = coefficients.shape[1]
    white = np.full((bands, 1), bands**-0.5)
    centred = coefficients - (coefficients @ white) @ white.T
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    # the longest row that is left out, in all the directions from each one on
    left = np.sqrt(((centred @ directions.T) ** 2)[:, ::-1].cumsum(1)[:, ::-1].max(0))
    count = min(-(-(1 + int((left > _OUTSIDE / 3).sum())) // _LANES) * _LANES, bands)
    return np.linalg.qr(np.concatenate((white, directions[: count - 1].T), 1))[0]
