"""The fit against an independent oracle on measured spectra; benchmarks/oracle.py runs the same on all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.oracle import compare, measured_pixels
from msfit.skin.models import model_names

PUBLISHED = ("alotaibi-smith-2019", "biofacenet-lut", "jacques-km")


def check(reference_data: Path, share: float, model: str, bounds: str, nodes: int = 512) -> None:
    for pixels, wavelengths in measured_pixels(reference_data, share).values():
        found = compare(pixels, wavelengths, model, bounds, nodes)
        assert found["worst_above_oracle_float64"] < 1e-8
        assert found["worst_above_oracle_float32"] < 2e-6


def test_fit_is_the_global_minimum(reference_data: Path) -> None:
    assert set(PUBLISHED) <= set(model_names())
    check(reference_data, 0.001, "alotaibi-smith-2019", "wide", nodes=128)


@pytest.mark.slow
@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.parametrize("bounds", ["wide", "paper"])
def test_fit_is_the_global_minimum_of_every_model(reference_data: Path, model: str, bounds: str) -> None:
    check(reference_data, 0.03, model, bounds)
