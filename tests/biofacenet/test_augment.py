"""Degradations do what their names say, keep to 0..1, and repeat."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter

from biofacenet.data.augment import (
    DEGRADATIONS,
    Ranges,
    add_noise,
    augment,
    blur,
    degrade,
    expose,
    jpeg,
    low_resolution,
    tint,
)
from msfit.colour.transforms import encode_srgb
from msfit.errors import InputError


def some_pictures(count: int = 3, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return blur(torch.rand(count, 3, size, size, generator=generator), 1.0)


def test_blur_is_a_gaussian_filter() -> None:
    pictures = some_pictures().double()
    expected = gaussian_filter(pictures.numpy(), (0, 0, 2, 2), mode="mirror", truncate=3.0)
    torch.testing.assert_close(blur(pictures, 2.0), torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_noise_has_its_strength_in_display_values() -> None:
    grey = torch.full((4, 3, 64, 64), 0.2)
    noisy = encode_srgb(add_noise(grey, 0.05, torch.Generator().manual_seed(0)))
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.03)
    assert float(noisy.mean()) == pytest.approx(float(encode_srgb(grey).mean()), abs=2e-3)


def test_jpeg_loses_more_at_lower_quality_and_little_at_the_highest() -> None:
    pictures = some_pictures().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    errors = [float((encode_srgb(jpeg(pictures, q)) - encode_srgb(pictures)).square().mean()) for q in (95, 60, 10)]
    assert errors[0] < 1e-4
    assert errors == sorted(errors)


def test_low_resolution_keeps_the_mean_and_drops_detail() -> None:
    pictures = some_pictures()
    coarse = low_resolution(pictures, 4.0)
    torch.testing.assert_close(coarse.mean((2, 3)), pictures.mean((2, 3)), rtol=0.03, atol=0)
    assert float(coarse.diff(dim=-1).abs().mean()) < 0.6 * float(pictures.diff(dim=-1).abs().mean())
    torch.testing.assert_close(low_resolution(pictures, 1.0), pictures)


def test_exposure_and_tint_multiply_and_stop_at_white() -> None:
    grey = torch.full((1, 3, 2, 2), 0.4)
    assert expose(grey, 2.0).unique().tolist() == pytest.approx([0.8])
    assert expose(grey, 4.0).unique().tolist() == [1.0]
    assert tint(grey, torch.tensor([1.1, 1.0, 0.5]))[0, :, 0, 0].tolist() == pytest.approx([0.44, 0.4, 0.2])


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_changes_a_picture_repeats_and_stays_in_range(name: str) -> None:
    pictures = 1.4 * some_pictures() - 0.1
    first, second = (degrade(pictures, name, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.shape == pictures.shape
    assert first.dtype == pictures.dtype
    assert torch.equal(first, second)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert not torch.equal(first, pictures)


def test_an_augmented_picture_does_not_depend_on_those_after_it() -> None:
    pictures = some_pictures(6)
    together = augment(pictures, torch.Generator().manual_seed(3), Ranges(share=0.8))
    fewer = augment(pictures[:4], torch.Generator().manual_seed(3), Ranges(share=0.8))
    assert torch.equal(together.pictures[:4], fewer.pictures)
    assert together.exposure.shape == (6, 1, 1, 1)
    assert len(together.exposure.unique()) > 1
    assert 0 <= float(together.pictures.min()) <= float(together.pictures.max()) <= 1


def test_nothing_happens_where_nothing_may() -> None:
    pictures = some_pictures()
    untouched = augment(pictures, torch.Generator().manual_seed(3), Ranges(share=0.0))
    assert torch.equal(untouched.pictures, pictures)
    assert untouched.exposure.unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (lambda p: blur(p, -1.0), "sigma"),
        (lambda p: add_noise(p, 2.0), "sigma"),
        (lambda p: jpeg(p, 0), "quality"),
        (lambda p: low_resolution(p, 0.5), "factor"),
        (lambda p: expose(p, float("nan")), "gain"),
        (lambda p: degrade(p, "fog"), "quarter-resolution"),
    ],
)
def test_a_strength_out_of_range_is_refused(wrong: object, names: str) -> None:
    with pytest.raises(InputError, match=names):
        wrong(some_pictures(1, 8))  # type: ignore[operator]
