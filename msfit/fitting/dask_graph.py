"""`msfit.fit_lazy`: maps as dask arrays, for graphs of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import is_lazy
from msfit.data.status import STATUS_TYPE
from msfit.errors import warn
from msfit.fitting.inputs import input_cube
from msfit.fitting.options import FitOptions, PixelKeywords, door
from msfit.fitting.plan import Prepared, prepare
from msfit.fitting.rows import collect, fit_rows
from msfit.fitting.worker import pool
from msfit.io.extras import need
from msfit.io.results import to_dataset

if TYPE_CHECKING:
    import xarray


@door
def fit_lazy(cube: Cube | Any, wavelengths: Any = None, **options: Unpack[PixelKeywords]) -> xarray.Dataset:
    """Settle a fit without computing it: the maps are dask arrays, of which each chunk of pixels is one task.

    Only arguments are checked here; what a fit says of all pixels together (counts, that none is left) is not known.

    Parameters
    ----------
    cube : Cube, array, xarray.DataArray, pandas.DataFrame or Series, or path
        As `msfit.fit` takes it. Spatial chunks are kept where each holds all bands; else they are cut so that blocks of
        all bands stay small.
    wavelengths : array (band,), optional
        [nm]; only with an array, or an object that has none.
    **options
        `model`, `bounds`, `bands`, `mask`, `device`, `dtype`, `free`, `std` and the others, as `msfit.fit` takes them,
        but for `progress`. A mask in a dask array is computed at once.

    Returns
    -------
    xarray.Dataset
        As `FitResult.to_xarray`, but for the counts: to the bit what `msfit.fit` gives, once computed.

    Raises
    ------
    InputError
        What `msfit.fit` refuses before it reads the first pixel; options of other fits, as `progress`.
    TypeError
        An unknown argument; the message names the nearest.

    Examples
    --------
    >>> import dask.array, numpy as np, msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> skin = 0.8 * msfit.reflectance(np.linspace(0.05, 0.1, 6).reshape(3, 2), 0.03, bands)
    >>> maps = msfit.fit_lazy(dask.array.from_array(skin, chunks=(1, 2, -1)), bands)
    >>> maps.f_mel.mean().compute().item().__round__(6)
    0.075
    """
    chosen = FitOptions.of("fit_lazy", options)
    prepared = prepare(input_cube(cube, wavelengths, chosen), chosen)
    array, whole = need("dask.array"), prepared.cube
    pixels = "yx"[: len(whole.shape)]
    values = whole.values if is_lazy(whole.values) else array.from_array(whole.values)
    if values.numblocks[-1] > 1 or not is_lazy(whole.values):
        values = values.rechunk((*["auto"] * len(pixels), -1))
    beside = [(whole.illuminant, pixels + "b"), (whole.dark, pixels + "b"), (whole.mask, pixels)]
    parts: list[Any] = []
    for part, axes in beside:
        full = part is not None and part.ndim == len(axes)
        parts += [array.asarray(part).rechunk(values.chunks[: len(axes)]), axes] if full else [None, None]
    bare = replace(prepared, mixtures=None)
    if (prior := prepared.worker.prior) is not None and prior.skin.pixels:
        for part, more in ((prior.skin.mean, "k"), (prior.skin.covariance, "kl")):
            parts += [array.from_array(part, (*values.chunks[:-1], *part.shape[len(pixels) :])), pixels + more]
        bare = replace(bare, worker=replace(bare.worker, prior=prior.of(*(np.empty(0),) * 2)))
    else:
        parts += [None, None] * 2
    for note in (prepared.cube.provenance.get("note"), *prepared.notes):
        if note:
            warn(str(note))
    nothing = dict.fromkeys(("values", "illuminant", "dark", "mask", "axes"))
    number = prepared.worker.dtype
    names = prepared.worker.maps
    stack = array.blockwise(
        _fit_tile,
        "m" + pixels,
        values,
        pixels + "b",
        *parts,
        bare=replace(bare, cube=whole.changed(**nothing)),
        light=whole.illuminant if whole.illuminant is not None and whole.illuminant.ndim == 1 else None,
        dark=whole.dark if whole.dark is not None and whole.dark.ndim == 1 else None,
        new_axes={"m": len(names) + 1},
        dtype=number,
        meta=np.empty((0,) * (1 + len(pixels)), number),
        concatenate=True,
    )
    maps = {name: stack[k] for k, name in enumerate(names)}
    maps["status"] = stack[-1].astype(STATUS_TYPE)
    return to_dataset(collect(prepared, maps, prepared.attributes(prepared.notes)), counted=False)


def _fit_tile(
    values: np.ndarray,
    illuminant: Any,
    own_dark: Any,
    mask: Any,
    mean: Any,
    covariance: Any,
    *,
    bare: Prepared,
    light: Any,
    dark: Any,
) -> np.ndarray:
    """Maps and, as the last, status (map, ...) of one chunk of pixels."""
    tile = bare.cube.changed(
        values=values,
        illuminant=illuminant if light is None else light,
        dark=own_dark if dark is None else dark,
        mask=mask,
    )
    worker = bare.worker
    if mean is not None:
        assert worker.prior is not None
        worker = replace(worker, prior=worker.prior.of(mean, covariance))
    with pool(worker.device) as run:
        maps = fit_rows(replace(bare, cube=tile, worker=worker), slice(0, values.shape[0]), run, mask)
    return np.stack([values.astype(maps["rmse"].dtype, copy=False) for values in maps.values()])
