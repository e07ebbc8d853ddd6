"""Batched Adam on bounded parameters: how most people would fit many pixels on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.skin.registry import Skin

_RATE = 0.05


def adam(skin: Skin, pixels: Tensor, upper: Tensor, steps: int) -> Tensor:
    """(f_mel, f_blood, i_d, i_s), (n, 4), after some steps on pixels (n, band), all of them at once.

    Bounds are kept by the reparametrisation that all of its users know: a logistic curve up to `upper` (2,) for
    pigments, a softplus for shadings. It starts from the middle of the box, with i_d = 0.5 and i_s = 0.05.
    """
    start = torch.cat((torch.zeros(2), torch.expm1(torch.tensor([0.5, 0.05])).log())).to(pixels)
    raw = start.repeat(len(pixels), 1).requires_grad_()
    optimiser = torch.optim.Adam([raw], lr=_RATE)

    def bounded() -> Tensor:
        return torch.cat((upper * torch.sigmoid(raw[:, :2]), torch.nn.functional.softplus(raw[:, 2:])), 1)

    for _ in range(steps):
        optimiser.zero_grad()
        x = bounded()
        residual = x[:, 2:3] * skin.reflectance(x[:, :2]) + x[:, 3:] - pixels
        residual.square().sum().backward()
        optimiser.step()
    return bounded().detach()
