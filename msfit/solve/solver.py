"""Which algorithm runs: the only place that chooses a backend.

============================  =========================================  ===============================================
what is fitted                backend                                    what it buys
============================  =========================================  ===============================================
plain sum of squares, CPU     `backends.cpu`: search, polynomials and    about 25 times the reference
                              descent in numba
float32, weights or none,     `backends.gpu`: pixels to solutions in     nothing leaves the chip (docs/speed.md)
GPU with Triton               one kernel
scenes in coefficients, CPU   `backends.low_rank`: many bands by few     1.8 times at 148 bands
weights, missing bands,       `backends.reference`: torch, on any        generality
priors, bounds of shadings,   device and in any type
users' own models
Huber's loss                  `robust`, rounds of the reference
extra parameters              `extras`, the solver of the pigments at
                              every node of a lattice, then the descent
                              in all of them
============================  =========================================  ===============================================
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.backends.cpu import CompiledSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.backends.reference import ReferenceSolver, cheapest
from msfit.solve.kernels.polynomials import CompiledTable
from msfit.solve.problem import NON_NEGATIVE, Prior, ShadingBounds
from msfit.solve.solution import Solution


class Solver(Protocol):
    """Fits pixels (n, band) under a skin over the box [lower, upper] of its parameters."""

    skin: Skin
    lower: Tensor
    upper: Tensor

    def __call__(self, pixels: Tensor, weights: Tensor | None = None) -> Solution:
        """Fit pixels with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""


class PigmentSolver:
    """Minimises sum_b w_b (y_b - i_d r_b(f_mel, f_blood) - i_s)^2 over a box of pigments and bounds of the shadings.

    Parameters
    ----------
    skin : Skin
        The model on the pixels' bands, in their type and place.
    lower, upper : tensor (2,)
        The box. Equal ends hold a parameter fixed.
    shadings : ShadingBounds
        Bounds of i_d and i_s.
    backend : {"auto", "reference"}
        "reference" leaves every kernel out.
    """

    def __init__(
        self,
        skin: Skin,
        lower: Tensor,
        upper: Tensor,
        shadings: ShadingBounds = NON_NEGATIVE,
        *,
        backend: str = "auto",
    ) -> None:
        self.skin, self.lower, self.upper = skin, lower, upper
        self.reference = ReferenceSolver(skin, lower, upper, shadings)
        self.compiled: CompiledSolver | GpuSolver | None = None
        self.table: CompiledTable | None = None
        if backend == "auto" and shadings == NON_NEGATIVE:
            if lower.device.type == "cuda":
                self.compiled = GpuSolver.over(skin, lower, upper)
            elif lower.device.type == "cpu":
                self.compiled = CompiledSolver.over(skin, lower, upper)
                self.table = None if self.compiled is not None else CompiledTable.over(skin, lower, upper)

    def __call__(self, pixels: Tensor, weights: Tensor | None = None, prior: Prior | None = None) -> Solution:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""
        plain = weights is None and prior is None
        if plain and self.table is not None:
            whose, start = self.table.starts(self.table.coordinates(pixels.float().numpy()), len(pixels))
            inside = torch.from_numpy(start).to(self.lower).clamp(self.lower, self.upper)
            return self.reference.descend(torch.from_numpy(whose), inside, pixels)
        if isinstance(self.compiled, GpuSolver):
            if pixels.dtype == torch.float32 and prior is None:
                return self.compiled.least(pixels, weights)
            return self.reference(pixels, weights, prior)
        if not plain or self.compiled is None:
            return self.reference(pixels, weights, prior)
        if pixels.dtype == torch.float32:
            return self.compiled.least(pixels)
        owner, ends = self.compiled.ends(pixels.float())
        # polish every float32 end in float64: ends that tie in float32 may differ
        start = ends.x.to(pixels.dtype).clamp(self.lower, self.upper)
        best = self.reference.descend(owner, start, pixels)
        no_diffuse = torch.nonzero(best.i_d <= 0).squeeze(1)
        if not no_diffuse.numel():
            return best
        # search in float32 does not see where diffuse light explains next to nothing
        again = self.reference(pixels[no_diffuse])
        everyone = torch.arange(len(pixels), device=pixels.device)
        return cheapest(torch.cat((everyone, no_diffuse)), best.joined(again), len(pixels))
