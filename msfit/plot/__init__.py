"""Figures of results, drawn with matplotlib.

In: a FitResult. Out: a Figure: a panel of maps for a picture (`maps`), distributions for a list of spectra (`spectra`),
standard deviations and correlations (`uncertainty`), single pixels with their fit (`fits`).
"""

from __future__ import annotations

from matplotlib.figure import Figure

from msfit.data.result import FitResult
from msfit.plot.maps import maps_panel
from msfit.plot.spectra import spectra_panel
from msfit.plot.uncertainty import uncertainty_panel

__all__ = ["panel", "uncertainty_panel"]


def panel(result: FitResult) -> Figure:
    """One figure that shows a fit.

    Parameters
    ----------
    result : FitResult
        Of a picture: its RGB picture under D65, the four maps, RMSE, status, and the spectrum of the pixel of median
        RMSE with its fit. Of a list of spectra: distributions of the parameters and of RMSE, spectra with their fits,
        and the residual of each band.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot: nothing to close, any backend, ``figure.savefig(path)``.
    """
    return maps_panel(result) if len(result.shape) == 2 else spectra_panel(result)
