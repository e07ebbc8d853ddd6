"""The objective with its linear unknowns projected out, its gradient and Gauss-Newton Hessian in the pigments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.shading import shading


@dataclass(eq=False)
class Point:
    """The projected objective at one point a pixel.

    fractions, gradient (n, 2); hessian (n, 3): entries 00, 01, 11; i_d, i_s and cost, the weighted sum of squares (n,).
    """

    fractions: Tensor
    i_d: Tensor
    i_s: Tensor
    cost: Tensor
    gradient: Tensor
    hessian: Tensor

    def where(self, condition: Tensor, other: Point) -> Point:
        """This point where the condition (n,) holds, else the other."""
        wide = condition.unsqueeze(1)
        return Point(
            *(
                torch.where(wide if mine.ndim == 2 else condition, mine, theirs)
                for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )

    def take(self, index: Tensor) -> Point:
        """Some of the pixels."""
        return Point(*(value[index] for value in vars(self).values()))


def evaluate(skin: Skin, fractions: Tensor, pixels: Tensor, weights: Tensor | None) -> Point:
    """Variable projection (Golub & Pereyra 1973) with Kaufman's (1975) approximation of the Jacobian.

    With the residual e = y - i_d r - i_s at the best shadings, the projected Jacobian of parameter k is -d_k, where
    d_k = i_d P r_k and P removes what the linear unknowns that are free could take over. Then, both halved,
    gradient_k = -d_k . e (exact) and Hessian_kl = d_k . d_l (Gauss-Newton).
    """
    reflectance, derivatives = skin.jacobian(fractions)
    i_d, i_s = shading(reflectance, pixels, weights)
    residual = pixels - i_d.unsqueeze(1) * reflectance - i_s.unsqueeze(1)
    weighted = residual if weights is None else weights * residual
    cost = (weighted * residual).sum(1)

    glossy = (i_s > 0).to(pixels.dtype)
    share = glossy / pixels.shape[1] if weights is None else glossy / weights.sum(1)
    direction = _centred(reflectance, share, weights)
    weighted_direction = direction if weights is None else weights * direction
    length = (weighted_direction * direction).sum(1).clamp_min(torch.finfo(pixels.dtype).tiny)
    slopes, gradient = [], []
    for derivative in derivatives:
        slope = _centred(derivative, share, weights)
        slope = slope - ((weighted_direction * slope).sum(1) / length).unsqueeze(1) * direction
        slope = slope * i_d.unsqueeze(1)
        gradient.append(-(slope * weighted).sum(1))
        slopes.append(slope)
    first, second = slopes
    weighted_first, weighted_second = (first, second) if weights is None else (weights * first, weights * second)
    hessian = ((weighted_first * first).sum(1), (weighted_first * second).sum(1), (weighted_second * second).sum(1))
    return Point(fractions, i_d, i_s, cost, torch.stack(gradient, 1), torch.stack(hessian, 1))


def _centred(spectra: Tensor, share: Tensor, weights: Tensor | None) -> Tensor:
    """Spectra without their weighted mean, where `share` is 1 / sum of weights; as they are where it is 0."""
    return spectra - ((spectra if weights is None else weights * spectra).sum(1) * share).unsqueeze(1)
