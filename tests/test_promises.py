"""Every test that docs/scale.md names beside a promise is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_tests_that_the_page_names_are_there() -> None:
    page = TESTS.parent / "docs" / "scale.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if re.match(r"\| .*`test_", line)]
    assert len(rows) >= 7
    for row in rows:
        held = row.split("|")[2]
        for part in held.split(";"):
            file, *names = re.findall(r"`([\w/.]+)`", part)
            source = (TESTS / file).read_text(encoding="utf-8")
            assert names
            assert not [name for name in names if f"def {name}(" not in source], file
