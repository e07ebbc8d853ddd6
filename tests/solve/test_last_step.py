"""The last step of a descent, which the CPU's kernel takes untried: bounds, and so statuses, do not rest on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.skin import DEFAULT_MODEL
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver

NM = np.arange(400.0, 701.0, 10.0)


def test_single_and_double_precision_end_on_the_same_bounds() -> None:
    """Of noise, whose valleys are flat and bent: a step onto a bound may leave them."""
    model = get_model(DEFAULT_MODEL)
    skin = model.in_numpy(NM)
    assert skin is not None
    lower, upper = np.array([parameter.wide for parameter in model.parameters[:2]]).T
    noise = np.random.default_rng(0).random((2000, len(NM)), np.float32)

    def ends(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        solver = CpuSolver.over(skin, lower, upper, dtype)
        assert solver is not None
        found = solver(noise.astype(dtype))
        assert found.converged.all()
        on_bound = np.hstack((found.x <= lower.astype(dtype), found.x >= upper.astype(dtype)))
        return on_bound, found.i_d > 0

    (first, diffuse), (second, also) = ends(np.float32), ends(np.float64)
    # two minima may be equally deep
    assert (first != second).any(1)[diffuse & also].sum() <= 2e-3 * len(noise)
    assert (diffuse == also).all()


def test_no_light_is_negative_and_gloss_is_the_best_without_diffuse() -> None:
    """Of noise that hardly anything explains: a step in first order may leave no diffuse light."""
    model = get_model("alotaibi-smith-2019")
    skin = model.in_numpy(NM)
    assert skin is not None
    box = np.array([parameter.wide for parameter in model.parameters[:2]]).T
    solver = CpuSolver.over(skin, *box, np.float32)
    assert solver is not None
    random = np.random.default_rng(3)
    noise = (random.normal(0.07, 0.027, (50_000, len(NM)))).astype(np.float32)
    found = solver(noise)
    assert found.i_d.min() >= 0
    dark = found.i_d == 0
    assert dark.sum() > 100
    np.testing.assert_allclose(found.i_s[dark], noise[dark].mean(1), rtol=1e-5)
