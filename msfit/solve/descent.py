"""Descent inside a box of any few dimensions: many small problems at once, each at its own pace.

The same method as `newton` has for two parameters: steps solve a quadratic model inside the box, whose Hessian is
Gauss-Newton's plus a secant estimate of the curvature that Gauss-Newton leaves out (Dennis, Gay & Welsch 1981). A step
that does not lower the objective is followed by shorter ones: a trust region, itself a box, because parameters that
trade leave long, bent, flat valleys, which damping would cross at a crawl. Small systems are eliminated element by
element, so that a problem's result does not depend on the others in its batch, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_STEPS = 200
# A problem is done when its next step promises to lower the objective by less than this share of it.
_TOLERANCE = 1e-10
# A pivot of a scaled matrix below this says that a direction does not show in the data.
_SINGULAR = 1e-13
# A trust region of this share of the box, in which nothing was gained: there is nothing to gain.
_SHORTEST = 1e-10


@dataclass(eq=False)
class Local:
    """The objective around points (n, p): cost (n,), half its gradient (n, p), half a model of its Hessian (n, p, p).

    `rounding` (n,): what may be lost in the cost.
    """

    cost: Tensor
    gradient: Tensor
    hessian: Tensor
    rounding: Tensor


@dataclass(eq=False)
class Minimum:
    """Where descents ended: x (n, p), cost (n,), whether each converged (n,) and its number of steps (n,)."""

    x: Tensor
    cost: Tensor
    converged: Tensor
    steps: Tensor


# (points (m, p), which of the problems they belong to (m,)) -> the objectives around them
Evaluate = Callable[[Tensor, Tensor], Local]


def descend_in_box(
    evaluate: Evaluate, start: Tensor, lower: Tensor, upper: Tensor, tolerance: float = _TOLERANCE
) -> Minimum:
    """Minimise each problem's objective over lower <= x <= upper, tensors (p,), from `start` (n, p), float64."""
    count = start.shape[0]
    active = torch.arange(count, device=start.device)
    x, here = start, evaluate(start, active)
    ended = Minimum(
        torch.empty_like(start),
        torch.empty_like(here.cost),
        torch.zeros(count, dtype=torch.bool, device=start.device),
        torch.zeros(count, dtype=torch.int16, device=start.device),
    )
    width = upper - lower
    curvature, radius = torch.zeros_like(here.hessian), torch.ones_like(here.cost)
    for number in range(_MOST_STEPS + 1):
        low, high = lower - x, upper - x
        hessian = _safe_hessian(here, curvature, low, high)
        step = _box_step(here.gradient, hessian, low, high)
        promise = -_dot(here.gradient, step) - 0.5 * _dot(step, _times(hessian, step))
        # judged by the whole step: one that the trust region shortens must not look like a converged one
        done = (2 * promise <= tolerance * here.cost + here.rounding) | (radius < _SHORTEST)
        if bool(done.any()) or number == _MOST_STEPS:
            ended.x[active], ended.cost[active] = x, here.cost
            ended.converged[active], ended.steps[active] = done, number
            going = (~done).nonzero().squeeze(1)
            if going.numel() == 0 or number == _MOST_STEPS:
                break
            active, x, step, here = active[going], x[going], step[going], _take(here, going)
            curvature, radius, hessian = curvature[going], radius[going], hessian[going]
        if bool((radius < 1).any()):
            reach = radius.unsqueeze(1) * width
            step = _box_step(here.gradient, hessian, (lower - x).maximum(-reach), (upper - x).minimum(reach))
        target = torch.minimum(torch.maximum(x + step, lower), upper)
        trial = evaluate(target, active)
        better = trial.cost <= here.cost + here.rounding
        update = _secant(curvature, here.hessian, trial.hessian, target - x, trial.gradient - here.gradient, better)
        sound = torch.isfinite(update).all(2).all(1)
        curvature = torch.where(sound[:, None, None], update, curvature)
        x = torch.where(better.unsqueeze(1), target, x)
        here = _choose(better, trial, here)
        length = (step.abs() / width.clamp_min(torch.finfo(width.dtype).tiny)).amax(1)
        radius = torch.where(better, torch.maximum(radius, 4 * length).clamp_max(1), 0.25 * length)
    return ended


def _take(local: Local, index: Tensor) -> Local:
    return Local(*(value[index] for value in vars(local).values()))


def _choose(condition: Tensor, first: Local, second: Local) -> Local:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Local(*(torch.where(condition.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector.unsqueeze(1)).sum(2)


def _safe_hessian(here: Local, curvature: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Gauss-Newton plus the secant estimate where that is safely positive definite, else Gauss-Newton alone.

    Only along what can move: parameters that their gradient holds on a bound are uncoupled first.
    """
    slope = here.gradient
    held = ((low >= 0) & (slope > 0)) | ((high <= 0) & (slope < 0))
    plain, full = (_uncoupled(matrix, held) for matrix in (here.hessian, here.hessian + curvature))
    scale = plain.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(plain.dtype).tiny).rsqrt()
    scaling = scale.unsqueeze(1) * scale.unsqueeze(2)
    pivots, reference = (_eliminate(matrix * scaling, scale)[1] for matrix in (full, plain))
    safe = (pivots > 1e-3 * reference).all(1)
    return torch.where(safe[:, None, None], full, plain)


def _uncoupled(matrix: Tensor, held: Tensor) -> Tensor:
    """The matrix without what couples the held parameters to others."""
    off = (held.unsqueeze(1) | held.unsqueeze(2)) & ~torch.eye(held.shape[1], dtype=torch.bool, device=held.device)
    return torch.where(off, 0, matrix)


def _box_step(gradient: Tensor, hessian: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A step (n, p) that lowers g.s + s.H.s/2 inside low <= s <= high: the least along faces it meets one by one."""
    scale = hessian.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(hessian.dtype).tiny).rsqrt()
    step = torch.zeros_like(gradient)
    held = ((low >= 0) & (gradient > 0)) | ((high <= 0) & (gradient < 0))
    for _ in range(gradient.shape[1]):
        slope = gradient + _times(hessian, step)
        scaled = _uncoupled(hessian * scale.unsqueeze(1) * scale.unsqueeze(2), held)
        move = -scale * _eliminate(scaled, torch.where(held, 0, scale * slope))[0]
        move = torch.where(held, 0, move)
        # how much of the move fits into the box, by coordinate
        wall = torch.where(move > 0, high, low)
        room = torch.where(move == 0, torch.inf, (wall - step) / torch.where(move == 0, 1, move))
        share = room.amin(1, keepdim=True).clamp(0, 1)
        met = room <= share
        step = torch.where(met, wall, step + share * move)
        held = held | met
    return torch.minimum(torch.maximum(step, low), high)


def _eliminate(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Solve a positive definite system (n, p, p) with diagonal about 1: the solution and the pivots, each (n, p)."""
    count = matrix.shape[1]
    table = torch.cat((matrix, right.unsqueeze(2)), 2)
    pivots = []
    for k in range(count):
        pivot = table[:, k, k]
        pivots.append(pivot)
        row = table[:, k] / torch.where(pivot > _SINGULAR, pivot, torch.inf).unsqueeze(1)
        table = table - table[:, :, k].unsqueeze(2) * row.unsqueeze(1)
        table[:, k] = row
    return table[:, :, count], torch.stack(pivots, 1)


def _secant(curvature: Tensor, hessian: Tensor, ahead: Tensor, step: Tensor, change: Tensor, better: Tensor) -> Tensor:
    """Symmetric secant update (Dennis, Gay & Welsch 1981): (Hessian + curvature) . step = change of the gradient.

    The Hessian is the Gauss-Newton one of the better point. A rejected step says as much about curvature as another.
    """
    hessian = torch.where(better[:, None, None], ahead, hessian)
    miss = change - _times(hessian + curvature, step)
    # the metric of the update: the diagonal of the Hessian makes it independent of the parameters' scales
    metric = hessian.diagonal(dim1=1, dim2=2) * step
    unit = metric / _dot(metric, step).unsqueeze(1)
    cross = miss.unsqueeze(2) * unit.unsqueeze(1)
    outer = unit.unsqueeze(2) * unit.unsqueeze(1)
    return curvature + cross + cross.transpose(1, 2) - _dot(miss, step)[:, None, None] * outer
