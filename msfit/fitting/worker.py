"""Pixels in blocks: which can be fitted, what is made of a block's solutions, and how blocks are worked off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.bands import FEWEST_BANDS
from msfit.data.cube import Cube
from msfit.data.result import Status
from msfit.fitting.criterion import Criterion
from msfit.fitting.devices import Device, cores, workers
from msfit.fitting.maps import diffuse, finite_only, screened, statuses
from msfit.fitting.prior import PixelPrior
from msfit.skin.arrays import NAMESPACES, is_tensor
from msfit.skin.registry import Skin, SkinModel
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.faint import FAINT, again_in_double, without_rounded_diffuse
from msfit.solve.posterior import PosteriorSolver
from msfit.solve.problem import NON_NEGATIVE, Problem, ShadingBounds
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver, solver_for
from msfit.solve.threads import one_thread
from msfit.solve.tolerances import name as name_of

if TYPE_CHECKING:
    from torch import Tensor

    from msfit.solve.certificate.certificate import Certificate
    from msfit.solve.extras import ExtrasSolver

# Pixels that one solver call works on: enough to hide the interpreter, few enough for a core's cache; a GPU wants more.
_BLOCK, _BLOCK_TORCH, _BLOCK_GPU = 16_384, 4_096, 262_144
FEW = 1_024  # pixels that a kernel has fitted before other threads would have begun
ROOM = 160 * 2**20  # bytes of temporary arrays that one thread may have
# Bytes a sample of them: of compiled code, with weights, of descents in torch, of Huber's loss from every basin.
_TAKES_COMPILED, _TAKES_WEIGHTED, _TAKES, _TAKES_ROBUST = 48, 160, 400, 1_300
PIGMENTS = ("f_mel", "f_blood")
PARAMETERS = (*PIGMENTS, "i_d", "i_s")
STD, CORRELATION, SHARE = "std_", "correlation_", "prior_share_"

Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # index, pixels, scales as in Criterion or None for ones
FittedBlock = tuple[np.ndarray, np.ndarray, np.ndarray]  # index, maps (map, n), statuses
Work = Callable[[np.ndarray, np.ndarray | None, np.ndarray], tuple[np.ndarray, np.ndarray]]  # a `Worker`, or the like
Run = Callable[[Work, Iterator[Block]], Iterator[FittedBlock]]


@dataclass(frozen=True)
class Worker:
    """Fits blocks of pixels: the solver with all that it needs to know."""

    solver: PigmentSolver | ExtrasSolver
    box: Mapping[str, tuple[float, float]]  # f_mel, f_blood, then the extra parameters; equal ends hold one
    device: Device
    dtype: np.dtype[Any]
    criterion: Criterion
    std: bool
    certificate: Certificate | None = None
    shadings: ShadingBounds = NON_NEGATIVE
    fewest: int = FEWEST_BANDS  # usable bands of a pixel that is fitted
    prior: PixelPrior | None = None  # of the picture, or of some rows of it
    posterior: PosteriorSolver | None = None

    @classmethod
    def create(
        cls,
        model: SkinModel,
        box: dict[str, tuple[float, float]],
        cube: Cube,
        device: Device,
        dtype: np.dtype[Any],
        criterion: Criterion,
        std: bool,
        certify: bool = False,
        shadings: ShadingBounds = NON_NEGATIVE,
        prior: PixelPrior | None = None,
    ) -> Worker:
        solver, certificate = solver_for(model, box, cube.wavelengths, dtype, device, shadings), None
        if certify:
            from msfit.solve.certificate.certificate import Certificate

            certificate = Certificate(solver.skin, solver.lower, solver.upper)
        posterior = None
        if prior is not None:
            assert isinstance(solver, PigmentSolver)
            posterior = PosteriorSolver(solver, prior.noise)
        ends = zip((*box, "i_d", "i_s"), (*box.values(), *shadings), strict=True)
        known = () if prior is None else prior.skin.names  # the measurements have to tell the others
        free = len([name for name, (low, high) in ends if low < high and name not in known])
        fewest = FEWEST_BANDS if cube.channels is None else max(free, 1)
        return cls(solver, box, device, dtype, criterion, std, certificate, shadings, fewest, prior, posterior)

    @cached_property
    def extras(self) -> list[str]:
        """Names of the extra parameters, those that are held too."""
        return list(self.box)[len(PIGMENTS) :]

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters of the solver's skin."""
        return (*PIGMENTS, *(name for name in self.extras if self.box[name][0] < self.box[name][1]))

    @cached_property
    def maps(self) -> list[str]:
        """Names of the maps of a fitted block."""
        names = (*self.free, "i_d", "i_s")
        certainty = [
            *(STD + name for name in names),
            *(CORRELATION + ",".join(pair) for pair in combinations(names, 2)),
        ]
        gap = [] if self.certificate is None else ["gap"]
        shares = [] if self.prior is None else [SHARE + name for name in names]
        return [*PARAMETERS, "rmse", *self.extras, *(certainty if self.std else ()), *gap, *shares]

    def of_rows(self, rows: slice) -> Worker:
        """The worker for some rows of the picture, whose pixels are then named by their index among these."""
        return self if self.prior is None else replace(self, prior=self.prior.rows(rows))

    @property
    def by_samples(self) -> bool:
        """Whether more is to be done of a pixel than the compiled fit, which is the fastest by far."""
        return not self.compiled or not self.criterion.plain or self.dtype != np.float32

    @cached_property
    def compiled(self) -> bool:
        """Whether pixels are fitted by a kernel, with weights or without, and nothing else is asked for."""
        squares = self.criterion.huber is None and not self.std and self.certificate is None and self.prior is None
        return squares and isinstance(self.solver, PigmentSolver) and self.solver.kernel is not None

    @cached_property
    def warm(self) -> bool:
        """Compile the kernels or load them from the disk, once; libraries of other fits are loaded as they begin."""
        kernel: Any = getattr(self.solver, "kernel", None)
        if self.compiled and self.device.startswith("cpu"):
            some = kernel.grid.spectra[:1].astype(self.dtype)
            kernel(some, None if self.criterion.plain else self.criterion.squares(None, some))
        return True

    def takes(self, weighted: bool) -> int:
        """Bytes of temporary arrays a sample, roughly and at most, that a call takes."""
        if self.criterion.huber is not None:
            return _TAKES_ROBUST
        if not self.compiled:
            return _TAKES
        return _TAKES_WEIGHTED if weighted or not self.criterion.plain else _TAKES_COMPILED

    def __call__(
        self, pixels: np.ndarray, scale: np.ndarray | None, index: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit (n, band) reflectances, whose residuals are scaled as in `Criterion`: maps (map, n) and statuses (n,).

        `index` (n,) says which pixels they are of those rows that the worker is for; only to a prior that matters.
        """
        if self.posterior is not None:
            each = np.zeros(len(pixels), int) if index is None else index
            if isinstance(self.posterior.solver.kernel, CpuSolver):
                return self._by_posterior(pixels.astype(self.dtype, copy=False), scale, each)
            return self._by_posterior_in_torch(pixels, scale, each)
        if not self.compiled or not self.device.startswith("cpu"):
            import torch  # noqa: F401 -- before it can be held to one thread

            with one_thread():
                return self._by_reference(pixels, scale)
        y = pixels.astype(self.dtype, copy=False)
        kernel: Any = getattr(self.solver, "kernel", None)
        alike = scale is None and self.criterion.plain
        solution = kernel(y, None if alike else self.criterion.squares(scale, y))
        rmse = self._rmse(kernel.skin, solution, y, None if scale is None else scale > 0)
        if self.shadings == NON_NEGATIVE and not (solution.i_d > FAINT * solution.i_s).all():
            solution = without_rounded_diffuse(solution, y, scale)
        return self.to_maps(solution, rmse.astype(self.dtype, copy=False))

    def _by_reference(self, pixels: np.ndarray, scale: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The same in torch, with whatever is asked for."""
        import torch

        y = torch.from_numpy(pixels).to(self.device, getattr(torch, self.dtype.name))
        solver, criterion = self.solver, self.criterion
        loss = criterion.loss(scale, y)
        solution = solver(y, loss.squares(y))
        if criterion.huber is not None and isinstance(solver, PigmentSolver):
            from msfit.solve.robust import solve_robustly

            solution = solve_robustly(solver, solution, y, loss)
        solution = self.finished(solution, y, loss.squares(y), scale)
        gap, proved = None, None
        if self.certificate is not None:
            from msfit.solve.certificate.certificate import GLOBAL_GAP

            solution, gap = self.certificate(y, loss.squares(y), solution)
            proved = (gap <= GLOBAL_GAP).cpu().numpy()
        more: list[Tensor] = []
        if self.std:
            from msfit.solve.uncertainty import uncertainty

            certainty = uncertainty(solver.skin, solution, y, loss, solver.lower, solver.upper, self.shadings)
            more = [certainty.std.T, certainty.correlation.T]
        if gap is not None:
            more.append(gap.to(y.dtype).unsqueeze(0))
        rmse = self._rmse(solver.skin, solution, y, None if loss.scale is None else loss.scale > 0).cpu().numpy()
        return self.to_maps(solution.numpy(), rmse, [rows.cpu().numpy() for rows in more], proved)

    def finished(self, solution: Solution, y: Tensor, weights: Tensor | None, scale: np.ndarray | None) -> Solution:
        """The solution, spectra that are constant or nearly so seen to, as `kernel` does it on a CPU."""
        if self.shadings != NON_NEGATIVE:
            return solution
        solver = self.solver
        on_gpu = isinstance(solver, PigmentSolver) and not isinstance(solver.kernel, CpuSolver | None)
        if on_gpu and self.criterion.huber is None:
            assert isinstance(solver, PigmentSolver)
            solution = again_in_double(solution, y, weights, solver.in_double)
        return without_rounded_diffuse(solution, y, scale)

    def _by_posterior_in_torch(
        self, pixels: np.ndarray, scale: np.ndarray | None, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with one_thread():
            y = torch.from_numpy(pixels).to(self.device, getattr(torch, self.dtype.name))
            return self._by_posterior(y, scale, index)

    def _by_posterior(self, y: Any, scale: np.ndarray | None, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Maximum a posteriori estimates of pixels, an array or tensor, with what of each is prior."""
        assert self.prior is not None
        assert self.posterior is not None
        prior = self.prior.take(index)
        usable: Any = None if scale is None else scale > 0
        if usable is not None and is_tensor(y):
            import torch

            usable = torch.from_numpy(usable).to(self.device)
        solution, certainty, residual = self.posterior(y, usable, prior.components())
        mean = (residual**2).sum(1) / (y.shape[1] if usable is None else usable.sum(1))
        solution, found = solution.numpy(), [certainty.std, certainty.correlation]
        rmse, std, correlation = (part.cpu().numpy() if is_tensor(part) else part for part in (mean**0.5, *found))
        with np.errstate(invalid="ignore"):
            shares = np.minimum(std.T.astype(np.float64) ** 2 / prior.variances().T, 1)
        more = [std.T, correlation.T] if self.std else []
        return self.to_maps(solution, rmse, [*more, shares.astype(std.dtype)])

    def to_maps(self, solution: Solution, rmse: Any, more: Sequence[Any] = (), proved: Any = None) -> tuple[Any, Any]:
        """Maps (map, n) and statuses (n,) of solutions with their RMSE, and `more` rows of maps (..., n).

        Of arrays or tensors.
        """
        xp, kind = NAMESPACES[type(rmse)], solution.x.dtype
        kind = kind if xp is np else np.dtype(name_of(kind))
        # bounds as the solver has them, in the type of the solution
        lower, upper = (
            [float(kind.type(end)) for end in ends]
            for ends in zip(*(self.box[name] for name in self.free), strict=True)
        )
        i_d = diffuse(solution.i_d, solution.i_s)
        status = statuses(solution.x.T, i_d, solution.converged, lower, upper, proved)
        values = dict(zip(self.free, xp.where(i_d > 0, solution.x.T, xp.nan), strict=True))
        extras = (values[name] if name in values else xp.full_like(i_d, self.box[name][0]) for name in self.extras)
        rows = (*(values[name] for name in PIGMENTS), i_d, solution.i_s, rmse, *extras)
        maps = xp.concatenate([xp.stack(rows), *(xp.atleast_2d(each) for each in more)])
        return finite_only(maps, status, rmse)

    def _rmse(self, skin: Skin, solution: Solution, pixels: Any, used: Any) -> Any:
        """Root mean squared residual in reflectance over the samples that count, whatever was minimised.

        Of arrays or tensors; `used` (n, band) says which samples do, None for all.
        """
        bands = pixels.shape[1] if used is None else used.sum(1)
        if self.criterion.plain:
            return (solution.cost / bands) ** 0.5
        squares = Problem(skin, pixels).residual(solution) ** 2
        return ((squares if used is None else squares * used).sum(1) / bands) ** 0.5


def screen(pixels: np.ndarray, usable: np.ndarray, wanted: np.ndarray, fewest: int = FEWEST_BANDS) -> np.ndarray:
    """Statuses (n,) before the fit: converged where a pixel may be fitted, else why not."""
    if np.count_nonzero(usable) == usable.size:  # the usual case, seen much faster than pixel by pixel
        bands, mean = np.broadcast_to(usable.shape[1], len(pixels)), np.einsum("pb->p", pixels) / usable.shape[1]
    else:
        bands = usable.sum(1)
        mean = np.where(usable, pixels, 0).sum(1) / np.maximum(bands, 1)
    status = screened(mean, bands, fewest)
    status[~wanted] = Status.MASKED_BY_USER
    return status


def blocks(pixels: np.ndarray, scale: np.ndarray, status: np.ndarray, device: Device) -> Iterator[Block]:
    """Blocks of pixels to fit: (index, pixels, scale), first those with all their bands where the scale is 1 or 0."""
    size = _BLOCK if device.startswith("cpu") else _BLOCK_GPU
    fittable = status == Status.CONVERGED
    alike = scale.dtype == np.bool_ and np.count_nonzero(scale) == scale.size
    complete = np.full(len(scale), alike) if alike or scale.dtype != np.bool_ else scale.all(1)
    for group, weighted in ((fittable & complete, False), (fittable & ~complete, True)):
        index = np.flatnonzero(group)
        for first in range(0, index.size, size):
            block = index[first : first + size]
            together = block[-1] - block[0] == block.size - 1
            chosen = np.ascontiguousarray(pixels[block[0] : block[-1] + 1] if together else pixels[block])
            scales = scale[block] if weighted else None
            yield block, chosen if scales is None else np.where(scales > 0, chosen, 0), scales


def pixels_at_once(worker: Worker, bands: int, room: int, weighted: bool = True) -> int:
    """Pixels whose temporary arrays take no more than `room` bytes, on a CPU; of torch's, what a cache may hold."""
    takes = worker.takes(weighted)
    return min(_BLOCK if takes == _TAKES_COMPILED else _BLOCK_TORCH, max(1, room // (takes * bands)))


def _pieces(worker: Work, blocks: Iterator[Block], room: int) -> Iterator[Block]:
    for index, pixels, scale in blocks:
        step = index.size
        if isinstance(worker, Worker):
            step = pixels_at_once(worker, pixels.shape[1], room, scale is not None)
        for first in range(0, index.size, step):
            part = slice(first, first + step)
            yield index[part], pixels[part], None if scale is None else scale[part]


@contextmanager
def pool(device: Device, room: int = ROOM, threads: int | None = None) -> Iterator[Run]:
    """How blocks are worked off: on a GPU one by one; on a CPU one thread a core, each with its own block in its cache,
    or as many as `threads` says; 0: in the calling thread. The temporary arrays of a thread stay below `room` bytes.
    """
    if threads == 0 or not device.startswith("cpu"):
        yield lambda worker, blocks: ((index, *worker(pixels, scale, index)) for index, pixels, scale in blocks)
        return
    with workers(threads or cores()) as each:
        yield lambda worker, blocks: each(
            lambda block: (block[0], *worker(block[1], block[2], block[0])), _pieces(worker, blocks, room)
        )
