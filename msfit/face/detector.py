"""Faces in a picture, frontal or turned: MediaPipe's short-range detector (BlazeFace).

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", CVPR workshops, 2019.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from msfit.face.crops import Square, cut
from msfit.face.models import run_model

_SIZE = 128
# Anchors a cell on the grids of the model, whose cells are 8 and 16 pixels wide.
_ANCHORS = ((8, 2), (16, 6))
_LEAST_SCORE = 0.5
# Two detections are one face where their intersection is more than this share of their union.
_OVERLAP = 0.3
# Squares of half the picture are searched too, at these offsets, so that smaller faces are large enough.
_OFFSETS = (0.0, 0.5, 1.0)


def detect_faces(picture: np.ndarray) -> list[Square]:
    """Faces in a uint8 picture (y, x, 3), the largest first.

    Returns
    -------
    list of Square
        From forehead to chin, turned so that the eyes lie level in it.

    Raises
    ------
    InputError
        ai-edge-litert is not installed.
    """
    height, width = picture.shape[:2]
    whole = Square(width / 2, height / 2, max(height, width))
    found = _in_square(picture, whole)
    if not found:
        side = max(height, width) / 2
        free = max(0.0, width - side), max(0.0, height - side)
        places = {(side / 2 + across * free[0], side / 2 + down * free[1]) for across in _OFFSETS for down in _OFFSETS}
        for x, y in sorted(places):
            found += _in_square(picture, Square(x, y, side))
    return [square for _, square in sorted(_apart(found), key=lambda one: -one[1].side)]


def _in_square(picture: np.ndarray, square: Square) -> list[tuple[float, Square]]:
    regressors, scores = run_model("face_detection_short_range", 2 * cut(picture, square, _SIZE) - 1)
    if regressors.shape[-1] == 1:
        regressors, scores = scores, regressors
    certainty = 1 / (1 + np.exp(-np.clip(scores[:, 0], -80, 80)))
    found = []
    for row in np.flatnonzero(certainty >= _LEAST_SCORE):
        values = regressors[row].reshape(-1, 2) / _SIZE  # centre, size, six points: eyes, nose, mouth, ears
        points = square.to_picture(_anchors()[row] + values[[0, 2, 3]])
        across = points[2] - points[1]
        side = float(values[1].max()) * square.side
        x, y = points[0].tolist()
        found.append((float(certainty[row]), Square(x, y, side, math.atan2(across[1], across[0]))))
    return found


def _apart(found: list[tuple[float, Square]]) -> list[tuple[float, Square]]:
    """The surest of detections that overlap."""
    kept: list[tuple[float, Square]] = []
    for one in sorted(found, key=lambda one: -one[0]):
        if all(_overlap(one[1], other) < _OVERLAP for _, other in kept):
            kept.append(one)
    return kept


def _overlap(one: Square, other: Square) -> float:
    half = (one.side + other.side) / 2
    across = min(max(0.0, half - abs(one.x - other.x)), one.side, other.side)
    down = min(max(0.0, half - abs(one.y - other.y)), one.side, other.side)
    return across * down / (one.side**2 + other.side**2 - across * down)


@functools.cache
def _anchors() -> np.ndarray:
    grids = []
    for stride, count in _ANCHORS:
        centres = (np.arange(_SIZE // stride) + 0.5) * stride / _SIZE
        y, x = np.meshgrid(centres, centres, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(grids)
