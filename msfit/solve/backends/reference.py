"""The reference in torch: any skin model, weights, bounds of the shadings, priors; on any device and in any type."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from msfit.skin.channels import mixed as mixed_skin
from msfit.skin.registry import Skin
from msfit.solve.problem import NON_NEGATIVE, Prior, Problem, ShadingBounds
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.tolerances import FINE_NODES


class ReferenceSolver:
    """Searches on the grid and descends from each of its local minima, all in torch.

    Parameters
    ----------
    skin : Skin
        The model on the pixels' bands, in their type and place.
    lower, upper : tensor (2,)
        The box of the pigments. Equal ends hold one.
    shadings : ShadingBounds
        Bounds of i_d and i_s.
    """

    def __init__(self, skin: Skin, lower: Tensor, upper: Tensor, shadings: ShadingBounds = NON_NEGATIVE) -> None:
        self.skin, self.lower, self.upper, self.shadings = skin, lower, upper, shadings

    @cached_property
    def grid(self) -> Grid:
        """The grid of the search."""
        return self.fine_grid if self.shadings != NON_NEGATIVE else Grid.over(self.skin, self.lower, self.upper)

    @cached_property
    def fine_grid(self) -> Grid:
        """The grid of the search under a prior, or bounds of the shadings."""
        return Grid.over(self.skin, self.lower, self.upper, FINE_NODES)

    def mixed(self, mixing: np.ndarray) -> ReferenceSolver:
        """The same of pixels in sums of the bands, `mixing` (sum, band), each row of which sums to 1."""
        weights = torch.from_numpy(mixing).to(self.lower)
        grid = replace(self.fine_grid, spectra=self.fine_grid.spectra @ weights.T)
        solver = ReferenceSolver(mixed_skin(self.skin, weights), self.lower, self.upper, self.shadings)
        solver.__dict__.update(grid=grid, fine_grid=grid)  # reflectance of sums may be negative
        return solver

    def __call__(self, pixels: Tensor, weights: Tensor | None = None, prior: Prior | None = None) -> Solution:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""
        grid = self.grid if prior is None else self.fine_grid
        return self.descend(*grid.starts(pixels, weights, self.shadings, prior), pixels, weights, prior)

    def descend(
        self, owner: Tensor, start: Tensor, pixels: Tensor, weights: Tensor | None = None, prior: Prior | None = None
    ) -> Solution:
        """Of each pixel the cheapest of its descents from starts (start, 2), which belong to pixels owner (start,)."""
        problem = Problem(self.skin, pixels, weights, self.shadings, prior)
        each = problem if owner.numel() == len(pixels) else problem.take(owner)
        return cheapest(owner, each.minimise(start, self.lower, self.upper), len(pixels))


def cheapest(owner: Tensor, solutions: Solution, count: int) -> Solution:
    """Of each of `count` pixels the cheapest of its solutions, the earliest among equals. NaN is the dearest."""
    if owner.numel() == count:
        return solutions
    return solutions.take(index_of_cheapest(owner, solutions.cost, count))


def index_of_cheapest(owner: Tensor, cost: Tensor, count: int) -> Tensor:
    """Index (count,) of the least cost of each pixel, the earliest among equals; owner and cost (m,)."""
    cost = torch.nan_to_num(cost, nan=torch.inf, posinf=torch.inf)
    least = torch.full((count,), torch.inf, dtype=cost.dtype, device=cost.device).scatter_reduce(0, owner, cost, "amin")
    order = torch.arange(owner.numel(), device=owner.device)
    candidates = torch.where(cost == least[owner], order, owner.numel())
    return torch.full_like(order[:count], owner.numel()).scatter_reduce(0, owner, candidates, "amin")
