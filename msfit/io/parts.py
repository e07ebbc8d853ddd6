"""A result taken apart into named variables with dimensions and attributes, as CF has them, and put together again."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy
from msfit.data.pixel_axes import PixelAxes
from msfit.data.result import MAPS, STATUS_TYPE, FitResult
from msfit.data.status import UNKNOWN, flag_table, translation
from msfit.errors import InputError

_LONG_NAMES = {
    "f_mel": "melanosome volume fraction of the epidermis",
    "f_blood": "blood volume fraction of the dermis",
    "i_d": "diffuse shading",
    "i_s": "specular shading",
    "rmse": "root mean squared residual of the reflectance",
    "gap": "rmse minus a lower bound of what any point within the bounds reaches",
}
STD, CORRELATION, SHARE = "std_", "correlation_", "prior_share_"
# Attributes of a file that describe the fit itself; all others are `FitResult.attrs`.
_OWN = ("Conventions", "model", "bounds", "bands", "counts", "index")
# Statuses of version 0.1.0, for formats that do not name them.
_BOUNDS = [f"{name}_{end}" for name in ("f_mel", "f_blood") for end in ("lower", "upper")]
_BOTH = [f"{mel}_{blood}" for mel in _BOUNDS[:2] for blood in _BOUNDS[2:]]
_OLD = ["converged", *_BOUNDS, *_BOTH, "no_diffuse", "not_converged"]
_OLD += [f"masked_{why}" for why in ("by_user", "too_few_bands", "no_signal")]
_OLD_STATUSES = {**dict(enumerate(_OLD)), **{32 + code: f"global_{name}" for code, name in enumerate(_OLD[:10])}}

Variable = tuple[tuple[str, ...], Any, dict[str, Any]]


@dataclass(eq=False)
class Parts:
    """Variables and coordinates {name: (dimensions, values, attributes)}, and attributes of the whole."""

    variables: dict[str, Variable]
    coords: dict[str, Variable] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)


def parts_of(result: FitResult, *, counted: bool = True) -> Parts:
    """The parts of a result, see `msfit.io.results.to_dataset`."""
    axes = result.axes or PixelAxes.of_shape(result.shape)
    dims = axes.dims
    variables: dict[str, Variable] = {name: (dims, getattr(result, name), _describe(name, result)) for name in MAPS}
    for name, values in (result.std or {}).items():
        described = {"units": "1", "long_name": f"standard deviation of the {_LONG_NAMES.get(name, name)}"}
        variables[STD + name] = (dims, values, described)
    for pair, values in (result.correlation or {}).items():
        first, second = (_LONG_NAMES.get(name, name) for name in pair.split(","))
        described = {"units": "1", "long_name": f"correlation of the {first} and the {second}", "parameters": pair}
        variables[correlation_name(pair)] = (dims, values, described)
    for name, values in (result.prior_share or {}).items():
        described = {
            "units": "1",
            "long_name": f"share of the prior in the variance of the {_LONG_NAMES.get(name, name)}",
        }
        variables[SHARE + name] = (dims, values, described)
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
    coords: dict[str, Variable] = {"wavelength": (("wavelength",), result.wavelengths, described)}
    coords |= {name: (own, values, dict(attrs)) for name, (own, values, attrs) in axes.coords.items()}
    attrs = attributes_of(result, counted)
    return Parts(variables, coords, {**attrs, **({"index": json.dumps(axes.index)} if axes.index else {})})


def result_of(parts: Parts) -> FitResult:
    """The result of parts that were read, eagerly or lazily.

    Raises
    ------
    InputError
        Parts are missing, or pixels have a status without a meaning.
    """
    held, attrs = {**parts.coords, **parts.variables}, parts.attrs
    missing = [name for name in (*MAPS, "status", "wavelength") if name not in held]
    missing += [name for name in ("model", "bounds") if name not in attrs]
    if missing:
        raise InputError(f"it holds no {', '.join(missing)}")
    dims, stored, described = held["status"]
    bounds = {name: (float(low), float(high)) for name, (low, high) in _from_json(attrs["bounds"]).items()}
    extra = {name: held[name][1] for name in bounds if name not in MAPS}
    parameters = ("f_mel", "f_blood", *extra, "i_d", "i_s")
    std = {name: held[STD + name][1] for name in parameters if STD + name in held}
    shares = {name: held[SHARE + name][1] for name in parameters if SHARE + name in held}
    pairs = (f"{first},{second}" for first, second in itertools.combinations(parameters, 2))
    correlation = {pair: held[name][1] for pair in pairs if (name := correlation_name(pair)) in held}
    coords = {name: part for name, part in parts.coords.items() if name != "wavelength" and set(part[0]) <= set(dims)}
    index = tuple(_from_json(attrs["index"])) if "index" in attrs else ()
    plain = dims == PixelAxes.of_shape(np.shape(stored)).dims and not coords
    return FitResult(
        **{name: held[name][1] for name in MAPS},
        status=_statuses(stored, described),
        model=str(attrs["model"]),
        bounds=bounds,
        wavelengths=np.asarray(held["wavelength"][1], np.float64).ravel(),
        std=std or None,
        correlation=correlation or None,
        extra=extra,
        prior_share=shares or None,
        gap=held["gap"][1] if "gap" in held else None,
        attrs={name: to_plain(value) for name, value in attrs.items() if name not in _OWN},
        axes=None if plain else PixelAxes(dims, coords, index),
    )


def _statuses(stored: Any, described: Mapping[str, Any]) -> Any:
    names = described.get("flag_meanings", " ".join(_OLD_STATUSES.values()))
    masks = "flag_masks" in described
    values = described["flag_masks"] if masks else described.get("flag_values", list(_OLD_STATUSES))
    try:  # by name, so that a later version may number them in another way
        codes = translation(str(names), values, masks=masks)
    except KeyError as unknown:
        raise InputError(f"its pixels have a status unknown to this version: {unknown.args[0].lower()}") from None
    status = stored.map_blocks(codes.__getitem__, dtype=STATUS_TYPE) if is_lazy(stored) else codes[stored]
    if bool((status == UNKNOWN).any()):
        raise InputError("its pixels have a status without a meaning")
    return status


def correlation_name(pair: str) -> str:
    """Name of the variable of a pair "f_mel,f_blood"."""
    return CORRELATION + pair.replace(",", "_")


def _describe(name: str, result: FitResult) -> dict[str, Any]:
    described: dict[str, Any] = {"units": "1", "long_name": _LONG_NAMES.get(name, name)}
    if name in result.extra:
        described |= _from_json(result.attrs.get("extra", {})).get(name, {})
    if name in result.bounds:
        # not `bounds`, nor valid_min: both mean something else in CF
        described["lower_bound"], described["upper_bound"] = result.bounds[name]
    return described


def attributes_of(result: FitResult, counted: bool = True) -> dict[str, Any]:
    """What is stored of a result beside its maps."""
    bands = result.wavelengths
    own = {
        "Conventions": "CF-1.11",
        "model": result.model,
        "bounds": json.dumps({name: list(pair) for name, pair in result.bounds.items()}),
        "bands": f"{bands.size} bands, {bands.min():g}-{bands.max():g} nm",
    }
    if counted:
        own["counts"] = json.dumps({status.label: count for status, count in result.counts().items()})
    others = {name: to_plain(value) for name, value in result.attrs.items() if name and value is not None}
    # a result that was read from a file keeps the versions that made it
    return {**_versions(), **others, **own}


def _versions() -> dict[str, str]:
    """Of what computed a result: of torch where it has been loaded."""
    from msfit import __version__

    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in ("torch", "numba", "numpy")}
    return {"msfit_version": __version__, **{f"{name}_version": str(v) for name, v in loaded.items() if v}}


def to_plain(value: Any) -> Any:
    """What every HDF5 reader understands: numbers and text without what UTF-8 or C cannot hold; the rest as JSON."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "")


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
