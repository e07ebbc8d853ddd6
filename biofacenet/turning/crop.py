"""What a crop of a face shows: landmarks that the jaw leaves in place lie as on the canonical face from the front."""

from __future__ import annotations

import functools

import numpy as np
from skimage.transform import SimilarityTransform, warp

from msfit.errors import InputError
from msfit.face.canonical import canonical_face
from msfit.face.pose import still_vertices

# What the square shows of the canonical face [cm].
LEFT, TOP, SIDE = -11.0, 10.5, 22.0


@functools.cache
def places() -> np.ndarray:
    """Where still landmarks lie in a crop: float64 (n, 2), x and y as shares of its side."""
    points = canonical_face().vertices[still_vertices()]
    return np.stack([(points[:, 0] - LEFT) / SIDE, (TOP - points[:, 1]) / SIDE], axis=1)


def to_crop(landmarks: np.ndarray, size: int) -> SimilarityTransform:
    """From pixels of a picture to those of a crop of `size` pixels, by landmarks (468, 2) of the picture."""
    # landmarks count from the corner of the first pixel, warp from its centre
    found = SimilarityTransform.from_estimate(landmarks[still_vertices()] - 0.5, size * places() - 0.5)
    if not isinstance(found, SimilarityTransform):
        raise InputError("landmarks: all lie in one place; expected those of a face")
    return found


def cut(picture: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """The crop of the face with these landmarks: float32 (size, size, 3) of a picture (y, x, 3)."""
    made = warp(
        np.asarray(picture, np.float32),
        to_crop(landmarks, size).inverse,
        output_shape=(size, size),
        order=1,
        mode="edge",
    )
    return np.asarray(made, np.float32)
