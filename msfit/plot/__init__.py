"""Figures of results, drawn with matplotlib.

In: a FitResult. Out: a Figure: a panel of maps for a picture (`maps`), distributions for a list of spectra (`spectra`),
standard deviations and correlations (`uncertainty`), single pixels with their fit (`fits`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from msfit.data.result import FitResult
from msfit.errors import InputError, names_nearest
from msfit.plot.maps import maps_panel
from msfit.plot.spectra import spectra_panel
from msfit.plot.style import checked_ranges
from msfit.plot.uncertainty import uncertainty_panel

__all__ = ["panel", "uncertainty_panel"]


@names_nearest
def panel(
    result: FitResult,
    *,
    std: bool = False,
    gap: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """One figure that shows a fit.

    Parameters
    ----------
    result : FitResult
        Of a picture: its RGB picture under D65, the four maps, RMSE, status, the spectrum of the pixel of median RMSE
        with its fit, and the residual of each band. Of a list of spectra: distributions of the parameters and of RMSE,
        spectra with their fits, and the residual of each band.
    std, gap : bool
        Of a picture: also its standard deviations, or the gaps of its certificate.
    ranges : mapping, optional
        {name: (low, high)} of the colours of maps, or the axis of a distribution, as {"f_mel": (0, 0.4)}: panels with
        the same ranges can be compared. By default the 1st to 99th percentile.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot: nothing to close, any backend, ``figure.savefig(path)``.

    Raises
    ------
    InputError
        A range of no map, or of no width; std or gap of a result without them.
    """
    ranges = checked_ranges(result, ranges or {})
    if len(result.shape) == 1:
        return spectra_panel(result, ranges)
    more: dict[str, np.ndarray] = {}
    if std:
        if result.std is None:
            raise InputError("std: this result has none; fit with std=True (msfit fit --std)")
        more |= {f"std_{name}": values for name, values in result.std.items()}
    if gap:
        if result.gap is None:
            raise InputError("gap: this result has none; fit with certify=True (msfit fit --certify)")
        more["gap"] = result.gap
    return maps_panel(result, more, ranges)
