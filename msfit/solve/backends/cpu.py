"""The fit of two-layer skin on a CPU, all bands counting alike: search, polynomials and descent in numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.skin.registry import Skin
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.kernels.numba_descent import descend
from msfit.solve.kernels.numba_polynomials import refine
from msfit.solve.kernels.numba_search import coordinates, search
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.tolerances import MOST_STEPS, TOLERANCE


class CpuSolver:
    """Fits pixels in single or double precision, without torch.

    The search is in single precision, and so in which basins descents begin; the descent is in that of the pixels.

    Parameters
    ----------
    skin : Skin
        Two layers, in numpy.
    lower, upper : float64 array (2,)
        The box of the pigments.
    dtype : numpy dtype
        float32 or float64, of the pixels.
    """

    def __init__(self, form: Constants, skin: Skin, lower: np.ndarray, upper: np.ndarray, dtype: Any) -> None:
        self.form, self.dtype = form, np.dtype(dtype)
        self.grid = Grid.over(skin, lower, upper)
        self.table = SearchTable.over(skin, self.grid, lower, upper)
        self.skin, self.bounds = skin, (lower, upper)
        self.box = [end.astype(dtype) for end in (lower, upper)]
        self.limits = np.array([TOLERANCE[self.dtype.name], np.finfo(dtype).eps], dtype)

    @classmethod
    def over(cls, skin: Skin, lower: np.ndarray, upper: np.ndarray, dtype: Any) -> CpuSolver | None:
        """For a skin over a box, or None where there is no compiled code for it."""
        form = constants(skin, dtype)
        return None if form is None else cls(form, skin, lower, upper, dtype)

    def __call__(self, pixels: np.ndarray) -> Solution:
        """Fit pixels (n, band): of each the descent that ended lowest, the earliest among equals."""
        pixels = np.ascontiguousarray(pixels)  # other orders would be compiled, and round, differently
        z = coordinates(pixels.astype(np.float32, copy=False), self.table.basis)
        solution = self.least(self.form, pixels, *self.starts(z, len(pixels)))
        if self.dtype == np.float32 or not (none := np.flatnonzero(solution.i_d <= 0)).size:
            return solution
        # search in single precision does not see where diffuse light explains next to nothing
        again = self.least(self.form, pixels[none], *self.grid.starts(pixels[none]))
        better = again.cost < solution.cost[none]
        for values, others in zip(vars(solution).values(), vars(again).values(), strict=True):
            values[none[better]] = others[better]
        return solution

    def starts(self, z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Where to descend from, of `count` pixels by their coordinates: pixel (start,), sorted, and x (start, 2)."""
        owner, node = search(z, count, self.table.nodes)
        return owner, refine(z, owner, node, *self.table.about)

    def least(self, form: Constants, pixels: np.ndarray, owner: np.ndarray, start: np.ndarray) -> Solution:
        """Of each pixel (n, coordinate), as `form` has skin, the lowest end of its descents from `start` (start, 2)."""
        start = np.clip(start.astype(self.dtype), *self.box)
        model = form.spectra, form.thickness, form.mixing
        ends = descend(pixels, owner, start, owner, *model, *self.box, self.limits, self.dtype.type(MOST_STEPS))
        _, _, i_d, i_s, cost, converged, steps = ends.T
        return Solution(ends[:, :2], i_d.copy(), i_s.copy(), cost.copy(), converged > 0, steps.astype(np.int16))
