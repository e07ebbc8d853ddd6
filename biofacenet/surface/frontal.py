"""A face turned to the front, or as asked, drawn from its completed textures on the person's own surface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from biofacenet.photo.face import Box
from biofacenet.photo.reading import Photo
from biofacenet.prediction import Model
from biofacenet.surface.colour import SkinColour, photo_weights
from biofacenet.surface.completion import Known
from biofacenet.surface.record import LARGEST_YAW, Record, without_light
from biofacenet.surface.surroundings import carried_along
from biofacenet.surface.unwrap import FaceTexture, unwrap
from msfit.colour.transforms import encode_srgb
from msfit.data.later import later
from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.face.camera import Camera
from msfit.face.subdivision import fine_face
from msfit.face.surface import DISTANCE
from msfit.face.texture import TEXTURE_SIZE, View, sample, sample_square, view

METHODS = ("geometric", "network")
#: As photographed, or the name or file of an illuminant.
AS_IS = "as-is"
# Colours of texels that were mirrored and filled, where they are to be shown [linear sRGB].
_SHOWN = {Known.MIRRORED: (0.05, 0.25, 1.0), Known.FILLED: (1.0, 0.15, 0.05)}
_SHOWN_SHARE = 0.45
# The face fades into its surroundings over this share of its width.
_FEATHER = 0.025
_LARGEST_PITCH = 60.0
# The photograph's own colours count where it shows a place with this share of the drawing's resolution, and at the
# second in full: a place that is as oblique in the drawing needs no more pixels.
_COARSE, _FINE, _LEAST_SLOPE = 0.3, 0.6, 0.05
# A pixel's own colour does not count where it is drawn this many times brighter, and in full at half of that.
_BRIGHTER = 4.0


@dataclass(frozen=True, eq=False)
class FrontView:
    """A face as it would be seen from elsewhere.

    Attributes
    ----------
    linear : float32 array (y, x, 3)
        Linear sRGB, white = 1, not clipped, of the size of the photograph.
    known : uint8 array (y, x)
        Of each pixel on the face a `Known`, 0 beside it.
    texture : FaceTexture
        What it was drawn from.
    """

    linear: np.ndarray
    known: np.ndarray
    texture: FaceTexture

    @property
    def rgb(self) -> np.ndarray:
        """The picture, uint8 sRGB (y, x, 3)."""
        encoded = encode_srgb(torch.from_numpy(self.linear.clip(0, 1))).numpy()
        return np.rint(255 * encoded).astype(np.uint8)

    def shares(self) -> dict[str, float]:
        """How much of the face in the picture is seen, mirrored and filled [1], by name."""
        face = self.known[self.known > 0]
        return {state.name.lower(): float((face == state).mean()) if face.size else 0.0 for state in Known if state}


def frontal(
    photos: str | Path | Photo | np.ndarray | FitResult | Iterable[Any],
    model: Model | str | Path = "default",
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    light: str = AS_IS,
    face_only: bool = False,
    show_invented: bool = False,
    method: str = "geometric",
    front_weights: str | Path = "default",
    box: Box | str = "auto",
    size: int = TEXTURE_SIZE,
    camera: str = "perspective",
    distance: float = DISTANCE,
    mirror: bool = True,
) -> FrontView:
    """The face of a photograph turned to the front.

    Parameters
    ----------
    photos : photograph, or several of one person
        The first one's place, light and surroundings are those of the picture.
    yaw, pitch : float
        How the head is to be turned [degrees], see `msfit.face.pose.Pose`.
    light : str
        "as-is", or the spectrum that is to take the place of the light's: a name ("D65", "A", ...) or a CSV file. Where
        the light comes from stays.
    face_only : bool
        The face alone, on black.
    show_invented : bool
        Mirrored texels blue, filled ones red.
    method : {"geometric", "network"}
        "network": the face is drawn by a network from the turned one (`biofacenet.turning`), from the front alone and
        in the light of the photograph. It invents; on test heads it measures worse.
    front_weights : str or Path
        Of that network: a .safetensors file that `biofacenet train` wrote, or the shipped ones.
    model, box, size, camera, distance, mirror
        As of `biofacenet.unwrap`.

    Returns
    -------
    FrontView

    Raises
    ------
    InputError
        See `biofacenet.unwrap`; an unknown light or method; a yaw beyond 80 or a pitch beyond 60 degrees; another
        direction or light, or the face only, by the network.

    Notes
    -----
    The light stays where it is and the head turns in it: shading is that of the light that was found, on the surface as
    it is turned, shadows of the face on itself and gloss included. A pixel that the photograph shows has its own colour
    there, less gloss, times the ratio of both shadings; one that it does not show has the colour of the completed
    pigments.
    """
    if not (abs(yaw) <= LARGEST_YAW and abs(pitch) <= _LARGEST_PITCH):
        raise InputError(
            f"yaw, pitch: found {yaw:g} and {pitch:g}; expected at most {LARGEST_YAW:g} and {_LARGEST_PITCH:g} degrees"
        )
    if method not in METHODS:
        raise InputError(f"method: found {method!r}; expected one of {', '.join(METHODS)}")
    if method == "network" and (yaw, pitch, light, face_only, show_invented) != (0, 0, AS_IS, False, False):
        raise InputError(
            "method: found 'network' with yaw, pitch, light, face_only or show_invented; expected 'geometric' for these"
        )
    texture = unwrap(photos, model, box=box, size=size, camera=camera, distance=distance, mirror=mirror)
    if method == "network":
        return by_network(draw(texture), front_weights)
    return draw(texture, yaw=yaw, pitch=pitch, light=light, face_only=face_only, show_invented=show_invented)


def draw(
    texture: FaceTexture,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    light: str = AS_IS,
    face_only: bool = False,
    show_invented: bool = False,
) -> FrontView:
    """The picture of a texture's first photograph with the head turned; parameters as of `frontal`."""
    first = texture.records[0]
    camera = first.surface.turned(yaw, pitch)
    shape = first.linear.shape[:2]
    seen = view(first.surface, camera, (shape[0], shape[1]))
    colours, known = _face(texture, seen, camera, light)
    if show_invented:
        for state, colour in _SHOWN.items():
            here = known == state
            colours[here] = (1 - _SHOWN_SHARE) * colours[here] + _SHOWN_SHARE * np.array(colour, np.float32)
    picture = np.zeros_like(first.linear) if face_only else carried_along(first.linear, first.surface, camera)
    sheet, states = np.zeros_like(picture), np.zeros(shape, np.uint8)
    sheet.reshape(-1, 3)[seen.pixel] = colours
    states.reshape(-1)[seen.pixel] = known
    share = _feathered(states > 0, 0.0 if face_only else _FEATHER * np.ptp(seen.pixel % shape[1]))[..., None]
    linear = np.asarray(share * sheet + (1 - share) * picture, np.float32)
    return FrontView(linear, states, texture)


def by_network(made: FrontView, weights: str | Path = "default") -> FrontView:
    """A front view whose face the network draws."""
    first = made.texture.records[0]
    linear = later("biofacenet.turning.picture").network_front(first, made.linear, weights)
    return FrontView(linear, made.known, made.texture)


def _face(texture: FaceTexture, seen: View, camera: Camera, light: str) -> tuple[np.ndarray, np.ndarray]:
    """Colours (pixel, 3) of the face and how each is known."""
    first = texture.records[0]
    uv = seen.at(fine_face().uv)
    f_mel, f_blood = sample_square(np.stack([texture.f_mel, texture.f_blood], axis=2), uv).T
    colour = first.colour(f_mel, f_blood)
    hidden = colour * np.exp(sample_square(texture.tint, uv))
    ahead = np.array_equal(camera.rotation, first.surface.turned().rotation)
    diffuse, gloss = first.from_front if ahead else first.light.at(first.surface, camera)
    shading, shine = seen.at(diffuse), seen.at(gloss)
    own, share = _own_colours(first, seen, uv, camera)
    # an error of shadows in the photograph is not to be enlarged
    share = share * np.clip(_BRIGHTER * seen.at(first.diffuse) / np.maximum(shading, 1e-6) - 1, 0, 1)[:, None]
    body = share * own + (1 - share) * hidden
    white = first.colour.weights.sum(axis=0)
    if light != AS_IS:
        weights = photo_weights(first.result, light)
        relit = SkinColour(first.result.model, np.asarray(first.result.wavelengths), weights)
        body, white = body * relit(f_mel, f_blood) / colour, weights.sum(axis=0)
    colours = body * shading[:, None] + shine[:, None] * white
    known = np.rint(_nearest(texture.known, uv)).astype(np.uint8)
    return np.nan_to_num(colours).astype(np.float32), known


def _own_colours(one: Record, seen: View, uv: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Colours (pixel, 3) of the surface straight from the photograph, at its own resolution, and their weight."""
    points, normals = seen.at(one.surface.vertices), seen.at(one.surface.normals)
    picture = sample(one.linear, one.surface.camera.project(points)[:, :2])
    slope, drawn = (np.einsum("nc,nc->n", normals, eye.view(points)) for eye in (one.surface.camera, camera))
    fine = np.clip((slope / np.maximum(drawn, _LEAST_SLOPE) - _COARSE) / (_FINE - _COARSE), 0, 1)
    share = np.nan_to_num(sample_square(one.visible, uv)) * fine * fine * (3 - 2 * fine)
    share = np.where(np.isfinite(picture).all(axis=1), share, 0)[:, None]
    return np.nan_to_num(without_light(picture, seen.at(one.diffuse), seen.at(one.gloss))), share


def _nearest(square: np.ndarray, uv: np.ndarray) -> np.ndarray:
    size = len(square)
    column, row = np.clip((uv * size).astype(int), 0, size - 1).T
    values = square[row, column]
    # the rim of the face may fall beside the last texel
    return np.where(values > 0, values, Known.FILLED)


def _feathered(face: np.ndarray, width: float) -> np.ndarray:
    """1 well inside the face, falling to 0 at its rim over `width` pixels."""
    if width <= 1:
        return face.astype(np.float32)
    share = np.clip(distance_transform_edt(face) / width, 0, 1).astype(np.float32)
    return share * share * (3 - 2 * share)
