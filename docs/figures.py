"""Figures in the pages come from benchmarks/results: the build fills them in, and a test compares what stands there.

A figure is followed by a comment that says where it comes from, which readers of the page do not see:

    28<!--= streaming: figures/ENVI/seconds :.0f -->
    659<!--= streaming: figures/ENVI/ru_maxrss x 1e-6 :.0f -->

the name of a file in benchmarks/results, a path in it, a factor where one is wanted, and a format of Python.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
_FIGURE = re.compile(
    r"(?P<shown>\d(?:[\d.,]*\d)?(?:e[-+]\d+)?)"
    r"(?P<source><!--= (?P<file>\w+): (?P<path>[^:>]+?)(?: x (?P<factor>[\de.-]+))? :(?P<format>[^ ]+) -->)"
)


def filled(text: str, results: Path = RESULTS) -> str:
    """A page with the figures that benchmarks/results hold.

    Examples
    --------
    >>> filled("it takes 1<!--= streaming: figures/bands :d --> bands").partition("<")[0]
    'it takes 31'
    """

    def figure(found: re.Match[str]) -> str:
        value: Any = json.loads((results / f"{found['file']}.json").read_text(encoding="utf-8"))
        for step in found["path"].split("/"):
            value = value[int(step) if isinstance(value, list) else step]
        value = value * float(found["factor"]) if found["factor"] else value
        return f"{value:{found['format']}}{found['source']}"

    return _FIGURE.sub(figure, text)


def count(text: str) -> int:
    """How many figures of a page say where they come from."""
    return len(_FIGURE.findall(text))
