"""Pixels in blocks: which can be fitted, and how blocks are worked off on all cores or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msfit.bands import FEWEST_BANDS
from msfit.cube import Cube
from msfit.result import Status
from msfit.skin.registry import SkinModel
from msfit.solve.newton import Descent
from msfit.solve.solver import Solver
from msfit.solve.uncertainty import standard_deviations

# Pixels that one solver call works on: enough to hide the interpreter, few enough for a core's cache; a GPU wants more.
_BLOCK = 4_096
_BLOCK_GPU = 262_144
_LEAST_SIGNAL = 1e-12  # mean reflectance below which squares underflow
PARAMETERS = ("f_mel", "f_blood", "i_d", "i_s")

Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # index, pixels, usable bands or None for all
FittedBlock = tuple[np.ndarray, np.ndarray, np.ndarray]  # index, maps, statuses


@dataclass(frozen=True)
class Worker:
    """Fits blocks of pixels: the solver with all that it needs to know."""

    solver: Solver
    device: torch.device
    dtype: torch.dtype
    std: bool

    @classmethod
    def create(
        cls,
        model: SkinModel,
        box: dict[str, tuple[float, float]],
        cube: Cube,
        device: torch.device,
        dtype: torch.dtype,
        std: bool,
    ) -> Worker:
        skin = model.at(cube.wavelengths, dtype, device)
        lower, upper = (torch.tensor(ends, dtype=dtype, device=device) for ends in zip(*box.values(), strict=True))
        return cls(Solver(skin, lower, upper), device, dtype, std)

    def maps(self) -> list[str]:
        """Names of the columns of a fitted block."""
        return [*PARAMETERS, "rmse", *(f"std_{name}" for name in PARAMETERS if self.std)]

    def __call__(self, pixels: np.ndarray, usable: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Fit (n, band) reflectances, of which some bands are not usable: maps (n, map) and statuses (n,)."""
        y = torch.from_numpy(pixels).to(self.device, self.dtype)
        weights = None if usable is None else torch.from_numpy(usable).to(self.device, self.dtype)
        solver = self.solver
        solution = solver(y, weights)
        point = solution.point
        bands = y.shape[1] if weights is None else weights.sum(1)
        unlit = (point.i_d <= 0).unsqueeze(1)
        fractions = torch.where(unlit, torch.nan, point.fractions)
        columns = [fractions, torch.stack((point.i_d, point.i_s, (point.cost / bands).sqrt()), 1)]
        if self.std:
            columns.append(standard_deviations(solver.skin, point, y, weights, solver.lower, solver.upper))
        return torch.cat(columns, 1).cpu().numpy(), self._status(solution).cpu().numpy()

    def _status(self, solution: Descent) -> Tensor:
        point, solver = solution.point, self.solver
        held = solver.lower == solver.upper
        edge = torch.where(point.fractions <= solver.lower, 1, torch.where(point.fractions >= solver.upper, 2, 0))
        edge = torch.where(held, 0, edge)
        by_edge = torch.tensor(_BY_EDGE, dtype=torch.uint8, device=edge.device)
        status = by_edge[edge[:, 0], edge[:, 1]]
        status = torch.where(solution.converged, status, int(Status.NOT_CONVERGED))
        return torch.where(point.i_d > 0, status, int(Status.NO_DIFFUSE)).to(torch.uint8)


# Status by where f_mel (rows) and f_blood (columns) lie: inside, on the lower bound, on the upper bound.
_BY_EDGE = (
    (Status.CONVERGED, Status.F_BLOOD_LOWER, Status.F_BLOOD_UPPER),
    (Status.F_MEL_LOWER, Status.F_MEL_LOWER_F_BLOOD_LOWER, Status.F_MEL_LOWER_F_BLOOD_UPPER),
    (Status.F_MEL_UPPER, Status.F_MEL_UPPER_F_BLOOD_LOWER, Status.F_MEL_UPPER_F_BLOOD_UPPER),
)


def screen(pixels: np.ndarray, usable: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Statuses (n,) before the fit: converged where a pixel may be fitted, else why not."""
    bands = usable.sum(1)
    if bands.min() == usable.shape[1]:
        mean = pixels.mean(1)
    else:
        mean = np.where(usable, pixels, 0).sum(1) / np.maximum(bands, 1)
    status = np.where(mean > _LEAST_SIGNAL, Status.CONVERGED, Status.MASKED_NO_SIGNAL)
    status = np.where(bands < FEWEST_BANDS, Status.MASKED_TOO_FEW_BANDS, status)
    return np.where(wanted, status, Status.MASKED_BY_USER).astype(np.uint8)


def blocks(pixels: np.ndarray, usable: np.ndarray, status: np.ndarray, device: torch.device) -> Iterator[Block]:
    """Blocks of pixels to fit: (index, pixels, usable), those with all their bands first, without weights."""
    size = _BLOCK if device.type == "cpu" else _BLOCK_GPU
    fittable = status == Status.CONVERGED
    complete = usable.all(1)
    for group, weighted in ((fittable & complete, False), (fittable & ~complete, True)):
        index = np.flatnonzero(group)
        for first in range(0, index.size, size):
            block = index[first : first + size]
            good = usable[block] if weighted else None
            yield block, pixels[block] if good is None else np.where(good, pixels[block], 0), good


@contextmanager
def pool(device: torch.device) -> Iterator[Callable[[Worker, Iterator[Block]], Iterator[FittedBlock]]]:
    """How blocks are worked off: on a GPU one by one; on a CPU one thread a core, each with its own block in its cache.

    Torch's own threads would split every small operation and wait for each other after each.
    """
    if device.type != "cpu":
        yield lambda worker, blocks: ((index, *worker(pixels, usable)) for index, pixels, usable in blocks)
        return
    cores = torch.get_num_threads()
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as threads:

        def run(worker: Worker, blocks: Iterator[Block]) -> Iterator[FittedBlock]:
            return iter(threads.map(lambda block: (block[0], *worker(block[1], block[2])), blocks))

        try:
            yield run
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            torch.set_num_threads(cores)
