"""The fit of two-layer skin on a GPU, all bands counting alike: search in torch, descent in a Triton kernel."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.backends.reference import cheapest
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.tolerances import MOST_STEPS, TOLERANCE

# Pixels that are searched together: the search holds a number a pixel and node.
_CHUNK = 1 << 20


class GpuSolver:
    """What `Solver` does, where there is a kernel for it, in single precision."""

    def __init__(self, form: Constants, skin: Skin, lower: Tensor, upper: Tensor) -> None:
        self.spectra = torch.from_numpy(form.spectra).to(lower.device)
        self.thickness = float(form.thickness)
        self.lower, self.upper = lower.float(), upper.float()
        self.grid = Grid.over(skin.to(torch.float32, lower.device), self.lower, self.upper)

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> GpuSolver | None:
        """For a skin over a box, or None where there is no GPU, no Triton or no kernel for it."""
        if lower.device.type != "cuda" or find_spec("triton") is None:
            return None
        form = constants(skin)
        return None if form is None else cls(form, skin, lower, upper)

    def least(self, pixels: Tensor) -> Solution:
        """Of each pixel (n, band) float32 the descent that ended lowest, the earliest among equals."""
        owner, solutions = self.ends(pixels)
        return cheapest(owner, solutions, len(pixels))

    def ends(self, pixels: Tensor) -> tuple[Tensor, Solution]:
        """The descents of pixels (n, band) float32, and whose they are: pixel index (descent,), sorted."""
        from msfit.solve.kernels.triton_descent import descend  # Triton is not needed where there is no GPU

        owners, ends = [], []
        for first in range(0, len(pixels), _CHUNK):
            chunk = pixels[first : first + _CHUNK].contiguous()
            owner, start = self.grid.starts(chunk)
            box = (self.lower, self.upper)
            ends.append(
                descend(chunk, owner, start, self.spectra, self.thickness, *box, TOLERANCE["float32"], MOST_STEPS)
            )
            owners.append(first + owner)
        ended = torch.cat(ends)
        i_d, i_s, cost = ended[:, 2:5].unbind(1)
        solution = Solution(ended[:, :2], i_d, i_s, cost, ended[:, 10] > 0, ended[:, 11].to(torch.int16))
        return torch.cat(owners), solution
