"""Is a minimum the global one? A lower bound of the objective over the whole box, from duality and subdivision.

The fit of a pixel y is the point of the cone {a g(f) + s 1} nearest to y: g(f) = r(f) / |r(f)| with f in the box, and
a = i_d |r(f)| and s = i_s not negative. For any vector u with u.1 <= 0, and u.g(f) <= h for all f of a cell of the box,

    |y - a g(f) - s 1| >= (u.y - a u.g(f) - s u.1) / |u| >= (u.y - |y| max(h, 0)) / |u|,

because the nearest point of a cone is no longer than y, and its part a g no longer than itself. So every u bounds a
whole cell, whatever it is. A good one is the residual at the nearest point of the cell, for which the bound falls short
only by how far g bends towards y. On a cell g is a cubic polynomial with a known remainder (`patches`), so that h is
the greatest value of a polynomial in two variables. Where the bound is within a tolerance of the best point known, the
cell is proved, else it is quartered. Proved cells that cover the box are a proof (duality: S. Boyd, L. Vandenberghe,
Convex Optimization, 2004, section 5.9; branch and bound: R. Horst, H. Tuy, Global Optimization, 3rd ed. 1996).

With weights all products are weighted, and a is at most |y| over the least length that a direction of the cell has.
"""

from __future__ import annotations

import threading
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.certificate.patches import Patches, by_band_bytes
from msfit.solve.problem import Problem
from msfit.solve.solution import Solution

# Gap in RMSE up to which a minimum is called global.
GLOBAL_GAP = 1e-5
# Share of it that the search asks for, so that rounding the maps does not lose what it has proved.
_ASKED = 0.95
# Cells that are looked at before a pixel is given up.
_MOST_CELLS = 100_000
_SETTING_UP = threading.Lock()


class Certificate:
    """Bounds fits from below, and improves those that are not global.

    Parameters
    ----------
    skin : Skin
        The model on the pixels' bands, in any type and place; what is proved is in float64.
    lower, upper : tensor (2,)
        The box of the pigments.
    """

    def __init__(self, skin: Skin, lower: Tensor, upper: Tensor) -> None:
        self.skin = skin.to(torch.float64, torch.device("cpu"))
        self.lower, self.upper = (end.to("cpu", torch.float64) for end in (lower, upper))

    # What setting up takes at its height: less than 110 MB were measured, up to 1000 bands.
    set_up_bytes = 120 * 2**20

    def table_bytes(self, bands: int) -> int:
        """Bytes at most that are kept besides once a pixel with weights or missing bands has come."""
        return by_band_bytes(bands)

    def _patches(self, weighted: bool) -> Patches:
        with _SETTING_UP:  # once, not by each thread for itself
            return self._by_band if weighted else self._compressed

    @cached_property
    def _compressed(self) -> Patches:
        return Patches.over(self.skin, self.lower, self.upper)

    @cached_property
    def _by_band(self) -> Patches:
        return self._compressed.by_band()

    def __call__(self, pixels: Tensor, weights: Tensor | None, solution: Solution) -> tuple[Solution, Tensor]:
        """Prove a solution of pixels (n, band) with weights (n, band) >= 0, or None for ones.

        Returns
        -------
        Solution
            The solution, better where a better point was met on the way.
        Tensor
            Gap (n,) float64, not negative: RMSE of the returned point, evaluated in float64, minus the lower bound of
            the RMSE of all points of the box.
        """
        device = pixels.device
        y = pixels.double()
        w = None if weights is None else weights.double()
        bands = torch.full_like(y[:, 0], y.shape[1]) if w is None else w.sum(1)
        patches = self._patches(w is not None).to(device)
        skin, lower, upper = self.skin.to(torch.float64, device), self.lower.to(device), self.upper.to(device)
        best = _distance(skin, solution, y, w)
        bound, met, positions = _bound(patches, y, w, best, _ASKED * GLOBAL_GAP * bands.sqrt())
        index = (met < best).nonzero().squeeze(1)
        if index.numel():
            some = None if w is None else w[index]
            better = Problem(skin, y[index], some).minimise(patches.fractions(positions[index]), lower, upper)
            better = Solution(
                *(new.to(old.dtype) for new, old in zip(vars(better).values(), vars(solution).values(), strict=True))
            )
            distance = _distance(skin, better, y[index], some)
            nearer = distance < best[index]
            best = best.index_copy(0, index[nearer], distance[nearer])
            pairs = zip(vars(solution).values(), vars(better).values(), strict=True)
            solution = Solution(*(old.index_copy(0, index[nearer], new[nearer]) for old, new in pairs))
        return solution, ((best - bound) / bands.sqrt()).clamp_min(0)


def _distance(skin: Skin, solution: Solution, pixels: Tensor, weights: Tensor | None) -> Tensor:
    """Length of the residual of a solution, evaluated in float64, (n,)."""
    i_d, i_s = solution.i_d.double().unsqueeze(1), solution.i_s.double().unsqueeze(1)
    residual = pixels - i_d * skin.reflectance(solution.x.double()) - i_s
    return (residual.square() if weights is None else weights * residual.square()).sum(1).sqrt()


def _bound(
    patches: Patches, pixels: Tensor, weights: Tensor | None, best: Tensor, tolerance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Lower bounds of the distance (n,), distances (n,) of better points, inf where none was met, positions (n, 2)."""
    if pixels.device.type != "cpu":
        from msfit.solve.certificate.torch_bound import bound as torch_bound

        return torch_bound(patches, pixels, weights, best, tolerance, _MOST_CELLS)
    from msfit.solve.certificate.numba_bound import bound as numba_bound  # numba is not needed where there is a GPU

    none = np.zeros((0, 0))
    bounded = numba_bound(
        patches.padded(pixels).numpy(),
        none if weights is None else patches.padded(weights).numpy(),
        best.numpy(),
        tolerance.numpy(),
        none if patches.basis is None else patches.basis.numpy(),
        patches.white.numpy(),
        patches.outside,
        patches.coefficients.numpy(),
        patches.remainder.numpy(),
        patches.products.numpy(),
        patches.bends.numpy(),
        np.array(patches.shapes),
        _MOST_CELLS,
    )
    bounds, distances, positions, _ = (torch.from_numpy(values) for values in bounded)
    return bounds, distances, positions
