"""`msfit.fit_polarised`: a pair of pictures through crossed and through parallel polarisers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.fitting.inputs import input_cube
from msfit.fitting.options import FitOptions, PolarisedKeywords, door
from msfit.fitting.plan import prepare
from msfit.fitting.rows import assemble, fit_all

# A pixel tells of the transmission where its spectrum varies by so much of its mean.
_LEAST_CONTRAST = 0.05
# The parallel picture is taken for the darker one where the median pixel has so much less than no gloss, of its mean.
_DARKER = 0.02


@door
def fit_polarised(
    parallel: Any, cross: Any, wavelengths: Any = None, **options: Unpack[PolarisedKeywords]
) -> FitResult:
    """Fit a pair of pictures: pigments and diffuse shading where gloss is blocked, gloss from what the other has more.

    Light that a surface mirrors keeps its polarisation, light from inside the skin loses it. So the picture through
    crossed polarisers is i_d r, and is fitted with i_s held at 0; through parallel ones it is t (i_d r + i_s) with t
    the ratio of the transmissions, the same for all channels, and i_s is the mean of parallel / t - cross over the
    channels, or 0 where that is negative.

    Parameters
    ----------
    parallel, cross : as the first argument of `msfit.fit`
        The pair, in register: of the same shape, channels and unit.
    wavelengths : array (band,), optional
        [nm], of arrays.
    transmission : float, optional
        t. By default it is estimated: in a pixel the parallel picture is a straight line over the crossed one, channel
        by channel, whose slope is t whatever its gloss; the median over pixels is taken.
    **options
        As `msfit.fit` has them: model, bounds, bands, mask, device, dtype, loading, channels, fwhm, illuminant,
        truncate, free, hold, prior, weights, residual, std, noise, progress. They are of the crossed picture.

    Returns
    -------
    FitResult
        Of the crossed picture, its RMSE included, with i_s from the pair; `attrs["transmission"]` is t. Its `cube` is
        the parallel picture over t, which i_d r + i_s explains.

    Raises
    ------
    InputError
        Pictures of different shape or wavelengths; a parallel picture that is darker than the crossed one; what `fit`
        refuses.

    References
    ----------
    S. L. Jacques, J. C. Ramella-Roman, K. Lee, "Imaging skin pathology with polarized light", J. Biomed. Opt. 7, 2002.

    Examples
    --------
    >>> import numpy as np, msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> cross = 0.8 * msfit.reflectance([0.05, 0.10], 0.03, bands)
    >>> pair = msfit.fit_polarised(cross + np.array([[0.0], [0.2]]), cross, bands)
    >>> pair.i_s.round(6).tolist(), pair.f_mel.round(6).tolist()
    ([0.0, 0.2], [0.05, 0.1])
    """
    began = time.perf_counter()
    chosen = FitOptions.of("fit_polarised", options)
    if (chosen.hold or {}).get("i_s", 0) != 0:
        raise InputError("hold: found i_s, which the pair of pictures tells; leave it out")
    chosen = replace(chosen, hold={**(chosen.hold or {}), "i_s": 0.0})
    crossed = prepare(input_cube(cross, wavelengths, chosen), chosen)
    beside = input_cube(parallel, wavelengths, replace(chosen, mask=None))
    if beside.shape != crossed.cube.shape:
        raise InputError(
            f"parallel: found a picture of {beside.shape}, cross has {crossed.cube.shape}; expected a pair"
        )
    if not np.isin(crossed.cube.wavelengths, beside.wavelengths).all():
        raise InputError("parallel: found other wavelengths than those of cross; expected a pair of one camera")
    result = assemble(crossed, fit_all(crossed, chosen.progress), {})
    cube = beside.select_bands(np.searchsorted(beside.wavelengths, crossed.cube.wavelengths))
    bright, bright_usable = cube.rows(slice(None))
    dark, dark_usable = crossed.cube.rows(slice(None))
    usable = bright_usable & dark_usable & result.fitted[..., None]
    ratio = _transmission(bright, dark, usable) if chosen.transmission is None else float(chosen.transmission)
    gloss = _mean(bright / ratio - dark, usable)
    if np.nanmedian(gloss) < -_DARKER * np.nanmedian(_mean(dark, usable)):
        raise InputError("parallel: is darker than cross; expected the two the other way round")
    i_s = np.where(result.fitted, np.maximum(gloss, 0), np.nan).astype(result.i_s.dtype)
    seconds = {"seconds": time.perf_counter() - began, "transmission": ratio}
    return replace(
        result,
        i_s=i_s,
        attrs={**result.attrs, **seconds},
        cube=cube.changed(values=bright / bright.dtype.type(ratio), illuminant=None, dark=None, saturation=None),
    )


def _mean(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Mean over the usable channels; NaN where there are none."""
    count = usable.sum(-1)
    return np.where(count > 0, np.where(usable, values, 0).sum(-1) / np.maximum(count, 1), np.nan)


def _transmission(bright: np.ndarray, dark: np.ndarray, usable: np.ndarray) -> float:
    """Ratio of transmissions: the median slope of the parallel over the crossed picture."""
    level = _mean(dark, usable)
    x, y = (np.where(usable, v - _mean(v, usable)[..., None], 0) for v in (dark, bright))
    square = (x * x).sum(-1)
    telling = square > (_LEAST_CONTRAST * level) ** 2 * usable.sum(-1)
    if not telling.any():
        raise InputError("transmission: no pixel's spectrum varies enough to tell it; give it")
    slope = float(np.median((x * y).sum(-1)[telling] / square[telling]))
    if slope <= 0:
        raise InputError("parallel: does not rise with cross from channel to channel; expected a pair in register")
    return slope
