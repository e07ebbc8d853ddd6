"""Fits of whole pictures under total variation: alternating direction method of multipliers (ADMM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from msfit.solve.pulled import Pulled
from msfit.solve.total_variation import Edges, prox_total_variation, total_variation

# Pixels that are worked on together: enough to hide the interpreter, few enough for the caches.
_BLOCK = 16_384
_OVER = 1.6  # over-relaxation: Boyd et al. 2011, 3.4.3
# Residual balancing (Boyd et al. 2011, 3.4.1), which has to end for the iteration to converge.
_UNBALANCED, _BALANCING_STEP, _BALANCED_AFTER = 5.0, 2.0, 60
# Denoising goes on where it ended an iteration ago, to a gap that is a share of what the last iteration has changed.
_TV_STEPS, _TV_SHARE, _FINEST_TV = 200, 0.01, 1e-11
# It has settled when so many iterations in a row end within the tolerance of the lowest objective.
_STILL = 5


@dataclass(frozen=True, eq=False)
class Picture:
    """A fit with spatial priors: which pixels of a picture are fitted, and how much each unknown's variation costs.

    The objective is the sum over the pixels of `pixels.cost`, without a pull, plus sum_k strength_k TV(x_k), for
    lower <= x <= upper. `inside` bool (y, x) with n pixels; `pixels`, these n, of `stiffness` 0; `strength`, `lower`
    and `upper` (4,), in the units of the unknowns.
    """

    inside: Tensor
    pixels: Pulled
    strength: Tensor
    lower: Tensor
    upper: Tensor

    def maps(self, unknowns: Tensor) -> Tensor:
        """Unknowns (n, k) on the picture, (k, y, x), 0 where there is no pixel."""
        found = unknowns.new_zeros((unknowns.shape[1], *self.inside.shape))
        found[:, self.inside] = unknowns.T
        return found

    def objective(self, unknowns: Tensor) -> float:
        """The objective at unknowns (n, 4) inside their bounds."""
        costs = _each(self.pixels, lambda block, some: block.cost(unknowns[some]))
        return float(costs.sum()) + self._variation(unknowns)

    def feasible(self, unknowns: Tensor) -> tuple[Tensor, float]:
        """Unknowns inside their bounds and their objective.

        Where no variation of the shadings is priced, they are the best ones for the pigments.
        """
        inside = unknowns.clamp(self.lower, self.upper)
        if bool((self.strength[2:] > 0).any()):
            return inside, self.objective(inside)

        def work(block: Pulled, some: slice) -> Tensor:
            shaded, cost = block.shaded(inside[some, :2])
            return torch.cat((shaded, cost.unsqueeze(1)), 1)

        found = _each(self.pixels, work)
        return found[:, :4], float(found[:, 4].sum()) + self._variation(found[:, :4])

    def _variation(self, unknowns: Tensor) -> float:
        edges = Edges.between(self.inside, unknowns.dtype)
        return float((self.strength * total_variation(self.maps(unknowns), edges)).sum())


@dataclass(frozen=True, eq=False)
class Smoothed:
    """`unknowns` (n, 4); the objective at the start and after each iteration, never rising; whether it has settled."""

    unknowns: Tensor
    history: list[float]
    converged: bool


def smooth(
    picture: Picture,
    start: Tensor,
    *,
    iterations: int,
    tolerance: float,
    progress: Callable[[int, int], None] | None = None,
) -> Smoothed:
    """Minimise the objective of a picture from `start` (n, 4).

    Unknowns x of the pixels and maps z, which are to agree, take turns: x minimises each pixel's cost with a pull
    towards z - d, z is the total-variation denoising of x + d, and d sums up their disagreement (Boyd et al. 2011). For
    given pigments the objective is convex, and they meet at its minimum. With pigments free it is not: then z, moved
    inside the bounds, is kept only where it lowers the objective.
    """
    split = picture.strength > 0
    best, lowest = start, picture.objective(start)
    history = [lowest]
    if not bool(split.any()):  # pixels have nothing to do with each other
        return _settled(picture, start)
    edges = Edges.between(picture.inside, start.dtype)
    stiffness = split * _typical_curvature(picture, start)
    agreed, away = start, torch.zeros_like(start)  # z and d
    flow = start.new_zeros((2, int(split.sum()), *picture.inside.shape))
    change, still = 1e-3, 0
    for count in range(1, iterations + 1):
        x = _pulled(picture, agreed[:, :2], agreed - away, stiffness)
        relaxed = torch.where(split, _OVER * x + (1 - _OVER) * agreed, x)
        previous, agreed = agreed, relaxed.clone()
        maps, flow = prox_total_variation(
            picture.maps((relaxed + away)[:, split]),
            (picture.strength / stiffness)[split],
            edges,
            flow,
            tolerance=max(_TV_SHARE * change, _FINEST_TV),
            steps=_TV_STEPS,
        )
        agreed[:, split] = maps[:, picture.inside].T
        away = away + relaxed - agreed
        candidate, reached = picture.feasible(agreed)
        change = abs(reached - lowest) / lowest
        still = still + 1 if change <= tolerance else 0
        if reached < lowest:
            best, lowest = candidate, reached
        history.append(lowest)
        if progress is not None:
            progress(count, iterations)
        if still == _STILL:
            break
        if count <= _BALANCED_AFTER:
            factor = _balance(x - agreed, agreed, agreed - previous, away)
            stiffness, away = stiffness * factor, away / factor
            flow = flow / factor[split].view(-1, 1, 1)
    return Smoothed(best, history, still == _STILL)


def _settled(picture: Picture, start: Tensor) -> Smoothed:
    found = _pulled(picture, start[:, :2], start, torch.zeros_like(picture.strength))
    before, after = picture.objective(start), picture.objective(found)
    return Smoothed(found if after < before else start, [before, min(before, after)], True)


def _pulled(picture: Picture, start: Tensor, target: Tensor, stiffness: Tensor) -> Tensor:
    """The least cost of every pixel with a pull towards the target (n, 4), from scaled pigments `start` (n, 2)."""
    low, high = picture.lower[:2], picture.upper[:2]

    def work(block: Pulled, some: slice) -> Tensor:
        point = block.minimise(start[some].clamp(low, high), low, high)
        return torch.cat((point.fractions, point.i_d.unsqueeze(1), point.i_s.unsqueeze(1)), 1)

    return _each(replace(picture.pixels, target=target, stiffness=stiffness), work)


def _each(pixels: Pulled, work: Callable[[Pulled, slice], Tensor]) -> Tensor:
    """Work on one block of pixels after another."""
    count = pixels.pixels.shape[0]
    blocks = (slice(first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK))
    return torch.cat([work(pixels.take(block), block) for block in blocks])


def _typical_curvature(picture: Picture, start: Tensor) -> Tensor:
    """The median curvature of a pixel's cost along each unknown, (4,): pulls of that size move both sides alike."""

    def work(block: Pulled, some: slice) -> Tensor:
        reflectance = block.skin.reflectance(start[some, :2] * block.scale)
        contrast = reflectance.square().sum(1) - reflectance.sum(1).square() / reflectance.shape[1]
        return torch.cat((block.evaluate(start[some, :2]).hessian[:, [0, 2]], contrast.unsqueeze(1)), 1)

    pigments_and_light = _each(picture.pixels, work).median(0).values
    bands = pigments_and_light.new_tensor([picture.pixels.pixels.shape[1]])
    return torch.cat((pigments_and_light, bands)).clamp_min(1e-6)


def _balance(apart: Tensor, agreed: Tensor, moved: Tensor, away: Tensor) -> Tensor:
    """Factors (4,) of the stiffness that bring primal and dual residual, relative to their maps, nearer each other."""
    primal, dual = (part.norm(dim=0) / whole.norm(dim=0) for part, whole in ((apart, agreed), (moved, away)))
    factor = torch.where(primal > _UNBALANCED * dual, _BALANCING_STEP, 1.0)
    return torch.where(dual > _UNBALANCED * primal, 1 / _BALANCING_STEP, factor).to(apart.dtype)
