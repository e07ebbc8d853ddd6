"""Global search: the objective at every node of a table over the pigments, and its local minima as starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.errors import InputError
from msfit.skin.registry import Skin

# Reflectance bends most where there is little pigment, so nodes are quadratically denser there. Whether 16 nodes an
# axis find every basin is checked against an exhaustive search of 512 x 512 nodes (benchmarks/oracle.py).
_NODES = 16
_SPACING = 2.0
_MOST_STARTS = 4
# Where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own.
_PLATEAU = 1 + 1e-6


@dataclass(frozen=True, eq=False)
class Table:
    """Reflectance on a grid of pigments: `fractions` (node, 2), `spectra` (band, node), `shape` nodes an axis.

    Spectra are float32 whatever the fractions are: the search only has to find the right basin.
    """

    fractions: Tensor
    spectra: Tensor
    squares: Tensor
    shape: tuple[int, int]

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor) -> Table:
        """Tabulate a skin over the box [lower, upper], tensors (2,). An axis of no width has one node.

        Raises
        ------
        InputError
            The model is not defined (not finite and positive) somewhere in the box.
        """
        axes = [
            low
            + (high - low)
            * torch.linspace(0, 1, _NODES if high > low else 1, dtype=low.dtype, device=low.device) ** _SPACING
            for low, high in zip(lower, upper, strict=True)
        ]
        fractions = torch.cartesian_prod(*axes)
        spectra = skin.reflectance(fractions)
        if not bool((torch.isfinite(spectra) & (spectra > 0)).all()):
            box = ", ".join(f"{low:g} to {high:g}" for low, high in zip(lower.tolist(), upper.tolist(), strict=True))
            raise InputError(
                f"bounds: the skin model is not defined everywhere in f_mel, f_blood = {box}; choose narrower bounds"
            )
        spectra = spectra.T.contiguous().float()
        return cls(fractions, spectra, spectra * spectra, (axes[0].numel(), axes[1].numel()))

    def starts(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Points from which to descend to every minimum: pixel index (start,), sorted, and fractions (start, 2).

        A pixel has a start at each local minimum of its objective on the grid (8 neighbours), at most four, best first.
        """
        pixels, weights = pixels.float(), None if weights is None else weights.float()
        node = (self.summits_compiled if pixels.device.type == "cpu" else self.summits)(pixels, weights)
        pixel, rank = (node >= 0).nonzero(as_tuple=True)
        return pixel, self.fractions[node[pixel, rank].long()]

    def summits_compiled(self, pixels: Tensor, weights: Tensor | None) -> Tensor:
        """Nodes of `starts`, int16 (n, 4), -1 where there is none. On the CPU."""
        from msfit.solve.compiled import summits  # numba is not needed where there is a GPU

        nodes = summits(
            pixels.numpy(),
            None if weights is None else weights.numpy(),
            self.spectra.numpy(),
            self.squares.numpy(),
            self.shape,
            _MOST_STARTS,
            _PLATEAU,
        )
        return torch.from_numpy(nodes)

    def summits(self, pixels: Tensor, weights: Tensor | None) -> Tensor:
        """The same in torch, on any device."""
        explained, flat = self._explained(pixels, weights)
        grid = explained.view(-1, *self.shape)
        top = (grid >= _spread(_spread(grid, 1), 2)).view_as(explained)
        best, first = explained.max(1)
        other = top & (explained < best.unsqueeze(1)) & (explained > flat * _PLATEAU)
        height = torch.where(other, explained, -torch.inf)
        others, node = height.topk(min(_MOST_STARTS - 1, height.shape[1]), dim=1)
        node = torch.where(others > -torch.inf, node, -1)
        return torch.cat((first.unsqueeze(1), node), 1).short()

    def _explained(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """What of sum_b w_b y_b^2 each node explains with its best shadings, (n, node), and what white does, (n, 1)."""
        if weights is None:
            weighted, total = pixels, pixels.new_tensor(pixels.shape[1])
            sums, squares = self.spectra.sum(0), self.squares.sum(0)
        else:
            weighted, total = weights * pixels, weights.sum(1, keepdim=True)
            sums, squares = weights @ self.spectra, weights @ self.squares
        pixel_sum = weighted.sum(1, keepdim=True)
        cross = weighted @ self.spectra
        spread = squares - sums * sums / total
        contrast = cross - pixel_sum * (sums / total)
        flat = pixel_sum * pixel_sum / total
        glossy = flat + contrast.clamp_min(0).square_() / spread
        matte = cross.clamp_min(0).square_() / squares
        return torch.where(pixel_sum * spread >= contrast * sums, glossy, matte), flat


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
