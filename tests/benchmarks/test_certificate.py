"""The benchmark of the certificate, on few pixels: no exhaustive search beats a certified bound."""

from __future__ import annotations

import pytest

from benchmarks.certificate import MODELS, challenge


@pytest.mark.parametrize("count", [100, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", MODELS)
def test_no_search_beats_a_certified_bound(model: str, count: int) -> None:
    found = challenge(model, count, seed=1)
    assert found["pixels"] > 0.9 * count
    assert found["bound_above_search"] <= 1e-12
    assert found["certified_global"] == found["pixels"]
    assert found["certified_fits_beaten_by_1e-5"] == 0
