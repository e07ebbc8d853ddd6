"""The fit of two-layer skin to pixels that are mixtures of few spectra, from their coefficients.

The sum of squares over all bands is one over coordinates of any space in which pixel and skin lie. A pixel's part
outside the space that reflectances of skin span adds to it what no skin can change, so that coordinates of this space
suffice: as many as bring every reflectance within `_ERROR` of itself, by which the root mean square residual may then
differ from that over all bands, at i_d = 1. They follow from the coefficients by one small matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from msfit.skin.layers import Constants
from msfit.skin.registry import Skin
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.kernels.low_rank_basis import Compression, compress
from msfit.solve.search import Grid, directions
from msfit.solve.solution import Solution
from msfit.solve.units import LEAST, MOST

_ERROR = 1.5e-6
# With fewer bands than so many there is nothing to gain (benchmarks/fit_speed.py).
_MANY = 64
# Numbers of coordinates that are tried; with more there would be nothing to gain over all bands.
_COUNTS = range(20, 52, 4)
# Whether a pixel is below zero is seen from every so manieth band, unless it is nearly so.
_EVERY = 4
# Nodes an axis from which coordinates are found, and others on which they are tried.
_NODES, _OTHERS = 25, 36


@dataclass(frozen=True, eq=False)
class LowRankPixels:
    """Pixels by their coordinates, those of them that can be fitted so.

    Attributes
    ----------
    usable : bool array (n,)
        Whether a pixel is finite, nowhere below zero, not dark, and not a difference of much larger terms.
    search : float32 array (block, coordinate, lane)
        Of the usable ones, what `SearchTable` compares with its nodes.
    coordinates : float32 array (usable, coordinate)
    outside : float32 array (usable,)
        Sum of squares over bands of what no coordinate holds.
    """

    usable: np.ndarray
    search: np.ndarray
    coordinates: np.ndarray
    outside: np.ndarray


class LowRankSolver:
    """Minimises the plain sum of squares of pixels that are given by coefficients, in single precision on a CPU.

    Parameters
    ----------
    solver : CpuSolver
        That of the bands.
    compression : Compression
        Of the skin's reflectances.
    spectra : float64 array (band, term)
        Pixels are u @ spectra.T.
    """

    def __init__(self, solver: CpuSolver, compression: Compression, spectra: np.ndarray) -> None:
        self.solver, self.bands = solver, len(spectra)
        self.form = _compressed(solver.form, compression)
        outside, fine = _outside(spectra, compression), compression.basis.T @ spectra
        some, slack = _some(spectra)
        few = solver.table.basis.T.astype(float) @ spectra
        level, sizes = spectra.mean(0), np.sqrt((spectra**2).mean(0))
        self.coordinates = len(fine)
        # rows that lie in memory as columns would be compiled for anew
        terms = spectra, some, slack, level, sizes, outside, few, fine
        self._arrays = [np.ascontiguousarray(_filled(rows)) for rows in terms]

    @classmethod
    def over(cls, solver: CpuSolver, spectra: np.ndarray) -> LowRankSolver | None:
        """For pixels u @ spectra.T on the solver's bands, or None where it would not pay."""
        if len(spectra) < _MANY or solver.dtype != np.float32:
            return None
        compression = _fine(solver.skin, *solver.bounds)
        return None if compression is None else cls(solver, compression, spectra)

    def pixels(self, coefficients: np.ndarray, signal: float) -> LowRankPixels:
        """Pixels from `coefficients` (n, term): those of all spectra but the last, then the light that divides them.

        `signal` is the least mean reflectance of a pixel that is not dark. One that needs a unit of its own is not
        usable.
        """
        from msfit.solve.kernels.numba_low_rank import project

        return LowRankPixels(*project(coefficients, *self._arrays, np.float32(max(signal, LEAST)), np.float32(MOST)))

    def __call__(self, pixels: LowRankPixels) -> Solution:
        """Fit the usable pixels. The cost is that over all bands."""
        starts = self.solver.starts(pixels.search, len(pixels.coordinates))
        solution = self.solver.least(self.form, pixels.coordinates, *starts)
        return replace(solution, cost=solution.cost * (self.bands / self.coordinates) + pixels.outside)


def _fine(skin: Skin, lower: np.ndarray, upper: np.ndarray) -> Compression | None:
    """The fewest coordinates that hold all reflectances, or None where they are many."""
    nodes, others = (Grid.over(skin, lower, upper, count).spectra for count in (_NODES, _OTHERS))
    most = directions(nodes, max(_COUNTS))
    for count in _COUNTS:
        compression = compress(nodes, most[:, :count])
        if max(compression.error, compression.missed(others)) <= _ERROR:
            return compression
    return None


def _compressed(form: Constants, compression: Compression) -> Constants:
    """The constants of a skin whose pixels are given by coordinates."""
    return replace(
        form,
        spectra=np.ascontiguousarray(form.spectra[compression.bands]),
        mixing=compression.mixing.astype(np.float32),
    )


def _outside(spectra: np.ndarray, fine: Compression) -> np.ndarray:
    """A matrix whose product with u has the sum of squares of what the coordinates leave of a pixel: (row, term)."""
    basis = fine.basis * (len(spectra) / fine.basis.shape[1]) ** 0.5
    return np.asarray(np.linalg.qr(spectra - basis @ (basis.T @ spectra), mode="r"))


def _some(spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some bands of spectra (band, term), and by how much those between differ at most from a mean of two of them."""
    bands = np.arange(len(spectra))
    chosen = np.unique(np.append(bands[::_EVERY], bands[-1]))
    between = np.stack([np.interp(bands, chosen, column[chosen]) for column in spectra.T], 1)
    return spectra[chosen], np.abs(spectra - between).max(0)


def _filled(rows: np.ndarray) -> np.ndarray:
    """Rows (..., term) in single precision, filled up with zeros to a multiple of four terms."""
    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % 4)]).astype(np.float32)
