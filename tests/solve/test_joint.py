"""Pigments and extra parameters together: derivatives, the box, scipy as an oracle, and pixels on their own."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from benchmarks.extra_parameters import Oracle, issa_pixels, random_pixels
from msfit.fitting.bounds import resolve_bounds
from msfit.skin.models import get_model
from msfit.solve.descent import box_step, descend
from msfit.solve.extras import ExtrasSolver
from msfit.solve.problem import Problem
from msfit.solve.solution import Local
from msfit.solve.solver import solver_for

NM = np.arange(400.0, 701.0, 10.0)
DOUBLE = torch.float64
SETS = (("saturation",), ("epidermis",), ("saturation", "scattering", "epidermis"))


@cache
def joint_solver(model: str, names: tuple[str, ...], bounds: str = "wide") -> ExtrasSolver:
    box = resolve_bounds(get_model(model), bounds, ("f_mel", "f_blood", *names))
    solver = solver_for(get_model(model), box, NM, np.float64)
    assert isinstance(solver, ExtrasSolver)
    return solver


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5))
def test_a_step_lowers_the_model_and_stays_in_the_box(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    factor = torch.from_numpy(rng.normal(size=(6, count, count)) * rng.choice([1, 1e-3], (6, 1, count)))
    hessian, gradient = factor @ factor.transpose(1, 2), torch.from_numpy(rng.normal(size=(6, count)))
    low, high = torch.from_numpy(-rng.exponential(size=(6, count))), torch.from_numpy(rng.exponential(size=(6, count)))
    low[rng.random((6, count)) < 0.3] = 0
    step = box_step(gradient, hessian, low, high)
    assert ((step >= low) & (step <= high)).all()
    gain = (gradient * step).sum(1) + 0.5 * (step.unsqueeze(1) @ hessian @ step.unsqueeze(2)).flatten()
    assert (gain <= 1e-12).all()


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 5))
def test_descent_solves_bounded_least_squares(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(4, 8, count)), rng.normal(size=(4, 8))
    jacobian, target = torch.from_numpy(a), torch.from_numpy(b)

    def evaluate(x: torch.Tensor, index: torch.Tensor) -> Local:
        j = jacobian[index]
        residual = (j @ x.unsqueeze(2)).squeeze(2) - target[index]
        gradient = (j * residual.unsqueeze(2)).sum(1)
        return Local((residual**2).sum(1), gradient, j.transpose(1, 2) @ j, torch.full((len(x),), 1e-15, dtype=DOUBLE))

    lower, upper = torch.full((count,), -0.2, dtype=DOUBLE), torch.full((count,), 0.3, dtype=DOUBLE)
    found = descend(evaluate, torch.zeros(4, count, dtype=DOUBLE), lower, upper, 1e-14)
    assert found.converged.all()
    for k in range(4):
        expected = lsq_linear(a[k], b[k], (-0.2, 0.3), tol=1e-14)
        assert found.point.cost[k].item() == pytest.approx(2 * expected.cost, rel=1e-8)


@pytest.mark.parametrize("model", ["msfit-issa-2026", "alotaibi-smith-2019", "biofacenet-lut", "jacques-km"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_is_the_derivative_of_the_cost(model: str, weighted: bool) -> None:
    skin = get_model(model).at(NM, free=SETS[2])
    box = resolve_bounds(get_model(model), "wide", ("f_mel", "f_blood", *SETS[2])).values()
    lower, upper = (torch.tensor(ends, dtype=DOUBLE) for ends in zip(*box, strict=True))
    pixels = random_pixels(skin, lower, upper, NM, 40, seed=2)
    generator = torch.Generator().manual_seed(1)
    count = len(pixels)
    weights = torch.rand(pixels.shape, generator=generator, dtype=DOUBLE) if weighted else None
    share = 0.02 + 0.96 * torch.rand(count, 5, generator=generator, dtype=DOUBLE)
    x = lower + (upper - lower) * share
    problem = Problem(skin, pixels, weights)
    local = problem.evaluate(x)
    for k in range(5):
        step = torch.zeros(5, dtype=DOUBLE)
        step[k] = 1e-6 * upper[k]
        above, below = (problem.evaluate(x + sign * step) for sign in (1, -1))
        numeric = (above.cost - below.cost) / (4 * step[k])  # half the cost's
        smooth = ((above.i_s > 0) == (below.i_s > 0)) & ((above.i_d > 0) == (below.i_d > 0))
        assert smooth.sum() > 30
        torch.testing.assert_close(local.gradient[smooth, k], numeric[smooth], rtol=5e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["msfit-issa-2026", "alotaibi-smith-2019"])
@pytest.mark.parametrize("names", [("saturation",), ("saturation", "scattering")])
def test_no_start_of_scipy_ends_lower(model: str, names: tuple[str, ...]) -> None:
    solver = joint_solver(model, names)
    noisy = random_pixels(solver.skin, solver.lower, solver.upper, NM, 3)
    pixels = torch.cat((issa_pixels(3)[0], noisy))
    found = solver(pixels)
    assert found.converged.all()
    best = Oracle(solver.skin, solver.lower, solver.upper, starts=4).rmse(pixels.numpy())
    assert ((found.cost / NM.size).sqrt().numpy() - best).max() < 1e-7


def test_parameters_are_found_again() -> None:
    solver = joint_solver("msfit-issa-2026", ("saturation",))
    x = torch.tensor([[0.05, 0.01, 0.4], [0.12, 0.02, 0.65], [0.03, 0.004, 0.95]], dtype=DOUBLE)
    found = solver(0.8 * solver.skin.reflectance(x) + 0.04)
    torch.testing.assert_close(found.x, x, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.i_d, torch.full((3,), 0.8, dtype=DOUBLE), rtol=1e-7, atol=0)


@pytest.mark.parametrize("names", [*SETS[:2], pytest.param(SETS[2], marks=pytest.mark.slow)])
def test_a_pixel_does_not_depend_on_the_others_to_the_bit(names: tuple[str, ...]) -> None:
    solver = joint_solver("msfit-issa-2026", names)
    pixels = torch.cat((issa_pixels(8)[0], random_pixels(solver.skin, solver.lower, solver.upper, NM, 8)))
    pixels = pixels[pixels.mean(1) > 0]
    together = solver(pixels)
    for some in (slice(0, 1), slice(5, 11), slice(-1, None)):
        alone = solver(pixels[some].clone())
        assert torch.equal(alone.x, together.x[some])
        assert torch.equal(alone.cost, together.cost[some])


def test_bounds_hold_to_the_bit() -> None:
    solver = joint_solver("msfit-issa-2026", ("scattering", "epidermis"), "paper")
    fractions = solver(issa_pixels(60)[0]).x
    assert ((fractions >= solver.lower) & (fractions <= solver.upper)).all()
    assert (fractions[:, 2:] == solver.upper[2:]).any(0).all()


@pytest.mark.slow
@pytest.mark.parametrize("names", SETS)
def test_no_start_of_scipy_ends_lower_on_many(names: tuple[str, ...]) -> None:
    solver = joint_solver("msfit-issa-2026", names)
    pixels = issa_pixels(100)[0]
    best = Oracle(solver.skin, solver.lower, solver.upper).rmse(pixels.numpy())
    assert ((solver(pixels).cost / NM.size).sqrt().numpy() - best).max() < 1e-7
