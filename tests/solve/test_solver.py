"""The solver against its definition: closed forms, gradients, the global minimum, and independence of pixels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import msfit
from msfit.skin.models import get_model, model_names
from msfit.solve.problem import Problem, shadings
from msfit.solve.solver import PigmentSolver

fit = partial(msfit.fit, model="alotaibi-smith-2019")
NM = np.arange(400.0, 701.0, 10.0)
DOUBLE = torch.float64
LOWER, UPPER = torch.tensor([0.0, 0.0], dtype=DOUBLE), torch.tensor([0.43, 0.07], dtype=DOUBLE)


def random_pixels(count: int, seed: int = 0) -> torch.Tensor:
    """Skin, noisy skin, and spectra that are no skin at all."""
    rng = np.random.default_rng(seed)
    f_mel, f_blood = rng.uniform(0, 0.43, count), rng.uniform(0, 0.07, count)
    skin = rng.uniform(0.05, 1.5, (count, 1)) * msfit.reflectance(
        f_mel, f_blood, NM, model="alotaibi-smith-2019"
    ) + rng.uniform(0, 0.5, (count, 1))
    noise = rng.choice([0.0, 0.002, 0.02], (count, 1)) * rng.standard_normal((count, NM.size))
    ramps = np.abs(rng.uniform(-1, 1, (count, 1)) * (NM - 550) / 300 + rng.uniform(0.1, 1, (count, 1)))
    return torch.from_numpy(np.where(rng.random((count, 1)) < 0.8, skin + noise, ramps))


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("bounds", ["wide", "paper"])
def test_no_node_of_a_fine_grid_is_better(model: str, bounds: str) -> None:
    box = [getattr(parameter, bounds) for parameter in get_model(model).parameters]
    lower, upper = (torch.tensor(ends, dtype=DOUBLE) for ends in zip(*box, strict=True))
    skin, pixels = get_model(model).at(NM), random_pixels(24, seed=3)
    found = PigmentSolver(skin, lower, upper)(pixels)
    assert bool(found.converged.all())
    axes = [low + (high - low) * torch.linspace(0, 1, 128, dtype=DOUBLE) ** 1.5 for low, high in box]
    spectra = skin.reflectance(torch.cartesian_prod(*axes))
    for pixel, least in zip(pixels, found.cost, strict=True):
        y = pixel.expand_as(spectra)
        i_d, i_s = shadings(spectra, y)
        cost = ((y - i_d[:, None] * spectra - i_s[:, None]) ** 2).sum(1).min()
        assert least <= cost + 1e-12


@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "biofacenet-lut"])
def test_noise_free_pixels_are_recovered(model: str) -> None:
    rng = np.random.default_rng(7)
    count = 20_000  # 100,000 in the slow run
    truth = np.stack([rng.uniform(*ends, count) for ends in ((5e-4, 0.43), (5e-4, 0.07), (0.05, 1.5), (0.0, 0.5))])
    pixels = truth[2][:, None] * msfit.reflectance(truth[0], truth[1], NM, model=model) + truth[3][:, None]
    found = fit(pixels, NM, model=model)
    np.testing.assert_allclose([found.f_mel, found.f_blood, found.i_d, found.i_s], truth, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "biofacenet-lut"])
def test_a_hundred_thousand_noise_free_pixels_are_recovered(model: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(*ends, 100_000) for ends in ((5e-4, 0.43), (5e-4, 0.07), (0.05, 1.5), (0.0, 0.5))])
    pixels = truth[2][:, None] * msfit.reflectance(truth[0], truth[1], NM, model=model) + truth[3][:, None]
    found = fit(pixels, NM, model=model)
    np.testing.assert_allclose([found.f_mel, found.f_blood, found.i_d, found.i_s], truth, atol=1e-6, rtol=0)


def test_search_starts_in_the_box_and_seldom_twice() -> None:
    pixels = random_pixels(3000, seed=6)
    solver = PigmentSolver(get_model("alotaibi-smith-2019").at(NM), LOWER, UPPER)
    owner, start = solver.reference.grid.starts(pixels)
    assert bool((start >= LOWER).all() & (start <= UPPER).all())
    torch.testing.assert_close(owner.unique(), torch.arange(3000))
    assert bool((owner.diff() >= 0).all())
    assert owner.numel() < 1.2 * len(pixels)


def test_float32_is_close_to_float64() -> None:
    pixels = random_pixels(3000, seed=9).numpy()
    double, single = (fit(pixels, NM, dtype=dtype) for dtype in ("float64", "float32"))
    assert single.f_mel.dtype == single.rmse.dtype == np.float32
    assert (single.rmse.astype(float) - double.rmse).max() < 2e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pixel_alone_equals_itself_in_any_batch(dtype: str) -> None:
    rng = np.random.default_rng(2)
    pixels = random_pixels(9000, seed=11).numpy().astype(dtype)
    pixels[rng.random(pixels.shape) < 0.01] = np.nan
    whole = fit(pixels, NM)
    maps = ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status")
    order = rng.permutation(len(pixels))
    shuffled = fit(pixels[order], NM)
    for name in maps:
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(whole, name)[order], err_msg=name)
    for first, count in [(0, 1), (17, 1), (4095, 2), (8999, 1), (100, 3), (200, 33), (5000, 257)]:
        alone = fit(pixels[first : first + count], NM)
        for name in maps:
            expected = getattr(whole, name)[first : first + count]
            np.testing.assert_array_equal(getattr(alone, name), expected, err_msg=name)


def test_a_pixel_of_many_bands_alone_equals_itself_in_any_batch() -> None:
    nm = np.linspace(400, 700, 100)
    pixels = np.stack([np.interp(nm, NM, pixel) for pixel in random_pixels(300, seed=12).numpy()]).astype(np.float32)
    whole = fit(pixels, nm)
    for first, count in [(0, 1), (63, 2), (299, 1), (100, 33)]:
        alone = fit(pixels[first : first + count], nm)
        for name in ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name)[first : first + count])


def test_weight_zero_means_absent() -> None:
    """A pixel with unusable bands has the fit that it has without them."""
    pixels = random_pixels(300, seed=13).numpy()
    keep = np.r_[0:5, 8:20, 22:31]
    spoiled = np.full_like(pixels, np.inf)
    spoiled[:, keep] = pixels[:, keep]
    found, expected = fit(spoiled, NM), fit(pixels[:, keep], NM[keep])
    np.testing.assert_allclose(found.rmse, expected.rmse, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(found.status, expected.status)


def test_descent_never_leaves_the_box_nor_climbs() -> None:
    problem = Problem(get_model("biofacenet-lut").at(NM), random_pixels(500, seed=17))
    start = LOWER + (UPPER - LOWER) * torch.rand(500, 2, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    before, after = problem.evaluate(start), problem.minimise(start, LOWER, UPPER)
    assert bool(((after.x >= LOWER) & (after.x <= UPPER)).all())
    assert bool((after.cost <= before.cost * (1 + 1e-12) + 1e-28).all())
