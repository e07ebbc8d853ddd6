"""The exact fit of a batch of pixels: search everywhere, descend from every promising place, keep the best."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.backends.cpu import CompiledSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.newton import Descent, descend
from msfit.solve.search import Table
from msfit.solve.selection import cheapest, joined


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
        on_gpu = GpuSolver.over(skin, self.table, lower, upper)
        self.compiled = on_gpu or CompiledSolver.over(skin, self.table, lower, upper)

    def __call__(self, pixels: Tensor, weights: Tensor | None = None) -> Descent:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""
        if weights is not None or self.compiled is None:
            owner, start = self.table.starts(pixels, weights)
            return cheapest(owner, self._exact(owner, start, pixels, weights), len(pixels))
        if pixels.dtype == torch.float32:
            return self.compiled.least(pixels)
        owner, found = self.compiled.ends(pixels.float())
        # all ends go on, because what single precision takes for equal may not be
        start = found.point.fractions.to(pixels.dtype).clamp(self.lower, self.upper)
        best = cheapest(owner, self._exact(owner, start, pixels, None), len(pixels))
        grey = torch.nonzero(best.point.i_d <= 0).squeeze(1)
        if not grey.numel():
            return best
        # nor does the compiled search see where there is next to nothing to gain
        owner, start = self.table.starts(pixels[grey], torch.ones_like(pixels[grey]))
        again = self._exact(owner, start, pixels[grey], None)
        everyone = torch.arange(len(pixels), device=pixels.device)
        return cheapest(torch.cat((everyone, grey[owner])), joined(best, again), len(pixels))

    def _exact(self, owner: Tensor, start: Tensor, pixels: Tensor, weights: Tensor | None) -> Descent:
        if owner.numel() > len(pixels):
            pixels, weights = pixels[owner], None if weights is None else weights[owner]
        return descend(self.skin, start, pixels, weights, self.lower, self.upper)
