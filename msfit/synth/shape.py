"""Who a head is and what its face does: smooth displacements of the control mesh, drawn at random.

The canonical mesh comes without a statistical shape model, so identity and expression are spanned by hand-made modes:
each moves the mesh around some of its landmarks, weighted by a Gaussian of the distance, alike on both sides. Sizes are
of the order of the standard deviations that facial anthropometry reports (a few millimetres; 3 to 5 % in breadth and
height: L. G. Farkas, Anthropometry of the Head and Face, Raven, 1994).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from msfit.face.zones import LOWER_LID, LOWER_LIP_INNER, UPPER_LID, UPPER_LIP_INNER
from msfit.synth.mesh import FACE_VERTICES, Template, template


class Mode(NamedTuple):
    """A trait's standard deviation: landmarks of the right side, Gaussian radius [cm], move (out, up, forward) [cm]."""

    landmarks: tuple[int, ...]
    radius: float
    move: tuple[float, float, float]


IDENTITY = {
    "jaw_breadth": Mode((172, 136, 58), 2.6, (0.32, 0.0, 0.0)),
    "chin_height": Mode((152, 148), 2.8, (0.0, -0.38, 0.0)),
    "chin_forward": Mode((199, 175), 1.9, (0.0, 0.0, 0.32)),
    "chin_breadth": Mode((176, 149), 1.8, (0.30, 0.0, 0.05)),
    "cheekbone": Mode((116, 117, 123), 2.0, (0.24, 0.0, 0.20)),
    "cheek_fullness": Mode((207, 187, 192), 2.4, (0.30, 0.0, 0.34)),
    "temples": Mode((54, 21, 71), 2.8, (0.24, 0.0, 0.10)),
    "forehead_height": Mode((10, 109, 67), 3.6, (0.0, 0.40, 0.0)),
    "forehead_slope": Mode((10, 109, 151), 3.2, (0.0, 0.0, 0.40)),
    "brow_ridge": Mode((105, 66, 107, 9), 1.5, (0.0, 0.0, 0.22)),
    "brow_height": Mode((105, 63, 66), 1.5, (0.0, 0.22, 0.0)),
    "eye_spacing": Mode((159, 145), 1.6, (0.15, 0.0, 0.0)),
    "eye_depth": Mode((159, 145, 133), 1.5, (0.0, 0.0, -0.20)),
    "eye_level": Mode((159, 145), 1.7, (0.0, 0.16, 0.0)),
    "nose_breadth": Mode((129, 64, 98), 0.9, (0.20, 0.0, 0.03)),
    "nose_length": Mode((2, 1, 98), 1.3, (0.0, -0.26, 0.0)),
    "nose_forward": Mode((4, 1, 5), 1.3, (0.0, 0.0, 0.30)),
    "nose_bridge": Mode((6, 197, 122), 1.2, (0.0, 0.0, 0.26)),
    "nose_bridge_breadth": Mode((122, 196, 236), 0.8, (0.12, 0.0, 0.0)),
    "nose_hump": Mode((195, 197), 0.8, (0.0, 0.0, 0.14)),
    "nose_tip_up": Mode((4, 1), 0.9, (0.0, 0.20, 0.0)),
    "mouth_breadth": Mode((61, 57), 1.1, (0.26, 0.0, 0.0)),
    "mouth_level": Mode((13, 14, 0, 17), 2.0, (0.0, 0.20, 0.0)),
    "mouth_forward": Mode((13, 14), 1.7, (0.0, 0.0, 0.26)),
    "upper_lip_full": Mode((37, 0), 0.55, (0.0, 0.12, 0.09)),
    "lower_lip_full": Mode((84, 17), 0.7, (0.0, -0.14, 0.11)),
    "neck_breadth": Mode((477, 513), 5.0, (0.25, 0.0, 0.10)),
}
EXPRESSION = {
    "smile": Mode((61, 57), 1.1, (0.45, 0.36, -0.22)),
    "cheek_raise": Mode((205, 50), 1.5, (0.05, 0.24, 0.26)),
    "corners_down": Mode((61, 57), 1.0, (0.0, -0.26, 0.0)),
    "brow_raise": Mode((105, 66, 63), 1.5, (0.0, 0.36, 0.0)),
    "brow_knit": Mode((55, 107), 0.9, (-0.16, -0.14, 0.05)),
    "pucker": Mode((61, 13, 14), 1.3, (-0.28, 0.0, 0.22)),
    "puff": Mode((207, 205), 1.8, (0.25, 0.0, 0.30)),
}
# Expressions are one-sided traits: each is drawn from |N(0, 1)| times its share, zero being the neutral face.
_EXPRESSION_SHARE = {
    "smile": 0.8,
    "cheek_raise": 0.5,
    "corners_down": 0.4,
    "brow_raise": 0.5,
    "brow_knit": 0.6,
    "pucker": 0.25,
    "puff": 0.25,
}
_BREADTH_HEIGHT_DEPTH = (0.045, 0.035, 0.05)
_TAPER = 0.05
_LID_LIFT = 0.18


class Shape(NamedTuple):
    """A head in its own frame."""

    control: np.ndarray
    """float64 array (control, 3): moved control vertices [cm]."""
    eyes_open: float
    """0 closed, 1 as open as the canonical face, at most 1.6."""


@functools.cache
def _basis(names: str) -> np.ndarray:
    base = template()
    modes = IDENTITY if names == "identity" else EXPRESSION
    return np.stack([_field(base, mode) for mode in modes.values()])


def random_shape(rng: np.random.Generator, *, spread: float = 1.0, eyes_open: float | None = None) -> Shape:
    """A head with an identity and an expression drawn from `rng`.

    Parameters
    ----------
    rng : numpy.random.Generator
    spread : float
        Scale of the identity's standard deviations; 0 gives the canonical face with its mouth closed.
    eyes_open : float, optional
        Opening of the eyes, 0 to 1.6; drawn if absent: closed in one face of three.
    """
    base = template()
    control = _close_mouth(base.vertices)
    traits = np.clip(rng.normal(size=len(IDENTITY)), -2.2, 2.2) * spread
    control = control + np.tensordot(traits, _basis("identity"), axes=1)
    control = control + _asymmetry(rng, base) * spread
    share = np.array([_EXPRESSION_SHARE[name] for name in EXPRESSION])
    strength = np.clip(np.abs(rng.normal(size=len(EXPRESSION))), 0, 2) * share * (rng.random(len(EXPRESSION)) < 0.6)
    control = control + np.tensordot(strength * spread, _basis("expression"), axes=1)
    drawn = 0.0 if rng.random() < 1 / 3 else float(rng.uniform(0.9, 1.6))
    opening = drawn if eyes_open is None else eyes_open
    control = _set_lids(control, base, opening)
    scale = 1 + spread * np.clip(rng.normal(size=3), -2, 2) * _BREADTH_HEIGHT_DEPTH
    taper = 1 + spread * _TAPER * np.clip(rng.normal(), -2, 2) * np.clip(base.vertices[:, 1] / 9, -1, 1)
    control = control * scale
    control[:, 0] *= taper
    return Shape(control, opening)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Matrix (3, 3) that turns a head [rad]: yaw to its left, pitch down, roll towards its left shoulder."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    lean = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return lean @ turn @ nod


def _field(base: Template, mode: Mode) -> np.ndarray:
    right = np.array(mode.landmarks)
    weight = _weight(base, right, mode.radius)
    left = _weight(base, base.mirror[right], mode.radius)
    outward, up, forward = mode.move
    # where both sides reach, their outward moves cancel and the others do not add up beyond one
    across = outward * (left - weight)
    along = np.maximum(left, weight)
    return np.stack([across, up * along, forward * along], axis=1)


def _weight(base: Template, centres: np.ndarray, radius: float) -> np.ndarray:
    apart = np.linalg.norm(base.vertices[:, None] - base.vertices[centres][None], axis=2).min(axis=1)
    return np.exp(-0.5 * (apart / radius) ** 2)


def _asymmetry(rng: np.random.Generator, base: Template, patches: int = 6) -> np.ndarray:
    centres = base.vertices[rng.integers(0, FACE_VERTICES, patches)]
    moves = rng.normal(size=(patches, 3)) * 0.07
    apart = np.linalg.norm(base.vertices[:, None] - centres[None], axis=2)
    return np.exp(-0.5 * (apart / 2.2) ** 2) @ moves


def _close_mouth(vertices: np.ndarray) -> np.ndarray:
    """Lips that meet: the canonical face leaves them half a centimetre apart."""
    moved = vertices.copy()
    upper, lower = list(UPPER_LIP_INNER), list(LOWER_LIP_INNER)
    seam = 0.45 * moved[upper] + 0.55 * moved[lower]
    drop = (seam - vertices[upper])[:, 1]
    rise = (seam - vertices[lower])[:, 1]
    seam[:, 2] -= 0.10
    moved[upper] = seam
    moved[lower] = seam
    # the lips follow their inner rims: half of the way at their outer rims, half of that around the mouth
    follow = _follow(vertices, vertices[upper], 0.7)
    above = vertices[:, 1] > -4.0
    share = np.where(above, drop.min(), rise.max()) * 0.75 * follow
    inner = np.zeros(len(vertices), bool)
    inner[upper + lower] = True
    moved[:, 1] += np.where(inner, 0, share)
    return moved


def _follow(vertices: np.ndarray, line: np.ndarray, radius: float) -> np.ndarray:
    apart = np.linalg.norm(vertices[:, None] - line[None], axis=2).min(axis=1)
    return np.exp(-0.5 * (apart / radius) ** 2)


def _set_lids(control: np.ndarray, base: Template, opening: float) -> np.ndarray:
    """Close the lids by 1 - opening, over an eyeball that bulges a little."""
    moved = control.copy()
    for side in (np.arange(len(control)), base.mirror):
        upper, lower = side[list(UPPER_LID)], side[list(LOWER_LID)]
        eye = control[np.concatenate([upper, lower])].mean(axis=0)
        gap = control[lower] - control[upper]
        bulge = np.sin(np.linspace(0, np.pi, len(upper)))[:, None] * [0, 0, _LID_LIFT]
        closed = control[upper] + 0.85 * gap + bulge
        moved[upper] += (1 - opening) * (closed - control[upper])
        moved[lower] += (1 - opening) * (control[upper] + 0.87 * gap + bulge - control[lower])
        apart = (base.vertices - base.vertices[np.concatenate([upper, lower])].mean(axis=0)) / [1.5, 0.75, 2.0]
        lid = np.exp(-0.5 * (apart**2).sum(axis=1))
        rims = np.concatenate([upper, lower])
        lid[rims] = 0
        moved[:, 2] += (1 - opening) * 0.55 * _LID_LIFT * lid * (control[:, 2] < eye[2] + 1.0)
    return moved
