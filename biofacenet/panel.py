"""The panel of a photograph: the picture, what it is made of, and what is left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biofacenet.result import FaceResult
from msfit.plot.maps import draw_map
from msfit.plot.style import caption, checked_ranges, head, new_figure
from msfit.rendering import to_display

_COLUMN = 3.3  # inch


def face_panel(result: FaceResult, ranges: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """The panel of a photograph, see `FaceResult.plot`."""
    limits = checked_ranges(result, ranges or {})
    rows, columns = result.shape
    height = float(np.clip(_COLUMN * rows / columns, 2.0, 5.0))
    figure = new_figure(4.2 * _COLUMN, 2 * (height + 0.95) + 0.9)
    name = Path(str(result.attrs.get("source") or "Photograph")).name
    how = f"{result.attrs.get('network', 'network')}; skin model {result.model}; estimates, not measurements"
    head(figure, name, how, result.summary())
    grid = figure.add_gridspec(2, 4)
    pictures = (
        ("Photograph", result.picture, ""),
        ("Reconstruction", result.reconstruction, "light and camera found"),
        ("Albedo", result.albedo, "under D65"),
    )
    for column, (title, linear, note) in enumerate(pictures):
        _draw_picture(figure.add_subplot(grid[0, column]), title, linear, note, result)
    for name, row, column in (("rmse", 0, 3), ("f_mel", 1, 0), ("f_blood", 1, 1), ("i_d", 1, 2), ("i_s", 1, 3)):
        draw_map(figure, figure.add_subplot(grid[row, column]), result, name, limits=limits.get(name))
    return figure


def _draw_picture(axes: Axes, title: str, linear: np.ndarray | None, note: str, result: FaceResult) -> None:
    caption(axes, title, note)
    if linear is not None:
        shown = to_display(linear)
        if title != "Photograph":
            shown[~result.fitted] = 0.8
        axes.imshow(shown, interpolation="nearest")
    axes.set_anchor("N")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
