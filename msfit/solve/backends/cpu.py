"""The fit of two-layer skin on a CPU, all bands counting alike: search and descent compiled."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.newton import Descent
from msfit.solve.objective import Point
from msfit.solve.search import Table


class CompiledSolver:
    """What `Solver` does, where it can be compiled, in single precision."""

    def __init__(self, form: Constants, table: Table, lower: Tensor, upper: Tensor) -> None:
        self.form, self.table = form, table
        self.box = [end.float().numpy() for end in (lower, upper)]

    @classmethod
    def over(cls, skin: Skin, table: Table, lower: Tensor, upper: Tensor) -> CompiledSolver | None:
        """For a skin over a box with its table, or None where there is no compiled code for it."""
        form = constants(skin)
        return None if form is None or table.compiled is None else cls(form, table, lower, upper)

    def ends(self, pixels: Tensor) -> tuple[Tensor, Descent]:
        """All descents of pixels (n, band) float32, and whose they are: pixel index (descent,), sorted."""
        owner, start = self.table.starts(pixels, None)
        return owner, self._descend(self.form, pixels, owner, start, torch.arange(owner.numel()))

    def least(self, pixels: Tensor) -> Descent:
        """Of each pixel (n, band) float32 the descent that ended lowest, the earliest among equals."""
        owner, start = self.table.starts(pixels, None)
        return self._descend(self.form, pixels, owner, start, owner)

    def least_of(self, form: Constants, pixels: np.ndarray, coordinates: np.ndarray) -> Descent:
        """The same for pixels (n, coordinate) as `form` has skin, and by their coordinates in the table."""
        owner, start = self.table.starts_of(coordinates, len(pixels))
        return self._descend(form, torch.from_numpy(pixels), owner, start, owner)

    def _descend(self, form: Constants, pixels: Tensor, owner: Tensor, start: Tensor, group: Tensor) -> Descent:
        from msfit.solve.kernels.numba_descent import descend  # numba is not needed where there is a GPU

        # other orders would be compiled, and round, differently
        arrays = [tensor.contiguous().numpy() for tensor in (pixels, owner, start.float(), group)]
        ends = descend(*arrays, form.spectra, form.thickness, form.mixing, *self.box)
        found = torch.from_numpy(np.ascontiguousarray(ends.T))
        i_d, i_s, cost = found[2:5]
        point = Point(found[:2].T, i_d, i_s, cost, gradient=found[5:7].T, hessian=found[7:10].T)
        return Descent(point, found[10] > 0, found[11].to(torch.int16))
