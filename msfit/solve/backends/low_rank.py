"""The fit of two-layer skin to pixels that are mixtures of few spectra, from their coefficients.

The sum of squares over all bands is one over coordinates of any space in which pixel and skin lie. A pixel's part
outside the space that reflectances of skin span adds to it what no skin can change, so that coordinates of this space
suffice: as many as bring every reflectance within `_ERROR` of itself, by which the root mean square residual may then
differ from that over all bands, at i_d = 1. They follow from the coefficients by one small matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.backends.cpu import CompiledSolver
from msfit.solve.kernels.constants import Constants
from msfit.solve.kernels.low_rank_basis import Compression, compress, directions
from msfit.solve.search import Grid
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver

_ERROR = 1.5e-6
# Fewer bands than so many are left as they are.
_MANY = 64
# Numbers of coordinates that are tried; with more there would be nothing to gain over all bands.
_COUNTS = range(20, 52, 4)
# Whether a pixel is below zero is seen from every so manieth band, unless it is nearly so.
_EVERY = 4
# Nodes an axis from which coordinates are found, and others on which they are tried.
_NODES, _OTHERS = 25, 36


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Pixels by their coordinates: `few` for the search, as `CompiledTable` has them, and `fine` (n, coordinate).

    `outside` (n,): sum of squares over bands of what no coordinate holds; `sound` (n,): whether the pixel is finite,
    nowhere below zero, not dark, and not a difference of much larger terms, so that the rest holds. One that is not has
    zeros. All else is float32.
    """

    few: np.ndarray
    fine: np.ndarray
    outside: np.ndarray
    sound: np.ndarray


class MixtureSolver:
    """Minimises what `PigmentSolver` does, for pixels given by coefficients, in single precision on a CPU.

    Parameters
    ----------
    solver : PigmentSolver
        That of the bands; its compiled form must be there.
    compiled : CompiledSolver
        The same.
    spectra : float64 array (band, term)
        Pixels are u @ spectra.T.
    """

    def __init__(self, solver: PigmentSolver, compiled: CompiledSolver, spectra: np.ndarray) -> None:
        self.compiled, self.bands = compiled, len(spectra)
        self.form = compiled.form
        outside = fine = some = spectra[:0]
        slack = np.zeros(spectra.shape[1])
        found = None if len(spectra) < _MANY else _fine(solver.skin, solver.lower, solver.upper)
        if found is not None:
            self.form = _compressed(compiled.form, found)
            outside, fine = _outside(spectra, found), found.basis.T @ spectra
            some, slack = _some(spectra)
        few = compiled.table.basis.T.astype(float) @ spectra
        self.coordinates = len(fine) or self.bands
        level, sizes = spectra.mean(0), np.sqrt((spectra**2).mean(0))
        self._arrays = [_filled(rows) for rows in (spectra, some, slack, level, sizes, outside, few, fine)]

    @classmethod
    def over(cls, solver: PigmentSolver, spectra: np.ndarray) -> MixtureSolver | None:
        """For pixels u @ spectra.T on the solver's bands, or None where there is no compiled code for its skin."""
        return cls(solver, solver.compiled, spectra) if isinstance(solver.compiled, CompiledSolver) else None

    def mixtures(self, coefficients: np.ndarray, signal: float) -> Mixtures:
        """Pixels from `coefficients` (n, term): those of all spectra but the last, then the light that divides them.

        `signal` is the least mean reflectance of a pixel that is not dark.
        """
        from msfit.solve.kernels.numba_low_rank import mixtures  # numba is not needed where there is a GPU

        few, fine, outside, sound = mixtures(coefficients, *self._arrays, np.float32(signal))
        return Mixtures(few, fine, outside, sound)

    def __call__(self, pixels: Mixtures) -> Solution:
        """Fit pixels. The cost is that over all bands."""
        solution = self.compiled.least_of(self.form, pixels.fine, pixels.few)
        cost = solution.cost * (self.bands / self.coordinates) + torch.from_numpy(pixels.outside)
        return replace(solution, cost=cost)


def _fine(skin: Skin, lower: Tensor, upper: Tensor) -> Compression | None:
    """The fewest coordinates that hold all reflectances, or None where they are many."""
    known, others = (Grid.over(skin, lower, upper, nodes).spectra.double().numpy() for nodes in (_NODES, _OTHERS))
    most = directions(known, max(_COUNTS))
    for count in _COUNTS:
        found = compress(known, most[:, :count])
        if max(found.error, found.missed(others)) <= _ERROR:
            return found
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
