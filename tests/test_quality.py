"""What ships has a source, and the library loads at once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str) -> str:
    """Standard output of a command that has to succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_shipped_datum_has_a_source() -> None:
    sources = (ROOT / "SOURCES.md").read_text(encoding="utf-8")
    data = [
        p
        for package in ("msfit", "biofacenet")
        for p in (ROOT / package).glob("**/data/*")
        if p.is_file() and p.suffix != ".py"
    ]
    assert data
    assert [path.name for path in data if f"`{path.relative_to(ROOT).as_posix()}`" not in sources] == []


@pytest.mark.parametrize("module", ["msfit", "msfit.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    loaded = run(sys.executable, "-c", f"import sys, {module}; print(*sys.modules)").split()
    assert not {"torch", "matplotlib", "xarray", "scipy", "h5py", "dask", "numba"} & set(loaded)


def test_every_public_name_is_there() -> None:
    run(sys.executable, "-c", "import msfit; [getattr(msfit, name) for name in msfit.__all__]")
