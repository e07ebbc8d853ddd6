"""How sure each number of a picture's fit is: relative standard deviations, and where two parameters trade."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from msfit.data.result import FitResult, Status
from msfit.errors import InputError
from msfit.plot.style import INK, MASKED, caption, head, heading, new_figure, robust_range, title_of

_WIDTH = 3.3  # of a map [inch]
# Colours of Okabe and Ito, which the colour-blind tell apart.
_PAIRS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00")


def uncertainty_panel(result: FitResult) -> Figure:
    """Maps of the standard deviations, of the strongest correlation, and of the pair of parameters whose it is.

    Parameters
    ----------
    result : FitResult
        Of a picture, fitted with std=True.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot: nothing to close, any backend, ``figure.savefig(path)``.

    Raises
    ------
    InputError
        A list of spectra; a result without standard deviations.
    """
    if len(result.shape) != 2:
        raise InputError("result: found a list of spectra; expected a picture")
    if result.std is None or result.correlation is None:
        raise InputError("result: found no standard deviations; fit with std=True (msfit fit --std)")
    rows, columns = result.shape
    wide = 1 + -(-len(result.std) // 2)
    figure = new_figure(wide * _WIDTH + 0.4, 2 * (float(np.clip(_WIDTH * rows / columns, 2.0, 5.0)) + 1.3) + 0.9)
    head(figure, *heading(result))
    axes = figure.subplots(2, wide, squeeze=False)
    for place in axes[:, :-1].ravel()[len(result.std) :]:
        place.set_axis_off()
    inside = result.status == Status.CONVERGED
    columns = -(-len(result.std) // 2)
    for place, (name, std) in zip(axes[:, :columns].T.ravel(), result.std.items(), strict=False):
        caption(
            place,
            title_of(f"std_{name}"),
            f"median {np.nanmedian(std):.2g}" if np.isfinite(std).any() else "not determined",
        )
        # dark pixels, where anything fits, would stretch the scale beyond use
        high = robust_range(std[inside] if inside.any() else std, high=95.0)[1]
        _draw(figure, place, std, "viridis", (0.0, high), f"std of {name} [1]")
    strongest, pair = result.strongest_correlation()
    size = np.abs(strongest)
    caption(axes[0, -1], "Strongest correlation", f"{np.nanmedian(size):.2f}" if np.isfinite(size).any() else "")
    _draw(figure, axes[0, -1], size, "magma", (0.0, 1.0), "|correlation| of two parameters [1]")
    _draw_pairs(axes[1, -1], pair, list(result.correlation))
    return figure


def _draw(
    figure: Figure, axes: Axes, values: np.ndarray, colours: str, limits: tuple[float, float], label: str
) -> None:
    image = axes.imshow(
        values,
        cmap=matplotlib.colormaps[colours].with_extremes(bad=MASKED),
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )
    extend = "max" if (values > limits[1]).any() else "neither"
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9, aspect=30, pad=0.02, extend=extend)
    bar.set_label(label, size=8.5, color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.set_anchor("N")
    axes.set_axis_off()


def _draw_pairs(axes: Axes, pair: np.ndarray, names: list[str]) -> None:
    caption(axes, "The two that trade most")
    colours = ListedColormap(_PAIRS).with_extremes(bad=MASKED)
    axes.imshow(np.where(pair >= 0, pair % len(_PAIRS), np.nan), cmap=colours, vmin=-0.5, vmax=len(_PAIRS) - 0.5)
    known = max(int((pair >= 0).sum()), 1)
    shares = [(pair == index).sum() / known for index in range(len(names))]
    handles = [
        Patch(facecolor=colour, label=f"{name.replace(',', ', ')}: {100 * share:.0f} %")
        for colour, name, share in zip(_PAIRS, names, shares, strict=False)
        if share > 0
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=7.5, frameon=False, ncols=2)
    axes.set_axis_off()
