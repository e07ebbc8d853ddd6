"""The fit of two-layer skin on a CPU, all bands counting alike: search and descent compiled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.newton import Descent
from msfit.solve.objective import Point
from msfit.solve.table import Table
from msfit.solve.two_layers import Constants, constants

# Of so many bands or more, neighbours are averaged first, down to so few: there the search and most steps are as cheap
# as on few bands, and one or two steps on all bands remain.
_MANY, _FEW = 80, 30
# A descent is done when its next step promises to lower the sum of squares by less than this share of it.
_TOLERANCE, _TOLERANCE_OF_FEW = np.float32(1e-6), np.float32(1e-3)


class CompiledSolver:
    """What `Solver` does, where it can be compiled; see `over`."""

    def __init__(self, skin: Skin, form: Constants, lower: Tensor, upper: Tensor) -> None:
        bands = len(form.spectra)
        self.box = [end.float().numpy() for end in (lower, upper)]
        self.form = self.few = form
        self.edges = None
        if bands >= _MANY:
            self.edges = np.linspace(0, bands, _FEW + 1).round().astype(np.int64)
            skin = Averaged(skin, self.edges)
            self.few = replace(form, spectra=_means(form.spectra, self.edges))
        self.table = Table.over(skin, lower, upper)

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> CompiledSolver | None:
        """For a skin over a box, or None where there is no compiled code for it."""
        form = constants(skin) if lower.device.type == "cpu" else None
        return None if form is None else cls(skin, form, lower, upper)

    def __call__(self, pixels: Tensor) -> Descent:
        """Fit pixels (n, band) float32."""
        owner, start = self._starts(pixels)
        found = self._descend(self.form, pixels, owner, start, _TOLERANCE)
        i_d, i_s, cost = found[:, 2:5].unbind(1)
        point = Point(found[:, :2], i_d, i_s, cost, gradient=found[:, 5:7], hessian=found[:, 7:10])
        return Descent(point, found[:, 10] > 0, found[:, 11].to(torch.int16))

    def ends(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Where the descents of pixels (n, band) float32 end: pixel index (end,), sorted, and fractions (end, 2)."""
        owner, start = self._starts(pixels)
        return owner, self._descend(self.form, *_each(pixels, owner), start, _TOLERANCE)[:, :2]

    def _starts(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if self.edges is None:
            owner, start = self.table.starts(pixels, None)
            return owner, start.float()
        from msfit.solve.compiled_search import average

        few = torch.from_numpy(average(pixels.numpy(), self.edges))
        owner, start = self.table.starts(few, None)
        found = self._descend(self.few, *_each(few, owner), start.float(), _TOLERANCE_OF_FEW)
        return owner, found[:, 12:].contiguous()  # where the next step would have led

    def _descend(self, form: Constants, pixels: Tensor, owner: Tensor, start: Tensor, tolerance: np.float32) -> Tensor:
        from msfit.solve.compiled_descent import descend  # numba is not needed where there is a GPU

        arrays = [tensor.numpy() for tensor in (pixels, owner, start)]
        return torch.from_numpy(descend(*arrays, form.spectra, form.thickness, *self.box, tolerance))


@dataclass(frozen=True, eq=False)
class Averaged:
    """A skin whose neighbouring bands are averaged: group g is bands edges[g] to edges[g + 1]."""

    skin: Skin
    edges: np.ndarray

    def to(self, dtype: torch.dtype, device: torch.device) -> Averaged:
        """The same skin in another type or place."""
        return Averaged(self.skin.to(dtype, device), self.edges)

    def reflectance(self, fractions: Tensor) -> Tensor:
        """Reflectance (..., group) at fractions (..., 2)."""
        return self._averaged(self.skin.reflectance(fractions))

    def jacobian(self, fractions: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Reflectance (..., group) and its derivatives, each (..., group)."""
        reflectance, derivatives = self.skin.jacobian(fractions)
        return self._averaged(reflectance), tuple(self._averaged(derivative) for derivative in derivatives)

    def _averaged(self, spectra: Tensor) -> Tensor:
        groups = spectra.split(np.diff(self.edges).tolist(), dim=-1)
        return torch.stack([group.mean(-1) for group in groups], -1)


def _each(pixels: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel of every start, as if each were a pixel of its own."""
    return pixels if owner.numel() == len(pixels) else pixels[owner], torch.arange(owner.numel())


def _means(spectra: np.ndarray, edges: np.ndarray) -> np.ndarray:
    sums = np.add.reduceat(spectra.astype(np.float64), edges[:-1], axis=0)
    return np.ascontiguousarray(sums / np.diff(edges)[:, None], dtype=np.float32)
