"""Spectra in xarray objects: which variable, which dimension holds the bands, in which units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy
from msfit.data.pixel_axes import PixelAxes
from msfit.data.wavelengths import check_wavelengths, to_nanometres
from msfit.errors import InputError
from msfit.io.axes import band_axis
from msfit.io.matlab.variables import MORE_WAVES, QUANTITIES, WAVES, listed
from msfit.io.scan import Quantity, Scan

if TYPE_CHECKING:
    import pandas
    import xarray

_BAND_DIMENSIONS = (*WAVES, "lambda", "wl", "band", "bands", "channel", "spectral")
_BESIDE = ("illuminant", "mask", *WAVES)
# Dimensions that a file leaves without a name get one that begins so, which h5netcdf calls "phony".
UNNAMED = "phony_dim_"
# Names of the maps of a result.
TAKEN = ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status", "gap", "wavelength")
_FRACTION = ("", "1", "dimensionless", "unitless", "none", "n/a", "na", "fraction", "ratio", "reflectance")
_PERCENT = ("%", "percent", "per cent", "per_cent", "pct")
_COUNTS = ("count", "counts", "dn", "digital number", "digital numbers", "adu")


def has_wavelengths(data: xarray.DataArray | xarray.Dataset, variable: str | None = None) -> bool:
    """Whether an xarray object has wavelengths that can be used; mere numbers of bands are none."""
    dataset = _as_dataset(data)
    try:
        check_wavelengths(_wavelengths(dataset, dataset[picture_of(dataset, variable)]))
    except InputError:
        return False
    return True


def scan_of_xarray(
    data: xarray.DataArray | xarray.Dataset,
    variable: str | None = None,
    orientation: str | None = None,
    wavelengths: Any = None,
) -> Scan:
    """Make sense of an xarray object.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        With two or three dimensions; others of length one are dropped. The wavelengths are the coordinate of the
        dimension of the bands, or a variable named wavelength or wave, in the unit of its attribute `units` (nm where
        that is absent). `illuminant` and `mask` beside it are taken. A stated unit of the values is believed.
    variable, orientation, wavelengths
        As in `msfit.load`.

    Raises
    ------
    InputError
        No spectra, no wavelengths, or dimensions that do not fit them.
    """
    dataset = _as_dataset(data)
    array = dataset[picture_of(dataset, variable)]
    single = [d for d in array.dims if array.sizes[d] == 1 and d not in _BAND_DIMENSIONS]
    array = array.squeeze(single[: max(0, array.ndim - 2)], drop=True)
    if array.ndim not in (2, 3):
        raise InputError(f"{array.name}: found an array of shape {array.shape}; expected (y, x, band) or (pixel, band)")
    if array.dtype.kind not in "buif":
        raise InputError(f"{array.name}: found {array.dtype}; expected real numbers")
    nm = check_wavelengths(_wavelengths(dataset, array) if wavelengths is None else wavelengths)
    bands = _band_dimension(array, nm.size, orientation)
    named = ("y", "x") if {"y", "x"} < set(array.dims) else ()
    array = array.transpose(*named, ..., bands)
    values, quantity, saturation = _in_fractions(array)
    illuminant, mask = (_beside(dataset, name, array) for name in ("illuminant", "mask"))
    if illuminant is not None and array.name != "reflectance":
        quantity = "radiance"
    remarks = {name: value for name, value in array.attrs.items() if isinstance(value, str | int | float)}
    remarks.pop("units", None)
    return Scan(
        values,
        nm,
        quantity,
        illuminant,
        mask,
        saturation,
        {**remarks, "variable": str(array.name)},
        axes=_axes_of(array, remarks),
    )


def _axes_of(array: xarray.DataArray, remarks: dict[str, Any]) -> PixelAxes:
    """Names and coordinates of the axes before that of the bands; without those whose names maps of a result have."""
    dims = tuple(map(str, array.dims[:-1]))
    beside = (*_BESIDE, *TAKEN)
    coords = {
        str(name): (tuple(map(str, coord.dims)), coord.data if coord.ndim > 1 else coord.values, dict(coord.attrs))
        for name, coord in array.coords.items()
        if set(coord.dims) <= set(dims) and name not in beside
    }
    if any(dim.startswith(UNNAMED) for dim in dims) and not coords and len(dims) <= 2:
        dims = PixelAxes.of_shape(array.shape[:-1]).dims
    about_values = ("long_name", "standard_name", "saturation", "grid_mapping", "coordinates")
    return PixelAxes(dims, coords, attrs={name: v for name, v in remarks.items() if name not in about_values})


def scan_of_pandas(data: pandas.DataFrame | pandas.Series, wavelengths: Any = None) -> Scan:
    """Make sense of a table with a spectrum a row, or of one spectrum.

    Parameters
    ----------
    data, wavelengths
        As in `msfit.Cube.from_pandas`.

    Raises
    ------
    InputError
        Columns that are no wavelengths, cells that are no numbers, or wavelengths given twice.
    """
    table = data.to_frame().T if data.ndim == 1 else data
    own = [_stated_wavelength(label) for label in table.columns]
    if wavelengths is None:
        if odd := [label for label, nm in zip(table.columns, own, strict=True) if nm is None]:
            raise InputError(
                f"columns: found {odd[0]!r}; expected wavelengths [nm] alone: put the others into the index, as"
                f" table.set_index([{odd[0]!r}])"
            )
        wavelengths = np.array(own, np.float64)
    elif own and all(nm is not None and nm > 100 for nm in own):
        raise InputError("wavelengths: given beside a table whose columns are some; leave them out")
    values = table.to_numpy()
    if values.dtype.kind not in "uif":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError("values: found cells that are no numbers; expected reflectance [1]") from None
    values = values.astype(np.float64) if values.dtype.kind in "ui" else values
    return Scan(values, wavelengths, "reflectance", axes=_axes_of_index(table.index))


def _axes_of_index(index: pandas.Index) -> PixelAxes:
    """The index of a table as coordinates of its rows; levels without a name are called pixel, level_1, ..."""
    coords: dict[str, Any] = {}
    names = []
    for number in range(index.nlevels):
        name = str(index.names[number] or (f"level_{number}" if number or index.nlevels > 1 else "pixel"))
        name = f"{name}_" if name in TAKEN else name
        values = index.get_level_values(number).to_numpy()
        if values.dtype.kind not in "uifbM":
            values = np.array([str(value) for value in values])
        coords[name] = (("pixel",), values, {})
        names.append(name)
    return PixelAxes(("pixel",), coords, tuple(names))


def _stated_wavelength(label: Any) -> float | None:
    """A wavelength [nm] from the name of a column: a number, or text such as "450" or "450 nm"."""
    text = str(label).strip().lower().removesuffix("nm").strip()
    try:
        return None if isinstance(label, bool) else float(text)
    except ValueError:
        return None


def _as_dataset(data: xarray.DataArray | xarray.Dataset) -> xarray.Dataset:
    import xarray

    return data.to_dataset(name=data.name or "values") if isinstance(data, xarray.DataArray) else data


def picture_of(dataset: xarray.Dataset, variable: str | None) -> str:
    """Name of the picture in a dataset."""
    names = [str(name) for name in dataset.data_vars]
    if variable is not None and variable not in names:
        raise InputError(f"variable: found no {variable!r}; the file holds {listed(names)}")
    known = [name for name in QUANTITIES if name in names]
    pictures = [name for name in names if dataset[name].ndim > 1 and name not in _BESIDE]
    if variable or known or len(pictures) == 1:
        return variable or (known or pictures)[0]
    raise InputError(
        f"holds {listed(names)}; expected spectra named {', '.join(QUANTITIES)}: --variable NAME (variable='NAME')"
    )


def _wavelengths(dataset: xarray.Dataset, array: xarray.DataArray) -> np.ndarray:
    places = [(place, name) for name in WAVES for place in (array.coords, dataset.variables)]
    places += [(array.coords, dimension) for dimension in array.dims if dimension in _BAND_DIMENSIONS]
    places += [(array.coords, str(d)) for d in array.dims if d in array.coords and _is_spectral(array.coords[d])]
    others = [str(name) for name in dataset.variables if str(name).lower() in MORE_WAVES]
    places += [(dataset.variables, name) for name in others] if len(others) == 1 else []
    for place, name in places:
        if name in place:
            return to_nanometres(np.asarray(place[name]), place[name].attrs.get("units"))
    raise InputError(
        "no wavelengths: expected a coordinate wavelength [nm]: --wavelengths 400:700:10 or FILE (wavelengths=)"
    )


def _is_spectral(coord: Any) -> bool:
    """Whether a coordinate says of itself that it holds wavelengths, by its unit and name or its standard name."""
    attrs = coord.attrs
    standard = str(attrs.get("standard_name", "")).lower()
    named = "wave" in str(coord.name).lower() or "wavelength" in str(attrs.get("long_name", "")).lower()
    return standard in ("radiation_wavelength", "sensor_band_central_radiation_wavelength") or named


def _band_dimension(array: xarray.DataArray, bands: int, orientation: str | None) -> Any:
    named = [d for d in array.dims if d in _BAND_DIMENSIONS and array.sizes[d] == bands]
    if len(named) == 1 and orientation is None:
        return named[0]
    return array.dims[band_axis(str(array.name), array.shape, bands, orientation)]


def _in_fractions(array: xarray.DataArray) -> tuple[Any, Quantity, float | None]:
    """Values, what they are, and where they saturate."""
    values, saturation = array.data, _saturation(array)
    unit = str(array.attrs.get("units", "")).strip().lower()
    quantity = QUANTITIES.get(str(array.name), "reflectance")
    values, saturation = _scaled(array, values, saturation)
    if unit in _PERCENT:
        values = values.astype(np.result_type(values.dtype, np.float32)) / 100
        return values, "reflectance", None if saturation is None else saturation / 100
    if unit in _COUNTS or (values.dtype.kind in "ui" and quantity == "reflectance"):
        return values, "counts", saturation
    if unit not in _FRACTION and quantity == "reflectance":
        return values, "radiance", saturation
    return values, quantity, saturation


def _scaled(array: xarray.DataArray, values: Any, saturation: float | None) -> tuple[Any, float | None]:
    """What xarray leaves as it is: scales and missing values by names other than CF's; scales below zero.

    NEON's ``Scale_Factor`` is a divisor (10000) with ``Data_Ignore_Value``; one below 1 is a factor, as CF's.
    """
    stated = {str(name).lower(): value for name, value in array.attrs.items()}
    single = {name: np.asarray(value).ravel() for name, value in stated.items()}
    numbers = {name: float(v[0]) for name, v in single.items() if v.size == 1 and v.dtype.kind in "uif"}
    missing = numbers.get("data_ignore_value")
    scale = numbers.get("scale_factor")
    if missing is not None or scale is not None:
        values = values.astype(np.result_type(values.dtype, np.float32))
        if missing is not None:
            values = _where(values)(values == missing, np.nan, values)
        if scale is not None:
            if not 0 < scale < np.inf:
                raise InputError(f"{array.name}: found Scale_Factor {scale:g}; expected a positive number")
            factor = 1 / scale if scale >= 1 else scale
            values = values * np.asarray(factor, values.dtype)
            saturation = None if saturation is None else saturation * factor
    if saturation is not None and array.encoding.get("scale_factor", 1) < 0:  # the largest number is the lowest value
        values = _where(values)(values <= saturation, np.nan, values)
        return values, None
    return values, saturation


def _where(values: Any) -> Any:
    if is_lazy(values):
        import dask.array

        return dask.array.where
    return np.where


def _saturation(array: xarray.DataArray) -> float | None:
    """The stated level, or the largest number that the file's integers can hold, after its scale and offset."""
    stored = np.dtype(array.encoding.get("dtype", array.dtype))
    if "saturation" in array.attrs:
        try:
            return float(np.asarray(array.attrs["saturation"]).item())
        except (TypeError, ValueError):
            level = str(array.attrs["saturation"])[:60]
            raise InputError(f"{array.name}: found saturation {level!r} beside it; expected one number") from None
    if stored.kind not in "ui":
        return None
    return float(np.iinfo(stored).max * array.encoding.get("scale_factor", 1) + array.encoding.get("add_offset", 0))


def _beside(dataset: xarray.Dataset, name: str, array: xarray.DataArray) -> Any:
    """An illuminant or a mask, its dimensions in the order of the picture's."""
    if name not in dataset.variables:
        return None
    found = dataset[name].squeeze([d for d in dataset[name].dims if d not in array.dims and dataset.sizes[d] == 1])
    order = [d for d in array.dims if d in found.dims]
    return found.transpose(*order).data if len(order) == found.ndim else found.data
