"""A person's own surface from the landmarks of a picture: shape without pose, camera, what of it is seen."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from msfit.errors import InputError
from msfit.face.camera import Camera
from msfit.face.canonical import canonical_face
from msfit.face.mesh import FaceMesh
from msfit.face.pose import align, angles, rotation, still_vertices
from msfit.face.rays import Tracer
from msfit.face.subdivision import fine_face

CAMERAS = ("perspective", "weak-perspective")
#: A portrait's distance, where it is not known [cm].
DISTANCE = 100.0
# Rays start this far off the surface they leave [cm].
_OFFSET = 0.02
# Landmarks that are turned away further than this cosine are the network's guess: the other side's shape counts.
_SURE, _GUESSED = 0.35, -0.1
_PASSES = 3


@dataclass(frozen=True, eq=False)
class FaceSurface:
    """The surface of one person's face.

    Attributes
    ----------
    landmarks : float64 array (468, 3)
        In the head's frame [cm], that of the canonical face: x to the person's left, y up, z out of the face. The size
        is that of the canonical face, since a picture does not tell it.
    camera : Camera
        From the head's frame to the picture.
    confidence : float64 array (468,)
        0 to 1: how far each vertex is seen rather than guessed from the other side.
    shape : tuple of int
        Of the picture, (y, x).
    """

    landmarks: np.ndarray
    camera: Camera
    confidence: np.ndarray
    shape: tuple[int, int]

    @functools.cached_property
    def vertices(self) -> np.ndarray:
        """Vertices of the fine mesh (fine, 3) [cm]; triangles and texture coordinates are those of `fine_face`."""
        return np.asarray(fine_face().refine @ self.landmarks)

    @functools.cached_property
    def normals(self) -> np.ndarray:
        """Unit normals of `vertices`, outwards."""
        return vertex_normals(self.vertices, fine_face().faces)

    @functools.cached_property
    def tracer(self) -> Tracer:
        """Rays against the fine mesh."""
        return Tracer(self.vertices[fine_face().faces])

    @functools.cached_property
    def facing(self) -> np.ndarray:
        """Cosine between normal and view at the vertices of the fine mesh: 1 faces the camera, below 0 turned away."""
        return np.einsum("nc,nc->n", self.normals, self.camera.view(self.vertices))

    def seen(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Bool (n,): points of the surface (n, 3) that face the camera and that nothing of the face hides."""
        view = self.camera.view(points)
        facing = np.einsum("nc,nc->n", normals, view) > 0
        free = np.zeros(len(points), bool)
        free[facing] = ~self.tracer.blocked(points[facing] + _OFFSET * normals[facing], view[facing])
        return free

    @property
    def yaw(self) -> float:
        """Degrees, see `msfit.face.pose.Pose`."""
        return angles(self.camera.rotation).yaw

    def turned(self, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Camera:
        """The camera of the picture, with the head turned as given [degrees] where it is."""
        return self.camera._replace(rotation=rotation(yaw, pitch, roll))


def lay_surface(
    mesh: FaceMesh, camera: str = "perspective", *, distance: float = DISTANCE, frame: tuple[int, int] | None = None
) -> FaceSurface:
    """The surface of the person on whose face a mesh lies.

    Parameters
    ----------
    mesh : FaceMesh
    camera : {"perspective", "weak-perspective"}
    distance : float
        From camera to head, in perspective [cm].
    frame : (y, x), optional
        Size of the uncropped picture, if the mesh's is not that; its middle is taken for the foot of the optical axis.

    Returns
    -------
    FaceSurface
        The landmarks back from the picture, without the camera and without the pose (rotation, scale and shift that
        carry the canonical face to them by least squares). Where a vertex is turned away, its landmark is the landmark
        model's guess, and the seen one of the other side, mirrored, takes its place.

    Raises
    ------
    InputError
        Another camera; a distance of 30 cm or less.
    """
    own, laid = without_pose(mesh.vertices, frame or mesh.shape, camera, distance)
    normals = vertex_normals(own, canonical_face().faces)
    facing = np.einsum("nc,nc->n", normals, laid.view(own))
    confidence = np.clip((facing - _GUESSED) / (_SURE - _GUESSED), 0, 1)
    mirror = canonical_face().mirror
    better = np.maximum(confidence[mirror] - confidence, 0)[:, None]
    own = own + better * (own[mirror] * [-1, 1, 1] - own)
    return FaceSurface(own, laid, mesh.confidence * confidence, mesh.shape)


def without_pose(
    vertices: np.ndarray, frame: tuple[int, int], camera: str = "perspective", distance: float = DISTANCE
) -> tuple[np.ndarray, Camera]:
    """Landmarks (468, 3) of a picture as of `FaceMesh` in the head's frame [cm], and the camera that sees them there.

    `frame` is the size (y, x) of the uncropped picture; the rest is as of `lay_surface`.
    """
    if camera not in CAMERAS:
        raise InputError(f"camera: found {camera!r}; expected one of {', '.join(CAMERAS)}")
    if not distance > 30:
        raise InputError(f"distance: found {distance}; expected more than 30 cm from camera to head")
    principal = np.array([frame[1] / 2, frame[0] / 2])
    far = distance if camera == "perspective" else math.inf
    canonical, rigid = canonical_face().vertices, still_vertices()
    target = vertices * [1, -1, -1]
    scale, turn, shift = align(canonical[rigid], target[rigid])
    centre, depth = shift[:2] * [1, -1], (target[:, 2] - shift[2]) / scale
    for _ in range(_PASSES):
        upright = Camera(np.eye(3), scale, centre, principal, far)
        points = upright.unproject(np.column_stack([vertices[:, :2], depth]))
        growth, turn, shift = align(canonical[rigid], points[rigid])
        centre, depth = centre + scale * shift[:2] * [1, -1], (depth - shift[2]) / growth
        scale *= growth
    laid = Camera(turn, scale, centre, principal, far)
    return laid.unproject(np.column_stack([vertices[:, :2], depth])), laid


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (n, 3) of vertices: those of the triangles around them, weighted by area."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    area = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(area[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
