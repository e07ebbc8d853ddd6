"""Pixels in blocks: which can be fitted, and how blocks are worked off on all cores or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msfit.bands import FEWEST_BANDS
from msfit.criterion import Criterion
from msfit.cube import Cube
from msfit.result import CERTIFIED, Status
from msfit.skin.registry import SkinModel
from msfit.solve.certificate import GLOBAL, Certificate
from msfit.solve.joint import JointSolver, solver_over
from msfit.solve.loss import Loss
from msfit.solve.newton import Descent
from msfit.solve.objective import Point
from msfit.solve.robust import residuals, solve_robustly
from msfit.solve.solver import Solver
from msfit.solve.uncertainty import pairs, uncertainty

# Pixels that one solver call works on: enough to hide the interpreter, few enough for a core's cache; a GPU wants more.
_BLOCK = 4_096
_BLOCK_GPU = 262_144
LEAST_SIGNAL = 1e-12  # mean reflectance below which squares underflow
_LEAST_DIFFUSE = 1e-6  # of i_s: less diffuse light is rounding, and tells nothing of pigments
PIGMENTS = ("f_mel", "f_blood")
PARAMETERS = (*PIGMENTS, "i_d", "i_s")
STD, CORRELATION = "std_", "correlation_"

Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # index, pixels, scales as in Criterion or None for ones
FittedBlock = tuple[np.ndarray, np.ndarray, np.ndarray]  # index, maps, statuses
Work = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]  # a `Worker`, or the like
Run = Callable[[Work, Iterator[Block]], Iterator[FittedBlock]]


@dataclass(frozen=True)
class Worker:
    """Fits blocks of pixels: the solver with all that it needs to know."""

    solver: Solver | JointSolver
    box: Mapping[str, tuple[float, float]]  # f_mel, f_blood, then the extra parameters; equal ends hold one
    device: torch.device
    dtype: torch.dtype
    criterion: Criterion
    std: bool
    certificate: Certificate | None = None

    @classmethod
    def create(
        cls,
        model: SkinModel,
        box: dict[str, tuple[float, float]],
        cube: Cube,
        device: torch.device,
        dtype: torch.dtype,
        criterion: Criterion,
        std: bool,
        certify: bool = False,
    ) -> Worker:
        solver = solver_over(model, box, cube.wavelengths, dtype, device)
        certificate = Certificate(solver.skin, solver.lower, solver.upper) if certify else None
        return cls(solver, box, device, dtype, criterion, std, certificate)

    @property
    def extras(self) -> list[str]:
        """Names of the extra parameters, those that are held too."""
        return list(self.box)[len(PIGMENTS) :]

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters of the solver's skin."""
        return (*PIGMENTS, *(name for name in self.extras if self.box[name][0] < self.box[name][1]))

    def maps(self) -> list[str]:
        """Names of the columns of a fitted block."""
        names = (*self.free, "i_d", "i_s")
        certainty = [*(STD + name for name in names), *(CORRELATION + pair for pair in pairs(names))]
        gap = [] if self.certificate is None else ["gap"]
        return [*PARAMETERS, "rmse", *self.extras, *(certainty if self.std else ()), *gap]

    def __call__(self, pixels: np.ndarray, scale: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Fit (n, band) reflectances, whose residuals are scaled as in `Criterion`: maps (n, map) and statuses (n,)."""
        y = torch.from_numpy(pixels).to(self.device, self.dtype)
        solver, criterion = self.solver, self.criterion
        loss = criterion.loss(None if scale is None else torch.from_numpy(scale).to(self.device), y)
        if criterion.huber is None or isinstance(solver, JointSolver):
            solution = solver(y, loss.squares(y))
        else:
            solution = solve_robustly(solver, y, loss)
        gap = None
        if self.certificate is not None:
            solution, gap = self.certificate(y, loss.squares(y), solution)
        more = []
        if self.std:
            certainty = uncertainty(solver.skin, solution.point, y, loss, solver.lower, solver.upper)
            more = [certainty.std, certainty.correlation]
        if gap is not None:
            more.append(gap.to(self.dtype).unsqueeze(1))
        proved = None if gap is None else gap <= GLOBAL
        return self.told(solution, self._rmse(solution.point, y, loss), more, proved)

    def told(
        self, solution: Descent, rmse: Tensor, more: Sequence[Tensor] = (), proved: Tensor | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Maps (n, map) and statuses (n,) of solutions with their residual, and `more` columns of maps (n, ...)."""
        point = solution.point
        i_d = torch.where(point.i_d > _LEAST_DIFFUSE * point.i_s, point.i_d, 0)
        fractions = torch.where((i_d <= 0).unsqueeze(1), torch.nan, point.fractions)
        columns = [fractions[:, :2], torch.stack((i_d, point.i_s, rmse), 1)]
        for name in self.extras:
            held = torch.full_like(fractions[:, :1], self.box[name][0])
            columns.append(fractions[:, self.free.index(name)].unsqueeze(1) if name in self.free else held)
        lower, upper = self.solver.lower, self.solver.upper
        status = statuses(point.fractions, i_d, solution.converged, lower, upper, proved)
        maps, known = torch.cat([*columns, *more], 1), torch.isfinite(rmse)
        if not bool(known.all()):  # samples whose squares the type does not hold
            maps[~known], status[~known] = torch.nan, int(Status.NOT_CONVERGED)
        return maps.cpu().numpy(), status.cpu().numpy()

    def _rmse(self, point: Point, pixels: Tensor, loss: Loss) -> Tensor:
        """Root mean squared residual in reflectance over the samples that count, whatever was minimised."""
        bands = pixels.shape[1] if loss.scale is None else (loss.scale > 0).sum(1)
        if self.criterion.plain:
            return (point.cost / bands).sqrt()
        squares = residuals(self.solver.skin, point, pixels).square()
        return ((squares if loss.scale is None else squares * (loss.scale > 0)).sum(1) / bands).sqrt()


# Status by where f_mel (rows) and f_blood (columns) lie: inside, on the lower bound, on the upper bound.
_BY_EDGE = (
    (Status.CONVERGED, Status.F_BLOOD_LOWER, Status.F_BLOOD_UPPER),
    (Status.F_MEL_LOWER, Status.F_MEL_LOWER_F_BLOOD_LOWER, Status.F_MEL_LOWER_F_BLOOD_UPPER),
    (Status.F_MEL_UPPER, Status.F_MEL_UPPER_F_BLOOD_LOWER, Status.F_MEL_UPPER_F_BLOOD_UPPER),
)


def statuses(
    fractions: Tensor, i_d: Tensor, converged: Tensor, lower: Tensor, upper: Tensor, proved: Tensor | None = None
) -> Tensor:
    """Statuses (n,) of fits that ended at fractions (n, 2) of the box [lower, upper], some `proved` to be global."""
    held = lower == upper
    edge = torch.where(fractions <= lower, 1, torch.where(fractions >= upper, 2, 0))
    edge = torch.where(held, 0, edge)
    by_edge = torch.tensor(_BY_EDGE, dtype=torch.uint8, device=edge.device)
    proved = torch.zeros_like(converged) if proved is None else proved
    # a global minimum is one, however the descent ended
    status = torch.where(converged | proved, by_edge[edge[:, 0], edge[:, 1]], int(Status.NOT_CONVERGED))
    status = torch.where(i_d > 0, status, int(Status.NO_DIFFUSE))
    return torch.where(proved, status + CERTIFIED, status).to(torch.uint8)


def screen(pixels: np.ndarray, usable: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Statuses (n,) before the fit: converged where a pixel may be fitted, else why not."""
    if np.count_nonzero(usable) == usable.size:  # the usual case, told much faster than pixel by pixel
        bands, mean = np.full(len(pixels), usable.shape[1]), np.einsum("pb->p", pixels) / usable.shape[1]
    else:
        bands = usable.sum(1)
        mean = np.where(usable, pixels, 0).sum(1) / np.maximum(bands, 1)
    status = np.where(mean > LEAST_SIGNAL, Status.CONVERGED, Status.MASKED_NO_SIGNAL)
    status = np.where(bands < FEWEST_BANDS, Status.MASKED_TOO_FEW_BANDS, status)
    return np.where(wanted, status, Status.MASKED_BY_USER).astype(np.uint8)


def blocks(pixels: np.ndarray, scale: np.ndarray, status: np.ndarray, device: torch.device) -> Iterator[Block]:
    """Blocks of pixels to fit: (index, pixels, scale), first those with all their bands where the scale is 1 or 0."""
    size = _BLOCK if device.type == "cpu" else _BLOCK_GPU
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


@contextmanager
def pool(device: torch.device) -> Iterator[Run]:
    """How blocks are worked off: on a GPU one by one; on a CPU one thread a core, each with its own block in its cache.

    Torch's own threads would split every small operation and wait for each other after each.
    """
    if device.type != "cpu":
        yield lambda worker, blocks: ((index, *worker(pixels, scale)) for index, pixels, scale in blocks)
        return
    cores = torch.get_num_threads()
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as threads:

        def run(worker: Work, blocks: Iterator[Block]) -> Iterator[FittedBlock]:
            return iter(threads.map(lambda block: (block[0], *worker(block[1], block[2])), blocks))

        try:
            yield run
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            torch.set_num_threads(cores)
