"""The canonical face: vertices, texture coordinates, triangles and which vertex lies on the other side.

MediaPipe's canonical face model (npm `@mediapipe/face_mesh` 0.4.1657299874, Apache-2.0; the licence lies beside the
file). Its landmark model returns the same 468 vertices in the same order.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import NamedTuple

import numpy as np

VERTICES = 468


class CanonicalFace(NamedTuple):
    """The mesh that every face shares.

    Attributes
    ----------
    vertices : float64 array (468, 3)
        Centimetres, x to the person's left, y up, z out of the face.
    uv : float64 array (468, 2)
        Texture coordinates in [0, 1], v from forehead to chin; mirrored points lie at u and 1 - u.
    faces : int array (898, 3)
        Triangles, counter-clockwise from outside.
    mirror : int array (468,)
        Index of the vertex on the other side.
    """

    vertices: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    mirror: np.ndarray


@functools.cache
def canonical_face() -> CanonicalFace:
    """The canonical face, read once; its arrays are read-only.

    Examples
    --------
    >>> face = canonical_face()
    >>> face.vertices.shape, face.uv.shape, face.faces.shape
    ((468, 3), (468, 2), (898, 3))
    >>> int(face.mirror[33])  # outer corners of the eyes
    263
    """
    vertices, uv, faces = [], [], []
    for line in resources.files("msfit.face").joinpath("data", "canonical_face.obj").read_text("utf-8").splitlines():
        key, *fields = line.split() or [""]
        if key == "v":
            vertices.append([float(x) for x in fields])
        elif key == "vt":
            uv.append([float(x) for x in fields])
        elif key == "f":
            faces.append([int(corner.split("/")[0]) - 1 for corner in fields])
    positions = np.array(vertices)
    difference = (positions * [-1, 1, 1])[:, None] - positions[None]
    face = CanonicalFace(positions, np.array(uv), np.array(faces), np.square(difference).sum(axis=2).argmin(axis=1))
    for array in face:
        array.setflags(write=False)
    return face
