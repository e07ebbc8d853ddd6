"""Global search: the objective at every node of a grid over the box, and from where to descend.

Written for numpy arrays and torch tensors alike; `kernels.numba_search` is the same for a CPU where bands count alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.skin.arrays import NAMESPACES
from msfit.skin.registry import Skin
from msfit.solve.problem import NON_NEGATIVE, Prior, ShadingBounds, bounded_pair
from msfit.solve.tolerances import BEND, MOST_STARTS, NODES, PLATEAU

# Pixels that are compared with the nodes together: on a CPU what is computed of them stays in its cache.
_STRIP, _STRIP_GPU = 1024, 2**18


def stretch(u: Any) -> Any:
    """Where in its span a node lies whose number is the share u of the last one's."""
    return u * (u + BEND) / (1 + BEND)


def lattice(axes: Sequence[Any]) -> np.ndarray:
    """All combinations (node, axis) of positions along some axes, the last axis running first."""
    return np.array(list(itertools.product(*axes)))


def directions(spectra: np.ndarray, count: int) -> np.ndarray:
    """Orthonormal directions (band, count): white, then those in which spectra (n, band) of skin differ most."""
    white = np.full((spectra.shape[1], 1), spectra.shape[1] ** -0.5)
    # dark skin counts as much as bright skin: any may be lit by any i_d
    unit = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    centred = unit - (unit @ white) @ white.T
    longest = np.linalg.eigh(centred.T @ centred)[1][:, :-count:-1]
    # where a direction is as short as rounding, it may have parts of white in it
    orthonormal = np.linalg.qr(np.hstack((white, longest)))[0]
    orthonormal[:, :1] = white
    return orthonormal


@dataclass(frozen=True, eq=False)
class Grid:
    """Reflectance on a grid over the box of pigments: x (node, 2), spectra (node, band), and `shape`, nodes an axis."""

    x: Any
    spectra: Any
    shape: tuple[int, ...]

    @classmethod
    def over(cls, skin: Skin, lower: Any, upper: Any, nodes: int = NODES) -> Grid:
        """For a skin over the box [lower, upper], arrays (2,) of its kind. An axis of no width has one node.

        Raises
        ------
        InputError
            The model is not defined (not finite and positive) somewhere in the box.
        """
        xp, width = NAMESPACES[type(lower)], upper - lower
        shape = tuple(nodes if w > 0 else 1 for w in width.tolist())
        u = lattice([np.linspace(0, 1, count) for count in shape])
        u = u.astype(lower.dtype) if xp is np else xp.asarray(u).to(lower)
        x = lower + width * stretch(u)
        spectra = skin.reflectance(x)
        if not bool((xp.isfinite(spectra) & (spectra > 0)).all()):
            box = ", ".join(f"{a:g} to {b:g}" for a, b in zip(lower.tolist(), upper.tolist(), strict=True))
            raise InputError(
                f"bounds: the skin model is not finite and positive everywhere in f_mel, f_blood = {box}; "
                "choose narrower bounds, or mend the model"
            )
        return cls(x, spectra, shape)

    def starts(
        self, pixels: Any, weights: Any = None, shadings: ShadingBounds = NON_NEGATIVE, prior: Prior | None = None
    ) -> tuple[Any, Any]:
        """Points from which to descend to every minimum: pixel index (start,), sorted, and x (start, 2).

        A pixel has a start for each local minimum of its objective on the grid (8 neighbours) that may be the least, at
        most four, best first.
        """
        xp, nodes = NAMESPACES[type(pixels)], []
        strip = _STRIP if xp is np or pixels.device.type == "cpu" else _STRIP_GPU
        for first in range(0, len(pixels), strip):
            part = slice(first, first + strip)
            some = None if prior is None else prior.take(part)
            height, floor = self.decrease(pixels[part], None if weights is None else weights[part], shadings, some)
            nodes.append(local_maxima(height, floor, self.shape, MOST_STARTS))
        node = xp.concatenate(nodes) if nodes else xp.zeros_like(pixels[:, :1], dtype=int)
        pixel, rank = xp.where(node >= 0)
        return pixel, self.x[node[pixel, rank]]

    def decrease(self, pixels: Any, weights: Any, shadings: ShadingBounds, prior: Prior | None) -> tuple[Any, Any]:
        """By how much each node's best shadings lower the objective, (n, node), and a floor of what counts, (n, 1).

        Where diffuse light helps nowhere the objective is a plateau, as high as without it: a node that is no higher
        than that is no local minimum of its own.
        """
        xp, spectra = NAMESPACES[type(pixels)], self.spectra.T
        if weights is None:
            weighted, ss = pixels, xp.ones_like(pixels[:, :1]) * pixels.shape[1]
            ds, squares = spectra.sum(0)[None], (spectra * spectra).sum(0)[None]
        else:
            weighted, ss = weights * pixels, weights.sum(1)[:, None]
            ds, squares = weights @ spectra, weights @ (spectra * spectra)
        hs, hd = weighted.sum(1)[:, None], weighted @ spectra
        constant = None
        if prior is not None:
            target = (prior.root * prior.mean[:, None]).sum(2)[:, None] - self.x @ prior.root[:, :, :-2].swapaxes(1, 2)
            diffuse, specular = prior.root[:, None, :, -2], prior.root[:, None, :, -1]
            ss, hs = ss + (specular * specular).sum(2), hs + (specular * target).sum(2)
            ds, squares = ds + (diffuse * specular).sum(2), squares + (diffuse * diffuse).sum(2)
            hd, constant = hd + (diffuse * target).sum(2), (target * target).sum(2)
        spread, contrast = squares - ds * ds / ss, hd - hs * (ds / ss)
        height = bounded_pair(spread, contrast, ds, ss, hs, shadings)[2]
        if constant is not None:
            return height - constant, xp.ones_like(height[:, :1]) * -xp.inf
        dark = xp.clip(hs / ss, *shadings[1])
        plateau = dark * (2 * hs - ss * dark) * PLATEAU
        return height, plateau if shadings[0][0] == 0 else plateau - xp.inf


def local_maxima(height: Any, floor: Any, shape: Sequence[int], most: int, diagonal: bool = True) -> Any:
    """Nodes (n, most) that are as high as all their neighbours and above `floor` (n, 1), the highest first, else -1.

    `height` is (n, node) on a grid of that shape; neighbours are those along the axes, and the diagonal ones if asked
    for. The first column always has a node, the highest.
    """
    xp = NAMESPACES[type(height)]
    grid = height.reshape(-1, *shape)
    around = grid
    for axis in range(1, grid.ndim):
        spread = _spread(around if diagonal else grid, axis)
        around = spread if diagonal else xp.maximum(around, spread)
    top = (grid >= around).reshape(height.shape) & (height > floor)
    nowhere, number = xp.zeros_like(height) - xp.inf, xp.ones_like(height[:1], dtype=int).cumsum(1) - 1
    nodes = [height.argmax(1)]
    none = -xp.ones_like(nodes[0])
    left = xp.where(top & (height < xp.amax(height, 1)[:, None]), height, nowhere)
    for _ in range(1, min(most, height.shape[1])):
        there = xp.isfinite(xp.amax(left, 1))
        if not bool(there.any()):  # most pixels have one
            nodes.append(none)
            continue
        node = left.argmax(1)
        nodes.append(xp.where(there, node, none))
        left = xp.where(number == node[:, None], nowhere, left)
    return xp.stack(nodes, 1)


def _spread(grid: Any, axis: int) -> Any:
    """Largest value among each node and its two neighbours along an axis."""
    xp, size = NAMESPACES[type(grid)], grid.shape[axis]
    if size == 1:
        return grid
    low, high = (_along(axis, slice(*ends)) for ends in ((0, size - 1), (1, size)))
    out = xp.concatenate((xp.maximum(grid[low], grid[high]), grid[_along(axis, slice(size - 1, size))]), axis)
    return xp.concatenate((out[_along(axis, slice(0, 1))], xp.maximum(out[high], grid[low])), axis)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part)
