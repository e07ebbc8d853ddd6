"""The figure of a design of channels: what each further channel buys, and which."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from msfit.metrics.design import ChannelDesign
from msfit.plot.spectra import ACCENTS
from msfit.plot.style import INK, QUIET, TITLES, caption, head, new_figure, tidy

_FEWEST_ROWS, _ROW_HEIGHT = 4, 0.42  # of the figure [inch]


def design_panel(design: ChannelDesign) -> Figure:
    """Errors by the number of channels at the left, the responses of the best set of each size at the right."""
    size = len(design.sets)
    figure = new_figure(11.0, 2.0 + _ROW_HEIGHT * max(size, _FEWEST_ROWS))
    held = f"; {', '.join(design.hold)} held" if design.hold else ""
    head(
        figure,
        f"{size} channel{'s' if size > 1 else ''} for melanin and blood",
        f"{design.model}; noise {design.noise:g} of white a channel{held}; mean over persons of the skin archive",
    )
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    _draw_errors(left, design)
    _draw_sets(right, design)
    return figure


def _draw_errors(axes: Axes, design: ChannelDesign) -> None:
    numbers = np.arange(len(design.error) + 1)
    for k, name in enumerate(("f_mel", "f_blood")):
        share = np.r_[1.0, design.error[:, k] / design.spread[k]]
        label = f"{TITLES[name]}, now {design.error[-1, k]:.2g}, without {design.spread[k]:.2g}"
        axes.plot(numbers, share, "o-", color=ACCENTS[name], markersize=4, linewidth=1.5, label=label)
    tidy(axes, "channels", "standard error over the spread of skin [1]")
    axes.set_ylim(0, 1.05)
    axes.set_xticks(numbers[:: 1 + len(numbers) // 16])
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    caption(axes, "What each further channel buys")


def _draw_sets(axes: Axes, design: ChannelDesign) -> None:
    for row, channels in enumerate(design.sets, 1):
        axes.axhline(row, color="#eceef1", linewidth=0.8, zorder=0)
        for response, centre in zip(channels.responses, channels.centres, strict=True):
            shown = response > 1e-3 * response.max()
            height = row - 0.8 * response / response.max()
            axes.fill_between(
                channels.wavelengths[shown], row, height[shown], color=_hue(centre), alpha=0.75, linewidth=0
            )
            if len(design.sets) <= 12:
                axes.text(centre, row - 0.03, f"{centre:.0f}", ha="center", va="bottom", size=6, color=INK)
    tidy(axes, "wavelength [nm]", "channels")
    axes.grid(False)
    axes.set_ylim(len(design.sets) + 0.15, 0)
    axes.set_yticks(range(1, len(design.sets) + 1, 1 + len(design.sets) // 16))
    caption(axes, "Which", "responses, each to its peak; centres in nm")


def _hue(nm: float) -> tuple[float, float, float]:
    """About the colour of a wavelength, grey where none is seen."""
    stops = [400, 440, 480, 510, 545, 580, 600, 640, 700]
    colours = ["#6a3d9a", "#3451c6", "#2a8fc7", "#2fa56b", "#6cb33f", "#d9b310", "#e8872b", "#d1452f", "#8f1d1d"]
    if not stops[0] - 20 <= nm <= stops[-1] + 40:
        return to_rgb(QUIET)
    mixed = [float(np.interp(nm, stops, channel)) for channel in np.array([to_rgb(c) for c in colours]).T]
    return mixed[0], mixed[1], mixed[2]
