"""Where in a picture the face is: found by dlib's detector, or given; and the square around it that networks know."""

from __future__ import annotations

import importlib.util
import math
import threading
from typing import Any, NamedTuple

import numpy as np

from msfit.errors import InputError
from msfit.io.extras import need

# dlib's box runs from brow to chin; in the pictures that networks are trained on it takes up this share of the side.
_SHARE = 0.7
# The detector sees faces of 80 pixels and more; larger pictures are searched at this size first [pixels].
_SEARCHED = 800
_held = threading.local()


class Box(NamedTuple):
    """A rectangle of pixels; it may reach beyond the picture."""

    x: int
    y: int
    width: int
    height: int

    def inside(self, shape: tuple[int, ...]) -> Box:
        """What of it lies in a picture of this shape (y, x, ...)."""
        left, top = max(0, self.x), max(0, self.y)
        right, bottom = min(shape[1], self.x + self.width), min(shape[0], self.y + self.height)
        return Box(left, top, max(0, right - left), max(0, bottom - top))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, of a box inside the picture."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


def find_face(rgb: np.ndarray) -> Box | None:
    """The largest frontal face in a picture.

    Parameters
    ----------
    rgb : uint8 or uint16 array (y, x, 3)
        sRGB.

    Returns
    -------
    Box or None
        From brow to chin; None where there is no face.

    Raises
    ------
    InputError
        dlib is not installed.

    References
    ----------
    D. E. King, "Dlib-ml: a machine learning toolkit", JMLR 10, 2009: histograms of oriented gradients, in windows.
    """
    picture = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
    scale = min(1.0, _SEARCHED / max(picture.shape[:2]))
    for factor in {scale: None, min(1.0, 3 * scale): None, 2.0 if scale == 1 else scale: None}:
        found = _detect(picture, factor)
        if found:
            return max(found, key=lambda box: box.width * box.height)
    return None


def detector_known() -> bool:
    """Whether dlib, which finds frontal faces, is installed."""
    return importlib.util.find_spec("dlib") is not None


def around(box: Box, shape: tuple[int, ...]) -> Box:
    """The square around a face, with as much margin as networks are trained with, inside a picture (y, x, ...)."""
    side = max(box.width, box.height) / _SHARE
    x, y = box.x + box.width / 2 - side / 2, box.y + box.height / 2 - side / 2
    return Box(round(x), round(y), round(side), round(side)).inside(shape)


def parse_box(text: str) -> Box:
    """A box written as ``x,y,width,height``.

    Raises
    ------
    InputError
        Anything else.

    Examples
    --------
    >>> parse_box("10,20,200,220")
    Box(x=10, y=20, width=200, height=220)
    """
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--box: found {text!r}; expected x,y,width,height in pixels, as in 10,20,200,220") from None
    return Box(x, y, width, height)


def check_box(box: Box, shape: tuple[int, ...], smallest: int) -> Box:
    """The box, inside a picture (y, x, ...) and not too small, or an InputError."""
    height, width = shape[:2]
    if box != box.inside(shape) or min(box.width, box.height) < smallest:
        raise InputError(
            f"box: found {box}; expected x,y,width,height inside {width} x {height} pixels, at least {smallest} a side"
        )
    return box


def _detect(picture: np.ndarray, factor: float) -> list[Box]:
    image = need("PIL.Image", "photo")
    size = tuple(max(1, math.floor(factor * side)) for side in picture.shape[1::-1])
    searched = picture if factor == 1 else np.asarray(image.fromarray(picture).resize(size))
    rectangles, _, _ = _detector().run(np.ascontiguousarray(searched), 0, 0.0)
    return [
        Box(*(round(value / factor) for value in (one.left(), one.top(), one.width(), one.height())))
        for one in rectangles
    ]


def _detector() -> Any:
    # dlib's detector holds the picture it looks at: threads that share one get each other's faces
    if not hasattr(_held, "detector"):
        _held.detector = need("dlib", "photo").get_frontal_face_detector()
    return _held.detector
