"""MATLAB files of spectra: ISET scenes in all their forms, and plain reflectance.

The forms follow ISETCam (ImagEval Consulting; github.com/ISET/isetcam): `sceneToFile`, `vcReadImage`,
`illuminantModernize`, `ieUncompressData`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy
from msfit.data.low_rank import LinearSpectra, space_times_spectrum
from msfit.data.wavelengths import check_wavelengths, interpolated
from msfit.errors import InputError
from msfit.io.matlab.mat import mat_variables, read_mat
from msfit.io.matlab.variables import (
    MORE_WAVES,
    NORM,
    QUANTITIES,
    WAVES,
    kind_of,
    listed,
    numbers,
    picture_name,
    scan_of,
    stated,
    wavelengths_of,
)
from msfit.io.scan import Scan
from msfit.io.units import photons_from_energy

_LINEAR = ("mcCOEF", "basis", "imgMean")
_BESIDE = ("illuminant", "spectrum", "mask", "saturation", "comment", "name")


def read_iset(path: Path, variable: str | None = None, orientation: str | None = None, wavelengths: Any = None) -> Scan:
    """Read a MATLAB file.

    Parameters
    ----------
    path : Path
        An ISET scene (`mcCOEF` with `basis`; `photons` or `data` with `wave` or `wavelength`; a `scene` struct), or
        `reflectance` or `data` with `wavelength` or `wave`.
    variable, orientation, wavelengths
        As in `msfit.load`.

    Returns
    -------
    Scan
        ISET scenes as radiance with illuminant, photons / (s sr m^2 nm).
    """
    present = mat_variables(path)
    if variable is not None and variable not in present:
        raise InputError(f"variable: found no {variable!r}; the file holds {listed(present)}")
    known = {*_LINEAR, *_BESIDE, NORM, *QUANTITIES, *WAVES, variable}
    held = read_mat(path, [name for name in present if name in known or name.lower() in MORE_WAVES])
    linear = variable is None and "mcCOEF" in held
    if linear:
        held, orientation = _mixed(held), "bands-last"
    elif variable is None and picture_name(held) is None:
        whole = read_mat(path)
        held = _saved_whole(whole) or _only_picture(whole) or dict.fromkeys(present)
    light = stated(held, "illuminant")
    if light is not None and (variable or picture_name(held)) != "reflectance":
        nm = check_wavelengths(wavelengths_of(held) if wavelengths is None else wavelengths)
        light = _illuminant(light, nm)
        held = {**held, "illuminant": space_times_spectrum(light) if linear and light.ndim == 3 else light}
    scan = scan_of(held, variable, orientation, wavelengths)
    remarks = {f"file_{name}": held[name] for name in ("comment", "name") if isinstance(held.get(name), str)}
    if scan.quantity == "radiance" and (variable or picture_name(held)) == "photons":
        remarks["unit"] = "photons"
    return Scan(
        # MATLAB's order runs down the columns: rows are read faster side by side
        np.ascontiguousarray(scan.values) if isinstance(scan.values, np.ndarray) else scan.values,
        scan.wavelengths,
        scan.quantity,
        scan.illuminant,
        scan.mask,
        scan.saturation,
        {**scan.provenance, **remarks},
    )


def _mixed(held: Mapping[str, Any]) -> dict[str, Any]:
    """Radiance of a linear model: coefficients times basis, plus the mean, never below zero; kept so."""
    basis = held.get("basis")
    if not isinstance(basis, Mapping) or "basis" not in basis:
        raise InputError("basis: mcCOEF without its basis functions; expected a struct with basis and wave")
    wave = wavelengths_of({**held, **{name: basis[name] for name in WAVES if name in basis}})
    coefficients, functions = numbers("mcCOEF", held["mcCOEF"]), numbers("basis.basis", basis["basis"])
    if coefficients.ndim == 2:
        coefficients = coefficients[..., None]
    expected = (wave.size, coefficients.shape[-1])
    if coefficients.ndim != 3 or functions.shape != expected:
        raise InputError(
            f"basis.basis: found shape {functions.shape} for coefficients {coefficients.shape} and {wave.size}"
            f" wavelengths; expected {expected}"
        )
    mean = np.zeros(wave.size, np.float32)
    if held.get("imgMean") is not None and np.size(held["imgMean"]):
        mean = numbers("imgMean", held["imgMean"]).ravel()
        if mean.size != wave.size:
            raise InputError(f"imgMean: found {mean.size} numbers for {wave.size} bands; expected one a band")
    beside = {name: value for name, value in held.items() if name in _BESIDE}
    if is_lazy(coefficients):
        dtype = np.result_type(coefficients.dtype, np.float32)
        radiance = (coefficients @ functions.T.astype(dtype) + mean.astype(dtype)).clip(0)
    else:
        radiance = LinearSpectra(np.ascontiguousarray(coefficients), functions, mean, floor=True)
    return {**beside, "photons": radiance, "wave": wave}


def _saved_whole(held: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of a `scene` struct that was saved as one variable."""
    for value in held.values():
        data = value.get("data") if isinstance(value, Mapping) else None
        if not isinstance(data, Mapping) or data.get("photons") is None:
            continue
        photons = numbers("scene.data.photons", data["photons"])
        if photons.dtype.kind in "ui":
            photons = _uncompressed(photons, data.get("dmin"), data.get("dmax"))
        return {**{name: value[name] for name in (*_BESIDE, *WAVES) if name in value}, "photons": photons}
    return None


def _only_picture(held: Mapping[str, Any]) -> dict[str, Any] | None:
    """A picture under a name of its own, where it is the only array of three axes: taken as `data`."""
    pictures = [name for name, value in held.items() if getattr(value, "ndim", 0) == 3 and value.dtype.kind in "uif"]
    if len(pictures) != 1:
        return None
    return {"data": held[pictures[0]], **{name: value for name, value in held.items() if name != pictures[0]}}


def _illuminant(illuminant: Any, nm: np.ndarray) -> np.ndarray:
    """The light in photons, on the scene's wavelengths. Its name is not read: ISET's own scenes carry wrong ones."""
    if isinstance(illuminant, np.ndarray):
        illuminant = {"data": illuminant, "type": "illuminant"}
    if not isinstance(illuminant, Mapping) or illuminant.get("data") is None:
        raise InputError(f"illuminant: found {kind_of(illuminant)} without data; expected a struct with data.photons")
    data = illuminant["data"]
    fields = data if isinstance(data, Mapping) else {"photons": data}
    if fields.get("photons") is None:
        raise InputError("illuminant: its data hold no photons; expected data.photons")
    light, own = numbers("illuminant", fields["photons"]), _own_wavelengths(illuminant, nm)
    if light.size == own.size:
        light = light.reshape(own.size)
    if light.shape[-1] != own.size:
        raise InputError(
            f"illuminant: found shape {light.shape} with {own.size} wavelengths; expected one number a band,"
            " or one a pixel and band"
        )
    ranged = fields.get("min") is not None or fields.get("max") is not None
    if light.dtype.kind in "ui" and ranged:
        light = _uncompressed(light, fields.get("min"), fields.get("max"))
    elif "type" not in illuminant or ranged:
        light = photons_from_energy(light.astype(np.float64), own)
    return interpolated("illuminant", light, own, nm)


def _own_wavelengths(illuminant: Mapping[str, Any], nm: np.ndarray) -> np.ndarray:
    spectrum = illuminant.get("spectrum")
    for place in (spectrum if isinstance(spectrum, Mapping) else {}, illuminant):
        for name in WAVES:
            if place.get(name) is not None and np.size(place[name]):
                return check_wavelengths(numbers(f"illuminant {name}", place[name]))
    return nm


def _uncompressed(quantised: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """ISET's quantised numbers: the integer type's whole range spread over low to high."""
    if low is None or high is None:
        raise InputError("quantised photons without their range; expected both its minimum and its maximum")
    low, high = (float(numbers("range of quantised photons", end).ravel()[0]) for end in (low, high))
    span = high - low if high != low else high
    return quantised.astype(np.float64) * (span / np.iinfo(quantised.dtype).max) + low
