"""What the compiled search knows of a skin over a box: the nodes of a table, and expansions about each of them.

Pixel and skin are compared in few coordinates, the first of them along white. About a node the coordinates of a
reflectance, and its squares, are polynomials of the distance from it, fitted by least squares to the model: with them a
pixel gets from its best node to the minimum near it without the model, and a single evaluation of the model is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebpts1
from numpy.polynomial.polynomial import polyvander

from msfit.skin.arrays import NAMESPACES
from msfit.skin.registry import Skin
from msfit.solve.kernels.numba_polynomials import ACROSS, DEGREE, TERMS, refine, terms
from msfit.solve.kernels.numba_search import FEW, RANK, coordinates, search
from msfit.solve.search import Grid, directions, stretch

# Points an axis to which expansions are fitted, and how far from the node they lie at most [nodes].
_POINTS, _REACH = 6, 0.8
# So far from its node a start may lie: a little farther than where expansions are at their best.
_FARTHEST = 1.0


@dataclass(frozen=True, eq=False)
class SearchTable:
    """All float32: `basis` (band, 1 + ACROSS), orthonormal or zero, white first; `nodes` (row, column, RANK + 3), see
    `numba_search`; what `numba_polynomials` wants to know of each node, and of the box.
    """

    basis: np.ndarray
    nodes: np.ndarray
    expansions: np.ndarray
    limits: np.ndarray
    fractions: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def over(cls, skin: Skin, grid: Grid, lower: Any, upper: Any, *, short: bool = False) -> SearchTable:
        """For a skin over the box [lower, upper], arrays (2,) of its kind, and its grid there.

        `short`: of no more than 1 + FEW bands no more coordinates are kept.
        """
        shape, low, high = grid.shape, np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        spectra = np.asarray(grid.spectra, np.float64)
        across = FEW if short and spectra.shape[1] <= 1 + FEW else ACROSS
        basis = _basis(spectra, across)

        place, last = np.stack(np.unravel_index(np.arange(len(spectra)), shape), 1), np.array(shape) - 1
        far = np.full(place.shape, _FARTHEST)
        limits = np.stack((np.maximum(-place, -far), np.minimum(last - place, far)), 2).reshape(-1, 4)
        sampled, offsets = _samples(shape)
        steps = np.concatenate([place - 1, place, place + 1, sampled.reshape(-1, 2)])
        fractions = low + (high - low) * stretch(steps / np.maximum(last, 1))
        back, here, ahead, inside = np.split(fractions, len(place) * np.arange(1, 4))
        inside = np.clip(inside, low, high)
        kind = NAMESPACES[type(lower)]
        samples = skin.reflectance(inside if kind is np else kind.asarray(inside).to(lower))
        quadratic = np.stack((here, (ahead - back) / 2, (ahead + back) / 2 - here), 2)
        arrays = (
            basis,
            _nodes(spectra @ basis, shape, min(RANK, across)),
            _expansions(shape, np.asarray(samples, np.float64) @ basis, offsets),
            limits,
            quadratic,
            here[0],
            here[-1],
        )
        return cls(*(array.astype(np.float32) for array in arrays))

    @cached_property
    def about(self) -> tuple[np.ndarray, ...]:
        """What `refine` wants to know of nodes and box."""
        return self.expansions, self.limits, self.fractions, self.lower, self.upper

    def starts(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where to descend from, of pixels (n, band) float32: pixel (start,), sorted, and fractions (start, 2)."""
        z = coordinates(pixels, self.basis)
        owner, node = search(z, len(pixels), self.nodes)
        return owner, refine(z, owner, node, *self.about)


def _basis(spectra: np.ndarray, across: int) -> np.ndarray:
    """Directions of the spectra as columns, white and others; of few bands there are fewer."""
    result = directions(spectra, min(1 + across, spectra.shape[1]))
    return np.pad(result, ((0, 0), (0, 1 + across - result.shape[1])))


def _nodes(projected: np.ndarray, shape: tuple[int, ...], rank: int) -> np.ndarray:
    """What `search` wants to know of nodes, from their coordinates."""
    white, across = projected[:, :1], projected[:, 1 : 1 + rank]
    length = np.linalg.norm(across, axis=1, keepdims=True)
    whole = np.hypot(white, length)
    return np.hstack((across / length, length / white, length / whole, white / whole)).reshape(*shape, rank + 3)


def _samples(shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Places (row, column, point, point, 2) where expansions are fitted, and distances from their nodes an axis."""
    rows, columns = (_offsets(count) for count in shape)
    places = np.empty((*shape, _POINTS, _POINTS, 2))
    places[..., 0] = (np.arange(shape[0])[:, None] + rows)[:, None, :, None]
    places[..., 1] = (np.arange(shape[1])[:, None] + columns)[None, :, None, :]
    return places, [rows, columns]


def _expansions(shape: tuple[int, ...], samples: np.ndarray, offsets: list[np.ndarray]) -> np.ndarray:
    """Polynomials (node, 1 + ACROSS + 2, TERMS) of a reflectance's coordinates and squares about each node.

    From the coordinates of samples (sample, 1 + ACROSS) at the places of `_samples`.
    """
    samples, (rows, columns) = samples.reshape(*shape, _POINTS**2, -1), offsets
    squares = samples[..., 1:] ** 2 @ np.ones((samples.shape[-1] - 1, 1))
    samples = np.concatenate((samples, squares, squares + samples[..., :1] ** 2), -1)
    # at the edges of the table points lie otherwise: few kinds of nodes, whose fits are solved once
    (rows, row), (columns, column) = (np.unique(a, axis=0, return_inverse=True) for a in (rows, columns))
    powers = np.array(terms()).T
    vander = (polyvander(a, DEGREE)[..., p] for a, p in zip((rows, columns), powers, strict=True))
    designs = np.einsum("rpt,cqt->rcpqt", *vander).reshape(len(rows), len(columns), _POINTS**2, -1)
    solved = np.linalg.pinv(designs)[row[:, None], column]
    result = np.zeros((*shape, samples.shape[-1], TERMS))
    result[..., : powers.shape[1]] = np.einsum("ijtp,ijpk->ijkt", solved, samples, optimize=True)
    return result.reshape(-1, *result.shape[2:])


def _offsets(count: int) -> np.ndarray:
    """Distances of points from their nodes along an axis of `count` nodes, within the table: (node, point)."""
    node = np.arange(count)[:, None]
    low, high = np.maximum(-node, -_REACH), np.minimum(count - 1 - node, _REACH)
    return np.asarray((low + high) / 2 + (high - low) / 2 * chebpts1(_POINTS))
