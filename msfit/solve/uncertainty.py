"""How well the data determine each parameter: standard deviations from the residual."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.objective import Point


def standard_deviations(
    skin: Skin, point: Point, pixels: Tensor, weights: Tensor | None, lower: Tensor, upper: Tensor
) -> Tensor:
    """One standard deviation of f_mel, f_blood, i_d and i_s, (n, 4).

    cov = s^2 (J' W J)^-1 over the parameters that are free at the minimum, with J the Jacobian of the model and
    s^2 = sum w e^2 / (bands with weight - free parameters): linearised, for noise of one size on all bands. A parameter
    on a bound, or held fixed, is left out, and its entry is NaN. Always computed in float64.
    """
    double = torch.float64
    reflectance, derivatives = skin.to(double, pixels.device).jacobian(point.fractions.to(double))
    i_d = point.i_d.to(double).unsqueeze(1)
    jacobian = torch.stack([*(i_d * d for d in derivatives), reflectance, torch.ones_like(reflectance)], dim=1)
    w = torch.ones_like(reflectance) if weights is None else weights.to(double)
    inside = (point.fractions > lower) & (point.fractions < upper) & (point.i_d > 0).unsqueeze(1)
    free = torch.cat((inside, (point.i_d > 0).unsqueeze(1), (point.i_s > 0).unsqueeze(1)), 1)
    jacobian = torch.where(free.unsqueeze(2), jacobian, 0)
    # columns of unit length, so that parameters of different sizes do not spoil the inverse
    scale = ((jacobian * w.unsqueeze(1)) * jacobian).sum(2).sqrt()
    scale = torch.where(scale > 0, scale, 1)
    jacobian = jacobian / scale.unsqueeze(2)
    normal = (jacobian * w.unsqueeze(1)) @ jacobian.transpose(1, 2)
    normal = normal + torch.diag_embed((~free).to(double))
    inverse, info = torch.linalg.inv_ex(normal)
    spare = (w > 0).sum(1) - free.sum(1)
    variance = (point.cost.to(double) / spare).unsqueeze(1) * inverse.diagonal(dim1=1, dim2=2) / scale**2
    known = free & (info == 0).unsqueeze(1) & (variance > 0)
    return torch.where(known, variance.clamp_min(0).sqrt(), torch.nan).to(pixels.dtype)
