"""Fits of pictures under total variation: against cvxpy where the problem is convex, L-BFGS where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import msfit
from benchmarks.spatial import denoising_problem
from benchmarks.spatial_oracles import FullProblem, denoised, shaded, variation
from msfit.skin.models import get_model
from msfit.solve.spatial.convex import Forces
from msfit.solve.spatial.pixels import Pixels
from msfit.solve.spatial.proximal_newton import Picture, smooth
from msfit.solve.spatial.total_variation import Edges, total_variation

NM = np.arange(400.0, 701.0, 10.0)
MODEL = "alotaibi-smith-2019"
DOUBLE = torch.float64
SCALE = torch.tensor([0.43, 0.07], dtype=DOUBLE)


def holes(size: int, share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((size, size)) >= share


def scene(size: int, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Noisy reflectance (y, x, 31) of a mole on skin that is flushed on one side, and that of its pigments alone."""
    y, x = np.mgrid[:size, :size] / size
    f_mel = np.where((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.08, 0.15, 0.05)
    skin = msfit.reflectance(f_mel, np.where(x > 0.6, 0.05, 0.02), NM, model="alotaibi-smith-2019")
    gloss = 0.05 * np.exp(-((x - 0.3) ** 2 + (y - 0.3) ** 2) / 0.02)
    shade = (0.9 - 0.4 * x)[..., None] * skin + gloss[..., None]
    return shade + noise * np.random.default_rng(1).standard_normal(shade.shape), skin


def picture(
    pixels: np.ndarray,
    inside: np.ndarray,
    strength: tuple[float, float],
    sparsity: float,
    held: torch.Tensor | None = None,
    weights: np.ndarray | None = None,
) -> Picture:
    """The problem with pigments free, or of one value for all."""
    pixels_inside = Pixels(
        get_model(MODEL).at(NM),
        SCALE,
        torch.from_numpy(pixels[inside]),
        None if weights is None else torch.from_numpy(weights[inside]),
        sparsity,
    )
    prices = torch.tensor([strength[0], strength[0], strength[1], strength[1]], dtype=DOUBLE)
    low, high = (torch.zeros(2, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE)) if held is None else (held, held)
    zero, infinite = torch.zeros(2, dtype=DOUBLE), torch.full((2,), torch.inf, dtype=DOUBLE)
    return Picture(torch.from_numpy(inside), pixels_inside, prices, torch.cat((low, zero)), torch.cat((high, infinite)))


@given(seed=st.integers(0, 1000))
def test_adjoint_is_the_adjoint_of_the_gradient(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    edges = Edges.between(torch.rand(5, 7, generator=generator) > 0.3, DOUBLE)
    maps = torch.randn(3, 5, 7, generator=generator, dtype=DOUBLE)
    flow = torch.randn(2, 3, 5, 7, generator=generator, dtype=DOUBLE)
    torch.testing.assert_close((edges.gradient(maps) * flow).sum(), (maps * edges.adjoint(flow)).sum())


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_denoising_reaches_the_optimum_of_cvxpy(missing: float) -> None:
    pytest.importorskip("cvxpy")
    inside, rng = holes(16, missing), np.random.default_rng(2)
    images = np.where(np.add.outer(np.arange(16), np.arange(16)) > 15, 1.0, 0.0) + 0.3 * rng.standard_normal(
        (2, 16, 16)
    )
    strength = np.array([0.3, 0.05])
    maps = torch.from_numpy(np.where(inside, images, 0))
    problem = denoising_problem(maps, torch.from_numpy(inside), torch.from_numpy(strength))
    found = problem.minimise(Forces.none(maps), share=0, gap=1e-6, steps=20_000)
    assert 0 <= found.gap <= 1e-6
    variations = total_variation(found.maps, problem.edges)
    for image, price, z, own in zip(images, strength, found.maps.numpy(), variations, strict=True):
        ours, optimum = (
            0.5 * ((image - smoothed)[inside] ** 2).sum() + price * variation(smoothed, inside)
            for smoothed in (z, denoised(image, price, inside))
        )
        assert abs(ours / optimum - 1) < 1e-6
        assert own == pytest.approx(variation(z, inside))


@pytest.mark.parametrize("missing", [pytest.param(0.0, marks=pytest.mark.slow), 0.2])
@pytest.mark.parametrize(
    ("tv_shading", "sparsity"),
    [(0.02, 0.05), pytest.param(0.2, 0.01, marks=pytest.mark.slow), (0.05, 0.0), (0.0, 0.3)],
)
def test_shading_of_given_pigments_reaches_the_optimum_of_cvxpy(
    tv_shading: float, sparsity: float, missing: float
) -> None:
    pytest.importorskip("cvxpy")
    pixels, _ = scene(16, noise=0.02)
    inside = holes(16, missing)
    held = torch.tensor([0.2, 0.4], dtype=DOUBLE)
    problem = picture(pixels, inside, (0.0, tv_shading), sparsity, held)
    start = torch.cat((held, torch.tensor([0.5, 0.0], dtype=DOUBLE))).expand(int(inside.sum()), 4)
    found = smooth(problem, start, iterations=100, tolerance=1e-8)
    skin = np.broadcast_to(msfit.reflectance(0.2 * 0.43, 0.4 * 0.07, NM, model="alotaibi-smith-2019"), pixels.shape)

    def objective(i_d: np.ndarray, i_s: np.ndarray) -> float:
        residual = (pixels - i_d[..., None] * skin - i_s[..., None])[inside]
        priced = tv_shading * (variation(i_d, inside) + variation(i_s, inside))
        return float((residual**2).sum() + sparsity * i_s[inside].sum() + priced)

    ours = problem.maps(found.unknowns).numpy()
    optimum = objective(*(np.maximum(m, 0) for m in shaded(pixels, skin, sparsity, tv_shading, inside)))
    assert found.converged
    assert (ours[2:] >= 0).all()
    torch.testing.assert_close(found.unknowns[:, :2], held.expand(len(start), 2))
    assert objective(*ours[2:]) == pytest.approx(found.history[-1], rel=1e-12)
    assert abs(found.history[-1] / optimum - 1) < 1e-6


@pytest.mark.parametrize("weighted", [False, True])
def test_quadratics_are_the_derivatives_of_the_cost(weighted: bool) -> None:
    pixels, _ = scene(6)
    rng = np.random.default_rng(3)
    weights = rng.choice([0.0, 1.0], pixels.shape, p=[0.2, 0.8]) if weighted else None
    some = picture(pixels, np.ones((6, 6), bool), (0.0, 0.0), 0.02, weights=weights).pixels
    scaled = torch.from_numpy(rng.uniform(0.05, 0.9, (36, 2)))

    def free(values: torch.Tensor) -> torch.Tensor:
        return some.cost(values).sum()

    unknowns = torch.cat((scaled, torch.from_numpy(rng.uniform(0, 1, (36, 2)))), 1)
    gradient, _, hessian = some.quadratic(unknowns)
    torch.testing.assert_close(gradient, torch.func.grad(free)(unknowns))
    dense = torch.func.hessian(free)(unknowns)
    every = torch.arange(36)
    torch.testing.assert_close(hessian, dense[every, :, every], rtol=1e-3, atol=1e-3)

    def projected(values: torch.Tensor) -> torch.Tensor:
        return some.shaded(values)[1].sum()

    unknowns, cost = some.shaded(scaled)
    torch.testing.assert_close(some.cost(unknowns), cost)
    gradient, gauss_newton, hessian = some.projected(unknowns)
    torch.testing.assert_close(gradient, torch.func.grad(projected)(scaled))
    dense = torch.func.hessian(projected)(scaled)
    torch.testing.assert_close(hessian, dense[every, :, every], rtol=1e-3, atol=1e-3)
    assert (torch.linalg.eigvalsh(gauss_newton) > 0).all()


def test_pixels_that_nothing_joins_end_no_higher_than_scipy() -> None:
    pixels, _ = scene(4)
    problem = picture(pixels, np.ones((4, 4), bool), (0.0, 0.0), 0.02)
    start = torch.tensor([0.2, 0.5, 0.5, 0.05], dtype=DOUBLE).expand(16, 4)
    found = smooth(problem, start, iterations=50, tolerance=1e-10)
    assert found.converged
    for index in range(16):
        alone = problem.pixels.take(slice(index, index + 1))

        def cost(x: np.ndarray, alone: Pixels = alone) -> tuple[float, np.ndarray]:
            leaf = torch.from_numpy(x[None]).requires_grad_()
            value = alone.cost(leaf).sum()
            value.backward()
            return value.item(), leaf.grad.numpy().ravel()  # type: ignore[union-attr]

        box = [(0, 1), (0, 1), (0, None), (0, None)]
        options = {"ftol": 1e-15, "gtol": 1e-10}
        peer = minimize(cost, start[index].numpy(), jac=True, method="L-BFGS-B", bounds=box, options=options)
        assert found.costs[index] <= peer.fun * (1 + 1e-7)


def test_pixels_far_from_any_skin_do_not_hold_up_the_others() -> None:
    """A fifth of the picture is noise: damped where its quadratics do not hold, while the objective falls."""
    pixels, _ = scene(8)
    rng = np.random.default_rng(6)
    noise = rng.random((8, 8)) < 0.2
    pixels[noise] = rng.random((int(noise.sum()), 31))
    problem = picture(pixels, np.ones((8, 8), bool), (0.02, 0.0), 0.001)
    start = torch.from_numpy(rng.uniform(0.1, 0.9, (64, 4)))
    found = smooth(problem, start, iterations=50, tolerance=1e-6)
    assert found.converged
    assert (np.diff(found.history) <= 0).all()


def default_fit(size: int, tv_shading: float) -> tuple[FullProblem, np.ndarray]:
    """The problem and the maps (4, y, x) of the default call, which has settled and whose objective never rose."""
    pixels, _ = scene(size)
    found = msfit.fit_spatial(pixels, NM, tv=0.02, sparsity=0.001, tv_shading=tv_shading, model=MODEL)
    peer = FullProblem(pixels, NM, MODEL, 0.02, 0.001, tv_shading)
    maps = np.stack([found.f_mel / 0.43, found.f_blood / 0.07, found.i_d, found.i_s])
    assert found.attrs["settled"]
    assert (np.diff(found.attrs["objective"]) <= 0).all()
    assert found.attrs["objective"][-1] == pytest.approx(peer.objective(maps), rel=1e-9)
    return peer, maps


def check_against_lbfgs(size: int, starts: int, tv_shading: float) -> None:
    """The default call ends no worse than the best of several starts of L-BFGS."""
    peer, maps = default_fit(size, tv_shading)
    rng = np.random.default_rng(20)
    best = min(peer.objective(peer.descend(peer.random_start(rng))) for _ in range(starts))
    assert peer.objective(maps) <= best * (1 + 1e-8)


@pytest.mark.parametrize("tv_shading", [pytest.param(0.0, marks=pytest.mark.slow), 0.01])
def test_full_problem_ends_no_worse_than_lbfgs(tv_shading: float) -> None:
    check_against_lbfgs(4, 1, tv_shading)


@pytest.mark.parametrize("tv_shading", [pytest.param(0.0, marks=pytest.mark.slow), 0.01])
def test_nothing_lowers_the_objective_where_it_ends(tv_shading: float) -> None:
    """Not steps of all sizes along maps, blocks and single pixels of any unknown."""
    peer, maps = default_fit(8, tv_shading)
    lowest = peer.objective(maps)
    rng = np.random.default_rng(7)
    high = np.array([1, 1, np.inf, np.inf])[:, None, None]
    for size in 10.0 ** rng.uniform(-7, -2, 300):
        part = (slice(None), *(slice(low, low + rng.integers(1, 8)) for low in rng.integers(0, 8, 2)))
        step = np.zeros_like(maps)
        step[part] = size * rng.standard_normal((4, 1, 1) if rng.random() < 0.5 else step[part].shape)
        step *= rng.integers(0, 2, 4)[:, None, None]
        assert peer.objective(np.clip(maps + step, 0, high)) > lowest * (1 - 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("tv_shading", [0.0, 0.01])
def test_full_problem_ends_no_worse_than_the_best_of_twenty_lbfgs(tv_shading: float) -> None:
    check_against_lbfgs(16, 20, tv_shading)
