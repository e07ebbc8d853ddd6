"""Pairs of a turned face and its front view: a user's folder, loaded as it is needed, and rendered heads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from biofacenet.turning.crop import cut
from msfit.errors import InputError
from msfit.io.output import written_whole
from msfit.synth.heads import photographed, see_head
from msfit.synth.light import random_light
from msfit.synth.people import wearable

TURNED, FRONT = "turned", "front"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# How far rendered heads are turned [degrees].
_YAW, _PITCH = 80.0, 15.0
_DIRECTIONS = 64
# Turned pictures of a head, and lights in which it is seen.
_TURNS, _LIGHTS = 3, 2


class Pairs:
    """Pairs of a folder: `turned/` and `front/` hold pictures of the same names, crops that show a face alike.

    Names alone are held in memory; pictures are read when a batch asks for them.

    Parameters
    ----------
    folder : str or Path
    size : int
        Height and width of a batch's pictures [pixels]; others are resized.

    Raises
    ------
    InputError
        No such folders; a name without its other half; no pairs.
    """

    def __init__(self, folder: str | Path, size: int) -> None:
        self.folder, self.size = Path(folder), size
        names = {side: set(_names(self.folder / side)) for side in (TURNED, FRONT)}
        for side, other in ((TURNED, FRONT), (FRONT, TURNED)):
            alone = sorted(names[side] - names[other])
            if alone:
                raise InputError(f"{self.folder / side / alone[0]}: has no picture of that name in {other}/")
        if not names[TURNED]:
            raise InputError(
                f"{self.folder}: holds no pairs; expected pictures of the same names in turned/ and front/"
            )
        self.names = sorted(names[TURNED])

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: list[int]) -> np.ndarray:
        """Turned and front pictures: float32 (2, n, 3, y, x) in [0, 1]."""
        jobs = [self.folder / side / self.names[index] for side in (TURNED, FRONT) for index in indices]
        with ThreadPoolExecutor(4) as threads:
            made = np.stack(list(threads.map(self._read, jobs)))
        return made.reshape(2, len(indices), *made.shape[1:])

    def _read(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
                if picture.size != (self.size, self.size):
                    picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
                return np.moveaxis(np.asarray(picture, np.float32) / 255, 2, 0)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: cannot be read as a picture ({type(error).__name__})") from None


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.name.lower().endswith(_PICTURES))
    except OSError:
        raise InputError(
            f"{folder}: no such folder; expected turned/ and front/ with pictures of the same names"
        ) from None


def render_pairs(folder: Path, first: int, heads: int, size: int, seed: int, split: str = "train") -> None:
    """Render heads `first` to `first + heads` of a split from the front and turned, into a folder as of `Pairs`.

    Heads whose last picture is there are left as they are: a run that was stopped goes on.
    """
    for side in (TURNED, FRONT):
        (folder / side).mkdir(parents=True, exist_ok=True)
    people = wearable(split)
    for number in range(first, first + heads):
        last = folder / FRONT / f"{number:06d}-{_TURNS - 1}-{_LIGHTS - 1}.png"
        if last.exists():
            continue
        rng = np.random.default_rng((seed, number))
        person = people[int(rng.integers(len(people)))]
        turns = [(float(rng.uniform(-_YAW, _YAW)), float(rng.uniform(-_PITCH, _PITCH))) for _ in range(_TURNS)]
        lights = [random_light(rng, _DIRECTIONS) for _ in range(_LIGHTS)]
        grey = float(rng.uniform(0.02, 0.8))
        crops = []
        for yaw, pitch in [(0.0, 0.0), *turns]:
            stream = (seed, number)
            seen = see_head(
                (*stream, 1), (*stream, 2), person, round(1.3 * size), yaw=yaw, pitch=pitch, count=_DIRECTIONS
            )
            shown = [photographed(seen, one, exposure=0.8 / one.level, background=grey) for one in lights]
            crops.append([np.rint(cut(one, seen.landmarks, size)).astype(np.uint8) for one in shown])
        for turn in range(_TURNS):
            for light in range(_LIGHTS):
                # the front view last, so that a pair is whole or not there
                for side, crop in ((TURNED, crops[1 + turn][light]), (FRONT, crops[0][light])):
                    with written_whole(folder / side / f"{number:06d}-{turn}-{light}.png") as part:
                        Image.fromarray(crop).save(part, "png")
