"""One head seen from where one likes, with its landmarks, and its photographs in sRGB."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msfit.synth.appearance import Surface as Dressed
from msfit.synth.appearance import random_surface, texture_sheets
from msfit.synth.appearance import surface as dress
from msfit.synth.buffers import CAMERA_DISTANCE, TURNED_ABOUT, Buffers, Pose, trace
from msfit.synth.light import Light
from msfit.synth.mesh import template
from msfit.synth.people import Subject
from msfit.synth.sampling import reference_weights
from msfit.synth.scene import coat, shading
from msfit.synth.shape import random_shape, rotation
from msfit.synth.spectra import random_palette
from msfit.synth.texture import random_texture

# Half the height of the picture at the head, and what its middle shows [cm].
_HALF_HEIGHT, _CENTRE = 12.4, (0.0, -0.4)
_EYES_OPEN = 1.0


class SeenHead(NamedTuple):
    """A head as a camera sees it."""

    buffers: Buffers
    dressed: Dressed
    spectra: np.ndarray
    """(n, band): reflectance of what is seen."""
    landmarks: np.ndarray
    """float64 (468, 2): vertices of the canonical face in the picture [pixels], hidden ones too."""


def see_head(
    seed: tuple[int, ...],
    paint: tuple[int, ...],
    person: Subject,
    size: int,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    count: int = 128,
) -> SeenHead:
    """A head that looks to the right of the picture by `yaw` and upwards by `pitch` [degrees], of any size.

    Parameters
    ----------
    seed, paint : tuples of int
        Seeds of shape and hair, and of colours.
    person : Subject
        Whose skin it wears.
    size : int
        Height and width [pixels].
    count : int
        Shadow directions.
    """
    pose = Pose(np.radians(yaw), np.radians(-pitch), 0.0, _HALF_HEIGHT, _CENTRE)
    buffers = trace(np.random.default_rng(seed), size, pose, eyes_open=_EYES_OPEN, count=count)
    rng = np.random.default_rng(paint)
    palette = random_palette(rng, person.ita)
    texture = random_texture(rng, round(1.5 * size), person.ita, beard=not buffers.long_hair)
    dressed = dress(buffers, texture_sheets(texture), palette, random_surface(rng))
    spectra, _ = coat(dressed, person, palette.brow, "measured", "alotaibi-smith-2019")
    points = (head_landmarks(seed) - TURNED_ABOUT) @ rotation(pose.yaw, pose.pitch, pose.roll).T
    points = points + TURNED_ABOUT - [*_CENTRE, 0]
    near = CAMERA_DISTANCE / (CAMERA_DISTANCE - points[:, 2:])
    landmarks = size / 2 + size / 2 / _HALF_HEIGHT * near * points[:, :2] * [1, -1]
    return SeenHead(buffers, dressed, spectra, landmarks)


def head_landmarks(seed: tuple[int, ...]) -> np.ndarray:
    """Vertices of the canonical face on the head of a seed: (468, 3) [cm]."""
    shape = random_shape(np.random.default_rng(seed), eyes_open=_EYES_OPEN)
    return np.asarray((template().refine @ shape.control)[:468])


def photographed(head: SeenHead, light: Light, *, exposure: float = 0.9, background: float = 0.25) -> np.ndarray:
    """The head under a light before a grey wall (linear sRGB `background`), as uint8 sRGB (y, x, 3)."""
    size, weights = head.buffers.size, reference_weights()
    i_d, i_s = shading(head.buffers, head.dressed, light)
    linear = np.full((size * size, 3), background)
    colours = i_d[:, None] * (head.spectra @ weights) + i_s[:, None] * weights.sum(axis=0)
    linear[head.buffers.pixel] = exposure * colours
    clipped = np.clip(linear, 0, 1)
    srgb = np.where(clipped > 0.0031308, 1.055 * clipped ** (1 / 2.4) - 0.055, 12.92 * clipped)
    return np.rint(255 * srgb).astype(np.uint8).reshape(size, size, 3)
