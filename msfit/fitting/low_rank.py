"""Pixels that are fitted from their coefficients in few spectra, and expanded only where that does not hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from msfit.data.cube import Cube
from msfit.data.low_rank import LinearSpectra
from msfit.data.status import STATUS_TYPE
from msfit.fitting.maps import LEAST_SIGNAL
from msfit.fitting.worker import FittedBlock, Run, Worker, blocks, screen
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.low_rank import LowRankSolver
from msfit.solve.solver import PigmentSolver

_STRIP = 2_048  # pixels that are expanded together


class LowRankWorker:
    """Does what `Worker` does, for blocks of coefficients.

    A pixel is fitted from its coefficients if it is finite and clipped nowhere; all others are expanded, screened and
    fitted by the `Worker`.
    """

    def __init__(self, worker: Worker, solver: LowRankSolver, values: LinearSpectra, light: np.ndarray) -> None:
        self.worker, self.solver = worker, solver
        self.values, self.light = values, light

    @classmethod
    def over(cls, cube: Cube, worker: Worker) -> LowRankWorker | None:
        """For a cube of coefficients under space times spectrum, or None: where samples have to be seen one by one."""
        values = cube.values
        if not isinstance(values, LinearSpectra) or not isinstance(worker.solver, PigmentSolver) or worker.by_samples:
            return None
        if cube.dark is not None or cube.saturation is not None:
            return None
        light = _spectrum(cube)
        if light is None or not (light > 0).all():
            return None
        spectra = np.column_stack((values.functions, values.mean)).astype(np.float64) / light[:, None]
        kernel = worker.solver.kernel
        solver = LowRankSolver.over(kernel, spectra) if isinstance(kernel, CpuSolver) else None
        return None if solver is None else cls(worker, solver, values, light)

    def begin(self, cube: Cube, rows: slice, status: np.ndarray, run: Run) -> Iterator[FittedBlock]:
        """Blocks of some rows' pixels, fitted; `status` (n,) before is that they are wanted, then that of masked ones.

        `run` comes from `msfit.fitting.worker.pool`.
        """
        pixels = self._coefficients(cube, rows)
        alike = np.ones((len(pixels), 1), bool)
        return run(self, blocks(pixels, alike, status, self.worker.device))

    def __call__(
        self, pixels: np.ndarray, scale: np.ndarray | None = None, index: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit coefficients with, last, the light (n, term): maps (map, n) and statuses (n,)."""
        projected = self.solver.pixels(pixels, LEAST_SIGNAL)
        solution, usable = self.solver(projected), projected.usable
        fitted = self.worker.to_maps(solution, np.sqrt(solution.cost / np.float32(self.solver.bands)))
        if usable.all():
            return fitted
        maps = np.full((len(fitted[0]), len(pixels)), np.nan, fitted[0].dtype)
        status = np.zeros(len(pixels), STATUS_TYPE)
        maps[:, usable], status[usable] = fitted
        others = np.flatnonzero(~usable)
        for first in range(0, others.size, _STRIP):
            part = others[first : first + _STRIP]
            maps[:, part], status[part] = self._by_samples(pixels[part])
        return maps, status

    def _by_samples(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of pixels that have to be seen sample by sample."""
        spectra = self._expanded(pixels)
        usable = np.isfinite(spectra)
        status = screen(spectra, usable, np.ones(len(spectra), bool))
        maps = np.full((len(self.worker.maps), len(spectra)), np.nan, np.float32)
        for index, block, scale in blocks(spectra, usable, status, self.worker.device):
            maps[:, index], status[index] = self.worker(block, scale)
        return maps, status

    def _coefficients(self, cube: Cube, rows: slice) -> np.ndarray:
        coefficients = cube.values.coefficients[rows].reshape(-1, self.values.coefficients.shape[-1])
        amount = np.ones(1, coefficients.dtype)
        if isinstance(cube.illuminant, LinearSpectra):
            amount = cube.illuminant.coefficients[rows].reshape(-1)
        column = np.broadcast_to(amount, len(coefficients))[:, None]
        return np.concatenate((coefficients, column), 1)

    def _expanded(self, pixels: np.ndarray) -> np.ndarray:
        """Reflectance as `Cube.rows` gives it."""
        radiance = LinearSpectra(pixels[:, :-1], self.values.functions, self.values.mean, self.values.floor)
        amount = np.where(pixels[:, -1:] > 0, pixels[:, -1:], np.nan)
        return np.asarray(radiance) / (amount * self.light.astype(radiance.dtype))


def _spectrum(cube: Cube) -> np.ndarray | None:
    """The spectrum (band,) of light that is the same at every pixel but for its amount; None of other light."""
    light = cube.illuminant
    if light is None:
        return np.ones(len(cube.wavelengths))
    if isinstance(light, LinearSpectra):
        alone = light.functions.shape[1] == 1 and not light.mean.any()
        return light.functions[:, 0].astype(np.float64) if alone else None
    return np.asarray(light, np.float64) if light.ndim == 1 else None
