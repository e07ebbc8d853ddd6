"""The panel of a picture: RGB, four maps, RMSE, status, and one pixel's spectrum with its fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from msfit.data.result import MAPS, FitResult, Status, flagged, uncertified
from msfit.errors import InputError
from msfit.plot.fits import draw_fit, pixel_fit, pixel_of_rmse
from msfit.plot.residuals import draw_residuals
from msfit.plot.style import (
    COLOUR_MAPS,
    INK,
    MASKED,
    OTHERS,
    caption,
    head,
    heading,
    label_of,
    new_figure,
    robust_range,
    title_of,
    varying_extras,
)

# Width of a map [inch].
_COLUMN = 3.3
# A picture is drawn with no more pixels than this along its longer side.
_FINEST = 800
_BLOOD = Status.F_BLOOD_LOWER | Status.F_BLOOD_UPPER
_MELANIN = Status.F_MEL_LOWER | Status.F_MEL_UPPER
# Statuses that are shown alike, and their colours; where two apply the later is shown.
_KINDS = (
    ("inside the bounds", "#a9cfb4", lambda status: status == Status.CONVERGED),
    ("f_mel at a bound", "#8b5331", lambda status: flagged(status, _MELANIN)),
    ("f_blood at a bound", "#e07b39", lambda status: flagged(status, _BLOOD)),
    ("both at a bound", "#9c3d5c", lambda status: flagged(status, _MELANIN) & flagged(status, _BLOOD)),
    ("no diffuse light", "#f1dc8c", lambda status: flagged(status, Status.NO_DIFFUSE)),
    ("not converged", "#0072b2", lambda status: flagged(status, Status.NOT_CONVERGED)),
    ("masked", MASKED, lambda status: status >= Status.MASKED_BY_USER),
)


def maps_panel(result: FitResult, more: Mapping[str, np.ndarray], ranges: Mapping[str, tuple[float, float]]) -> Figure:
    """The panel of a picture with `more` maps, see `msfit.plot.panel`."""
    others = [*varying_extras(result), *more]
    columns = 4 + -(-len(others) // 2)
    figure = new_figure((columns + 0.2) * _COLUMN, 2 * (_row_height(result) + 0.95) + 0.9)
    head(figure, *heading(result))
    grid = figure.add_gridspec(2, columns)
    picture = figure.add_subplot(grid[0, 0])
    _draw_picture(picture, result)
    for name, row, column in (("f_mel", 0, 1), ("f_blood", 0, 2), ("i_d", 1, 1), ("i_s", 1, 2), ("rmse", 0, 3)):
        draw_map(figure, figure.add_subplot(grid[row, column]), result, name, limits=ranges.get(name))
    for number, name in enumerate(others):
        axes = figure.add_subplot(grid[number % 2, 4 + number // 2])
        draw_map(figure, axes, result, name, more.get(name), ranges.get(name))
    _draw_status(figure.add_subplot(grid[1, 3]), result)
    _draw_pixel(figure, grid[1, 0], picture, result)
    return figure


def _row_height(result: FitResult) -> float:
    rows, columns = result.shape
    return float(np.clip(_COLUMN * rows / columns, 2.0, 5.0))


def _draw_picture(axes: Axes, result: FitResult) -> None:
    rows, columns = result.shape
    image, note = _picture(_thinned(result, max(1, -(-max(rows, columns) // _FINEST))))
    # one unit of the axes is one pixel, however few of them are drawn
    axes.imshow(image, interpolation="nearest", cmap="gray", extent=(-0.5, columns - 0.5, rows - 0.5, -0.5))
    caption(axes, "Picture", note)
    _bare(axes)


def _thinned(result: FitResult, step: int) -> FitResult:
    """Every step-th row and column: enough for a figure, and quickly rendered."""
    if step == 1:
        return result
    some = (slice(None, None, step),) * 2
    f_mel, f_blood, i_d, i_s, rmse = (getattr(result, name)[some] for name in MAPS)
    cube = result.cube
    if cube is not None:
        light, dark = (part if part is None or part.ndim == 1 else part[some] for part in (cube.illuminant, cube.dark))
        mask = None if cube.mask is None else cube.mask[some]
        cube = replace(cube, values=cube.values[some], illuminant=light, dark=dark, mask=mask)
    return replace(
        result,
        f_mel=f_mel,
        f_blood=f_blood,
        i_d=i_d,
        i_s=i_s,
        rmse=rmse,
        status=result.status[some],
        cube=cube,
        extra={name: values[some] for name, values in result.extra.items()},
    )


def _picture(result: FitResult) -> tuple[np.ndarray, str]:
    """An RGB picture of the scene, bright enough to be seen, and what it is."""
    from msfit.rendering import render, to_display

    source, note = (result, "rendered from the fit") if result.cube is None else (result.cube, "measured")
    try:
        linear = render(source)
    except InputError:
        # bands that are too few or not in the visible make no colours
        grey = result.i_d + result.i_s if result.cube is None else np.nanmean(result.cube.reflectance, axis=-1)
        return np.clip(grey / robust_range(grey)[1], 0, 1), "mean of the bands"
    lost = ~np.isfinite(linear).all(axis=-1)
    brightest = robust_range(linear[result.fitted].max(axis=-1))[1]
    exposure = 1.0 if 0.4 < brightest < 1.5 else 0.9 / max(brightest, 1e-6)
    image = to_display(exposure * linear)
    image[lost] = [int(MASKED[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    brighter = "" if exposure == 1.0 else f", exposure x {exposure:.2g}"
    return image, f"{note}, under D65{brighter}"


def draw_map(
    figure: Figure,
    axes: Axes,
    result: FitResult,
    name: str,
    values: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw one map of a picture's result, with its scale below it and its median beside the title."""
    values = result.map(name) if values is None else values
    finite = values[np.isfinite(values)]
    # pixels on the edge of the box say where the bounds are, not how the pigments vary
    inside = uncertified(result.status) == Status.CONVERGED
    low, high = robust_range(values[inside] if inside.any() else values)
    if name in ("i_d", "i_s", "rmse", "gap") or name.startswith("std_"):
        low = min(0.0, low)
    if limits is not None:
        low, high = limits
    image = axes.imshow(values, cmap=COLOUR_MAPS.get(name, OTHERS), vmin=low, vmax=high, interpolation="nearest")
    below, above = bool((finite < low).any()), bool((finite > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    # fixed to the picture, wherever its shape puts its lower edge
    inch = 1 / min(_row_height(result), _COLUMN * result.shape[0] / result.shape[1])
    place = axes.inset_axes((0, -0.2 * inch, 1, 0.1 * inch))
    bar = figure.colorbar(image, cax=place, orientation="horizontal", extend=extend[below, above])
    bar.ax.xaxis.set_major_locator(MaxNLocator(5))
    bar.ax.tick_params(labelsize=8, color="#9ca3af", labelcolor=INK)
    bar.set_label(str(result.attrs.get(f"{name}_label", label_of(name))), size=8.5, color=INK)
    bar.outline.set_visible(False)
    caption(
        axes,
        title_of(name),
        f"median {np.median(finite):.3g}" if finite.size else "nothing fitted",
    )
    _bare(axes)


def _draw_status(axes: Axes, result: FitResult) -> None:
    kinds = np.zeros(result.shape, int)
    handles = []
    for number, (_, _, belongs) in enumerate(_KINDS):
        kinds[belongs(uncertified(result.status))] = number
    for number, (label, colour, _) in enumerate(_KINDS):
        if (kinds == number).any():
            # what became of fitted pixels as a share of these, masked ones as a share of the picture
            of = kinds != len(_KINDS) - 1 if number < len(_KINDS) - 1 else np.ones_like(kinds, bool)
            share = 100 * (kinds[of] == number).mean()
            handles.append(
                Patch(facecolor=colour, edgecolor="#9ca3af", linewidth=0.5, label=f"{label}: {_percent(share)}")
            )
    colours = ListedColormap([colour for _, colour, _ in _KINDS])
    axes.imshow(kinds, cmap=colours, vmin=-0.5, vmax=len(_KINDS) - 0.5, interpolation="nearest")
    caption(axes, "Status")
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        fontsize=7.5,
        frameon=False,
        ncols=2,
        handlelength=1.2,
        columnspacing=1.0,
    )
    _bare(axes)


def _draw_pixel(figure: Figure, cell: object, picture: Axes, result: FitResult) -> None:
    above, below, all_pixels = cell.subgridspec(3, 1, height_ratios=(2.4, 0.9, 1.3), hspace=0.04)  # type: ignore[attr-defined]
    draw_residuals(figure.add_subplot(all_pixels), result)
    spectrum = figure.add_subplot(above)
    residual = figure.add_subplot(below, sharex=spectrum)
    index = pixel_of_rmse(result, 50, uncertified(result.status) == Status.CONVERGED) or pixel_of_rmse(result, 50)
    fit = None if index is None else pixel_fit(result, index)
    if index is None or fit is None:
        caption(
            spectrum, "No spectrum", "nothing fitted" if index is None else f"{result.model} is not registered here"
        )
        spectrum.set_axis_off()
        residual.set_axis_off()
        return
    y, x = index
    picture.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="white", markeredgewidth=2.4)
    picture.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.1)
    values = [f"{name} {result.map(name)[index]:.3g}" for name in ("f_mel", "f_blood", *result.extra, "i_d", "i_s")]
    lines = [f"pixel y {y}, x {x}", ", ".join(values[:2]), ", ".join(values[2:-2]), ", ".join(values[-2:])]
    draw_fit(spectrum, residual, fit, "\n".join(filter(None, lines)))
    caption(spectrum, "Median pixel", f"RMSE {result.rmse[index]:.3g}")


def _percent(share: float) -> str:
    return f"{share:.1f} %" if share >= 0.05 else "under 0.1 %"


def _bare(axes: Axes) -> None:
    axes.set_anchor("N")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
