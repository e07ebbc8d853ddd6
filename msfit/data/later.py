"""Tools of rooms above that data offer as methods: found by name at the call, so that `data` imports none."""

from __future__ import annotations

import importlib
from typing import Any


def later(module: str) -> Any:
    """The module of that name, as `pandas` finds its plotting backend."""
    return importlib.import_module(module)
