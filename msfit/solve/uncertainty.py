"""How well the data determine each parameter: standard deviations and correlations."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.loss import Loss
from msfit.solve.problem import NON_NEGATIVE, Prior, ShadingBounds
from msfit.solve.solution import Solution, Uncertainty


def pairs(names: tuple[str, ...]) -> list[str]:
    """Names of the pairs of parameters, as "f_mel,f_blood", in the order of `Uncertainty.correlation`."""
    return [",".join(pair) for pair in combinations(names, 2)]


def uncertainty(
    skin: Skin,
    solution: Solution,
    pixels: Tensor,
    loss: Loss,
    lower: Tensor,
    upper: Tensor,
    shadings: ShadingBounds = NON_NEGATIVE,
    *,
    prior: Prior | None = None,
    variance: float = 1.0,
) -> Uncertainty:
    """Standard deviations and correlations at a minimum, in float64.

    cov = A^-1 M A^-1 over the parameters that are free there, with A = J' diag(a) J, M = J' diag(m) J, J the Jacobian
    of the model, a the curvature of the loss and m the variance of its score in each band (`Loss.information`): for
    plain least squares and noise of one size s, cov = s^2 (J' J)^-1. The curvature of the model itself is left out
    (Gauss-Newton): it has expectation zero.

    A parameter on a bound does not move to both sides. Its std is how far it may go into the box, the others following,
    until the loss has risen by as much as it has for a free parameter one std away: the t > 0 of g t + h t^2 / 2 = h
    V / 2, where g is the slope that presses it against the bound, h the curvature and V the variance that it would have
    if free. It has no correlation (NaN). The others' std is that for the bound given. A parameter that is held fixed,
    and the pigments where i_d is 0, have no std (NaN).

    With a prior (n, ...) its precision is added to A, and times `variance`, that of a residual of weight 1, to M: cov
    is that of the posterior, as far as that is normal about its maximum (Laplace).
    """
    double, count = torch.float64, solution.x.shape[1]
    fractions, i_d = solution.x.to(double), solution.i_d.to(double).unsqueeze(1)
    reflectance, derivatives = skin.to(double, pixels.device).jacobian(fractions)
    residual = pixels.to(double) - i_d * reflectance - solution.i_s.to(double).unsqueeze(1)
    columns = (*(i_d * slope for slope in derivatives), reflectance, torch.ones_like(reflectance))
    diffuse = (solution.i_d > 0).unsqueeze(1)
    inside = (solution.x > lower) & (solution.x < upper)
    both_shadings = zip((solution.i_d, solution.i_s), shadings, strict=True)
    free_d, free_s = (((value > low) & (value < high)).unsqueeze(1) for value, (low, high) in both_shadings)
    held_d, held_s = (torch.full_like(diffuse, low == high) for low, high in shadings)
    free = torch.cat((inside & diffuse, free_d, free_s), 1)
    on_bound = torch.cat((diffuse & ~inside & (lower < upper), diffuse & ~free_d & ~held_d, ~free_s & ~held_s), 1)

    loss = loss.to(double)
    bend, noise = loss.information(residual, free.sum(1))
    # columns of unit length, so that parameters of different sizes do not spoil the inverse
    scale = torch.stack([(bend * column * column).sum(1).sqrt() for column in columns], 1)
    scale = torch.where(scale > 0, scale, 1)
    columns = tuple(column / size.unsqueeze(1) for column, size in zip(columns, scale.T, strict=True))
    curvature, spread = _products(columns, bend), _products(columns, noise)
    pull = torch.zeros_like(scale)
    if prior is not None:
        rows = prior.root.to(double) / scale.unsqueeze(1)
        away = torch.cat((fractions, i_d, solution.i_s.to(double).unsqueeze(1)), 1) - prior.mean.to(double)
        ones = torch.ones_like(rows[:, :, 0])
        precision = _products(rows.unbind(2), ones)
        curvature, spread = curvature + precision, spread + variance * precision
        pull = (rows * (prior.root.to(double) * away.unsqueeze(1)).sum(2, keepdim=True)).sum(1)
    both = free.unsqueeze(1) & free.unsqueeze(2)
    inverse, info = torch.linalg.inv_ex(torch.where(both, curvature, torch.diag_embed((~free).to(double))))
    inverse = torch.where(both, inverse, 0)
    solved = (info == 0).unsqueeze(1)

    covariance = inverse @ spread @ inverse
    std = covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
    # directions in which a parameter that is not free could go, the free ones following
    follow = torch.eye(count + 2, dtype=double, device=pixels.device) - inverse @ curvature
    h = (follow * (curvature @ follow)).sum(1)
    unbounded = (follow * (spread @ follow)).sum(1) / h.square()
    score = loss.score(residual)
    g = (torch.stack([(score * column).sum(1) for column in columns], 1) - pull).abs()
    reach = h * unbounded / ((g * g + h * h * unbounded).sqrt() + g)

    known = solved & ((noise.sum(1, keepdim=True) > 0) if prior is None else True)
    value = torch.where(free, std, torch.where(on_bound, reach, torch.nan)) / scale
    first, second = zip(*combinations(range(count + 2), 2), strict=True)
    correlation = covariance[:, first, second] / (std[:, first] * std[:, second])
    there = known & free[:, first] & free[:, second]
    return Uncertainty(
        torch.where(known, value, torch.nan).to(pixels.dtype),
        torch.where(there, correlation.clamp(-1, 1), torch.nan).to(pixels.dtype),
    )


def _products(columns: tuple[Tensor, ...], weights: Tensor) -> Tensor:
    """J' diag(weights) J from the columns of J, (n, parameter, parameter).

    Summed pixel by pixel: a batched product may round differently with the size of the batch.
    """
    rows = [torch.stack([(weights * one * other).sum(1) for other in columns], 1) for one in columns]
    return torch.stack(rows, 1)
