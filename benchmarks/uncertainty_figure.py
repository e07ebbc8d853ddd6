"""The figure of docs/uncertainty.md, from results/uncertainty.json, which `python -m benchmarks.uncertainty` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.uncertainty import MARGIN, NAMES, SIGMAS, share_of_box, upper
from msfit.plot.spectra import ACCENTS
from msfit.plot.style import INK, LABELS, QUIET, caption, head, new_figure, tidy
from msfit.skin.models import DEFAULT_MODEL

_HERE = Path(__file__).parent
FIGURE = _HERE.parent / "docs" / "images" / "uncertainty.png"
_MARKS = {0.002: "o", 0.01: "s"}


def draw(figures: dict[str, Any]) -> Figure:
    """Margins over the box, variances and coverage at the points, and intervals near a bound."""
    figure = new_figure(12.5, 7.6)
    head(
        figure,
        "How far std can be trusted",
        f"{figures['draws']:,} noisy spectra a point, 31 bands of 400-700 nm, both models, noise 0.002 and 0.01",
    )
    axes = figure.subplots(2, 3)
    for panel, sigma in zip(axes[:, 0], SIGMAS, strict=True):
        _draw_margins(figure, panel, sigma)
    _draw_points(axes[0, 1], figures, "variance_over_bound", "variance / Cramer-Rao bound", (1.1,))
    caption(axes[0, 1], "Variance", "dashed: 1.10")
    for panel, name, title in (
        (axes[0, 2], "coverage_noise_given", "Coverage, noise given"),
        (axes[1, 2], "coverage_noise_estimated", "Coverage, noise estimated"),
    ):
        _draw_points(panel, figures, name, "truth within one std", (0.66, 0.70))
        caption(panel, title)
        panel.set_ylim(0.64, 0.72)
    _draw_near(axes[1, 1], figures)
    return figure


def _draw_margins(figure: Figure, axes: Axes, sigma: float) -> None:
    share, margin_map = share_of_box(DEFAULT_MODEL, sigma)
    top = upper(DEFAULT_MODEL)
    image = axes.imshow(
        margin_map,
        origin="lower",
        aspect="auto",
        extent=(0, top[1], 0, top[0]),
        vmin=0,
        vmax=4 * MARGIN,
        cmap="viridis",
    )
    centres = [(np.arange(len(margin_map)) + 0.5) / len(margin_map) * end for end in (top[1], top[0])]
    axes.contour(*centres, margin_map, levels=[MARGIN], colors="white", linewidths=1.6)
    bar = figure.colorbar(image, ax=axes, extend="max")
    bar.set_label("sigmas to the nearest bound", size=8.5, color=INK)
    bar.ax.tick_params(labelsize=8)
    tidy(axes, LABELS["f_blood"], LABELS["f_mel"])
    axes.grid(False)
    caption(axes, f"Noise {sigma:g}", f"five sigmas or more: {100 * share:.0f} % of the box")


def _draw_points(axes: Axes, figures: dict[str, Any], key: str, label: str, limits: tuple[float, ...]) -> None:
    for index, name in enumerate(NAMES):
        for sigma in SIGMAS:
            rows = [row for row in figures["points"] if row["sigma"] == sigma]
            axes.plot(
                [row["margin"] for row in rows],
                [row[key][index] for row in rows],
                _MARKS[sigma],
                color=ACCENTS[name],
                markersize=5,
                markerfacecolor="none" if sigma == SIGMAS[1] else None,
                label=f"{name}, noise {sigma:g}",
            )
    for limit in limits:
        axes.axhline(limit, color=QUIET, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    tidy(axes, "sigmas to the nearest bound", label)
    if key == "variance_over_bound":
        axes.legend(fontsize=6.5, ncols=2, frameon=False, loc="lower right")
        axes.set_ylim(0.85, 1.2)


def _draw_near(axes: Axes, figures: dict[str, Any]) -> None:
    rows = figures["near_bound"]
    distance = [row["distance_in_sigmas"] for row in rows]
    for key, colour, label in (
        ("coverage_std", ACCENTS["f_blood"], "one std, cut at the bound"),
        ("coverage_profile", ACCENTS["i_s"], "profile likelihood"),
    ):
        axes.plot(distance, [row[key] for row in rows], "o-", color=colour, markersize=4, label=label)
    axes.axhline(0.6827, color=QUIET, linestyle="--", linewidth=1)
    tidy(axes, "true f_blood, in sigmas from its lower bound", "truth within the interval")
    axes.legend(fontsize=7.5, frameon=False)
    caption(axes, "Near a bound", f"noise {rows[0]['sigma']:g}")


if __name__ == "__main__":
    draw(json.loads((_HERE / "results" / "uncertainty.json").read_text(encoding="utf-8"))).savefig(FIGURE, dpi=110)
