"""Melanin, blood and tone of a face before and after, and the picture's colours held so that they stay."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from biofacenet.photo.located import Face
from biofacenet.photo.skin import feathered
from biofacenet.prediction import Model
from msfit.colour.transforms import d65_white, decode_srgb, encode_srgb, linear_srgb_to_xyz, xyz_to_lab

#: Largest changes that a restoration leaves [share of f_mel, degrees of the typology angle].
LIMITS = (0.03, 0.7)
# Skin is measured on pictures of this size, that which the network was trained on: level and tone need no more, and
# what a network says of pigments changes with sharpness [pixels].
_MEASURED = 64
# Colours of skin are held over this share of the face's width.
_HELD = 0.08
# How far a colour may be moved to hold it [ratio].
_FARTHEST = 1.25
_DARKEST = 0.004


class Skin(NamedTuple):
    """Medians over the skin of a face, [1], [1] and degrees."""

    f_mel: float
    f_blood: float
    ita: float


class SkinChange(NamedTuple):
    """The skin of a face in the photograph and in what was made of it."""

    before: Skin
    after: Skin

    @property
    def f_mel(self) -> float:
        """Change of melanin [share]."""
        return self.after.f_mel / max(self.before.f_mel, 1e-6) - 1

    @property
    def f_blood(self) -> float:
        """Change of blood [share]."""
        return self.after.f_blood / max(self.before.f_blood, 1e-6) - 1

    @property
    def ita(self) -> float:
        """Change of the individual typology angle [degrees]; above 0: lighter."""
        return self.after.ita - self.before.ita

    def __str__(self) -> str:
        return f"f_mel {100 * self.f_mel:+.1f} %, f_blood {100 * self.f_blood:+.1f} %, ITA {self.ita:+.2f} degrees"

    def as_json(self) -> dict[str, Any]:
        """As JSON takes it."""
        found: dict[str, Any] = {
            name: {key: round(value, 5) for key, value in part._asdict().items()}
            for name, part in (("before", self.before), ("after", self.after))
        }
        found["change"] = {
            "f_mel_percent": round(100 * self.f_mel, 3),
            "f_blood_percent": round(100 * self.f_blood, 3),
            "ita_degrees": round(self.ita, 3),
        }
        return found


def of_face(
    before: np.ndarray, after: np.ndarray, face: Face, scale: int, hole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The second of two pictures (y, x, 3), display values, with its skin's colours held; and that skin, bool (y, x).

    Colours of the skin are multiplied by a smooth field, so that their means over an eighth of the face are those of
    the first picture. That is the photograph without its noise: noise on display values is light that was not there
    once it is decoded, most of it in dark skin.
    """
    where = _crop(face, scale)
    skin = _skin(before[where], face, scale) & ~hole[where]
    if skin.sum() < 64:
        skin = ~hole[where]
    made = after.copy()
    made[where] = colours_held(before[where], after[where], skin, scale * face.width)
    whole = np.zeros(hole.shape, bool)
    whole[where] = skin
    return made, whole


def changed(
    model: Model, before: np.ndarray, after: np.ndarray, face: Face, scale: int, skin: np.ndarray
) -> SkinChange:
    """How the skin of a face, bool (y, x), differs between two pictures (y, x, 3), display values."""
    where = _crop(face, scale)
    first = skin_of(model, before[where], skin[where])
    same = np.array_equal(before, after)
    return SkinChange(first, first if same else skin_of(model, after[where], skin[where]))


def _crop(face: Face, scale: int) -> tuple[slice, slice]:
    crop = face.crop
    return (
        slice(scale * crop.y, scale * (crop.y + crop.height)),
        slice(scale * crop.x, scale * (crop.x + crop.width)),
    )


def skin_of(model: Model, display: np.ndarray, skin: np.ndarray) -> Skin:
    """Medians of the maps, and the angle of the mean colour, over the skin of a face's picture (y, x, 3)."""
    side = min(_MEASURED, *display.shape[:2])
    light = decode_srgb(torch.from_numpy(np.ascontiguousarray(display.clip(0, 1), np.float32))).permute(2, 0, 1)[None]
    shape = [max(16, round(length * side / min(display.shape[:2]))) for length in display.shape[:2]]
    share = F.interpolate(torch.from_numpy(skin.astype(np.float32))[None, None], shape, mode="area")[0, 0].numpy()
    small = F.interpolate(light, shape, mode="area")[0].permute(1, 2, 0).numpy()
    region = share > 0.5 if (share > 0.5).any() else share >= share.max()
    result = model.predict(small, encoding="linear", region=region, refine=False)
    return Skin(
        float(np.nanmedian(result.f_mel[region])),
        float(np.nanmedian(result.f_blood[region])),
        typology_angle(light[0].permute(1, 2, 0).numpy(), skin),
    )


def typology_angle(linear: np.ndarray, skin: np.ndarray) -> float:
    """``atan2(L* - 50, b*)`` [degrees] of the mean colour of skin in a picture (y, x, 3), linear sRGB.

    It depends on the exposure: meant for two pictures of one exposure, not for a person's own angle.
    """
    mean = torch.from_numpy(linear[skin].mean(axis=0, dtype=np.float64))
    lab = xyz_to_lab(linear_srgb_to_xyz(mean), d65_white())
    return float(torch.rad2deg(torch.atan2(lab[0] - 50, lab[2])))


def _skin(display: np.ndarray, face: Face, scale: int) -> np.ndarray:
    light = decode_srgb(torch.from_numpy(display.clip(0, 1))).numpy()
    if scale == 1:
        return face.skin(light)
    small = F.interpolate(torch.from_numpy(light).permute(2, 0, 1)[None], scale_factor=1 / scale, mode="area")
    found = face.skin(small[0].permute(1, 2, 0).numpy())
    return np.kron(found, np.ones((scale, scale), bool))[: display.shape[0], : display.shape[1]].astype(bool)


def colours_held(before: np.ndarray, after: np.ndarray, skin: np.ndarray, width: float) -> np.ndarray:
    """Display values (y, x, 3) of `after` whose skin (y, x) has the colours of `before` over areas of the face."""
    first, last = (decode_srgb(torch.from_numpy(one.clip(0, 1).astype(np.float32))).numpy() for one in (before, after))
    spread = max(1.0, _HELD * width)
    weight = _blurred(skin.astype(np.float32)[..., None], spread) + 1e-4
    means = [_blurred(skin[..., None] * one, spread) / weight + _DARKEST for one in (first, last)]
    gain = np.clip(means[0] / means[1], 1 / _FARTHEST, _FARTHEST)
    share = feathered(skin, 0.04 * width)[..., None]
    return encode_srgb(torch.from_numpy((last * (1 + share * (gain - 1))).astype(np.float32).clip(0, 1))).numpy()


def _blurred(values: np.ndarray, spread: float) -> np.ndarray:
    """A Gaussian, found on fewer pixels where it is wide."""
    step = max(1, int(spread / 4))
    if step == 1:
        return np.asarray(gaussian_filter(values, (spread, spread, 0)))
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32)).permute(2, 0, 1)[None]
    shape = [max(1, -(-length // step)) for length in values.shape[:2]]
    coarse = F.interpolate(tensor, shape, mode="area")[0].permute(1, 2, 0).numpy()
    smooth = gaussian_filter(coarse, (spread / step, spread / step, 0))
    wide = F.interpolate(
        torch.from_numpy(smooth).permute(2, 0, 1)[None], values.shape[:2], mode="bilinear", align_corners=False
    )
    return wide[0].permute(1, 2, 0).numpy()
