"""Our network: one small encoder and decoder for all maps, with a view of the whole picture at every level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msfit.colour.transforms import encode_srgb

_MAPS, _NUMBERS = 6, 17
_DARKEST = 0.01
# Shares of red, green and blue in luminance (ITU-R BT.709).
_LUMINANCE = (0.2126, 0.7152, 0.0722)


class Compact(nn.Module):
    """A U-Net that works at half resolution and below, and refines at full resolution.

    Heads' arguments (n, 6, y, x) and the numbers of light and camera (n, 17) from linear RGB (n, 3, y, x) in 0..1. The
    network sees display values and logarithms, in which a change of exposure or of shading is a shift. How bright the
    light and how dark the skin is can only be judged from the whole picture: the mean and the maximum of the lowest
    level steer gains and shifts of every level of the decoder. The logarithm of luminance is added to those of the
    shadings, which are then told relative to it.
    """

    WIDTHS = (32, 64, 128, 192)
    luminance: Tensor

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.step = 2 ** len(widths)
        self.register_buffer("luminance", torch.tensor(_LUMINANCE)[:, None, None], persistent=False)
        first, last, context = widths[0], widths[-1], 128
        fine = max(1, first // 2)
        self.stem = _Convolution(24, first)
        self.encoder = nn.ModuleList(_Residual(a, b) for a, b in zip((first, *widths), widths, strict=False))
        self.context = nn.Sequential(nn.Linear(2 * last, context), nn.ReLU(), nn.Linear(context, context), nn.ReLU())
        self.numbers = nn.Linear(context, _NUMBERS)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Conv2d(below, here, 1) for below, here in pairs)
        self.steer = nn.ModuleList(nn.Linear(context, 2 * here) for _, here in pairs)
        self.decoder = nn.ModuleList(_Residual(here, here) for _, here in pairs)
        self.widen = nn.Conv2d(first, 4 * fine, 1)
        self.detail = _Convolution(6, fine)
        self.refine = _Residual(fine, fine)
        self.heads = nn.Conv2d(fine, _MAPS, 1)
        for layer in (self.heads, self.numbers, *self.steer):
            nn.init.zeros_(layer.bias)
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, light: Tensor, overview: Tensor | None = None) -> tuple[Tensor, Tensor]:
        picture = seen(light)
        levels = self._encoded(picture)
        features = levels[-1]
        context = self.overview(features) if overview is None else overview
        for up, steer, level, beside in zip(self.up, self.steer, self.decoder, levels[-2::-1], strict=True):
            above = F.interpolate(up(features), scale_factor=2, mode="nearest")
            gain, shift = steer(context)[..., None, None].chunk(2, dim=1)
            features = level((1 + gain) * (above + beside) + shift)
        fine = self.refine(F.pixel_shuffle(self.widen(features), 2) + self.detail(picture))
        with torch.autocast(light.device.type, enabled=False):  # logarithms need more than half precision's digits
            heads = self.headed(self.heads(fine.to(light.dtype)), light)
        return heads, self.numbers(context)

    def headed(self, heads: Tensor, light: Tensor) -> Tensor:
        """Heads whose shadings were relative to the luminance of the picture."""
        brightness = torch.log((self.luminance * light).sum(1, keepdim=True) + _DARKEST)
        return torch.cat([heads[:, :2], heads[:, 2:4] + brightness, heads[:, 4:]], dim=1)

    def lowest(self, light: Tensor) -> Tensor:
        """Features of the lowest level, (n, channel, y / step, x / step)."""
        return self._encoded(seen(light))[-1]

    def overview(self, features: Tensor) -> Tensor:
        """What the whole picture says, (n, context), from the features of its lowest level."""
        context: Tensor = self.context(torch.cat([features.mean((-2, -1)), features.amax((-2, -1))], dim=1))
        return context

    def _encoded(self, picture: Tensor) -> list[Tensor]:
        features = self.stem(F.pixel_unshuffle(picture, 2))
        levels: list[Tensor] = []
        for number, level in enumerate(self.encoder):
            features = level(F.max_pool2d(features, 2) if number else features)
            levels.append(features)
        return levels


def seen(light: Tensor) -> Tensor:
    """What the network sees of linear light: display values and logarithms, (n, 6, y, x)."""
    return torch.cat([2 * encode_srgb(light) - 1, 0.5 * torch.log(light + _DARKEST) + 1], dim=1)


class _Convolution(nn.Sequential):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


class _Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.shortcut = nn.Identity() if channels == width else nn.Conv2d(channels, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.shortcut(features) + self.second(self.first(features)))
