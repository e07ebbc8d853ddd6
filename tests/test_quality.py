"""What ships has a source, and the library loads at once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import msfit

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


HEAVY = [
    "torch",
    "xarray",
    "pandas",
    "dask",
    "distributed",
    "matplotlib",
    "skimage",
    "PIL",
    "pydantic_settings",
    "scipy.io",
    "scipy.optimize",
    "rich",
]


@pytest.mark.parametrize(
    "command", [["fit", "spectra.npz", "-o", "new.h5"], ["info", "spectra.npz"], ["info", "maps.h5"], ["models"]]
)
def test_a_command_loads_what_it_uses(command: list[str], tmp_path: Path) -> None:
    """Torch alone takes longer to load than all of a fit of some spectra."""
    nm = np.arange(400.0, 701.0, 10.0)
    np.savez(tmp_path / "spectra.npz", reflectance=0.8 * msfit.reflectance([0.05, 0.1], 0.03, nm), wavelengths=nm)
    msfit.fit(tmp_path / "spectra.npz").save(tmp_path / "maps.h5")
    code = f"import sys; from msfit.cli import main; assert main({command!r}) == 0; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not set(HEAVY) & loaded
    assert ("numba" in loaded) == (command[0] == "fit")
