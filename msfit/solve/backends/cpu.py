"""The fit of two-layer skin on a CPU: search, descent and, where all bands count alike, polynomials, in numba."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from msfit.skin.channels import mixed as mixed_skin
from msfit.skin.layers import Compilable, Constants
from msfit.skin.registry import Skin
from msfit.solve.faint import FAINT, again_in_double
from msfit.solve.kernels.numba_descent import FURTHER, RESULTS, descend
from msfit.solve.kernels.numba_polynomials import refine, refine_bounded, worthwhile
from msfit.solve.kernels.numba_posterior import FAR, certainty
from msfit.solve.kernels.numba_search import coordinates, search, search_bounded, search_shared, search_weighted
from msfit.solve.kernels.pieces import interpolated
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.problem import NON_NEGATIVE, Component, Prior, ShadingBounds
from msfit.solve.search import Grid
from msfit.solve.solution import Solution, Uncertainty
from msfit.solve.threads import one_thread
from msfit.solve.tolerances import FINE_NODES, MOST_STEPS, NODES, TOLERANCE
from msfit.solve.units import LEAST, MOST, units


@dataclass(frozen=True, eq=False)
class Terms:
    """What the objective has besides a sum of squares, as kernels take it, in the type of the pixels.

    `ends` (4,): bounds of i_d and of i_s; `means` (m, 4) and `roots` (m, 4, 4) of priors, one a component or, if `own`,
    one a pixel; `constants` (component, n or 1), float64, of their -2 log densities. Empty means and roots: bounds are
    [0, inf), and there is no prior.
    """

    ends: np.ndarray
    means: np.ndarray
    roots: np.ndarray
    constants: np.ndarray
    own: bool = False

    @classmethod
    def of(cls, shadings: ShadingBounds, components: Sequence[Component], dtype: Any) -> Terms:
        """Of bounds of the shadings and the components of a prior in numpy, none of them where there is no prior."""
        ends = np.array(shadings, dtype).ravel()
        if not components:
            count = 0 if shadings == NON_NEGATIVE else 1
            return cls(ends, np.zeros((count, 4), dtype), np.zeros((count, 4, 4), dtype), np.zeros((1, 1)))
        priors = [component.prior for component in components]
        roots = [np.zeros((len(prior.root), 4, 4), dtype) for prior in priors]
        for root, prior in zip(roots, priors, strict=True):
            root[:, : prior.root.shape[1]] = prior.root
        means = [np.asarray(prior.mean, dtype) for prior in priors]
        constants = np.stack([np.asarray(component.constant, np.float64) for component in components])
        if not priors[0].own:
            return cls(ends, np.concatenate(means), np.concatenate(roots), constants)
        count = max(len(means[0]), len(roots[0]))
        mean, root = (
            _for_kernels(np.broadcast_to(part, (count, *part.shape[1:])), dtype) for part in (means[0], roots[0])
        )
        return cls(ends, mean, root, constants, True)

    @property
    def components(self) -> int:
        """How many there are."""
        return len(self.constants)

    def of_component(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bounds, means and roots of a component, for pixels of which each has its own or all have one."""
        which = slice(None) if self.own else slice(k, k + 1)
        return self.ends, self.means[which], self.roots[which]


class CpuSolver:
    """Fits pixels in single or double precision, without torch.

    The search is in single precision, and so in which basins descents begin; the descent is in that of the pixels.
    With bounds of the shadings or a prior both are.

    Parameters
    ----------
    skin : Skin
        Two layers, in numpy.
    lower, upper : float64 array (2,)
        The box of the pigments.
    dtype : numpy dtype
        float32 or float64, of the pixels.
    shadings : ShadingBounds
        Bounds of i_d and i_s.
    """

    def __init__(
        self,
        form: Constants,
        skin: Skin,
        lower: np.ndarray,
        upper: np.ndarray,
        dtype: Any,
        shadings: ShadingBounds = NON_NEGATIVE,
    ) -> None:
        self.form, self.dtype, self.shadings = form, np.dtype(dtype), shadings
        # bounds make valleys of the objective that are narrow in both pigments
        self.grid = Grid.over(skin, lower, upper, NODES if shadings == NON_NEGATIVE else FINE_NODES)
        self.skin, self.bounds = skin, (lower, upper)
        self.box = [end.astype(dtype) for end in (lower, upper)]
        self.limits = np.array([TOLERANCE[self.dtype.name], np.finfo(dtype).eps], dtype)
        self.table = SearchTable.over(skin, self.grid, lower, upper, short=True)
        self.about, self.terms = self.table.about, Terms.of(shadings, (), dtype)
        none = np.empty((0,) * 4, form.spectra.dtype)
        self.pieces = interpolated(form, skin, lower, upper) if form.mixing.size else none  # bands have none

    @classmethod
    def over(
        cls, skin: Skin, lower: np.ndarray, upper: np.ndarray, dtype: Any, shadings: ShadingBounds = NON_NEGATIVE
    ) -> CpuSolver | None:
        """For a skin over a box, or None where there is no compiled code for it."""
        form = skin.constants(dtype) if isinstance(skin, Compilable) else None
        return None if form is None else cls(form, skin, lower, upper, dtype, shadings)

    def mixed(self, mixing: np.ndarray) -> CpuSolver:
        """The same of pixels in sums of the bands, `mixing` (sum, band), each row of which sums to 1."""
        solver = copy(self)
        grid = replace(self.grid, spectra=self.grid.spectra @ mixing.T)  # which may be negative
        skin = mixed_skin(self.skin, mixing)
        table = SearchTable.over(skin, grid, *self.bounds, short=True)
        solver.__dict__.pop("_nodes_in_type", None)
        form = skin.constants(self.dtype)
        assert form is not None  # as there is one of the bands
        pieces = interpolated(form, skin, *self.bounds)
        solver.__dict__.update(form=form, pieces=pieces, skin=skin, grid=grid, table=table, about=table.about)
        return solver

    def __call__(self, pixels: np.ndarray, weights: np.ndarray | None = None, prior: Prior | None = None) -> Solution:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones.

        Of each pixel the descent that ended lowest, the earliest among equals.
        """
        if prior is not None or self.shadings != NON_NEGATIVE:
            one = [] if prior is None else [Component(prior, np.zeros(1))]
            terms = Terms.of(self.shadings, one, self.dtype) if one else self.terms
            return _solution(self._ends(pixels, weights, terms)[0])
        pixels = _for_kernels(pixels, self.dtype)
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
            weights = _for_kernels(weights, self.dtype)
            starts = self._starts_weighted(pixels, weights)
        solution = self.least(self.form, pixels, *starts, weights)
        if self.dtype == np.float32:
            if (solution.i_d > FAINT * solution.i_s).all():  # the usual case
                return solution
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

    def posterior(
        self, pixels: np.ndarray, weights: np.ndarray | None, components: Sequence[Component], variance: float
    ) -> tuple[Solution, Uncertainty, np.ndarray]:
        """As `posterior.least`: the least over the components of a prior, what is known of it, and the residual."""
        terms = Terms.of(self.shadings, components, self.dtype)
        ends = self._ends(pixels, weights, terms, variance)
        roots = terms.roots[None] if terms.own else terms.roots[:, None]
        best, std, correlation = certainty(ends, roots, terms.constants, variance, *self.box, terms.ends)
        number = np.arange(len(pixels))
        chosen = ends[best, number]
        solution = _solution(chosen)
        constant = terms.constants[best, number if terms.constants.shape[1] > 1 else 0]
        solution.cost += (variance * constant).astype(self.dtype)
        certain = Uncertainty(std.astype(self.dtype), correlation.astype(self.dtype))
        return solution, certain, chosen[:, RESULTS + FURTHER :]

    def _ends(self, pixels: np.ndarray, weights: np.ndarray | None, terms: Terms, variance: float = 0.0) -> np.ndarray:
        """Lowest ends (component, n, column) under bounds of the shadings or a prior: see `numba_descent`.

        A component that is too far above another of the pixel to show in its posterior has an infinite cost.
        """
        pixels = _for_kernels(pixels, self.dtype)
        spectra, levels, axes = self._nodes_in_type
        if weights is None:
            owner, of, start = self._starts_bounded(pixels, terms, variance)
            load = pixels[:0]
        else:
            load = _for_kernels(weights, self.dtype)
            each = range(terms.components)
            found = [search_bounded(pixels, load, spectra, levels, *axes, *terms.of_component(k)) for k in each]
            owner, node = (np.concatenate(parts) for parts in zip(*found, strict=True))
            of = owner if terms.own else np.repeat(each, [len(part) for part, _ in found])
            start = self.grid.x[node]
        group = owner if terms.own else of * len(pixels) + owner
        ends = self._descend(self.form, pixels, owner, start, load, terms, of, group, terms.components * len(pixels))
        return ends.reshape(terms.components, len(pixels), -1)

    def _starts_bounded(
        self, pixels: np.ndarray, terms: Terms, variance: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where to descend from where all bands count alike: pixel, prior and pigments of each start."""
        spectra, levels, axes = self._nodes_in_type
        if terms.own:
            owner, node = search_bounded(pixels, pixels[:0], spectra, levels, *axes, *terms.of_component(0))
            of = owner
        else:
            more = terms.ends, terms.means, terms.roots
            owner, of, node = search_shared(pixels, spectra, levels, *axes, *more)
        z = coordinates(pixels.astype(np.float32, copy=False), self.table.basis)
        single = (part.astype(np.float32, copy=False) for part in (terms.ends, terms.means, terms.roots))
        start, gained = refine_bounded(z, owner, of, node, *self.about, pixels.shape[1], *single)
        if terms.components > 1:
            kept = worthwhile(owner, of, gained, variance * terms.constants, variance * FAR)
            owner, of, start = owner[kept], of[kept], start[kept]
        return owner, of, start

    @cached_property
    def _nodes_in_type(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        grid, levels = self.grid, self.grid.spectra.mean(1, keepdims=True)
        x = grid.x.reshape(*grid.shape, 2)
        axes = [np.ascontiguousarray(axis, self.dtype) for axis in (x[:, 0, 0], x[0, :, 1])]
        spectra = np.pad(grid.spectra - levels, ((0, 0), (0, -grid.spectra.shape[1] % 4)))
        return spectra.astype(self.dtype), levels[:, 0].astype(self.dtype), axes

    def least(
        self,
        form: Constants,
        pixels: np.ndarray,
        owner: np.ndarray,
        start: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> Solution:
        """Of each pixel (n, coordinate), as `form` has skin, the lowest end of its descents from `start` (start, 2)."""
        load, count = pixels[:0] if weights is None else weights, owner[-1] + 1 if owner.size else 0
        of = owner if self.shadings == NON_NEGATIVE else np.zeros_like(owner)
        return _solution(self._descend(form, pixels, owner, start, load, self.terms, of, owner, count))

    def _descend(
        self,
        form: Constants,
        pixels: np.ndarray,
        owner: np.ndarray,
        start: np.ndarray,
        load: np.ndarray,
        terms: Terms,
        of: np.ndarray,
        group: np.ndarray,
        groups: int,
    ) -> np.ndarray:
        start = np.clip(start.astype(self.dtype), *self.box)
        # columns of an array, as the reference's search returns them, would be compiled for anew
        owner, group, of = (np.ascontiguousarray(index) for index in (owner, group, of))
        pieces = self.pieces if form is self.form else self.pieces[:0]
        model, most = (form.spectra, form.thickness, form.mixing, pieces), self.dtype.type(MOST_STEPS)
        ends = self.limits, most, terms.ends, terms.means, terms.roots, of
        return np.asarray(descend(pixels, load, owner, start, group, groups, *model, *self.box, *ends))


def _for_kernels(values: np.ndarray, dtype: Any) -> np.ndarray:
    """In rows that can be written to: of other orders, and of read-only arrays, kernels would be compiled anew."""
    return np.require(values, dtype, ("C", "W"))


def _solution(ends: np.ndarray) -> Solution:
    """The solution that ends (n, column) of descents are."""
    _, _, i_d, i_s, cost, converged, steps = ends[:, :RESULTS].T
    return Solution(ends[:, :2].copy(), i_d.copy(), i_s.copy(), cost.copy(), converged > 0, steps.astype(np.int16))
