"""`msfit.fit`: maps of a picture or of spectra, in memory."""

from __future__ import annotations

import time
from typing import Any, Unpack

from msfit.data.cube import Cube
from msfit.data.result import FitResult
from msfit.fitting.inputs import input_cube
from msfit.fitting.options import FitKeywords, FitOptions, door
from msfit.fitting.plan import prepare
from msfit.fitting.rows import assemble, fit_all


@door
def fit(cube: Cube | Any, wavelengths: Any = None, **options: Unpack[FitKeywords]) -> FitResult:
    """Fit melanin, haemoglobin, diffuse and specular shading to every pixel.

    Minimises, pixel by pixel and to the global minimum, sum_b w_b (y_b - i_d r_b(f_mel, f_blood) - i_s)^2 over the
    bounds of the pigments and i_d, i_s >= 0. Here y is reflectance, and w_b is 0 for a band that is not finite,
    saturated or unlit, else 1; `weights`, `residual`, `huber` and `prior` change it.

    Parameters
    ----------
    cube : Cube, array (y, x, band), (pixel, band) or (band,), xarray.DataArray, pandas.DataFrame or Series, or path
        A plain array is reflectance [1] and needs `wavelengths`; one spectrum (band,) is one pixel. A DataFrame has
        spectra in its rows and wavelengths [nm] for columns; its index comes back with the result, and so do the names
        and coordinates of a DataArray. A path is read by `msfit.load`.
    wavelengths : array (band,), optional
        [nm]; only with an array, or an object that has none.
    model : str or SkinModel
        A name from `msfit.models`, or a model. The default is the calibrated `msfit-issa-2026`; "alotaibi-smith-2019"
        is the reference of the literature.
    bounds : "wide", "paper" or mapping
        Named bounds, or {"f_mel": (lower, upper), ...}; what a mapping leaves out is wide. Equal ends, or
        those nearer than a millionth of what is allowed, hold a parameter.
    bands : "A:B", "A:B:STEP", or the same as a tuple or a slice, optional
        Native bands from A to B [nm], or resampled. By default all bands inside the model's range.
    mask : bool array (y, x) or (pixel,), "auto", "none" or path, optional
        True (or 1, or 255) where to fit, besides the cube's own mask. "auto": where there is skin (`msfit.skin_mask`);
        "none": everywhere, whatever the cube's own; a path: a picture, bright where to fit, or a .npy file.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", ...
    dtype : "float32", "float64", a type of numpy or torch, or None
        Of the computation and of the maps. None: the input's (float32 for integers).
    loading : mapping, optional
        With a path: further arguments of `msfit.load`, such as {"white": "0:10,0:10"}.
    channels : Channels, optional
        Responses of the camera, one a band in the order of the data, where bands are no needles at their centres. Then
        no `wavelengths` are needed, and as few channels do as there are free numbers.
    fwhm : float, optional
        Bands are Gaussians of this full width at half maximum [nm]; 0: needles, whatever the file says.
    illuminant : str or (wavelengths, power), optional
        Light that weighs the responses of the channels: a name such as "D65", or its spectrum on its own grid. Without
        it the channels are taken to be white-balanced under equal energy. "estimate": the values are as they were
        recorded under a light that is not known, and it is sought first: `msfit.estimate_illuminant`.
    truncate : float
        Largest share of a response that may lie outside the model's range, and is left out.
    free : collection of str
        Parameters that are fitted pixel by pixel, of f_mel, f_blood and the model's extras (``msfit models``: the named
        models have saturation, scattering and epidermis); the others keep their default. With extras, at most three,
        everything is computed in float64, and `status` still tells of the pigments' bounds alone: see
        `FitResult.at_bound`.
    shared : collection of str
        Extras that are fitted with one number for the whole picture, the one of least total over all its pixels.
    hold : mapping of float, optional
        Numbers that are known, such as {"i_s": 0} under crossed polarisers or {"i_d": 1} in a contact instrument.
        `bounds` takes "i_d" and "i_s" too.
    prior : mapping, SkinPrior, "archive" or "archive-contact", optional
        What is known of skin beforehand, with `noise`: {"f_mel": (mean, standard deviation), ...}, numbers or maps of
        the picture, or a density with covariances. "archive": what the persons of the archive's calibration split say
        of f_mel, f_blood and i_s; "archive-contact", for instruments that touch the skin: of i_d too. Then the most
        probable numbers are found (maximum a posteriori), with fewer channels than numbers too, and
        `FitResult.prior_share` says how much of each is prior. Numbers that are held are left out of it.
    weights : array (band,) or mapping, optional
        Factors on the terms of the sum, >= 0, one a band of the data, or as {(A, B): weight} for ranges [nm], ends
        included, 1 elsewhere. Only their ratios matter; 0 leaves a band out. Eight must be at least a millionth of the
        largest: less is lost in the rounding of single precision.
    residual : "reflectance" or "radiance"
        Unit of what is squared. For radiance a term is multiplied by the square of the illuminant there.
    huber : float, optional
        Threshold in the unit of the residual beyond which a term grows linearly (Huber's loss), so that single bad
        bands pull less. Slower by far.
    std : bool
        Also standard deviations and correlations, `FitResult.std` and `FitResult.correlation`.
    noise : float, array (band,) or mapping, optional
        Known standard deviation of a band's residual, in its unit, for these and for a prior. By default it is
        estimated from each pixel's residual, weights being taken for inverse variances up to a factor.
    certify : bool
        Also bound what any point within the bounds could reach, as `FitResult.gap`. The status of a pixel whose gap is
        at most 1e-5 is one of those that begin with GLOBAL; a pixel for which the search meets a better point gets it.
    progress : callable (done, total), optional
        Called with numbers of pixels as the work goes on.

    Returns
    -------
    FitResult
        Maps of the shape of the picture; masked pixels are NaN, and `status` says for every pixel what became of it.
        A pixel's result does not depend on the others: alone or in any batch it is the same, to the bit on one machine.

    Raises
    ------
    InputError
        Wrong arguments, bands outside the model's range or fewer than 8 inside it, or no pixel left to fit.
    TypeError
        An unknown argument; the message names the nearest.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "Decomposing multispectral face images into diffuse and specular shading and
    biophysical parameters", ICIP 2019, arXiv:1902.06557; "BioFaceNet", BMVC 2019, arXiv:1908.10578, eq 8-12.
    G. Golub, V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate", SIAM J. Numer. Anal. 10, 1973.

    Examples
    --------
    >>> import numpy as np, msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> skin = 0.8 * msfit.reflectance([0.05, 0.10], 0.03, bands) + 0.04
    >>> msfit.fit(skin, bands).f_mel.round(6)
    array([0.05, 0.1 ])
    """
    chosen = FitOptions.of("fit", options)
    prepared = prepare(input_cube(cube, wavelengths, chosen), chosen)
    prepared.worker.warm  # noqa: B018 -- so that compilers' time is not taken for that of the fit
    began = time.perf_counter()
    maps = fit_all(prepared, chosen.progress)
    return assemble(prepared, maps, {"seconds": time.perf_counter() - began})
