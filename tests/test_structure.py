"""The shape of the house: no circles of files, rooms that say what comes in and what goes out, a root that is small."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("msfit", "biofacenet")
    for path in (ROOT / package).rglob("__init__.py")
)


def test_no_circle_of_files() -> None:
    """Imports inside functions count: a file that needs another to do its work cannot be read without it."""
    graph = grimp.build_graph("msfit", "biofacenet", "benchmarks", exclude_type_checking_imports=True, cache_dir=None)
    order = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    order.prepare()  # CycleError names the circle


def test_the_root_holds_what_everything_needs_and_no_more() -> None:
    assert len(list((ROOT / "msfit").glob("*.py"))) <= 8


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_comes_in_and_what_goes_out(room: str) -> None:
    words = ast.get_docstring(ast.parse((ROOT / room).read_text(encoding="utf-8"))) or ""
    assert "In: " in words, f"{room}: {words!r}"
    assert "Out: " in words, f"{room}: {words!r}"
    assert 3 <= len(words.splitlines()) <= 8
