"""Where the light of a photograph comes from, found from shading on a surface that is known."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from msfit.face.camera import Camera
from msfit.face.subdivision import fine_face
from msfit.face.surface import FaceSurface

# Directions of the hemisphere before the face; light from behind shows at its rim alone, where surfaces are unsure.
_COUNT, _LOWEST_Z = 128, 0.0
_SOLID_ANGLE = 2 * np.pi * (1 - _LOWEST_Z) / _COUNT
_OFFSET = 0.05
# Weight of keeping radiances small against explaining the shading; it spreads light that cannot be told apart.
_SPREAD = 0.05
# Light that reaches every point alike, through scattering in the skin and from the surroundings, as a share of the
# median: keeps ratios of shading finite in shadows.
_FLOOR = 0.08
_INDEX = 1.4  # of refraction of skin
_ROUGHNESS = 0.3
# Skin reflects no more than a smooth layer does; what is found beyond is an error of i_s.
_GLOSSIEST = 1.0
_GRAZING = 0.05
_NORMAL_REFLECTANCE = ((_INDEX - 1) / (_INDEX + 1)) ** 2


class FoundLight(NamedTuple):
    """Radiance on `directions`, fixed to the picture: it stays where it is when the head turns."""

    radiance: np.ndarray
    """float64 (direction,): a white card that sees all of it has the shading that the photograph's i_d is in."""
    floor: float
    """Shading added everywhere [1]."""
    gloss: float = 0.0
    """Strength of reflection [1] at the surface of this skin; 1 is a smooth layer of refractive index 1.4."""

    def at(self, surface: FaceSurface, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """Diffuse and specular shading [1] at the vertices of the fine mesh, the head turned as `camera` sees it."""
        return self._shaded(*_reflected(surface, camera))

    def _shaded(self, diffuse: np.ndarray, gloss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spread = fine_face().spread
        return spread @ (diffuse @ self.radiance) + self.floor, self.gloss * np.maximum(
            spread @ (gloss @ self.radiance), 0
        )


@functools.cache
def directions() -> np.ndarray:
    """Unit vectors (direction, 3), x right, y up, z towards the camera, spread evenly (a Fibonacci lattice)."""
    index = np.arange(_COUNT) + 0.5
    z = 1 - (1 - _LOWEST_Z) * index / _COUNT
    turn, radius = np.pi * (1 + 5**0.5) * index, np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def find_light(
    surface: FaceSurface, i_d: np.ndarray, i_s: np.ndarray, weight: np.ndarray
) -> tuple[FoundLight, np.ndarray, np.ndarray]:
    """The light that shades a surface as it is seen.

    Least squares over radiances that are not negative, from directions around the head, shadows of the face on itself
    included: ``i_d = sum_j L_j V_j max(0, n.w_j) dw / pi``. Of i_s, what follows the gloss of that light
    is gloss; the rest, which follows i_d or nothing, is haze and stays with the skin's colour.

    Parameters
    ----------
    surface : FaceSurface
    i_d, i_s : float array (coarse,)
        Diffuse and specular shading [1] at the first `coarse()` vertices; NaN where they are not known.
    weight : float array (coarse,)
        How much each counts.

    Returns
    -------
    light : FoundLight
    diffuse, gloss : float64 arrays (fine,)
        What it makes of the surface as it is seen, as of `FoundLight.at`.

    References
    ----------
    P. N. Belhumeur, D. J. Kriegman, "What is the set of images of an object under all possible illumination
    conditions?", IJCV 28, 1998: any light on a known surface is a sum of lights that are not negative.
    """
    diffuse, gloss = _reflected(surface, surface.camera)
    known = np.flatnonzero(np.isfinite(i_d) & (weight > 0))
    if known.size < _COUNT:  # hardly anything is seen: light from the front
        level = float(np.nanmedian(i_d)) if known.size else 1.0
        ahead = np.maximum(directions()[:, 2], 0)
        light = FoundLight(level * ahead * (np.pi / _SOLID_ANGLE) / np.square(ahead).sum(), _FLOOR * level)
        return light, *light._shaded(diffuse, gloss)
    level = float(np.median(i_d[known]))
    matrix = diffuse[known]
    root = np.sqrt(weight[known] / weight[known].mean())[:, None]
    size = np.sqrt(np.square(root * matrix).sum() / _COUNT)
    rows = np.concatenate([root * matrix, _SPREAD * size * np.eye(_COUNT)])
    target = np.concatenate([root[:, 0] * np.maximum(i_d[known] - _FLOOR * level, 0), np.zeros(_COUNT)])
    radiance = nnls(rows.T @ rows, rows.T @ target)[0]
    shine = gloss[known] @ radiance
    haze = np.stack([shine, matrix @ radiance, np.full(known.size, level)], axis=1)
    strength = nnls(root * haze, root[:, 0] * np.nan_to_num(i_s[known]))[0][0]
    light = FoundLight(radiance, _FLOOR * level, float(min(strength, _GLOSSIEST)))
    return light, *light._shaded(diffuse, gloss)


def coarse() -> int:
    """Number of vertices at which shading is looked at, since it is smooth: the first of the fine mesh."""
    return int(fine_face().spread.shape[1])


def _reflected(surface: FaceSurface, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Diffuse and specular shading of each vertex by unit radiance from each direction: (coarse, direction) each."""
    ways = directions() @ camera.rotation
    slope = np.maximum(surface.normals[: coarse()] @ ways.T, 0)
    free = _free(surface, ways, slope)
    return slope * free * (_SOLID_ANGLE / np.pi), _gloss(surface, camera, ways, slope) * free * _SOLID_ANGLE


def _gloss(surface: FaceSurface, camera: Camera, ways: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Radiance that each vertex reflects to the camera from each direction, times its slope: (coarse, direction).

    Microfacets with the GGX distribution and Smith's shadowing (B. Walter et al., "Microfacet models for refraction
    through rough surfaces", EGSR 2007), Fresnel's reflection in Schlick's form (1994).
    """
    normals, view = surface.normals[: coarse()], camera.view(surface.vertices[: coarse()])
    towards = np.maximum(np.einsum("nc,nc->n", normals, view), _GRAZING)[:, None]
    length = np.sqrt(np.maximum(2 + 2 * view @ ways.T, _GRAZING**2))
    top = np.minimum((slope + towards) / length, 1)
    square = _ROUGHNESS**2
    distribution = square / (np.pi * (top**2 * (square - 1) + 1) ** 2)
    graze = 1 - np.minimum(length / 2, 1)
    fresnel = _NORMAL_REFLECTANCE + (1 - _NORMAL_REFLECTANCE) * graze**5
    shadowing = slope * np.sqrt(towards**2 * (1 - square) + square) + towards * np.sqrt(
        slope**2 * (1 - square) + square
    )
    return np.asarray(distribution * fresnel * slope / np.maximum(2 * shadowing, 1e-9))


def _free(surface: FaceSurface, ways: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Bool (coarse, direction): nothing of the face stands between a vertex and a direction that it faces."""
    points, normals = surface.vertices[: coarse()], surface.normals[: coarse()]
    vertex, way = np.nonzero(slope > 0)
    free = np.zeros((len(points), len(ways)), bool)
    free[vertex, way] = ~surface.tracer.blocked(points[vertex] + _OFFSET * normals[vertex], ways[way])
    return free
