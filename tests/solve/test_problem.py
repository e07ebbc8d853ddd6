"""The projected objective: closed-form shadings, bounds and priors against scipy, and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize, nnls

from msfit.skin.models import get_model, model_names
from msfit.solve.problem import NON_NEGATIVE, Prior, Problem, ShadingBounds
from tests.solve.test_solver import DOUBLE, LOWER, NM, UPPER, random_pixels

BOUNDS: list[ShadingBounds] = [
    NON_NEGATIVE,
    ((0.0, np.inf), (0.0, 0.0)),  # no specular shading
    ((1.0, 1.0), (0.0, np.inf)),  # diffuse shading given
    ((0.3, 0.9), (0.02, 0.2)),
    ((0.0, 0.6), (-np.inf, np.inf)),
]
MODEL = "msfit-issa-2026"


def a_prior(count: int, parameters: int = 2, seed: int = 0, rank: int | None = None) -> Prior:
    """A prior of its own for each pixel, of some rank."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((count, rank or parameters + 2, parameters + 2)) * [*(5.0,) * parameters, 1.0, 1.0]
    mean = rng.uniform(0, 0.3, (count, parameters + 2)) + 0.6 * (np.arange(parameters + 2) == parameters)
    return Prior.from_precision(torch.from_numpy(mean), torch.from_numpy(root.swapaxes(1, 2) @ root))


def objective(problem: Problem, index: int, v: np.ndarray) -> float:
    """The objective of one pixel at v = (x, i_d, i_s), from its definition."""
    r = problem.skin.reflectance(torch.from_numpy(v[:-2])).numpy()
    residual = problem.pixels[index].numpy() - v[-2] * r - v[-1]
    weights = 1 if problem.weights is None else problem.weights[index].numpy()
    total = float((weights * residual**2).sum())
    if problem.prior is not None:
        total += float(((problem.prior.root[index].numpy() @ (v - problem.prior.mean[index].numpy())) ** 2).sum())
    return total


@given(seed=st.integers(0, 10_000), weighted=st.booleans())
def test_shadings_equal_scipy_nnls(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    r = rng.uniform(0.01, 1, (20, 12))
    y = r * rng.uniform(-1, 1, (20, 1)) + rng.uniform(-0.2, 1, (20, 1)) + 0.3 * rng.standard_normal((20, 12))
    w = rng.choice([0.0, 1.0, 2.0], (20, 12), p=[0.2, 0.6, 0.2]) if weighted else np.ones((20, 12))
    bright = (w * y).sum(1) > 0
    r, y, w = r[bright], y[bright], w[bright]
    problem = Problem(get_model(MODEL).at(NM), torch.from_numpy(y), torch.from_numpy(w) if weighted else None)
    i_d, i_s = problem.shade(torch.from_numpy(r))
    for k, root in enumerate(np.sqrt(w)):
        design = np.stack((r[k], np.ones(12)), 1) * root[:, None]
        expected, norm = nnls(design, y[k] * root)
        solution = np.array([i_d[k].item(), i_s[k].item()])
        assert np.linalg.norm(design @ solution - y[k] * root) <= norm + 1e-12
        np.testing.assert_allclose(solution, expected, atol=1e-9)


@pytest.mark.parametrize("bounds", BOUNDS)
@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), prior=st.booleans())
def test_shadings_within_bounds_equal_scipys(bounds: ShadingBounds, seed: int, prior: bool) -> None:
    rng = np.random.default_rng(seed)
    r = rng.uniform(0.01, 1, (12, 9))
    y = r * rng.uniform(-1, 2, (12, 1)) + rng.uniform(-0.5, 1, (12, 1)) + 0.3 * rng.standard_normal((12, 9))
    x = torch.from_numpy(rng.uniform(0, 0.07, (12, 2)))
    problem = Problem(
        get_model(MODEL).at(NM), torch.from_numpy(y), None, bounds, a_prior(12, seed=seed) if prior else None
    )
    i_d, i_s = problem.shade(torch.from_numpy(r), x)
    for k in range(12):
        design, target = np.stack((r[k], np.ones(9)), 1), y[k]
        if problem.prior is not None:
            design = np.vstack((design, problem.prior.root[k, :, -2:].numpy()))
            target = np.append(target, problem.prior.target(x)[k].numpy())
        low, high = np.array(bounds).T
        high = np.maximum(high, low + 1e-12)  # scipy wants some width
        expected = lsq_linear(design, target, (low, high), tol=1e-15, max_iter=500)
        solution = np.array([i_d[k].item(), i_s[k].item()])
        assert ((solution >= low) & (solution <= high)).all()
        assert 0.5 * ((design @ solution - target) ** 2).sum() <= expected.cost + 1e-9


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("prior", [None, 4, 2])
@pytest.mark.parametrize("bounds", [BOUNDS[0], BOUNDS[3]])
def test_gradient_is_the_derivative_of_the_cost(
    model: str, weighted: bool, prior: int | None, bounds: ShadingBounds
) -> None:
    pixels = random_pixels(60)
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(pixels.shape, generator=generator, dtype=DOUBLE) if weighted else None
    x = LOWER + (UPPER - LOWER) * (0.02 + 0.96 * torch.rand(60, 2, generator=generator, dtype=DOUBLE))
    given_prior = None if prior is None else a_prior(60, rank=prior)
    problem = Problem(get_model(model).at(NM), pixels, weights, bounds, given_prior)
    point = problem.evaluate(x)
    for k in range(3):
        v = np.concatenate((x[k].numpy(), [point.i_d[k], point.i_s[k]]))
        assert point.cost[k].item() == pytest.approx(objective(problem, k, v), rel=1e-9)
    for k in range(2):
        step = torch.zeros(2, dtype=DOUBLE)
        step[k] = 1e-6 * UPPER[k]
        above, below = (problem.evaluate(x + s * step) for s in (1, -1))
        numeric = (above.cost - below.cost) / (4 * step[k])  # the gradient is that of half the cost
        alike = [(a > low) == (b > low) for a, b, low in ((above.i_d, below.i_d, bounds[0][0]),
                                                         (above.i_s, below.i_s, bounds[1][0]))]  # fmt: skip
        smooth = alike[0] & alike[1] & ((above.i_d < bounds[0][1]) == (below.i_d < bounds[0][1]))
        smooth &= (above.i_s < bounds[1][1]) == (below.i_s < bounds[1][1])
        assert smooth.sum() > 50
        torch.testing.assert_close(point.gradient[smooth, k], numeric[smooth], rtol=2e-5, atol=1e-6)


def test_hessian_is_gauss_newtons_with_the_shadings_eliminated() -> None:
    """Of the full J'J + P in (x, i_d, i_s), the Schur complement of the free shadings."""
    problem = Problem(get_model(MODEL).at(NM), random_pixels(40), None, BOUNDS[3], a_prior(40))
    x = LOWER + (UPPER - LOWER) * torch.linspace(0.1, 0.9, 40, dtype=DOUBLE).unsqueeze(1)
    point = problem.evaluate(x)
    reflectance, derivatives = problem.skin.jacobian(x)
    assert problem.prior is not None
    for k in range(40):
        i_d, i_s = point.i_d[k], point.i_s[k]
        jacobian = torch.stack((*(i_d * d[k] for d in derivatives), reflectance[k], torch.ones(31, dtype=DOUBLE)), 1)
        full = jacobian.T @ jacobian + problem.prior.root[k].T @ problem.prior.root[k]
        free = [2 + n for n, (value, (low, high)) in enumerate(zip((i_d, i_s), BOUNDS[3], strict=True))
                if low < value < high]  # fmt: skip
        expected = full[:2, :2]
        if free:
            expected = expected - full[:2][:, free] @ torch.linalg.inv(full[free][:, free]) @ full[free][:, :2]
        torch.testing.assert_close(point.hessian[k], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("prior", [None, 4, 1])
def test_descent_ends_where_scipy_does(bounds: ShadingBounds, prior: int | None) -> None:
    """In all four numbers at once, from the same start, with bounds and a prior on each of them."""
    count = 12
    skin, pixels = get_model(MODEL).at(NM), random_pixels(count, seed=4)
    problem = Problem(skin, pixels, None, bounds, None if prior is None else a_prior(count, rank=prior))
    start = (LOWER + 0.3 * (UPPER - LOWER)).expand(count, 2).contiguous()
    solution = problem.minimise(start, LOWER, UPPER)
    assert bool(solution.converged.all())
    box = [(float(low), float(high)) for low, high in zip(LOWER, UPPER, strict=True)]
    box += [tuple(None if np.isinf(end) else end for end in pair) for pair in bounds]
    better = 0
    for k in range(count):
        v = np.array([*solution.x[k].tolist(), solution.i_d[k].item(), solution.i_s[k].item()])
        for (low, high), value in zip(box, v, strict=True):
            assert low is None or value >= low
            assert high is None or value <= high
        ours = objective(problem, k, v)
        assert ours == pytest.approx(solution.cost[k].item(), rel=1e-9, abs=1e-14)
        polished = minimize(
            lambda u, k=k: 1e3 * objective(problem, k, u), v, bounds=box, method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-12, "maxiter": 300},
        )  # fmt: skip
        better += 1e-3 * polished.fun < ours - 1e-9
    assert not better
