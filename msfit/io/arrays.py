"""Files of arrays: NetCDF, HDF5 and Zarr through xarray, lazily; NPZ and NPY through numpy."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.lazy_arrays import CUT, STRIP
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.labelled import scan_of_xarray
from msfit.io.matlab.variables import scan_of
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
    import xarray

    need("dask.array")
    group, _, name = (variable or "").rpartition("/")
    try:
        engine = _engine(path)
        dataset = xarray.open_dataset(path, chunks=None, cache=False, group=group or None, **engine)
        dataset = dataset.assign({name: _chunked(array) for name, array in dataset.data_vars.items()})
    except InputError:
        raise
    except Exception as error:  # xarray's readers meet damaged bytes with whatever they cause
        raise InputError(f"damaged, or no arrays that xarray can read ({said(error)}); get the file anew") from None
    return scan_of_xarray(dataset, name or None, orientation, wavelengths)


def _chunked(array: xarray.DataArray) -> xarray.DataArray:
    """Lazy in the file's own chunks; where it has none, in strips of rows."""
    if array.ndim < 2:
        return array
    chunks = array.encoding.get("preferred_chunks") or {}
    if not (in_file := bool(chunks)):
        slowest = next((d for d in array.dims if array.sizes[d] > 1), array.dims[0])
        chunks = {slowest: max(1, STRIP * array.sizes[slowest] // max(1, array.size))}
    count = math.prod(math.ceil(n / _first(chunks.get(d, n))) for d, n in array.sizes.items())
    if count > _MOST_CHUNKS:
        raise InputError(
            f"{array.name}: claims {' x '.join(map(str, array.shape))} samples in {count:,} chunks; expected at most"
            f" {_MOST_CHUNKS:,}: write larger chunks"
        )
    return array.chunk(chunks, name_prefix="xarray-" if in_file else CUT)


def _first(length: Any) -> int:
    return max(1, int(length[0] if isinstance(length, tuple) else length))


def _engine(path: Path) -> dict[str, Any]:
    if path.is_dir():
        need("zarr")
        return {"engine": "zarr"}
    with path.open("rb") as file:
        if file.read(3) == b"CDF":
            return {"engine": "scipy"}
    # What is no HDF5 at all is found out here: h5netcdf's own reader would grumble about it on standard error.
    with need("h5py").File(path, "r"):
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
