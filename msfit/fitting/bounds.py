"""Which parameters are fitted, and their bounds: named, given in numbers, or held."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.fitting.options import SHADINGS, Bounds
from msfit.skin.registry import Parameter, SkinModel

#: Extra parameters that one fit takes, a pixel or shared: each asks for a search in one more dimension.
_MOST_EXTRAS = 3
# Ends nearer than this share of what is allowed are equal: single precision does not tell them apart.
_RESOLVED = 1e-6


def resolve_bounds(
    model: SkinModel,
    bounds: Bounds,
    free: Collection[str] = ("f_mel", "f_blood"),
    shared: Collection[str] = (),
    hold: Mapping[str, float] | None = None,
) -> dict[str, tuple[float, float]]:
    """Bounds as numbers: {parameter: (lower, upper)}, f_mel and f_blood first, then the extras that are fitted.

    Raises
    ------
    InputError
        Unknown names; bounds that are not 0 <= lower <= upper <= 1, of an extra not inside its widest, or of one that
        is not fitted; more than three extras; a pigment, or one that is free, among the shared.
    """
    pigments = [parameter.name for parameter in model.parameters]
    extras = {parameter.name: parameter for parameter in model.extras}
    names = [*pigments, *extras]
    for argument, value in (("free", free), ("shared", shared)):
        if unknown := [str(name) for name in value if name not in names]:
            raise InputError(f"{argument}: found {', '.join(unknown)}; model {model.name} has {', '.join(names)}")
    if alone := [name for name in shared if name in pigments]:
        raise InputError(
            f"shared: found {', '.join(alone)}, which differs by pixel; expected extras: {', '.join(extras)}"
        )
    if both := [name for name in shared if name in free]:
        raise InputError(
            f"shared: found {', '.join(both)}, which free names too; expected a number a pixel or one a picture: leave"
            " it out of one"
        )
    fitted = [extra for name, extra in extras.items() if name in free or name in shared]
    if len(fitted) > _MOST_EXTRAS:
        raise InputError(f"free: found {len(fitted)} extra parameters with the shared; expected {_MOST_EXTRAS} at most")
    if not isinstance(bounds, str | Mapping):
        raise InputError(f"bounds: found {bounds!r}; expected wide, paper, or a mapping such as {{'f_mel': (0, 0.43)}}")
    if isinstance(bounds, str) and bounds not in ("wide", "paper"):
        raise InputError(f"bounds: found {bounds!r}; expected wide, paper, or a mapping such as {{'f_mel': (0, 0.43)}}")
    if not isinstance(bounds, str):
        bounds = {name: span for name, span in bounds.items() if name not in SHADINGS}
        if unknown := [str(name) for name in bounds if name not in names]:
            raise InputError(f"bounds: found {', '.join(unknown)}; model {model.name} has {', '.join(names)}")
        if idle := [name for name in bounds if name in extras and extras[name] not in fitted]:
            raise InputError(f"bounds: found {', '.join(idle)}, which is not fitted; name it in free or shared")
    box = {}
    for parameter in (*model.parameters, *fitted):
        if parameter.name in pigments and parameter.name not in free:
            low, high = parameter.default, parameter.default
        elif isinstance(bounds, str):
            low, high = getattr(parameter, bounds)
        else:
            limits = (0.0, 1.0) if parameter.name in pigments else parameter.wide
            low, high = _pair(parameter, bounds.get(parameter.name, parameter.wide), *limits)
        box[parameter.name] = (low, high)
    for name, known in (hold or {}).items():
        if name in box:
            box[name] = (known, known)
    return box


def _pair(parameter: Parameter, pair: Any, least: float, most: float) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in pair)
    except (TypeError, ValueError):
        low = high = np.nan
    if not least <= low <= high <= most:
        raise InputError(
            f"bounds: found {parameter.name} = {pair!r}; expected two numbers with "
            f"{least:g} <= lower <= upper <= {most:g}"
        )
    return (low, low) if high - low < _RESOLVED * (most - least) else (low, high)
