"""Single pixels of a result: what was measured and what was fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.plot.style import FITTED, MEASURED, QUIET, tidy


@dataclass(frozen=True, eq=False)
class PixelFit:
    """One pixel: wavelengths [nm], reflectance [1] measured (NaN: not used; None: not at hand) and fitted, and i_s."""

    wavelengths: np.ndarray
    measured: np.ndarray | None
    fitted: np.ndarray
    i_s: float


def pixel_of_rmse(result: FitResult, percent: float, among: np.ndarray | bool = True) -> tuple[int, ...] | None:
    """Index of the fitted pixel at a percentile of RMSE among some of them; None where there is no such pixel."""
    known = np.flatnonzero(np.isfinite(result.f_mel) & np.isfinite(result.rmse) & among)
    if known.size == 0:
        return None
    order = known[np.argsort(result.rmse.ravel()[known], kind="stable")]
    chosen = order[round((order.size - 1) * percent / 100)]
    return tuple(int(i) for i in np.unravel_index(chosen, result.shape))


def pixel_fit(result: FitResult, index: tuple[int, ...]) -> PixelFit | None:
    """Spectrum and fit of a pixel; None where the model is not registered here, so that its fit cannot be computed."""
    try:
        skin = result.skin(index)
    except InputError:
        return None
    fitted = result.i_d[index] * skin + result.i_s[index]
    measured = None
    if result.cube is not None:
        values, usable = result.cube.rows(slice(index[0], index[0] + 1))
        inside = (0, *index[1:])
        measured = np.where(usable[inside], values[inside], np.nan)
    return PixelFit(result.wavelengths, measured, fitted, float(result.i_s[index]))


def draw_fit(spectrum: Axes, residual: Axes, fit: PixelFit, title: str) -> None:
    """Measured and fitted spectrum above, what is left of it below; the title goes over the legend."""
    spectrum.plot(fit.wavelengths, fit.fitted, color=FITTED, linewidth=1.6, label="fit: i_d r + i_s")
    spectrum.axhline(fit.i_s, color=FITTED, linewidth=1, linestyle=":", label="i_s")
    if fit.measured is None:
        residual.text(
            0.5, 0.5, "no measured spectrum at hand", transform=residual.transAxes, size=8, color=QUIET, ha="center"
        )
        residual.set_yticks([])
    else:
        spectrum.plot(fit.wavelengths, fit.measured, ".", color=MEASURED, markersize=4, label="measured")
        difference = fit.measured - fit.fitted
        residual.fill_between(fit.wavelengths, difference, 0, color=FITTED, alpha=0.25, linewidth=0)
        residual.plot(fit.wavelengths, difference, color=FITTED, linewidth=1)
        largest = 1.15 * max(float(np.nanmax(np.abs(difference))), 1e-6)
        residual.set_ylim(-largest, largest)
        residual.axhline(0, color=QUIET, linewidth=0.8)
    tidy(spectrum, ylabel="reflectance [1]")
    tidy(residual, xlabel="wavelength [nm]", ylabel="residual [1]")
    spectrum.tick_params(labelbottom=False)
    spectrum.set_ylim(bottom=min(0.0, spectrum.get_ylim()[0]))
    spectrum.legend(
        fontsize=7.5, loc="best", framealpha=0.85, edgecolor="none", title=title, title_fontsize=7.5, alignment="left"
    )
