"""The network of the paper: an encoder, four decoders with skip connections, a branch for light and camera."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Mean of the pictures, in 0..255, that the released code removes.
_MEAN = (129.1863, 104.7624, 93.5940)
_CONVOLUTIONS, _MAPS, _NUMBERS = 3, 4, 17
_LOWEST = 4


class Paper(nn.Module):
    """Five levels of three convolutions, max-pooling between them, and one decoder a map.

    Heads' arguments (n, 4, y, x) and the numbers of light and camera (n, 17) from linear RGB (n, 3, y, x) in 0..1,
    which is scaled to 0..255 and freed of its mean. The fully connected branch reads the lowest level at 4 x 4; where
    the picture is not 64 x 64, that level's means over 4 x 4 cells.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, section 4.
    """

    WIDTHS = (32, 64, 128, 256, 512)
    mean: Tensor

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.step = 2 ** (len(widths) - 1)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.encoder = nn.ModuleList(_level(a, b) for a, b in zip((3, *widths), widths, strict=False))
        self.decoders = nn.ModuleList(_Decoder(widths) for _ in range(_MAPS))
        self.branch = nn.Linear(widths[-1] * _LOWEST**2, _NUMBERS)

    def forward(self, light: Tensor, overview: Tensor | None = None) -> tuple[Tensor, Tensor]:
        levels = self._encoded(light)
        maps = torch.cat([decoder(levels) for decoder in self.decoders], dim=1)
        return maps, self.overview(levels[-1]) if overview is None else overview

    def lowest(self, light: Tensor) -> Tensor:
        """Features of the lowest level, (n, channel, y / step, x / step)."""
        return self._encoded(light)[-1]

    def overview(self, features: Tensor) -> Tensor:
        """What the whole picture says of light and camera, (n, 17), from the features of its lowest level."""
        numbers: Tensor = self.branch(F.adaptive_avg_pool2d(features, _LOWEST).flatten(1))
        return numbers

    def _encoded(self, light: Tensor) -> list[Tensor]:
        features = 255 * light - self.mean
        levels: list[Tensor] = []
        for number, level in enumerate(self.encoder):
            features = level(F.max_pool2d(features, 2) if number else features)
            levels.append(features)
        return levels


class _Decoder(nn.Module):
    """From the lowest level up to one map, each level joined to the encoder's."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.levels = nn.ModuleList(_level(below + here, here) for below, here in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, encoded: list[Tensor]) -> Tensor:
        features = encoded[-1]
        for level, beside in zip(self.levels, encoded[-2::-1], strict=True):
            above = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = level(torch.cat([above, beside], dim=1))
        head: Tensor = self.head(features)
        return head


def _level(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(_CONVOLUTIONS):
        layers += [
            nn.Conv2d(channels if number == 0 else width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
