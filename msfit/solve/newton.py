"""Descent to a minimum inside a box: damped Newton steps on the projected objective, every pixel at its own pace."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.objective import Point, evaluate

_MOST_STEPS = 200
# A pixel is done when its next step promises to lower the sum of squares by less than this share of it.
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}


@dataclass(eq=False)
class Descent:
    """Where the descents ended: `point`, whether each `converged` (n,), and its number of `steps` (n,)."""

    point: Point
    converged: Tensor
    steps: Tensor


def descend(skin: Skin, start: Tensor, pixels: Tensor, weights: Tensor | None, lower: Tensor, upper: Tensor) -> Descent:
    """Minimise the projected objective over lower <= fractions <= upper from `start` (n, 2).

    Steps solve the quadratic model inside the box. Its Hessian is Gauss-Newton's plus a secant estimate of the
    curvature that Gauss-Newton leaves out (as NL2SOL does: Dennis, Gay & Welsch 1981), without which a pixel that is no
    skin, whose residual is large, would creep. A step that does not lower the objective is damped.
    """
    eps = torch.finfo(pixels.dtype).eps
    energy = (pixels * pixels if weights is None else weights * pixels * pixels).sum(1)
    point = evaluate(skin, start, pixels, weights)
    ended = Descent(
        Point(*(torch.empty_like(value) for value in vars(point).values())),
        converged=torch.empty_like(energy, dtype=torch.bool),
        steps=torch.empty_like(energy, dtype=torch.int16),
    )
    active = torch.arange(pixels.shape[0], device=pixels.device)
    curvature = torch.zeros_like(point.hessian)
    damping = torch.zeros_like(energy)
    for count in range(_MOST_STEPS + 1):
        hessian = safe_hessian(point, curvature, lower, upper)
        step, promise = box_step(point.gradient, hessian, damping, lower - point.fractions, upper - point.fractions)
        # what rounding of the residuals, of the pixels' size, may do to the sum of squares
        rounding = 4 * eps * ((point.cost * energy).sqrt() + eps * energy)
        # damping shortens the promise by at most 1 + damping: a damped step must not look like a converged one
        done = 2 * promise * (1 + damping) <= _TOLERANCE[pixels.dtype] * point.cost + rounding
        if bool(done.any()) or count == _MOST_STEPS:
            _record(ended, active, point, done, count)
            going = (~done).nonzero().squeeze(1)
            if going.numel() == 0 or count == _MOST_STEPS:
                break
            active, point, step = active[going], point.take(going), step[going]
            curvature, damping, pixels = curvature[going], damping[going], pixels[going]
            energy, rounding = energy[going], rounding[going]
            weights = None if weights is None else weights[going]
        trial = evaluate(skin, (point.fractions + step).clamp(lower, upper), pixels, weights)
        better = trial.cost <= point.cost + rounding
        change = trial.gradient - point.gradient
        step = trial.fractions - point.fractions
        point = trial.where(better, point)
        # a rejected step says as much about the curvature as an accepted one
        update = secant(curvature, point.hessian, step, change)
        curvature = torch.where(torch.isfinite(update).all(1, keepdim=True), update, curvature)
        relaxed = torch.where(damping < 1e-3, 0, 0.1 * damping)
        damping = torch.where(better, relaxed, (8 * damping).clamp_min(1e-2))
    return ended


def _record(ended: Descent, active: Tensor, point: Point, done: Tensor, count: int) -> None:
    for name, values in vars(point).items():
        getattr(ended.point, name)[active] = values
    ended.converged[active] = done
    ended.steps[active] = count


def safe_hessian(point: Point, curvature: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Gauss-Newton plus the secant estimate where that is safely positive definite, else Gauss-Newton alone, (n, 3).

    A parameter that its gradient holds on a bound takes no part in the step: it is uncoupled from the other first,
    because only the curvature along what can move has to be positive.
    """
    x, slope = point.fractions, point.gradient
    held = ((x <= lower) & (slope > 0)) | ((x >= upper) & (slope < 0))
    g00, g01, g11 = point.hessian.unbind(1)
    c00, c01, c11 = (
        torch.where(held[:, 0], 0, curvature[:, 0]),
        curvature[:, 1],
        torch.where(held[:, 1], 0, curvature[:, 2]),
    )
    uncoupled = held.any(1)
    g01 = torch.where(uncoupled, 0, g01)
    h00, h01, h11 = g00 + c00, torch.where(uncoupled, 0, g01 + c01), g11 + c11
    safe = (h00 > 0.02 * g00) & (h11 > 0.02 * g11) & (h00 * h11 - h01 * h01 > 1e-3 * (g00 * g11 - g01 * g01))
    return torch.stack((torch.where(safe, h00, g00), torch.where(safe, h01, g01), torch.where(safe, h11, g11)), 1)


def box_step(gradient: Tensor, hessian: Tensor, damping: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise g.s + s.H.s/2 over low <= s <= high: the step (n, 2) and how much it promises to gain (n,).

    The free minimum, with one coordinate held to the box and the other solved for it, both ways; the better one wins.
    """
    tiny = torch.finfo(gradient.dtype).tiny
    g0, g1 = gradient.unbind(1)
    h00, h01, h11 = hessian.unbind(1)
    h00, h11 = (h00 * (1 + damping)).clamp_min(tiny), (h11 * (1 + damping)).clamp_min(tiny)
    determinant = h00 * h11 - h01 * h01
    singular = determinant <= 8 * torch.finfo(gradient.dtype).eps * h00 * h11
    determinant = torch.where(singular, torch.inf, determinant)
    a = ((h01 * g1 - h11 * g0) / determinant).clamp(low[:, 0], high[:, 0])
    b = ((h01 * g0 - h00 * g1) / determinant).clamp(low[:, 1], high[:, 1])
    b_given_a = (-(g1 + h01 * a) / h11).clamp(low[:, 1], high[:, 1])
    a_given_b = (-(g0 + h01 * b) / h00).clamp(low[:, 0], high[:, 0])
    value_a = g0 * a + g1 * b_given_a + 0.5 * (h00 * a * a + h11 * b_given_a * b_given_a) + h01 * a * b_given_a
    value_b = g0 * a_given_b + g1 * b + 0.5 * (h00 * a_given_b * a_given_b + h11 * b * b) + h01 * a_given_b * b
    first = value_a <= value_b
    step = torch.stack((torch.where(first, a, a_given_b), torch.where(first, b_given_a, b)), 1)
    return step, -torch.where(first, value_a, value_b)


def secant(curvature: Tensor, hessian: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Symmetric secant update (Dennis, Gay & Welsch 1981): (hessian + curvature) . step = change of the gradient."""
    s0, s1 = step.unbind(1)
    c00, c01, c11 = curvature.unbind(1)
    h00, h01, h11 = hessian.unbind(1)
    y0, y1 = change.unbind(1)
    z0 = y0 - (h00 + c00) * s0 - (h01 + c01) * s1
    z1 = y1 - (h01 + c01) * s0 - (h11 + c11) * s1
    # the metric of the update: the diagonal of the Hessian makes it independent of the parameters' scales
    v0, v1 = h00 * s0, h11 * s1
    length = v0 * s0 + v1 * s1
    u0, u1 = v0 / length, v1 / length
    miss = z0 * s0 + z1 * s1
    return torch.stack(
        (
            c00 + 2 * z0 * u0 - miss * u0 * u0,
            c01 + z0 * u1 + z1 * u0 - miss * u0 * u1,
            c11 + 2 * z1 * u1 - miss * u1 * u1,
        ),
        1,
    )
