"""Bounds of the pigments: named, given in numbers, or held."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.skin.registry import SkinModel

Bounds = str | Mapping[str, tuple[float, float]]


def resolve_bounds(
    model: SkinModel, bounds: Bounds, free: Collection[str] = ("f_mel", "f_blood")
) -> dict[str, tuple[float, float]]:
    """Bounds as numbers: {parameter: (lower, upper)}.

    Raises
    ------
    InputError
        Unknown names, or bounds that are not 0 <= lower <= upper <= 1.
    """
    names = [parameter.name for parameter in model.parameters]
    if isinstance(free, str) or not isinstance(free, Collection):
        raise InputError(f"free: found {free!r}; expected a list of names of {', '.join(names)}")
    if not isinstance(bounds, str | Mapping):
        raise InputError(f"bounds: found {bounds!r}; expected wide, paper, or a mapping such as {{'f_mel': (0, 0.43)}}")
    if unknown := [name for name in free if name not in names]:
        raise InputError(f"free: found {', '.join(unknown)}; model {model.name} has {', '.join(names)}")
    if isinstance(bounds, str) and bounds not in ("wide", "paper"):
        raise InputError(
            f"bounds: found {bounds!r}; expected wide, paper, or numbers such as f_mel=0:0.43,f_blood=0:0.07"
        )
    if not isinstance(bounds, str) and (unknown := [name for name in bounds if name not in names]):
        raise InputError(f"bounds: found {', '.join(unknown)}; model {model.name} has {', '.join(names)}")
    box = {}
    for parameter in model.parameters:
        if parameter.name not in free:
            low, high = parameter.default, parameter.default
        elif isinstance(bounds, str):
            low, high = parameter.bounds(bounds)
        else:
            low, high = _pair(parameter.name, bounds.get(parameter.name, parameter.wide))
        box[parameter.name] = (low, high)
    return box


def _pair(name: str, pair: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in pair)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 <= low <= high <= 1:
        raise InputError(f"bounds: found {name} = {pair!r}; expected two numbers with 0 <= lower <= upper <= 1")
    return low, high
