"""From a photograph made worse to a restored one: degradation, network, consistency, skin, report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.photo.face import Box
from biofacenet.photo.located import Face, locate
from biofacenet.photo.reading import Photo
from biofacenet.prediction import Model, as_model
from biofacenet.restoration.blocks import measured_quality
from biofacenet.restoration.consistency import held, unsupported
from biofacenet.restoration.degradation import Degradation
from biofacenet.restoration.holes import hemmed, surrounded
from biofacenet.restoration.mirror import mirrored
from biofacenet.restoration.network import Restorer, degradations
from biofacenet.restoration.prior import filled
from biofacenet.restoration.reading import jpeg_quality, read_any, read_mask
from biofacenet.restoration.shrinkage import calmed
from biofacenet.restoration.skin import SkinChange, changed, colours_held, of_face
from biofacenet.restoration.weights import Restoring, load_restorer
from biofacenet.result import FaceResult
from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.errors import InputError, names_nearest

#: How many pixels along a side one pixel becomes.
SCALES = (1, 2, 4)
# Sides of the tiles that the network sees, and what surrounds them [pixels].
_TILE, _MARGIN = 512, 64
# Share of a hole that is the most likely face, as against what the network makes of it.
_INPAINTED = 0.85
# The degradation is estimated on so many pixels along a side, at most, around the face.
_LOOKED_AT = 512
_MOST_PIXELS = 64_000_000
# A picture that suffered less than the first stays as it is; more than the second is restored in full: `severity`.
_UNTOUCHED, _FULL = 1.0, 1.6
# A picture that seems worse by so much than its file's tables say was packed before [JPEG quality].
_REPACKED = 35.0
# Restored and added detail are marked from here [display values of 1].
_MARKED = 4 / 255
_RED, _BLUE, _SHARE = (1.0, 0.15, 0.05), (0.05, 0.25, 1.0), 0.45


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored photograph and what was done to it.

    Attributes
    ----------
    rgb : uint8 or uint16 array (y, x, 3)
        sRGB, of the photograph's type.
    alpha : array (y, x), optional
        The photograph's.
    degradation : Degradation
        As estimated, at the size of the result.
    invented : bool array (y, x)
        Holes that were filled.
    detail : float32 array (y, x)
        Magnitude of the detail that was added [display values of 1], see `biofacenet.restoration.consistency`.
    doubt : float32 array (y, x)
        Mean absolute error of a channel that the network expects of itself [display values of 1].
    grey : bool
        Restored as greyscale.
    face : Box or None
        The square that physics was done in; None: no face was looked for.
    change : SkinChange or None
        Melanin, blood and tone of the face before and after; None without physics.
    attrs : mapping
        Scale, strength, network and time.
    notes : tuple of str
        What was done on the way.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    degradation: Degradation
    invented: np.ndarray
    detail: np.ndarray
    doubt: np.ndarray
    grey: bool
    face: Box | None
    change: SkinChange | None
    attrs: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def report(self) -> dict[str, Any]:
        """What happened, as JSON takes it."""
        marked = (self.detail >= _MARKED) & ~self.invented
        return {
            **self.attrs,
            "face": None if self.face is None else list(self.face),
            "physics": self.change is not None,
            "greyscale": self.grey,
            "degradation": {name: round(value, 3) for name, value in self.degradation._asdict().items()},
            "skin": None if self.change is None else self.change.as_json(),
            "invented": {"holes": _share(self.invented), "detail": _share(marked)},
            "expected_error": round(float(self.doubt.mean()), 5),
            "notes": list(self.notes),
        }

    def marked(self) -> np.ndarray:
        """The picture with filled holes red and areas of added detail blue; of the type of `rgb`."""
        most = np.iinfo(self.rgb.dtype).max
        picture = self.rgb.astype(np.float32) / most
        for where, colour in ((self.detail >= _MARKED, _BLUE), (self.invented, _RED)):
            picture[where] = (1 - _SHARE) * picture[where] + _SHARE * np.array(colour, np.float32)
        return np.rint(most * picture).astype(self.rgb.dtype)

    def maps(self, model: Model | str | Path = "default") -> FaceResult:
        """Melanin, blood and shadings of the restored face: as of `biofacenet.predict`.

        Raises
        ------
        InputError
            A greyscale picture; one restored without a face.
        """
        if self.grey or self.face is None:
            raise InputError("maps: the picture is greyscale or was restored without a face; no pigments are claimed")
        model = as_model(model)
        return model.predict(self.rgb[self.face.slices])


@names_nearest
def restore(
    photo: str | Path | Photo | np.ndarray,
    model: Model | str | Path = "default",
    *,
    scale: int = 1,
    strength: float = 1.0,
    hole: str | Path | np.ndarray | None = None,
    box: Box | str = "auto",
    restorer: Restoring | str | Path = "default",
) -> Restored:
    """Restore a photograph of a face that is blurred, noisy, small, compressed or partly covered.

    Parameters
    ----------
    photo : str, Path, Photo or uint8 or uint16 array (y, x), (y, x, 3) or (y, x, 4)
        A file, or sRGB values. Greyscale is restored as greyscale.
    model : Model, str or Path
        Network that measures the skin, as of `biofacenet.load_model`.
    scale : {1, 2, 4}
        Enlargement.
    strength : float
        0 leaves the photograph as it is (enlarged), 1 restores it in full.
    hole : str, Path or bool or uint8 array (y, x), optional
        What is covered or missing, of the photograph's size: white, or true.
    box : {"auto", "whole"} or Box
        Where the face is: found, not looked for ("whole": without physics), or given.
    restorer : Restoring, str or Path
        "default", or a .safetensors file that `biofacenet train --config restore` wrote.

    Returns
    -------
    Restored

    Raises
    ------
    InputError
        No photograph; an animation; no face; a mask of another size; a scale, strength or box out of range.

    Notes
    -----
    Pixels that are less than half opaque are restored from their surroundings, their alpha stays. The whole picture
    goes through one network, so that no seam can show; it is then held to the photograph (`consistency`), and the
    colours of the face to its own (`skin`).

    Examples
    --------
    >>> restored = biofacenet.restore("old.jpg", scale=2)                 # doctest: +SKIP
    >>> print(restored.degradation, restored.change)                     # doctest: +SKIP
    """
    began = time.perf_counter()
    scale, strength = checked(scale, strength)
    if not isinstance(restorer, Restoring | str | Path):
        raise InputError(f"restorer: found {type(restorer).__name__}; expected a name, a file or a loaded network")
    source = str(photo) if isinstance(photo, str | Path) else "array"
    try:
        known, grey = read_any(photo)
        of_file = jpeg_quality(photo) if isinstance(photo, str | Path) else None
        height, width = (scale * side for side in known.rgb.shape[:2])
        if height * width > _MOST_PIXELS:
            raise InputError(
                f"scale: found {scale}, which makes {width} x {height} pixels; expected at most 64 million"
            )
        missing = ~known.opaque
        if missing.all():
            raise InputError("the photograph is transparent, so that there is nothing to restore")
        invented = np.zeros(missing.shape, bool) if hole is None else read_mask(hole, known.rgb.shape)
        network = restorer if isinstance(restorer, Restoring) else load_restorer(restorer)
        given, known = known, _filled(known, invented | missing)
        face = None if box == "whole" else locate(known, box)
    except InputError as error:
        said = str(error)
        if "no face found" in said:
            said = "no face found; give its place (box: x,y,width,height), or restore without physics (whole)"
        raise InputError(f"{source}: {said}" if source != "array" and not said.startswith(source) else said) from None
    notes = list(known.notes)
    if face is None:
        notes.append("restored without physics: no face was looked for, the skin's change is not known")
    if (invented | missing).any() and face is not None:
        known = _with_likely(known, invented | missing, face)
    photograph = _enlarged(_display(known.rgb), scale)
    holes = _enlarged_mask(invented | missing, scale)
    degradation, overview = _weighed(network.network, photograph, holes, face, scale)
    degradation = degradation._replace(
        quality=agreed_quality(degradation.quality, of_file, measured_quality(given.rgb))
    )
    calm, noise = calmed(photograph, degradation)
    degradation = degradation._replace(noise=noise)
    gate = strength * _ramp(severity(degradation))
    overview = _weighed(network.network, calm, holes, face, scale)[1]
    picture, doubt = _restored(network.network, calm, holes, overview)
    # in a hole the network knows little more than that skin goes on smoothly
    picture = picture - holes * _INPAINTED * (picture - calm)
    light = decode_srgb(calm)[0].permute(1, 2, 0).numpy()
    found = decode_srgb(picture.clamp(0, 1))[0].permute(1, 2, 0).numpy()
    extent = scale * face.width if face is not None else 0.5 * min(height, width)
    hole_there = holes[0, 0].numpy() if bool(holes.any()) else None
    if hole_there is not None and face is not None:
        found = mirrored(found, face, scale, hole_there)
    found = held(found, light, degradation, extent, hole_there)
    display, quiet = (one[0].permute(1, 2, 0).numpy() for one in (photograph, calm))
    made, skin = encode_srgb(torch.from_numpy(found.clip(0, 1))).numpy(), None
    if face is not None and not grey:
        made, skin = of_face(quiet, made, face, scale, holes[0, 0].numpy() > 0.5)
        if not skin.any():
            skin = None
            notes.append("the hole covers the whole face: its skin's change is not known")
    # what is invented in a hole does not depend on how much the rest suffered
    weight = np.full((height, width, 1), gate, np.float32)
    if hole_there is not None:
        weight = np.maximum(weight, strength * hole_there[..., None])
    restored = display + weight * (made - display)
    change = None
    if face is not None and skin is not None:
        change = changed(as_model(model), display + weight * (quiet - display), restored, face, scale, skin)
    if grey:
        restored = np.repeat(restored.mean(axis=2, keepdims=True), 3, axis=2)
    detail = np.abs(unsupported(restored - display, Degradation(degradation.blur, degradation.factor)))
    detail = _smoothed(detail)
    crop = None if face is None else Box(*(scale * value for value in face.crop))
    most = np.iinfo(known.rgb.dtype).max
    rgb = np.rint(most * restored.clip(0, 1)).astype(known.rgb.dtype)
    if strength == 0 and scale == 1:
        rgb = given.rgb.copy()
    attrs = {
        "photo": Path(source).name if source != "array" else source,
        "size": [width, height],
        "scale": scale,
        "strength": strength,
        "applied": round(float(gate), 4),
        "network": network.name,
        "seconds": round(time.perf_counter() - began, 2),
    }
    alpha = None if known.alpha is None else _resized(known.alpha, scale)
    return Restored(
        rgb,
        alpha,
        degradation,
        _enlarged_mask(invented & (strength > 0), scale)[0, 0].numpy() > 0.5,
        detail,
        doubt[0, 0].numpy(),
        grey,
        crop,
        change,
        attrs,
        tuple(notes),
    )


def plainly_restored(rgb: np.ndarray, network: Restoring, hole: np.ndarray | None = None) -> np.ndarray:
    """What a network alone makes of a picture: what restoration through the skin is compared with.

    Its colours are held to the picture's over areas, as those of skin are; there is no forward model.

    Parameters
    ----------
    rgb : uint8 or uint16 array (y, x, 3)
    network : Restoring
    hole : bool array (y, x), optional

    Returns
    -------
    float32 array (y, x, 3)
        Display values.
    """
    photograph = _display(rgb)
    missing = np.zeros(rgb.shape[:2], bool) if hole is None else hole
    holes = _enlarged_mask(missing, 1)
    photograph = surrounded(photograph, holes)
    degradation, overview = _weighed(network.network, photograph, holes, None, 1)
    picture, _ = _restored(network.network, photograph, holes, overview)
    display, found = (one[0].permute(1, 2, 0).numpy() for one in (photograph, picture))
    # a picture that shows one face has a face of about this width
    found = colours_held(display, found, ~missing, 0.6 * min(display.shape[:2]))
    weight = np.where(missing, 1.0, _ramp(severity(degradation)))[..., None].astype(np.float32)
    return np.asarray((display + weight * (found - display)).clip(0, 1))


def agreed_quality(seen: float, of_file: float | None = None, of_pixels: float | None = None) -> float:
    """JPEG quality as the network sees it, as the file's tables tell it, and as the pixels' own grid does.

    Tables and grid know; but a file may hold a picture that was packed harder before, as far as that is plain.
    """
    known = [one for one in (of_file, of_pixels) if one is not None]
    return seen if not known or seen < min(known) - _REPACKED else min(known)


def severity(degradation: Degradation) -> float:
    """How bad a picture is: 0 untouched, about 1 where restoring begins to be worth it."""
    return math.sqrt(
        (degradation.blur / 0.6) ** 2
        + ((degradation.factor - 1) / 0.5) ** 2
        + (degradation.noise / 2.5) ** 2
        + ((100 - degradation.quality) / 12) ** 2
    )


@torch.inference_mode()
def _restored(network: Restorer, filled: Tensor, holes: Tensor, overview: Tensor) -> tuple[Tensor, Tensor]:
    """The network's picture (1, 3, y, x) and its doubt (1, 1, y, x), in tiles with a margin."""
    height, width = filled.shape[-2:]
    picture, doubt = torch.empty_like(filled), torch.empty_like(holes)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            bottom, right = min(top + _TILE, height), min(left + _TILE, width)
            rows = slice(max(0, top - _MARGIN), min(height, bottom + _MARGIN))
            columns = slice(max(0, left - _MARGIN), min(width, right + _MARGIN))
            both = _padded(torch.cat([filled[..., rows, columns], holes[..., rows, columns]], dim=1), network.step)
            made = network(both[:, :3].contiguous(memory_format=torch.channels_last), both[:, 3:], overview)
            inner = (
                ...,
                slice(top - rows.start, bottom - rows.start),
                slice(left - columns.start, right - columns.start),
            )
            picture[..., top:bottom, left:right] = made.display[inner]
            doubt[..., top:bottom, left:right] = made.scale[inner]
    return picture, doubt


@torch.inference_mode()
def _weighed(
    network: Restorer, filled: Tensor, holes: Tensor, face: Face | None, scale: int
) -> tuple[Degradation, Tensor]:
    """The degradation of the face, or of the middle where none is known, and what the network sees there as a whole."""
    height, width = filled.shape[-2:]
    if face is None:
        middle = (height / 2, width / 2)
    else:
        crop = face.crop
        middle = (scale * (crop.y + crop.height / 2), scale * (crop.x + crop.width / 2))
    side = [min(length, _LOOKED_AT) for length in (height, width)]
    top, left = (
        int(np.clip(centre - part / 2, 0, length - part))
        for centre, part, length in zip(middle, side, (height, width), strict=True)
    )
    part = (..., slice(top, top + side[0]), slice(left, left + side[1]))
    both = _padded(torch.cat([filled[part], holes[part]], dim=1), network.step)
    overview, numbers = network.overview(both[:, :3], both[:, 3:])
    return degradations(numbers)[0], overview


def _ramp(value: float) -> float:
    share = min(1.0, max(0.0, (value - _UNTOUCHED) / (_FULL - _UNTOUCHED)))
    return share * share * (3 - 2 * share)


def _filled(photo: Photo, hole: np.ndarray) -> Photo:
    """The photograph with its holes filled from what surrounds them, so that nothing depends on what stood there."""
    if not hole.any():
        return photo
    most = np.iinfo(photo.rgb.dtype).max
    spread = surrounded(_display(photo.rgb), _enlarged_mask(hole, 1))[0].permute(1, 2, 0).numpy()
    # of a hole with as much around it as inside, a continuation says more than a mean
    values = hemmed(spread, hole) if hole.mean() < 0.5 else spread
    return replace(photo, rgb=np.rint(most * values.clip(0, 1)).astype(photo.rgb.dtype))


def _with_likely(photo: Photo, hole: np.ndarray, face: Face) -> Photo:
    """The photograph with the most likely face in its hole."""
    most = np.iinfo(photo.rgb.dtype).max
    light = decode_srgb(_display(photo.rgb))[0].permute(1, 2, 0).numpy()
    values = encode_srgb(torch.from_numpy(filled(light, face, 1, hole))).numpy()
    rgb = photo.rgb.copy()
    rgb[hole] = np.rint(most * values[hole].clip(0, 1)).astype(rgb.dtype)
    return replace(photo, rgb=rgb)


def _display(rgb: np.ndarray) -> Tensor:
    values = rgb.astype(np.float32) / np.iinfo(rgb.dtype).max
    return torch.from_numpy(values).permute(2, 0, 1)[None]


def _enlarged(display: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return display
    return F.interpolate(display, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)


def _enlarged_mask(mask: np.ndarray, scale: int) -> Tensor:
    values = torch.from_numpy(mask.astype(np.float32))[None, None]
    return values if scale == 1 else F.interpolate(values, scale_factor=scale, mode="nearest")


def _resized(alpha: np.ndarray, scale: int) -> np.ndarray:
    if scale == 1:
        return alpha
    most = np.iinfo(alpha.dtype).max
    values = torch.from_numpy(alpha.astype(np.float32))[None, None]
    return np.rint(_enlarged(values / most, scale)[0, 0].numpy() * most).astype(alpha.dtype)


def _padded(values: Tensor, step: int) -> Tensor:
    height, width = values.shape[-2:]
    return F.pad(values, (0, -width % step, 0, -height % step), mode="replicate")


def _smoothed(values: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
    return F.avg_pool2d(F.pad(tensor, (4, 4, 4, 4), mode="replicate"), 9, stride=1)[0, 0].numpy()


def _share(where: np.ndarray) -> float:
    return round(float(where.mean()), 5)


def checked(scale: Any, strength: Any) -> tuple[int, float]:
    """Enlargement and strength, as numbers of Python.

    Raises
    ------
    InputError
        Others than `SCALES`; not from 0 to 1.
    """
    if isinstance(scale, bool) or not isinstance(scale, Integral) or int(scale) not in SCALES:
        raise InputError(f"scale: found {scale!r}; expected 1, 2 or 4")
    if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= float(strength) <= 1:
        raise InputError(f"strength: found {strength!r}; expected a number from 0 to 1")
    return int(scale), float(strength)
