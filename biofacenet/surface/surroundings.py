"""What is around a face carried along when the face turns: a smooth warp of the picture, and its near side mirrored."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from msfit.face.camera import Camera
from msfit.face.pose import angles
from msfit.face.surface import FaceSurface

# Displacements are made on a grid of this many points a side and interpolated.
_GRID = 48
# Of every so many landmarks one leads the warp.
_EVERY = 3
# Landmarks beside one another [share of the face's height], hidden ones [of the surest], and how far beyond the outline
# these are put [of the face's width].
_BAND, _HIDDEN, _MARGIN = 0.04, 0.3, 0.03
_AHEAD = 10.0  # degrees
# The head behind the face, an ellipsoid about the skull in the frame of the canonical face [cm].
_SKULL, _RADII = np.array([0.0, 1.8, -3.8]), np.array([8.0, 10.6, 9.6])
# Its outline leads the warp at these angles, from one side over the crown to the other [degrees]. At the sides, as far
# as this height, places on the head are followed (ears); over the crown outline becomes outline.
_ARC, _SIDES = np.radians(np.arange(-20, 201, 20)), 0.6
# The neck, upright cylinder: its axis, radius and heights [cm].
_NECK, _NECK_RADIUS, _NECK_HEIGHTS = np.array([0.0, 0.0, -4.2]), 5.5, (-10.5, -13.0)
# What is beyond the outline by this factor stays beyond.
_BEYOND = 1.3
# Half the width of what is mirrored, in full and at most, and of the seam along the middle of the head [cm].
_WIDE, _WIDEST, _SEAM = 11.0, 15.0, 1.5
# What is mirrored fades at the picture's rim over this share of its width.
_RIM = 0.05


def carried_along(picture: np.ndarray, surface: FaceSurface, camera: Camera) -> np.ndarray:
    """The picture (y, x, channel) warped so that what surrounds the face follows the head to where `camera` sees it.

    Displacements of the landmarks and of a skull's outline are interpolated by a thin-plate spline that is 0 on the
    picture's rim (F. L. Bookstein, "Principal warps", IEEE TPAMI 11, 1989). Of a head that was turned and looks ahead,
    the far side shows nothing of ear and hair: it takes those of the near side, mirrored.
    """
    warped = _warped(picture, surface, camera)
    turned = float(np.clip((abs(surface.yaw) - _AHEAD) / _AHEAD, 0, 1))
    ahead = float(np.clip(2 - abs(angles(camera.rotation).yaw) / (_AHEAD / 2), 0, 1))
    return warped if turned * ahead == 0 else _mirrored(warped, surface, camera, turned * ahead)


def _mirrored(warped: np.ndarray, surface: FaceSurface, camera: Camera, most: float) -> np.ndarray:
    """A picture of a head that looks ahead whose far side is the mirror of the near one, as far as a head is wide."""
    height, width = warped.shape[:2]
    (x0, y0, _), (x1, y1, _) = camera.project(np.array([[0, -10.0, 0], [0, 10.0, 0]]))
    axis = np.array([x1 - x0, y1 - y0]) / np.hypot(x1 - x0, y1 - y0)
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    # to the right of the axis, which points up
    aside = (x - x0) * -axis[1] + (y - y0) * axis[0]
    far = np.sign(surface.yaw) * aside / camera.scale
    share = np.clip(far / _SEAM, 0, 1) * np.clip((_WIDEST - far) / (_WIDEST - _WIDE), 0, 1) * most
    there = np.flatnonzero(share.ravel() > 0)
    across = 2 * aside.ravel()[there]
    where = [y.ravel()[there] - across * axis[0] - 0.5, x.ravel()[there] + across * axis[1] - 0.5]
    margin = np.min([where[0], height - 1 - where[0], where[1], width - 1 - where[1]], axis=0)
    weight = (share.ravel()[there] * np.clip(margin / (_RIM * width), 0, 1))[:, None]
    other = np.stack(
        [map_coordinates(one, where, order=1, mode="nearest") for one in np.moveaxis(warped, 2, 0)], axis=1
    )
    drawn = warped.reshape(-1, warped.shape[2]).copy()
    drawn[there] = weight * other + (1 - weight) * drawn[there]
    return drawn.reshape(warped.shape)


def _warped(picture: np.ndarray, surface: FaceSurface, camera: Camera) -> np.ndarray:
    height, width = picture.shape[:2]
    source = _at_the_outline(surface)
    target = camera.project(surface.landmarks)[:, :2]
    # every target has one source, though several hidden ones may share it
    lead = np.arange(0, len(source), _EVERY)
    head, place = _outlines(surface, camera)
    side = np.linspace(0, 1, 9)
    rim = np.concatenate([[(x, y) for x in side for y in (0, 1)], [(x, y) for x in (0, 1) for y in side[1:-1]]])
    rim = rim * [width, height]
    nodes = np.concatenate([target[lead], head, rim])
    shift = np.concatenate([source[lead] - target[lead], place - head, np.zeros_like(rim)])
    scale = max(height, width)
    spline = RBFInterpolator(nodes / scale, shift, kernel="thin_plate_spline", smoothing=1e-4)
    xs, ys = np.linspace(0, width, _GRID), np.linspace(0, height, _GRID)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    field = spline(grid / scale).reshape(_GRID, _GRID, 2)
    down, along = _between(height), _between(width)
    across, downwards = (down @ field[..., axis] @ along.T for axis in (0, 1))
    y, x = np.mgrid[:height, :width] + 0.5
    grid = 2 * np.stack([x + across, y + downwards], axis=2) / [width, height] - 1
    layers = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
    moved = torch.nn.functional.grid_sample(
        layers, torch.from_numpy(grid.astype(np.float32))[None], padding_mode="reflection", align_corners=False
    )
    return np.ascontiguousarray(moved[0].permute(1, 2, 0).numpy())


def _between(count: int) -> np.ndarray:
    """Linear interpolation of a grid's nodes to the centres of pixels: (count, _GRID)."""
    at = (np.arange(count) + 0.5) / count * (_GRID - 1)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(_GRID)), 0)


def _outlines(surface: FaceSurface, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) of the outline of skull and neck and beyond it, as `camera` sees it; their places in the picture.

    Points at the sides of the skull are those of the skull itself where the picture shows these, all others at its own
    outline; what is beyond the outline is beyond it in the picture too.
    """
    wanted, points, middle = _outline(camera)
    own, _, here = _outline(surface.camera)
    slope = np.einsum("nc,nc->n", (points - _SKULL) / _RADII**2, surface.camera.view(points))
    follow = np.zeros(len(points), bool)
    follow[: _ARC.size] = (np.sin(_ARC) < _SIDES) & (slope[: _ARC.size] > 0)
    place = np.where(follow[:, None], surface.camera.project(points)[:, :2], own)
    beyond = middle + _BEYOND * (wanted - middle)
    return np.concatenate([wanted, beyond]), np.concatenate([place, here + _BEYOND * (own - here)])


def _outline(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outline of skull and neck: in the picture (n, 2) [pixels], on them (n, 3) [cm], and beside which middle."""
    ways = np.column_stack([np.cos(_ARC), np.sin(_ARC), np.zeros(_ARC.size)]) @ camera.rotation
    # the outermost point of an ellipsoid along w has the normal w
    outermost = _RADII**2 * ways
    skull = _SKULL + outermost / np.sqrt(np.einsum("nc,nc->n", outermost, ways))[:, None]
    aside = camera.rotation[0] * [1, 0, 1]
    aside = _NECK_RADIUS * aside / max(float(np.linalg.norm(aside)), 1e-6)
    axis = _NECK + np.outer(_NECK_HEIGHTS, [0, 1, 0])
    points = np.concatenate([skull, axis + aside, axis - aside])
    middle = np.concatenate([np.tile(_SKULL, (len(skull), 1)), axis, axis])
    return camera.project(points)[:, :2], points, camera.project(middle)[:, :2]


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
