"""From the head to the picture: weak perspective, or perspective from a known distance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Camera(NamedTuple):
    """How a picture shows a head.

    A point p of the head's frame [cm] has ``c = R p`` in axes of the picture (x right, y up, z towards the camera) and
    lies at ``principal + k (scale (c_x, -c_y) + centre - principal)`` with ``k = distance / (distance - c_z)``. Weak
    perspective is an infinite distance, k = 1.

    Attributes
    ----------
    rotation : float64 array (3, 3)
        R.
    scale : float
        Pixels a centimetre at the middle of the head.
    centre : float64 array (2,)
        Where the origin of the head's frame would be in weak perspective [pixels].
    principal : float64 array (2,)
        Foot of the optical axis [pixels]: the middle of an uncropped picture.
    distance : float
        From the camera to the middle of the head, along the optical axis [cm].
    """

    rotation: np.ndarray
    scale: float
    centre: np.ndarray
    principal: np.ndarray
    distance: float = math.inf

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the head [cm] in the picture: x, y [pixels] and c_z [cm]."""
        turned = points @ self.rotation.T
        k = self._magnification(turned[:, 2])[:, None]
        offset = self.scale * turned[:, :2] * [1, -1] + self.centre - self.principal
        return np.column_stack([self.principal + k * offset, turned[:, 2]])

    def unproject(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `project`: x, y [pixels] and c_z [cm] (n, 3) to points of the head [cm]."""
        k = self._magnification(points[:, 2])[:, None]
        offset = ((points[:, :2] - self.principal) / k + self.principal - self.centre) / self.scale
        return np.column_stack([offset * [1, -1], points[:, 2]]) @ self.rotation

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Origins and unit directions (n, 3), in the head's frame [cm], of rays through pixels (n, 2)."""
        far = 100.0  # in front of every head
        if math.isinf(self.distance):
            return (
                self.unproject(np.column_stack([pixels, np.full(len(pixels), far)])),
                np.tile(-self.rotation[2], (len(pixels), 1)),
            )
        near = self.unproject(np.column_stack([pixels, np.zeros(len(pixels))]))
        way = near - self.eye
        return np.tile(self.eye, (len(pixels), 1)), way / np.linalg.norm(way, axis=1, keepdims=True)

    @property
    def eye(self) -> np.ndarray:
        """Where the camera is in the head's frame [cm]; at infinity in weak perspective."""
        across = (self.principal - self.centre) / self.scale * [1, -1]
        return np.array([*across, self.distance]) @ self.rotation

    def view(self, points: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) from points of the head to the camera, in the head's frame."""
        if math.isinf(self.distance):
            return np.tile(self.rotation[2], (len(points), 1))
        way = self.eye - points
        return way / np.linalg.norm(way, axis=1, keepdims=True)

    def _magnification(self, depth: np.ndarray) -> np.ndarray:
        return np.ones_like(depth) if math.isinf(self.distance) else self.distance / (self.distance - depth)
