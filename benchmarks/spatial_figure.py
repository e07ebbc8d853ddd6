"""The panel of benchmarks.spatial: truth, the fit of single pixels and two spatial fits of one noisy scene."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from msfit.data.result import FitResult
from msfit.plot.style import COLOUR_MAPS, LABELS
from msfit.synth import Truth

CAPTION = (
    "A stand-in: a synthetic face clothed in measured skin (ISSA, CC BY 4.0), noise added. No person was photographed."
)


def draw(truth: Truth, alone: FitResult, best: FitResult, strong: FitResult, noise: float) -> Figure:
    """Melanin and haemoglobin, a row each; at the right the objective of both spatial fits, iteration by iteration."""
    rows, columns = (np.flatnonzero(truth.mask.any(axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    figure = Figure(figsize=(15, 6.6), layout="constrained")
    grid = figure.add_gridspec(2, 5, width_ratios=(1, 1, 1, 1, 1.1))
    for row, name in enumerate(("f_mel", "f_blood")):
        true_values = np.where(truth.mask, getattr(truth, name), np.nan)
        top = float(np.nanquantile(true_values, 0.995))
        columns_shown = {
            "truth": true_values,
            f"each pixel alone, noise {noise:g}": getattr(alone, name),
            f"tv {best.attrs['tv']:g}": getattr(best, name),
            f"tv {strong.attrs['tv']:g}": getattr(strong, name),
        }
        for column, (title, values) in enumerate(columns_shown.items()):
            axes = figure.add_subplot(grid[row, column])
            shown = axes.imshow(values[part], cmap=COLOUR_MAPS[name], vmin=0, vmax=top, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            error = float(np.sqrt(np.nanmean((values - true_values)[truth.mask] ** 2)))
            axes.set_title(title if column == 0 else f"{title}\nRMSE {error:.2g}", fontsize=10)
        figure.colorbar(shown, ax=axes, label=LABELS[name], shrink=0.9)
    axes = figure.add_subplot(grid[:, 4])
    for result, colour in ((best, "#d1495b"), (strong, "#30638e")):
        history = np.asarray(result.attrs["objective"])
        axes.semilogy(np.maximum(history / history[-1] - 1, 1e-7), color=colour, label=f"tv {result.attrs['tv']:g}")
    axes.set_xlabel("iteration")
    axes.set_title("objective over its last value, minus 1", fontsize=10)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(CAPTION, fontsize=8, color="#6b7280")
    return figure
