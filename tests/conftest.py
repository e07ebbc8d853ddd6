"""What the tests share: the reference data, where they are at hand, and runs that repeat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

# Tests run side by side: one thread each is faster than all of them competing for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of public spectra and scenes that are not part of the project; the test is skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MSFIT_REFERENCE_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"reference data are not at hand: no folder {folder}; set MSFIT_REFERENCE_DATA to it")
    return folder
