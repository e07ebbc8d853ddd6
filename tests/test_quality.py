"""The house rules, held by tools: style, types, layers, and a library that loads at once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 300
PACKAGES = ("msfit", "biofacenet", "benchmarks", "scripts", "tests")


def run(*command: str) -> str:
    """Standard output of a command that has to succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_code_is_clean() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def test_code_is_formatted() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_types_agree() -> None:
    run(sys.executable, "-m", "mypy")


def test_imports_go_one_way() -> None:
    run(str(Path(sys.executable).with_name("lint-imports")))


@pytest.mark.parametrize("path", [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))], ids=str)
def test_a_file_reads_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < LONGEST_FILE


@pytest.mark.parametrize("module", ["msfit", "msfit.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    loaded = run(sys.executable, "-c", f"import sys, {module}; print(*sys.modules)").split()
    assert not {"torch", "matplotlib", "xarray", "scipy", "h5py", "dask"} & set(loaded)


def test_every_public_name_is_there() -> None:
    run(sys.executable, "-c", "import msfit; [getattr(msfit, name) for name in msfit.__all__]")
