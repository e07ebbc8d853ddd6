"""Turned heads looked at again: the landmark model sees them partly turned back, where it is surer.

The landmark model pulls faces that are turned by 40 degrees and more towards the front. Drawn partly turned back on the
surface that was found, what is missing shows as a turn that is left over, and each landmark leads back to a pixel of
the picture through that surface.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from msfit.face.camera import Camera
from msfit.face.canonical import canonical_face
from msfit.face.mesh import FaceMesh, find_mesh
from msfit.face.pose import angles, rotation, still_vertices
from msfit.face.surface import FaceSurface, lay_surface
from msfit.face.texture import sample, view

# Faces turned by less are found well at the first look [degrees].
_TURNED = 20.0
_LOOKS = 6
# Share of the yaw that is left when a face is looked at again.
_KEPT = 0.65
# The shape that the landmark model gives turned faces is further from the truth than the canonical face: this takes its
# place from the first yaw on, at the second in full [degrees].
_AHEAD, _ASIDE = 15.0, 35.0
# The picture that is looked at: its side, the scale of the face in it [pixels a cm], where its middle lies, and what
# is shown where nothing is known.
_SIDE, _SCALE, _MIDDLE, _GREY = 256, 11.0, (128.0, 120.0), 128.0
_BOX = (53, 50, 150, 150)
_TOLERANCE = 2.0  # pixels: landmarks that are further off count less
# A look that turns the face back by more has gone astray [degrees].
_ASTRAY = 8.0
_FEWEST = 60  # landmarks that lead back


def look_again(picture: np.ndarray, surface: FaceSurface) -> FaceSurface:
    """The surface of a face, found more surely where it is turned by 20 degrees or more.

    Parameters
    ----------
    picture : uint8 array (y, x, 3)
        sRGB, which `surface` was found in.
    surface : FaceSurface

    Returns
    -------
    FaceSurface
        The given one where the face is turned less. From 15 to 35 degrees its shape becomes the canonical face's.
    """
    found = surface
    if abs(surface.yaw) < _TURNED:
        return _with_usual_shape(surface)
    for _ in range(_LOOKS):
        nearer = _look(picture, found)
        if nearer is None or abs(nearer.yaw) < abs(found.yaw) - _ASTRAY:
            break
        found = nearer
    return _with_usual_shape(found)


def _with_usual_shape(surface: FaceSurface) -> FaceSurface:
    """The surface with the canonical face's shape as far as the head is turned, where its landmarks are."""
    share = float(np.clip((abs(surface.yaw) - _AHEAD) / (_ASIDE - _AHEAD), 0, 1))
    if share == 0:
        return surface
    usual, still = canonical_face().vertices, still_vertices()
    landmarks = surface.landmarks + share * (usual - surface.landmarks)
    pixels = surface.camera.project(surface.landmarks)[still, :2]
    return replace(surface, landmarks=landmarks, camera=_posed(landmarks[still], pixels, surface.camera))


def _look(picture: np.ndarray, surface: FaceSurface) -> FaceSurface | None:
    middle = np.array(_MIDDLE)
    back = Camera(rotation(_KEPT * surface.yaw), _SCALE, middle, middle, surface.camera.distance)
    shown = view(surface, back, (_SIDE, _SIDE))
    points, normals = shown.at(surface.vertices), shown.at(surface.normals)
    places = surface.camera.project(points)[:, :2]
    seen = surface.seen(points, normals)
    drawn = np.full((_SIDE * _SIDE, 3), _GREY, np.float32)
    drawn[shown.pixel] = np.where(seen[:, None], np.nan_to_num(sample(picture, places), nan=_GREY), _GREY)
    leads = np.full((_SIDE * _SIDE, 3), np.nan, np.float32)
    leads[shown.pixel] = np.column_stack([places, seen])
    mesh = find_mesh(drawn.reshape(_SIDE, _SIDE, 3).clip(0, 255).astype(np.uint8), _BOX)
    if mesh is None:
        return None
    kind, distance = _kind(surface)
    own = lay_surface(mesh, kind, distance=distance).landmarks
    led = sample(leads.reshape(_SIDE, _SIDE, 3), mesh.vertices[:, :2])
    sure = np.isfinite(led).all(axis=1) & (np.nan_to_num(led[:, 2]) > 0.5)
    if sure.sum() < _FEWEST:
        return None
    camera = _posed(own[sure], led[sure, :2], surface.camera)
    laid = camera.project(own)
    laid[sure, :2] = led[sure, :2]
    vertices = np.column_stack([laid[:, :2], -camera.scale * laid[:, 2]])
    again = FaceMesh(vertices, *angles(camera.rotation), mesh.confidence, surface.shape)
    return lay_surface(again, kind, distance=distance)


def _posed(points: np.ndarray, pixels: np.ndarray, start: Camera) -> Camera:
    """The camera that sees points of the head (n, 3) at pixels (n, 2), by robust least squares."""

    def camera(numbers: np.ndarray) -> Camera:
        turn = Rotation.from_rotvec(numbers[:3]).as_matrix()
        return start._replace(rotation=turn, scale=float(np.exp(numbers[3])), centre=numbers[4:6])

    def off(numbers: np.ndarray) -> np.ndarray:
        return (camera(numbers).project(points)[:, :2] - pixels).ravel()

    first = np.concatenate([Rotation.from_matrix(start.rotation).as_rotvec(), [np.log(start.scale)], start.centre])
    return camera(least_squares(off, first, loss="soft_l1", f_scale=_TOLERANCE).x)


def _kind(surface: FaceSurface) -> tuple[str, float]:
    far = surface.camera.distance
    return ("perspective", far) if np.isfinite(far) else ("weak-perspective", 100.0)
