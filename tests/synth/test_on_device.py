"""Samples rendered in torch, for a device, against those of the processor."""

from __future__ import annotations

import pytest
import torch

from msfit.errors import InputError
from msfit.synth import Bank, samples
from msfit.synth.on_device import Renderer
from msfit.synth.sampling import draw_sample

pytest.importorskip("embreex", reason="tracing heads needs embreex")
MODEL = "alotaibi-smith-2019"
# Largest differences in single precision: of numbers about 1, and of pigments, which a fit amplifies.
TOLERANCE, OF_PIGMENTS = 2e-5, 2e-4


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return Bank(3, 32, "train", tmp_path_factory.mktemp("bank"))


@pytest.mark.parametrize(("pictures", "noise"), [("varied", True), ("reference", False)])
def test_samples_are_those_of_the_processor(bank: Bank, pictures: str, noise: bool) -> None:
    expected = samples(10, bank=bank, seed=3, pictures=pictures, noise=noise, model=MODEL)
    assert {int(draw_sample(index, 3, bank).mirrored) for index in range(10)} == {0, 1}
    found = Renderer(bank, "cpu", MODEL)([draw_sample(index, 3, bank, pictures, noise) for index in range(10)])
    assert set(found) == set(expected)
    for name, values in expected.items():
        close = OF_PIGMENTS if name in ("f_mel", "f_blood", "scale", "offset") else TOLERANCE
        torch.testing.assert_close(found[name], values, rtol=close, atol=close, msg=lambda text, name=name: name + text)


def test_a_sample_does_not_depend_on_the_others(bank: Bank) -> None:
    renderer = Renderer(bank, "cpu", MODEL)
    drawn = [draw_sample(index, 0, bank) for index in range(5)]
    together, alone = renderer(drawn), renderer(drawn[2:3])
    for name, values in together.items():
        torch.testing.assert_close(alone[name][0], values[2], rtol=1e-5, atol=1e-5, msg=name)


def test_none_is_refused(bank: Bank) -> None:
    with pytest.raises(InputError, match="drawn: found none"):
        Renderer(bank, "cpu")([])
