"""What is around a face carried along when the face turns: a smooth warp of the picture."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from msfit.face.camera import Camera
from msfit.face.surface import FaceSurface

# Displacements are made on a grid of this many points a side and interpolated.
_GRID = 48
# Of every so many landmarks one leads the warp.
_EVERY = 3
# Landmarks beside one another [share of the face's height], hidden ones [of the surest], and how far beyond the outline
# these are put [of the face's width].
_BAND, _HIDDEN, _MARGIN = 0.04, 0.3, 0.03
_AHEAD = 10.0  # degrees


def carried_along(picture: np.ndarray, surface: FaceSurface, camera: Camera) -> np.ndarray:
    """The picture (y, x, channel) warped so that the face's rim follows the head to where `camera` sees it.

    Displacements of the landmarks are interpolated by a thin-plate spline that is 0 on the picture's rim (F. L.
    Bookstein, "Principal warps", IEEE TPAMI 11, 1989). Behind the head nothing is known: what is seen beside it is
    stretched.
    """
    height, width = picture.shape[:2]
    source = _at_the_outline(surface)
    target = camera.project(surface.landmarks)[:, :2]
    # every target has one source, though several hidden ones may share it
    lead = np.arange(0, len(source), _EVERY)
    side = np.linspace(0, 1, 9)
    rim = np.concatenate([[(x, y) for x in side for y in (0, 1)], [(x, y) for x in (0, 1) for y in side[1:-1]]])
    rim = rim * [width, height]
    nodes = np.concatenate([target[lead], rim])
    shift = np.concatenate([source[lead] - target[lead], np.zeros_like(rim)])
    scale = max(height, width)
    spline = RBFInterpolator(nodes / scale, shift, kernel="thin_plate_spline", smoothing=1e-4)
    xs, ys = np.linspace(0, width, _GRID), np.linspace(0, height, _GRID)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    field = spline(grid / scale).reshape(_GRID, _GRID, 2)
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    at = [y / height * (_GRID - 1), x / width * (_GRID - 1)]
    across, down = (map_coordinates(field[..., axis], at, order=1, mode="nearest") for axis in (0, 1))
    where = [y + down - 0.5, x + across - 0.5]
    return np.stack(
        [map_coordinates(layer, where, order=1, mode="reflect") for layer in np.moveaxis(picture, 2, 0)], axis=2
    )


def _at_the_outline(surface: FaceSurface) -> np.ndarray:
    """Where landmarks lie in the picture (468, 2); those that the face hides, at its outline beside them.

    What is beyond them in the turned picture continues what is beyond the outline in this one.
    """
    places = surface.camera.project(surface.landmarks)[:, :2]
    away = 1.0 if surface.yaw > 0 else -1.0
    width, height = np.ptp(places, axis=0)
    beside = np.abs(places[:, None, 1] - places[None, :, 1]) < _BAND * height
    outline = away * np.where(beside, away * places[None, :, 0], -np.inf).max(axis=1)
    hidden = (surface.confidence < _HIDDEN * surface.confidence.max()) & (away * surface.landmarks[:, 0] > 0)
    share = np.clip((abs(surface.yaw) - _AHEAD) / _AHEAD, 0, 1)  # a face that looks ahead hides nothing
    moved = places.copy()
    moved[hidden, 0] += share * (outline[hidden] + away * _MARGIN * width - places[hidden, 0])
    return moved
