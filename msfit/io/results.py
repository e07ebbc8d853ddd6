"""Results on disk: HDF5 that xarray opens, MATLAB, numpy and what `exports` adds; all of them are read back."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy
from msfit.data.result import FitResult, Status
from msfit.errors import InputError, names_nearest
from msfit.io.exports import (
    as_csv,
    as_tiff,
    from_csv,
    from_envi,
    from_tiff,
    open_zarr,
    write_envi,
    write_zarr,
)
from msfit.io.layout import arrays, layout_of, parts_of_arrays
from msfit.io.output import check_output, written_whole
from msfit.io.parts import Parts, parts_of, result_of

if TYPE_CHECKING:
    import xarray


def to_dataset(result: FitResult, *, counted: bool = True) -> xarray.Dataset:
    """A result as a dataset that follows the CF conventions.

    Parameters
    ----------
    result : FitResult
    counted : bool
        Whether statuses are counted, for which a lazy map must be computed.

    Returns
    -------
    xarray.Dataset
        Maps f_mel, f_blood, i_d, i_s, rmse [1], std_*, correlation_*, gap and extra parameters where there are any,
        and status (uint16 with ``flag_masks`` and ``flag_meanings``), on (y, x) or (pixel,), or on axes with the names
        and coordinates of what was fitted; the fitted bands as the coordinate `wavelength` [nm]; model, bounds (JSON),
        bands, counts of each status (JSON) and `FitResult.attrs` as attributes.
    """
    return _dataset(parts_of(result, counted=counted))


def _dataset(parts: Parts) -> xarray.Dataset:
    import xarray

    return xarray.Dataset(parts.variables, parts.coords, parts.attrs)


def save(result: FitResult, path: str | Path, labels: Mapping[str, np.ndarray] | None = None) -> None:
    """Write a result; the file appears whole or not at all.

    Parameters
    ----------
    result : FitResult
    path : str or Path
        ``.h5`` or ``.nc``: compressed HDF5 (netCDF-4), which ``xarray.open_dataset(path, engine="h5netcdf")`` opens;
        ``.mat``: MATLAB; ``.npz``: numpy; ``.csv``: a table with a pixel a row; ``.hdr``: ENVI, with the maps in an
        ``.img`` beside it; ``.tif``: OME-TIFF, float32; ``.zarr``. `load_result` reads them all.
    labels : mapping of arrays, optional
        One value a pixel, of the shape of the maps: stored beside them under their names.

    Raises
    ------
    InputError
        Another extension; the folder is absent or cannot be written to; the disk is full.
    """
    path = check_output(path, EXTENSIONS)
    write, _ = EXTENSIONS[path.suffix.lower()]
    parts = parts_of(result)
    parts.coords |= {name: (parts.variables["status"][0], values, {}) for name, values in (labels or {}).items()}
    if write is write_zarr:
        write_zarr(_dataset(parts), path)
        return
    if write is write_envi:
        write_envi(parts, path)
        return
    if write is _as_netcdf and is_lazy(result.status):
        from msfit.io.large import write_large

        with written_whole(path) as part:
            write_large(_dataset(parts), _encoding(parts), part)
        return
    content = write(parts)
    with written_whole(path) as part:
        part.write_bytes(content)


@names_nearest
def load_result(path: str | Path, *, lazy: bool = False) -> FitResult:
    """Read a result that `FitResult.save` has written.

    Parameters
    ----------
    path : str or Path
        Ends in .h5, .nc, .mat, .npz, .csv, .hdr, .tif or .zarr.
    lazy : bool
        Of .h5, .nc and .zarr: leave the maps on disk, as dask arrays, which read the file when they are computed.

    Returns
    -------
    FitResult
        As it was, without the cube that was fitted.

    Raises
    ------
    InputError
        No such file, or not a result of msfit.
    """
    path = Path(path).expanduser()
    zarr = path.suffix.lower() == ".zarr"
    if not (path.is_dir() if zarr else path.is_file()):
        raise InputError(f"{path}: no such file; expected a result written by msfit")
    _, read = EXTENSIONS.get(path.suffix.lower(), (None, _from_netcdf))
    try:
        if zarr:
            return result_of(_parts(open_zarr(path, lazy=lazy)))
        return result_of(_lazy_parts(path) if lazy and read is _from_netcdf else read(path))
    except _DAMAGED as error:
        reason = str(error) if isinstance(error, InputError) else "of another layout, or damaged"
        raise InputError(f"{path}: {reason}; expected a result written by msfit") from error


# What readers of files meet damaged bytes with.
_DAMAGED = (
    *(OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, EOFError, MemoryError),
    *(NotImplementedError, OverflowError, StopIteration, SystemError, zipfile.BadZipFile, zlib.error, struct.error),
)


# --- HDF5 (netCDF-4) -------------------------------------------------------------------------------------------------


def _encoding(parts: Parts) -> dict[Any, dict[str, Any]]:
    encoding: dict[Any, dict[str, Any]] = {
        name: {"zlib": True, "complevel": 4, "shuffle": True} for name in parts.variables
    }
    # without a fill value readers keep the flags as integers
    encoding["status"]["_FillValue"] = None
    encoding["wavelength"] = {"_FillValue": None}
    return encoding


def _as_netcdf(parts: Parts) -> Any:
    """In memory first: HDF5 itself does not recover from a disk that fills up under it."""
    if not all(np.asarray(values).dtype.kind in "uif" for _, values, _ in parts.coords.values()):
        # text, dates and the like: xarray knows how CF writes them
        return _dataset(parts).to_netcdf(engine="h5netcdf", encoding=_encoding(parts))
    import h5netcdf

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        file.attrs.update(parts.attrs)
        for name, (dims, values, attrs) in {**parts.coords, **parts.variables}.items():
            array = np.asarray(values)
            for dim, length in zip(dims, array.shape, strict=True):
                if dim not in file.dimensions:
                    file.dimensions[dim] = length
            packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
            fill = {"fillvalue": np.nan} if array.dtype.kind == "f" and name != "wavelength" else {}
            stored = packed if name in parts.variables and array.ndim else {}
            variable = file.create_variable(name, dims, data=array, dtype=array.dtype, **stored, **fill)
            variable.attrs.update(attrs)
            beside = [
                other for other, (own, _, _) in parts.coords.items() if other not in own and set(own) <= set(dims)
            ]
            if name in parts.variables and beside:
                variable.attrs["coordinates"] = " ".join(beside)
    return buffer.getvalue()


def _from_netcdf(path: Path) -> Parts:
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        attrs = dict(file.attrs)
        held = {
            name: (tuple(variable.dimensions), variable[...], _attributes(variable))
            for name, variable in file.variables.items()
        }
    named = " ".join(str(attributes.pop("coordinates", "")) for _, _, attributes in held.values()).split()
    coords = {name for name, (dims, _, _) in held.items() if name in dims} | set(named) & set(held)
    if any(not _is_number(held[name]) for name in coords):
        import xarray

        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            return _parts(dataset.load())
    return Parts(
        {name: part for name, part in held.items() if name not in coords}, {name: held[name] for name in coords}, attrs
    )


def _attributes(variable: Any) -> dict[str, Any]:
    return {name: value for name, value in variable.attrs.items() if name != "_FillValue"}


def _is_number(part: Any) -> bool:
    """Whether a variable is stored as what it is; text, dates and flags are left to xarray."""
    _, values, attributes = part
    return values.dtype.kind in "uif" and " since " not in str(attributes.get("units")) and "dtype" not in attributes


def _lazy_parts(path: Path) -> Parts:
    import xarray

    return _parts(xarray.open_dataset(path, engine="h5netcdf", chunks={}))


def _parts(dataset: xarray.Dataset) -> Parts:
    def plain(variables: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(name): (tuple(map(str, v.dims)), v.data, dict(v.attrs)) for name, v in variables.items()}

    return Parts(plain(dataset.data_vars), plain(dataset.coords), dict(dataset.attrs))


# --- MATLAB and numpy ------------------------------------------------------------------------------------------------


def _as_mat(parts: Parts) -> bytes:
    from scipy.io import savemat

    attrs = dict(parts.attrs)
    content = {
        **arrays(parts),
        "model": attrs["model"],
        "bounds": {name: np.array(pair) for name, pair in json.loads(attrs["bounds"]).items()},
        "status_meanings": np.array([f"{int(flag)}: {flag.meaning}" for flag in Status], dtype=object),
        "info": _matlab_names(attrs),
        "layout": json.dumps(layout_of(parts)),
    }
    buffer = io.BytesIO()
    savemat(buffer, content, do_compression=True, oned_as="column", long_field_names=True)
    return buffer.getvalue()


def _from_mat(path: Path) -> Parts:
    from scipy.io import loadmat

    file = loadmat(path, simplify_cells=False)
    held = {name: values for name, values in file.items() if not name.startswith("__")}
    held = {name: np.char.rstrip(v) if v.dtype.kind == "U" else v for name, v in held.items()}
    if "layout" in held:
        return parts_of_arrays(held, json.loads(str(held["layout"][0])))
    # version 0.1.0: attributes by names that MATLAB takes; a list of spectra is a column
    info = held["info"][0, 0]
    attrs = {name: _scalar(info[name]) for name in info.dtype.names}
    if held["status"].ndim == 2 and held["status"].shape[1] == 1:
        held = {n: v.ravel() if getattr(v, "shape", None) == held["status"].shape else v for n, v in held.items()}
    return parts_of_arrays(held, {"attributes": attrs})


def _scalar(value: Any) -> Any:
    found = np.asarray(value).ravel()
    return found[0].item() if found.size == 1 and found.dtype.kind != "U" else str(found[0]) if found.size else ""


def _as_npz(parts: Parts) -> bytes:
    buffer = io.BytesIO()
    attributes = np.array(json.dumps(parts.attrs))
    layout = np.array(json.dumps(layout_of(parts)))
    np.savez_compressed(buffer, **arrays(parts), attributes=attributes, layout=layout)
    return buffer.getvalue()


def _from_npz(path: Path) -> Parts:
    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    layout = (
        json.loads(str(held["layout"])) if "layout" in held else {"attributes": json.loads(str(held["attributes"]))}
    )
    return parts_of_arrays(held, layout)


def _matlab_names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Field names that MATLAB takes: letters, digits and underscores, a letter first, 63 at most."""
    renamed: dict[str, Any] = {}
    for name, value in attributes.items():
        field = re.sub(r"\W", "_", name, flags=re.ASCII)[:60]
        field = field if field[:1].isalpha() else f"x{field}"[:60]
        while field in renamed:
            field += "_"
        renamed[field] = value
    return renamed


#: How results are written and read, by the ending of the file's name.
EXTENSIONS: dict[str, tuple[Callable[..., Any], Callable[[Path], Parts]]] = {
    ".h5": (_as_netcdf, _from_netcdf),
    ".nc": (_as_netcdf, _from_netcdf),
    ".mat": (_as_mat, _from_mat),
    ".npz": (_as_npz, _from_npz),
    ".csv": (as_csv, from_csv),
    ".hdr": (write_envi, from_envi),
    ".tif": (as_tiff, from_tiff),
    ".tiff": (as_tiff, from_tiff),
    ".zarr": (write_zarr, lambda path: _parts(open_zarr(path, lazy=False))),
}
