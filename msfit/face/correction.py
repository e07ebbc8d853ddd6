"""Landmarks of heads, turned ones above all, moved to where such heads have them.

MediaPipe's landmark model pulls turned faces to the front, shifts features, and gives all faces much the same depth.
How, shows in its landmarks themselves: a ridge regression from landmarks to true vertices, learned on rendered heads
whose vertices are known, takes much of that away.
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
from msfit.face.pose import angles, find_pose
from msfit.face.surface import without_pose

_FILE = "landmark_correction.npz"
# What the angles are divided by [degrees].
_YAW, _TILT = 45.0, 15.0


class Correction(NamedTuple):
    """A linear map from landmarks without pose, and the pose, to how far they are off.

    ``d = mean_offset + F((x - mean) shapes^T, pose) weights offsets`` with F as of `features`.
    """

    mean: np.ndarray
    """(1404,): landmarks in the head's frame [cm], of heads that look to the right of the picture."""
    shapes: np.ndarray
    """(k, 1404): their principal components over the standard deviation of each first."""
    mean_offset: np.ndarray
    """(1404,): true landmarks less found ones [cm]."""
    offsets: np.ndarray
    """(m, 1404): principal components of these."""
    weights: np.ndarray
    """(feature, m)."""

    def __call__(self, found: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Corrected landmarks (n, 1404) of found ones and their yaw, pitch and roll (n, 3) [degrees]."""
        shape = (found - self.mean) @ self.shapes.T
        return np.asarray(found + self.mean_offset + features(shape, pose) @ self.weights @ self.offsets)


def corrected(mesh: FaceMesh) -> FaceMesh:
    """A mesh whose vertices are nearer to those of the face.

    Examples
    --------
    >>> mesh = msfit.face.mesh.find_mesh(picture)  # doctest: +SKIP
    >>> corrected(mesh).yaw  # doctest: +SKIP
    """
    found, pose, camera, flip = posed(mesh.vertices, mesh.shape)
    own = mirrored(shipped()(found.reshape(1, -1), pose[None]).reshape(-1, 3), flip)
    vertices = in_picture(own, camera)
    return replace(mesh, vertices=vertices, **find_pose(vertices)._asdict())


def posed(vertices: np.ndarray, frame: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, Camera, bool]:
    """Landmarks (468, 3) without pose [cm], their pose (3,) [degrees], the camera, and whether both were mirrored.

    Heads that look to the left of the picture are, so that all look to its right.
    """
    own, camera = without_pose(vertices, frame)
    pose = angles(camera.rotation)
    flip = pose.yaw < 0
    return mirrored(own, flip), np.array([abs(pose.yaw), pose.pitch, -pose.roll if flip else pose.roll]), camera, flip


def mirrored(landmarks: np.ndarray, flip: bool) -> np.ndarray:
    """Landmarks (468, 3) of the head's frame, mirrored if so asked."""
    return landmarks[canonical_face().mirror] * [-1, 1, 1] if flip else landmarks


def in_picture(landmarks: np.ndarray, camera: Camera) -> np.ndarray:
    """Landmarks (468, 3) of the head's frame as vertices of a `FaceMesh`."""
    seen = camera.project(landmarks)
    return np.column_stack([seen[:, :2], -camera.scale * seen[:, 2]])


def features(shape: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """What the correction is linear in: (n, 11 + 3 k) of shapes (n, k) and poses (n, 3) [degrees]."""
    yaw, pitch, roll = (pose / [_YAW, _TILT, _TILT] - [1, 0, 0]).T[..., None]
    alone = [yaw**0, yaw, yaw**2, yaw**3, pitch, pitch * yaw, pitch * yaw**2, roll, roll * yaw, pitch**2, roll**2]
    return np.concatenate([*alone, shape, shape * yaw, shape * yaw**2], axis=1)


@functools.cache
def shipped() -> Correction:
    """The correction of the package, which `python -m benchmarks.landmarks --write` made."""
    with resources.files("msfit.face").joinpath("data", _FILE).open("rb") as file, np.load(file) as stored:
        return Correction(*(stored[name].astype(np.float64) for name in Correction._fields))
