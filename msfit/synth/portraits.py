"""Portraits: faces before any camera, as layers from which a photograph under any lamp and camera is one product.

A portrait holds what does not depend on lamp and camera: reflectance, diffuse shading, gloss, region. `scenes` makes
linear RGB of it, `msfit.synth.cameras.develop` a photograph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from msfit.synth.appearance import random_surface, surface, texture_sheets
from msfit.synth.atlas import sample
from msfit.synth.buffers import BACKGROUND, FACE, Buffers
from msfit.synth.light import random_light
from msfit.synth.people import Subject
from msfit.synth.scene import coat, shading
from msfit.synth.spectra import WAVELENGTHS, Palette, random_palette
from msfit.synth.spots import Planted, plant
from msfit.synth.texture import random_texture

if TYPE_CHECKING:
    from torch import Generator, Tensor

_TEXELS_A_PIXEL = 1.5
# Level of the light on a white card: cameras bring it where they meter it, so its range only widens what they do not.
_LEVELS = (0.5, 2.0)
# Share of photographs taken through crossed polarisers, without gloss, and the range of its strength in the others.
_CROSSED, _GLOSS = 0.08, (0.4, 2.5)
# Share of pictures under D65 through the mean camera: what photographs in sRGB come nearest to.
_REFERENCE = 0.4


class Paint(NamedTuple):
    """What is the same in all pictures of a person."""

    palette: Palette
    planted: Planted


class Portrait(NamedTuple):
    """Layers (y, x), float32 unless said otherwise."""

    reflectance: np.ndarray
    """(y, x, band): of every pixel, background included."""
    i_d: np.ndarray
    """Diffuse shading."""
    gloss: np.ndarray
    """Specular shading."""
    region: np.ndarray
    """uint8: as of `msfit.synth.buffers`."""
    spots: np.ndarray
    """Absorbance at 550 nm of planted age spots and freckles, on the face."""


def random_paint(rng: np.random.Generator, size: int, ita: float, *, beard: bool = True, **spots: bool | int) -> Paint:
    """Colours, texture and spots of a person whose pictures have `size` pixels a side; `spots` as of `plant`."""
    palette = random_palette(rng, ita)
    texture = random_texture(rng, round(_TEXELS_A_PIXEL * size), ita, beard=beard)
    return Paint(palette, plant(rng, texture, **spots))  # type: ignore[arg-type]


def portrait(buffers: Buffers, subject: Subject, paint: Paint, rng: np.random.Generator) -> Portrait:
    """A head in a subject's skin under a light and before a background drawn from `rng`."""
    dressed = surface(buffers, texture_sheets(paint.planted.texture), paint.palette, random_surface(rng))
    light = random_light(rng, 8 * buffers.visible.shape[1], _LEVELS)
    i_d, gloss = shading(buffers, dressed, light)
    spectra, _ = coat(dressed, subject, paint.palette.brow, "measured", "")
    spots = np.zeros(len(buffers.pixel), np.float32)
    face = np.flatnonzero(buffers.region == FACE)
    spots[face] = sample(paint.planted.spots[None], buffers.uv[face])[:, 0]
    size = buffers.size
    behind, brightness = _background(rng, size, paint.palette, subject.ita)
    reflectance, diffuse = behind.reshape(size * size, -1), (light.level * brightness).ravel()
    specular, where = np.zeros(size * size, np.float32), np.full(size * size, BACKGROUND, np.uint8)
    planted = np.zeros(size * size, np.float32)
    pixel = buffers.pixel
    reflectance[pixel], diffuse[pixel], specular[pixel] = spectra, i_d, gloss
    where[pixel], planted[pixel] = buffers.region, spots
    plane = (size, size)
    return Portrait(
        reflectance.reshape(*plane, -1),
        diffuse.reshape(plane).astype(np.float32),
        specular.reshape(plane),
        where.reshape(plane),
        planted.reshape(plane),
    )


def _background(rng: np.random.Generator, size: int, palette: Palette, ita: float) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance (y, x, band) and brightness (y, x): two paints in blurred shapes, a wall to a window or a night."""
    other = random_palette(rng, ita).background
    noise = gaussian_filter(rng.standard_normal((size, size)), size * np.exp(rng.uniform(np.log(0.02), np.log(0.3))))
    share = 1 / (1 + np.exp(-4 * rng.uniform(0, 1) * noise / max(float(noise.std()), 1e-9)))
    reflectance = share[..., None] * palette.background + (1 - share[..., None]) * other
    bright = np.exp(rng.uniform(np.log(0.03), np.log(1.2)))
    slope = rng.normal(size=2) * 0.5
    across, down = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    brightness = bright * np.exp(slope[0] * across + slope[1] * down)
    if rng.random() < 0.2:  # a window, a lamp or the sky
        left, top = rng.uniform(-1, 0.8, 2)
        width, height = rng.uniform(0.2, 1.2, 2)
        inside = (across > left) & (across < left + width) & (down > top) & (down < top + height)
        edge = gaussian_filter(inside.astype(float), size * rng.uniform(0.003, 0.03))
        brightness = brightness + edge * rng.uniform(1, 6)
    return reflectance.astype(np.float32), brightness.astype(np.float32)


class Scenes(NamedTuple):
    """Linear scenes and what they were made with."""

    picture: Tensor
    """(n, 3, y, x): linear RGB behind perfect white balance, not clipped."""
    gloss: Tensor
    """(n, 1, y, x): specular shading in them."""
    lighting: Tensor
    """(n, 15): parameters of `msfit.colour.illuminants.IlluminationModel`."""
    camera: Tensor
    """(n, 2): parameters of `msfit.colour.cameras.CameraModel`."""


def scenes(spectra: Tensor, functions: Tensor, i_d: Tensor, gloss: Tensor, generator: Generator) -> Scenes:
    """Portraits under lamps and through cameras drawn for each.

    Parameters
    ----------
    spectra : tensor (n, k, y, x)
        Reflectance: coefficients of `functions`.
    functions : tensor (k, band)
        On `msfit.synth.spectra.WAVELENGTHS`; the identity where `spectra` are spectra.
    i_d, gloss : tensor (n, 1, y, x)
    generator : torch.Generator
        On the CPU.
    """
    import torch

    from msfit.colour.cameras import CameraModel
    from msfit.colour.illuminants import IlluminationModel
    from msfit.colour.pipelines import pipeline, rgb_weights
    from msfit.colour.spectra import standard_observer

    count = len(spectra)
    lighting = 2.0 * torch.randn(count, 15, generator=generator)
    camera = torch.randn(count, 2, generator=generator).clamp(-3, 3)
    reference = torch.rand(count, generator=generator) < _REFERENCE
    lighting[reference], camera[reference] = _daylight(), 0.0
    lamps, cameras = IlluminationModel(WAVELENGTHS), CameraModel(WAVELENGTHS)
    observer = torch.from_numpy(standard_observer().on(WAVELENGTHS))
    weights = rgb_weights(lamps(lighting.double()), cameras(camera.double()), observer, pipeline("neutral"))
    weights = weights.to(spectra)
    strength = torch.exp(np.log(_GLOSS[0]) + np.log(_GLOSS[1] / _GLOSS[0]) * torch.rand(count, generator=generator))
    strength = strength * (torch.rand(count, generator=generator) >= _CROSSED)
    shining = gloss * strength.to(gloss)[:, None, None, None]
    colour = torch.einsum("nkyx,nkc->ncyx", spectra, functions.to(spectra) @ weights)
    white = weights.sum(1)[..., None, None]
    return Scenes(i_d * colour + shining * white, shining, lighting, camera)


def _daylight() -> Tensor:
    """Parameters of `IlluminationModel` for daylight of 6504 K, other lamps under a weight of e^-12 each."""
    import torch

    position = ((6504.0 - 3000) / 1000 - 1) / 21
    parameters = torch.zeros(15)
    parameters[1], parameters[14] = 12.0, float(np.log(position / (1 - position)))
    return parameters
