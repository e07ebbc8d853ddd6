"""The panel of a list of spectra: how parameters and residuals are distributed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from msfit.data.result import FitResult
from msfit.plot.fits import pixel_fit, pixel_of_rmse
from msfit.plot.residuals import draw_residuals, spread
from msfit.plot.style import (
    INK,
    LABELS,
    QUIET,
    TITLES,
    caption,
    head,
    heading,
    new_figure,
    robust_range,
    tidy,
    varying_extras,
)

ACCENTS = {"f_mel": "#8b5331", "f_blood": "#b32730", "i_d": "#6b7280", "i_s": "#2c6499", "rmse": "#3b7a6b"}
# Spectra that are shown with their fits, by the percentile of their RMSE.
_SHOWN = ((5, "#3b7a6b"), (50, "#2c6499"), (95, "#8b5331"))


def spectra_panel(result: FitResult, ranges: Mapping[str, tuple[float, float]]) -> Figure:
    """The panel of a list of spectra, see `msfit.plot.panel`."""
    others = varying_extras(result)
    figure = new_figure(14.0 + 4.0 * bool(others), 7.6)
    head(figure, *heading(result))
    grid = figure.add_gridspec(2, 4 if others else 3)
    for row, name in enumerate(others):
        draw_histogram(figure.add_subplot(grid[:, 3].subgridspec(len(others), 1)[row]), result, name, ranges.get(name))
    _draw_pigments(figure.add_subplot(grid[0, 0]), result)
    for names, column in ((("f_mel", "f_blood"), 1), (("i_d", "i_s"), 2)):
        pair = grid[0, column].subgridspec(2, 1)
        for row, name in enumerate(names):
            draw_histogram(figure.add_subplot(pair[row]), result, name, ranges.get(name))
    draw_histogram(figure.add_subplot(grid[1, 0]), result, "rmse", ranges.get("rmse"))
    _draw_fits(figure.add_subplot(grid[1, 1]), result)
    draw_residuals(figure.add_subplot(grid[1, 2]), result)
    return figure


def draw_histogram(axes: Axes, result: FitResult, name: str, limits: tuple[float, float] | None = None) -> None:
    """Distribution of a parameter, its median and the 5th and 95th percentile marked."""
    values = result.map(name)
    values = values[np.isfinite(values)]
    tidy(axes, LABELS.get(name, name), "spectra")
    if values.size == 0:
        caption(axes, TITLES.get(name, name.capitalize()), "nothing fitted")
        return
    low, middle, high = np.percentile(values, (5, 50, 95))
    edges = np.linspace(*(limits or robust_range(values, 0.2, 99.8)), int(np.clip(np.sqrt(values.size), 8, 60)) + 1)
    # what lies beyond the axis is counted in its outermost bars
    axes.hist(np.clip(values, edges[0], edges[-1]), edges.tolist(), color=ACCENTS.get(name, QUIET), alpha=0.85)
    axes.axvline(middle, color=INK, linewidth=1.2)
    for edge in (low, high):
        axes.axvline(edge, color=INK, linewidth=0.8, linestyle=":")
    caption(axes, TITLES.get(name, name.capitalize()), f"median {middle:.3g}, 5 to 95 %: {low:.3g} to {high:.3g}")


def _draw_pigments(axes: Axes, result: FitResult) -> None:
    known = spread(np.isfinite(result.f_mel))
    size = float(np.clip(3000 / max(known.size, 1), 3, 30))
    alpha = float(np.clip(2000 / max(known.size, 1), 0.1, 0.6))
    points: dict[str, Any] = {"s": size, "alpha": alpha, "linewidths": 0, "color": ACCENTS["f_mel"]}
    axes.scatter(result.f_blood[known], result.f_mel[known], **points, rasterized=True)
    (low_x, high_x), (low_y, high_y) = result.bounds["f_blood"], result.bounds["f_mel"]
    box = Rectangle((low_x, low_y), high_x - low_x, high_y - low_y, fill=False, edgecolor=QUIET, linestyle="--")
    axes.add_patch(box)
    tidy(axes, LABELS["f_blood"], LABELS["f_mel"])
    margin_x, margin_y = 0.04 * (high_x - low_x), 0.04 * (high_y - low_y)
    axes.set_xlim(low_x - margin_x, high_x + margin_x)
    top = robust_range(result.f_mel, 0, 100)[1]
    axes.set_ylim(low_y - margin_y, min(high_y, max(1.15 * top, low_y)) + margin_y)
    caption(axes, "Melanin and blood", "dashed: the bounds")


def _draw_fits(axes: Axes, result: FitResult) -> None:
    tidy(axes, "wavelength [nm]", "reflectance [1]")
    shown = set()
    for percent, colour in _SHOWN:
        index = pixel_of_rmse(result, percent)
        fit = None if index is None or index in shown else pixel_fit(result, index)
        if index is None or fit is None:
            continue
        shown.add(index)
        label = f"RMSE {result.rmse[index]:.4f} ({percent} % are lower)"
        axes.plot(fit.wavelengths, fit.fitted, color=colour, linewidth=1.5, label=label)
        if fit.measured is not None:
            axes.plot(fit.wavelengths, fit.measured, "o", color=colour, markersize=3, markerfacecolor="none")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7.5, frameon=False)
    caption(axes, "Spectra (circles) and fits (lines)")
