"""Named arrays, as MATLAB and numpy files hold them: which is the picture, what are its wavelengths and its light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy
from msfit.data.low_rank import LinearSpectra
from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError
from msfit.io.axes import bands_last
from msfit.io.matlab.unreadable import Unreadable
from msfit.io.scan import Quantity, Scan

WAVES = ("wave", "wavelength", "wavelengths")
# Names that hold wavelengths in other layouts (ICVL and ARAD: bands), in small letters; where only one is there.
MORE_WAVES = ("wave", "wavelength", "wavelengths", "wl", "lambda", "bands", "wave_length", "wavelength_nm")
NORM = "norm_factor"
# Names of pictures in the order of preference, with what they hold where no light is given.
QUANTITIES: dict[str, Quantity] = {
    "reflectance": "reflectance",
    "photons": "radiance",
    "data": "reflectance",
    "values": "reflectance",
    "cube": "reflectance",
    "radiance": "radiance",
    "counts": "counts",
    "rad": "radiance",
}


def scan_of(
    held: Mapping[str, Any], variable: str | None = None, orientation: str | None = None, wavelengths: Any = None
) -> Scan:
    """Make sense of named arrays.

    Parameters
    ----------
    held : mapping
        A picture under one of the names `QUANTITIES`; `wave` or `wavelength` [nm]; where they exist `illuminant` in the
        unit of the picture, `mask`, and `saturation`.
    variable, orientation, wavelengths
        As in `msfit.load`.

    Raises
    ------
    InputError
        No picture, no wavelengths, or arrays that do not fit each other.
    """
    name = variable or picture_name(held)
    if name is None or name not in held:
        what = f"variable: found no {name!r}; the file holds" if name else "holds"
        raise InputError(
            f"{what} {listed(held)}; expected one of {', '.join(QUANTITIES)} with wave or wavelength:"
            " --variable NAME (variable='NAME')"
        )
    nm = check_wavelengths(wavelengths_of(held) if wavelengths is None else wavelengths)
    values = bands_last(name, numbers(name, held[name]), nm.size, orientation)
    quantity = QUANTITIES.get(name, "reflectance")
    illuminant = None if name == "reflectance" else stated(held, "illuminant")
    if name == "cube" and NORM in held:  # ARAD 2018 to 2020: radiance over its largest value
        quantity = "radiance"
    if illuminant is not None:
        quantity, illuminant = "radiance", numbers("illuminant", illuminant)
    elif quantity == "reflectance" and values.dtype.kind in "ui":
        quantity = "counts"
    mask, saturation = stated(held, "mask"), stated(held, "saturation")
    if mask is not None:
        mask = numbers("mask", mask).ravel() if values.ndim == 2 else numbers("mask", mask)
    return Scan(
        values,
        nm,
        quantity,
        illuminant,
        mask,
        None if saturation is None else float(numbers("saturation", saturation).ravel()[0]),
        {"variable": name},
    )


def picture_name(held: Mapping[str, Any]) -> str | None:
    """Name of the picture; where there is light, what it divides comes before ready reflectance."""
    names = sorted(QUANTITIES, key=lambda name: name == "reflectance" and stated(held, "illuminant") is not None)
    return next((name for name in names if name in held), None)


def wavelengths_of(held: Mapping[str, Any]) -> np.ndarray:
    """The array named wave or wavelength, itself or inside a struct `spectrum`.

    Raises
    ------
    InputError
        There is none, or it holds no numbers.
    """
    for place in (held, held.get("spectrum")):
        for name in WAVES:
            if isinstance(place, Mapping) and place.get(name) is not None:
                return numbers(name, place[name])
    others = [name for name in held if name.lower() in MORE_WAVES and stated(held, name) is not None]
    if len(others) == 1:
        return numbers(others[0], held[others[0]])
    raise InputError(
        "no wavelengths: expected wave or wavelength [nm]: --wavelengths 400:700:10 or FILE (wavelengths=)"
    )


def stated(held: Mapping[str, Any], name: str) -> Any:
    """A variable, or None where it is absent or empty; one that is there and cannot be read is refused by `numbers`."""
    value = held.get(name)
    empty = value.size == 0 if isinstance(value, np.ndarray) else isinstance(value, list | str) and not value
    return None if empty else value


def numbers(name: str, value: Any) -> np.ndarray:
    """The value as an array of real numbers, not empty.

    Raises
    ------
    InputError
        Text, cells, structs, complex numbers or nothing.
    """
    if not (isinstance(value, np.ndarray | LinearSpectra) or is_lazy(value)) or value.dtype.kind not in "buif":
        raise InputError(f"{name}: found {kind_of(value)}; expected an array of real numbers")
    if value.size == 0:
        raise InputError(f"{name}: found an empty array of shape {value.shape}; expected spectra")
    return value


def kind_of(value: Any) -> str:
    """What a value is, in a word or two for messages."""
    if isinstance(value, np.ndarray):
        return {"c": "complex numbers", "U": "text", "S": "text"}.get(value.dtype.kind, str(value.dtype))
    if isinstance(value, Unreadable):
        return f"{value.kind}, which cannot be read"
    kinds = {str: "text", dict: "a struct", list: "cells", type(None): "an object without numbers"}
    return kinds.get(type(value), type(value).__name__)


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first names, for messages."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") or "no variables"
