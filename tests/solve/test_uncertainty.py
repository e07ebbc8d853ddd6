"""Standard deviations and correlations against closed forms, scipy's covariance and autograd, inside and on bounds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit

import msfit
from msfit.skin.models import get_model, model_names
from msfit.solve.loss import Loss
from msfit.solve.problem import Problem
from msfit.solve.solver import PigmentSolver
from msfit.solve.uncertainty import pairs, uncertainty

MODEL = "alotaibi-smith-2019"
NM = np.arange(400.0, 701.0, 10.0)
DOUBLE = torch.float64
LOWER, UPPER = torch.zeros(2, dtype=DOUBLE), torch.tensor([0.43, 0.07], dtype=DOUBLE)
NAMES = ("f_mel", "f_blood", "i_d", "i_s")


def noisy(count: int, sigma: float = 0.003, seed: int = 0, f_blood: float = 0.03, i_s: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    skin = 0.8 * msfit.reflectance(rng.uniform(0.03, 0.12, count), f_blood, NM, model=MODEL) + i_s
    return skin + sigma * rng.standard_normal(skin.shape)


def test_pairs_are_named_in_order() -> None:
    assert pairs(NAMES) == ["f_mel,f_blood", "f_mel,i_d", "f_mel,i_s", "f_blood,i_d", "f_blood,i_s", "i_d,i_s"]


@pytest.mark.parametrize("known", [False, True])
def test_covariance_equals_scipys(known: bool) -> None:
    """curve_fit in all four parameters, with differences for derivatives: one of its own for every spectrum."""
    spectra, sigma = noisy(6), np.linspace(0.002, 0.005, NM.size)
    weights = 1 / sigma**2
    found = msfit.fit(spectra, NM, model=MODEL, std=True, weights=weights, noise=sigma if known else None)
    assert found.std is not None
    assert found.correlation is not None

    def model(nm: np.ndarray, f_mel: float, f_blood: float, i_d: float, i_s: float) -> np.ndarray:
        return i_d * msfit.reflectance(f_mel, f_blood, nm, model=MODEL) + i_s

    for k, y in enumerate(spectra):
        start = [getattr(found, name)[k] for name in NAMES]
        _, covariance = curve_fit(model, NM, y, start, sigma, known, method="trf", x_scale=start, xtol=1e-10)
        std = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose([found.std[name][k] for name in NAMES], std, rtol=2e-3)
        for i, j in combinations(range(4), 2):
            expected = covariance[i, j] / (std[i] * std[j])
            assert found.correlation[f"{NAMES[i]},{NAMES[j]}"][k] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("model", model_names())
def test_the_jacobian_behind_it_is_the_derivative_of_the_residual(model: str) -> None:
    """For noise 1 in every band the covariance is the inverse of the normal matrix that autograd finds."""
    skin = get_model(model).at(NM)
    x = torch.tensor([[0.08, 0.02, 0.9, 0.1], [0.2, 0.05, 0.5, 0.05]], dtype=DOUBLE)

    def reflected(x: torch.Tensor) -> torch.Tensor:
        return x[..., 2:3] * skin.reflectance(x[..., :2]) + x[..., 3:4]

    assert torch.autograd.gradcheck(reflected, x.clone().requires_grad_())
    pixels = reflected(x)
    point = Problem(skin, pixels).evaluate(x[:, :2])
    found = uncertainty(skin, point, pixels, Loss(sigma=torch.ones_like(pixels)), LOWER, UPPER)
    for k in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda row: reflected(row[None])[0], x[k])
        covariance = torch.linalg.inv(jacobian.T @ jacobian)
        torch.testing.assert_close(found.std[k], covariance.diagonal().sqrt(), rtol=1e-8, atol=0)


def test_given_noise_need_not_be_the_weights_inverse() -> None:
    """Weights that are not the noise's own cost precision: the spread of many draws says how much."""
    rng = np.random.default_rng(3)
    sigma, weights = np.where(NM < 500, 0.006, 0.001), np.linspace(0.2, 2, NM.size)
    truth = 0.9 * msfit.reflectance(0.06, 0.03, NM, model=MODEL) + 0.1
    draws = truth + sigma * rng.standard_normal((4000, NM.size))
    found = msfit.fit(draws, NM, model=MODEL, std=True, weights=weights, noise=sigma)
    assert found.std is not None
    assert found.correlation is not None
    for name in NAMES:
        assert np.median(found.std[name]) == pytest.approx(getattr(found, name).std(), rel=0.05), name
    for pair, values in found.correlation.items():
        one, other = (getattr(found, name) for name in pair.split(","))
        assert np.median(values) == pytest.approx(np.corrcoef(one, other)[0, 1], abs=0.05), pair


def test_one_free_parameter_has_the_closed_form() -> None:
    """With both pigments held and i_s on zero, i_d is a mean: its variance s^2 / sum r^2."""
    r = msfit.reflectance(0.1, 0.03, NM, model=MODEL)
    y = 0.7 * r - 0.02 + 0.001 * np.cos(np.arange(NM.size))
    held = {"f_mel": (0.1, 0.1), "f_blood": (0.03, 0.03)}
    found = msfit.fit(y[None], NM, model=MODEL, bounds=held, std=True, noise=0.01)
    assert found.i_s[0] == 0
    assert found.std is not None
    assert found.std["i_d"][0] == pytest.approx(0.01 / np.sqrt((r * r).sum()), rel=1e-9)
    assert np.isnan([found.std["f_mel"][0], found.std["f_blood"][0]]).all()
    assert found.correlation is not None
    assert all(np.isnan(values).all() for values in found.correlation.values())
    # i_s on its bound: the t > 0 with g t + h t^2 / 2 = noise^2 / 2, i_d following
    g = (y - found.i_d[0] * r).sum()
    h = NM.size - r.sum() ** 2 / (r * r).sum()
    assert g < 0
    t = (g + np.sqrt(g * g + h * 0.01**2)) / h
    assert found.std["i_s"][0] == pytest.approx(t, rel=1e-9)


def test_on_a_bound_std_is_the_rise_of_the_loss() -> None:
    """One std into the box, the others fitted anew, the sum of squares is higher by the noise's variance."""
    sigma = 0.003
    spectra = noisy(40, sigma, f_blood=0.0)
    found = msfit.fit(spectra, NM, model=MODEL, std=True, noise=sigma)
    assert found.std is not None
    on_bound = np.flatnonzero((found.status == msfit.Status.F_BLOOD_LOWER) & (found.i_s > 0.05))
    assert on_bound.size > 10
    for k in on_bound[:10]:
        reach = found.std["f_blood"][k]
        moved = msfit.fit(spectra[k : k + 1], NM, model=MODEL, bounds={"f_blood": (reach, reach)})
        rise = NM.size * (moved.rmse[0] ** 2 - found.rmse[k] ** 2)
        assert rise == pytest.approx(sigma**2, rel=0.15)


def test_std_on_a_bound_goes_over_into_that_inside() -> None:
    """As the slope at the bound falls to zero, the reach becomes the std of the free parameter."""
    skin = get_model(MODEL).at(NM)
    fractions = torch.tensor([[0.1, 0.0], [0.1, 1e-12]], dtype=DOUBLE)
    pixels = 0.8 * skin.reflectance(torch.tensor([[0.1, 0.0]] * 2, dtype=DOUBLE)) + 0.1
    point = Problem(skin, pixels).evaluate(fractions)
    found = uncertainty(skin, point, pixels, Loss(sigma=torch.full_like(pixels, 0.002)), LOWER, UPPER)
    torch.testing.assert_close(found.std[0, 1], found.std[1, 1], rtol=1e-6, atol=0)
    assert found.correlation[0].isnan().tolist() == [True, False, False, True, True, False]
    assert not bool(found.correlation[1].isnan().any())


def test_huber_and_normal_noise_have_hubers_efficiency() -> None:
    """A threshold of 1.345 sigma keeps 95 % of the precision (Huber 1981): from given noise, residuals and draws."""
    rng = np.random.default_rng(5)
    sigma = 0.003
    draws = 0.9 * msfit.reflectance(0.06, 0.03, NM, model=MODEL) + 0.1 + sigma * rng.standard_normal((700, NM.size))
    squares = msfit.fit(draws, NM, model=MODEL, std=True, noise=sigma)
    known = msfit.fit(draws, NM, model=MODEL, std=True, noise=sigma, huber=1.345 * sigma)
    estimated = msfit.fit(draws, NM, model=MODEL, std=True, huber=1.345 * sigma)
    assert squares.std is not None
    assert known.std is not None
    assert estimated.std is not None
    for name in NAMES:
        ratio = np.median(known.std[name]) ** 2 / np.median(squares.std[name]) ** 2
        assert ratio == pytest.approx(1 / 0.95, rel=0.01), name
        assert np.median(known.std[name]) == pytest.approx(getattr(known, name).std(), rel=0.08), name
        assert np.median(estimated.std[name]) == pytest.approx(np.median(known.std[name]), rel=0.06), name


def test_a_pixel_alone_equals_itself_in_a_batch() -> None:
    skin, pixels = get_model(MODEL).at(NM), torch.from_numpy(noisy(300, 0.01))
    solver = PigmentSolver(skin, LOWER, UPPER)
    point = solver(pixels)
    together = uncertainty(skin, point, pixels, Loss(), LOWER, UPPER)
    for k in range(0, 300, 50):
        index = torch.tensor([k])
        alone = uncertainty(skin, point.take(index), pixels[index], Loss(), LOWER, UPPER)
        assert torch.equal(alone.std[0].nan_to_num(-9), together.std[k].nan_to_num(-9))
        assert torch.equal(alone.correlation[0].nan_to_num(-9), together.correlation[k].nan_to_num(-9))


def test_no_diffuse_light_leaves_the_pigments_unknown() -> None:
    found = msfit.fit(np.linspace(0.5, 0.3, NM.size)[None], NM, model=MODEL, std=True)
    assert found.std is not None
    assert np.isnan([found.std[name][0] for name in ("f_mel", "f_blood", "i_d")]).all()
    residual = np.linspace(0.5, 0.3, NM.size) - found.i_s[0]
    assert found.std["i_s"][0] == pytest.approx(np.sqrt((residual**2).sum() / 30 / 31), rel=1e-9)
