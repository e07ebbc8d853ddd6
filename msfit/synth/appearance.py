"""From what is seen to what it is made of: pigment, finish and relief of every visible point."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msfit.face.zones import LOWER_LID, UPPER_LID
from msfit.synth.atlas import SHEET_CM, atlas, sample
from msfit.synth.buffers import CLOTH, EYE, FACE, HAIR, HEAD, Buffers
from msfit.synth.light import Finish
from msfit.synth.mesh import template
from msfit.synth.spectra import WAVELENGTHS, Palette, sclera
from msfit.synth.texture import Texture

EYEBALL_CM, IRIS_CM, PUPIL_CM = 1.25, 0.60, 0.21


class Drawn(NamedTuple):
    """What chance decides of a surface beside its texture."""

    gaze: np.ndarray
    """float64 (2,): where the eyes look."""
    strands: np.ndarray
    """float64 (20, 3): waves of the hair, how often they go around, how they run along, their phase."""


def random_surface(rng: np.random.Generator) -> Drawn:
    """Drawn from `rng`."""
    gaze = rng.normal(size=2) * 0.06
    waves = [(rng.integers(40, 260), rng.normal() * 0.5, rng.uniform(0, 2 * np.pi)) for _ in range(20)]
    return Drawn(gaze, np.array(waves, np.float64))


class Surface(NamedTuple):
    """Every visible point's surface, rows as in `Buffers`."""

    skin: np.ndarray
    """int64 (k,): rows that are skin (face, neck, ears)."""
    sites: np.ndarray
    """float32 (k, 4): weights of the measured sites, of the skin rows."""
    melanin: np.ndarray
    """float32 (k,): absorbance at 550 nm."""
    blood: np.ndarray
    """float32 (k,): absorbance at 560 nm."""
    hair: np.ndarray
    """float32 (k,): share covered by brows, lashes and beard."""
    other: np.ndarray
    """float32 (n, band): reflectance of what is not skin; rows of skin are empty."""
    normal: np.ndarray
    """float32 (n, 3): unit normals with the relief."""
    openness: np.ndarray
    """float32 (n,)"""
    finish: Finish


def texture_sheets(texture: Texture) -> np.ndarray:
    """What `surface` reads of a texture: float32 (8, size, size)."""
    down, right = np.gradient(texture.relief * texture.relief.shape[0])
    return np.stack(
        [texture.melanin, texture.blood, texture.hair, texture.openness, texture.roughness, texture.gloss, right, down]
    )


def surface(buffers: Buffers, sheets: np.ndarray, palette: Palette, drawn: Drawn) -> Surface:
    """Clothe what is seen: `sheets` of `texture_sheets` on the face, `palette` on the rest."""
    region, n = buffers.region, len(buffers.pixel)
    skin = np.flatnonzero(region <= HEAD)
    layout = atlas(sheets.shape[-1])
    read = sample(np.concatenate([sheets, layout.sites]), buffers.uv[skin])
    on_face = (region[skin] == FACE).astype(np.float32)
    melanin, blood, hair = (read[:, :3] * on_face[:, None]).T
    openness, roughness, gloss = np.full(n, 0.9, np.float32), np.full(n, 0.45, np.float32), np.full(n, 0.5, np.float32)
    openness[skin] = np.where(on_face > 0, read[:, 3], 1)
    roughness[skin] = np.where(on_face > 0, read[:, 4], 0.45)
    gloss[skin] = np.where(on_face > 0, read[:, 5], 0.6)
    slope = np.zeros((n, 2), np.float32)
    slope[skin] = read[:, 6:8] * on_face[:, None]
    other = np.zeros((n, WAVELENGTHS.size), np.float32)
    _eyes(buffers, palette, drawn.gaze, other, slope, openness, roughness, gloss)
    _hair(buffers, palette, drawn.strands, other, gloss)
    other[region == CLOTH] = palette.cloth
    gloss[region == CLOTH] = 0.15
    normal = buffers.normal - np.einsum("nk,nkc->nc", slope, buffers.gradient)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return Surface(skin, read[:, 8:12], melanin, blood, hair, other, normal, openness, Finish(roughness, gloss))


def _eyes(
    buffers: Buffers,
    palette: Palette,
    gaze: np.ndarray,
    other: np.ndarray,
    slope: np.ndarray,
    openness: np.ndarray,
    roughness: np.ndarray,
    gloss: np.ndarray,
) -> None:
    rows = np.flatnonzero(buffers.region == EYE)
    own = eye_centres()[(buffers.uv[rows, 0] > 0.5).astype(int)]
    offset = (buffers.uv[rows] - own) * SHEET_CM - gaze
    radius = np.linalg.norm(offset, axis=1)[:, None]
    iris, pupil = _disc(radius, IRIS_CM), _disc(radius, PUPIL_CM)
    ring = 1 - 0.5 * np.exp(-(((radius - IRIS_CM) / 0.07) ** 2))
    colour = (sclera() * (1 - iris) + palette.iris * ring * iris) * (1 - pupil) + 0.01 * pupil
    other[rows] = colour
    slope[rows] = -offset / EYEBALL_CM * SHEET_CM
    # lids and lashes shade the white towards the corners and from above
    openness[rows] = np.clip(
        1 - 0.25 * (np.abs(offset[:, 0] + gaze[0]) / 1.2) ** 2 - 0.9 * np.clip(-offset[:, 1] - 0.18, 0, 0.4), 0.3, 1
    )
    roughness[rows], gloss[rows] = 0.16, 1.4


def eye_centres() -> np.ndarray:
    """Texture coordinates (2, 2) of the middle of both eyes."""
    base = template()
    lids = [*UPPER_LID, *LOWER_LID]
    return np.stack([base.uv[lids].mean(axis=0), base.uv[base.mirror[lids]].mean(axis=0)])


def _disc(radius: np.ndarray, edge: float) -> np.ndarray:
    return 1 / (1 + np.exp(np.clip((radius - edge) / 0.035, -40, 40)))


def _hair(buffers: Buffers, palette: Palette, waves: np.ndarray, other: np.ndarray, gloss: np.ndarray) -> None:
    rows = np.flatnonzero(buffers.region == HAIR)
    around, along = buffers.uv[rows, 0] * 2 * np.pi, buffers.uv[rows, 1] * 30
    strands = np.zeros(len(rows))
    for often, run, phase in waves.tolist():
        strands += np.cos(np.float64(often) * around + run * along + phase)
    other[rows] = palette.hair * np.clip(1 + 0.07 * strands, 0.4, 1.7)[:, None].astype(np.float32)
    gloss[rows] = np.clip(0.35 + 0.09 * strands, 0.05, 1.2)
