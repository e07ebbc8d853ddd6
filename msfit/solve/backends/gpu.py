"""The fit of two-layer skin on a GPU, all bands counting alike: search in torch, descent in a Triton kernel."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.newton import Descent
from msfit.solve.objective import Point
from msfit.solve.search import Table
from msfit.solve.selection import cheapest

# Pixels that are searched together: the search holds a number a pixel and node.
_CHUNK = 1 << 20
_TOLERANCE, _MOST_STEPS = 1e-6, 200  # as in newton


class GpuSolver:
    """What `Solver` does, where there is a kernel for it, in single precision."""

    def __init__(self, form: Constants, table: Table, lower: Tensor, upper: Tensor) -> None:
        self.spectra = torch.from_numpy(form.spectra).to(lower.device)
        self.thickness = float(form.thickness)
        self.table, self.lower, self.upper = table, lower, upper

    @classmethod
    def over(cls, skin: Skin, table: Table, lower: Tensor, upper: Tensor) -> GpuSolver | None:
        """For a skin over a box with its table, or None where there is no GPU, no Triton or no kernel for it."""
        if lower.device.type != "cuda" or find_spec("triton") is None:
            return None
        form = constants(skin)
        return None if form is None else cls(form, table, lower, upper)

    def least(self, pixels: Tensor) -> Descent:
        """Of each pixel (n, band) float32 the descent that ended lowest, the earliest among equals."""
        owner, found = self.ends(pixels)
        return cheapest(owner, found, len(pixels))

    def ends(self, pixels: Tensor) -> tuple[Tensor, Descent]:
        """The descents of pixels (n, band) float32, and whose they are: pixel index (descent,), sorted."""
        from msfit.solve.kernels.triton_descent import descend  # Triton is not needed where there is no GPU

        owners, ends = [], []
        for first in range(0, len(pixels), _CHUNK):
            chunk = pixels[first : first + _CHUNK].contiguous()
            owner, start = self.table.starts(chunk, None)
            box = (self.lower, self.upper)
            ends.append(
                descend(chunk, owner, start.float(), self.spectra, self.thickness, *box, _TOLERANCE, _MOST_STEPS)
            )
            owners.append(first + owner)
        found = torch.cat(ends)
        i_d, i_s, cost = found[:, 2:5].unbind(1)
        point = Point(found[:, :2], i_d, i_s, cost, gradient=found[:, 5:7], hessian=found[:, 7:10])
        return torch.cat(owners), Descent(point, found[:, 10] > 0, found[:, 11].to(torch.int16))
