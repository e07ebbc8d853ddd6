"""How a head is turned: the rigid motion and scale that carry the canonical face to its landmarks."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from msfit.face.canonical import canonical_face

# Below this height [cm] the canonical face moves with the jaw and the lips.
_JAW = -2.5


class Pose(NamedTuple):
    """Turn of a head [degrees], applied in the order yaw, pitch, roll.

    Attributes
    ----------
    yaw : float
        Positive where the face looks to the right of the picture, the person's left.
    pitch : float
        Positive where the face looks up.
    roll : float
        Positive where the head leans counter-clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


def find_pose(vertices: np.ndarray) -> Pose:
    """The pose of landmarks (468, 3): x right, y down, z away from the camera, in one unit.

    Least squares over rotations, scales and shifts of the vertices that expressions leave in place.

    References
    ----------
    S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", IEEE TPAMI 13,
    1991.
    """
    rigid = still_vertices()
    target = np.asarray(vertices, np.float64)[rigid] * [1, -1, -1]
    return angles(align(canonical_face().vertices[rigid], target)[1])


def align(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and shift (3,) that carry `source` (n, 3) to `target` by least squares (Umeyama 1991)."""
    middle, aim = source.mean(axis=0), target.mean(axis=0)
    left, spread, right = np.linalg.svd((target - aim).T @ (source - middle))
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    turn = left @ np.diag(signs) @ right
    scale = float(spread @ signs / np.square(source - middle).sum())
    return scale, turn, aim - scale * turn @ middle


def angles(turn: np.ndarray) -> Pose:
    """The pose of a rotation (3, 3) from the head's frame to x right, y up, z towards the camera."""
    # turn = Rz(roll) Rx(-pitch) Ry(yaw)
    pitch = -np.arcsin(np.clip(turn[2, 1], -1, 1))
    yaw = np.arctan2(-turn[2, 0], turn[2, 2])
    roll = np.arctan2(-turn[0, 1], turn[1, 1])
    return Pose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The rotation (3, 3) of a pose [degrees]: the inverse of `angles`."""
    return Rotation.from_euler("ZXY", [roll, -pitch, yaw], degrees=True).as_matrix()


@functools.cache
def still_vertices() -> np.ndarray:
    """Indices of the vertices that jaw and lips leave in place."""
    return np.flatnonzero(canonical_face().vertices[:, 1] > _JAW)
