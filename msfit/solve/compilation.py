"""How functions are compiled for the CPU. Those that call each other stand in one file: see `compiled`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at first use and keep the machine code on disk, where there is a place for it.

    Sums may be reordered and divisions approximated to a unit in the last place, so that loops become vector
    instructions; NaN and infinity keep their meaning. Numba looks only at a function's own file to see whether its
    machine code is stale: it must not call compiled functions of other files.
    """
    fast = {"contract", "reassoc", "nsz", "arcp", "afn"}
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fast}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return njit(**options)(function)
