"""Light on the traced directions, and what it makes of a surface: diffuse and specular shading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from msfit.synth.buffers import CAMERA_DISTANCE, Buffers, directions, solid_angle

REFRACTIVE_INDEX = 1.4
# In single precision, as all numbers of the compiled loop: constants, reflection at normal incidence, and the least
# cosine to the viewer.
_ONE, _TWO, _PI = np.float32(1), np.float32(2), np.float32(np.pi)
NORMAL_REFLECTION = np.float32(((REFRACTIVE_INDEX - 1) / (REFRACTIVE_INDEX + 1)) ** 2)
GRAZING = np.float32(0.05)


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
    view = -buffers.position + np.array([0, 0, CAMERA_DISTANCE], np.float32)
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    power = light.radiance * np.float32(solid_angle(light.radiance.size))
    i_d, i_s = _integrate(normal, view, buffers.visible, directions(light.radiance.size), power, finish.roughness)
    return i_d, i_s * finish.strength


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use and keep the machine code on disk, where there is a place for it."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder that can be written to
        return njit(nogil=True, error_model="numpy")(function)


@_compiled
def _integrate(normal, view, visible, ways, power, roughness):  # type: ignore[no-untyped-def]
    """Sums of `shade`, a point at a time over the directions that it sees: no temporaries."""
    i_d, i_s = np.empty(len(normal), np.float32), np.empty(len(normal), np.float32)
    for point in range(len(normal)):
        nx, ny, nz = normal[point]
        vx, vy, vz = view[point]
        square = roughness[point] * roughness[point]
        towards = max(nx * vx + ny * vy + nz * vz, GRAZING)
        diffuse = specular = np.float32(0)
        for way in range(len(ways)):
            if not (visible[point, way >> 3] >> (7 - (way & 7))) & 1:
                continue
            wx, wy, wz = ways[way]
            slope = nx * wx + ny * wy + nz * wz
            if slope <= 0:
                continue
            # length of view + way: the half vector is (view + way) / length
            length = np.sqrt(max(_TWO + _TWO * (vx * wx + vy * wy + vz * wz), GRAZING * GRAZING))
            top = min((slope + towards) / length, _ONE)
            width = top * top * (square - _ONE) + _ONE
            # Smith's shadowing G for both ways over 4 n.v n.l
            light_side = slope * np.sqrt(towards * towards * (_ONE - square) + square)
            view_side = towards * np.sqrt(slope * slope * (_ONE - square) + square)
            graze = _ONE - min(length / _TWO, _ONE)
            fresnel = NORMAL_REFLECTION + (_ONE - NORMAL_REFLECTION) * graze * graze * graze * graze * graze
            reach = power[way] * slope
            diffuse += reach
            specular += reach * square / (width * width) * fresnel / (light_side + view_side)
        i_d[point], i_s[point] = diffuse / _PI, specular / (_TWO * _PI)
    return i_d, i_s


def soften(values: np.ndarray, buffers: Buffers, rows: np.ndarray, radius_cm: float) -> np.ndarray:
    """Blur of `values` over the skin points `rows`, as light that travels under the skin does it; others unchanged.

    A Gaussian of standard deviation `radius_cm` in the picture, divided by its own weight so that nothing leaks in from
    outside the skin.
    """
    sigma = radius_cm / buffers.pixel_cm
    size = buffers.size
    sheet, weight = np.zeros(size * size, np.float32), np.zeros(size * size, np.float32)
    pixels = buffers.pixel[rows]
    sheet[pixels], weight[pixels] = values[rows], 1
    blurred = gaussian_filter(sheet.reshape(size, size), sigma).ravel()[pixels]
    share = gaussian_filter(weight.reshape(size, size), sigma).ravel()[pixels]
    softened = values.copy()
    softened[rows] = blurred / np.maximum(share, 1e-6)
    return softened
