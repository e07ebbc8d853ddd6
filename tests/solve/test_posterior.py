"""The compiled posterior beside its reference in torch: minima, standard deviations, correlations, residuals."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from msfit.skin.models import get_model
from msfit.solve.kernels.numba_posterior import roots
from msfit.solve.posterior import least
from msfit.solve.problem import NON_NEGATIVE, Component, Prior, ShadingBounds
from msfit.solve.solver import PigmentSolver, solver_for

NM = np.linspace(430, 690, 9)
BOX = {"f_mel": (0.0, 0.43), "f_blood": (0.0, 0.07)}
VARIANCE = 0.005**2


def pixels(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    skin = get_model("msfit-issa-2025").in_numpy(NM)
    assert skin is not None
    x = rng.uniform((0.0, 0.0, 0.2, 0.0), (0.4, 0.07, 1.1, 0.1), (count, 4))
    y = x[:, 2:3] * skin.reflectance(x[:, :2]) + x[:, 3:]
    return np.asarray(y + 0.01 * rng.standard_normal(y.shape))


def component(seed: int, shift: float = 0.0, count: int = 1) -> Component:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, 4, 4)) * np.array([0.05, 0.01, 0.3, 0.03])[:, None]
    covariance = mixed @ mixed.swapaxes(1, 2) + np.diag([0.02, 0.005, 0.1, 0.01]) ** 2
    mean = np.array([0.1 + shift, 0.03, 0.7, 0.04]) + 0.1 * rng.standard_normal((count, 4)) * [0.1, 0.02, 0.2, 0.02]
    root = VARIANCE**0.5 * np.linalg.inv(np.linalg.cholesky(covariance))
    return Component(Prior(mean, root), np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("shadings", [NON_NEGATIVE, ((0.5, 0.7), (0.0, 0.03)), ((0.8, 0.8), (0.0, math.inf))])
@pytest.mark.parametrize("kind", ["one", "mixture", "weighted", "maps"])
def test_it_is_that_of_the_reference(kind: str, shadings: ShadingBounds) -> None:
    y = pixels(60)
    parts = [component(1)]
    if kind == "mixture":
        parts += [component(2, 0.05), component(3, 0.2)]
    if kind == "maps":
        parts = [component(4, count=len(y))]
    weights = np.random.default_rng(6).choice([0.5, 1.0, 2.0], y.shape) if kind == "weighted" else None
    solver = solver_for(get_model("msfit-issa-2025"), BOX, NM, "float64", "cpu", shadings)
    assert isinstance(solver, PigmentSolver)
    found, certain, left = solver.posterior(y, weights, parts, VARIANCE)
    w = None if weights is None else torch.from_numpy(weights)
    expected, reference, residual = least(solver.reference, torch.from_numpy(y), w, parts, VARIANCE)
    assert_allclose(found.cost, expected.cost.numpy(), atol=1e-9)
    assert_allclose(left, residual.numpy(), atol=1e-5)
    assert_array_equal(np.isnan(certain.std), np.isnan(reference.std.numpy()))
    assert_allclose(certain.std, reference.std.numpy(), rtol=2e-3)
    assert_allclose(certain.correlation, reference.correlation.numpy(), atol=2e-3)


def test_single_precision_keeps_a_percent_of_it() -> None:
    y, parts = pixels(200), [component(1), component(3, 0.2)]
    exact, single = (solver_for(get_model("msfit-issa-2025"), BOX, NM, kind) for kind in ("float64", "float32"))
    assert isinstance(exact, PigmentSolver)
    assert isinstance(single, PigmentSolver)
    _, known, _ = exact.posterior(y, None, parts, VARIANCE)
    _, found, _ = single.posterior(y.astype(np.float32), None, parts, VARIANCE)
    ratio = found.std / known.std
    assert np.quantile(np.abs(ratio - 1), 0.95) < 0.01


def test_roots_are_inverse_cholesky_factors() -> None:
    mixed = np.random.default_rng(0).standard_normal((50, 3, 3))
    covariance = mixed @ mixed.swapaxes(1, 2) + 0.1 * np.eye(3)
    root, size = roots(covariance)
    assert_allclose(root, np.linalg.inv(np.linalg.cholesky(covariance)), atol=1e-10)
    assert_allclose(size, np.linalg.slogdet(covariance)[1], atol=1e-10)
    assert np.isnan(roots(-covariance)[0]).any((1, 2)).all()


def test_priors_and_bounds_need_no_torch() -> None:
    command = """
import sys, numpy as np, msfit
rgb = msfit.Channels.gaussian([450, 530, 600], 60)
y = 0.7 * msfit.reflectance([0.05, 0.1], 0.03, channels=rgb) + 0.03
msfit.fit(y, channels=rgb, prior={"f_mel": (0.1, 0.1), "i_s": (0.03, 0.02)}, noise=0.01)
msfit.fit(y, channels=rgb, hold={"i_s": 0.03})
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
