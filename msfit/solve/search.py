"""Global search: the objective at every node of a table over the pigments, and from where to descend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from msfit.errors import InputError
from msfit.skin.registry import Skin

if TYPE_CHECKING:
    from msfit.solve.kernels.polynomials import CompiledTable

# Nodes an axis. Whether they find every basin is checked against an exhaustive search (benchmarks/oracle.py).
_NODES = 13
# Reflectance bends most where there is little pigment: nodes lie at s(u) = u (u + a) / (1 + a) of the box, u uniform.
_BEND = 0.1
_MOST_STARTS = 4
_STRIP = 2**16  # samples of the model that are computed together, in the cache
_PLATEAU = 1 + 1e-6


@dataclass(frozen=True, eq=False)
class Table:
    """Reflectance on a grid over the box of pigments, and where in the box its local minima lie for given pixels.

    `fractions` (node, 2) and float32 `spectra` (band, node) of the grid, whose `shape` is nodes an axis; the box;
    `compiled`: what the compiled search needs, on the CPU only.
    """

    fractions: Tensor
    spectra: Tensor
    shape: tuple[int, int]
    lower: Tensor
    upper: Tensor
    compiled: CompiledTable | None

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> Table:
        """Tabulate a skin over the box [lower, upper], tensors (2,). An axis of no width has one node.

        Raises
        ------
        InputError
            The model is not defined (not finite and positive) somewhere in the box.
        """
        shape, fractions, spectra = tabulated(skin, lower, upper, _NODES)
        if not bool((torch.isfinite(spectra) & (spectra > 0)).all()):
            box = ", ".join(f"{a:g} to {b:g}" for a, b in zip(lower.tolist(), upper.tolist(), strict=True))
            raise InputError(
                f"bounds: the skin model is not finite and positive everywhere in f_mel, f_blood = {box}; "
                "choose narrower bounds, or mend the model"
            )
        table = cls(fractions, spectra.T.contiguous().float(), shape, lower, upper, None)
        if lower.device.type != "cpu":
            return table
        from msfit.solve.kernels.polynomials import CompiledTable  # numba is not needed where there is a GPU

        def fractions_at(places: np.ndarray) -> np.ndarray:
            last = torch.tensor(shape) - 1
            return (lower + (upper - lower) * _stretch(torch.from_numpy(places) / last.clamp_min(1))).numpy()

        def reflectance_at(places: np.ndarray) -> np.ndarray:
            inside = torch.from_numpy(fractions_at(places)).clamp(lower, upper).to(lower)
            strips = inside.split(max(1, _STRIP // spectra.shape[1]))
            return torch.cat([skin.reflectance(strip) for strip in strips]).double().numpy()

        compiled = CompiledTable.over(shape, spectra.double().numpy(), fractions_at, reflectance_at)
        return replace(table, compiled=compiled)

    def starts(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Points from which to descend to every minimum: pixel index (start,), sorted, and fractions (start, 2).

        A pixel has a start for each local minimum of its objective on the grid (8 neighbours) that may be the least, at
        most four, best first.
        """
        pixels = pixels.float()
        if weights is None and self.compiled is not None:
            return self.starts_of(self.compiled.coordinates(pixels.numpy()), len(pixels))
        node = self.summits(pixels, None if weights is None else weights.float())
        pixel, rank = (node >= 0).nonzero(as_tuple=True)
        return pixel, self.fractions[node[pixel, rank]]

    def starts_of(self, coordinates: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
        """The same of `count` pixels, from their coordinates as `CompiledTable` has them, without weights."""
        assert self.compiled is not None
        owner, start = (torch.from_numpy(a) for a in self.compiled.starts(coordinates, count))
        # what single precision takes for the box may be larger
        return owner, start if self.lower.dtype == torch.float32 else start.to(self.lower).clamp(self.lower, self.upper)

    def summits(self, pixels: Tensor, weights: Tensor | None) -> Tensor:
        """Coarse nodes that are local minima of the objective, (n, 4), best first, -1 where there is none."""
        explained, flat = self._explained(pixels, weights)
        grid = explained.view(-1, *self.shape)
        top = (grid >= _spread(_spread(grid, 1), 2)).view_as(explained)
        best, first = explained.max(1)
        # where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own
        other = top & (explained < best.unsqueeze(1)) & (explained > flat * _PLATEAU)
        height = torch.where(other, explained, -torch.inf)
        others, node = height.topk(min(_MOST_STARTS - 1, height.shape[1]), dim=1)
        return torch.cat((first.unsqueeze(1), torch.where(others > -torch.inf, node, -1)), 1)

    def _explained(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """What of sum_b w_b y_b^2 each node explains with its best shadings, (n, node), and what white does, (n, 1)."""
        spectra = self.spectra
        if weights is None:
            weighted, total = pixels, pixels.new_tensor(pixels.shape[1])
            sums, squares = spectra.sum(0), spectra.square().sum(0)
        else:
            weighted, total = weights * pixels, weights.sum(1, keepdim=True)
            sums, squares = weights @ spectra, weights @ spectra.square()
        pixel_sum = weighted.sum(1, keepdim=True)
        cross = weighted @ spectra
        spread = squares - sums * sums / total
        contrast = cross - pixel_sum * (sums / total)
        flat = pixel_sum * pixel_sum / total
        glossy = flat + contrast.clamp_min(0).square_() / spread
        matte = cross.clamp_min(0).square_() / squares
        return torch.where(pixel_sum * spread >= contrast * sums, glossy, matte), flat


def tabulated(skin: Skin, lower: Tensor, upper: Tensor, nodes: int) -> tuple[tuple[int, int], Tensor, Tensor]:
    """Nodes an axis, fractions (node, 2) and reflectance (node, band) on a grid over a box."""
    width = upper - lower
    rows, columns = (nodes if w > 0 else 1 for w in width.tolist())
    axes = (torch.linspace(0, 1, count, dtype=lower.dtype, device=lower.device) for count in (rows, columns))
    fractions = lower + width * _stretch(torch.cartesian_prod(*axes))
    return (rows, columns), fractions, skin.reflectance(fractions)


def _stretch(u: Tensor) -> Tensor:
    return u * (u + _BEND) / (1 + _BEND)


def _spread(grid: Tensor, axis: int) -> Tensor:
    """Largest value among each node and its two neighbours along an axis."""
    size = grid.shape[axis]
    if size == 1:
        return grid
    out = grid.clone()
    ahead, behind = grid.narrow(axis, 1, size - 1), grid.narrow(axis, 0, size - 1)
    torch.maximum(out.narrow(axis, 0, size - 1), ahead, out=out.narrow(axis, 0, size - 1))
    torch.maximum(out.narrow(axis, 1, size - 1), behind, out=out.narrow(axis, 1, size - 1))
    return out
