"""Other solvers of the fit, each as its users call it: pixels (n, band) -> (f_mel, f_blood, i_d, i_s), (n, 4).

All minimise the same sum of squares over the same box; each starts from its middle, with i_d = 0.5 and i_s = 0.05. What
has no bounds of its own gets them by a reparametrisation that all of its users know: a logistic curve for pigments, a
softplus for shadings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cvxpy
import jax
import jax.numpy as jnp
import lmfit
import numpy as np
import optimistix
import torch
from scipy.optimize import least_squares

from benchmarks.adam import adam as batched_adam
from benchmarks.jax_skin import JaxSkin
from benchmarks.reference_skin import ReferenceSkin
from msfit.skin.models import get_model

MODEL = "alotaibi-smith-2019"
NM = np.arange(400.0, 701.0, 10.0)
UPPER = np.array([0.43, 0.07])
START = np.array([*(UPPER / 2), 0.5, 0.05])

Peer = Callable[[np.ndarray], np.ndarray]

_SKIN = ReferenceSkin(MODEL, NM)
_ADAM_STEPS, _ADAM_BATCH = 500, 16_384
_LM_STEPS, _LM_BATCH = 200, 4_096
# Tolerances of Levenberg-Marquardt, near what the type can resolve.
_LM_TOLERANCE = {"float64": 1e-10, "float32": 1e-6}


def rmse(pixels: np.ndarray, solution: np.ndarray) -> np.ndarray:
    """Root mean squared residual of what a solver has found, by the reference model in float64, (n,)."""
    f_mel, f_blood, i_d, i_s = np.asarray(solution, np.float64).T
    residual = i_d[:, None] * _SKIN(f_mel, f_blood) + i_s[:, None] - pixels
    return np.sqrt((residual**2).mean(1))


def scipy_least_squares(pixels: np.ndarray) -> np.ndarray:
    """`scipy.optimize.least_squares` (trust region reflective), a pixel at a time, at its default tolerances."""
    lower, upper = np.zeros(4), np.array([*UPPER, np.inf, np.inf])
    return np.array(
        [
            least_squares(
                lambda x, y: x[2] * _SKIN(x[0], x[1]) + x[3] - y, START, bounds=(lower, upper), x_scale="jac", args=(y,)
            ).x
            for y in pixels
        ]
    )


def lmfit_leastsq(pixels: np.ndarray) -> np.ndarray:
    """`lmfit.minimize` (MINPACK's Levenberg-Marquardt on transformed parameters), a pixel at a time."""
    parameters = lmfit.Parameters()
    for name, start, high in zip(("f_mel", "f_blood", "i_d", "i_s"), START, (*UPPER, np.inf, np.inf), strict=True):
        parameters.add(name, value=start, min=0, max=high)

    def residual(now: Any, y: np.ndarray) -> np.ndarray:
        x = now.valuesdict()
        return x["i_d"] * _SKIN(x["f_mel"], x["f_blood"]) + x["i_s"] - y

    return np.array(
        [list(lmfit.minimize(residual, parameters, args=(y,)).params.valuesdict().values()) for y in pixels]
    )


def adam(pixels: np.ndarray) -> np.ndarray:
    """500 steps of Adam in torch, float32, all pixels of a batch at once."""
    skin, upper = get_model(MODEL).at(NM, torch.float32), torch.tensor(UPPER, dtype=torch.float32)
    batches = (pixels[first : first + _ADAM_BATCH] for first in range(0, len(pixels), _ADAM_BATCH))
    solutions = [batched_adam(skin, torch.tensor(y, dtype=torch.float32), upper, _ADAM_STEPS) for y in batches]
    return torch.cat(solutions).numpy()


def levenberg_marquardt(dtype: str) -> Peer:
    """optimistix's Levenberg-Marquardt under jax.vmap, compiled, in float32 or float64."""
    tolerance = _LM_TOLERANCE[dtype]
    solver: Any = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)

    @jax.jit
    @jax.vmap
    def fit(y: Any) -> Any:
        skin, upper = JaxSkin(NM, dtype), jnp.asarray(UPPER, dtype)

        def bounded(raw: Any) -> Any:
            return jnp.concatenate((upper * jax.nn.sigmoid(raw[:2]), jax.nn.softplus(raw[2:])))

        def residual(raw: Any, y: Any) -> Any:
            x = bounded(raw)
            return x[2] * skin(x[0], x[1]) + x[3] - y

        start = jnp.asarray(_raw(START), dtype)
        solutions: Any = optimistix.least_squares(residual, solver, start, args=y, max_steps=_LM_STEPS, throw=False)
        return bounded(solutions.value)

    def peer(pixels: np.ndarray) -> np.ndarray:
        # batches of one size, so that it is compiled once
        padded = np.concatenate((pixels, np.repeat(pixels[:1], -len(pixels) % _LM_BATCH, 0))).astype(dtype)
        with jax.enable_x64(dtype == "float64"):
            parts = [np.asarray(fit(padded[first : first + _LM_BATCH])) for first in range(0, len(padded), _LM_BATCH)]
        return np.concatenate(parts)[: len(pixels)]

    return peer


def cvxpy_shading() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The shadings of given reflectances (n, band) by cvxpy, a pixel at a time, compiled once: (n, 2)."""
    skin, pixel, shadings = cvxpy.Parameter(NM.size), cvxpy.Parameter(NM.size), cvxpy.Variable(2, nonneg=True)
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(shadings[0] * skin + shadings[1] - pixel)))

    def solve(reflectance: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        solutions = []
        for skin.value, pixel.value in zip(reflectance, pixels, strict=True):
            problem.solve(solver=cvxpy.CLARABEL)
            solutions.append(np.maximum(shadings.value, 0))
        return np.array(solutions)

    return solve


def _raw(x: np.ndarray) -> np.ndarray:
    """Unbounded parameters of (f_mel, f_blood, i_d, i_s)."""
    share = x[:2] / UPPER
    return np.concatenate((np.log(share / (1 - share)), np.log(np.expm1(x[2:]))))
