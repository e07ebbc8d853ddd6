"""What this fit is compared with solves the same problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import msfit
from msfit.solve.problem import shadings

MODEL, NM = "alotaibi-smith-2019", np.arange(400.0, 701.0, 10.0)


@pytest.fixture(scope="module")
def peers() -> Any:
    """They are no part of the extra `test`: pip install -e '.[test,peers]'. Loading them takes three seconds."""
    pytest.importorskip("jax")
    found = pytest.importorskip("benchmarks.quality_peers", exc_type=ImportError)
    assert (found.MODEL, found.NM.tolist()) == (MODEL, NM.tolist())
    return found


PIXELS = np.stack(
    [
        0.8 * msfit.reflectance(0.08, 0.02, NM, model="alotaibi-smith-2019") + 0.03,
        0.4 * msfit.reflectance(0.2, 0.04, NM, model="alotaibi-smith-2019") + 0.10,
        1.1 * msfit.reflectance(0.03, 0.03, NM, model="alotaibi-smith-2019"),
    ]
) + 0.002 * np.random.default_rng(0).standard_normal((3, 31))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_the_model_in_jax_equals_ours(dtype: str, tolerance: float, peers: Any) -> None:
    import jax

    from benchmarks.jax_skin import JaxSkin

    rng = np.random.default_rng(1)
    f_mel, f_blood = rng.uniform(0, 0.43, 50), rng.uniform(0, 0.07, 50)
    f_mel[:2], f_blood[1:3] = 0, 0
    expected = msfit.reflectance(f_mel, f_blood, NM, model=MODEL)
    with jax.enable_x64(dtype == "float64"):
        skin = JaxSkin(NM, dtype)
        found = np.asarray(jax.vmap(skin)(f_mel.astype(dtype), f_blood.astype(dtype)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-7 if dtype == "float32" else 0)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("scipy_least_squares", 1e-8),
        ("lmfit_leastsq", 1e-8),
        ("float64", 1e-8),
        pytest.param("float32", 1e-6, marks=pytest.mark.slow),  # compiles for four seconds, as float64 does
        pytest.param("adam", 1e-2, marks=pytest.mark.slow),
    ],
)
def test_a_peer_reaches_the_optimum_of_easy_pixels(
    name: str, tolerance: float, peers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_LM_BATCH", 3)
    peer = peers.levenberg_marquardt(name) if name.startswith("float") else getattr(peers, name)
    found = peer(PIXELS)
    assert (found >= 0).all()
    assert (found[:, :2] <= peers.UPPER * (1 + 1e-6)).all()
    ours = msfit.fit(PIXELS, NM, model=MODEL).rmse
    gap = peers.rmse(PIXELS, found) - ours
    assert (np.abs(gap) < tolerance).all()


def test_shadings_equal_those_of_cvxpy(peers: Any) -> None:
    reflectance = msfit.reflectance([0.08, 0.2, 0.03], [0.02, 0.04, 0.03], NM, model=MODEL)
    ours = torch.stack(shadings(torch.from_numpy(reflectance), torch.from_numpy(PIXELS), None), 1)
    np.testing.assert_allclose(peers.cvxpy_shading()(reflectance, PIXELS), ours, atol=1e-6)
