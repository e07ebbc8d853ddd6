"""What fits leave over, band by band."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.plot.style import FITTED, QUIET, caption, tidy

# A figure cannot show more points than this, and need not take the time.
_POINTS = 20_000


def draw_residuals(axes: Axes, result: FitResult) -> None:
    """Measured minus fitted reflectance of each band: median, middle half, and 5th to 95th percentile."""
    tidy(axes, "wavelength [nm]", "measured - fitted [1]")
    axes.axhline(0, color=QUIET, linewidth=0.8)
    difference = residuals(result)
    if difference is None or difference.size == 0:
        caption(axes, "Residual of each band", "no spectra with fits at hand")
        return
    low, quarter, middle, three, high = np.nanpercentile(difference, (5, 25, 50, 75, 95), axis=0)
    bands = result.wavelengths
    axes.fill_between(bands, low, high, color=FITTED, alpha=0.15, linewidth=0, label="5 to 95 %")
    axes.fill_between(bands, quarter, three, color=FITTED, alpha=0.35, linewidth=0, label="middle half")
    axes.plot(bands, middle, color=FITTED, linewidth=1.6, label="median")
    axes.legend(fontsize=7.5, frameon=False)
    caption(axes, "Residual of each band")


def residuals(result: FitResult) -> np.ndarray | None:
    """Measured minus fitted reflectance (pixel, band) of the fitted pixels, NaN where a sample was not used.

    Of many pixels some, evenly spread. None where the spectra or the model are not at hand.
    """
    if result.cube is None:
        return None
    rows = slice(None) if len(result.shape) == 1 else slice(None, None, max(1, result.status.size // _POINTS))
    some = spread(np.isfinite(result.f_mel[rows]))
    values, usable = result.cube.rows(rows)
    index = np.unravel_index(some, values.shape[:-1])
    within = (np.arange(result.shape[0])[rows][index[0]], *index[1:])
    try:
        skin = result.skin(within)
    except InputError:
        return None
    model = result.i_d[within][:, None] * skin + result.i_s[within][:, None]
    return np.where(usable[index], values[index] - model, np.nan)


def spread(wanted: np.ndarray) -> np.ndarray:
    """Indices of those that are wanted; of many, as many as a figure can show."""
    found = np.flatnonzero(wanted)
    return found[:: max(1, found.size // _POINTS)]
