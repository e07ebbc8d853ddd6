"""Heads of msfit.synth from the front and turned, under named lights, with what is true of them: for `frontal`."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation

from biofacenet.surface.completion import Known
from msfit.synth.buffers import FACE, directions, solid_angle
from msfit.synth.heads import photographed, see_head
from msfit.synth.light import Light
from msfit.synth.people import Subject, wearable
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.truth import fitted_pigments

SIZE = 256
_DIRECTIONS = 128


class Head(NamedTuple):
    """A head: its number and whose skin it wears."""

    number: int
    person: Subject


class Picture(NamedTuple):
    """A rendered head."""

    rgb: np.ndarray
    """uint8 sRGB (y, x, 3)."""
    pixel: np.ndarray
    """int (n,): pixels of the face, of the flattened picture."""
    uv: np.ndarray
    """float64 (n, 2): which places of the canonical face they show."""
    pigments: dict[str, np.ndarray]
    """f_mel and f_blood of these pixels (n,)."""
    landmarks: np.ndarray
    """float64 (468, 2) [pixels]."""


def lights() -> dict[str, Light]:
    """Frontal, from the side, overcast: radiance on the traced directions."""
    ways = directions(_DIRECTIONS).astype(np.float64)

    def lamp(azimuth: float, elevation: float, width: float) -> np.ndarray:
        a, e = np.radians((azimuth, elevation))
        lobe = np.exp((ways @ [np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)] - 1) / (1 - np.cos(width)))
        return np.asarray(lobe / lobe.sum())

    dome = np.ones(_DIRECTIONS) / _DIRECTIONS
    sky = np.clip(0.3 + ways[:, 1], 0.1, None)
    made = {
        "frontal": lamp(0, 15, 0.35) + 0.25 * dome,
        "side": lamp(-65, 20, 0.3) + 0.25 * dome,
        "overcast": sky / sky.sum(),
    }
    return {name: _levelled(total, ways) for name, total in made.items()}


def _levelled(total: np.ndarray, ways: np.ndarray) -> Light:
    white = np.clip(ways @ ways.T, 0, None) @ total * solid_angle(_DIRECTIONS) / np.pi
    return Light((total / white.max()).astype(np.float32), 1.0)


def make_heads(count: int, split: str = "test") -> list[Head]:
    """Heads of a split, alike in every class of skin tone."""
    people = sorted(wearable(split), key=lambda one: one.ita)
    chosen = [people[int(k)] for k in np.linspace(0, len(people) - 1, count).round()]
    return [Head(number, person) for number, person in enumerate(chosen)]


def pictures(
    head: Head, yaw: float, pitch: float, names: list[str], skin: str, folder: Path | None = None
) -> dict[str, Picture]:
    """`photograph`, kept in a folder for the next time."""
    if folder is None:
        return photograph(head, yaw, pitch, names, skin)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"head{head.number}{yaw:+g}{pitch:+g}-{'-'.join(names)}.pickle"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(photograph(head, yaw, pitch, names, skin)))
        part.replace(path)
    found: dict[str, Picture] = pickle.loads(path.read_bytes())
    return found


def photograph(head: Head, yaw: float, pitch: float, names: list[str], skin: str) -> dict[str, Picture]:
    """The head under several lights, turned as given [degrees]; pigments in terms of the skin model `skin`."""
    seen = see_head((18, head.number), (19, head.number), head.person, SIZE, yaw=yaw, pitch=pitch, count=_DIRECTIONS)
    own = seen.buffers.region == FACE
    truth = fitted_pigments(seen.spectra[own].astype(np.float32), WAVELENGTHS, skin, "float32")
    pigments = {name: truth[name] for name in ("f_mel", "f_blood")}
    pixel, uv = seen.buffers.pixel[own], seen.buffers.uv[own].astype(np.float64)
    return {name: Picture(photographed(seen, lights()[name]), pixel, uv, pigments, seen.landmarks) for name in names}


def known_classes(front: Picture, turned: Picture) -> np.ndarray:
    """Which pixels of the true front view the turned picture shows: uint8 (y, x) of `Known`."""
    cells = 160
    sheet = np.zeros((cells, cells), bool)
    column, row = (turned.uv * cells).astype(int).clip(0, cells - 1).T
    sheet[row, column] = True
    sheet = binary_dilation(sheet)
    column, row = (front.uv * cells).astype(int).clip(0, cells - 1).T
    state = np.where(
        sheet[row, column], Known.SEEN, np.where(sheet[row, cells - 1 - column], Known.MIRRORED, Known.FILLED)
    )
    classes = np.zeros(SIZE * SIZE, np.uint8)
    classes[front.pixel] = state
    return classes.reshape(SIZE, SIZE)
