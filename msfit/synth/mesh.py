"""The canonical face mesh, grown into a head, and its smooth (Loop) subdivision.

The 468 vertices and their texture coordinates are MediaPipe's canonical face model (npm `@mediapipe/face_mesh`
0.4.1657299874, Apache-2.0; the licence lies beside the file). Four rings of vertices continue its rim over the skull
and down the neck, so that the face is part of a head with a natural outline.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from msfit.face.canonical import VERTICES, canonical_face
from msfit.face.subdivision import loop_subdivision
from msfit.face.zones import LOWER_LID, UPPER_LID

FACE_VERTICES = VERTICES  # the first of a head; behind them the skull
_RINGS = 4
# The skull as an ellipsoid through the rim of the canonical face [cm], and where its rings close, behind.
SKULL_CENTRE = np.array([0.0, 1.8, -3.8])
SKULL_RADII = np.array([7.75, 10.4, 9.6])
_SKULL_BACK = np.array([0.0, 0.15, -1.0])
_SKULL_STEPS = (0.14, 0.32, 0.58, 0.88)
# Rings of the neck: height, half width, half depth [cm], and how far each has left the rim of the jaw.
_NECK_RINGS = ((-9.0, 5.6, 4.6, 0.45), (-11.6, 5.4, 4.9, 0.9), (-15.5, 5.7, 5.1, 1.0), (-19.5, 8.5, 6.0, 1.0))
_NECK_CENTRE_Z = -4.2


@dataclass(frozen=True, eq=False)
class Template:
    """Control mesh of the head and its refinement.

    Attributes
    ----------
    vertices : float64 array (control, 3)
        Centimetres, x to the person's left, y up, z out of the face.
    uv : float64 array (control, 2)
        Texture coordinates in [0, 1]; vertices behind the rim repeat those of the rim.
    mirror : int array (control,)
        Index of the vertex on the other side.
    refine : sparse matrix (fine, control)
        Positions (or any attribute) at the vertices of the fine mesh.
    faces : int array (face, 3)
        Triangles of the fine mesh, counter-clockwise from outside.
    part : uint8 array (face,)
        0 face, 1 head and neck behind the rim, 2 opening of an eye.
    rim : int array (36,)
        Control vertices of the canonical face's open rim, in order.
    """

    vertices: np.ndarray
    uv: np.ndarray
    mirror: np.ndarray
    refine: sparse.csr_matrix
    faces: np.ndarray
    part: np.ndarray
    rim: np.ndarray


@functools.cache
def template(levels: int = 2) -> Template:
    """The canonical head, refined `levels` times."""
    vertices, uv, faces, _ = canonical_face()
    rim = _rim(faces)
    rings = _rings(vertices[rim])
    size = len(rim)
    loops = [rim, *(FACE_VERTICES + size * k + np.arange(size) for k in range(_RINGS))]
    collar = np.concatenate([_strip(inner, outer) for inner, outer in itertools.pairwise(loops)])
    vertices = np.concatenate([vertices, *rings])
    uv = np.concatenate([uv, *[uv[rim]] * _RINGS])
    mirror = _mirror(vertices)
    part = np.concatenate([_eye_opening(faces, mirror), np.ones(len(collar), np.uint8)])
    faces = np.concatenate([faces, collar])
    refine = sparse.identity(len(vertices), format="csr")
    for _ in range(levels):
        step, faces = loop_subdivision(faces, refine.shape[0])
        refine, part = (step @ refine).tocsr(), np.tile(part, 4)
    return Template(vertices, uv, mirror, refine, faces, part, rim)


def _rim(faces: np.ndarray) -> np.ndarray:
    halves = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = {(a, b) for a, b in halves.tolist()}
    follow = {a: b for a, b in directed if (b, a) not in directed}
    rim = [min(follow)]
    while follow[rim[-1]] != rim[0]:
        rim.append(follow[rim[-1]])
    return np.array(rim)


def _rings(rim: np.ndarray) -> list[np.ndarray]:
    start = (rim - SKULL_CENTRE) / SKULL_RADII
    length = np.linalg.norm(start, axis=1, keepdims=True)
    back = _SKULL_BACK / np.linalg.norm(_SKULL_BACK)
    angle = np.arccos(np.clip(start / length @ back, -1, 1))[:, None]
    # 0 over the skull, 1 under the jaw
    low = _smoothstep((0.5 - rim[:, 1:2]) / 5.5)
    bearing = np.arctan2(rim[:, 0:1], np.clip(rim[:, 2:3] + 4.5, 0.3, None))
    bearing = np.where(rim[:, 1:2] > -8, np.clip(bearing * 1.15, -1.9, 1.9), bearing)
    rings = []
    for step, (height, width, depth, leave) in zip(_SKULL_STEPS, _NECK_RINGS, strict=True):
        arc = (np.sin((1 - step) * angle) * start / length + np.sin(step * angle) * back) / np.sin(angle)
        skull = SKULL_CENTRE + SKULL_RADII * arc * (length + step * (1 - length))
        neck = np.concatenate(
            [width * np.sin(bearing), np.full_like(bearing, height), _NECK_CENTRE_Z + depth * np.cos(bearing)], axis=1
        )
        neck[:, 1] += (1 - leave) * 0.75 * (rim[:, 1] + 9.4)
        neck = rim + leave * (neck - rim)
        rings.append(skull + low * (neck - skull))
    return rings


def _strip(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    # `inner` runs as the rim's own half edges do, so the strip's shared edge must run the other way
    a, b, c, d = inner, np.roll(inner, -1), outer, np.roll(outer, -1)
    return np.concatenate([np.stack([b, a, c], axis=1), np.stack([b, c, d], axis=1)])


def _mirror(vertices: np.ndarray) -> np.ndarray:
    return cKDTree(vertices).query(vertices * [-1, 1, 1])[1]


def _eye_opening(faces: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    lids = {*UPPER_LID, *LOWER_LID}
    lids |= set(mirror[list(lids)].tolist())
    return np.where([set(face) <= lids for face in faces.tolist()], 2, 0).astype(np.uint8)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
