"""How a head is turned: the rigid motion and scale that carry the canonical face to its landmarks."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

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
    rigid = _rigid()
    source = canonical_face().vertices[rigid]
    target = np.asarray(vertices, np.float64)[rigid] * [1, -1, -1]
    covariance = (target - target.mean(axis=0)).T @ (source - source.mean(axis=0))
    left, _, right = np.linalg.svd(covariance)
    turn = left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right
    # turn = Rz(roll) Rx(-pitch) Ry(yaw)
    pitch = -np.arcsin(np.clip(turn[2, 1], -1, 1))
    yaw = np.arctan2(-turn[2, 0], turn[2, 2])
    roll = np.arctan2(-turn[0, 1], turn[1, 1])
    return Pose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))


@functools.cache
def _rigid() -> np.ndarray:
    return np.flatnonzero(canonical_face().vertices[:, 1] > _JAW)
