"""Contact sheets of scenes with known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from msfit.io.output import written_whole
from msfit.rendering import to_display
from msfit.synth import Truth

CAPTION = (
    "Stand-ins: synthetic faces clothed in measured skin (ISSA, CC BY 4.0), under D65. No person was photographed."
)


def contact_sheet(truths: list[Truth], side: int = 160) -> np.ndarray:
    """The stand-ins under D65, five by five, uint8 (y, x, 3)."""
    pictures = [_resized(_picture(truth), side) for truth in truths]
    return _captioned(np.concatenate([np.concatenate(pictures[row : row + 5], axis=1) for row in range(0, 25, 5)]))


def map_sheet(truths: list[Truth], side: int = 96, count: int = 10) -> np.ndarray:
    """Picture, albedo, i_d, i_s, f_mel, f_blood and normals of some stand-ins, one a column, uint8 (y, x, 3)."""
    columns = []
    for truth in truths[:count]:
        shown = truth.mask[..., None]
        tiles = [
            _picture(truth),
            to_display(truth.albedo * shown),
            *(_grey(values, high, truth.mask) for values, high in ((truth.i_d, 1.6), (truth.i_s, 0.15))),
            *(_grey(values, high, truth.mask) for values, high in ((truth.f_mel, 0.43), (truth.f_blood, 0.03))),
            np.nan_to_num(truth.normals / 2 + 0.5) * shown,
        ]
        columns.append(np.concatenate([_resized(tile, side) for tile in tiles]))
    return _captioned(np.concatenate(columns, axis=1))


def _captioned(image: np.ndarray) -> np.ndarray:
    strip = Image.new("RGB", (image.shape[1], 22), "white")
    ImageDraw.Draw(strip).text((6, 4), CAPTION, fill="black", font_size=13)
    return np.concatenate([image, np.asarray(strip)])


def _picture(truth: Truth) -> np.ndarray:
    shaded = truth.i_d[..., None] * truth.albedo + truth.i_s[..., None]
    return to_display(shaded)


def _grey(values: np.ndarray, high: float, mask: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.where(mask, values, 0) / high, 0, 1)[..., None], 3, axis=-1)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    whole = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(whole.resize((side, side), Image.Resampling.LANCZOS))


def save(path: Path, image: np.ndarray) -> None:
    """Write a picture, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        Image.fromarray(image).save(part, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
