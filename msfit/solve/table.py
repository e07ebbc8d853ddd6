"""Global search: the objective at every node of a table over the pigments, and from where to descend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msfit.errors import InputError
from msfit.skin.registry import Skin

# Nodes an axis. Whether they find every basin is checked against an exhaustive search (benchmarks/oracle.py).
_NODES = 13
# Reflectance bends most where there is little pigment: nodes lie at s(u) = u (u + a) / (1 + a) of the box, u uniform.
_BEND = 0.1
_MOST_STARTS = 4
_PLATEAU = 1 + 1e-6


@dataclass(frozen=True, eq=False)
class Table:
    """Reflectance on a grid over the box of pigments, and where in the box its local minima lie for given pixels.

    `fractions` (node, 2) and float32 `spectra` (band, node) of the grid, whose `shape` is nodes an axis; `compiled`:
    basis and table of the compiled search, on the CPU only.
    """

    fractions: Tensor
    spectra: Tensor
    shape: tuple[int, int]
    compiled: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def over(cls, skin: Skin, lower: Tensor, upper: Tensor, basis: Tensor | None = None) -> Table:
        """Tabulate a skin over the box [lower, upper], tensors (2,). An axis of no width has one node.

        With a `basis` (band, coordinate), pixels are given by their coordinates in it, as in `compressed`.

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
        spectra = spectra if basis is None else spectra @ basis.to(spectra)
        compiled = _for_compiled_search(spectra.double().numpy(), shape) if lower.device.type == "cpu" else None
        return cls(fractions, spectra.T.contiguous().float(), shape, compiled)

    def starts(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Points from which to descend to every minimum: pixel index (start,), sorted, and fractions (start, 2).

        A pixel has a start for each local minimum of its objective on the grid (8 neighbours) that may be the least, at
        most four, best first.
        """
        pixels = pixels.float()
        if weights is None and self.compiled is not None:
            from msfit.solve.compiled_search import search  # numba is not needed where there is a GPU

            owner, found = (torch.from_numpy(a) for a in search(pixels.numpy(), *self.compiled))
            return owner, self.fractions[found]
        node = self.summits(pixels, None if weights is None else weights.float())
        pixel, rank = (node >= 0).nonzero(as_tuple=True)
        return pixel, self.fractions[node[pixel, rank]]

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


def _for_compiled_search(spectra: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Basis and table of `compiled_search.search` from spectra (node, band)."""
    from msfit.solve.compiled_search import NODE, RANK

    bands = spectra.shape[1]
    white = np.full((bands, 1), bands**-0.5)
    # dark nodes count as much as bright ones: any of them may be lit by any i_d
    unit = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    centred = unit - (unit @ white) @ white.T
    _, directions = np.linalg.eigh(centred.T @ centred)  # ascending: the first is white's, of length zero
    basis = np.zeros((bands, 1 + RANK))
    basis[:, :1] = white
    count = min(RANK, bands - 1)
    basis[:, 1 : 1 + count] = directions[:, : -count - 1 : -1]
    projected = spectra @ basis
    across = np.linalg.norm(projected[:, 1:], axis=1, keepdims=True)
    share = 1 / (projected * projected).sum(1, keepdims=True)
    table = np.hstack((projected[:, 1:] / across, projected[:, :1], across, share))
    return basis.astype(np.float32), table.astype(np.float32).reshape(*shape, NODE)


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
