"""Fits of pictures under total variation: against cvxpy where the problem is convex, L-BFGS where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import msfit
from benchmarks.spatial_oracles import FullProblem, denoised, shaded, variation
from msfit.skin.models import get_model
from msfit.solve.admm import Picture, smooth
from msfit.solve.pulled import Pulled
from msfit.solve.total_variation import Edges, prox_total_variation, total_variation

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
    skin = msfit.reflectance(f_mel, np.where(x > 0.6, 0.05, 0.02), NM)
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
    count = int(inside.sum())
    pulled = Pulled(
        get_model(MODEL).at(NM),
        SCALE,
        torch.from_numpy(pixels[inside]),
        None if weights is None else torch.from_numpy(weights[inside]),
        sparsity,
        torch.zeros(count, 4, dtype=DOUBLE),
        torch.zeros(4, dtype=DOUBLE),
    )
    prices = torch.tensor([strength[0], strength[0], strength[1], strength[1]], dtype=DOUBLE)
    low, high = (torch.zeros(2, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE)) if held is None else (held, held)
    zero, infinite = torch.zeros(2, dtype=DOUBLE), torch.full((2,), torch.inf, dtype=DOUBLE)
    return Picture(torch.from_numpy(inside), pulled, prices, torch.cat((low, zero)), torch.cat((high, infinite)))


@given(seed=st.integers(0, 1000))
def test_adjoint_is_the_adjoint_of_the_gradient(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    edges = Edges.between(torch.rand(5, 7, generator=generator) > 0.3, DOUBLE)
    maps = torch.randn(3, 5, 7, generator=generator, dtype=DOUBLE)
    flow = torch.randn(2, 3, 5, 7, generator=generator, dtype=DOUBLE)
    torch.testing.assert_close((edges.gradient(maps) * flow).sum(), (maps * edges.adjoint(flow)).sum())


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_denoising_reaches_the_optimum_of_cvxpy(missing: float) -> None:
    inside, rng = holes(16, missing), np.random.default_rng(2)
    images = np.where(np.add.outer(np.arange(16), np.arange(16)) > 15, 1.0, 0.0) + 0.3 * rng.standard_normal(
        (2, 16, 16)
    )
    strength = np.array([0.3, 0.05])
    edges = Edges.between(torch.from_numpy(inside), DOUBLE)
    start = torch.zeros(2, 2, 16, 16, dtype=DOUBLE)
    maps = torch.from_numpy(np.where(inside, images, 0))
    found, _ = prox_total_variation(maps, torch.from_numpy(strength), edges, start, tolerance=1e-6, steps=20_000)
    for image, price, z, own in zip(images, strength, found.numpy(), total_variation(found, edges), strict=True):
        ours, optimum = (
            0.5 * ((image - smoothed)[inside] ** 2).sum() + price * variation(smoothed, inside)
            for smoothed in (z, denoised(image, price, inside))
        )
        assert abs(ours / optimum - 1) < 1e-5
        assert own == pytest.approx(variation(z, inside))


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("tv_shading", "sparsity"), [(0.02, 0.05), (0.2, 0.01), (0.05, 0.0), (0.0, 0.3)])
def test_shading_of_given_pigments_reaches_the_optimum_of_cvxpy(
    tv_shading: float, sparsity: float, missing: float
) -> None:
    pixels, _ = scene(16, noise=0.02)
    inside = holes(16, missing)
    held = torch.tensor([0.2, 0.4], dtype=DOUBLE)
    problem = picture(pixels, inside, (0.0, tv_shading), sparsity, held)
    start = torch.cat((held, torch.tensor([0.5, 0.0], dtype=DOUBLE))).expand(int(inside.sum()), 4)
    found = smooth(problem, start, iterations=500, tolerance=1e-7)
    skin = np.broadcast_to(msfit.reflectance(0.2 * 0.43, 0.4 * 0.07, NM), pixels.shape)

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
    assert abs(found.history[-1] / optimum - 1) < 1e-5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("stiffness", [(0.0, 0.0, 0.0, 0.0), (0.3, 2.0, 0.0, 0.0), (0.3, 2.0, 5.0, 8.0)])
def test_gradient_of_a_pulled_pixel_is_the_derivative_of_its_cost(stiffness: tuple[float, ...], weighted: bool) -> None:
    pixels, _ = scene(6)
    rng = np.random.default_rng(3)
    inside = np.ones((6, 6), bool)
    weights = rng.choice([0.0, 1.0], pixels.shape, p=[0.2, 0.8]) if weighted else None
    pulled = picture(pixels, inside, (0.0, 0.0), 0.02, weights=weights).pixels
    target = torch.from_numpy(rng.uniform(0, 1, (36, 4)))
    pulled = replace(pulled, target=target, stiffness=torch.tensor(stiffness, dtype=DOUBLE))
    scaled = torch.from_numpy(rng.uniform(0.05, 0.9, (36, 2)))
    point = pulled.evaluate(scaled)
    torch.testing.assert_close(pulled.shaded(scaled)[1], point.cost)
    leaf = scaled.clone().requires_grad_()
    # at the best shadings the cost does not change with them: their derivative may be left out
    unknowns = torch.cat((leaf, torch.stack((point.i_d, point.i_s), 1)), 1)
    pulled.cost(unknowns).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(2 * point.gradient, leaf.grad)


def test_a_pulled_pixel_ends_no_higher_than_scipy() -> None:
    pixels, _ = scene(4)
    pulled = picture(pixels, np.ones((4, 4), bool), (0.0, 0.0), 0.02).pixels
    rng = np.random.default_rng(4)
    target = torch.from_numpy(
        np.stack([rng.uniform(0.05, 0.4, 16), rng.uniform(0.2, 0.8, 16), *rng.uniform(0, 1, (2, 16))], 1)
    )
    pulled = replace(pulled, target=target, stiffness=torch.tensor([0.5, 0.2, 3.0, 4.0], dtype=DOUBLE))
    zero, one = torch.zeros(2, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE)
    point = pulled.minimise(target[:, :2], zero, one)
    for index in range(16):
        alone = pulled.take(slice(index, index + 1))

        def cost(x: np.ndarray, alone: Pulled = alone) -> tuple[float, np.ndarray]:
            leaf = torch.from_numpy(x[None]).requires_grad_()
            value = alone.cost(leaf).sum()
            value.backward()
            return value.item(), leaf.grad.numpy().ravel()  # type: ignore[union-attr]

        box = [(0, 1), (0, 1), (0, None), (0, None)]
        start = np.r_[target[index, :2].numpy(), 0.5, 0.05]
        options = {"ftol": 1e-15, "gtol": 1e-10}
        found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=box, options=options)
        assert point.cost[index] <= found.fun * (1 + 1e-7)


def check_against_lbfgs(size: int, starts: int, tv_shading: float, iterations: int) -> None:
    """Ends no worse than the best of several starts of L-BFGS, and never rises."""
    pixels, _ = scene(size)
    found = msfit.fit_spatial(
        pixels, NM, tv=0.02, sparsity=0.001, tv_shading=tv_shading, model=MODEL, iterations=iterations, tolerance=1e-12
    )
    peer = FullProblem(pixels, NM, MODEL, 0.02, 0.001, tv_shading)
    maps = np.stack([found.f_mel / 0.43, found.f_blood / 0.07, found.i_d, found.i_s])
    history = found.attrs["objective"]
    assert (np.diff(history) <= 0).all()
    assert history[-1] == pytest.approx(peer.objective(maps), rel=1e-9)
    rng = np.random.default_rng(20)
    best = min(peer.objective(peer.descend(peer.random_start(rng))) for _ in range(starts))
    assert history[-1] <= best * (1 + 1e-9)


def test_full_problem_ends_no_worse_than_lbfgs() -> None:
    check_against_lbfgs(6, 2, 0.01, 150)


@pytest.mark.slow
@pytest.mark.parametrize("tv_shading", [0.0, 0.01])
def test_full_problem_ends_no_worse_than_the_best_of_twenty_lbfgs(tv_shading: float) -> None:
    check_against_lbfgs(16, 20, tv_shading, 500)
