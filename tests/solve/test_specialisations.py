"""Kernels are compiled once a precision: every further layout of an array costs a user 20 seconds at a first fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import msfit
from msfit.solve.kernels.numba_descent import descend
from msfit.solve.kernels.numba_search import search, search_weighted
from tests.test_mixtures import linear_scene

NM = np.arange(400.0, 701.0, 10.0)
MODEL = "alotaibi-smith-2019"


def spectra(dtype: Any) -> np.ndarray:
    """Skin, and spectra without diffuse light, which are searched for anew."""
    skin = 0.8 * msfit.reflectance(np.linspace(0.02, 0.3, 8), 0.02, NM, model=MODEL) + 0.04
    return np.concatenate((skin, np.tile(np.linspace(0.5, 0.3, 31), (4, 1)))).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["C", "F", "rows of rows", "read-only"])
def test_whatever_the_layout_kernels_take_rows(dtype: str, layout: str) -> None:
    values = spectra(dtype)
    if layout == "F":
        values = np.asfortranarray(values)
    elif layout == "rows of rows":
        values = np.repeat(values, 2, 0)[::2]
    elif layout == "read-only":
        values.flags.writeable = False
    found = msfit.fit(values, NM, model=MODEL)
    assert found.fitted.all()
    assert (found.i_d[8:] == 0).all()
    missing = values.copy()
    missing[::3, 4] = np.nan
    msfit.fit(missing, NM, model=MODEL)
    for kernel in (descend, search, search_weighted):
        for signature in kernel.signatures:
            assert {kind.layout for kind in signature if hasattr(kind, "layout")} == {"C"}, kernel.__name__


def test_coefficients_come_in_rows_too() -> None:
    from msfit.solve.kernels.numba_low_rank import project

    msfit.fit(linear_scene(148))
    (signature,) = project.signatures
    assert {kind.layout for kind in signature if hasattr(kind, "layout")} == {"C"}
