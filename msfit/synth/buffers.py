"""A head seen by a camera: what each pixel shows, and from which directions light reaches it.

One ray a pixel goes through the pixel's centre, so that every pixel belongs to one surface and its truth is exact; then
one shadow ray goes from each pixel towards each direction of a fixed set. Any number of lights can be
put on those directions afterwards without tracing again.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from msfit.face.rays import Tracer
from msfit.synth import props
from msfit.synth.mesh import template
from msfit.synth.shape import random_shape, rotation

# Region of a pixel.
BACKGROUND, FACE, HEAD, EYE, HAIR, CLOTH = range(6)
# Lights stand above this height of the z axis, which points to the camera: others shine on the back of the head.
_LOWEST_Z = -0.35
#: From the camera to the middle of the head [cm].
CAMERA_DISTANCE = 100.0
_SHADOW_OFFSET = 0.02

#: Point of the head's frame about which it is turned [cm].
TURNED_ABOUT = np.array([0.0, 0.0, -3.0])


class Buffers(NamedTuple):
    """What is seen, one row a visible point: n points of a picture of `size` x `size` pixels."""

    size: int
    pixel: np.ndarray
    """int32 (n,): index of the pixel, row by row."""
    region: np.ndarray
    """uint8 (n,): FACE, HEAD, EYE, HAIR or CLOTH."""
    normal: np.ndarray
    """float32 (n, 3): unit normal, x right, y up, z to the camera."""
    position: np.ndarray
    """float32 (n, 3): place in the camera's frame [cm]; depth is -z."""
    uv: np.ndarray
    """float32 (n, 2): texture coordinates."""
    gradient: np.ndarray
    """float32 (n, 2, 3): surface gradient of each texture coordinate [1/cm]."""
    visible: np.ndarray
    """uint8 (n, directions / 8): bit set where the direction is not blocked and faces the surface."""
    pixel_cm: float
    """Width of a pixel at the head [cm]."""
    long_hair: bool


class Pose(NamedTuple):
    """Where the head is looking and how it is framed."""

    yaw: float
    pitch: float
    roll: float
    half_height: float
    """Half of the picture's height at the head [cm]."""
    centre: tuple[float, float]
    """Point of the head's frame that the middle of the picture shows [cm]."""


@functools.cache
def directions(count: int = 256) -> np.ndarray:
    """`count` unit vectors, float32 (count, 3), spread evenly over the sphere above z = -0.35 (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - (1 - _LOWEST_Z) * index / count
    turn = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1).astype(np.float32)


def solid_angle(count: int) -> float:
    """Solid angle of one of the `count` directions [sr]."""
    return 2 * np.pi * (1 - _LOWEST_Z) / count


def random_pose(rng: np.random.Generator, half_height: tuple[float, float] = (11.6, 12.6), turn: float = 0.22) -> Pose:
    """A roughly frontal pose; `turn` is the standard deviation of the yaw [rad]."""
    yaw, pitch, roll = rng.normal(size=3) * [turn, 0.09, 0.06]
    middle = (float(rng.normal() * 0.25), float(-0.4 + rng.normal() * 0.3))
    return Pose(
        float(np.clip(yaw, -0.7, 0.7)),
        float(np.clip(pitch, -0.25, 0.25)),
        float(roll),
        float(rng.uniform(*half_height)),
        middle,
    )


def trace(
    rng: np.random.Generator,
    size: int,
    pose: Pose | None = None,
    *,
    eyes_open: float | None = None,
    count: int = 256,
    turned: tuple[float, float] | None = None,
) -> Buffers:
    """Draw a head from `rng` and see it in a picture of `size` x `size` pixels, with `count` shadow directions.

    `turned`: yaw and pitch [rad] that take the place of those that are drawn.
    """
    shape = random_shape(rng, eyes_open=eyes_open)
    pose = random_pose(rng) if pose is None else pose
    if turned is not None:
        pose = pose._replace(yaw=turned[0], pitch=turned[1])
    base = template()
    hair = props.random_hair(rng)
    skin = props.Surface(base.refine @ shape.control, base.faces, base.refine @ base.uv)
    surfaces = [skin, props.clothes(shape.control, rng)]
    # between closed lids there is a line of lashes, no eye
    opening = FACE if shape.eyes_open < 0.2 else EYE
    region = [np.array([FACE, HEAD, opening], np.uint8)[base.part], np.full(len(surfaces[1].faces), CLOTH, np.uint8)]
    if hair is None or hair.sides > -3:
        surfaces.append(props.ears(shape.control, rng))
        region.append(np.full(len(surfaces[-1].faces), HEAD, np.uint8))
    if hair is not None:
        surfaces.append(props.hair_surface(hair, shape.control, skin, rng))
        region.append(np.full(len(surfaces[-1].faces), HAIR, np.uint8))
    scene = props.join(surfaces)
    vertices = (
        (scene.vertices - TURNED_ABOUT) @ rotation(pose.yaw, pose.pitch, pose.roll).T + TURNED_ABOUT - [*pose.centre, 0]
    )
    return _see(
        vertices,
        scene.faces,
        scene.uv,
        np.concatenate(region),
        pose,
        size,
        count,
        hair is not None and hair.sides < props.LONG,
    )


def _see(
    vertices: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    region: np.ndarray,
    pose: Pose,
    size: int,
    count: int,
    long_hair: bool,
) -> Buffers:
    tracer = Tracer(vertices[faces])
    step = 2 * pose.half_height / size
    screen = (np.arange(size) + 0.5) * step - pose.half_height
    right, down = np.meshgrid(screen, screen)
    aim = np.stack([right.ravel(), -down.ravel(), np.zeros(size * size)], axis=1)
    eye = np.array([0.0, 0.0, CAMERA_DISTANCE])
    ray = (aim - eye) / np.linalg.norm(aim - eye, axis=1, keepdims=True)
    found = tracer.first(np.tile(eye, (size * size, 1)), ray)
    pixel = np.flatnonzero(found["face"] >= 0)
    face = found["face"][pixel]
    inside = np.stack([1 - found["u"][pixel] - found["v"][pixel], found["u"][pixel], found["v"][pixel]], axis=1)

    def at(values: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nkc->nc", inside, values[faces[face]])

    position = at(vertices)
    normal = at(_vertex_normals(vertices, faces))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    facing = np.einsum("nc,nc->n", normal, ray[pixel])
    normal *= -np.sign(facing)[:, None]
    gradient = _uv_gradient(vertices, faces, uv)[face]
    return Buffers(
        size,
        pixel.astype(np.int32),
        region[face],
        normal.astype(np.float32),
        position.astype(np.float32),
        at(uv).astype(np.float32),
        gradient.astype(np.float32),
        _visibility(tracer, position, normal, count),
        step,
        long_hair,
    )


def _visibility(tracer: Tracer, position: np.ndarray, normal: np.ndarray, count: int) -> np.ndarray:
    origin = (position + _SHADOW_OFFSET * normal).astype(np.float32)
    seen = np.zeros((count, len(position)), bool)
    for row, direction in zip(seen, directions(count), strict=True):
        facing = np.flatnonzero(normal @ direction > 0)
        if facing.size:
            row[facing] = ~tracer.blocked(origin[facing], np.tile(direction, (facing.size, 1)))
    return np.packbits(seen.T, axis=1)


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    area = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for corner in faces.T:
        np.add.at(total, corner, area)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def _uv_gradient(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Gradient along the surface of both texture coordinates, (face, 2, 3) [1/cm]; zero on slivers."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    first, second = b - a, c - a
    area = np.cross(first, second)
    square = (area**2).sum(axis=1, keepdims=True)
    across_first, across_second = np.cross(second, area), np.cross(area, first)
    rise = uv[faces] - uv[faces][:, :1]
    gradient = rise[:, 1, :, None] * across_first[:, None] + rise[:, 2, :, None] * across_second[:, None]
    return np.where(square[..., None] > 1e-9, gradient / np.maximum(square[..., None], 1e-9), 0)
