"""The demonstration: every facial spectrum that comes with the library, fitted, tabulated and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msfit.data.result import MAPS, FitResult
from msfit.errors import InputError
from msfit.fitting.in_memory import fit
from msfit.io.datasets.issa import SkinArchive, load_faces
from msfit.io.output import check_output, written_whole
from msfit.io.results import save
from msfit.plot.residuals import draw_residuals
from msfit.plot.style import COLOUR_MAPS, FITTED, INK, LABELS, MEASURED, QUIET, caption, head, new_figure, tidy
from msfit.skin.models import DEFAULT_MODEL, reflectance

_CITATION = "Measured: International Skin Spectra Archive, Lu et al., Scientific Data 12, 487 (2025), CC BY 4.0"
_COLUMNS = 4


@dataclass(frozen=True)
class Row:
    """Medians of the spectra that share a label: `values` by the name of the map."""

    label: str
    spectra: int
    subjects: int
    values: dict[str, float]


@dataclass(frozen=True, eq=False)
class Demo:
    """The facial spectra of the International Skin Spectra Archive and their fit; `files` are what was written."""

    archive: SkinArchive
    result: FitResult
    files: tuple[Path, ...] = ()

    def rows(self, by: str) -> list[Row]:
        """Medians by "group" or "site", from the least melanin to the most, and of all spectra."""
        labels = getattr(self.archive, by)
        rows = [self._row(str(label), labels == label) for label in np.unique(labels)]
        return [*sorted(rows, key=lambda row: row.values["f_mel"]), self._row("all", np.ones(labels.shape, bool))]

    def _row(self, label: str, chosen: np.ndarray) -> Row:
        medians = {name: float(np.nanmedian(getattr(self.result, name)[chosen])) for name in MAPS}
        return Row(label, int(chosen.sum()), np.unique(self.archive.subject[chosen]).size, medians)


def run_demo(
    folder: str | Path, *, model: str = DEFAULT_MODEL, progress: Callable[[int, int], None] | None = None
) -> Demo:
    """Fit the facial spectra, and write result and figure.

    Parameters
    ----------
    folder : str or Path
        Gets ``issa_faces.h5`` (with group, site and subject of each spectrum) and ``issa_faces.png``. Made if absent.
    model : str
        A name from `msfit.skin.models.model_names`.
    progress : callable (done, total), optional
        As of `msfit.fit`.

    Raises
    ------
    InputError
        The folder cannot be made or written to; unknown model.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    table = check_output(folder / "issa_faces.h5", (".h5",))
    picture = check_output(folder / "issa_faces.png", (".png",))
    archive = load_faces()
    fit(archive.cube.values[:1], archive.cube.wavelengths, model=model)  # loads compiled code before the clock runs
    result = fit(archive.cube, model=model, progress=progress)
    result = replace(
        result, attrs={**result.attrs, "title": "Facial spectra of the International Skin Spectra Archive"}
    )
    figure = draw(Demo(archive, result))
    labels = {name: getattr(archive, name) for name in ("group", "site", "subject", "record")}
    save(result, table, labels)
    with written_whole(picture) as part:
        figure.savefig(part)
    return Demo(archive, result, (table, picture))


def draw(demo: Demo) -> Figure:
    """Measured and fitted spectra of each group; melanin by group, blood by site, and what the model leaves over."""
    groups = [row for row in demo.rows("group") if row.label != "all"]
    lines = -(-len(groups) // _COLUMNS)
    figure = new_figure(14.0, 2.6 * lines + 5.2)
    bounds = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in demo.result.bounds.items())
    how = f"{demo.result.model}; bounds {bounds}; {demo.result.summary()}"
    head(figure, str(demo.result.attrs["title"]), how, _CITATION)
    outer = figure.add_gridspec(2, 1, height_ratios=(2.6 * lines, 4.2))
    grid = outer[0].subgridspec(lines, _COLUMNS)
    first = None
    for number, row in enumerate(groups):
        axes = figure.add_subplot(grid[number // _COLUMNS, number % _COLUMNS], sharex=first, sharey=first)
        _draw_group(axes, demo, row)
        first = first or axes
        axes.label_outer()
    assert first is not None
    first.set_ylim(0, None)
    first.legend(fontsize=7.5, frameon=False, loc="lower right")
    below = outer[1].subgridspec(1, 3, width_ratios=(1.15, 1, 1.1))
    _draw_violins(figure.add_subplot(below[0]), demo, "f_mel", "group")
    _draw_violins(figure.add_subplot(below[1]), demo, "f_blood", "site")
    draw_residuals(figure.add_subplot(below[2]), demo.result)
    return figure


def _draw_group(axes: Axes, demo: Demo, row: Row) -> None:
    result, chosen = demo.result, demo.archive.group == row.label
    skin = reflectance(result.f_mel[chosen], result.f_blood[chosen], result.wavelengths, model=result.model)
    fitted = np.nanmedian(result.i_d[chosen, None] * skin + result.i_s[chosen, None], axis=0)
    cube: Any = result.cube
    low, middle, high = np.percentile(cube.reflectance[chosen], (25, 50, 75), axis=0)
    bands = result.wavelengths
    axes.fill_between(bands, low, high, color=MEASURED, alpha=0.15, linewidth=0, label="measured, middle half")
    axes.plot(bands, middle, ".", color=MEASURED, markersize=4, label="measured, median")
    axes.plot(bands, fitted, color=FITTED, linewidth=1.5, label="fitted, median")
    tidy(axes, "wavelength [nm]", "reflectance [1]")
    caption(axes, row.label)
    counts = f"{row.spectra:,} spectra of {row.subjects:,} people\nmedian RMSE {row.values['rmse']:.4f}"
    axes.text(0.03, 0.97, counts, transform=axes.transAxes, size=7.5, color=QUIET, va="top")


def _draw_violins(axes: Axes, demo: Demo, name: str, by: str) -> None:
    """Distribution of a map for each label from the 1st to the 99th percentile, with middle half and median."""
    rows = [row for row in demo.rows(by) if row.label != "all"]
    labels, values = getattr(demo.archive, by), getattr(demo.result, name)
    largest = float(np.nanpercentile(values, 99))
    for position, row in enumerate(rows):
        label_values = values[labels == row.label]
        low, quarter, middle, three, high = np.nanpercentile(label_values, (1, 25, 50, 75, 99))
        inside = label_values[(label_values >= low) & (label_values <= high)]
        violin: Any = axes.violinplot([inside], [position], orientation="horizontal", widths=0.85, showextrema=False)
        shade = COLOUR_MAPS[name](0.1 + 0.8 * row.values[name] / largest)
        violin["bodies"][0].set(facecolor=shade, alpha=1, edgecolor="none")
        axes.plot([quarter, three], [position, position], color=INK, linewidth=3, solid_capstyle="butt")
        axes.plot(middle, position, "o", color="white", markeredgecolor=INK, markersize=4.5)
    tidy(axes, LABELS[name])
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_xlim(left=0)
    axes.grid(False, axis="y")
    axes.invert_yaxis()
    caption(axes, f"{'Melanin' if name == 'f_mel' else 'Blood'} by {by}", "1 to 99 %, middle half, median")
