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
from msfit.io.inside import Stored, picture_inside, stored_arrays, unread_in, wavelengths_inside
from msfit.io.labelled import UNNAMED, has_wavelengths, picture_of, scan_of_xarray
from msfit.io.matlab.unreadable import Unreadable
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
            objects = _check_members(path)
            with np.load(path, allow_pickle=False) as file:
                held = {name: Unreadable("Python objects") if name in objects else file[name] for name in file.files}
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
    used = (*QUANTITIES, *WAVES, "mask", "illuminant", "saturation", wanted)
    engine, others = _engine(path), {}
    if engine["engine"] == "h5netcdf":
        import h5py

        with h5py.File(path, "r") as file:
            others = unread_in(file[group] if group else file)
    for name in used:
        if what := others.get(name):
            raise InputError(
                f"{name}: is {what}: valid, not supported; expected one file that holds all as arrays, plain or gzip"
            )
    try:
        if path.is_dir() and not _names_dimensions(path):
            return _without_xarray(path, group, used)
        dataset = _decoded(path, group, list(others), engine)
    except Exception as error:
        if engine["engine"] == "scipy":
            raise
        try:
            return _without_xarray(path, group, used)
        except InputError:
            raise
        except Exception:
            raise error from None
    return dataset.assign({name: _chunked(array) for name, array in dataset.data_vars.items()})


def _decoded(path: Path, group: str, dropped: list[str], engine: dict[str, Any]) -> xarray.Dataset:
    """The dataset, with times; as numbers, where one of them says nothing that is understood."""
    import xarray

    common: dict[str, Any] = {
        "chunks": None,
        "cache": False,
        "group": group or None,
        "drop_variables": dropped,
        **engine,
    }
    try:
        return xarray.open_dataset(path, **common)
    except (ValueError, OverflowError):
        return xarray.open_dataset(path, decode_times=False, decode_timedelta=False, **common)


def _names_dimensions(path: Path) -> bool:
    """Whether the arrays of a Zarr store name their dimensions, without which xarray reads none."""
    return all(one.array.ndim == 0 or _dimensions(one) for one in stored_arrays(path))


def _dimensions(one: Stored) -> list[str] | None:
    """Names of the dimensions of an array of a Zarr store, where it has some."""
    named = getattr(getattr(one.array, "metadata", None), "dimension_names", None)
    named = named or one.array.attrs.get("_ARRAY_DIMENSIONS")
    return None if named is None else [str(name) for name in named]


def _without_xarray(path: Path, group: str, used: Sequence[str]) -> xarray.Dataset:
    """The arrays of a group of a store that xarray does not read, for what lies beside them or for lack of names.

    Dimensions without a name get one of their own.
    """
    import xarray

    before = f"{group}/" if group else ""
    failed: dict[str, str] = {}
    found = {}
    for one in stored_arrays(path, failed):
        if not one.path.startswith(before) or "/" in one.path[len(before) :] or one.array.dtype.kind not in "buif":
            continue
        if one.array.shape is None:
            continue
        shape = one.array.shape
        lazy = one.array.ndim > 1
        chunks = one.array.chunks or (max(1, STRIP // max(1, math.prod(shape[1:]))), *shape[1:])
        _check_count(one.name, shape, chunks)
        values = need("dask.array").from_array(one.array, chunks=chunks) if lazy else one.array[...]
        names = _dimensions(one) or [f"{UNNAMED}{one.name}_{k}" for k in range(len(shape))]
        found[one.name] = (names, values, {name: one.array.attrs[name] for name in one.array.attrs})
    for name in used:
        if what := failed.get(before + name):
            raise InputError(f"{name}: cannot be read ({what}); expected an array: get the file anew")
    return xarray.decode_cf(xarray.Dataset(found), decode_times=False, decode_timedelta=False)


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


def _check_members(path: Path) -> set[str]:
    """Find a header that claims more samples than its member holds bytes; returns names of arrays of objects.

    Those are pickles, which may run anything, and are never read.
    """
    objects = set()
    first, later = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    headers = {(1, 0): first, (2, 0): later, (3, 0): later}  # 3.0 is 2.0 in UTF-8
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as file:
                shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
            if dtype.hasobject:
                objects.add(member.filename.removesuffix(".npy"))
            elif dtype.itemsize * float(np.prod(shape, dtype=float)) > member.file_size:
                raise InputError(f"damaged: {member.filename} claims an array of shape {shape}; get the file anew")
    return objects
