"""Every test that docs/scale.md and docs/photos.md name beside a promise is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize(("page", "folder", "least"), [("scale.md", "", 7), ("photos.md", "biofacenet", 10)])
def test_the_tests_that_the_page_names_are_there(page: str, folder: str, least: int) -> None:
    text = (TESTS.parent / "docs" / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| .*`test_", line)]
    assert len(rows) >= least
    for row in rows:
        held = row.split("|")[2]
        for part in held.split(";"):
            file, *names = re.findall(r"`([\w/.]+)`", part)
            source = (TESTS / folder / file).read_text(encoding="utf-8")
            assert names
            assert not [name for name in names if f"def {name}(" not in source], file
