"""Fits of whole pictures under total variation: proximal Newton steps, damped pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from msfit.solve.spatial.convex import Convex, Forces
from msfit.solve.spatial.pixels import Pixels
from msfit.solve.spatial.total_variation import Edges, total_variation

# Pixels that are worked on together: enough to hide the interpreter, few enough for the caches.
_BLOCK = 16_384
# The full Hessian is used where what is left without this share of Gauss-Newton's is positive definite.
_SAFE = 0.02
# A convex problem is solved until its gap is this share of what it gains, in at most so many steps.
_SHARE, _STEPS = 0.1, 2000
# Stiffness of all pixels, as a share of the typical curvature: at most, at least, and by what it is lowered where the
# gain of an iteration is more than this share of the last one's.
_STIFFEST, _SOFTEST, _CREEPING = 0.1, 1e-6, 0.3
# Damping where there was none, and its factors where a cost ends above and well below its quadratic.
_LEAST_DAMPING, _MORE_DAMPING, _LESS_DAMPING = 0.1, 5.0, 0.2


@dataclass(frozen=True, eq=False)
class Picture:
    """A fit with spatial priors: which pixels of a picture are fitted, and how much each unknown's variation costs.

    The objective is the sum over the pixels of `pixels.cost` plus sum_k strength_k TV(x_k), for lower <= x <= upper.
    `inside` bool (y, x) with n pixels; `pixels`, these n; `strength`, `lower` and `upper` (4,), in the units of the
    unknowns.
    """

    inside: Tensor
    pixels: Pixels
    strength: Tensor
    lower: Tensor
    upper: Tensor

    @property
    def moved(self) -> int:
        """How many unknowns are moved: the 2 pigments, and the shadings too unless their variation has no price."""
        return 4 if bool((self.strength[2:] > 0).any()) else 2

    def maps(self, unknowns: Tensor) -> Tensor:
        """Unknowns (n, k) on the picture, (k, y, x), 0 where there is no pixel."""
        maps = unknowns.new_zeros((unknowns.shape[1], *self.inside.shape))
        maps[:, self.inside] = unknowns.T
        return maps

    def variation(self, unknowns: Tensor) -> float:
        """What the total variation of unknowns (n, 4) costs."""
        edges = Edges.between(self.inside, unknowns.dtype)
        return float((self.strength * total_variation(self.maps(unknowns), edges)).sum())

    def feasible(self, unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """Unknowns (n, 4) from those that are moved, inside their bounds, and the pixels' costs (n,).

        Shadings that are not moved are the best ones for the pigments.
        """
        count = self.moved
        inside = unknowns[:, :count].clamp(self.lower[:count], self.upper[:count])

        def work(block: Pixels, some: slice) -> Tensor:
            full, cost = block.shaded(inside[some]) if count == 2 else (inside[some], block.cost(inside[some]))
            return torch.cat((full, cost.unsqueeze(1)), 1)

        columns = self._each(work)
        return columns[:, :4], columns[:, 4]

    def quadratics(self, unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient (n, k) and Hessian (n, k, k) of the pixels' costs in the unknowns that are moved.

        The full Hessian where it is safely positive definite, else Gauss-Newton's.
        """
        count = self.moved

        def work(block: Pixels, some: slice) -> Tensor:
            gradient, gauss_newton, full = (block.projected if count == 2 else block.quadratic)(unknowns[some])
            unsafe = torch.linalg.cholesky_ex(full - _SAFE * gauss_newton).info != 0
            return torch.cat((gradient, torch.where(unsafe.view(-1, 1, 1), gauss_newton, full).flatten(1)), 1)

        columns = self._each(work)
        return columns[:, :count], columns[:, count:].unflatten(1, (count, count))

    def _each(self, work: Callable[[Pixels, slice], Tensor]) -> Tensor:
        """Work on one block of pixels after another."""
        count = self.pixels.values.shape[0]
        blocks = (slice(first, min(first + _BLOCK, count)) for first in range(0, count, _BLOCK))
        return torch.cat([work(self.pixels.take(block), block) for block in blocks])


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Where it ended: `unknowns` (n, 4) and the pixels' `costs` (n,).

    `history` holds the objective at the start and after each iteration, never rising; `converged`, whether it settled.
    """

    unknowns: Tensor
    costs: Tensor
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

    Proximal Newton (Lee, Sun & Saunders 2014): each pixel's cost is replaced by a quadratic, the convex problem that is
    left is solved, and its minimum is taken where it lowers the objective. There is no line search, by which one pixel
    could hold up all: a quadratic below the cost is damped (Levenberg 1944, Marquardt 1963), and where none is below,
    the objective cannot rise. A stiffness of all pixels, which keeps those that know little of an unknown from slowing
    the convex problem, is lowered when it makes the iteration creep. It has converged when the dual of the convex
    problem proves that less than `tolerance` of the objective is left to gain there.
    """
    picture = _cropped(picture)
    edges = Edges.between(picture.inside, start.dtype)
    best, costs = picture.feasible(start)
    lowest = float(costs.sum()) + picture.variation(best)
    history, converged = [lowest], False
    damping, stiffness, last_gain = torch.zeros_like(costs), _STIFFEST, math.inf
    forces = Forces.none(picture.maps(best[:, : picture.moved]))
    for count in range(1, iterations + 1):
        gradient, hessian = _stiffened(*picture.quadratics(best), damping, stiffness)
        problem = _convex(picture, edges, best, gradient, hessian)
        solution = problem.minimise(forces, share=_SHARE, gap=0.5 * tolerance * lowest, steps=_STEPS)
        forces, converged = solution.forces, solution.gap - solution.change <= tolerance * lowest
        candidate, reached = picture.feasible(solution.maps[:, picture.inside].T)
        objective = float(reached.sum()) + picture.variation(candidate)

        step = (candidate - best)[:, : picture.moved]
        bent = 0.5 * (step * (hessian @ step.unsqueeze(2)).squeeze(2)).sum(1)
        above = reached - costs - (step * gradient).sum(1) - bent
        allowed = torch.full_like(costs, 0.01 * tolerance * lowest / len(costs))
        if objective < lowest:
            best, costs, lowest = candidate, reached, objective
            allowed = allowed + 0.5 * bent
        more = (_MORE_DAMPING * damping).clamp_min(_LEAST_DAMPING)
        damping = torch.where(above > allowed, more, torch.where(above < -0.1 * bent, _LESS_DAMPING, 1.0) * damping)
        if solution.steps == _STEPS:
            stiffness = min(stiffness / _CREEPING, _STIFFEST)
        elif -solution.change > _CREEPING * last_gain:
            stiffness = max(stiffness * _CREEPING, _SOFTEST)
        last_gain = -solution.change
        history.append(lowest)
        if progress is not None:
            progress(count, iterations)
        if converged:
            break
    return Smoothed(best, costs, history, converged)


def _cropped(picture: Picture) -> Picture:
    """The picture without the rows and columns around its pixels."""
    rows, columns = (picture.inside.any(axis).nonzero().squeeze(1) for axis in (1, 0))
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return replace(picture, inside=picture.inside[window])


def _stiffened(gradient: Tensor, hessian: Tensor, damping: Tensor, stiffness: float) -> tuple[Tensor, Tensor]:
    """Gradients as they are, and Hessians with the damping (n,) of each and a share `stiffness` of what is typical.

    Typical is the median curvature along an unknown while all others follow.
    """
    curvature = hessian.diagonal(dim1=1, dim2=2)
    least = 1e-9 * (curvature + curvature.median(0).values.clamp_min(1e-6))
    following = torch.linalg.inv(hessian + torch.diag_embed(least)).diagonal(dim1=1, dim2=2)
    typical = 1 / following.median(0).values
    return gradient, hessian + torch.diag_embed(curvature * damping.unsqueeze(1) + stiffness * typical)


def _convex(picture: Picture, edges: Edges, unknowns: Tensor, gradient: Tensor, hessian: Tensor) -> Convex:
    """The problem on the picture's maps. Unknowns whose bounds leave no room are held."""
    count = picture.moved
    lower, upper = picture.lower[:count], picture.upper[:count]
    free = (lower < upper).to(hessian.dtype)
    among = free.unsqueeze(0) * free.unsqueeze(1)
    inverse = torch.linalg.inv(hessian * among + torch.diag(1 - free)) * among
    square = (count, count, *picture.inside.shape)
    return Convex(
        edges,
        start=picture.maps(unknowns[:, :count]),
        gradient=picture.maps(gradient),
        hessian=picture.maps(hessian.flatten(1)).view(square),
        inverse=picture.maps(inverse.flatten(1)).view(square),
        strength=picture.strength[:count],
        lower=lower,
        upper=upper,
    )
