"""Turned squares of a picture, as networks for faces take them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from msfit.io.extras import need


class Square(NamedTuple):
    """A square in a picture.

    Attributes
    ----------
    x, y : float
        Its centre [pixels], (0, 0) being the upper left corner of the first pixel.
    side : float
        Pixels.
    angle : float
        How far its upper side is turned clockwise in the picture [radians].
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) of the square, (0, 0) to (1, 1), in pixels of the picture."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        offset = (np.asarray(points, np.float64) - 0.5) * self.side
        return np.array([self.x, self.y]) + offset @ np.array([[cos, sin], [-sin, cos]])


def cut(picture: np.ndarray, square: Square, size: int) -> np.ndarray:
    """The square of a uint8 picture (y, x, 3) at `size` pixels, black beyond the picture: float32 in [0, 1]."""
    image = need("PIL.Image", "photo")
    # Reduced first by a whole number, since bilinear sampling alone would alias.
    factor = max(1, int(square.side / size))
    reach = square.side  # more than half a diagonal
    left, top = max(0, math.floor(square.x - reach)), max(0, math.floor(square.y - reach))
    right, bottom = math.ceil(square.x + reach), math.ceil(square.y + reach)
    part = np.ascontiguousarray(picture[top : max(top + 1, bottom), left : max(left + 1, right)])
    if 0 in part.shape:
        return np.zeros((size, size, 3), np.float32)
    source = image.fromarray(part)
    if factor > 1:
        source = source.reduce(factor)
    corner, across, down = (
        (square.to_picture(np.array([point])) - (left, top))[0] / factor for point in ((0, 0), (1, 0), (0, 1))
    )
    (a, d), (b, e) = (across - corner) / size, (down - corner) / size
    # Pillow maps centres of pixels
    turned = source.transform((size, size), image.Transform.AFFINE, (a, b, corner[0], d, e, corner[1]), 2)
    return np.asarray(turned, np.float32) / 255
