"""What a fit is given, as a `Cube`: arrays, tables, files; and which of its pixels are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.errors import InputError
from msfit.fitting.options import is_path


def as_cube(cube: Any, wavelengths: Any = None, mask: Any = None, loading: Mapping[str, Any] | None = None) -> Cube:
    """The cube of what `fit` takes.

    Parameters
    ----------
    cube : Cube, array, xarray.DataArray, pandas.DataFrame or Series, path
        As in `msfit.fit`.
    wavelengths : array (band,), optional
        [nm], of an array.
    mask : bool array (y, x) or (pixel,), "auto", "none" or path, optional
        As in `msfit.fit`.
    loading : mapping, optional
        Further arguments of `msfit.load`, with a path.

    Raises
    ------
    InputError
        An array without wavelengths, anything else with others than its own; arguments of `load` without a path;
        whatever `load` and `Cube` refuse.
    """
    if is_path(cube):
        found = _loaded(cube, wavelengths, loading or {})
    elif loading:
        raise InputError(f"loading: given beside {type(cube).__name__}; it is of files: leave it out, or give a path")
    else:
        found = _of_object(cube, wavelengths)
    return masked(found, mask)


def _loaded(path: str | Path, wavelengths: Any, loading: Mapping[str, Any]) -> Cube:
    from msfit.io import load

    if wavelengths is not None:
        loading = {"wavelengths": wavelengths, **loading}
    return load(path, **loading)


def _of_object(cube: Any, wavelengths: Any) -> Cube:
    if isinstance(cube, Cube):
        if wavelengths is not None:
            raise InputError("wavelengths: given beside a Cube, which has its own; leave them out")
        return cube
    if hasattr(cube, "dims") and hasattr(cube, "coords"):
        return Cube.from_xarray(cube, wavelengths=wavelengths)
    if type(cube).__module__.partition(".")[0] == "pandas":
        return Cube.from_pandas(cube, wavelengths=wavelengths)
    if wavelengths is None:
        raise InputError("wavelengths: missing; an array of reflectance needs one number a band [nm]")
    if hasattr(cube, "detach"):  # a tensor
        cube = cube.detach().cpu().numpy()
    if getattr(cube, "ndim", None) is None:
        cube = np.asarray(cube)
    return Cube(cube[None] if cube.ndim == 1 else cube, wavelengths)


def masked(cube: Cube, mask: Any) -> Cube:
    """The cube with another mask besides its own; "none" drops its own, "auto" finds skin, a path is read.

    Raises
    ------
    InputError
        The mask is no truth value a pixel, or no file.
    """
    if mask is None:
        return cube
    if isinstance(mask, str) and mask == "none":
        return cube.with_mask(None)
    if isinstance(mask, str) and mask == "auto":
        from msfit.mask import skin_mask

        return cube.with_mask(skin_mask(cube))
    if is_path(mask):
        from msfit.io.masks import read_mask

        mask = read_mask(mask, cube.shape)
    given = cube.with_mask(mask)
    return given if cube.mask is None else given.with_mask(cube.mask & np.asarray(given.mask))
