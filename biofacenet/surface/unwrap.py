"""Textures of a face from its photographs: read, joined in pigment, completed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from biofacenet.photo.face import Box
from biofacenet.photo.reading import Photo
from biofacenet.prediction import Model, as_model
from biofacenet.surface.colour import SkinColour
from biofacenet.surface.completion import Known, complete
from biofacenet.surface.record import Record, record
from msfit.colour.colorimetry import rgb_weights
from msfit.data.later import later
from msfit.data.result import FitResult
from msfit.errors import InputError, InputWarning
from msfit.face.surface import DISTANCE
from msfit.face.texture import SHEET_CM, TEXTURE_SIZE, texels

# Below this the pigments of two photographs are joined with a wide feather, above it with a narrow one [share of the
# square's side]: 0.7 cm.
_BAND = 0.03
# How much more detail is taken from the photograph that shows a texel best.
_SHARPER = 4
# Photographs of one person differ less in the logarithm of f_mel over the skin that both show.
_SAME_PERSON = 0.5
_ENOUGH = 100  # texels
# Doubtful pixels count this much where another photograph shows the texel too.
_DOUBT = 0.2
# Cosines below this are oblique.
_OBLIQUE = 0.4
_SIZES = (64, 2048)


@dataclass(frozen=True, eq=False)
class FaceTexture:
    """Maps of a face in the canonical square, (size, size), rows from forehead to chin; NaN outside the face.

    Attributes
    ----------
    f_mel, f_blood : float32 array
        Volume fractions [1].
    albedo : float32 array (size, size, 3)
        Diffuse reflectance under D65, linear sRGB; eyes and brows too.
    i_s : float32 array
        Specular shading [1]: as photographed where seen, and where not, what the light that was found gives of a head
        that faces the camera.
    known : uint8 array
        Of each texel a `Known`: 0 outside, 1 seen, 2 mirrored, 3 filled.
    facing : float32 array
        Cosine between normal and view in the photograph that shows the texel best; 1 is frank, 0 grazing, below 0
        turned away.
    doubtful : bool array
        Not seen well: hidden or grazing (cosine below 0.4), clipped, or in deep shadow.
    tint : float32 array (size, size, 3)
        Natural logarithm of the surface's colour in the first photograph over that of the skin model.
    records : tuple of Record
        The photographs.
    attrs : mapping
        Strings and numbers: sources, network, model, yaw and so on.
    """

    f_mel: np.ndarray
    f_blood: np.ndarray
    albedo: np.ndarray
    i_s: np.ndarray
    known: np.ndarray
    facing: np.ndarray
    doubtful: np.ndarray
    tint: np.ndarray
    records: tuple[Record, ...]
    attrs: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Texels along a side."""
        return len(self.known)

    def shares(self) -> dict[str, float]:
        """How much of the face is seen, mirrored and filled [1], by name."""
        face = self.known[self.known > 0]
        return {state.name.lower(): float((face == state).mean()) for state in Known if state}

    def save(self, path: str | Path) -> None:
        """Write the texture: .h5, .glb, or a folder of PNG files; see `biofacenet.surface.files.save`."""
        later("biofacenet.surface.files").save(self, path)


def unwrap(
    photos: str | Path | Photo | np.ndarray | FitResult | Iterable[Any],
    model: Model | str | Path = "default",
    *,
    box: Box | str = "auto",
    size: int = TEXTURE_SIZE,
    camera: str = "perspective",
    distance: float = DISTANCE,
    mirror: bool = True,
) -> FaceTexture:
    """Textures of a face from one photograph, or from several of one person.

    Parameters
    ----------
    photos : photograph, or several
        Files, or uint8 or uint16 arrays (y, x, 3), sRGB; results of `msfit.fit` and their files, whose maps count and
        whose picture is rendered under D65.
    model : Model, str or Path
        As of `biofacenet.load_model`.
    box : "auto" or Box
        Where the face is, from brow to chin, in the only photograph.
    size : int
        Texels along a side, 64 to 2048.
    camera : {"perspective", "weak-perspective"}
    distance : float
        From camera to head [cm]; a portrait's 100 if it is not known.
    mirror : bool
        Whether hidden texels take the smooth part of the other side, where that is seen; else all are filled.

    Returns
    -------
    FaceTexture

    Raises
    ------
    InputError
        No photograph, no face, a head turned by more than 80 degrees; a size out of range.

    Warns
    -----
    InputWarning
        Photographs whose melanin disagrees: of different people, or their light was not understood.

    Notes
    -----
    Photographs are joined in pigment: the smooth part of each map by weights of a wide feather, its detail by narrow
    ones, so that seams are levelled and moles are not doubled (P. J. Burt, E. H. Adelson, "A multiresolution spline
    with application to image mosaics", ACM TOG 2, 1983). Weights are visibility, times pixels a texel, over the stated
    variance.
    """
    several = [photos] if isinstance(photos, str | Path | Photo | np.ndarray | FitResult) else list(photos)
    if not several:
        raise InputError("photos: found none; expected one or more photographs")
    if isinstance(box, Box) and len(several) > 1:
        raise InputError(f"box: found one for {len(several)} photographs; expected none, or one photograph")
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"size: found {size}; expected {_SIZES[0]} to {_SIZES[1]} texels")
    model = as_model(model)
    records = tuple(record(photo, model, box=box, size=size, camera=camera, distance=distance) for photo in several)
    return textured(records, mirror=mirror)


def textured(records: tuple[Record, ...], *, mirror: bool = True) -> FaceTexture:
    """The texture of records of one person; the first one's light and camera are those of its colours."""
    first = records[0]
    weights = [_reliability(one) for one in records]
    _check_same_person(records, weights)
    pigments = [pigments_everywhere(np.stack([one.f_mel, one.f_blood], axis=2), one.weight) for one in records]
    visible = np.max([one.weight for one in records], axis=0)
    layers = []
    for one, own in zip(records, pigments, strict=True):
        f_mel, f_blood = np.moveaxis(own, 2, 0)
        tint = np.log(one.body / one.colour(f_mel, f_blood))
        layers.append(np.concatenate([own, tint], axis=2))
    completed = complete(_joined(layers, weights), visible, mirror=mirror)
    f_mel, f_blood = np.maximum(np.moveaxis(completed.values[..., :2], 2, 0), 0)
    tint = completed.values[..., 2:]
    facings = np.stack([np.where(one.weight > 0, one.facing, np.minimum(one.facing, 0)) for one in records])
    facing = facings.max(axis=0)
    daylight = SkinColour(first.result.model, *_daylight(first))
    i_s = np.where(first.weight >= 0.5, first.i_s, np.nan)
    unlit = ~np.isfinite(i_s) & (completed.known > 0)
    i_s[unlit] = gloss_from_front(first)[unlit]
    return FaceTexture(
        f_mel=f_mel,
        f_blood=f_blood,
        albedo=(daylight(f_mel, f_blood) * np.exp(tint)).astype(np.float32),
        i_s=i_s.astype(np.float32),
        known=completed.known,
        facing=np.where(completed.known > 0, facing, np.nan).astype(np.float32),
        doubtful=_doubtful(records, completed.known, facing),
        tint=tint,
        records=records,
        attrs=_described(records),
    )


def gloss_from_front(one: Record) -> np.ndarray:
    """Gloss that the light of a photograph gives the head when it faces the camera: (size, size), NaN outside."""
    at = texels(len(one.weight))
    return at.square(at.at(one.from_front[1]).astype(np.float32))


def _daylight(one: Record) -> tuple[np.ndarray, np.ndarray]:
    nm = np.asarray(one.result.wavelengths)
    return nm, rgb_weights(nm)


def _reliability(one: Record) -> np.ndarray:
    """How much each texel counts against those of other photographs: visibility, pixels a texel, stated variance."""
    pixels = (one.surface.camera.scale * SHEET_CM / len(one.weight)) ** 2
    weight = one.weight * min(pixels, 1.0) * np.where(one.doubtful, _DOUBT, 1.0)
    if one.std:
        variance = np.square(one.std["f_mel"])
        typical = float(np.nanmedian(variance)) if np.isfinite(variance).any() else 1.0
        weight = weight * _or(typical / np.maximum(variance, 0.01 * typical), np.ones_like(weight)) / typical
    return weight.astype(np.float32)


def _joined(layers: list[np.ndarray], weights: list[np.ndarray]) -> np.ndarray:
    """One square of several (size, size[, channel]), in two bands; NaN where none says anything."""
    stacked = [values.reshape(*values.shape[:2], -1) for values in layers]
    if len(stacked) == 1:
        return stacked[0]
    sigma = _BAND * len(stacked[0])
    known = [np.where(np.isfinite(v).all(axis=2), w, 0) for v, w in zip(stacked, weights, strict=True)]
    filled = [np.where((w > 0)[..., None], v, 0) for v, w in zip(stacked, known, strict=True)]
    smooth, wide = [], []
    for values, weight in zip(filled, known, strict=True):
        spread = gaussian_filter((weight > 0).astype(np.float32), sigma)
        mean = gaussian_filter(np.where((weight > 0)[..., None], values, 0), (sigma, sigma, 0))
        smooth.append(mean / np.maximum(spread, 1e-6)[..., None])
        # falls to nothing inside the rim of what is seen, so that no edge shows
        wide.append(gaussian_filter(weight, sigma) * np.clip(2 * spread - 1, 0, 1) ** 2 * (weight > 0) + 1e-9 * weight)
    total = np.sum(wide, axis=0)
    low = np.sum([w[..., None] * s for w, s in zip(wide, smooth, strict=True)], axis=0)
    sharp = [w**_SHARPER for w in known]
    high = (
        np.sum([w[..., None] * (v - s) for w, v, s in zip(sharp, filled, smooth, strict=True)], axis=0)
        / np.maximum(np.sum(sharp, axis=0), 1e-30)[..., None]
    )
    anywhere = np.max(known, axis=0) > 0
    return np.where(anywhere[..., None], low / np.maximum(total, 1e-30)[..., None] + high, np.nan).astype(np.float32)


def pigments_everywhere(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pigments of all seen texels: where none were estimated, as in eyes, those of the skin around them."""
    known = np.isfinite(values).all(axis=2) & (weight > 0)
    if not known.any():
        return values
    sigma = _BAND * len(values)
    share = gaussian_filter(known.astype(np.float32), sigma)[..., None]
    around = gaussian_filter(np.where(known[..., None], values, 0), (sigma, sigma, 0)) / np.maximum(share, 1e-9)
    around = np.where(share > 1e-3, around, values[known].mean(axis=0))
    return np.where(known[..., None], values, np.where((weight > 0)[..., None], around, np.nan)).astype(np.float32)


def _doubtful(records: tuple[Record, ...], known: np.ndarray, facing: np.ndarray) -> np.ndarray:
    blemished = np.all([one.doubtful | (one.weight == 0) for one in records], axis=0)
    return np.asarray((known > 0) & ((known != Known.SEEN) | (np.nan_to_num(facing) < _OBLIQUE) | blemished))


def _check_same_person(records: tuple[Record, ...], weights: list[np.ndarray]) -> None:
    """Warn where the melanin of two photographs disagrees over the skin that both show."""
    first = records[0].f_mel
    for one, weight in zip(records[1:], weights[1:], strict=True):
        both = (weights[0] > 0) & (weight > 0) & np.isfinite(first) & np.isfinite(one.f_mel)
        if both.sum() < _ENOUGH:
            continue
        apart = np.log(np.maximum(one.f_mel[both], 1e-3) / np.maximum(first[both], 1e-3))
        if abs(float(np.median(apart))) > _SAME_PERSON:
            warnings.warn(
                f"{one.source}: f_mel is {np.exp(np.median(apart)):.2f} times that of {records[0].source} over the skin"
                f" that both show (expected {np.exp(-_SAME_PERSON):.2f} to {np.exp(_SAME_PERSON):.2f} of one person):"
                " another person, or a light that was not understood",
                InputWarning,
                stacklevel=4,
            )


def _described(records: tuple[Record, ...]) -> dict[str, Any]:
    first = records[0]
    return {
        "source": ", ".join(one.source for one in records),
        "network": first.result.attrs.get("network", ""),
        "model": first.result.model,
        "yaw": ", ".join(f"{one.surface.yaw:.1f}" for one in records),
        "note": "; ".join(note for one in records for note in one.notes),
    }


def _or(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, other)
