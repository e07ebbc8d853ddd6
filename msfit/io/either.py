"""A file that is either a result or a scene: which of both shows in its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msfit.data.cube import Cube
from msfit.data.result import FitResult
from msfit.errors import NoIlluminant
from msfit.io import load
from msfit.io.existing import holds_result
from msfit.io.results import EXTENSIONS, load_result


def load_either(path: Path, options: dict[str, Any], *, raw: bool = True) -> tuple[Cube | FitResult, bool]:
    """A result where the file is one, else spectra; whether they are counts without a light, which `raw` allows.

    `options` are those of `msfit.load`.
    """
    if path.suffix.lower() in EXTENSIONS and path.exists() and not options and holds_result(path):
        return load_result(path), False
    try:
        return load(path, **options), False
    except NoIlluminant:
        if not raw:
            raise
        return load(path, **{**options, "white": "unknown"}), True
