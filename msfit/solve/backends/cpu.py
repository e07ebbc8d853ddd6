"""The fit of two-layer skin on a CPU: search, descent and, where all bands count alike, polynomials, in numba."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from msfit.skin.registry import Skin
from msfit.solve.faint import again_in_double
from msfit.solve.kernels.constants import Constants, constants
from msfit.solve.kernels.numba_descent import descend
from msfit.solve.kernels.numba_polynomials import refine
from msfit.solve.kernels.numba_search import coordinates, search, search_weighted
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.threads import one_thread
from msfit.solve.tolerances import MOST_STEPS, TOLERANCE
from msfit.solve.units import LEAST, MOST, units


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
        self.about = self.table.about
        self.skin, self.bounds = skin, (lower, upper)
        self.box = [end.astype(dtype) for end in (lower, upper)]
        self.limits = np.array([TOLERANCE[self.dtype.name], np.finfo(dtype).eps], dtype)

    @classmethod
    def over(cls, skin: Skin, lower: np.ndarray, upper: np.ndarray, dtype: Any) -> CpuSolver | None:
        """For a skin over a box, or None where there is no compiled code for it."""
        form = constants(skin, dtype)
        return None if form is None else cls(form, skin, lower, upper, dtype)

    def __call__(self, pixels: np.ndarray, weights: np.ndarray | None = None) -> Solution:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones.

        Of each pixel the descent that ended lowest, the earliest among equals.
        """
        pixels = np.ascontiguousarray(pixels)  # other orders would be compiled, and round, differently
        if weights is None:
            z = coordinates(pixels.astype(np.float32, copy=False), self.table.basis)
            # the first coordinate is along white, a vector of length one
            level = z[:, 0].ravel()[: len(pixels)] / np.float32(pixels.shape[1]) ** np.float32(0.5)
        else:
            level = pixels.mean(1)
        if not ((level > LEAST) & (level < MOST)).all() and ((unit := units(pixels, level)) != 1).any():
            return self(pixels / unit, weights).scaled(unit[:, 0])
        if weights is None:
            starts = self.starts(z, len(pixels))
        else:
            weights = np.ascontiguousarray(weights, self.dtype)
            starts = self._starts_weighted(pixels, weights)
        solution = self.least(self.form, pixels, *starts, weights)
        if self.dtype == np.float32:
            return again_in_double(solution, pixels, weights, lambda *some: self._double(*some))
        if not (none := np.flatnonzero(solution.i_d <= 0)).size:
            return solution
        # search in single precision does not see where diffuse light explains next to nothing
        some = None if weights is None else weights[none]
        again = self.least(self.form, pixels[none], *self.grid.starts(pixels[none], some), some)
        better = again.cost < solution.cost[none]
        for values, others in zip(vars(solution).values(), vars(again).values(), strict=True):
            values[none[better]] = others[better]
        return solution

    @cached_property
    def _double(self) -> CpuSolver:
        with one_thread():
            found = CpuSolver.over(self.skin, *self.bounds, np.float64)
        assert found is not None  # as there is one in single precision
        return found

    def starts(self, z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Where to descend from, of `count` pixels by their coordinates: pixel (start,), sorted, and x (start, 2)."""
        owner, node = search(z, count, self.table.nodes)
        return owner, refine(z, owner, node, *self.about)

    def _starts_weighted(self, pixels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for pixels with weights, from the nodes themselves."""
        narrow = (a.astype(np.float32, copy=False) for a in (pixels, weights))
        owner, node = search_weighted(*narrow, *self._nodes, *self.grid.shape)
        return owner, self.grid.x[node]

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        levels = self.grid.spectra.mean(1, keepdims=True)
        return (self.grid.spectra - levels).astype(np.float32), levels[:, 0].astype(np.float32)

    def least(
        self,
        form: Constants,
        pixels: np.ndarray,
        owner: np.ndarray,
        start: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> Solution:
        """Of each pixel (n, coordinate), as `form` has skin, the lowest end of its descents from `start` (start, 2)."""
        start = np.clip(start.astype(self.dtype), *self.box)
        model = form.spectra, form.thickness, form.mixing
        load = pixels[:0] if weights is None else weights
        ends = descend(pixels, load, owner, start, owner, *model, *self.box, self.limits, self.dtype.type(MOST_STEPS))
        _, _, i_d, i_s, cost, converged, steps = ends.T
        return Solution(ends[:, :2], i_d.copy(), i_s.copy(), cost.copy(), converged > 0, steps.astype(np.int16))
