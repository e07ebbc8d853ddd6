"""The fit of two-layer skin on a GPU, in single precision, with weights, bounds of shadings and priors: one kernel."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from msfit.skin.layers import Compilable, Constants
from msfit.skin.registry import Skin
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.problem import NON_NEGATIVE, Prior, ShadingBounds
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.tolerances import FINE_NODES, MOST_STEPS, TOLERANCE
from msfit.solve.units import units_of_tensor

if TYPE_CHECKING:
    from msfit.solve.kernels.triton_tables import Grid as Tables


class GpuSolver:
    """What `PigmentSolver` does, where there is a kernel for it, in single precision.

    Parameters
    ----------
    skin : Skin
        Two layers, in numpy.
    lower, upper : float64 array (2,)
        The box of the pigments.
    device : torch.device or str
        Where the kernel runs: a GPU, or the CPU in Triton's interpreter.
    shadings : ShadingBounds
        Bounds of i_d and i_s.

    Attributes
    ----------
    wide : int, optional
        Channels of which the kernel evaluates the model at once, by default as many as suit the device.
    rounds : bool, optional
        Whether slow pixels are launched again by themselves, by default on a GPU.
    """

    wide: int | None = None
    rounds: bool | None = None

    def __init__(
        self,
        form: Constants,
        skin: Skin,
        lower: np.ndarray,
        upper: np.ndarray,
        device: torch.device | str,
        shadings: ShadingBounds = NON_NEGATIVE,
    ) -> None:
        from msfit.solve.kernels.triton_tables import Channels  # Triton is not needed where there is no GPU

        self.form, self.shadings, self.device = form, shadings, device
        self.skin, self.bounds = skin, (lower, upper)
        self.spectra = torch.from_numpy(form.spectra).to(device)
        self.channels = Channels.of(form.mixing, device) if form.mixing.size else None

    @cached_property
    def plain(self) -> Tables:
        """Tables of the search by coordinates."""
        from msfit.solve.kernels.triton_tables import Grid as Tables

        grid = Grid.over(self.skin, *self.bounds)
        return Tables.of(SearchTable.over(self.skin, grid, *self.bounds), grid.spectra, self.device)

    @cached_property
    def fine(self) -> Tables:
        """Tables of the search by channels on a finer grid, where shadings are bounded or there is a prior."""
        from msfit.solve.kernels.triton_tables import Grid as Tables

        return Tables.of_nodes(Grid.over(self.skin, *self.bounds, FINE_NODES), *self.bounds, self.device)

    @classmethod
    def over(
        cls, skin: Skin, lower: np.ndarray, upper: np.ndarray, device: str, shadings: ShadingBounds = NON_NEGATIVE
    ) -> GpuSolver | None:
        """For a skin over a box, or None where there is no Triton or no kernel for it."""
        if find_spec("triton") is None or not isinstance(skin, Compilable):
            return None
        form = skin.constants(np.float32)
        return None if form is None else cls(form, skin, lower, upper, device, shadings)

    def __call__(self, pixels: Tensor, weights: Tensor | None = None, prior: Prior | None = None) -> Solution:
        """Of each pixel (n, band) float32, with weights (n, band) or None for ones, the minimum."""
        from msfit.solve.kernels.triton_fit import fit

        as_they_are = prior is not None or self.shadings != NON_NEGATIVE  # bounds and priors are of such pixels
        unit = torch.ones_like(pixels[:, :1]) if as_they_are else units_of_tensor(pixels)
        tables = self.form, self.spectra, self.fine if as_they_are else self.plain, self.channels
        limits = TOLERANCE["float32"], MOST_STEPS, self.shadings, prior
        ends = fit(pixels / unit, weights, *tables, *limits, self.wide, self.rounds)
        _, _, i_d, i_s, cost, converged, steps = ends.unbind(1)
        solution = Solution(ends[:, :2], i_d, i_s, cost, converged > 0, steps.to(torch.int16))
        return solution.scaled(unit[:, 0])
