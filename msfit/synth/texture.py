"""Pigment and relief of a face: what varies over it from one millimetre to the next.

Pigment is given as a change of absorbance (natural logarithm of reflectance, both ways through the skin): melanin's at
550 nm, haemoglobin's at 560 nm, added to a measured spectrum. Sizes and contrasts:

- moles: one to a few millimetres, dark; freckles: under 3 mm, fainter, on the mid-face of fair skin (DermNet, "Brown
  spots and freckles", 2018);
- pores: 0.25 mm and more, on nose, cheeks and forehead (Flament et al. 2015, Clin Cosmet Investig Dermatol 8, 85);
- haemoglobin is patchy over centimetres and collects in cheeks, nose and lips (Tsumura et al. 2003, ACM TOG 22(3);
  Jimenez et al. 2010, ACM TOG 29(6));
- lips are redder than the skin around them and mostly darker (Vergnaud et al. 2024, Skin Res Technol 30, e13583);
- nose and forehead shine more than cheeks (Weyrich et al. 2006, ACM TOG 25(3)).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter

from msfit.synth.atlas import SHEET_CM, Atlas, atlas

# A blur below this cannot be told from none [texels].
_FINEST_TEXELS = 0.35


class Texture(NamedTuple):
    """Sheets of (size, size), float32."""

    melanin: np.ndarray
    """Absorbance of added melanin at 550 nm [1]; negative where there is less than the measured sites have."""
    blood: np.ndarray
    """Absorbance of added haemoglobin at 560 nm [1]."""
    hair: np.ndarray
    """Share of the skin that brows, lashes, beard and the dense middle of moles hide [1]."""
    relief: np.ndarray
    """Height [cm]."""
    openness: np.ndarray
    """Share of light that reaches the surface inside nostrils, folds and the seam of the lips [1]."""
    roughness: np.ndarray
    """GGX alpha [1]."""
    gloss: np.ndarray
    """Strength of the surface reflection [1]."""

    def stack(self) -> np.ndarray:
        """All sheets as one array (7, size, size)."""
        return np.stack(self)


def random_texture(rng: np.random.Generator, size: int, ita: float, *, beard: bool = True) -> Texture:
    """Pigment and relief drawn for a skin of individual typology angle `ita` [degrees]; `beard` allows one."""
    sheet = atlas(size)
    fair = float(np.clip((ita + 10) / 60, 0, 1))
    age = float(rng.beta(1.3, 2.2))
    melanin = _mottle(rng, sheet, (3.0, 0.6, 0.15), (0.030, 0.018, 0.016)) * (0.7 + 0.6 * age)
    blood = _mottle(rng, sheet, (2.0, 0.5, 0.12), (0.030, 0.020, 0.016)) * (0.5 + 0.7 * fair)
    moles = _moles(rng, sheet)
    melanin += moles + _freckles(rng, sheet, fair)
    blood += 0.3 * moles
    melanin += rng.gamma(2, 0.025) * sheet.near((145, 153, 144), 0.55) + rng.gamma(2, 0.02) * sheet.near(
        (159, 158, 160), 0.5
    )
    blood += (
        rng.gamma(1.5, 0.035)
        * (0.3 + fair)
        * (sheet.near((50, 205), 1.4) + 0.8 * sheet.near((4, 1), 0.9) + 0.8 * sheet.near((129, 98), 0.45))
    )
    blood += rng.gamma(2, 0.03) * sheet.near((145, 153, 144), 0.5)
    melanin, blood = melanin * sheet.inside, blood * sheet.inside
    pores = _pores(rng, sheet, age)
    melanin += 0.09 * pores
    lips = sheet.lips * (1 + 0.12 * _noise(rng, sheet, 0.25))
    blood += lips * float(rng.uniform(0.25, 0.55) + 0.40 * fair)
    melanin += lips * float(rng.uniform(-0.08, 0.10) - 0.12 * (1 - fair))
    wrinkles, shade = _wrinkles(rng, sheet, age)
    openness = (1 - 0.8 * sheet.nostrils) * (1 - 0.45 * sheet.lip_seam) * (1 - 0.25 * shade)
    oily = float(rng.uniform(0.6, 1.4))
    zone = np.clip(
        sheet.near((4, 195, 220), 1.1)
        + 0.8 * sheet.near((151, 9, 108), 1.9)
        + 0.3 * sheet.near((50, 117), 1.2)
        + 0.3 * sheet.near((199,), 0.9),
        0,
        1,
    )
    gloss = oily * (0.8 + 0.9 * zone) * (1 + 0.12 * _noise(rng, sheet, 0.2)) + 0.5 * sheet.lips
    roughness = np.clip(0.30 - 0.10 * zone * oily - 0.10 * sheet.lips + 0.02 * _noise(rng, sheet, 0.5), 0.16, 0.6)
    relief = (
        0.0025 * _noise(rng, sheet, 0.12) * sheet.inside
        - 0.010 * pores
        - wrinkles
        - 0.012 * sheet.lips * np.abs(_noise(rng, sheet, 0.12))
    )
    # a mole is dense enough to hide what is under it, as hair does
    hair = np.maximum(_facial_hair(rng, sheet, beard), np.clip(0.18 * moles, 0, 0.5))
    sheets = (melanin, blood, hair, relief, openness, roughness, np.clip(gloss, 0.1, None))
    return Texture(*(np.asarray(values, np.float32) for values in sheets))


def _noise(rng: np.random.Generator, sheet: Atlas, scale: float, stretch: tuple[float, float] = (1, 1)) -> np.ndarray:
    """Gaussian noise of unit variance, float32, smooth over `scale` [cm], longer along v and u by `stretch`.

    Where that is finer than the sheet can hold, what is left of it after averaging over a texel.
    """
    white = rng.standard_normal((sheet.size, sheet.size), np.float32)
    texels = scale * sheet.size / SHEET_CM
    if texels < _FINEST_TEXELS:
        return white * (texels / _FINEST_TEXELS)
    return fft.irfft2(fft.rfft2(white) * _band(sheet.size, texels, stretch), s=white.shape)


@functools.lru_cache(maxsize=256)
def _band(size: int, texels: float, stretch: tuple[float, float]) -> np.ndarray:
    """Transfer function of a Gaussian blur that leaves white noise with unit variance."""
    square = np.fft.fftfreq(size) ** 2
    down, right = (texels * np.array(stretch)) ** 2
    full = np.exp(-2 * np.pi**2 * (down * square[:, None] + right * square[None]))
    return (full[:, : size // 2 + 1] / np.sqrt((full**2).mean())).astype(np.float32)


def _mottle(rng: np.random.Generator, sheet: Atlas, scales: tuple[float, ...], sizes: tuple[float, ...]) -> np.ndarray:
    return np.sum([size * _noise(rng, sheet, scale) for scale, size in zip(scales, sizes, strict=True)], axis=0)


def _spots(sheet: Atlas, where: np.ndarray, radius: float, strength: np.ndarray) -> np.ndarray:
    """Round spots of one radius [cm] on texels `where` (n,); one finer than a texel keeps its area."""
    points = np.bincount(where, strength, sheet.size**2).reshape(sheet.size, sheet.size)
    texels = radius * sheet.size / SHEET_CM
    blur = np.hypot(texels, 0.45)
    return gaussian_filter(points, blur) * 2 * np.pi * texels**2


def _moles(rng: np.random.Generator, sheet: Atlas) -> np.ndarray:
    likely = (sheet.inside * (1 - sheet.lips) * (1 - sheet.brows)).ravel()
    total = np.zeros((sheet.size, sheet.size))
    for _ in range(rng.poisson(5.0)):
        where = rng.choice(likely.size, 1, p=likely / likely.sum())
        radius = float(np.clip(rng.lognormal(np.log(0.085), 0.4), 0.05, 0.24))
        total += _spots(sheet, where, radius, rng.uniform(0.5, 1.5, 1))
    return total


def _freckles(rng: np.random.Generator, sheet: Atlas, fair: float) -> np.ndarray:
    total = np.zeros((sheet.size, sheet.size))
    if rng.random() > 0.5 * fair**2:
        return total
    zone = sheet.inside * (sheet.near((50, 101, 6, 195), 1.6) + 0.15) * (1 - sheet.lips)
    zone = (zone * np.exp(0.6 * _noise(rng, sheet, 0.8))).ravel()
    for radius in (0.05, 0.08, 0.12):
        count = int(rng.integers(40, 240) * (0.05 / radius))
        total += _spots(sheet, rng.choice(zone.size, count, p=zone / zone.sum()), radius, rng.gamma(3, 0.045, count))
    return total


def _pores(rng: np.random.Generator, sheet: Atlas, age: float) -> np.ndarray:
    zone = (
        sheet.near((4, 195, 220), 1.2) + 0.7 * sheet.near((50, 101, 36), 1.4) + 0.3 * sheet.near((151, 9), 1.8)
    ) * sheet.inside
    count = int(rng.integers(600, 1500) * (0.7 + age))
    where = rng.choice(zone.size, count, p=(zone / zone.sum()).ravel())
    return _spots(sheet, where, 0.022, rng.uniform(0.4, 1.5, count))


def _facial_hair(rng: np.random.Generator, sheet: Atlas, beard_allowed: bool) -> np.ndarray:
    """Share of the skin covered by hair: brows and lashes always, a shadow or a beard on half of the faces."""
    strands = np.clip(1 + 0.35 * _noise(rng, sheet, 0.05, (1.0, 3.0)), 0.2, 1.8)
    brows = np.clip(sheet.brows * float(rng.uniform(0.5, 1.0)) * 1.2, 0, 0.95) * strands
    beard = np.zeros_like(brows)
    draw = rng.random()
    if beard_allowed and draw < 0.6:
        amount = float(rng.uniform(0.03, 0.16)) if draw < 0.42 else float(rng.uniform(0.35, 0.8))
        patches = np.clip(1 + 0.22 * _noise(rng, sheet, 0.06) + 0.18 * _noise(rng, sheet, 0.7), 0.2, 2)
        shape = sheet.beard ** float(rng.uniform(0.8, 2.0))
        if draw > 0.53:
            shape = shape * np.exp(-((sheet.place[..., 0] / 2.6) ** 4))
        beard = amount * shape * patches
    cover = np.maximum(np.maximum(brows, beard), 0.9 * sheet.lash_line)
    return np.clip(cover, 0, 0.97)


def _wrinkles(rng: np.random.Generator, sheet: Atlas, age: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth [cm] of folds and lines, and how much of the light they keep out [0, 1]."""
    depth = np.zeros((sheet.size, sheet.size), np.float32)
    x, y = sheet.place[..., 0], sheet.place[..., 1]
    for fold, deep in zip(sheet.folds, (0.05 * age + 0.01, 0.03, 0.045 * age), strict=True):
        left, right = (deep * rng.uniform(0.6, 1.4, 2)).astype(np.float32)
        depth += fold * np.where(x > 0, left, right)
    height = y + 0.18 * np.cos(0.5 * x + rng.normal()) + 0.06 * _noise(rng, sheet, 0.8)
    lines = sum(rng.uniform(0.2, 1.3) * np.exp(-0.5 * ((height - level) / 0.09) ** 2) for level in (5.3, 6.0, 6.7))
    depth += (age**2 * 0.035) * lines * sheet.brow_reach
    depth += (age**2 * 0.018) * sheet.crow_feet * rng.uniform(0.3, 1.2)
    depth *= sheet.inside
    return depth, np.clip(depth / 0.06, 0, 1)
