"""The site: every page is in it, every example is shown and runs, every public name has its place."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import biofacenet
import msfit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M))
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} - {"index"}
    assert pages - listed == set()


def test_figures_of_pages_are_those_of_the_results() -> None:
    spec = importlib.util.spec_from_file_location("figures", DOCS / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    files = [*DOCS.rglob("*.md"), *(ROOT / "paper").glob("*.md")]
    pages = {path: path.read_text(encoding="utf-8") for path in files}
    assert sum(figures.count(text) for text in pages.values()) >= 20
    for path, text in pages.items():
        assert figures.filled(text) == text, path
    drifted = pages[DOCS / "scale.md"].replace("| 28<!--=", "| 1<!--=")
    assert figures.filled(drifted) == pages[DOCS / "scale.md"]


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as forges and MyST name them: no marks, small letters, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def test_links_within_the_project_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "paper").glob("*.md")]
    seen = 0
    for page in pages:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", target):  # on other machines: `make links` asks them
                assert re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/[\w./~%+-]*)?(#[\w-]+)?", target), (page.name, target)
                continue
            file, _, anchor = target.partition("#")
            found = page.parent / file if file else page
            assert found.exists(), f"{page.name}: {target}"
            assert not anchor or found.suffix != ".md" or anchor in anchors(found), f"{page.name}: {target}"
            seen += 1
    assert seen > 50


def test_every_example_is_shown() -> None:
    shown = re.findall(r"plot:: \.\./examples/(\w+\.py)", (DOCS / "examples.md").read_text(encoding="utf-8"))
    assert sorted(shown) == [path.name for path in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    command = [sys.executable, str(example)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_reference_has_every_public_name(tmp_path: Path) -> None:
    """The build of `make docs`: a warning is an error."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install 'msfit[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for package, page in ((msfit, "msfit"), (biofacenet, "biofacenet")):
        text = (tmp_path / "reference" / f"{page}.html").read_text(encoding="utf-8")
        names = [name for name in package.__all__ if name != "__version__"]
        assert [name for name in names if f'id="{package.__name__}.{name}"' not in text] == []
