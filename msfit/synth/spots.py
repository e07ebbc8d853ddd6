"""Spots planted in a skin where truth is known: age spots, freckles, patches without melanin, and acne.

Absorbances as of `msfit.synth.texture`. Sizes and contrasts: age spots (solar lentigines) of 3 to 12 mm with sharp
edges (M. Bastiaens et al. 2004, Pigment Cell Res 17, 225); freckles under 3 mm; vitiligo, patches of centimetres that
hold almost no melanin; papules of acne of 2 to 6 mm, red (DermNet).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from msfit.synth.atlas import SHEET_CM, Atlas, atlas
from msfit.synth.texture import Texture


class Planted(NamedTuple):
    """Sheets (size, size), float32."""

    texture: Texture
    """With the spots in its melanin and blood."""
    spots: np.ndarray
    """Absorbance at 550 nm [1] of age spots and freckles: what of the melanin was planted as spots."""


def plant(
    rng: np.random.Generator,
    texture: Texture,
    *,
    age_spots: int | None = None,
    freckles: bool | None = None,
    vitiligo: bool | None = None,
    acne: bool | None = None,
) -> Planted:
    """Add spots to a texture; what is None is drawn: some faces have none, few have all.

    Parameters
    ----------
    rng : numpy Generator
    texture : Texture
    age_spots : int, optional
        How many.
    freckles, vitiligo, acne : bool, optional
        Whether there are any.
    """
    sheet = atlas(texture.melanin.shape[0])
    draws = rng.random(4)
    if age_spots is None:
        age_spots = int(rng.integers(1, 9)) if draws[0] < 0.4 else 0
    freckles = bool(draws[1] < 0.2) if freckles is None else freckles
    vitiligo = bool(draws[2] < 0.03) if vitiligo is None else vitiligo
    acne = bool(draws[3] < 0.12) if acne is None else acne
    likely = (sheet.inside > 0.5) * (1 - sheet.lips) * (1 - sheet.brows) * (1 - sheet.nostrils)
    spots = _ovals(rng, sheet, likely, age_spots, (0.18, 0.6), (0.25, 0.8))
    if freckles:
        zone = likely * (sheet.near((50, 101, 6, 195), 2.0) + 0.1)
        spots = np.maximum(spots, _ovals(rng, sheet, zone, int(rng.integers(40, 160)), (0.05, 0.14), (0.15, 0.6)))
    melanin, blood = texture.melanin + spots, texture.blood
    if acne:
        blood = blood + _ovals(rng, sheet, likely, int(rng.integers(4, 20)), (0.1, 0.3), (0.1, 0.4))
    if vitiligo:
        melanin = melanin - _ovals(rng, sheet, likely, int(rng.integers(2, 6)), (0.6, 2.0), (0.3, 1.0))
    return Planted(texture._replace(melanin=melanin.astype(np.float32), blood=blood.astype(np.float32)), spots)


def _ovals(
    rng: np.random.Generator,
    sheet: Atlas,
    where: np.ndarray,
    count: int,
    radii: tuple[float, float],
    strengths: tuple[float, float],
) -> np.ndarray:
    """Ovals with ragged, sharp edges; radii [cm] and absorbances within their ranges. The strongest counts."""
    total = np.zeros((sheet.size, sheet.size), np.float32)
    if count == 0:
        return total
    texel = SHEET_CM / sheet.size
    row, column = np.unravel_index(rng.choice(where.size, count, p=(where / where.sum()).ravel()), where.shape)
    for y, x in zip(row, column, strict=True):
        radius, strength = np.exp(rng.uniform(*np.log(radii))) / texel, rng.uniform(*strengths)
        turn, stretch = rng.uniform(0, np.pi), np.exp(rng.normal() * 0.2)
        phases = rng.uniform(0, 2 * np.pi, 3)
        reach = int(np.ceil(2.2 * radius + 2))
        high, wide = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
        down, right = np.mgrid[high, wide][:, : total[high, wide].shape[0], : total[high, wide].shape[1]]
        down, right = down - y, right - x
        along, across = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
        angle = np.arctan2(across, along)
        ragged = 1 + 0.12 * sum(np.cos((k + 2) * angle + phase) / (k + 1) for k, phase in enumerate(phases))
        distance = np.hypot(along / stretch, across * stretch) / ragged
        # a spot smaller than a texel keeps its absorbance times area
        width = max(0.6, 0.12 * radius)
        share = min(1.0, (radius / 0.6) ** 2) / (1 + np.exp(np.clip((distance - max(radius, 0.6)) / width, -30, 30)))
        total[high, wide] = np.maximum(total[high, wide], strength * share)
    return gaussian_filter(total, 0.35)
