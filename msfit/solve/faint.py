"""Spectra that are nearly constant: gloss explains them, and single precision cannot tell how much of the rest is skin.

Written for numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from msfit.skin.arrays import converted, is_tensor
from msfit.solve.solution import Solution

#: Diffuse light and residuals of less than this share of the gloss are found in double precision.
FAINT = 0.02
# Of i_s: so much may be found by rounding in a spectrum that is constant to so many units in the last place.
_ROUNDED, _CONSTANT = 1e-2, 4


def again_in_double(solution: Solution, pixels: Any, weights: Any, double: Callable[[Any, Any], Solution]) -> Solution:
    """The solution (n,) of pixels (n, band) in single precision; of spectra that are nearly constant that of `double`.

    What diffuse light explains of them is less than rounding leaves of their squares. `weights` (n, band) or None for
    ones; `double` fits pixels with weights in double precision.
    """
    level = FAINT * solution.i_s
    bands = pixels.shape[1] if weights is None else weights.sum(1)
    faint = ~(solution.i_d > level) & (solution.cost <= bands * level * level)
    if not bool(faint.any()):
        return solution
    some = None if weights is None else _double(weights[faint])
    again = double(_double(pixels[faint]), some)
    for values, others in zip(vars(solution).values(), vars(again).values(), strict=True):
        values[faint] = others.to(values.dtype) if is_tensor(others) else others
    return solution


def _double(values: Any) -> Any:
    return values.double() if is_tensor(values) else values.astype(np.float64)


def without_rounded_diffuse(solution: Solution, pixels: Any, scale: np.ndarray | None = None) -> Solution:
    """The solution (n,), without diffuse light where a spectrum is constant, which gloss explains alone.

    pixels (n, band) are an array or tensor, as the solution is; scale (n, band), an array, is 0 where a sample does not
    count.
    """
    faint = ~(solution.i_d > _ROUNDED * solution.i_s)  # not a number too
    if not bool(faint.any()):
        return solution
    index = np.flatnonzero(faint.cpu().numpy() if is_tensor(faint) else faint)
    found = pixels[index].cpu().numpy() if is_tensor(pixels) else pixels[index]
    used = np.ones(found.shape, bool) if scale is None else scale[index] > 0
    high, low = np.where(used, found, -np.inf).max(1), np.where(used, found, np.inf).min(1)
    constant = high - low <= _CONSTANT * np.finfo(found.dtype).eps * high
    i_d, i_s = solution.i_d + 0, solution.i_s + 0  # copies
    level = high[constant].astype(found.dtype)
    i_d[index[constant]], i_s[index[constant]] = 0, converted(level, i_s.dtype, i_s.device) if is_tensor(i_s) else level
    return replace(solution, i_d=i_d, i_s=i_s)
