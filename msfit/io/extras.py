"""Libraries that only some formats need."""

from __future__ import annotations

import importlib
from types import ModuleType

from msfit.errors import InputError


def need(module: str, extra: str = "formats") -> ModuleType:
    """Import a library of one of msfit's extras.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.split(".")[0]
        raise InputError(f"needs the package {package}: pip install 'msfit[{extra}]'") from None
