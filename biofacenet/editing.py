"""Photographs of faces changed in their skin: more melanin, less blood, no gloss."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from biofacenet.networks.decoder import HIGHEST_FRACTIONS, head_units
from biofacenet.photo.face import Box
from biofacenet.photo.located import Face, check_skin, locate
from biofacenet.photo.reading import Photo, as_photo, linear_light
from biofacenet.photo.skin import face_ellipse, feathered
from biofacenet.prediction import Model, as_model
from biofacenet.result import FaceResult
from msfit.colour.transforms import encode_srgb
from msfit.errors import InputError, names_nearest

#: What can be changed, by the name it has in words, and the map it is of.
EDITABLE = {"melanin": "f_mel", "blood": "f_blood", "diffuse": "i_d", "specular": "i_s"}
# Largest values of the maps [1]: the ends of the heads' ranges, and more light than any photograph holds.
_HIGHEST = dict(zip(EDITABLE, (*HIGHEST_FRACTIONS, 10.0, 10.0), strict=True))
_CHANGE = re.compile(r"(?P<sign>[xX*+-]?)(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)")
# The change fades out at eyes and mouth, and at the ellipse around the face, over these shares of the face's width;
# beyond the mesh over `_REACH`, and where logarithms of the colours differ by `_DIFFERENT`.
_SKIN_FEATHER, _FACE_FEATHER = 0.012, 0.1
_REACH, _DIFFERENT = 0.2, 0.6
# Colours are divided with this added, so that black stays quiet.
_DARK = 1e-3
_LARGEST_RATIO = 8.0


@dataclass(frozen=True)
class Change:
    """What is done to the values of a map.

    Attributes
    ----------
    how : {"add", "multiply", "set"}
    amount : float
    """

    how: str
    amount: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The changed values, of the same shape and type."""
        amount = np.float32(self.amount)
        if self.how == "add":
            return values + amount
        return values * amount if self.how == "multiply" else np.full_like(values, amount)

    def __str__(self) -> str:
        return {"add": f"{self.amount:+.4g}", "multiply": f"x{self.amount:.4g}", "set": f"{self.amount:.4g}"}[self.how]


@dataclass(frozen=True, eq=False)
class Edited:
    """A changed photograph.

    Attributes
    ----------
    rgb : uint8 or uint16 array (y, x, 3)
        sRGB, of the photograph's size and type; to the bit the photograph's where nothing was changed.
    alpha : array (y, x), optional
        The photograph's.
    notes : tuple of str
        Where changes came to the end of a map's range, and for how much of the face.
    box : Box
        The part of the photograph that was taken apart.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    notes: tuple[str, ...]
    box: Box


def _beyond(light: np.ndarray, outline: np.ndarray, width: float) -> np.ndarray:
    """How much of a change pixels beyond a face's outline take on: float32 (y, x), 1 at the outline.

    The mesh ends below the hairline and at the jaw, where skin goes on. A change fades with the distance from the
    outline and with the difference of colour from the nearest pixel inside: it ends where the picture has an edge, and
    nowhere else.
    """
    smooth = ndimage.gaussian_filter(np.log(light + 0.01), (0.01 * width, 0.01 * width, 0))
    inner = ndimage.binary_erosion(outline, iterations=max(1, round(0.01 * width)))
    if not inner.any():
        return np.zeros(outline.shape, np.float32)
    far, nearest = ndimage.distance_transform_edt(~inner, return_indices=True)
    differing = np.linalg.norm(smooth - smooth[tuple(nearest)], axis=2)
    share = np.clip(1 - far / (_REACH * width), 0, 1) * np.exp(-np.square(differing / _DIFFERENT))
    return np.asarray(share * share * (3 - 2 * share), np.float32)


class Editor:
    """A photograph taken apart once, to be changed any number of times.

    Parameters
    ----------
    photo, model, box, size
        As of `biofacenet.predict`.

    Raises
    ------
    InputError
        As of `biofacenet.predict`.
    """

    def __init__(
        self,
        photo: str | Path | Photo | np.ndarray,
        model: Model | str | Path = "default",
        *,
        box: Box | str = "auto",
        size: int | None = None,
    ) -> None:
        self.photo = as_photo(photo)
        self.model = as_model(model)
        try:
            face = locate(self.photo, box)
            self.box = face.crop
            crop = self.photo.rgb[self.box.slices]
            self._light = linear_light(crop)
            self._weight = self._share_of_change(face)
            self.result: FaceResult = self.model.predict(crop, size=size, region=self._weight > 0, width=face.width)
        except InputError as error:
            raise InputError(f"{photo}: {error}" if isinstance(photo, str | Path) else str(error)) from None
        self._before = {name: getattr(self.result, field) for name, field in EDITABLE.items()}
        self._diffuse, self._shine = self._drawn(self._before)

    def edit(self, changes: Mapping[str, Change | str | float]) -> Edited:
        """The photograph with its maps changed.

        What is left without the gloss is multiplied by the ratio of what the decoder draws of the diffuse maps after
        and before, the gloss moved by its difference: what the maps do not hold, pores and hair, stays. Outside the
        skin of the face, and where nothing changes, every bit stays.

        Parameters
        ----------
        changes : mapping of str to Change, str or float
            For some of "melanin", "blood", "diffuse", "specular": see `parse_change`.

        Returns
        -------
        Edited

        Raises
        ------
        InputError
            An unknown name; what is no change.
        """
        wanted = {name: parse_change(name, change) for name, change in changes.items()}
        after, notes = dict(self._before), []
        for name, change in wanted.items():
            values = change(self._before[name])
            after[name] = np.clip(values, 0, _HIGHEST[name]).astype(np.float32)
            clipped_share = float((values != after[name])[self._weight > 0].mean()) if (self._weight > 0).any() else 0.0
            if clipped_share:
                notes.append(
                    f"{name} {change}: held at its range 0 to {_HIGHEST[name]:g} on {clipped_share:.0%} of the face"
                )
        diffuse, shine = self._drawn(after)
        ratio = np.clip((diffuse + _DARK) / (self._diffuse + _DARK), 0, _LARGEST_RATIO)
        matt = np.clip(self._light - self._shine, 0, None)
        shift = matt * (ratio - 1) + (shine - self._shine)
        edited = self._light + self._weight[..., None] * shift
        changed = (self._weight > 0) & (shift != 0).any(axis=2)
        rgb = self.photo.rgb.copy()
        most = np.iinfo(rgb.dtype).max
        display = encode_srgb(torch.from_numpy(np.ascontiguousarray(edited[changed]))).numpy()
        rgb[self.box.slices][changed] = np.rint(most * display).astype(rgb.dtype)
        return Edited(rgb, self.photo.alpha, tuple(notes), self.box)

    def _share_of_change(self, face: Face) -> np.ndarray:
        """How much of a change each pixel of the box takes on, 0 to 1: none outside the skin of the face."""
        width = face.width
        skin = face.skin(self._light) & self.photo.opaque[self.box.slices]
        place = face.box if face.mesh is None else face.box or Box(*face.mesh.box)
        if face.mesh is None:
            weight = feathered(skin, _SKIN_FEATHER * width)
            if place is None:
                return self._checked(weight)
            ellipse = feathered(face_ellipse(place, self.photo.rgb.shape)[self.box.slices], _FACE_FEATHER * width)
            return self._checked(weight * ellipse)
        assert place is not None
        outline = face.mesh.outline()[self.box.slices] & self.photo.opaque[self.box.slices]
        ellipse = feathered(face_ellipse(place, self.photo.rgb.shape)[self.box.slices], _FACE_FEATHER * width)
        # eyes, mouth and nostrils keep every bit; the outline is no edge
        openings = feathered(skin | ~outline, _SKIN_FEATHER * width)
        beyond = _beyond(self._light, outline, width) * ellipse
        return self._checked(np.where(outline, openings, beyond * self.photo.opaque[self.box.slices]))

    def _checked(self, weight: np.ndarray) -> np.ndarray:
        check_skin(weight, "give another place (box: x,y,width,height)")
        return weight

    @torch.inference_mode()
    def _drawn(self, maps: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The diffuse and the glossy part of the picture that maps make, linear RGB (y, x, 3), not negative.

        What the skin model leaves to the offset of measured skin brightens and darkens with the model's skin: over the
        archive's faces it is 0.5 to 0.7 of it, whatever their tone.
        """
        decoder, device = self.model.decoder, self.model.device

        def tensor(values: Any) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values, np.float32), device=device)

        weights = decoder.weights(tensor(self.result.lighting)[None], tensor(self.result.camera)[None])
        white = weights[0].sum(0).float().clamp(min=0).cpu().numpy()

        def colour(pigments: Mapping[str, np.ndarray]) -> np.ndarray:
            m = [
                head_units(tensor(pigments[name])[None, None], most).clamp(-1, 1)
                for name, most in zip(("melanin", "blood"), HIGHEST_FRACTIONS, strict=True)
            ]
            return decoder.colour(m[0], m[1], weights)[0].permute(1, 2, 0).clamp(min=0).cpu().numpy()

        skin = colour(maps)
        diffuse = maps["diffuse"][..., None] * skin
        if self.result.misfit is not None:
            brightness = (skin.mean(axis=2) + _DARK) / (colour(self._before).mean(axis=2) + _DARK)
            diffuse = diffuse + (maps["diffuse"] * self.result.misfit * brightness)[..., None] * white
        return diffuse, maps["specular"][..., None] * white


@names_nearest
def edit(
    photo: str | Path | Photo | np.ndarray,
    changes: Mapping[str, Change | str | float],
    model: Model | str | Path = "default",
    *,
    box: Box | str = "auto",
    size: int | None = None,
) -> Edited:
    """Change the skin in a photograph.

    Parameters
    ----------
    photo, model, box, size
        As of `biofacenet.predict`.
    changes : mapping of str to Change, str or float
        As of `Editor.edit`.

    Returns
    -------
    Edited

    Examples
    --------
    >>> edited = biofacenet.edit("face.jpg", {"melanin": "+0.05", "specular": "0"})  # doctest: +SKIP
    """
    for name, change in changes.items():
        parse_change(name, change)  # before the work begins
    return Editor(photo, model, box=box, size=size).edit(changes)


def parse_change(name: str, text: Change | str | float) -> Change:
    """A change as it is written: ``+0.05`` and ``-0.05`` add, ``x1.5`` multiplies, ``0.1``, or a number, sets.

    Parameters
    ----------
    name : {"melanin", "blood", "diffuse", "specular"}
    text : str, float or Change
        Melanin and blood in volume fractions, shadings in their own unit [1].

    Raises
    ------
    InputError
        An unknown name, or anything else.

    Examples
    --------
    >>> parse_change("blood", "x1.5")
    Change(how='multiply', amount=1.5)
    """
    if name not in EDITABLE:
        raise InputError(f"changes: found {name!r}; expected some of {', '.join(EDITABLE)}")
    if isinstance(text, Change):
        return text
    if isinstance(text, int | float) and 0 <= text < math.inf:
        return Change("set", float(text))
    match = _CHANGE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not math.isfinite(float(match["number"])):
        raise InputError(f"{name}: found {text!r}; expected +0.05 or -0.05 (add), x1.5 (multiply) or 0.1 (set)")
    sign, amount = match["sign"], float(match["number"])
    if sign in ("x", "X", "*"):
        return Change("multiply", amount)
    return Change("add", -amount if sign == "-" else amount) if sign else Change("set", amount)
