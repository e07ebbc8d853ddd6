"""The U-Net from a turned face to its front view, and the critic that tells drawn front views from true ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.GroupNorm(min(8, outputs // 4), outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.GroupNorm(min(8, outputs // 4), outputs),
        nn.SiLU(),
    )


class FrontNet(nn.Module):
    """Encoder and decoder with skips (O. Ronneberger et al., "U-Net", MICCAI 2015).

    Parameters
    ----------
    width : int
        Channels of the first level; each of the four below has 1.75 times as many.

    Notes
    -----
    Pictures are sRGB in [0, 1], (n, 3, y, x), sides a multiple of 16.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.width = width
        widths = [int(width * 1.75**level) // 8 * 8 for level in range(5)]
        self.down = nn.ModuleList(
            _block(3 if level == 0 else widths[level - 1], widths[level], 1 if level == 0 else 2) for level in range(5)
        )
        self.up = nn.ModuleList(_block(widths[level + 1] + widths[level], widths[level]) for level in range(4))
        self.end = nn.Conv2d(widths[0], 3, 1)

    def forward(self, turned: Tensor) -> Tensor:
        """Front views, (n, 3, y, x)."""
        levels = []
        values = 2 * turned - 1
        for block in self.down:
            values = block(values)
            levels.append(values)
        for level in range(3, -1, -1):
            wide = nn.functional.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)
            values = self.up[level](torch.cat([wide, levels[level]], dim=1))
        drawn: Tensor = torch.sigmoid(self.end(values))
        return drawn


class Critic(nn.Module):
    """PatchGAN: of each patch of a front view beside its turned picture, how true it looks; (n, 1, y / 8, x / 8).

    P. Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 6
        for outputs in (width, 2 * width, 4 * width):
            layers += [nn.utils.spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
            inputs = outputs
        layers.append(nn.Conv2d(inputs, 1, 3, 1, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, turned: Tensor, front: Tensor) -> Tensor:
        """Scores of front views (n, 3, y, x) of turned pictures."""
        scored: Tensor = self.layers(torch.cat([turned, front], dim=1) * 2 - 1)
        return scored
