"""The exact fit of pigments and extra parameters together, pixel by pixel.

With the shadings projected out, the problem has two pigments and one to three further parameters. It is not convex:
the two-pigment solver searches globally at every node of a lattice over the extra parameters, and from each local
minimum of what it finds there a descent in all of them follows. Everything is computed in float64, because extra
parameters are far less well determined than pigments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.backends.reference import cheapest
from msfit.solve.descent import descend
from msfit.solve.problem import Problem
from msfit.solve.search import lattice, local_maxima
from msfit.solve.solution import Local, Solution
from msfit.solve.tolerances import MOST_STARTS, TOLERANCE

# Where the lattice has its nodes, as shares of the box, by the number of extra parameters.
_LEVELS = {1: (0.0, 0.17, 0.33, 0.5, 0.67, 0.83, 1.0), 2: (0.0, 0.25, 0.5, 0.75, 1.0), 3: (0.0, 0.33, 0.67, 1.0)}


if TYPE_CHECKING:
    from msfit.solve.solver import PigmentSolver


class ExtrasSolver:
    """Minimises sum_b w_b (y_b - i_d r_b(x) - i_s)^2 over a box of x = (f_mel, f_blood, extras...) and i_d, i_s >= 0.

    Parameters
    ----------
    skin : Skin
        With all the parameters, in float64.
    pigments_at : callable
        Values of the extras -> solver of the pigments alone, in float64.
    lower, upper : tensor (2 + extras,)
        The box, float64. Equal ends hold a pigment fixed; those of an extra differ.
    """

    def __init__(
        self, skin: Skin, pigments_at: Callable[[list[float]], PigmentSolver], lower: Tensor, upper: Tensor
    ) -> None:
        self.skin, self.lower, self.upper = skin, lower, upper
        # an extra that cannot be zero is a factor: what it multiplies trades with its reciprocal along a straight line
        self.factor = (lower > 0) & (torch.arange(lower.numel(), device=lower.device) >= 2)
        self.nodes, self.shape = extras_lattice(torch.stack((lower[2:], upper[2:]), 1))
        # its corners are nodes, so a box in which the model does not hold is refused
        self.solvers = [pigments_at(node) for node in self.nodes.tolist()]

    def __call__(self, pixels: Tensor, weights: Tensor | None = None) -> Solution:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""
        pixels = pixels.double()
        weights = None if weights is None else weights.double()
        owner, start = self._starts(pixels, weights)
        problem = Problem(self.skin, pixels, weights)

        def evaluate(z: Tensor, index: Tensor) -> Local:
            x = self._turned(z)
            point = problem.take(owner[index]).evaluate(x)
            slope = torch.where(self.factor, -x * x, 1)
            hessian = point.hessian * slope.unsqueeze(1) * slope.unsqueeze(2)
            return Local(point.cost, point.gradient * slope, hessian, point.rounding)

        ends = torch.stack((self._turned(self.lower), self._turned(self.upper)))
        end = descend(evaluate, self._turned(start), ends.amin(0), ends.amax(0), TOLERANCE["float64"])
        x = self._turned(end.x).maximum(self.lower).minimum(self.upper)
        for bound in (self.lower, self.upper):  # what lies on a bound lies there to the bit
            x = torch.where((x - bound).abs() <= 1e-14 * bound, bound, x)
        least = cheapest(owner, Solution(x, x[:, 0], x[:, 0], end.point.cost, end.converged, end.steps), len(pixels))
        at = problem.evaluate(least.x)
        return replace(least, i_d=at.i_d, i_s=at.i_s, cost=at.cost)

    def _turned(self, x: Tensor) -> Tensor:
        """Factors as their reciprocals, and back."""
        return torch.where(self.factor, 1 / x, x)

    def _starts(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pixel index (start,), sorted, and points (start, parameter): the lattice's local minima, four at most."""
        ends = [solver(pixels, weights) for solver in self.solvers]
        pixel, chosen = lattice_minima(torch.stack([end.cost for end in ends], 1), self.shape, MOST_STARTS)
        pigments = torch.stack([end.x for end in ends], 1)
        return pixel, torch.cat((pigments[pixel, chosen], self.nodes[chosen]), 1)


def extras_lattice(spans: Tensor) -> tuple[Tensor, list[int]]:
    """Nodes (node, k) in a box of k spans (k, 2), its corners among them, and the number of nodes along each axis."""
    levels = _LEVELS[len(spans)]
    axes = []
    for low, high in spans.tolist():  # a factor, which is never zero, by equal ratios
        axes.append([low * (high / low) ** u if low > 0 else low + u * (high - low) for u in levels])
    return torch.from_numpy(lattice(axes)).to(spans), [len(levels)] * len(axes)


def lattice_minima(cost: Tensor, shape: list[int], most: int) -> tuple[Tensor, Tensor]:
    """Pixel and node, (start,) each, of the nodes that are no higher than their neighbours along the axes.

    `cost` (n, node) on a lattice of that shape; the lowest `most` of each pixel, which is the order of the result.
    """
    node = local_maxima(-cost, torch.full_like(cost[:, :1], -torch.inf), shape, most, diagonal=False)
    pixel, rank = torch.where(node >= 0)
    return pixel, node[pixel, rank]
