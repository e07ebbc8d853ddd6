"""`msfit.fit`: drives the solver over a cube, block by block, and assembles the maps."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import numpy as np
from torch import Tensor

from msfit.data.bands import Bands
from msfit.data.cube import Cube
from msfit.data.lazy_arrays import row_blocks
from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.fitting.bounds import Bounds
from msfit.fitting.criterion import PerBand
from msfit.fitting.plan import Prepared, Progress, assemble, begin_rows, prepare
from msfit.fitting.worker import pool
from msfit.skin.models import DEFAULT_MODEL, SkinModel

CHUNK = 262_144  # pixels that are read and screened together
_MOST_SAMPLES = 2**26  # of a block of rows, where a file's chunks span many of them


def fit(
    cube: Cube | Any,
    wavelengths: Any = None,
    *,
    model: str | SkinModel = DEFAULT_MODEL,
    bounds: Bounds = "wide",
    bands: Bands | None = None,
    mask: np.ndarray | None = None,
    device: str = "auto",
    dtype: str | None = None,
    free: Collection[str] = ("f_mel", "f_blood"),
    shared: Collection[str] = (),
    weights: PerBand | None = None,
    residual: str = "reflectance",
    huber: float | None = None,
    std: bool = False,
    noise: float | PerBand | None = None,
    certify: bool = False,
    progress: Progress | None = None,
) -> FitResult:
    """Fit melanin, haemoglobin, diffuse and specular shading to every pixel.

    Minimises, pixel by pixel and to the global minimum, sum_b w_b (y_b - i_d r_b(f_mel, f_blood) - i_s)^2 over the
    bounds of the pigments and i_d, i_s >= 0. Here y is reflectance, and w_b is 0 for a band that is not finite,
    saturated or unlit, else 1; `weights`, `residual` and `huber` change it.

    Parameters
    ----------
    cube : Cube, xarray.DataArray, or array (y, x, band) or (pixel, band)
        A plain array is reflectance [1] and needs `wavelengths`.
    wavelengths : array (band,), optional
        [nm]; only with an array, or an xarray object that has none.
    model : str or SkinModel
        A name from `msfit.skin.models.model_names`, or a model. The default is the calibrated `msfit-issa-2025`;
        "alotaibi-smith-2019" is the reference of the literature and of `msfit.reflectance`.
    bounds : "wide", "paper" or mapping
        Named bounds, or {"f_mel": (lower, upper), ...}; what a mapping leaves out is wide. Equal ends, or
        those nearer than a millionth of what is allowed, hold a parameter.
    bands : "A:B", "A:B:STEP", or the same as a tuple, optional
        Native bands from A to B [nm], or resampled. By default all bands inside the model's range.
    mask : bool array (y, x) or (pixel,), optional
        True (or 1, or 255) where to fit, besides the cube's own mask.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", ...
    dtype : "float32", "float64" or None
        Of the computation and of the maps. None: the input's (float32 for integers).
    free : collection of str
        Parameters that are fitted pixel by pixel, of f_mel, f_blood and the model's extras (``msfit models``: the named
        models have saturation, scattering and epidermis); the others keep their default. With extras, at most three,
        everything is computed in float64, and `status` still tells of the pigments' bounds alone: see
        `FitResult.at_bound`.
    shared : collection of str
        Extras that are fitted with one number for the whole picture, the one of least total over all its pixels.
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
        Known standard deviation of a band's residual, in its unit, for these. By default it is estimated from each
        pixel's residual, weights being taken for inverse variances up to a factor.
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
    >>> msfit.fit(skin, bands, model="alotaibi-smith-2019").f_mel.round(6)
    array([0.05, 0.1 ])
    """
    began = time.perf_counter()
    source = as_cube(cube, wavelengths)
    prepared = prepare(
        masked(source, mask),
        model=model,
        bounds=bounds,
        bands=bands,
        device=device,
        dtype=dtype,
        free=free,
        shared=shared,
        weights=weights,
        residual=residual,
        huber=huber,
        std=std,
        noise=noise,
        certify=certify,
    )
    maps = _fit_all(prepared, progress)
    return assemble(prepared, maps, {"seconds": time.perf_counter() - began})


def as_cube(cube: Cube | Any, wavelengths: Any = None) -> Cube:
    """The cube of what `fit` takes.

    Raises
    ------
    InputError
        An array without wavelengths, a Cube or xarray object with others than its own; whatever `Cube` refuses.
    """
    if isinstance(cube, Cube):
        if wavelengths is not None:
            raise InputError("wavelengths: given beside a Cube, which has its own; leave them out")
        return cube
    if hasattr(cube, "dims") and hasattr(cube, "coords"):
        return Cube.from_xarray(cube, wavelengths=wavelengths)
    if wavelengths is None:
        raise InputError("wavelengths: missing; an array of reflectance needs one number a band [nm]")
    return Cube(cube.detach().cpu().numpy() if isinstance(cube, Tensor) else cube, wavelengths)


def masked(cube: Cube, mask: np.ndarray | None) -> Cube:
    """The cube with another mask besides its own.

    Raises
    ------
    InputError
        The mask is no truth value a pixel.
    """
    if mask is None:
        return cube
    given = cube.with_mask(mask)
    return given if cube.mask is None else given.with_mask(cube.mask & np.asarray(given.mask))


def _fit_all(prepared: Prepared, progress: Progress | None) -> dict[str, np.ndarray]:
    shape = prepared.cube.shape
    total = int(np.prod(shape))
    width = total // shape[0]
    most = max(1, _MOST_SAMPLES // (width * prepared.cube.wavelengths.size))
    maps: dict[str, np.ndarray] = {}
    with pool(prepared.worker.device) as run:
        chunks = row_blocks(prepared.cube.values, max(1, CHUNK // width), most)
        masks = (None if prepared.cube.mask is None else prepared.cube.mask[rows] for rows in chunks)
        begun = (begin_rows(prepared, rows, run, mask) for rows, mask in zip(chunks, masks, strict=True))
        following = next(begun, None)
        for rows in chunks:
            end, following = following, next(begun, None)  # while one chunk is fitted the next is read and screened
            assert end is not None
            told = None if progress is None else _shifted(progress, rows.start * width, total)
            for name, values in end(told).items():
                maps.setdefault(name, np.empty(shape, values.dtype))[rows] = values
    return maps


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
