"""A small bank of heads, traced once for all tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_bank(_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep heads and samples of these tests together, away from the user's."""
    pytest.importorskip("embreex", reason="tracing heads needs embreex")
    monkeypatch.setenv("MSFIT_CACHE", str(_cache))
