"""`msfit.fit_lazy`: maps as dask arrays, for graphs of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import is_lazy
from msfit.fitting.in_memory import as_cube, masked
from msfit.fitting.plan import Prepared, check_names, collect, fit_rows, prepare
from msfit.fitting.worker import pool
from msfit.io.extras import need
from msfit.io.results import to_dataset

if TYPE_CHECKING:
    import xarray


def fit_lazy(
    cube: Cube | Any, wavelengths: Any = None, *, mask: np.ndarray | None = None, **fitting: Any
) -> xarray.Dataset:
    """Settle a fit without computing it: the maps are dask arrays, of which each chunk of pixels is one task.

    Only arguments are checked here; what a fit says of all pixels together (counts, that none is left) is not known.

    Parameters
    ----------
    cube : Cube, xarray.DataArray, or array (y, x, band) or (pixel, band)
        As `msfit.fit` takes it. Spatial chunks are kept where each holds all bands; else they are cut so that blocks of
        all bands stay small.
    wavelengths : array (band,), optional
        [nm]; only with an array, or an xarray object that has none.
    mask : bool array (y, x) or (pixel,), optional
        True where to fit, besides the cube's own mask. A dask array is computed at once.
    **fitting
        `model`, `bounds`, `bands`, `device`, `dtype`, `free`, `std` and the others, as `msfit.fit` takes them.

    Returns
    -------
    xarray.Dataset
        As `FitResult.to_xarray`, but for the counts: to the bit what `msfit.fit` gives, once computed.

    Raises
    ------
    InputError
        What `msfit.fit` refuses before it reads the first pixel; arguments that belong to it alone, as `progress`.

    Examples
    --------
    >>> import dask.array, numpy as np, msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> skin = 0.8 * msfit.reflectance(np.linspace(0.05, 0.1, 6).reshape(3, 2), 0.03, bands)
    >>> maps = msfit.fit_lazy(dask.array.from_array(skin, chunks=(1, 2, -1)), bands, model="alotaibi-smith-2019")
    >>> maps.f_mel.mean().compute().item().__round__(6)
    0.075
    """
    check_names("fit_lazy", fitting)
    prepared = prepare(masked(as_cube(cube, wavelengths), mask), **fitting)
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
    number = np.float64 if prepared.worker.dtype == torch.float64 else np.float32
    names = prepared.worker.maps()
    stack = array.blockwise(
        _fit_tile,
        "m" + pixels,
        values,
        pixels + "b",
        *parts,
        bare=replace(prepared, cube=whole.changed(values=None, illuminant=None, dark=None, mask=None), mixtures=None),
        light=whole.illuminant if whole.illuminant is not None and whole.illuminant.ndim == 1 else None,
        dark=whole.dark if whole.dark is not None and whole.dark.ndim == 1 else None,
        new_axes={"m": len(names) + 1},
        dtype=number,
        meta=np.empty((0,) * (1 + len(pixels)), number),
        concatenate=True,
    )
    maps = {name: stack[k] for k, name in enumerate(names)}
    maps["status"] = stack[-1].astype(np.uint8)
    return to_dataset(collect(prepared, maps, prepared.attributes(prepared.notes)), counted=False)


def _fit_tile(
    values: np.ndarray, illuminant: Any, own_dark: Any, mask: Any, *, bare: Prepared, light: Any, dark: Any
) -> np.ndarray:
    """Maps and, as the last, status (map, ...) of one chunk of pixels."""
    tile = bare.cube.changed(
        values=values,
        illuminant=illuminant if light is None else light,
        dark=own_dark if dark is None else dark,
        mask=mask,
    )
    with pool(bare.worker.device) as run:
        maps = fit_rows(replace(bare, cube=tile), slice(0, values.shape[0]), run, mask)
    return np.stack([values.astype(maps["rmse"].dtype, copy=False) for values in maps.values()])
