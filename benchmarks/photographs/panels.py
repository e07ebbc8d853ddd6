"""Panels for looking at: the maps of every method under each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.photographs.folder import display
from benchmarks.photographs.methods import Maps

_SCALES = {"f_mel": (0.0, 0.35), "f_blood": (0.0, 0.07), "i_d": (0.0, 2.0), "gloss": (0.0, 0.4)}


def draw(title: str, found: Mapping[str, Maps], path: Path) -> None:
    """Picture, reconstruction, albedo and maps, a row a method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 2.7 * len(found)), layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = np.atleast_2d(figure.subplots(len(found), 7))
    for row, (name, maps) in zip(axes, found.items(), strict=True):
        pictures = {"picture": maps.picture, "reconstruction": maps.reconstruction, "albedo": maps.albedo}
        for axis, (what, values) in zip(row, pictures.items(), strict=False):
            shown = display(np.nan_to_num(values))
            if what != "picture":
                shown[~maps.fitted] = 230
            axis.imshow(shown)
            axis.set_title(f"{name}: {what}", fontsize=8)
        for axis, (what, (low, high)) in zip(row[3:], _SCALES.items(), strict=True):
            axis.imshow(getattr(maps, what), vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(f"{what} {low:g}-{high:g}, median {maps.level(what):.3f}", fontsize=8)
        for axis in row:
            axis.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
