"""The exact fit of a batch of pixels: search everywhere, descend from every promising place, keep the best."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.newton import Descent, descend
from msfit.solve.objective import Point
from msfit.solve.table import Table
from msfit.solve.two_layers import Constants, constants


class Solver:
    """Minimises sum_b w_b (y_b - i_d r_b(f_mel, f_blood) - i_s)^2 over a box of pigments and i_d, i_s >= 0.

    Parameters
    ----------
    skin : Skin
        The model on the pixels' bands, in their type and place.
    lower, upper : tensor (2,)
        The box. Equal ends hold a parameter fixed.
    """

    def __init__(self, skin: Skin, lower: Tensor, upper: Tensor) -> None:
        self.skin, self.lower, self.upper = skin, lower, upper
        self.table = Table.over(skin, lower, upper)
        self.constants = constants(skin) if lower.device.type == "cpu" else None

    def __call__(self, pixels: Tensor, weights: Tensor | None = None) -> Descent:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""
        owner, start = self.table.starts(pixels, weights)
        several = owner.numel() > pixels.shape[0]
        if weights is None and self.constants is not None:
            if pixels.dtype == torch.float32:
                return self._compiled(self.constants, pixels, owner, start)
            # to within single precision first; the ends of all descents, because in it two may seem equal
            of_start = (pixels[owner] if several else pixels).float()
            near = self._compiled(self.constants, of_start, torch.arange(owner.numel()), start.float())
            start = near.point.fractions.to(start.dtype).clamp(self.lower, self.upper)
        descent = descend(
            self.skin,
            start,
            pixels[owner] if several else pixels,
            weights if weights is None or not several else weights[owner],
            self.lower,
            self.upper,
        )
        if not several:
            return descent
        best = best_of(owner, descent.point.cost, pixels.shape[0])
        return Descent(descent.point.take(best), descent.converged[best], descent.steps[best])

    def _compiled(self, skin: Constants, pixels: Tensor, owner: Tensor, start: Tensor) -> Descent:
        from msfit.solve import compiled_descent  # numba is not needed where there is a GPU

        arrays = [tensor.numpy() for tensor in (pixels, owner, start)]
        box = [end.float().numpy() for end in (self.lower, self.upper)]
        found = torch.from_numpy(compiled_descent.descend(*arrays, skin.spectra, skin.thickness, *box))
        i_d, i_s, cost = found[:, 2:5].unbind(1)
        point = Point(found[:, :2], i_d, i_s, cost, gradient=found[:, 5:7], hessian=found[:, 7:10])
        return Descent(point, found[:, 10] > 0, found[:, 11].to(torch.int16))


def best_of(owner: Tensor, cost: Tensor, count: int) -> Tensor:
    """Index of the cheapest descent of each pixel, the earliest among equals, (count,)."""
    least = torch.full((count,), torch.inf, dtype=cost.dtype, device=cost.device).scatter_reduce(0, owner, cost, "amin")
    order = torch.arange(owner.numel(), device=owner.device)
    candidates = torch.where(cost == least[owner], order, owner.numel())
    return torch.full_like(order[:count], owner.numel()).scatter_reduce(0, owner, candidates, "amin")
