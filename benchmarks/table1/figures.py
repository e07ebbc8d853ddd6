"""The paper's Figure 5 for a scene: picture, reconstruction, maps and albedo; truth and each method, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from msfit.metrics import Decomposition, in_unit
from msfit.plot.style import COLOUR_MAPS, MASKED, QUIET, head, new_figure
from msfit.rendering import to_display

_PICTURES = {"picture": "Picture", "albedo": "Albedo"}
_MAPS = {"i_d": "Diffuse", "i_s": "Specular", "f_mel": "Melanin", "f_blood": "Haemoglobin"}


def save_comparison(path: Path, title: str, mask: np.ndarray, rows: Mapping[str, Decomposition]) -> None:
    """Draw a scene's decompositions, one a row, on colour scales that the rows share, and write the figure.

    Parameters
    ----------
    path : Path
    title : str
    mask : bool array (y, x)
        Maps are drawn inside it.
    rows : mapping of str to Decomposition
    """
    columns = ["picture", "i_d", "i_s", "albedo", "f_mel", "f_blood"]
    figure = new_figure(2.0 * len(columns) + 0.9, 2.05 * len(rows) + 0.8)
    head(
        figure,
        title,
        "Pigments in the unit of the network's heads. A column has one scale; grey: outside the face, or not given.",
    )
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    limits = {name: _limits(name, mask, rows) for name in _MAPS}
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title({**_PICTURES, **_MAPS}[name], size=10)
    for line, (method, maps) in zip(axes, rows.items(), strict=True):
        for axis, name in zip(line, columns, strict=True):
            _draw(axis, name, getattr(maps, name), mask, limits)
        line[0].set_ylabel(method, size=9)
    for column, name in enumerate(columns):
        scale = next((axis.images[0] for axis in axes[:, column] if axis.images), None)
        if name in limits and scale is not None:
            figure.colorbar(
                scale, ax=axes[:, column], orientation="horizontal", fraction=0.03, pad=0.01
            ).ax.tick_params(labelsize=7, colors=QUIET)
    FigureCanvasAgg(figure)
    figure.savefig(path)


def _draw(
    axis: Axes, name: str, values: np.ndarray | None, mask: np.ndarray, limits: Mapping[str, tuple[float, float]]
) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if values is None:
        axis.set_facecolor(MASKED)
    elif name in _PICTURES:
        shown = to_display(np.asarray(values, np.float64))
        axis.imshow(shown if name == "picture" else np.where(mask[..., None], shown, to_rgb(MASKED)))
    else:
        low, high = limits[name]
        inside = np.where(mask, _unit(name, values), np.nan)
        axis.imshow(inside, cmap=COLOUR_MAPS[name], vmin=low, vmax=high, interpolation="nearest")


def _limits(name: str, mask: np.ndarray, rows: Mapping[str, Decomposition]) -> tuple[float, float]:
    """From the first row that has the map, which is the truth or the fit: methods do not set the scale."""
    known = next(values for maps in rows.values() if (values := getattr(maps, name)) is not None)
    low, high = np.nanquantile(_unit(name, known)[mask], [0.01, 0.99])
    return (0.0 if name in ("i_d", "i_s") else float(low)), float(high)


def _unit(name: str, values: np.ndarray) -> np.ndarray:
    return np.asarray(in_unit(name, values, "heads") if name in ("f_mel", "f_blood") else values)
