"""Huber's loss: against scipy from many starts, outliers, independence of pixels, and what a loss is made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

import msfit
from msfit import Status
from msfit.skin.models import get_model
from msfit.solve.loss import Loss
from msfit.solve.problem import Problem
from msfit.solve.robust import solve_robustly
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver

MODEL = "msfit-issa-2026"
NM = np.arange(400.0, 701.0, 10.0)
DOUBLE = torch.float64
LOWER, UPPER = torch.zeros(2, dtype=DOUBLE), torch.tensor([0.43, 0.07], dtype=DOUBLE)
SOLVER = PigmentSolver(get_model(MODEL).at(NM), LOWER, UPPER)
THRESHOLD = 0.005


def spoiled(count: int, seed: int = 5, most: int = 9) -> torch.Tensor:
    """Noisy skin with up to `most` neighbouring bands that are off by up to 0.4."""
    rng = np.random.default_rng(seed)
    f_mel, f_blood = rng.uniform(0.005, 0.4, count), rng.uniform(0.001, 0.06, count)
    y = rng.uniform(0.3, 1.3, (count, 1)) * msfit.reflectance(f_mel, f_blood, NM, model=MODEL)
    y += rng.uniform(0, 0.3, (count, 1)) + 0.003 * rng.standard_normal((count, NM.size))
    for row in y:
        bands = (rng.integers(0, NM.size) + np.arange(rng.integers(0, most + 1))) % NM.size
        row[bands] += rng.uniform(-0.1, 0.4)
    return torch.from_numpy(y)


def huber(count: int, threshold: float = THRESHOLD) -> Loss:
    return Loss(threshold=torch.full((count, 1), threshold, dtype=DOUBLE))


def robustly(pixels: torch.Tensor, loss: Loss, **options: Any) -> Solution:
    return solve_robustly(SOLVER, SOLVER(pixels, loss.squares(pixels)), pixels, loss, **options)


def scipy_least(y: np.ndarray) -> float:
    """The least loss that scipy reaches in all four parameters from twelve starts."""
    skin = SOLVER.skin

    def residual(x: np.ndarray) -> np.ndarray:
        return x[2] * skin.reflectance(torch.from_numpy(x[:2])).numpy() + x[3] - y

    def jacobian(x: np.ndarray) -> np.ndarray:
        r, slopes = skin.jacobian(torch.from_numpy(x[:2]))
        return np.stack([*(x[2] * slope.numpy() for slope in slopes), r.numpy(), np.ones(NM.size)], 1)

    least = np.inf
    for f_mel in (0.005, 0.05, 0.2, 0.4):
        for f_blood in (0.001, 0.01, 0.04):
            r = msfit.reflectance(f_mel, f_blood, NM, model=MODEL)
            shadings = np.linalg.lstsq(np.stack((r, np.ones(NM.size)), 1), y, rcond=None)[0]
            found = least_squares(
                residual,
                [f_mel, f_blood, *np.maximum(shadings, 1e-3)],
                jacobian,
                bounds=([0, 0, 0, 0], [0.43, 0.07, np.inf, np.inf]),
                loss="huber",
                f_scale=THRESHOLD,
                x_scale="jac",
                ftol=1e-12,
                xtol=1e-12,
                gtol=1e-12,
                max_nfev=200,
            )
            least = min(least, found.cost)
    return least


# of the few, the last has its least loss where few rounds of reweighting do not look for it
@pytest.mark.parametrize("some", [[0, 1, 47], pytest.param(range(100), marks=pytest.mark.slow)], ids=["few", "all"])
def test_no_start_of_scipy_ends_lower(some: Sequence[int]) -> None:
    pixels = spoiled(100)[some]
    found = robustly(pixels, huber(len(some)))
    assert bool(found.converged.all())
    value = huber(len(some)).value(Problem(SOLVER.skin, pixels).residual(found))
    least = np.array([scipy_least(y) for y in pixels.numpy()])
    assert (value.numpy() <= least * (1 + 1e-6)).all()


def test_without_outliers_it_is_least_squares() -> None:
    pixels = spoiled(50, most=0)
    found = robustly(pixels, huber(50, 1.0))
    expected = SOLVER(pixels)
    torch.testing.assert_close(found.x, expected.x, rtol=1e-4, atol=1e-7)


def test_bad_bands_pull_less() -> None:
    truth = 0.9 * msfit.reflectance(np.full(40, 0.05), 0.02, NM, model="alotaibi-smith-2019") + 0.05
    bad = truth + 0.002 * np.random.default_rng(0).standard_normal(truth.shape)
    bad[np.arange(40), np.arange(40) % 31] += 0.3
    squares, robust = (msfit.fit(bad, NM, model="alotaibi-smith-2019", huber=k) for k in (None, 0.003))
    assert np.abs(robust.f_mel / 0.05 - 1).max() < 0.2 < np.abs(squares.f_mel / 0.05 - 1).max()
    assert (robust.status == Status.CONVERGED).all()
    assert (robust.rmse >= squares.rmse).all()  # RMSE is of all bands alike, whatever was minimised
    assert robust.attrs["huber"] == 0.003


@pytest.mark.parametrize("held", [{"free": ()}, {"bounds": {"f_mel": (0.1, 0.1), "f_blood": (0.03, 0.03)}}])
def test_with_both_pigments_held_the_shadings_are_scipys(held: dict[str, Any]) -> None:
    pixels = spoiled(8).numpy()
    found = msfit.fit(pixels, NM, model=MODEL, huber=THRESHOLD, **held)
    skin = msfit.reflectance(found.f_mel[0], found.f_blood[0], NM, model=MODEL)
    exact = {"xtol": 1e-13, "ftol": 1e-13, "gtol": 1e-13}
    for y, i_d, i_s in zip(pixels, found.i_d, found.i_s, strict=True):
        left = partial(lambda x, y: x[0] * skin + x[1] - y, y=y)
        expected = least_squares(left, (1.0, 0.1), bounds=(0, np.inf), loss="huber", f_scale=THRESHOLD, **exact)
        np.testing.assert_allclose((i_d, i_s), expected.x, atol=1e-5)


def test_a_pixel_alone_equals_itself_in_a_batch() -> None:
    pixels = spoiled(70)
    together = robustly(pixels, huber(70))
    for k in range(0, 70, 7):
        alone = robustly(pixels[k : k + 1], huber(1))
        for name, values in vars(alone).items():
            assert torch.equal(values[0], getattr(together, name)[k]), name


def test_what_does_not_converge_says_so() -> None:
    solution = robustly(spoiled(30), huber(30), most_rounds=2)
    assert (~solution.converged).sum() > 5
    assert bool(torch.isfinite(solution.x).all())


def test_single_precision_agrees() -> None:
    pixels = spoiled(60).numpy()
    double, single = (msfit.fit(pixels, NM, model=MODEL, huber=THRESHOLD, dtype=d) for d in ("float64", "float32"))
    loss = huber(60)
    values = []
    for found in (double, single):
        maps = [np.asarray(m, np.float64) for m in (found.f_mel, found.f_blood, found.i_d, found.i_s)]
        fitted = maps[2][:, None] * msfit.reflectance(maps[0], maps[1], NM, model=MODEL) + maps[3][:, None]
        values.append(loss.value(torch.from_numpy(pixels - fitted)))
    assert bool((values[1] <= values[0] * (1 + 1e-3)).all())
    assert (single.status != Status.NOT_CONVERGED).all()


@given(seed=st.integers(0, 10_000), robustly=st.booleans())
def test_score_is_the_derivative_of_the_loss_and_squares_touch_it(seed: int, robustly: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights, scale = (torch.rand(shape, generator=generator, dtype=DOUBLE) for shape in ((9,), (4, 9)))
    threshold = torch.rand(4, 1, generator=generator, dtype=DOUBLE) if robustly else None
    loss = Loss(weights, scale, threshold)
    residual = torch.randn(4, 9, generator=generator, dtype=DOUBLE).requires_grad_()
    (slope,) = torch.autograd.grad(loss.value(residual).sum(), residual)
    torch.testing.assert_close(loss.score(residual), slope)
    assert torch.autograd.gradcheck(loss.value, residual)
    here = residual.detach()
    there = here + torch.randn(4, 9, generator=generator, dtype=DOUBLE)
    touching = loss.touching(here)
    above = loss.value(here) + 0.5 * (touching * (there.square() - here.square())).sum(1)
    assert bool((loss.value(there) <= above + 1e-12).all())


def test_moments_of_a_normal_score_equal_a_sample() -> None:
    sigma, threshold = torch.tensor([[0.5, 1.0, 3.0]], dtype=DOUBLE), torch.ones(1, 1, dtype=DOUBLE)
    bend, noise = Loss(threshold=threshold, sigma=sigma).information(torch.zeros(1, 3, dtype=DOUBLE), torch.zeros(1))
    sample = sigma * torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    torch.testing.assert_close(bend[0], (sample.abs() < 1).double().mean(0), atol=3e-3, rtol=0)
    torch.testing.assert_close(noise[0], sample.clamp(-1, 1).square().mean(0), atol=3e-3, rtol=0)
