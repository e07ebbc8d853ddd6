"""What a user may not expect of a fit, said aloud: what the maps show of light, unit and bands."""

from __future__ import annotations

import numpy as np

from msfit.data.result import FitResult, Status, flagged
from msfit.errors import InputError
from msfit.skin.held_out import held_out_figures

_BRIGHTEST = 10.0  # i_d of a surface in full light is about 1
_FEWEST = 8  # spectra of which something is said together
_LOOKED_AT = 512  # pixels whose residuals are looked at
# Times the median RMSE on measured skin of people on whom nothing was calibrated, for a surface in full light.
_SEVERAL = 4.0
# A band is far off where its median residual is so many times that of the median band, and more than this share of
# reflectance: noise of a band is less.
_FAR_OFF, _LEAST_OFF = 6.0, 0.03
_NAMED = 3  # bands
_FEWEST_OFF = 0.25  # of the pixels looked at: a band that fewer of them have is not judged


def remarks(result: FitResult) -> list[str]:
    """Sentences on a finished fit; none where all is as it is for skin.

    The residual of some hundred pixels is looked at, of a picture that is read from disk that of one row.
    """
    of_bands = _of_bands(result)
    if (median := result.median("i_d")) > _BRIGHTEST:
        return [f"i_d has a median of {median:.3g}: is the reflectance in percent, or the light too dim?", *of_bands]
    return of_bands


def _of_bands(result: FitResult) -> list[str]:
    if result.status.size < _FEWEST:
        return []
    rows = _some_rows(result)
    misfit, i_d = np.asarray(result.rmse[rows]), np.asarray(result.i_d[rows])
    # A residual so large in one band makes the RMSE at least this, whatever the others are: less is nothing to look at.
    noticed = misfit > _LEAST_OFF / max(result.wavelengths.size, _FEWEST) ** 0.5 * np.maximum(i_d, 1)
    if np.count_nonzero(noticed) < _FEWEST_OFF * np.count_nonzero(i_d > 0):
        return []
    if len(residuals := _some_residuals(result, rows)) < _FEWEST:
        return []
    usual = held_out_figures().get(result.model)
    level = _SEVERAL * (usual.rmse_median if usual else max(f.rmse_median for f in held_out_figures().values()))
    by_band = np.abs(_median(residuals))
    middle = float(np.median(by_band))
    far = by_band > max(_FAR_OFF * middle, _LEAST_OFF)
    worst = np.argsort(-by_band)[:_NAMED]
    rmse = float(np.median(np.sqrt(np.nanmean(residuals**2, axis=1))))
    named = ", ".join(f"{result.wavelengths[band]:g} nm ({by_band[band]:.2g})" for band in worst)
    if rmse > level:
        return [
            f"RMSE has a median of {rmse:.2g} of the diffuse light, where skin gives about {level / _SEVERAL:.2g};"
            f" worst bands: {named}: look at them, and leave out bad ones (bands, weights)"
        ]
    if far.any():
        off = ", ".join(f"{nm:g} nm" for nm in result.wavelengths[far][:_NAMED])
        return [
            f"far off: {off}, by {by_band[far].max():.2g} of the diffuse light; leave bad bands out (bands, weights)"
        ]
    return []


def _median(residuals: np.ndarray) -> np.ndarray:
    """Of each band; 0 where no pixel has one."""
    known = np.isfinite(residuals).any(axis=0)
    middle = np.zeros(residuals.shape[1])
    middle[known] = np.nanmedian(residuals[:, known], axis=0)
    return middle


def _some_rows(result: FitResult) -> slice:
    """Rows of which some hundred pixels are looked at; of what is read from disk one."""
    shape, values = result.status.shape, None if result.cube is None else result.cube.values
    if any(hasattr(array, "dask") for array in (result.status, values)):
        return slice(shape[0] // 2, shape[0] // 2 + (1 if len(shape) == 2 else _LOOKED_AT))
    return slice(0, None, max(1, int(np.ceil((result.status.size / _LOOKED_AT) ** (1 / len(shape))))))


def _some_residuals(result: FitResult, rows: slice) -> np.ndarray:
    """Residuals (n, band) of lit pixels as shares of their diffuse light, at least that of full light."""
    try:
        residuals = result.residuals(rows)
    except InputError:  # a model that is not registered under its name
        return np.empty((0, result.wavelengths.size))
    i_d = np.asarray(result.i_d[rows])
    lit = (i_d > 0) & ~flagged(np.asarray(result.status[rows]), Status.NO_DIFFUSE)
    chosen = residuals[lit] / np.maximum(i_d[lit], 1)[:, None]
    chosen = chosen[np.isfinite(chosen).any(axis=1)]
    return chosen[:: max(1, len(chosen) // _LOOKED_AT)]
