"""Photographs of a folder: what is known of who they show, and light that was measured apart."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from biofacenet.photo.reading import read_photo
from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.errors import InputError
from msfit.synth.people import ITA_CLASSES

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
LABELS = "labels.csv"
#: Of faces whose light was measured apart by polarisation: NAME + each.
APART = ("_diffuse.png", "_specular.png", "_mask.png")
TONES = tuple(ITA_CLASSES)


@dataclass(frozen=True, eq=False)
class Picture:
    """A photograph.

    Attributes
    ----------
    name : str
        The file's.
    rgb : uint8 array (y, x, 3)
        sRGB.
    person, tone : str
        Empty where nobody has said; `tone` is one of `TONES`.
    """

    name: str
    rgb: np.ndarray
    person: str = ""
    tone: str = ""


@dataclass(frozen=True, eq=False)
class Apart:
    """A face whose diffuse light and gloss were photographed apart.

    Attributes
    ----------
    name : str
    diffuse, specular : float32 array (y, x, 3)
        Linear sRGB: a photograph is ``diffuse + k specular``.
    mask : bool array (y, x)
        Skin.
    """

    name: str
    diffuse: np.ndarray
    specular: np.ndarray
    mask: np.ndarray

    def photograph(self, gloss: float) -> np.ndarray:
        """With this many times its gloss: uint8 (y, x, 3), sRGB."""
        return display(self.diffuse + np.float32(gloss) * self.specular)


def read_folder(folder: Path) -> tuple[list[Picture], list[Apart]]:
    """The photographs of a folder and, apart from them, faces whose light was measured.

    Raises
    ------
    InputError
        No folder, nothing in it, or labels that do not fit.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; expected one of photographs, with {LABELS} or without")
    stems = sorted(path.name.removesuffix(APART[0]) for path in folder.glob(f"*{APART[0]}"))
    measured = [_apart(folder, stem) for stem in stems if all((folder / f"{stem}{end}").is_file() for end in APART)]
    taken = {f"{one.name}{end}" for one in measured for end in APART}
    labels = _labels(folder / LABELS)
    pictures = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in EXTENSIONS or path.name in taken:
            continue
        rgb = read_photo(path).rgb
        known = labels.get(path.name, {})
        rgb = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
        pictures.append(Picture(path.name, rgb, known.get("person", ""), known.get("tone", "")))
    if not pictures and not measured:
        raise InputError(f"{folder}: holds no photograph ({', '.join(EXTENSIONS)})")
    return pictures, measured


def linear(rgb: np.ndarray) -> np.ndarray:
    """Linear light of uint8 sRGB (y, x, 3): float32."""
    return decode_srgb(torch.from_numpy(rgb.astype(np.float32) / 255)).numpy()


def display(light: np.ndarray) -> np.ndarray:
    """uint8 sRGB of linear light (y, x, 3), clipped."""
    shown = encode_srgb(torch.from_numpy(np.ascontiguousarray(np.clip(light, 0, 1), np.float32)))
    return np.rint(255 * shown.numpy()).astype(np.uint8)


def _apart(folder: Path, stem: str) -> Apart:
    diffuse, specular, mask = (_pixels(folder / f"{stem}{end}") for end in APART)
    return Apart(stem, linear(diffuse), linear(specular), mask[..., 0] > 127)


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _labels(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"file", "person", "tone"} <= set(rows[0]):
        raise InputError(f"{path}: expected columns file, person, tone")
    for row in rows:
        if row["tone"] not in ("", *TONES):
            raise InputError(
                f"{path}: tone of {row['file']}: found {row['tone']!r}; expected one of {', '.join(TONES)}"
            )
    return {row["file"]: row for row in rows}
