"""Light on the traced directions, and what it makes of a surface: diffuse and specular shading."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from msfit.synth.buffers import Buffers, directions, solid_angle

REFRACTIVE_INDEX = 1.4
_CHUNK = 8192


class Light(NamedTuple):
    """Radiance of the surroundings on the directions of `msfit.synth.buffers.directions`."""

    radiance: np.ndarray
    """float32 (directions,): a white card that faces the brightest way has i_d = `level`."""
    level: float


class Finish(NamedTuple):
    """Surface of a material: roughness alpha of the GGX distribution [1] and strength of its reflection [1]."""

    roughness: np.ndarray
    strength: np.ndarray


def random_light(rng: np.random.Generator, count: int = 256, levels: tuple[float, float] = (0.75, 1.6)) -> Light:
    """Area lights over an environment, drawn from `rng`, with a level between `levels`.

    One key light stands within 60 degrees of the camera's axis, mostly above; up to two more fill or rim. Each has a
    smooth edge and a half width of 6 to 26 degrees (von Mises-Fisher lobes). The environment is a dome with a vertical
    and a horizontal gradient.
    """
    ways = directions(count).astype(np.float64)
    dome = np.clip(1 + rng.uniform(-0.2, 0.8) * ways[:, 1] + rng.normal() * 0.3 * ways[:, 0], 0.05, None)
    total = dome / (dome * np.clip(ways[:, 2], 0, 1)).sum() * np.exp(rng.uniform(np.log(0.06), np.log(0.45)))
    for order in range(1 + rng.integers(0, 3)):
        azimuth, elevation = (
            (rng.normal() * 0.62, rng.normal() * 0.3 + 0.42)
            if order == 0
            else (rng.uniform(-1.7, 1.7), rng.normal() * 0.35 + 0.2)
        )
        way = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
        half_width = np.exp(rng.uniform(np.log(0.10), np.log(0.45)))
        lobe = np.exp((ways @ way - 1) / (1 - np.cos(half_width)))
        share = 1.0 if order == 0 else float(rng.uniform(0.1, 0.6))
        total = total + share * lobe / lobe.sum()
    white = np.clip(ways @ ways.T, 0, None) @ total * solid_angle(count) / np.pi
    level = float(np.exp(rng.uniform(*np.log(levels))))
    return Light((total * level / white.max()).astype(np.float32), level)


def shade(buffers: Buffers, normal: np.ndarray, light: Light, finish: Finish) -> tuple[np.ndarray, np.ndarray]:
    """Diffuse and specular shading of each visible point, float32 (n,) each.

    ``i_d = sum_j L_j V_j (n.w_j) dw / pi`` and ``i_s = sum_j L_j V_j D G F / (4 n.v n.w_j) (n.w_j) dw``, V from the
    shadow rays, D and G of the GGX distribution (Walter et al. 2007, Microfacet Models for Refraction through Rough
    Surfaces, EGSR), F of Fresnel at n = 1.4 in Schlick's form (1994).
    """
    ways = directions(light.radiance.size)
    use = light.radiance > 1e-4 * light.radiance.max()
    ways, weight = ways[use], light.radiance[use] * np.float32(solid_angle(light.radiance.size))
    view = -buffers.position + np.array([0, 0, 100.0], np.float32)
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    diffuse, specular = np.empty(len(normal), np.float32), np.empty(len(normal), np.float32)
    for start in range(0, len(normal), _CHUNK):
        rows = slice(start, start + _CHUNK)
        seen = np.unpackbits(buffers.visible[rows], axis=1)[:, use].astype(np.float32)
        slope = np.clip(_cosines(normal[rows], ways), 0, None)
        reach = seen * slope * weight
        diffuse[rows] = reach.sum(axis=1) / np.float32(np.pi)
        specular[rows] = (reach * _ggx(normal[rows], view[rows], ways, slope, finish.roughness[rows])).sum(
            axis=1
        ) * finish.strength[rows]
    return diffuse, specular


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Scalar products (n, m) of unit vectors (n, 3) and (m, 3)."""
    return sum(first[:, axis, None] * second[None, :, axis] for axis in range(3))


def _ggx(
    normal: np.ndarray, view: np.ndarray, ways: np.ndarray, slope: np.ndarray, roughness: np.ndarray
) -> np.ndarray:
    square = (roughness * roughness)[:, None]
    towards = np.clip((normal * view).sum(axis=1), 0.05, None)[:, None]
    # length of view + way: the half vector is (view + way) / bisector
    bisector = np.sqrt(np.maximum(2 + 2 * _cosines(view, ways), 1e-6))
    top = np.minimum((slope + towards) / bisector, 1)
    spread = square / (np.float32(np.pi) * np.square(top * top * (square - 1) + 1))
    # Smith's shadowing for both ways, already over 4 n.v n.l
    light_side = slope * np.sqrt(towards**2 * (1 - square) + square)
    view_side = towards * np.sqrt(slope * slope * (1 - square) + square)
    base = np.float32(((REFRACTIVE_INDEX - 1) / (REFRACTIVE_INDEX + 1)) ** 2)
    graze = 1 - np.minimum(bisector / 2, 1)
    graze_square = graze * graze
    fresnel = base + (1 - base) * graze_square * graze_square * graze
    return spread * fresnel * 0.5 / np.maximum(light_side + view_side, 1e-4)


def soften(values: np.ndarray, buffers: Buffers, rows: np.ndarray, radius_cm: float) -> np.ndarray:
    """Blur of `values` over the skin points `rows`, as light that travels under the skin does it; others unchanged.

    A Gaussian of standard deviation `radius_cm` in the picture, divided by its own weight so that nothing leaks in from
    outside the skin.
    """
    sigma = radius_cm / buffers.pixel_cm
    size = buffers.size
    sheet, weight = np.zeros(size * size, np.float32), np.zeros(size * size, np.float32)
    place = buffers.pixel[rows]
    sheet[place], weight[place] = values[rows], 1
    blurred = gaussian_filter(sheet.reshape(size, size), sigma).ravel()[place]
    share = gaussian_filter(weight.reshape(size, size), sigma).ravel()[place]
    softened = values.copy()
    softened[rows] = blurred / np.maximum(share, 1e-6)
    return softened
