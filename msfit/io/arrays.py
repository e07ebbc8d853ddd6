"""Files of arrays: NetCDF, HDF5 and Zarr through xarray, lazily; NPZ and NPY through numpy."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.lazy_arrays import CUT, STRIP
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.inside import outside_of, picture_inside, stored_arrays, wavelengths_inside
from msfit.io.labelled import has_wavelengths, picture_of, scan_of_xarray
from msfit.io.matlab.variables import QUANTITIES, WAVES, scan_of
from msfit.io.scan import Scan

if TYPE_CHECKING:
    import xarray


# A graph of more chunks takes hundreds of MB itself, before the first sample is read.
_MOST_CHUNKS = 400_000


def read_npz(path: Path, variable: str | None = None, orientation: str | None = None, wavelengths: Any = None) -> Scan:
    """Read numpy's .npz (named arrays, as in a MATLAB file) or .npy (one array, whose wavelengths are given).

    Parameters
    ----------
    path : Path
        The file. A .npy is read lazily.
    variable, orientation, wavelengths
        As in `msfit.load`.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
            with np.load(path, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
        else:
            held = {"data": np.load(path, mmap_mode="r", allow_pickle=False)}
    except InputError:
        raise
    except Exception as error:  # numpy meets damaged bytes with whatever they cause
        raise InputError(f"damaged or no plain numpy file ({said(error)}); get the file anew") from None
    return scan_of(held, variable, orientation, wavelengths)


def read_dataset(
    path: Path, variable: str | None = None, orientation: str | None = None, wavelengths: Any = None
) -> Scan:
    """Read NetCDF, HDF5 or Zarr lazily.

    Parameters
    ----------
    path : Path
        A file, or the folder of a Zarr store.
    variable : str, optional
        Name of the array, with the names of its groups before it (``"measured/reflectance"``) where it lies in one.
    orientation, wavelengths
        As in `msfit.load`.
    """
    need("dask.array")
    group, _, name = (variable or "").rpartition("/")
    try:
        dataset = _opened(path, group, name)
        if variable is None and not any(array.ndim > 1 for array in dataset.data_vars.values()):
            group, _, name = (picture_inside(path) or "").rpartition("/")
            dataset = _opened(path, group, name) if group else dataset
        if wavelengths is None and not has_wavelengths(dataset, name or None):
            array = dataset[picture_of(dataset, name or None)]
            wavelengths = wavelengths_inside(path, array)
    except InputError:
        raise
    except Exception as error:  # xarray's readers meet damaged bytes with whatever they cause
        raise InputError(f"damaged, or no arrays that xarray can read ({said(error)}); get the file anew") from None
    return scan_of_xarray(dataset, name or None, orientation, wavelengths)


def _opened(path: Path, group: str, wanted: str = "") -> xarray.Dataset:
    """A group of a store, its arrays lazy; `wanted` is the name of one of them, or empty."""
    import xarray

    if path.is_dir() and not _names_dimensions(path):
        return _without_dimensions(path, group)
    engine, others = _engine(path), {}
    if engine["engine"] == "h5netcdf":
        import h5py

        with h5py.File(path, "r") as file:
            others = outside_of(file[group] if group else file)
        if used := [
            name for name in others if name in (*QUANTITIES, *WAVES, "mask", "illuminant", "saturation", wanted)
        ]:
            raise InputError(f"{used[0]}: is {others[used[0]]}: valid, not supported; expected one file that holds all")
    dataset = xarray.open_dataset(
        path, chunks=None, cache=False, group=group or None, drop_variables=list(others), **engine
    )
    return dataset.assign({name: _chunked(array) for name, array in dataset.data_vars.items()})


def _names_dimensions(path: Path) -> bool:
    """Whether the arrays of a Zarr store name their dimensions, without which xarray reads none."""
    return all(
        one.array.ndim == 0
        or getattr(one.array.metadata, "dimension_names", None)
        or "_ARRAY_DIMENSIONS" in one.array.attrs
        for one in stored_arrays(path)
    )


def _without_dimensions(path: Path, group: str) -> xarray.Dataset:
    """The arrays of a group of a Zarr store as a dataset whose dimensions have names of their own."""
    import xarray

    before = f"{group}/" if group else ""
    found = {}
    for one in stored_arrays(path):
        if not one.path.startswith(before) or "/" in one.path[len(before) :] or one.array.dtype.kind not in "buif":
            continue
        _check_count(one.name, one.array.shape, one.array.chunks)
        lazy = one.array.ndim > 1
        values = need("dask.array").from_array(one.array, chunks=one.array.chunks) if lazy else one.array[...]
        found[one.name] = ([f"{one.name}_{k}" for k in range(one.array.ndim)], values, dict(one.array.attrs))
    return xarray.decode_cf(xarray.Dataset(found), decode_times=False)


def _chunked(array: xarray.DataArray) -> xarray.DataArray:
    """Lazy in the file's own chunks; where it has none, in strips of rows."""
    if array.ndim < 2:
        return array
    chunks = array.encoding.get("preferred_chunks") or {}
    if not (in_file := bool(chunks)):
        slowest = next((d for d in array.dims if array.sizes[d] > 1), array.dims[0])
        chunks = {slowest: max(1, STRIP * array.sizes[slowest] // max(1, array.size))}
    _check_count(array.name, array.shape, [_first(chunks.get(d, n)) for d, n in array.sizes.items()])
    return array.chunk(chunks, name_prefix="xarray-" if in_file else CUT)


def _check_count(name: Any, shape: Sequence[int], chunks: Sequence[int]) -> None:
    count = math.prod(math.ceil(n / max(1, length)) for n, length in zip(shape, chunks, strict=True))
    if count > _MOST_CHUNKS:
        raise InputError(
            f"{name}: claims {' x '.join(map(str, shape))} samples in {count:,} chunks; expected at most"
            f" {_MOST_CHUNKS:,}: write larger chunks"
        )


def _first(length: Any) -> int:
    return max(1, int(length[0] if isinstance(length, tuple) else length))


def _engine(path: Path) -> dict[str, Any]:
    if path.is_dir():
        need("zarr")
        return {"engine": "zarr"}
    with path.open("rb") as file:
        if (head := file.read(4))[:3] == b"CDF":
            if head[3:] == b"\x05":
                raise InputError(
                    "NetCDF of 64-bit data (CDF-5): valid, not supported; convert it: nccopy -k nc4 IN OUT"
                )
            return {"engine": "scipy"}
    import h5py

    # What is no HDF5 at all is found out here: h5netcdf's own reader would grumble about it on standard error.
    with h5py.File(path, "r"):
        pass
    # Plain HDF5 files do not name their dimensions.
    return {"engine": "h5netcdf", "phony_dims": "access"}


def _check_members(path: Path) -> None:
    """Find a header that claims more samples than its member holds bytes, before memory is asked for."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as file:
                shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
            if dtype.itemsize * float(np.prod(shape, dtype=float)) > member.file_size:
                raise InputError(f"damaged: {member.filename} claims an array of shape {shape}; get the file anew")
