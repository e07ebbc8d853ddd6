"""A result as plain arrays by name, and what these alone do not say: for formats without dimensions and attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from msfit.io.parts import Parts


def arrays(parts: Parts) -> dict[str, Any]:
    """Maps, coordinates and wavelengths by name."""
    coords = {name: text(values) for name, (_, values, _) in parts.coords.items() if name != "wavelength"}
    maps = {name: np.asarray(values) for name, (_, values, _) in parts.variables.items()}
    return {**coords, **maps, "wavelengths": parts.coords["wavelength"][1]}


def text(values: Any) -> np.ndarray:
    """Numbers as they are; dates and all else as text."""
    array = np.asarray(values)
    return array if array.dtype.kind in "uifU" else array.astype(str)


def layout_of(parts: Parts) -> dict[str, Any]:
    """What arrays alone do not say: dimensions, coordinates, meanings of flags and attributes."""
    held = {**parts.coords, **parts.variables}
    about = {
        name: {key: np.asarray(value).tolist() for key, value in attrs.items()} for name, (_, _, attrs) in held.items()
    }
    dates = {
        name: str(np.asarray(v).dtype) for name, (_, v, _) in parts.coords.items() if np.asarray(v).dtype.kind in "mM"
    }
    return {
        "dims": {name: dims for name, (dims, _, _) in held.items()},
        "coords": list(parts.coords),
        "dates": dates,
        "about": about,
        "attributes": parts.attrs,
    }


def parts_of_arrays(held: Mapping[str, Any], layout: Mapping[str, Any]) -> Parts:
    """A result of arrays by name and what `layout_of` has said of them."""
    usual = ("y", "x") if held["status"].ndim == 2 else ("pixel",)
    parts = Parts({}, {}, dict(layout["attributes"]))
    beside = ("attributes", "layout", "info", "model", "bounds", "status_meanings", "wavelengths")
    for name, values in {**held, "wavelength": held["wavelengths"].ravel()}.items():
        if name in beside or values.dtype.kind not in "uifU":
            continue
        dims = tuple(layout.get("dims", {}).get(name, ("wavelength",) if name == "wavelength" else usual))
        if len(dims) < values.ndim:  # MATLAB has no vectors
            values = values.reshape([n for n in values.shape if n != 1] or [1] * len(dims))
        if name in layout.get("dates", {}):
            values = values.astype(layout["dates"][name])
        of = parts.coords if name in layout.get("coords", ["wavelength"]) else parts.variables
        of[name] = (dims, values, dict(layout.get("about", {}).get(name, {})))
    return parts


def sidecar(parts: Parts) -> str:
    """All of a result but its maps as JSON: layout, types and coordinates."""
    beside = {name: text(values) for name, (_, values, _) in parts.coords.items() if name != "wavelength"}
    return json.dumps(
        {
            "layout": layout_of(parts),
            "shape": list(np.shape(parts.variables["status"][1])),
            "dtypes": {name: str(values.dtype) for name, (_, values, _) in parts.variables.items()},
            "coords": {name: values.tolist() for name, values in beside.items()},
            "wavelengths": np.asarray(parts.coords["wavelength"][1]).tolist(),
        }
    )


def with_sidecar(maps: Mapping[str, np.ndarray], stored: str) -> Parts:
    """A result of its maps, of any type and layout in memory, and what `sidecar` has kept."""
    known = json.loads(stored)
    shape = tuple(known["shape"])
    held = {
        name: np.asarray(maps[name]).reshape(shape if np.size(maps[name]) == np.prod(shape) else ()).astype(dtype)
        for name, dtype in known["dtypes"].items()
    }
    held |= {name: np.asarray(values) for name, values in known["coords"].items()}
    return parts_of_arrays({**held, "wavelengths": np.asarray(known["wavelengths"], np.float64)}, known["layout"])


def planes(parts: Parts) -> dict[str, np.ndarray]:
    """The maps of a result as float arrays (y, x), a list of spectra being a column, in the order of its variables."""
    dims, status, _ = parts.variables["status"]
    shape = np.shape(status) if len(dims) == 2 else (*np.shape(status), 1)
    return {
        name: np.broadcast_to(np.asarray(values), np.shape(status)).reshape(shape)
        for name, (_, values, _) in parts.variables.items()
    }
