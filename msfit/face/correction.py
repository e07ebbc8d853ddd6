"""Landmarks of turned heads moved to where such heads have them.

MediaPipe's landmark model pulls turned faces to the front, shifts features, and gives all faces much the same depth.
How, shows in its landmarks themselves: a ridge regression from landmarks to true vertices, learned on rendered heads
whose vertices are known, takes much of that away. Rendered heads are not photographs: faces that look ahead, which the
landmark model was made for, stay as they are, no landmark may count for more than it did in training, and the openings
of eyes and mouth stay as far open as they were found.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import resources
from typing import NamedTuple

import numpy as np

from msfit.face.camera import Camera
from msfit.face.canonical import canonical_face
from msfit.face.mesh import FaceMesh
from msfit.face.pose import align, angles, find_pose, rotation, still_vertices
from msfit.face.surface import without_pose
from msfit.face.zones import (
    LOWER_LID,
    LOWER_LIP_INNER,
    LOWER_LIP_OUTER,
    UPPER_LID,
    UPPER_LIP_INNER,
    UPPER_LIP_OUTER,
)

_FILE = "landmark_correction.npz"
# What yaw and pitch are divided by, and how far they may be from the middle of training's heads [degrees].
_YAW, _PITCH, _FURTHEST = 45.0, 15.0, 75.0
# A component counts as at most so many standard deviations.
_MOST = 2.5
# Faces that are turned by less are found well at the first look; from the second yaw on all is corrected [degrees].
_AHEAD, _ASIDE = 15.0, 35.0


class Correction(NamedTuple):
    """A linear map from landmarks without pose, and the pose, to how far they are off.

    ``d = mean_offset + F((x - mean) shapes^T, pose) weights offsets`` with F as of `features`.
    """

    mean: np.ndarray
    """(1404,): landmarks in the head's frame [cm], of heads that look to the right of the picture."""
    shapes: np.ndarray
    """(k, 1404): their principal components, in units that make the first one's standard deviation 3."""
    spread: np.ndarray
    """(k,): standard deviations in these units."""
    mean_offset: np.ndarray
    """(1404,): true landmarks less found ones [cm]."""
    offsets: np.ndarray
    """(m, 1404): principal components of these."""
    weights: np.ndarray
    """(feature, m)."""

    def __call__(self, found: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Corrected landmarks (n, 1404) of found ones and their yaw and pitch (n, 2) [degrees]."""
        shape = np.clip((found - self.mean) @ self.shapes.T / self.spread, -_MOST, _MOST) * self.spread
        return np.asarray(found + self.mean_offset + features(shape, pose) @ self.weights @ self.offsets)


def corrected(mesh: FaceMesh) -> FaceMesh:
    """A mesh, as of `msfit.face.mesh.looked_at_twice`, whose vertices are nearer to those of the face.

    Examples
    --------
    >>> mesh = looked_at_twice(picture, find_mesh(picture))  # doctest: +SKIP
    >>> corrected(mesh).yaw  # doctest: +SKIP
    """
    vertices = moved(mesh.vertices, mesh.shape, shipped())
    return replace(mesh, vertices=vertices, **find_pose(vertices)._asdict())


def moved(vertices: np.ndarray, frame: tuple[int, int], correction: Correction) -> np.ndarray:
    """Vertices (468, 3) as of `FaceMesh` in a picture of size `frame` (y, x), corrected as the head is turned."""
    found, pose, camera, flip = posed(vertices, frame)
    aim = openings_kept(found, correction(found.reshape(1, -1), pose[None]).reshape(-1, 3))
    # the yaw as corrected, since the one found is too small
    still = still_vertices()
    turn = rotation(*pose) @ align(canonical_face().vertices[still], aim[still])[1]
    share = np.clip((angles(turn).yaw - _AHEAD) / (_ASIDE - _AHEAD), 0, 1)
    if share == 0:
        return vertices
    seen = camera.project(mirrored(found + share * (aim - found), flip))
    return np.column_stack([seen[:, :2], -camera.scale * seen[:, 2]])


def openings_kept(found: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Landmarks `aim` (468, 3), but eyes and mouth as far open as those of `found`."""
    kept = aim.copy()
    for above, below, along in _openings():
        opened = ((found - aim)[above] - (found - aim)[below])[:, 1] / 2
        for upper, lower in ((above, below), *along):
            kept[upper, 1] += opened
            kept[lower, 1] -= opened
    return kept


@functools.cache
def _openings() -> tuple[tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]], ...]:
    """Upper and lower rims of eyes and mouth without their corners, and what moves along with these."""
    rims = [np.array(rim[1:-1]) for rim in (UPPER_LID, LOWER_LID, UPPER_LIP_INNER, LOWER_LIP_INNER)]
    outer = [np.array(rim[1:-1]) for rim in (UPPER_LIP_OUTER, LOWER_LIP_OUTER)]
    other = canonical_face().mirror
    return (rims[0], rims[1], []), (other[rims[0]], other[rims[1]], []), (rims[2], rims[3], [(outer[0], outer[1])])


def posed(vertices: np.ndarray, frame: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, Camera, bool]:
    """Landmarks (468, 3) without pose [cm], yaw and pitch (2,) [degrees], camera, and whether all were mirrored.

    Heads that look to the left of the picture are, so that all look to its right.
    """
    own, camera = without_pose(vertices, frame)
    pose = angles(camera.rotation)
    flip = pose.yaw < 0
    return mirrored(own, flip), np.array([abs(pose.yaw), pose.pitch]), camera, flip


def mirrored(landmarks: np.ndarray, flip: bool) -> np.ndarray:
    """Landmarks (468, 3) of the head's frame, mirrored if so asked."""
    return landmarks[canonical_face().mirror] * [-1, 1, 1] if flip else landmarks


def features(shape: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """What the correction is linear in: (n, 8 + 3 k) of shapes (n, k) and yaw and pitch (n, 2) [degrees]."""
    yaw = np.clip(pose[:, :1], 0, _FURTHEST) / _YAW - 1
    pitch = np.clip(pose[:, 1:], -_MOST * _PITCH, _MOST * _PITCH) / _PITCH
    alone = [yaw**0, yaw, yaw**2, yaw**3, pitch, pitch * yaw, pitch * yaw**2, pitch**2]
    return np.concatenate([*alone, shape, shape * yaw, shape * yaw**2], axis=1)


@functools.cache
def shipped() -> Correction:
    """The correction of the package, which `python -m benchmarks.landmarks --write` made."""
    with resources.files("msfit.face").joinpath("data", _FILE).open("rb") as file, np.load(file) as stored:
        return Correction(*(stored[name].astype(np.float64) for name in Correction._fields))
