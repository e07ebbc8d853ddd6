"""Channels as polynomials, in single precision, are those of the model."""

from __future__ import annotations

import numpy as np
import pytest

import msfit
from msfit.skin.channels import through
from msfit.skin.models import get_model
from msfit.solve.kernels import numba_descent, pieces

LEDS = msfit.Channels.gaussian([450, 505, 545, 577, 620, 660], 20)
MANY = msfit.Channels.gaussian(np.linspace(420, 690, 28), 10)


def box(model: str) -> tuple[np.ndarray, np.ndarray]:
    ends = [parameter.wide for parameter in get_model(model).parameters[:2]]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


@pytest.mark.parametrize("model", ["msfit-issa-2026", "alotaibi-smith-2019"])
@pytest.mark.parametrize("channels", [LEDS, MANY], ids=["six", "many"])
def test_polynomials_are_the_model(model: str, channels: msfit.Channels) -> None:
    skin, (lower, upper) = through(get_model(model), channels).on_bands(channels.centres), box(model)
    found = pieces.interpolated(skin.constants(np.float32), skin, lower, upper)
    assert found.size
    lanes, count = numba_descent.LANES, len(channels)
    # all over the box, denser where pigment is little, and its corners
    x = lower + (upper - lower) * np.random.default_rng(0).uniform(0, 1, (8 * lanes, 2)) ** [1, 3]
    x[:2] = lower, upper
    x = np.clip(x.astype(np.float32), lower.astype(np.float32), upper.astype(np.float32))
    rows = np.zeros((count, 4 * lanes + 16), np.float32)
    line, state = np.zeros(3 * pieces.ABREAST + found.shape[3], np.float32), np.zeros(150 * lanes, np.float32)
    made = np.zeros((found.shape[2], lanes, 3 * pieces.ABREAST), np.float32)
    exact, slopes = skin.jacobian(x.astype(float))
    for first in range(0, len(x), lanes):
        part = slice(first, first + lanes)
        for axis, at in enumerate((numba_descent._T0, numba_descent._T1)):
            state[at : at + lanes] = x[part, axis]
        numba_descent._interpolate(
            found, lower.astype(np.float32), upper.astype(np.float32), count, line, made, rows, state
        )
        value, by_mel, by_blood = (rows[:, lanes * k : lanes * (k + 1)].T for k in (1, 2, 3))
        np.testing.assert_allclose(value, exact[part], atol=2 * pieces.TOLERANCE, rtol=0)
        np.testing.assert_allclose(by_mel, slopes[0][part], atol=2e-4, rtol=2e-4)
        np.testing.assert_allclose(by_blood, slopes[1][part], atol=2e-3, rtol=2e-3)


def test_single_precision_ends_where_double_does() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform((0.01, 0.003, 0.4, 0.0), (0.4, 0.1, 1.0, 0.1), (400, 4))
    y = x[:, 2:3] * msfit.reflectance(x[:, 0], x[:, 1], channels=LEDS) + x[:, 3:]
    y = y + 0.003 * rng.standard_normal(y.shape)
    single, double = (msfit.fit(y, channels=LEDS, dtype=kind) for kind in ("float32", "float64"))
    cost = [len(LEDS) * np.asarray(fit.rmse, float) ** 2 for fit in (single, double)]
    assert (cost[0] <= cost[1] + 1e-7).all()


def test_where_a_pigment_is_held_there_are_none() -> None:
    skin, (lower, upper) = through(get_model("msfit-issa-2026"), LEDS).on_bands(LEDS.centres), box("msfit-issa-2026")
    assert not pieces.interpolated(skin.constants(np.float32), skin, lower, np.array([lower[0], upper[1]])).size
