"""Transforms against colour-science, their inverses and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msfit.colour import transforms
from msfit.errors import InputError

colour = pytest.importorskip("colour")


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_srgb_matrix_is_the_standard_one_in_full_precision() -> None:
    derived = colour.normalised_primary_matrix(transforms.SRGB_PRIMARIES, transforms.D65_CHROMATICITY)
    np.testing.assert_allclose(transforms.srgb_to_xyz_matrix(), derived, rtol=1e-12)
    printed = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    np.testing.assert_allclose(transforms.xyz_to_srgb_matrix(), printed, atol=7e-4)


def test_white_is_one_in_linear_srgb() -> None:
    white = transforms.xyz_to_linear_srgb(transforms.d65_white())
    torch.testing.assert_close(white, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-14)


def test_xyz_and_linear_srgb_are_inverse_over_leading_dimensions() -> None:
    xyz = random(2, 5, 4, 3)
    back = transforms.linear_srgb_to_xyz(transforms.xyz_to_linear_srgb(xyz))
    torch.testing.assert_close(back, xyz)


def test_srgb_curve_is_the_standard_one() -> None:
    linear = torch.linspace(0, 1, 1001, dtype=torch.float64)
    encoded = transforms.encode_srgb(linear)
    np.testing.assert_allclose(encoded, colour.models.eotf_inverse_sRGB(linear.numpy()), atol=1e-12)
    np.testing.assert_allclose(transforms.decode_srgb(encoded), linear, atol=1e-7)


@pytest.mark.parametrize("curve", ["srgb", "gamma-2.2"])
def test_curves_clip_invert_keep_nan_and_have_finite_slopes(curve: str) -> None:
    values = torch.tensor([-0.5, 0.0, 1e-12, 0.001, 0.0031308, 0.2, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    display = transforms.encode_srgb(values, curve)
    torch.testing.assert_close(transforms.decode_srgb(display, curve), values.clamp(0, 1), rtol=0, atol=1e-6)
    assert display[0] == 0
    assert display[-1].item() == pytest.approx(1, abs=1e-15)
    display.sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert transforms.encode_srgb(torch.tensor(torch.nan), curve).isnan()


def test_gamma_is_a_plain_power() -> None:
    linear = torch.linspace(1e-6, 1, 100, dtype=torch.float64)
    torch.testing.assert_close(transforms.encode_srgb(linear, "gamma-2.2"), linear ** (1 / 2.2))


@pytest.mark.parametrize(("method", "theirs"), [("xyz-scaling", "XYZ Scaling"), ("bradford", "Bradford")])
def test_adaptation_is_that_of_colour_science(method: str, theirs: str) -> None:
    light = torch.tensor([1.09850, 1.0, 0.35585], dtype=torch.float64)
    white = transforms.d65_white()
    ours = transforms.adaptation_matrix(light, white, method)
    reference = colour.adaptation.matrix_chromatic_adaptation_VonKries(light.numpy(), white.numpy(), theirs)
    np.testing.assert_allclose(ours, reference, atol=1e-10)
    torch.testing.assert_close(transforms.apply_matrix(ours, light), white)


def test_lab_is_that_of_colour_science() -> None:
    xyz = torch.cat([random(50, 3), 0.01 * random(50, 3), torch.zeros(1, 3, dtype=torch.float64)])
    reference = colour.XYZ_to_Lab(xyz.numpy(), transforms.D65_CHROMATICITY)
    np.testing.assert_allclose(transforms.xyz_to_lab(xyz), reference, atol=1e-10)


@pytest.mark.parametrize(
    "function",
    [
        transforms.xyz_to_linear_srgb,
        transforms.linear_srgb_to_xyz,
        transforms.encode_srgb,
        lambda x: transforms.encode_srgb(x, "gamma-2.2"),
        transforms.decode_srgb,
        transforms.xyz_to_lab,
        lambda x: transforms.adaptation_matrix(x + 0.1, transforms.d65_white(), "xyz-scaling"),
        lambda x: transforms.adaptation_matrix(x + 0.1, transforms.d65_white(), "bradford"),
    ],
)
def test_transforms_are_differentiable(function) -> None:
    assert torch.autograd.gradcheck(function, (random(4, 3).mul(0.98).add(0.01).requires_grad_(),))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"'srgb' or 'gamma-2\.2'"):
        transforms.encode_srgb(torch.zeros(3), "rec709")
    with pytest.raises(InputError, match="'xyz-scaling' or 'bradford'"):
        transforms.adaptation_matrix(torch.ones(3), torch.ones(3), "cat02")
