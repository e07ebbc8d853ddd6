"""The last step of a descent, which the CPU takes by its prediction: where it ends has to be worth its cost."""

from __future__ import annotations

import numpy as np

from msfit.skin import DEFAULT_MODEL
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.problem import Problem

NM = np.arange(400.0, 701.0, 10.0)


def test_the_cost_of_an_end_is_that_of_where_it_is() -> None:
    """Of noise too, whose valleys are flat and bent: a step onto a bound may leave them."""
    model = get_model(DEFAULT_MODEL)
    skin = model.in_numpy(NM)
    assert skin is not None
    lower, upper = np.array([parameter.wide for parameter in model.parameters[:2]]).T
    solver = CpuSolver.over(skin, lower, upper, np.float32)
    assert solver is not None
    rng = np.random.default_rng(0)
    noise = rng.random((2000, len(NM)), np.float32)
    reflectance = skin.reflectance(rng.uniform((0, 0), (0.3, 0.08), (500, 2)))
    skins = (0.8 * reflectance + 0.003 * rng.standard_normal(reflectance.shape)).astype(np.float32)
    pixels = np.concatenate((noise, skins))
    found = solver(pixels)
    exact = Problem(skin, pixels.astype(np.float64)).evaluate(found.x.astype(np.float64))
    assert found.converged.all()
    # what single precision does to residuals of the pixel's size, see `problem.Problem.evaluate`
    eps = np.finfo(np.float32).eps
    energy = np.square(pixels, dtype=np.float64).sum(1)
    rounding = 4 * eps * (np.sqrt(exact.cost * energy) + eps * energy)
    assert (exact.cost <= found.cost * (1 + 4e-6) + rounding).all()
