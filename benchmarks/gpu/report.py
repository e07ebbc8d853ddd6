"""Figures as they are found: in a file that is always whole, and in lines for the eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import record


class Report:
    """What has been measured so far, written to FOLDER/gpu.json after every figure."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.figures = folder, dict[str, Any]()

    def add(self, part: str, name: str, value: Any) -> None:
        """Keep a figure of a part, show it and write all."""
        self.figures.setdefault(part, {})[name] = value
        print(f"{part:12s} {name:28s} {_line(value)}", flush=True)
        record.write("gpu", self.figures, self.folder)


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_line(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return json.dumps(value)
    return str(value)
