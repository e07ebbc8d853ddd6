"""The figure of an alignment: before, after, and how far each band was moved."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from msfit.align.bands import Alignment
from msfit.data.cube import Cube
from msfit.plot.style import INK, caption, head, new_figure, tidy

_EDGE = 0.25  # of the picture's side: the part that is enlarged


def alignment_panel(alignment: Alignment) -> Figure:
    """Three bands as red, green and blue, a part of them enlarged, before and after; displacements by band."""
    figure = new_figure(12.0, 7.0)
    nm = alignment.before.wavelengths
    shown = np.array([len(nm) - 1, len(nm) // 2, 0])
    farthest = int(alignment.shifts.argmax())
    head(
        figure,
        "Bands in register",
        f"{len(nm)} bands brought onto {nm[alignment.fixed]:g} nm; {nm[farthest]:g} nm was farthest,"
        f" {alignment.shifts[farthest]:.2g} pixels",
    )
    grid = figure.add_gridspec(2, 3, width_ratios=[1, 1, 1.2])
    part = _part(alignment.before)
    for row, (title, cube) in enumerate((("Before", alignment.before), ("After", alignment.cube))):
        picture = _picture(cube, shown)
        whole, close = figure.add_subplot(grid[row, 0]), figure.add_subplot(grid[row, 1])
        for axes, values in ((whole, picture), (close, picture[part])):
            axes.imshow(values, interpolation="nearest")
            axes.set_axis_off()
        caption(whole, title, ", ".join(f"{nm[b]:g}" for b in shown) + " nm as RGB")
        caption(close, "", "enlarged")
    moved = figure.add_subplot(grid[0, 2])
    lengths = np.hypot(alignment.fields[:, 0], alignment.fields[:, 1]).reshape(len(nm), -1)
    low, middle, high = np.percentile(lengths, (5, 50, 95), axis=1)
    moved.fill_between(nm, low, high, color="#9db7d5", alpha=0.6, linewidth=0, label="5 to 95 % of the pixels")
    moved.plot(nm, middle, "o-", color="#2c6499", markersize=3, linewidth=1.2, label="median")
    moved.legend(fontsize=8, frameon=False)
    tidy(moved, "", "displacement [pixel]")
    caption(moved, "How far bands were moved")
    agrees = figure.add_subplot(grid[1, 2])
    agrees.plot(nm, alignment.correlation, "o-", color=INK, markersize=3, linewidth=1.2)
    agrees.set_ylim(min(0.5, float(alignment.correlation.min()) - 0.05), 1.01)
    tidy(agrees, "wavelength [nm]", "correlation [1]")
    caption(agrees, "Detail of a band and what the others predict of it")
    return figure


def _picture(cube: Cube, bands: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(np.asarray(cube.select_bands(np.sort(bands)).reflectance, np.float64))[..., ::-1]
    known = values if cube.mask is None or not cube.mask.any() else values[cube.mask]
    top = np.quantile(known.reshape(-1, values.shape[-1]), 0.98, axis=0)
    shown: np.ndarray = np.clip(values / np.where(top > 0, top, 1), 0, 1) ** (1 / 2.2)
    return shown if shown.shape[-1] == 3 else np.repeat(shown[..., :1], 3, -1)


def _part(cube: Cube) -> tuple[slice, slice]:
    """A square with much detail: about an eye, where there is a face."""
    height, width = cube.shape
    side = max(16, int(_EDGE * min(height, width)))
    level = np.nan_to_num(np.asarray(cube.select_bands(np.array([len(cube.wavelengths) // 2])).reflectance[..., 0]))
    slope = np.hypot(*np.gradient(np.log(np.maximum(level, 0.05 * np.quantile(level, 0.95)))))
    if cube.mask is not None:
        slope = slope * cube.mask
    total = np.zeros((height + 1, width + 1))
    total[1:, 1:] = slope.cumsum(0).cumsum(1)
    boxes = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    y, x = np.unravel_index(boxes.argmax(), boxes.shape)
    return slice(int(y), int(y) + side), slice(int(x), int(x) + side)
