"""The face in a photograph: where it is, the part that is taken apart, its skin, and which of its pixels to doubt."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from biofacenet.photo.face import Box, around, check_box, detector_known, find_face
from biofacenet.photo.reading import SMALLEST_SIDE, Photo, as_photo
from biofacenet.photo.skin import face_ellipse, skin_in_picture
from msfit.errors import InputError, names_nearest
from msfit.face.mesh import FaceMesh, find_mesh
from msfit.face.models import models_known

# Height of the mesh in the pictures that networks are trained on, as a share of their side: the median over 36 heads of
# the validation split (0.65 to 0.79); its middle is theirs within 1 %.
_SHARE = 0.74
# A pixel is clipped within one step of 8 bits of white, and in the shadow where its brightest channel is so dark that
# one step changes it by more than 5 % [display values of 255].
_WHITE, _SHADOW = 254, 20


class Face(NamedTuple):
    """A face in a photograph.

    Attributes
    ----------
    crop : Box
        The part to take apart.
    box : Box, optional
        From brow to chin, where it was looked for.
    mesh : FaceMesh, optional
        Where the extra `face` is installed and its model is sure.
    """

    crop: Box
    box: Box | None = None
    mesh: FaceMesh | None = None

    @property
    def width(self) -> int:
        """Of the face, or of the crop where it was not looked for [pixels]."""
        if self.mesh is not None:
            return self.mesh.box[2]
        return self.box.width if self.box is not None else self.crop.width

    def described(self) -> dict[str, float]:
        """Pose [degrees] and confidence of the mesh, by name; nothing without one."""
        if self.mesh is None:
            return {}
        return {name: round(getattr(self.mesh, name), 4) for name in ("yaw", "pitch", "roll", "confidence")}

    def skin(self, linear: np.ndarray) -> np.ndarray:
        """The skin of the face in the crop: bool (y, x).

        The region of the mesh, whatever its colours. Without a mesh: the colours of skin, in an ellipse around `box`.

        Parameters
        ----------
        linear : float array (y, x, 3)
            The crop in linear sRGB.
        """
        if self.mesh is not None:
            return self.mesh.skin()[self.crop.slices]
        skin = skin_in_picture(linear)
        if self.box is not None:
            whole = (self.crop.y + self.crop.height, self.crop.x + self.crop.width)
            skin &= face_ellipse(self.box, whole)[self.crop.slices]
        return skin


@names_nearest
def face_mesh(photo: str | Path | Photo | np.ndarray, box: Box | str = "auto") -> FaceMesh:
    """Lay the canonical mesh on the face in a photograph.

    Parameters
    ----------
    photo : str, Path, Photo or uint8 or uint16 array (y, x, 3)
        A file, or sRGB values.
    box : "auto" or Box
        Where the face is, from brow to chin: found (the largest), or given.

    Returns
    -------
    msfit.face.mesh.FaceMesh
        `vertices` (468, 3) in pixels of the upright photograph, `yaw`, `pitch`, `roll` [degrees], `box`, `confidence`,
        and masks of the photograph: `skin`, `part`, `sites`.

    Raises
    ------
    InputError
        No photograph; no face, or none that the landmark model is sure of; ai-edge-litert is not installed.

    Examples
    --------
    >>> mesh = biofacenet.face_mesh("face.jpg")  # doctest: +SKIP
    >>> mesh.yaw, mesh.skin(without=["beard"]).mean()  # doctest: +SKIP
    """
    known = as_photo(photo)
    if isinstance(box, Box):
        mesh = _laid(known, check_box(box, known.rgb.shape, SMALLEST_SIDE))
    elif box == "auto":
        mesh = _anywhere(known)[1]
    else:
        raise InputError(f"box: found {box!r}; expected 'auto' or a Box")
    if mesh is None:
        source = f"{photo}: " if isinstance(photo, str | Path) else ""
        raise InputError(f"{source}no face found; give its place (box: x,y,width,height)")
    return mesh


def locate(photo: Photo, box: Box | str = "auto", *, whole: bool = True) -> Face:
    """The face in a photograph and the part of it to take apart.

    Parameters
    ----------
    photo : Photo
    box : {"auto", "whole"} or Box
    whole : bool
        Whether the whole picture is a way out where no face is found.

    Raises
    ------
    InputError
        No face; a box outside the picture; nothing opaque.
    """
    height, width = photo.rgb.shape[:2]
    if isinstance(box, Box):
        crop = check_box(box, photo.rgb.shape, SMALLEST_SIDE)
        face = Face(crop, mesh=_within(_laid(photo, crop), crop) if models_known() else None)
    elif box == "whole":
        crop = Box(0, 0, width, height)
        face = Face(crop, mesh=_anywhere(photo)[1] if models_known() else None)
    elif box == "auto":
        face = _found(photo, whole)
    else:
        raise InputError(f"box: found {box!r}; expected 'auto', 'whole' or a Box")
    check_opaque(photo.opaque[face.crop.slices])
    return face


def doubtful(rgb: np.ndarray) -> np.ndarray:
    """Pixels of a uint8 or uint16 picture (y, x, 3), sRGB, that are clipped or in deep shadow: bool (y, x)."""
    brightest = rgb.max(axis=2) / (np.iinfo(rgb.dtype).max / 255)
    return np.asarray((brightest >= _WHITE) | (brightest < _SHADOW))


def check_opaque(shown: np.ndarray) -> None:
    """Raise an InputError where no pixel (y, x) is opaque."""
    if not shown.any():
        raise InputError("the face is transparent, so that there is nothing to look at; leave its alpha away")


def check_skin(skin: np.ndarray, way_out: str) -> None:
    """Raise an InputError where no pixel (y, x) of a face is skin; `way_out` says what to do then."""
    if not skin.any():
        raise InputError(f"no skin was found in the face; {way_out}")


def _found(photo: Photo, whole: bool) -> Face:
    box, mesh = _anywhere(photo) if models_known() else (find_face(photo.rgb), None)
    if mesh is not None:
        return Face(_around_mesh(mesh, photo.rgb.shape), box, mesh)
    if box is None:
        other = " or take the whole picture (box whole)" if whole else ""
        raise InputError(f"no face found; give its place (box: x,y,width,height){other}")
    return Face(around(box, photo.rgb.shape), box, mesh)


def _anywhere(photo: Photo) -> tuple[Box | None, FaceMesh | None]:
    """What dlib's detector finds, where it is installed, and the mesh there, or where the short-range one finds it."""
    box = find_face(photo.rgb) if detector_known() else None
    mesh = None if box is None else _laid(photo, box)
    return box, _laid(photo) if mesh is None else mesh


def _around_mesh(mesh: FaceMesh, shape: tuple[int, ...]) -> Box:
    """The square around a mesh with the margin of the training pictures, inside a picture (y, x, ...)."""
    x, y, width, height = mesh.box
    side = max(width, height) / _SHARE
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    return Box(round(left), round(top), round(side), round(side)).inside(shape)


def _laid(photo: Photo, box: Box | None = None) -> FaceMesh | None:
    picture = photo.rgb if photo.rgb.dtype == np.uint8 else (photo.rgb >> 8).astype(np.uint8)
    return find_mesh(picture, box)


def _within(mesh: FaceMesh | None, crop: Box) -> FaceMesh | None:
    """The mesh, if its middle lies in the crop."""
    if mesh is None:
        return None
    x, y = mesh.vertices[:, :2].mean(axis=0)
    inside = crop.x <= x <= crop.x + crop.width and crop.y <= y <= crop.y + crop.height
    return mesh if inside else None
