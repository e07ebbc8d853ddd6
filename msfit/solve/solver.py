"""Which algorithm runs on the device of a fit (which `msfit.fitting.devices` chooses): one table, one place.

=====================================  ==================  =============================================================
what is fitted                         backend             how
=====================================  ==================  =============================================================
sums of squares with weights or none,  `backends.cpu`      search, polynomials (where all bands count alike) and
two-layer skin, on a CPU                                   descent in numba, float32 and float64, without torch
the same with bounds of the shadings   `backends.cpu`      search on a finer grid and descent in numba, in the type of
or a prior                                                 the pixels; standard deviations too where there is a prior
the same, spectra kept as              `backends.low_rank` the same on few coordinates of many bands
coefficients, 64 bands or more
float32, weights or none, bounds of    `backends.gpu`      pixels to solutions in one kernel: nothing leaves the chip;
the shadings or none, a prior or none,                     of a mixture once a component, whose uncertainties follow in
two-layer skin, on a GPU with Triton                       torch
users' own models, plain, on a CPU     `backends.          search and polynomials in numba, descent in torch
                                       reference`
bounds of the shadings, priors on a    `backends.          all in torch, on any device and in any type
GPU in float64 or of correlated bands, reference`
all else
Huber's loss                           `robust`            rounds of weighted fits by the reference
extra parameters                       `extras`            these solvers at every node of a lattice over the extras,
                                                           then the reference's descent in all parameters
=====================================  ==================  =============================================================

"Plain" is a sum of squares in which all bands of a pixel count alike. Solvers are kept for as long as the process lasts
(the last few of them), because their tables depend on the model, the bands, the box and the type alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from msfit.skin.arrays import converted, is_tensor
from msfit.skin.registry import Skin, SkinModel
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.problem import NON_NEGATIVE, Component, Prior, Problem, ShadingBounds
from msfit.solve.search import Grid
from msfit.solve.solution import Solution, Uncertainty
from msfit.solve.threads import one_thread

if TYPE_CHECKING:
    from msfit.solve.backends.gpu import GpuSolver
    from msfit.solve.backends.reference import ReferenceSolver
    from msfit.solve.extras import ExtrasSolver

_KEPT = 32  # solvers


class Solver(Protocol):
    """Fits pixels (n, band) under a skin over the box [lower, upper] of its parameters, arrays (p,)."""

    @property
    def skin(self) -> Skin: ...
    @property
    def lower(self) -> Any: ...
    @property
    def upper(self) -> Any: ...

    def __call__(self, pixels: Any, weights: Any = None) -> Solution:
        """Fit pixels with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""


class PigmentSolver:
    """Minimises sum_b w_b (y_b - i_d r_b(f_mel, f_blood) - i_s)^2 over a box of pigments and bounds of the shadings.

    Parameters
    ----------
    skin : Skin
        The model on the pixels' bands, in numpy or torch.
    lower, upper : array (2,)
        The box, of the same kind. Equal ends hold a parameter fixed.
    shadings : ShadingBounds
        Bounds of i_d and i_s.
    dtype : numpy dtype, optional
        Of the pixels; by default that of the box.
    device : str
        Where torch computes, if it does; that of the box where it is a tensor.
    backend : {"auto", "reference"}
        "reference" leaves every kernel out.
    """

    def __init__(
        self,
        skin: Skin,
        lower: Any,
        upper: Any,
        shadings: ShadingBounds = NON_NEGATIVE,
        *,
        dtype: Any = None,
        device: str = "cpu",
        backend: str = "auto",
    ) -> None:
        self._skin, self.shadings = skin, shadings
        of_torch = not isinstance(lower, np.ndarray)
        self.device = str(lower.device) if of_torch else device
        self.dtype = np.dtype(dtype or str(lower.dtype).removeprefix("torch."))
        low, high = (converted(end, np.float64) for end in (lower, upper)) if of_torch else (lower, upper)
        self.box = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self.kernel: CpuSolver | GpuSolver | None = None
        self.table: SearchTable | None = None
        if backend == "auto":
            # a user's function stays in torch
            layered = not hasattr(skin, "function")
            self._choose(skin.to(np.float64) if of_torch and layered else skin, layered)

    def _choose(self, skin: Skin, layered: bool) -> None:
        if layered and self.device == "cpu":
            self.kernel = CpuSolver.over(skin, *self.box, self.dtype, self.shadings)
        elif layered and self.device.startswith("cuda") and self.dtype == np.float32:
            from msfit.solve.backends.gpu import GpuSolver

            self.kernel = GpuSolver.over(skin, *self.box, self.device, self.shadings)
        if self.kernel is None and self.device == "cpu" and self.shadings == NON_NEGATIVE:
            self.table = SearchTable.over(self.skin, Grid.over(self.skin, self.lower, self.upper), *self._tensors)

    @cached_property
    def _tensors(self) -> tuple[Any, Any]:
        import torch

        kind = getattr(torch, self.dtype.name)
        return converted(self.box[0], kind, self.device), converted(self.box[1], kind, self.device)

    @property
    def lower(self) -> Any:
        """Lower end of the box, a tensor (2,) in the pixels' type and place."""
        return self._tensors[0]

    @property
    def upper(self) -> Any:
        """Upper end of the box."""
        return self._tensors[1]

    @cached_property
    def skin(self) -> Skin:
        """The skin in torch, in the pixels' type and place."""
        return self._skin.to(self.lower.dtype, self.lower.device)

    @cached_property
    def reference(self) -> ReferenceSolver:
        """The same solver in torch, without kernels."""
        from msfit.solve.backends.reference import ReferenceSolver

        return ReferenceSolver(self.skin, self.lower, self.upper, self.shadings)

    @cached_property
    def in_double(self) -> PigmentSolver:
        """The same solver in double precision."""
        skin = self._skin if hasattr(self._skin, "function") else self._skin.to(np.float64)
        return PigmentSolver(skin, *self.box, self.shadings, dtype=np.float64, device=self.device)

    def __call__(self, pixels: Any, weights: Any = None, prior: Prior | None = None) -> Solution:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive.

        The solution is in arrays of the kind of `pixels`.
        """
        plain = weights is None and prior is None
        if isinstance(self.kernel, CpuSolver):
            known = None if prior is None else prior.numpy()
            some, weighted = (a.numpy() if is_tensor(a) else a for a in (pixels, weights))
            solution = self.kernel(some, weighted, known)
            return solution.torch() if is_tensor(pixels) else solution
        y = pixels if is_tensor(pixels) else converted(pixels, self.lower.dtype, self.device)
        w = weights if weights is None or is_tensor(weights) else converted(weights, y.dtype, self.device)
        if self.kernel is not None and not isinstance(self.kernel, CpuSolver):
            solution = self.kernel(y, w, None if prior is None else prior.to(y.dtype, y.device))
        elif plain and self.table is not None:
            solution = self._from_table(y)
        else:
            known = None if prior is None else prior.to(y.dtype, y.device)
            solution = self.reference(y, w, known)
        return solution if is_tensor(pixels) else solution.numpy()

    def mixed(self, mixing: np.ndarray) -> PigmentSolver:
        """The same of pixels in sums of the bands, `mixing` (sum, band), each row of which sums to 1."""
        solver = copy(self)
        solver.__dict__.pop("skin", None)
        solver.table = None
        if isinstance(self.kernel, CpuSolver):
            solver.kernel = self.kernel.mixed(mixing)
            solver._skin = solver.kernel.skin
            solver.__dict__.pop("reference", None)
            return solver
        solver.kernel, solver.__dict__["reference"] = None, self.reference.mixed(mixing)
        solver._skin = solver.reference.skin
        return solver

    def posterior(
        self, pixels: Any, weights: Any, components: Sequence[Component], variance: float
    ) -> tuple[Solution, Uncertainty, Any]:
        """The least over the components of a prior, what is known of it, and what it leaves of the pixels (n, band).

        Arrays of the kind of `pixels`; the solution's cost and the components' roots are in the unit of residuals of
        this variance.
        """
        if isinstance(self.kernel, CpuSolver) and not is_tensor(pixels):
            return self.kernel.posterior(pixels, weights, components, variance)
        from msfit.solve.posterior import least

        on_gpu = self.kernel is not None and not isinstance(self.kernel, CpuSolver)
        return least(self if on_gpu else self.reference, pixels, weights, components, variance)

    def descend(self, start: Any, pixels: Any, weights: Any) -> Solution:
        """Descend from one point of each pixel, start (n, 2), to a local minimum; all of them tensors."""
        if not isinstance(self.kernel, CpuSolver):
            problem = Problem(self.skin, pixels, weights, self.shadings)
            return problem.minimise(start, self.lower, self.upper)
        each = np.arange(len(pixels))
        y, w = (np.ascontiguousarray(a.numpy()) for a in (pixels, weights))
        return self.kernel.least(self.kernel.form, y, each, start.numpy(), w).torch()

    def _from_table(self, pixels: Any) -> Solution:
        """Searched by the compiled table, descended by the reference."""
        import torch

        assert self.table is not None
        owner, start = self.table.starts(pixels.float().numpy())
        inside = torch.from_numpy(start).to(self.lower).clamp(self.lower, self.upper)
        return self.reference.descend(torch.from_numpy(owner), inside, pixels)


def solver_for(
    model: SkinModel,
    box: Mapping[str, tuple[float, float]],
    wavelengths: np.ndarray,
    dtype: Any,
    device: str = "cpu",
    shadings: ShadingBounds = NON_NEGATIVE,
) -> PigmentSolver | ExtrasSolver:
    """The solver of a model over a box {parameter: (lower, upper)}, f_mel and f_blood first.

    Extras whose ends are equal are held; with others it is an `ExtrasSolver`, in float64 whatever `dtype` says.
    """
    key = model, tuple(box.items()), np.asarray(wavelengths, np.float64).tobytes(), np.dtype(dtype).name, str(device)
    return _kept_solver(*key, shadings)


@lru_cache(maxsize=_KEPT)
def _kept_solver(
    model: SkinModel,
    box: tuple[tuple[str, tuple[float, float]], ...],
    wavelengths: bytes,
    dtype: str,
    device: str,
    shadings: ShadingBounds,
) -> PigmentSolver | ExtrasSolver:
    if not (model.torch_only or any(low < high for _, (low, high) in box[2:])):
        return _solver(model, box, wavelengths, dtype, device, shadings)
    with one_thread():  # of torch, which is used here
        return _solver(model, box, wavelengths, dtype, device, shadings)


def _solver(
    model: SkinModel,
    box: tuple[tuple[str, tuple[float, float]], ...],
    wavelengths: bytes,
    dtype: str,
    device: str,
    shadings: ShadingBounds,
) -> PigmentSolver | ExtrasSolver:
    bands = np.frombuffer(wavelengths).copy()
    held = {name: low for name, (low, high) in box[2:] if low == high}
    free = [name for name, (low, high) in box[2:] if low < high]
    lower, upper = (np.array(end) for end in zip(*(span for name, span in box if name not in held), strict=True))

    def pigments(held: Mapping[str, float], dtype: str = dtype) -> PigmentSolver:
        skin = model.in_numpy(bands, held=held)
        ends = lower[:2], upper[:2]
        own = model.at(bands, held=held) if skin is None else skin
        return PigmentSolver(own, *ends, shadings, dtype=dtype, device=device)

    if not free:
        return pigments(held)
    import torch

    from msfit.solve.extras import ExtrasSolver

    where = torch.device(device)
    skin = model.at(bands, torch.float64, where, free=free, held=held)
    ends = (torch.from_numpy(end).to(where) for end in (lower, upper))
    return ExtrasSolver(skin, lambda values: pigments(held | dict(zip(free, values, strict=True)), "float64"), *ends)
