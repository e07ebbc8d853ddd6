"""How functions are compiled for the CPU. Those that call each other stand in one file: see `compiled`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# Pixels that are searched side by side, and so lie in memory: their coordinates are (block, coordinate, LANES).
LANES = 32

# Of functions whose sums must not be reordered.
EXACT: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at first use and keep the machine code on disk, where there is a place for it.

    Sums may be reordered and divisions approximated to a unit in the last place, so that loops become vector
    instructions; NaN and infinity keep their meaning. Numba looks only at a function's own file to see whether its
    machine code is stale: it must not call compiled functions of other files, but for `aligned`.

    Arrays are copied in loops: `a[:] = b` compiles the words of an error about shapes too, for three seconds.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _FAST}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile into each of its callers, however long it is: a loop with a call in it becomes no vector instructions."""
    return njit(forceinline=True, nogil=True, error_model="numpy", fastmath=_FAST)(function)


@inlined
def aligned(count, like):  # type: ignore[no-untyped-def]
    """Scratch space for `count` numbers of an array's type, zero, that begins with a line of the cache.

    A vector then never lies across two lines.
    """
    scratch = np.zeros(count + 15, like.dtype)
    first = (-(scratch.ctypes.data // scratch.itemsize)) % (64 // scratch.itemsize)
    return scratch[first : first + count]
