"""Looks that all figures share: colour maps, axes, headings."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from msfit.data.result import MAPS, FitResult
from msfit.errors import InputError

INK, QUIET, MASKED = "#222222", "#6b7280", "#cbd0d8"
MEASURED, FITTED = "#222222", "#d1495b"


def _colour_map(name: str, stops: str) -> Colormap:
    return LinearSegmentedColormap.from_list(name, [f"#{stop}" for stop in stops.split()]).with_extremes(bad=MASKED)


# Thirteen stops at equal distance (CIE 1976 colour difference) on a path through CIELAB with steady lightness, so that
# equal steps of a map look equal: skin tones, blood, and blue for light.
_BROWNS = _colour_map(
    "melanin", "fef5e9 fce6cf f7d5b6 efc39c e1ae82 cd966d b97f58 a36944 8b5331 734224 5d341d 492818 351e13"
)
_REDS = _colour_map(
    "haemoglobin", "fef4f3 ffe0de ffcbc8 ffb6b3 fba09c f78b86 f27571 e95d5b d43f43 b32730 951823 7a121b 621015"
)
_BLUES = _colour_map(
    "specular", "191f33 1a2c4a 193b64 1c4e7f 2c6499 3c7aac 498fbb 5ba4c8 76bad6 96cde0 b6dee7 d4ecec f2f8ef"
)


def _ready_made(name: str) -> Colormap:
    return matplotlib.colormaps[name].with_extremes(bad=MASKED)


COLOUR_MAPS: dict[str, Colormap] = {
    "f_mel": _BROWNS,
    "f_blood": _REDS,
    "i_d": _ready_made("gray"),
    "i_s": _BLUES,
    "rmse": _ready_made("viridis"),
}
OTHERS = _ready_made("cividis")  # of extra parameters
TITLES = {
    "f_mel": "Melanin",
    "f_blood": "Haemoglobin",
    "i_d": "Diffuse shading",
    "i_s": "Specular shading",
    "rmse": "Residual",
    "gap": "Gap of the certificate",
}
LABELS = {
    "f_mel": "melanosome fraction f_mel [1]",
    "f_blood": "blood fraction f_blood [1]",
    "i_d": "i_d [1]",
    "i_s": "i_s [1]",
    "rmse": "RMSE of reflectance [1]",
    "gap": "RMSE above a lower bound [1]",
}


class Panel(Figure):
    """A figure that a notebook shows where it is the value of a cell, though no window belongs to it."""

    def _repr_png_(self) -> bytes:
        memory = io.BytesIO()
        self.savefig(memory, format="png", dpi=100)
        return memory.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure [inch] that arranges its axes itself."""
    return Panel(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")


def head(figure: Figure, title: str, *lines: str) -> None:
    """Put a title and quiet lines below it at the top left, above all axes."""
    height = float(figure.get_size_inches()[1])
    space = 0.42 + 0.2 * len(lines)
    figure.set_layout_engine("constrained", rect=(0.005, 0, 0.99, 1 - space / height))
    figure.text(0.012, 1 - 0.12 / height, title, size=14, weight="bold", color=INK, va="top", parse_math=False)
    for number, line in enumerate(lines):
        at = 1 - (0.42 + 0.2 * number) / height
        figure.text(0.012, at, line, size=9, color=QUIET, va="top", parse_math=False)


def heading(result: FitResult) -> tuple[str, str, str]:
    """What was fitted, how, and what became of it."""
    name = str(result.attrs.get("title") or Path(str(result.attrs.get("source") or "Fit")).name)
    bounds = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in result.bounds.items())
    bands = result.wavelengths
    how = f"{result.model}; bounds {bounds}; {bands.size} bands, {bands[0]:g} to {bands[-1]:g} nm"
    return name, how, result.summary()


def checked_ranges(result: FitResult, ranges: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Ranges of maps by name, as numbers.

    Raises
    ------
    InputError
        A name of no map, or a range that is none.
    """
    names = [*MAPS, *result.extra, *(f"std_{name}" for name in result.std or {}), *(["gap"] * (result.gap is not None))]
    found = {}
    for name, pair in ranges.items():
        if name not in names:
            raise InputError(f"ranges: found {name!r}; this result has {', '.join(names)}")
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError):
            low = high = np.nan
        if not -np.inf < low < high < np.inf:
            raise InputError(f"ranges: found {name} = {pair!r}; expected (low, high) with low < high")
        found[name] = (low, high)
    return found


def title_of(name: str) -> str:
    """What a map is called above it."""
    if name.startswith("std_"):
        return f"{title_of(name.removeprefix('std_'))}, std"
    return TITLES.get(name, name.capitalize())


def label_of(name: str) -> str:
    """What stands at the scale of a map."""
    if name.startswith("std_"):
        return f"one std of {name.removeprefix('std_')} [1]"
    return LABELS.get(name, name)


def varying_extras(result: FitResult) -> list[str]:
    """Names of the extra parameters that differ by pixel: those worth a map of their own."""
    shared = str(result.attrs.get("shared", "")).split(",")
    return [name for name in result.extra if name not in shared and len(set(result.bounds[name])) == 2]


def caption(axes: Axes, title: str, note: str = "") -> None:
    """Title at the left above axes, with a quiet note after it."""
    axes.set_title(title, loc="left", size=10.5, weight="bold", color=INK)
    if note:
        axes.set_title(note, loc="right", size=8, color=QUIET, parse_math=False)


def tidy(axes: Axes, xlabel: str = "", ylabel: str = "") -> None:
    """Axes of a graph: two spines, light grid, small labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9ca3af")
    axes.tick_params(labelsize=8, color="#9ca3af", labelcolor=INK)
    axes.grid(True, color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel, size=8.5, color=INK)
    axes.set_ylabel(ylabel, size=8.5, color=INK)


def robust_range(values: Any, low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Percentiles of the finite values, never equal; (0, 1) where there are none."""
    finite = np.asarray(values)[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    lower, upper = (float(value) for value in np.percentile(finite, (low, high)))
    if upper - lower <= 1e-9 * max(abs(upper), 1.0):
        lower, upper = lower - 0.5 * max(abs(lower), 1e-3), upper + 0.5 * max(abs(upper), 1e-3)
    return lower, upper
