"""The two linear unknowns in closed form: non-negative least squares for diffuse and specular shading."""

from __future__ import annotations

import torch
from torch import Tensor


def shading(reflectance: Tensor, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Shadings (i_d, i_s) that minimise sum_b w_b (y_b - i_d r_b - i_s)^2 over i_d, i_s >= 0, each (n,).

    The free minimum is tried first. Where it has i_s < 0 the minimum lies on i_s = 0, where it has i_d < 0 on i_d = 0:
    the objective is convex, and both cannot be negative while the mean of a pixel and the reflectance are positive.
    `reflectance` and `pixels` are (n, band), `weights` too or None for ones.
    """
    weighted = reflectance if weights is None else weights * reflectance
    total = pixels.shape[1] if weights is None else weights.sum(1)
    pixel_mean = (pixels if weights is None else weights * pixels).sum(1) / total
    skin_mean = weighted.sum(1) / total
    # centring first keeps the two nearly parallel directions apart, in float32 too
    centred = reflectance - skin_mean.unsqueeze(1)
    weighted_centred = centred if weights is None else weights * centred
    tiny = torch.finfo(pixels.dtype).tiny
    i_d = (weighted_centred * pixels).sum(1) / (weighted_centred * centred).sum(1).clamp_min(tiny)
    i_s = pixel_mean - i_d * skin_mean
    matte = i_s < 0
    if matte.any():
        alone = (weighted * pixels).sum(1) / (weighted * reflectance).sum(1).clamp_min(tiny)
        i_d = torch.where(matte, alone, i_d)
        i_s = torch.where(matte, 0, i_s)
    unlit = i_d <= 0
    return torch.where(unlit, 0, i_d), torch.where(unlit, pixel_mean.clamp_min(0), i_s)
