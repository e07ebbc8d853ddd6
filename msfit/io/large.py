"""Datasets larger than memory, written as HDF5."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msfit.data.lazy_arrays import is_lazy

if TYPE_CHECKING:
    import xarray

_CHUNK = 2**18  # pixels of a map that are compressed together
_OVERHEAD = 2**22  # bytes of names, attributes and indices; of chunks that compression makes longer


def write_large(dataset: xarray.Dataset, encoding: dict[Any, dict[str, Any]], path: Path) -> None:
    """Write a dataset whose lazy variables do not fit into memory.

    HDF5 does not survive a disk that fills up while it writes: room for all of it is taken first, and what compression
    saves is given back at the end.

    Parameters
    ----------
    dataset : xarray.Dataset
        Lazy variables are dask arrays on one or two dimensions, of which few rows are in memory at once.
    encoding : mapping
        As `xarray.Dataset.to_netcdf` takes it, by variable.
    path : Path
        The file, which is overwritten.

    Raises
    ------
    OSError
        The disk is full.
    """
    import dask

    lazy = [name for name, variable in dataset.variables.items() if is_lazy(variable.data)]
    needed = _OVERHEAD + sum(int(1.01 * dataset[name].nbytes) for name in lazy)
    _reserve(path, needed)
    small = dataset.drop_vars(lazy)
    small.to_netcdf(path, engine="h5netcdf", encoding={name: encoding.get(name, {}) for name in small.variables})
    _reserve(path, needed)
    large = dataset[lazy].drop_vars(small.variables, errors="ignore")
    large.attrs = {}  # they are there
    stored = {}
    for name in lazy:
        shape = large[name].shape
        chunks = (max(1, min(shape[0], _CHUNK // math.prod(shape[1:]))), *(min(n, _CHUNK) for n in shape[1:]))
        attrs = dict(dataset[name].attrs)
        beside = [str(other) for other in dataset[name].coords if other not in (*dataset[name].dims, name)]
        if name in dataset.data_vars and beside:  # as CF says which variables are coordinates
            attrs["coordinates"] = " ".join(beside)
        large[name] = (large[name].dims, large[name].data.rechunk((chunks[0], *shape[1:])), attrs)
        stored[name] = {**encoding.get(name, {}), "chunksizes": chunks}
    with dask.config.set(scheduler="synchronous"):
        large.to_netcdf(path, mode="a", engine="h5netcdf", encoding=stored)


def _reserve(path: Path, count: int) -> None:
    """Make a file at least so long, on disk."""
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, count)
            return
        zeros = bytes(2**20)
        while file.tell() < count:
            file.write(zeros)
