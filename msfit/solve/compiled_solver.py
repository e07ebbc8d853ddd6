"""The fit of two-layer skin on a CPU, all bands counting alike: search and descent compiled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.compressed import Compression, compress
from msfit.solve.newton import Descent
from msfit.solve.objective import Point
from msfit.solve.table import Table, tabulated
from msfit.solve.two_layers import Constants, constants

# Of so many bands or more, pixels are first fitted by so many coordinates, a multiple of four: one evaluation on all
# bands remains, seldom two.
_MANY, _COORDINATES = 64, 16
# A descent is done when its next step promises to lower the sum of squares by less than this share of it: as in newton,
# and by coordinates, after which another follows.
_TOLERANCE, _TOLERANCE_OF_FEW = np.float32(1e-6), np.float32(1e-4)


class CompiledSolver:
    """What `Solver` does, where it can be compiled, up to which of a pixel's descents ended lowest."""

    def __init__(self, skin: Skin, form: Constants, lower: Tensor, upper: Tensor) -> None:
        self.box = [end.float().numpy() for end in (lower, upper)]
        self.form = self.few = form
        self.basis = basis = None
        if len(form.spectra) >= _MANY:
            compression = compress(tabulated(skin, lower, upper, nodes=25)[2].double().numpy(), _COORDINATES)
            basis = torch.from_numpy(compression.basis)
            self.basis = compression.basis.astype(np.float32)
            self.few = compressed(form, compression)
        self.table = Table.over(skin, lower, upper, basis)

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> CompiledSolver | None:
        """For a skin over a box, or None where there is no compiled code for it."""
        form = constants(skin) if lower.device.type == "cpu" else None
        return None if form is None else cls(skin, form, lower, upper)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Descent]:
        """The descents of pixels (n, band) float32, and whose they are: pixel index (descent,), sorted."""
        pixels = pixels.contiguous()  # other orders would be compiled, and round, differently
        if self.basis is None:
            return self.descents(self.form, pixels, pixels)
        from msfit.solve.compiled_search import coordinates

        return self.descents(self.form, pixels, torch.from_numpy(coordinates(pixels.numpy(), self.basis)))

    def descents(self, form: Constants, pixels: Tensor, few: Tensor) -> tuple[Tensor, Descent]:
        """The same for pixels by bands or coordinates, those of `form`, and by the few in which they are searched."""
        owner, start = self.table.starts(few, None)
        if self.basis is not None:
            start = self._descend(self.few, few, owner, start.float(), _TOLERANCE_OF_FEW)[:, 12:].contiguous()
        found = self._descend(form, pixels, owner, start.float(), _TOLERANCE)
        i_d, i_s, cost = found[:, 2:5].unbind(1)
        point = Point(found[:, :2], i_d, i_s, cost, gradient=found[:, 5:7], hessian=found[:, 7:10])
        return owner, Descent(point, found[:, 10] > 0, found[:, 11].to(torch.int16))

    def _descend(self, form: Constants, pixels: Tensor, owner: Tensor, start: Tensor, tolerance: np.float32) -> Tensor:
        from msfit.solve.compiled_descent import descend  # numba is not needed where there is a GPU

        arrays = [tensor.numpy() for tensor in (pixels, owner, start)]
        return torch.from_numpy(descend(*arrays, form.spectra, form.thickness, form.mixing, *self.box, tolerance))


def compressed(form: Constants, compression: Compression) -> Constants:
    """The constants of a skin whose pixels are given by coordinates."""
    return replace(
        form,
        spectra=np.ascontiguousarray(form.spectra[compression.bands]),
        mixing=compression.mixing.astype(np.float32),
    )
