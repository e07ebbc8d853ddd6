"""The mesh on a face: found in a picture, and the masks of the picture that it gives."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from msfit.errors import InputError
from msfit.face.canonical import canonical_face
from msfit.face.crops import Square, cut
from msfit.face.detector import detect_faces
from msfit.face.models import run_model
from msfit.face.pose import find_pose
from msfit.face.zones import LOWER_LID, OPENINGS, SITES, ZONES, loops
from msfit.io.extras import need

_SIZE = 192
# The landmark model is trained on squares this much larger than the face in them (MediaPipe's face_landmark graph).
_MARGIN = 1.5
# Looks at a face; each takes its square from the landmarks of the one before.
_LOOKS = 3
_LEAST_CONFIDENCE = 0.5
# Outer corners of the right and the left eye.
_CORNERS = (LOWER_LID[0], 263)


@dataclass(frozen=True, eq=False)
class FaceMesh:
    """The surface of a face in a picture.

    Attributes
    ----------
    vertices : float64 array (468, 3)
        Pixels: x right and y down from the upper left corner of the first pixel, z away from the camera in the same
        unit, 0 near the middle of the head. Vertices, triangles and texture coordinates are those of
        `msfit.face.canonical.canonical_face`.
    yaw, pitch, roll : float
        Degrees, see `msfit.face.pose.Pose`.
    confidence : float
        Of there being a face [0-1], by the landmark model.
    shape : tuple of int
        Of the picture, (y, x).
    """

    vertices: np.ndarray
    yaw: float
    pitch: float
    roll: float
    confidence: float
    shape: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle around the vertices: x, y, width, height [pixels]; it may reach beyond the picture."""
        low, high = np.floor(self.vertices[:, :2].min(axis=0)), np.ceil(self.vertices[:, :2].max(axis=0))
        x, y, width, height = (int(value) for value in (*low, *(high - low)))
        return x, y, width, height

    @property
    def uv(self) -> np.ndarray:
        """Texture coordinates of the vertices: float64 (468, 2) in [0, 1], v downwards; the same for every face."""
        return canonical_face().uv

    def outline(self) -> np.ndarray:
        """What the mesh covers of the picture: bool (y, x)."""
        return self._filled(canonical_face().faces.tolist())

    def skin(self, without: Iterable[str] = ()) -> np.ndarray:
        """The region of skin: what the mesh covers, less eyes, inner mouth and nostrils.

        Parameters
        ----------
        without : iterable of str
            Zones to leave out as well: some of "brows" and "beard".

        Returns
        -------
        bool array (y, x)
            It does not look at colours: shadow, gloss and any tone of skin stay inside.
        """
        zones = [without] if isinstance(without, str) else list(without)
        for zone in zones:
            if zone not in ZONES:
                raise InputError(f"without: found {zone!r}; expected some of {', '.join(ZONES)}")
        region = self.outline()
        for name in (*OPENINGS, *zones):
            region &= ~self.part(name)
        return region

    def part(self, name: str) -> np.ndarray:
        """A named part of the face: bool (y, x).

        Parameters
        ----------
        name : str
            An opening (eyes, mouth, nostrils), a zone (brows, beard) or a site (forehead, right_cheek, left_cheek,
            nose, chin, lips, right_under_eye, left_under_eye); left and right are the person's. Loops that are turned
            away from the camera are empty.

        Raises
        ------
        InputError
            Another name.
        """
        known = loops()
        if name not in known:
            raise InputError(f"name: found {name!r}; expected one of {', '.join((*OPENINGS, *ZONES, *SITES))}")
        inside, outside = known[name]
        return self._filled(self._seen(inside)) & ~self._filled(outside)

    def sites(self) -> dict[str, np.ndarray]:
        """Every named site, see `part`."""
        return {name: self.part(name) for name in SITES}

    def _seen(self, polygons: Iterable[Iterable[int]]) -> list[list[int]]:
        """Those that keep the sense of rotation that they have from the front."""
        front, own = canonical_face().vertices[:, :2], self.vertices[:, :2] * [1, -1]
        kept = [list(polygon) for polygon in polygons]
        return [polygon for polygon in kept if _area(front[polygon]) * _area(own[polygon]) > 0]

    def _filled(self, polygons: Iterable[Iterable[int]]) -> np.ndarray:
        image, draw = need("PIL.Image", "photo"), need("PIL.ImageDraw", "photo")
        sheet = image.new("1", self.shape[::-1])
        pen = draw.Draw(sheet)
        # Pillow counts from the centre of the first pixel
        points = self.vertices[:, :2] - 0.5
        for polygon in polygons:
            pen.polygon([(float(x), float(y)) for x, y in points[list(polygon)]], fill=1)
        return np.array(sheet, bool)


def find_mesh(picture: np.ndarray, box: tuple[int, int, int, int] | None = None) -> FaceMesh | None:
    """Lay the mesh on the face in a picture.

    Parameters
    ----------
    picture : uint8 array (y, x, 3)
        sRGB.
    box : (x, y, width, height), optional
        From brow to chin, where the face is known [pixels]; else the largest face that the short-range detector finds.

    Returns
    -------
    FaceMesh or None
        None where there is no face.

    Raises
    ------
    InputError
        No uint8 picture; ai-edge-litert is not installed.

    References
    ----------
    Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", CVPR workshops, 2019.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"picture: found {picture.dtype} {picture.shape}; expected uint8 (y, x, 3), sRGB")
    if box is not None:
        x, y, width, height = box
        # brow to chin leaves the forehead out
        squares = [Square(x + width / 2, y + 0.45 * height, 1.1 * _MARGIN * max(width, height))]
    else:
        squares = [square._replace(side=_MARGIN * square.side) for square in detect_faces(picture)]
    for square in squares:
        vertices, confidence = np.empty((0, 3)), 0.0
        for _ in range(_LOOKS):
            vertices, confidence = _look(picture, square)
            square = _around(vertices)
        if confidence >= _LEAST_CONFIDENCE:
            pose = find_pose(vertices)
            return FaceMesh(vertices, *pose, confidence, (picture.shape[0], picture.shape[1]))
    return None


def looked_at_twice(picture: np.ndarray, mesh: FaceMesh) -> FaceMesh:
    """The mesh that was found in a picture, averaged with what the landmark model says of the mirrored picture.

    Its errors in both are hardly the same, so that the mean is steadier: by a tenth on rendered heads.
    """
    square, width = _around(mesh.vertices), picture.shape[1]
    other = square._replace(x=width - square.x, angle=-square.angle)
    seen = _look(np.ascontiguousarray(picture[:, ::-1]), other)[0]
    seen = (seen * [-1, 1, 1] + [width, 0, 0])[canonical_face().mirror]
    # depth has no origin of its own
    seen[:, 2] += (mesh.vertices[:, 2] - seen[:, 2]).mean()
    vertices = (mesh.vertices + seen) / 2
    return replace(mesh, vertices=vertices, **find_pose(vertices)._asdict())


def _look(picture: np.ndarray, square: Square) -> tuple[np.ndarray, float]:
    outputs = run_model("face_landmark", cut(picture, square, _SIZE))
    flag, points = sorted((output.reshape(-1) for output in outputs), key=len)
    seen = points.reshape(-1, 3).astype(np.float64) / _SIZE
    vertices = np.column_stack([square.to_picture(seen[:, :2]), seen[:, 2] * square.side])
    return vertices, float(1 / (1 + math.exp(-min(80.0, max(-80.0, float(flag[0]))))))


def _around(vertices: np.ndarray) -> Square:
    """The square that the landmark model wants around a face: level with its eyes, with margin."""
    right, left = vertices[list(_CORNERS), :2]
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    cos, sin = math.cos(angle), math.sin(angle)
    level = vertices[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Square(float(x), float(y), _MARGIN * float((high - low).max()), angle)


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
