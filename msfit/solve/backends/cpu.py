"""The fit of two-layer skin on a CPU, all bands counting alike: search and descent compiled."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.kernels.polynomials import CompiledTable
from msfit.solve.solution import Solution


class CompiledSolver:
    """Search, polynomials and descent in numba, in single precision."""

    def __init__(self, form: Constants, table: CompiledTable, lower: Tensor, upper: Tensor) -> None:
        self.form, self.table = form, table
        self.box = [end.float().numpy() for end in (lower, upper)]

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> CompiledSolver | None:
        """For a skin over a box, or None where there is no compiled code for it."""
        form = constants(skin)
        return None if form is None else cls(form, CompiledTable.over(skin, lower, upper), lower, upper)

    def ends(self, pixels: Tensor) -> tuple[Tensor, Solution]:
        """All descents of pixels (n, band) float32, and whose they are: pixel index (descent,), sorted."""
        owner, start = self.table.starts(self.table.coordinates(pixels.numpy()), len(pixels))
        return torch.from_numpy(owner), self._descend(self.form, pixels, owner, start, np.arange(owner.size))

    def least(self, pixels: Tensor) -> Solution:
        """Of each pixel (n, band) float32 the descent that ended lowest, the earliest among equals."""
        owner, start = self.table.starts(self.table.coordinates(pixels.numpy()), len(pixels))
        return self._descend(self.form, pixels, owner, start, owner)

    def least_of(self, form: Constants, pixels: np.ndarray, coordinates: np.ndarray) -> Solution:
        """The same for pixels (n, coordinate) as `form` has skin, and by their coordinates in the table."""
        owner, start = self.table.starts(coordinates, len(pixels))
        return self._descend(form, torch.from_numpy(pixels), owner, start, owner)

    def _descend(
        self, form: Constants, pixels: Tensor, owner: np.ndarray, start: np.ndarray, group: np.ndarray
    ) -> Solution:
        from msfit.solve.kernels.numba_descent import descend  # numba is not needed where there is a GPU

        # other orders would be compiled, and round, differently
        spectra = pixels.contiguous().numpy()
        ends = descend(spectra, owner, start, group, form.spectra, form.thickness, form.mixing, *self.box)
        x_0, x_1, i_d, i_s, cost, converged, steps = torch.from_numpy(np.ascontiguousarray(ends.T))[
            [0, 1, 2, 3, 4, 10, 11]
        ]
        return Solution(torch.stack((x_0, x_1), 1), i_d, i_s, cost, converged > 0, steps.to(torch.int16))
