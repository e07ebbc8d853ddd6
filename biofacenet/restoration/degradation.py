"""Pictures made worse on purpose, blindly and twice over, with the numbers of what was done to them.

X. Wang et al., "Towards real-world blind face restoration with generative facial prior", CVPR 2021: blur, sampling,
noise and JPEG, ``y = [(x * k) down r + n]_JPEG``; X. Wang et al., "Real-ESRGAN", ICCV workshops 2021: the same twice.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.data.augment import blur, jpeg
from msfit.colour.transforms import decode_srgb, encode_srgb

#: Standard deviation of the blur [pixels], factor of sampling [1], noise [display values of 255], JPEG quality.
BLUR, FACTOR, NOISE, QUALITY = (0.2, 10.0), (1.0, 8.0), (0.0, 15.0), (60, 100)
# Harder than published: a share of the steps is drawn up to these.
_HARDER_NOISE, _HARDER_QUALITY, _HARDER = 30.0, 12, 0.3
# Shares of pictures that stay as they are, that suffer one step, one chain of steps, and two.
_KINDS = (0.16, 0.38, 0.28, 0.18)
_BEST_QUALITY = 95  # what Pillow calls the best without switching subsampling's tables off


class Degradation(NamedTuple):
    """What a picture suffered, seen at its final size.

    Attributes
    ----------
    blur : float
        Standard deviation of all blurs together [pixels].
    factor : float
        How many pixels of the picture were one pixel on the way [1].
    noise : float
        Standard deviation [display values of 255].
    quality : float
        Of the last JPEG, 1 to 100; 100: none.
    """

    blur: float = 0.0
    factor: float = 1.0
    noise: float = 0.0
    quality: float = 100.0

    def __str__(self) -> str:
        jpeg_said = "no JPEG" if self.quality > 97 else f"JPEG quality {self.quality:.0f}"
        return f"blur {self.blur:.1f} px, resolution 1/{self.factor:.1f}, noise {self.noise:.1f} of 255, {jpeg_said}"

    @property
    def spread(self) -> float:
        """Standard deviation [pixels] of a Gaussian that takes as much away as blur and sampling do.

        A mean over f pixels has the variance ``(f^2 - 1) / 12``, linear interpolation between such as much again.
        """
        return math.sqrt(self.blur**2 + (self.factor**2 - 1) / 6)


class Step(NamedTuple):
    """One turn of ``[(x * k) down r + n]_JPEG``; the fields of `Degradation`, 0 noise and quality 100 meaning none."""

    blur: float = 0.0
    factor: float = 1.0
    noise: float = 0.0
    quality: int = 100


def apply(picture: Tensor, steps: list[Step], generator: torch.Generator) -> Tensor:
    """A picture (1, 3, y, x), linear RGB in 0..1, after some steps, each at the size that sampling leaves.

    It comes back at its first size: enlarged by bicubic interpolation, as viewers do.
    """
    shape = picture.shape[-2:]
    for step in steps:
        if step.blur:
            picture = blur(picture, step.blur)
        height, width = (max(8, round(length / step.factor)) for length in picture.shape[-2:])
        if step.factor > 1:
            picture = F.interpolate(picture, (height, width), mode="area")
        display = encode_srgb(picture.clamp(0, 1))
        if step.noise:
            display = display + step.noise / 255 * torch.randn(display.shape, generator=generator)
        picture = decode_srgb(display.clamp(0, 1))
        if step.quality < 100:
            picture = jpeg(picture, min(step.quality, _BEST_QUALITY))
        if step.factor > 1:
            display = F.interpolate(encode_srgb(picture), shape, mode="bicubic", align_corners=False)
            picture = decode_srgb(display.clamp(0, 1))
    return picture


def summed(steps: list[Step]) -> Degradation:
    """What steps come to: blurs add in variance, noise is what later blurs leave of it."""
    spread, factor, noise, quality = 0.0, 1.0, 0.0, 100.0
    for step in steps:
        # Gaussian blur leaves 1 / (2 sqrt(pi) sigma) of white noise; what was sampled more coarsely is smooth already
        softened = math.sqrt(step.blur**2 + (step.factor**2 - 1) / 12)
        noise = math.hypot(noise * min(1.0, 1 / (2 * math.sqrt(math.pi) * max(softened, 0.28))), step.noise)
        spread, factor = math.hypot(spread, step.blur), max(factor, step.factor)
        quality = min(step.quality, quality) if step.quality < 100 else quality
    return Degradation(spread, factor, noise, quality)


def random_steps(generator: torch.Generator) -> list[Step]:
    """What one picture suffers: nothing, one step of one kind, a chain, or two chains."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    def geometric(low: float, high: float) -> float:
        return math.exp(uniform(math.log(low), math.log(high)))

    def noise() -> float:
        return uniform(0, _HARDER_NOISE) if uniform(0, 1) < _HARDER else uniform(*NOISE)

    def quality() -> int:
        return round(uniform(_HARDER_QUALITY, 100) if uniform(0, 1) < _HARDER else uniform(*QUALITY))

    kind = int(torch.multinomial(torch.tensor(_KINDS), 1, generator=generator))
    if kind == 0:
        return []
    if kind == 1:
        made = (
            Step(blur=geometric(*BLUR)),
            Step(factor=uniform(*FACTOR)),
            Step(noise=noise()),
            Step(quality=quality()),
        )
        return [made[int(uniform(0, 3.999))]]

    def chain(milder: float) -> Step:
        return Step(
            geometric(BLUR[0], BLUR[1] * milder), 1 + (uniform(*FACTOR) - 1) * milder, noise() * milder, quality()
        )

    return [chain(0.6)] if kind == 2 else [chain(0.4), chain(0.3)]


def random_hole(size: int, generator: torch.Generator) -> Tensor:
    """A hole (1, size, size), 1 inside: a few ellipses and strokes that hang together."""
    axis = torch.linspace(-1, 1, size)
    down, across = torch.meshgrid(axis, axis, indexing="ij")
    centre = 1.4 * torch.rand(2, generator=generator) - 0.7
    hole = torch.zeros(size, size, dtype=torch.bool)
    for _ in range(1 + int(4 * torch.rand((), generator=generator))):
        x, y = centre + 0.25 * torch.randn(2, generator=generator)
        half = 0.05 + 0.3 * torch.rand(2, generator=generator)
        turn = math.pi * float(torch.rand((), generator=generator))
        u = (across - x) * math.cos(turn) + (down - y) * math.sin(turn)
        v = (down - y) * math.cos(turn) - (across - x) * math.sin(turn)
        hole |= (u / half[0]) ** 2 + (v / half[1]) ** 2 < 1
    return hole[None].float()
