"""Pictures made worse, as cameras, networks and owners of photographs make them worse.

Every function takes linear RGB pictures (n, 3, y, x), white = 1, and answers in kind, clipped to 0..1: what is out of
that range no photograph holds. Randomness comes from the generator that is given, so that a run repeats.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.errors import InputError
from msfit.io.extras import need


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian of standard deviation `sigma` [pixels]; beyond the edge lies the picture's mirror image."""
    _check("sigma", sigma, 0, 100)
    light = pictures.clamp(0, 1)
    if sigma == 0:
        return light
    reach = min(math.ceil(3 * sigma), min(pictures.shape[-2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=pictures.dtype, device=pictures.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    for turned in (kernel, kernel.mT):
        high, wide = turned.shape[-2] // 2, turned.shape[-1] // 2
        light = F.conv2d(F.pad(light, (wide, wide, high, high), mode="reflect"), turned, groups=3)
    return light


def add_noise(pictures: Tensor, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """Add Gaussian noise of standard deviation `sigma` to the display values (sRGB, 0..1), where 0.05 is 5 %."""
    _check("sigma", sigma, 0, 1)
    noise = torch.randn(pictures.shape, generator=generator, dtype=torch.float32).to(pictures)
    return decode_srgb(encode_srgb(pictures) + sigma * noise)


def jpeg(pictures: Tensor, quality: int) -> Tensor:
    """Write as 8 bit sRGB JPEG of `quality` 1..95 with halved chroma, as cameras do, and read it back."""
    _check("quality", quality, 1, 95)
    image = need("PIL.Image", "photo")
    display = encode_srgb(pictures).mul(255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    read = np.empty_like(display)
    for picture, target in zip(display, read, strict=True):
        file = io.BytesIO()
        image.fromarray(picture).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
        target[:] = np.asarray(image.open(file))
    return decode_srgb(torch.from_numpy(read).permute(0, 3, 1, 2).to(pictures) / 255)


def low_resolution(pictures: Tensor, factor: float) -> Tensor:
    """Scale down by `factor` >= 1 (every new pixel a mean) and back up, linearly between its pixels."""
    _check("factor", factor, 1, math.inf)
    height, width = pictures.shape[-2:]
    small = (max(1, round(height / factor)), max(1, round(width / factor)))
    coarse = F.interpolate(pictures.clamp(0, 1), small, mode="area")
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


def expose(pictures: Tensor, gain: float) -> Tensor:
    """Multiply the light by `gain`; what comes out above white is white."""
    _check("gain", gain, 0, math.inf)
    return (gain * pictures).clamp(0, 1)


def tint(pictures: Tensor, gains: Tensor) -> Tensor:
    """Multiply the channels by `gains` (3,): a white balance that missed by as much."""
    return (gains.to(pictures)[:, None, None] * pictures).clamp(0, 1)


#: The degradations that networks are examined with, by name: (pictures, generator) -> pictures.
DEGRADATIONS: Mapping[str, Callable[[Tensor, torch.Generator | None], Tensor]] = {
    "blur": lambda pictures, _: blur(pictures, 2.0),
    "noise": lambda pictures, generator: add_noise(pictures, 0.05, generator),
    "jpeg": lambda pictures, _: jpeg(pictures, 30),
    "quarter-resolution": lambda pictures, _: low_resolution(pictures, 4.0),
}


def degrade(pictures: Tensor, name: str, generator: torch.Generator | None = None) -> Tensor:
    """Apply one of `DEGRADATIONS`.

    Parameters
    ----------
    pictures : tensor (n, 3, y, x)
        Linear RGB, white = 1.
    name : {"blur", "noise", "jpeg", "quarter-resolution"}
        Blur of sigma 2 pixels; noise of 5 % of the display values; JPEG of quality 30; a quarter of the resolution.
    generator : torch.Generator, optional
        For the noise.

    Returns
    -------
    tensor (n, 3, y, x)
        0..1.

    Raises
    ------
    InputError
        An unknown name.
    """
    if name not in DEGRADATIONS:
        raise InputError(f"degrade: found {name!r}; expected one of {', '.join(DEGRADATIONS)}")
    return DEGRADATIONS[name](pictures, generator)


class Ranges(NamedTuple):
    """How bad `augment` makes pictures: each step is taken with probability `share`, as strong as its range allows."""

    share: float = 0.3
    exposure: tuple[float, float] = (-0.7, 1.0)
    """Stops: faces near a lamp are lit more than the white that the exposure was set for."""
    tint: float = 0.06
    """Standard deviation of the logarithm of the gains of red and blue against green."""
    blur: tuple[float, float] = (0.3, 2.5)
    factor: tuple[float, float] = (1.0, 5.0)
    noise: tuple[float, float] = (0.0, 0.08)
    quality: tuple[float, float] = (20, 95)


class Augmented(NamedTuple):
    """Pictures made worse, and what of it changes their truth."""

    pictures: Tensor
    """(n, 3, y, x), linear RGB, 0..1."""
    exposure: Tensor
    """(n, 1, 1, 1): both shadings are multiplied by it."""


def augment(pictures: Tensor, generator: torch.Generator, ranges: Ranges | None = None) -> Augmented:
    """Make every picture worse in its own way, in the order in which a photograph is made.

    Exposure, white balance, blur, low resolution, noise, JPEG: each with probability `ranges.share` and a strength that
    is uniform in its range.

    Parameters
    ----------
    pictures : tensor (n, 3, y, x)
        Linear RGB, white = 1.
    generator : torch.Generator
        On the CPU. Two calls with generators of equal state give equal pictures.
    ranges : Ranges, optional

    Returns
    -------
    Augmented
    """
    ranges = ranges or Ranges()
    made = [_one(picture[None], generator, ranges) for picture in pictures]
    exposure = torch.tensor([gain for _, gain in made], dtype=pictures.dtype, device=pictures.device)
    return Augmented(torch.cat([picture for picture, _ in made]), exposure[:, None, None, None])


def _one(picture: Tensor, generator: torch.Generator, ranges: Ranges) -> tuple[Tensor, float]:
    def happens() -> bool:
        return float(torch.rand((), generator=generator)) < ranges.share

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    gain = 2 ** between(*ranges.exposure) if happens() else 1.0
    picture = expose(picture, gain)
    if happens():
        red, blue = (ranges.tint * torch.randn(2, generator=generator)).exp().tolist()
        picture = tint(picture, torch.tensor([red, 1.0, blue]))
    if happens():
        picture = blur(picture, between(*ranges.blur))
    if happens():
        picture = low_resolution(picture, between(*ranges.factor))
    if happens():
        picture = add_noise(picture, between(*ranges.noise), generator)
    if happens():
        picture = jpeg(picture, round(between(*ranges.quality)))
    return picture, gain


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name}: found {value}; expected {low:g} to {high:g}")
