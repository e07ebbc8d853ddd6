"""What the tests share: the reference data, where they are at hand, and runs that repeat."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from hypothesis import settings

# Few examples by default; `make test-all` asks for more.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=25)
settings.register_profile("thorough", settings.get_profile("repeatable"), max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Tests run side by side: one thread each is faster than all of them competing for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Fits of both kinds of dermis, with few bands and many, and with what kernels have variants for: they leave the
# compiled kernels in the cache. A process for each precision, side by side; the two begin with different kernels, since
# each needs those of the search in single precision.
_COMPILE = """
import sys
import numpy as np, msfit
kind = sys.argv[1]

def pixels_of(count, nm):
    return np.tile(0.8 * msfit.reflectance(0.1, 0.03, nm) + 0.04, (count, 1)).astype(kind)

def with_options():
    nm = np.linspace(400, 700, 31)
    for options in (
        {"prior": {"f_mel": (0.1, 0.05)}, "noise": 0.003},
        {"prior": {"f_mel": (np.full(20, 0.1), np.full(20, 0.05))}, "noise": 0.003},
        {"prior": "archive", "noise": 0.003},
        {"hold": {"i_s": 0.04}},
        {"weights": np.linspace(1, 2, 31)},
        {"certify": kind == "float64"},
    ):
        msfit.fit(pixels_of(20, nm), nm, **options)

if kind == "float64":
    with_options()
for model in ("msfit-issa-2026", "alotaibi-smith-2019", "jacques-km"):
    for bands in (31, 148):
        nm = np.linspace(400, 700, bands)
        skin = pixels_of(300, nm)
        for pixels in (skin, skin.reshape(10, 30, bands)):
            msfit.fit(pixels, nm, model=model)
if kind == "float32":
    with_options()
"""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernels once, before workers side by side would each compile them, not to the same last digit."""
    if "PYTEST_XDIST_WORKER" in os.environ or session.config.option.collectonly:
        return
    root = Path(__file__).resolve().parents[1]
    kernels = root / "msfit" / "solve" / "kernels"
    stamp, sources = kernels / "__pycache__" / "compiled", [*kernels.glob("*.py"), Path(numba.__file__)]
    if stamp.is_file() and stamp.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    kinds = ("float32", "float64")
    running = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", _COMPILE, kind], cwd=root) for kind in kinds]
    codes = [process.wait() for process in running]
    if not any(codes):
        stamp.parent.mkdir(exist_ok=True)
        stamp.touch()


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of public spectra and scenes that are not part of the project; the test is skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MSFIT_REFERENCE_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"reference data are not at hand: no folder {folder}; set MSFIT_REFERENCE_DATA to it")
    return folder
