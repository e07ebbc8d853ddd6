"""Descent inside a box of any few dimensions: many small problems at once, each at its own pace.

Steps solve a quadratic model inside the box. Its Hessian is Gauss-Newton's plus a secant estimate of the curvature that
Gauss-Newton leaves out (as NL2SOL does: Dennis, Gay & Welsch 1981), without which a pixel that is no skin, whose
residual is large, would creep. A step that does not lower the objective is followed by shorter ones: a trust region,
itself a box, because parameters that trade leave long, bent, flat valleys. Small systems are eliminated element by
element, so that a problem's result does not depend on the others in its batch, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from msfit.solve.solution import Local
from msfit.solve.tolerances import MOST_STEPS, SHORTEST, SINGULAR, name

_Local = TypeVar("_Local", bound=Local)


@dataclass(eq=False)
class Descent(Generic[_Local]):
    """Where descents ended: x (n, p), the objective there, whether each `converged` and its number of `steps` (n,)."""

    x: Tensor
    point: _Local
    converged: Tensor
    steps: Tensor


def descend(
    evaluate: Callable[[Tensor, Tensor], _Local],
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    tolerance: float,
    most_steps: int = MOST_STEPS,
) -> Descent[_Local]:
    """Minimise each problem's objective over lower <= x <= upper, tensors (p,), from `start` (n, p).

    `evaluate` takes points (m, p) and the indices (m,) of the problems that they belong to. A problem has converged
    when the predicted decrease of its next step is at most `tolerance` times its cost, or lost in rounding.
    """
    kind, count = name(start.dtype), start.shape[0]
    active = torch.arange(count, device=start.device)
    x, here = start, evaluate(start, active)
    ended = Descent(
        torch.empty_like(start),
        type(here)(*(torch.empty_like(value) for value in vars(here).values())),
        torch.zeros(count, dtype=torch.bool, device=start.device),
        torch.zeros(count, dtype=torch.int16, device=start.device),
    )
    width = upper - lower
    curvature, radius = torch.zeros_like(here.hessian), torch.ones_like(here.cost)
    for number in range(most_steps + 1):
        low, high = lower - x, upper - x
        hessian = _safe_hessian(here, curvature, low, high)
        step = box_step(here.gradient, hessian, low, high)
        predicted = -_dot(here.gradient, step) - 0.5 * _dot(step, _times(hessian, step))
        # judged by the whole step: one that the trust region shortens must not look like a converged one
        done = (2 * predicted <= tolerance * here.cost + here.rounding) | (radius < SHORTEST[kind])
        if bool(done.any()) or number == most_steps:
            _record(ended, active, x, here, done, number)
            going = (~done).nonzero().squeeze(1)
            if going.numel() == 0 or number == most_steps:
                break
            active, x, step, here = active[going], x[going], step[going], _take(here, going)
            curvature, radius, hessian = curvature[going], radius[going], hessian[going]
        if bool((radius < 1).any()):
            reach = radius.unsqueeze(1) * width
            step = box_step(here.gradient, hessian, (lower - x).maximum(-reach), (upper - x).minimum(reach))
        target = torch.minimum(torch.maximum(x + step, lower), upper)
        trial = evaluate(target, active)
        better = trial.cost <= here.cost + here.rounding
        update = _secant(curvature, here.hessian, trial.hessian, target - x, trial.gradient - here.gradient, better)
        finite = torch.isfinite(update).all(2).all(1)
        curvature = torch.where(finite[:, None, None], update, curvature)
        x = torch.where(better.unsqueeze(1), target, x)
        here = _choose(better, trial, here)
        length = (step.abs() / width.clamp_min(torch.finfo(width.dtype).tiny)).amax(1)
        radius = torch.where(better, torch.maximum(radius, 4 * length).clamp_max(1), 0.25 * length)
    return ended


def _record(ended: Descent[_Local], active: Tensor, x: Tensor, here: _Local, done: Tensor, number: int) -> None:
    ended.x[active] = x
    for part, values in vars(here).items():
        getattr(ended.point, part)[active] = values
    ended.converged[active], ended.steps[active] = done, number


def _take(local: _Local, index: Tensor) -> _Local:
    return type(local)(*(value[index] for value in vars(local).values()))


def _choose(condition: Tensor, first: _Local, second: _Local) -> _Local:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return type(first)(*(torch.where(condition.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


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


def box_step(gradient: Tensor, hessian: Tensor, low: Tensor, high: Tensor) -> Tensor:
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
        bound = torch.where(move > 0, high, low)
        room_ahead = torch.where(move == 0, torch.inf, (bound - step) / torch.where(move == 0, 1, move))
        share = room_ahead.amin(1, keepdim=True).clamp(0, 1)
        met = room_ahead <= share
        step = torch.where(met, bound, step + share * move)
        held = held | met
    return torch.minimum(torch.maximum(step, low), high)


def _eliminate(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Solve a positive definite system (n, p, p) with diagonal about 1: the solution and the pivots, each (n, p)."""
    count = matrix.shape[1]
    rows = [[*row.unbind(1), one] for row, one in zip(matrix.unbind(1), right.unbind(1), strict=True)]
    pivots = []
    for k, row in enumerate(rows):
        pivot = row[k]
        pivots.append(pivot)
        share = torch.where(pivot > SINGULAR[name(matrix.dtype)], 1 / pivot, 0)
        row[k + 1 :] = [value * share for value in row[k + 1 :]]
        for i, other in enumerate(rows):
            if i != k:
                factor = other[k]
                other[k + 1 :] = [
                    value - factor * mine for value, mine in zip(other[k + 1 :], row[k + 1 :], strict=True)
                ]
    return torch.stack([row[count] for row in rows], 1), torch.stack(pivots, 1)


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
