"""MATLAB files of spectra: ISET scenes in all their forms, and plain reflectance.

The forms follow ISETCam (ImagEval Consulting; github.com/ISET/isetcam): `sceneToFile`, `vcReadImage`,
`illuminantModernize`, `ieUncompressData`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.io.axes import bands_last
from msfit.io.mat import mat_variables, read_mat
from msfit.io.scan import Quantity, Scan
from msfit.io.units import photons_from_energy
from msfit.wavelengths import check_wavelengths

WAVES = ("wave", "wavelength", "wavelengths")
_SCENE = ("mcCOEF", "basis", "imgMean", "illuminant", "spectrum", "comment", "name", "fov", "dist")
# In the order of preference, with what they hold where the file has no illuminant.
_VALUES: dict[str, Quantity] = {
    "photons": "radiance",
    "reflectance": "reflectance",
    "data": "reflectance",
    "radiance": "radiance",
    "counts": "counts",
}
_SATURATION = ("saturation",)


def read_iset(path: Path, variable: str | None = None, orientation: str | None = None, wavelengths: Any = None) -> Scan:
    """Read a MATLAB file.

    Parameters
    ----------
    path : Path
        An ISET scene (`mcCOEF` with `basis`; `photons` or `data` with `wave` or `wavelength`; a `scene` struct), or
        `reflectance` or `data` with `wavelength` or `wave`.
    variable : str, optional
        Name of the array to read, where it is none of these.
    orientation : {"bands-last", "bands-first"}, optional
        Needed where the number of pixels equals the number of bands.
    wavelengths : array (band,), optional
        [nm], in place of the file's.

    Returns
    -------
    Scan
        ISET scenes as radiance with illuminant, photons / (s sr m^2 nm).
    """
    present = mat_variables(path)
    if variable is not None and variable not in present:
        raise InputError(f"variable: found no {variable!r}; the file holds {_listed(present)}")
    known = {*_SCENE, *_VALUES, *WAVES, *_SATURATION}
    names = [name for name in present if name in known or name == variable]
    held = read_mat(path, names)
    if variable is None and not ({"mcCOEF", *_VALUES} & held.keys()):
        scene = _saved_whole(read_mat(path))
        if scene is None:
            raise InputError(
                f"holds {_listed(present)}; expected an ISET scene, or {', '.join(_VALUES)} with wave or wavelength:"
                " pass variable='NAME'"
            )
        held = scene
    return scan_of(held, variable, orientation, wavelengths)


def scan_of(
    held: Mapping[str, Any], variable: str | None = None, orientation: str | None = None, wavelengths: Any = None
) -> Scan:
    """Make sense of named arrays: which is the picture, what are its wavelengths and its light.

    Parameters
    ----------
    held : mapping
        As `read_mat` returns.
    variable, orientation, wavelengths
        As in `read_iset`.
    """
    nm = check_wavelengths(_wavelengths(held) if wavelengths is None else wavelengths)
    quantity: Quantity = "radiance"
    if variable is None and "mcCOEF" in held:
        name, values = "mcCOEF", _expanded(held, nm.size)
    else:
        name = variable or next(name for name in _chosen(held) if name in held)
        values = bands_last(name, numbers(name, held[name]), nm.size, orientation)
        quantity = _VALUES.get(name, "reflectance")
    illuminant = None
    if name != "reflectance" and held.get("illuminant") is not None:
        quantity = "radiance"
        illuminant = _illuminant(held["illuminant"], nm, tuple(values.shape))
    elif quantity == "reflectance" and values.dtype.kind in "ui":
        quantity = "counts"
    saturation = held.get("saturation")
    provenance = {"variable": name, **_remarks(held)}
    return Scan(
        np.ascontiguousarray(values),  # MATLAB's order runs down the columns: rows are read faster side by side
        nm,
        quantity,
        illuminant,
        saturation=None if saturation is None else float(numbers("saturation", saturation).ravel()[0]),
        provenance=provenance,
    )


def numbers(name: str, value: Any) -> np.ndarray:
    """The value as an array of real numbers, not empty.

    Raises
    ------
    InputError
        Text, cells, structs, complex numbers or nothing.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buif":
        found = "complex numbers" if getattr(getattr(value, "dtype", None), "kind", "") == "c" else _kind(value)
        raise InputError(f"{name}: found {found}; expected an array of real numbers")
    if value.size == 0:
        raise InputError(f"{name}: found an empty array of shape {value.shape}; expected spectra")
    return value


def _kind(value: Any) -> str:
    kinds = {str: "text", dict: "a struct", list: "cells", type(None): "an object without numbers"}
    return kinds.get(type(value), "something else")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return shown or "no variables"


def _chosen(held: Mapping[str, Any]) -> list[str]:
    """Names of the picture in order of preference: reflectance first where there is no light to divide by."""
    return [*_VALUES] if held.get("illuminant") is not None else sorted(_VALUES, key=lambda n: n != "reflectance")


def _wavelengths(held: Mapping[str, Any]) -> Any:
    places = [held.get("basis"), held, held.get("spectrum")] if "mcCOEF" in held else [held, held.get("spectrum")]
    for place in places:
        for name in WAVES:
            if isinstance(place, Mapping) and place.get(name) is not None:
                return numbers(name, place[name])
    raise InputError("no wavelengths: expected wave or wavelength [nm] beside the data: pass wavelengths=")


def _expanded(held: Mapping[str, Any], bands: int) -> np.ndarray:
    """Radiance of a linear model: coefficients times basis, plus the mean, never below zero."""
    basis = held.get("basis")
    if not isinstance(basis, Mapping) or "basis" not in basis:
        raise InputError("basis: mcCOEF without its basis functions; expected a struct with basis and wave")
    coefficients, functions = numbers("mcCOEF", held["mcCOEF"]), numbers("basis.basis", basis["basis"])
    if coefficients.ndim == 2:
        coefficients = coefficients[..., None]
    if coefficients.ndim != 3 or functions.shape != (bands, coefficients.shape[-1]):
        raise InputError(
            f"basis.basis: found shape {functions.shape} for coefficients {coefficients.shape} and {bands} wavelengths;"
            f" expected ({bands}, {coefficients.shape[-1]})"
        )
    dtype = np.result_type(coefficients.dtype, functions.dtype, np.float32)
    radiance = coefficients.astype(dtype, copy=False) @ functions.T.astype(dtype)
    if held.get("imgMean") is not None and np.size(held["imgMean"]):
        mean = numbers("imgMean", held["imgMean"]).ravel()
        if mean.size != bands:
            raise InputError(f"imgMean: found {mean.size} numbers for {bands} bands; expected one a band")
        radiance += mean.astype(dtype)
    return np.maximum(radiance, 0, out=radiance)


def _illuminant(illuminant: Any, nm: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The light in photons, on the scene's wavelengths. Its name is not read: ISET's own scenes carry wrong ones."""
    if isinstance(illuminant, np.ndarray):
        illuminant = {"data": {"photons": illuminant}, "type": "illuminant"}
    if not isinstance(illuminant, Mapping) or illuminant.get("data") is None:
        raise InputError(f"illuminant: found {_kind(illuminant)} without data; expected a struct with data.photons")
    data = illuminant["data"]
    fields = data if isinstance(data, Mapping) else {"photons": data}
    if fields.get("photons") is None:
        raise InputError("illuminant: its data hold no photons; expected data.photons")
    light = numbers("illuminant", fields["photons"])
    own = _illuminant_wavelengths(illuminant, nm)
    light = _spectrum_last(light, own.size, shape)
    ranged = fields.get("min") is not None or fields.get("max") is not None
    if light.dtype.kind in "ui" and ranged:
        light = _uncompressed(light, fields.get("min"), fields.get("max"))
    elif not illuminant.get("type") or ranged:
        light = photons_from_energy(light.astype(np.float64), own)
    return _on(nm, own, light)


def _illuminant_wavelengths(illuminant: Mapping[str, Any], nm: np.ndarray) -> np.ndarray:
    spectrum = illuminant.get("spectrum")
    for place in (spectrum if isinstance(spectrum, Mapping) else {}, illuminant):
        for name in WAVES:
            if place.get(name) is not None and np.size(place[name]):
                return check_wavelengths(numbers(f"illuminant {name}", place[name]))
    return nm


def _spectrum_last(light: np.ndarray, bands: int, shape: tuple[int, ...]) -> np.ndarray:
    if light.size == bands:
        return light.reshape(bands)
    if light.shape == (*shape[:-1], bands):
        return light
    raise InputError(
        f"illuminant: found shape {light.shape} with {bands} wavelengths for a scene {shape};"
        f" expected one number a band, or a spectrum a pixel {(*shape[:-1], bands)}"
    )


def _uncompressed(quantised: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """ISET's quantised numbers: the integer type's whole range spread over low to high."""
    if low is None or high is None:
        raise InputError("quantised photons without their range; expected both its minimum and its maximum")
    low, high = (float(numbers("range of quantised photons", end).ravel()[0]) for end in (low, high))
    span = high - low if high != low else high
    return quantised.astype(np.float64) * (span / np.iinfo(quantised.dtype).max) + low


def _on(nm: np.ndarray, own: np.ndarray, light: np.ndarray) -> np.ndarray:
    if own.size == nm.size and np.allclose(own, nm, rtol=0, atol=1e-6):
        return light
    if own[0] > own[-1]:
        own, light = own[::-1], light[..., ::-1]
    if nm.min() < own[0] or nm.max() > own[-1]:
        raise InputError(
            f"illuminant: holds {own[0]:g}-{own[-1]:g} nm, the scene {nm.min():g}-{nm.max():g} nm;"
            " expected light over the whole range of the scene"
        )
    left = np.clip(np.searchsorted(own, nm, side="right") - 1, 0, own.size - 2)
    share = (nm - own[left]) / (own[left + 1] - own[left])
    return light[..., left] * (1 - share) + light[..., left + 1] * share


def _saved_whole(held: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of a `scene` struct that was saved as one variable."""
    for value in held.values():
        data = value.get("data") if isinstance(value, Mapping) else None
        if not isinstance(data, Mapping) or data.get("photons") is None:
            continue
        photons = numbers("scene.data.photons", data["photons"])
        if photons.dtype.kind in "ui":
            photons = _uncompressed(photons, data.get("dmin"), data.get("dmax"))
        return {**value, "data": None, "photons": photons}
    return None


def _remarks(held: Mapping[str, Any]) -> dict[str, Any]:
    remarks: dict[str, Any] = {}
    for name in ("comment", "name"):
        if isinstance(held.get(name), str) and held[name]:
            remarks[f"file_{name}"] = held[name]
    return remarks
