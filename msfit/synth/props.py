"""What surrounds a face in a picture: ears, hair and clothes. They frame it and throw shadows; none is scored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msfit.face.rays import Tracer
from msfit.synth.mesh import FACE_VERTICES, SKULL_CENTRE, SKULL_RADII, template

# The vertex of the first ring behind the rim beside which an ear grows (rim vertex 234, mid-height of the ear).
_EAR_RIM_VERTEX = 234

#: Hair that ends below this beside the ears is long [cm].
LONG = -7.0


class Surface(NamedTuple):
    """A triangle mesh: vertices (v, 3) [cm], faces (f, 3), and texture coordinates (v, 2)."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray


class Hair(NamedTuple):
    """A haircut."""

    thickness: float
    """Depth of the hair on the crown [cm]."""
    front: float
    """Height of the hairline over the brow [cm above the canonical origin]."""
    parting: float
    """Slant of the front hairline [cm], either sign."""
    sides: float
    """Height at which the hair ends beside the ears [cm]."""
    nape: float
    """Height at which it ends behind [cm]."""
    curl: float
    """Roughness of its surface [cm]."""


def random_hair(rng: np.random.Generator) -> Hair | None:
    """A haircut drawn from `rng`: none in one head of nine, else cropped, short, full or long."""
    style = rng.choice(["bald", "cropped", "short", "full", "long"], p=[0.11, 0.17, 0.32, 0.15, 0.25])
    if style == "bald":
        return None
    front = float(rng.uniform(7.3, 9.0))
    parting = float(rng.normal() * 0.7)
    if style == "cropped":
        return Hair(float(rng.uniform(0.15, 0.35)), front, 0.3 * parting, 1.5, -4.0, 0.02)
    if style == "short":
        return Hair(
            float(rng.uniform(0.6, 1.5)),
            front - float(rng.uniform(0, 1.1)),
            parting,
            float(rng.uniform(0.0, 2.0)),
            -5.0,
            0.16,
        )
    if style == "full":
        return Hair(
            float(rng.uniform(2.0, 3.6)),
            front - float(rng.uniform(0, 0.8)),
            0.5 * parting,
            float(rng.uniform(-4, -1)),
            -7.0,
            0.35,
        )
    return Hair(
        float(rng.uniform(0.7, 1.4)),
        front - float(rng.uniform(-0.3, 2.0)),
        1.6 * parting,
        float(rng.uniform(-16, -8)),
        -16.0,
        0.12,
    )


def hair_surface(
    hair: Hair, control: np.ndarray, skin: Surface, rng: np.random.Generator, columns: int = 240, rows: int = 40
) -> Surface:
    """The outside of the hair over the skin of a head, as columns that run from the crown down to the hairline."""
    centre, radii = _skull(control)
    azimuth = np.linspace(-np.pi, np.pi, columns + 1)[:, None]
    end = _hairline(hair, azimuth) + _fray(rng, columns + 1)[:, None] * np.clip(0.15 + 0.3 * hair.thickness, 0, 0.5)
    along = np.linspace(0, 1, rows)[None]
    # arc length from the crown: over the skull down to its equator, then straight down
    quarter = 0.5 * np.pi * radii[1]
    total = np.where(
        end >= centre[1], radii[1] * np.arccos(np.clip((end - centre[1]) / radii[1], 0, 1)), quarter + centre[1] - end
    )
    arc = along * total
    over = np.clip(arc / radii[1], 0, 0.5 * np.pi)
    fall = np.clip(arc - quarter, 0, None)
    left = total - arc
    bulk = hair.thickness * np.clip(left / (0.6 + hair.thickness), 0, 1) ** 0.5 - 0.12
    bulk = bulk + hair.curl * _lumps(azimuth, arc, rng) * np.clip(left, 0, 1)
    # short hair follows the neck inwards, long hair falls outside it
    fallen = np.clip(fall / 9.0, 0, 1)
    waist = -0.12 * fallen if hair.sides < LONG else fallen**1.5
    across = radii[[0, 2]] * (1 - 0.38 * waist[..., None]) * np.sin(over)[..., None]
    height = radii[1] * np.cos(over) - fall
    offset = np.stack([across[..., 0] * np.sin(azimuth), height, across[..., 1] * np.cos(azimuth)], axis=-1)
    reach = np.linalg.norm(offset, axis=-1)
    way = offset / reach[..., None]
    scalp = _distance_to(skin, centre, way.reshape(-1, 3)).reshape(reach.shape)
    # where the head is larger than its ellipsoid, hair grows from the head
    lift = np.clip(scalp - reach, 0, None) * np.clip(1 - fall / 2, 0, 1)
    points = centre + way * (reach + lift + bulk)[..., None]
    uv = np.stack(np.broadcast_arrays(azimuth / (2 * np.pi) + 0.5, arc / 30.0), axis=-1)
    return Surface(points.reshape(-1, 3), _grid_faces(columns + 1, rows), uv.reshape(-1, 2))


def ears(control: np.ndarray, rng: np.random.Generator) -> Surface:
    """Both ears: dished discs with a rolled rim, standing off the head."""
    stand, size = float(rng.uniform(0.30, 0.65)), float(rng.uniform(0.80, 0.98))
    ring = int(np.flatnonzero((template().uv[FACE_VERTICES:] == template().uv[_EAR_RIM_VERTEX]).all(axis=1))[0])
    root = control[FACE_VERTICES + ring]
    radial, turn = np.linspace(0, 1, 14)[:, None], np.linspace(0, 2 * np.pi, 41)[None]
    tall, wide = 3.0 * size, 1.65 * size
    up = radial * np.sin(turn) * tall
    out = radial * np.cos(turn) * wide * (1 + 0.22 * np.sin(turn))
    dish = (
        0.42 * np.exp(-(((radial - 0.86) / 0.10) ** 2))
        + 0.30 * np.exp(-(((radial - 0.52) / 0.10) ** 2)) * (np.cos(turn) > -0.3)
        - 0.35 * np.exp(-((radial / 0.3) ** 2))
    )
    back, side = -np.cos(stand), np.sin(stand)
    faces = _grid_faces(14, 41)
    surfaces = []
    for sign in (-1, 1):
        # local axes: `out` runs backwards and away from the head, `dish` faces forwards and outwards
        x = abs(root[0]) - 0.1 + (out + wide * 0.8) * side + dish * np.cos(stand) * 0.8
        z = root[2] + 0.9 + (out + wide * 0.2) * back * 0.95 + dish * side
        y = root[1] + 0.2 + up + 0.15 * (z - root[2])
        vertices = np.stack(np.broadcast_arrays(sign * x, y, z), axis=-1).reshape(-1, 3)
        surfaces.append(Surface(vertices, faces, np.tile(template().uv[_EAR_RIM_VERTEX], (len(vertices), 1))))
    return join(surfaces)


def clothes(control: np.ndarray, rng: np.random.Generator) -> Surface:
    """Shoulders under the neck, as half of an ellipsoid with a rough surface."""
    azimuth, polar = np.linspace(-np.pi, np.pi, 61)[:, None], np.linspace(0.01, np.pi / 2, 24)[None]
    top = -12.2 - float(rng.uniform(0, 1.6))
    width = 6.2 + 14.0 * np.sin(polar) ** 1.5
    depth = 5.6 + 4.0 * np.sin(polar)
    points = [
        width * np.sin(azimuth) * np.ones_like(polar),
        top - 8.0 * (1 - np.cos(polar)) * np.ones_like(azimuth),
        -4.4 + depth * np.cos(azimuth),
    ]
    vertices = np.stack(np.broadcast_arrays(*points), axis=-1).reshape(-1, 3)
    uv = np.stack(np.broadcast_arrays(azimuth / 6 + 0.5, polar), axis=-1).reshape(-1, 2)
    return Surface(vertices, _grid_faces(61, 24), uv)


def join(surfaces: list[Surface]) -> Surface:
    """Several surfaces as one."""
    starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces[:-1])])
    return Surface(
        np.concatenate([surface.vertices for surface in surfaces]),
        np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]),
        np.concatenate([surface.uv for surface in surfaces]),
    )


def _skull(control: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and radii of the skull of a moved mesh, scaled as its rings are."""
    rest, moved = template().vertices[FACE_VERTICES:], control[FACE_VERTICES:]
    high = rest[:, 1] > 2
    scale = np.ptp(moved[high], axis=0) / np.ptp(rest[high], axis=0)
    centre = moved[high].mean(axis=0) + (SKULL_CENTRE - rest[high].mean(axis=0)) * scale
    centre[0] = 0
    return centre, SKULL_RADII * scale


def _hairline(hair: Hair, azimuth: np.ndarray) -> np.ndarray:
    """Height [cm] at which each column of hair ends: brow, temple, beside the ear, nape."""
    turn = np.abs(azimuth)
    front = hair.front + hair.parting * np.sin(azimuth) + 0.5 * np.cos(4 * azimuth) * (turn < 0.8)
    nodes = np.array([0.75, 1.15, 1.32, 1.62, 2.1, np.pi])
    heights = np.array(
        [np.nan, 4.8, hair.sides, max(hair.sides, -99) if hair.sides < -1 else 3.6, hair.nape, hair.nape]
    )
    heights[0] = hair.front - 0.3
    rest = np.interp(turn, nodes, heights)
    share = np.clip((turn - 0.6) / 0.3, 0, 1)
    return (1 - share) * front + share * rest


def _distance_to(skin: Surface, centre: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Distance from a point inside the head to its skin, zero where the head is open."""
    hits = Tracer(skin.vertices[skin.faces]).first(np.tile(centre, (len(way), 1)), way)
    return np.where(hits["face"] >= 0, hits["distance"], 0)


def _fray(rng: np.random.Generator, count: int) -> np.ndarray:
    """Uneven ends of the strands: noise of unit size over a few neighbouring columns."""
    return np.convolve(np.tile(rng.normal(size=count - 1), 2), np.ones(3) / 3**0.5, mode="same")[:count] * 0.7


def _lumps(azimuth: np.ndarray, arc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    total = np.zeros(np.broadcast_shapes(azimuth.shape, arc.shape))
    for _ in range(24):
        around, down = rng.integers(3, 22), rng.normal() * 1.2
        total += np.cos(around * azimuth + down * arc + rng.uniform(0, 2 * np.pi))
    return total / np.sqrt(12)


def _grid_faces(rows: int, columns: int) -> np.ndarray:
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (corner.ravel() for corner in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]))
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([c, b, d], axis=1)])
