"""The fit of two-layer skin on a GPU, in single precision, with weights or without: one Triton kernel."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.kernels.polynomials import CompiledTable
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.tolerances import MOST_STEPS, TOLERANCE


class GpuSolver:
    """What `PigmentSolver` does, where there is a kernel for it, in single precision."""

    def __init__(self, form: Constants, skin: Skin, lower: Tensor, upper: Tensor) -> None:
        from msfit.solve.kernels import triton_fit  # Triton is not needed where there is no GPU

        device = lower.device
        # set up on the CPU, whose tables these are
        box = lower.cpu().double(), upper.cpu().double()
        on_cpu = skin.to(torch.float64, torch.device("cpu"))
        spectra = np.asarray(Grid.over(on_cpu, *box).spectra)
        self.form = form
        self.grid = triton_fit.Grid.of(CompiledTable.over(on_cpu, *box), spectra, device)
        self.spectra = torch.from_numpy(form.spectra).to(device)
        self.channels = triton_fit.Channels.of(form.mixing, device) if form.mixing.size else None

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> GpuSolver | None:
        """For a skin over a box, or None where there is no GPU, no Triton or no kernel for it."""
        if lower.device.type != "cuda" or find_spec("triton") is None:
            return None
        form = constants(skin)
        return None if form is None else cls(form, skin, lower, upper)

    def least(self, pixels: Tensor, weights: Tensor | None = None) -> Solution:
        """Of each pixel (n, band) float32, with weights (n, band) or None for ones, the minimum."""
        from msfit.solve.kernels.triton_fit import fit

        ends = fit(pixels, weights, self.form, self.spectra, self.grid, self.channels, TOLERANCE["float32"], MOST_STEPS)
        i_d, i_s, cost, converged, steps = (ends[:, column] for column in (2, 3, 4, 5, 6))
        return Solution(ends[:, :2], i_d, i_s, cost, converged > 0, steps.to(torch.int16))
