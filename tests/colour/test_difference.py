"""CIEDE2000 against published pairs, colour-science and numerical derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msfit.colour.difference import ciede2000

# G. Sharma, W. Wu, E. N. Dalal, Color Res. Appl. 30, 2005, table 1: pairs around the formula's joints.
SHARMA = [
    (50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425),
    (50, 3.1571, -77.2803, 50, 0, -82.7485, 2.8615),
    (50, 2.8361, -74.0200, 50, 0, -82.7485, 3.4412),
    (50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0000),
    (50, 0, 0, 50, -1, 2, 2.3669),
    (50, -1, 2, 50, 0, 0, 2.3669),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0009, 7.1792),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0011, 7.2195),
    (50, -0.0010, 2.4900, 50, 0.0009, -2.4900, 4.8045),
    (50, -0.0010, 2.4900, 50, 0.0011, -2.4900, 4.7461),
    (50, 2.5, 0, 50, 0, -2.5, 4.3065),
    (50, 2.5, 0, 73, 25, -18, 27.1492),
    (50, 2.5, 0, 61, -5, 29, 22.8977),
    (50, 2.5, 0, 56, -27, -3, 31.9030),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
    (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
]


def random_lab(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor([0.0, -90, -90]), torch.tensor([100.0, 90, 90])
    first, second = (low + (high - low) * torch.rand(n, 3, generator=generator) for _ in range(2))
    return first.double(), second.double()


def test_published_pairs() -> None:
    pairs = torch.tensor(SHARMA, dtype=torch.float64)
    np.testing.assert_allclose(ciede2000(pairs[:, :3], pairs[:, 3:6]), pairs[:, 6], atol=5e-5)
    np.testing.assert_allclose(ciede2000(pairs[:, 3:6], pairs[:, :3]), pairs[:, 6], atol=5e-5)


def test_random_colours_against_colour_science() -> None:
    colour = pytest.importorskip("colour")
    first, second = random_lab(2000)
    reference = colour.delta_E(first.numpy(), second.numpy(), method="CIE 2000")
    np.testing.assert_allclose(ciede2000(first, second), reference, rtol=1e-9)


def test_it_is_differentiable() -> None:
    first, second = random_lab(30)
    assert torch.autograd.gradcheck(ciede2000, (first.requires_grad_(), second.requires_grad_()))


def test_gradients_are_finite_for_grey_and_equal_colours() -> None:
    first = torch.tensor([[50.0, 0, 0], [50, 0, 0], [20, 30, 40]], dtype=torch.float64, requires_grad=True)
    second = torch.tensor([[60.0, 0, 0], [50, 3, 4], [20, 30, 40]], dtype=torch.float64, requires_grad=True)
    difference = ciede2000(first, second)
    assert difference[2] == 0
    difference.sum().backward()
    assert first.grad is not None
    assert first.grad.isfinite().all()
    assert not first.grad[2].any()
