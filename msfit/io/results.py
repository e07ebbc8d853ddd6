"""Results on disk: HDF5 that xarray opens and msfit reads back, and exports for MATLAB and numpy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy
from msfit.data.result import MAPS, FitResult, Status
from msfit.data.status import STATUS_TYPE, UNKNOWN, flag_table, translation
from msfit.errors import InputError
from msfit.io.large import write_large
from msfit.io.output import check_output, written_whole

if TYPE_CHECKING:
    import xarray

_LONG_NAMES = {
    "f_mel": "melanosome volume fraction of the epidermis",
    "f_blood": "blood volume fraction of the dermis",
    "i_d": "diffuse shading",
    "i_s": "specular shading",
    "rmse": "root mean squared residual of the reflectance",
    "gap": "rmse minus a lower bound of what any point within the bounds reaches",
}
_STD, _CORRELATION = "std_", "correlation_"
# Attributes of a file that describe the fit itself; all others are `FitResult.attrs`.
_OWN = ("Conventions", "model", "bounds", "bands", "counts")


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
        and status (uint16 with ``flag_masks`` and ``flag_meanings``), on (y, x) or (pixel,); the fitted bands as the
        coordinate `wavelength` [nm]; model, bounds (JSON), bands, counts of each status (JSON) and `FitResult.attrs`
        as attributes.
    """
    import xarray

    dims = ("y", "x") if len(result.shape) == 2 else ("pixel",)
    variables = {name: (dims, getattr(result, name), _describe(name, result)) for name in MAPS}
    for name, values in (result.std or {}).items():
        described = {"units": "1", "long_name": f"standard deviation of the {_LONG_NAMES.get(name, name)}"}
        variables[_STD + name] = (dims, values, described)
    for pair, values in (result.correlation or {}).items():
        first, second = (_LONG_NAMES.get(name, name) for name in pair.split(","))
        described = {"units": "1", "long_name": f"correlation of the {first} and the {second}", "parameters": pair}
        variables[_correlation_name(pair)] = (dims, values, described)
    for name, values in result.extra.items():
        variables[name] = (dims, values, _describe(name, result))
    if result.gap is not None:
        variables["gap"] = (dims, result.gap, _describe("gap", result))
    flags = {
        "long_name": "what became of the pixel",
        "flag_masks": np.array(list(flag_table().values()), STATUS_TYPE),
        "flag_meanings": " ".join(flag_table()),
    }
    variables["status"] = (dims, result.status.astype(STATUS_TYPE, copy=False), flags)
    described = {"units": "nm", "long_name": "wavelengths of the bands that were fitted"}
    return xarray.Dataset(
        variables, {"wavelength": ("wavelength", result.wavelengths, described)}, _attributes(result, counted)
    )


def _correlation_name(pair: str) -> str:
    return _CORRELATION + pair.replace(",", "_")


def save(result: FitResult, path: str | Path, labels: Mapping[str, np.ndarray] | None = None) -> None:
    """Write a result; the file appears whole or not at all.

    Parameters
    ----------
    result : FitResult
    path : str or Path
        ``.h5`` or ``.nc``: compressed HDF5 (netCDF-4) that `load_result` reads back and
        ``xarray.open_dataset(path, engine="h5netcdf")`` opens; ``.mat``: MATLAB; ``.npz``: numpy.
    labels : mapping of arrays, optional
        One value a pixel, of the shape of the maps: stored beside them under their names in HDF5.

    Raises
    ------
    InputError
        Another extension; the folder is absent or cannot be written to; the disk is full.
    """
    path = check_output(path, EXTENSIONS)
    write = EXTENSIONS[path.suffix.lower()]
    if write is _as_netcdf and is_lazy(result.status):
        with written_whole(path) as part:
            write_large(*_encoded(result, labels), part)
        return
    content = _as_netcdf(result, labels) if write is _as_netcdf else write(result)
    with written_whole(path) as part:
        part.write_bytes(content)


def load_result(path: str | Path, *, lazy: bool = False) -> FitResult:
    """Read a result that `FitResult.save` has written as ``.h5`` or ``.nc``.

    Parameters
    ----------
    path : str or Path
    lazy : bool
        Leave the maps on disk, as dask arrays, which read the file when they are computed.

    Returns
    -------
    FitResult
        As it was, without the cube that was fitted.

    Raises
    ------
    InputError
        No such file, or not a result of msfit.
    """
    import xarray

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a result written by msfit")
    try:
        if lazy:
            return _from_dataset(xarray.open_dataset(path, engine="h5netcdf", chunks={}))
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            return _from_dataset(dataset.load())
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error) if isinstance(error, InputError) else "not an HDF5 file of that layout, or a damaged one"
        raise InputError(f"{path}: {reason}; expected a result written by msfit as .h5 or .nc") from error


def _from_dataset(dataset: xarray.Dataset) -> FitResult:
    missing = [name for name in (*MAPS, "status", "wavelength") if name not in dataset.variables]
    missing += [name for name in ("model", "bounds") if name not in dataset.attrs]
    if missing:
        raise InputError(f"it holds no {', '.join(missing)}")
    status = dataset["status"]
    masks = "flag_masks" in status.attrs
    try:  # by name, so that a later version may number them in another way
        codes = translation(
            str(status.attrs["flag_meanings"]), status.attrs["flag_masks" if masks else "flag_values"], masks=masks
        )
    except KeyError as unknown:
        raise InputError(f"its pixels have a status unknown to this version: {unknown.args[0].lower()}") from None
    known = status.data
    values = known.map_blocks(codes.__getitem__, dtype=STATUS_TYPE) if is_lazy(known) else codes[known]
    if bool((values == UNKNOWN).any()):
        raise InputError("its pixels have a status without a meaning")
    f_mel, f_blood, i_d, i_s, rmse = (dataset[name].data for name in MAPS)
    bounds = {name: (float(low), float(high)) for name, (low, high) in json.loads(dataset.attrs["bounds"]).items()}
    extra = {name: dataset[name].data for name in bounds if name not in MAPS}
    std = {name: dataset[_STD + name].data for name in (*MAPS, *extra) if _STD + name in dataset}
    correlation = {
        str(variable.attrs["parameters"]): variable.data
        for name, variable in dataset.data_vars.items()
        if str(name).startswith(_CORRELATION)
    }
    return FitResult(
        f_mel=f_mel,
        f_blood=f_blood,
        i_d=i_d,
        i_s=i_s,
        rmse=rmse,
        status=values,
        model=str(dataset.attrs["model"]),
        bounds=bounds,
        wavelengths=dataset["wavelength"].to_numpy(),
        std=std or None,
        correlation=correlation or None,
        extra=extra,
        gap=dataset["gap"].data if "gap" in dataset else None,
        attrs={name: _plain(value) for name, value in dataset.attrs.items() if name not in _OWN},
    )


def _describe(name: str, result: FitResult) -> dict[str, Any]:
    described: dict[str, Any] = {"units": "1", "long_name": _LONG_NAMES.get(name, name)}
    if name in result.extra:
        about = result.attrs.get("extra", {})
        described |= (json.loads(about) if isinstance(about, str) else about).get(name, {})
    if name in result.bounds:
        # not `bounds`, nor valid_min: both mean something else in CF
        described["lower_bound"], described["upper_bound"] = result.bounds[name]
    return described


def _attributes(result: FitResult, counted: bool = True) -> dict[str, Any]:
    bands = result.wavelengths
    own = {
        "Conventions": "CF-1.11",
        "model": result.model,
        "bounds": json.dumps({name: list(pair) for name, pair in result.bounds.items()}),
        "bands": f"{bands.size} bands, {bands.min():g}-{bands.max():g} nm",
    }
    if counted:
        own["counts"] = json.dumps({status.label: count for status, count in result.counts().items()})
    others = {name: _plain(value) for name, value in result.attrs.items() if name and value is not None}
    # a result that was read from a file keeps the versions that made it
    return {**_versions(), **others, **own}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    from msfit import __version__

    return {"msfit_version": __version__, "torch_version": version("torch"), "numpy_version": version("numpy")}


def _plain(value: Any) -> Any:
    """What every HDF5 reader understands: numbers and text without what UTF-8 or C cannot hold; the rest as JSON."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "")


def _encoded(result: FitResult, labels: Mapping[str, np.ndarray] | None = None) -> tuple[xarray.Dataset, Any]:
    """The dataset of a result, and how its variables are stored."""
    dataset = to_dataset(result)
    compressed = {"zlib": True, "complevel": 4, "shuffle": True}
    encoding: dict[Any, dict[str, Any]] = {name: dict(compressed) for name in dataset.data_vars}
    # without a fill value readers keep the flags as integers
    encoding["status"]["_FillValue"] = None
    encoding["wavelength"] = {"_FillValue": None}
    dims = dataset["status"].dims
    dataset = dataset.assign_coords({name: (dims, values) for name, values in (labels or {}).items()})
    return dataset, encoding


def _as_netcdf(result: FitResult, labels: Mapping[str, np.ndarray] | None = None) -> Any:
    dataset, encoding = _encoded(result, labels)
    # in memory first: HDF5 itself does not recover from a disk that fills up under it
    return dataset.to_netcdf(engine="h5netcdf", encoding=encoding)


def _as_mat(result: FitResult) -> bytes:
    import io

    from scipy.io import savemat

    content = {
        **_arrays(result),
        "model": result.model,
        "bounds": {name: np.array(pair) for name, pair in result.bounds.items()},
        "status_meanings": np.array([f"{int(flag)}: {flag.meaning}" for flag in Status], dtype=object),
        "info": _matlab_names(_attributes(result)),
    }
    buffer = io.BytesIO()
    savemat(buffer, content, do_compression=True, oned_as="column", long_field_names=True)
    return buffer.getvalue()


def _as_npz(result: FitResult) -> bytes:
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **_arrays(result), attributes=np.array(json.dumps(_attributes(result))))
    return buffer.getvalue()


def _arrays(result: FitResult) -> dict[str, Any]:
    std = {_STD + name: values for name, values in (result.std or {}).items()}
    maps = {name: getattr(result, name) for name in MAPS} | dict(result.extra)
    correlation = {_correlation_name(pair): values for pair, values in (result.correlation or {}).items()}
    gap = {} if result.gap is None else {"gap": result.gap}
    return {**maps, **std, **correlation, **gap, "status": result.status, "wavelengths": result.wavelengths}


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


EXTENSIONS = {".h5": _as_netcdf, ".nc": _as_netcdf, ".mat": _as_mat, ".npz": _as_npz}
