"""Every solver on every problem it takes: one set of checks over a table of routes (a habit of optimistix's tests).

A route is a way from pixels to minima: the reference in torch, the kernels for CPUs in either precision, the Triton
kernel in its interpreter, fits from coefficients, Huber's loss, extra parameters. A problem is a set of pixels with a
model and perhaps weights, bounds of the shadings and a prior. Whatever a route takes it must solve to the global
minimum, inside the box, pixel by pixel on its own.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.low_rank import LowRankSolver
from msfit.solve.loss import Loss
from msfit.solve.problem import NON_NEGATIVE, Prior, Problem, ShadingBounds
from msfit.solve.robust import solve_robustly
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver, solver_for

MAX = np.array([0.43, 0.07])
BOX = {"f_mel": (0.0, 0.43), "f_blood": (0.0, 0.07)}


@dataclass(frozen=True)
class Case:
    """Pixels (n, band) of a model on some bands, with weights or None for ones, the box of the pigments, bounds of the
    shadings and a prior on all four numbers."""

    model: str
    nm: np.ndarray
    pixels: np.ndarray
    weights: np.ndarray | None = None
    held: float | None = None  # f_blood
    shadings: ShadingBounds = NON_NEGATIVE
    prior: Prior | None = None

    @property
    def box(self) -> dict[str, tuple[float, float]]:
        return BOX if self.held is None else {**BOX, "f_blood": (self.held, self.held)}


def case(model: str, bands: int, kind: str, count: int = 32) -> Case:
    """Skin with noise, skin that is too dark, too bright and too flat for the model, and spectra that are no skin."""
    rng = np.random.default_rng(bands)
    nm = np.linspace(410, 700, bands)
    skin = get_model(model).in_numpy(nm)
    assert skin is not None
    x = rng.random((count, 2)) ** 1.5 * MAX
    if kind == "held":
        x[:, 1] = 0.03
    pixels = rng.uniform(0.2, 1.4, (count, 1)) * skin.reflectance(x) + rng.uniform(0, 0.2, (count, 1))
    pixels += rng.choice([0, 1e-3, 1e-2], (count, 1)) * rng.standard_normal(pixels.shape)
    if kind == "no skin":
        pixels = np.abs(rng.uniform(-1, 1, (count, 1)) * (nm - 550) / 300 + rng.uniform(0.1, 1, (count, 1)))
    weights = None
    if kind in ("weighted", "weighted prior"):
        weights = rng.choice([0.0, 0.5, 1.0, 2.0], pixels.shape)
        weights[:, ::4] = 1.0
    return Case(model, nm, pixels, weights, 0.03 if kind == "held" else None, *terms(kind, count, rng))


def terms(kind: str, count: int, rng: np.random.Generator) -> tuple[ShadingBounds, Prior | None]:
    """Bounds of the shadings and a prior."""
    shadings: dict[str, ShadingBounds] = {
        "no gloss": ((0.0, math.inf), (0.0, 0.0)),
        "level known": ((0.8, 0.8), (0.0, math.inf)),
        "bounded": ((0.5, 0.7), (0.0, 0.05)),
        "bounded prior": ((0.5, 0.7), (0.0, 0.05)),
    }
    prior = None
    if "prior" in kind:
        many = count if kind == "maps of priors" else 1
        mean = rng.uniform((0.02, 0.01, 0.3, 0.0), (0.3, 0.05, 1.1, 0.1), (many, 4))
        mixed = rng.standard_normal((many, 4, 4)) * np.array([0.1, 0.02, 0.4, 0.05])[:, None]
        covariance = mixed @ mixed.swapaxes(1, 2) + np.diag([0.02, 0.005, 0.1, 0.01]) ** 2
        root = 0.01 * np.linalg.inv(np.linalg.cholesky(covariance))
        prior = Prior(mean, root[:, :2] if kind == "prior" else root)  # of two sums of the numbers alone
    return shadings.get(kind, NON_NEGATIVE), prior


def reference(problem: Case, dtype: str) -> Solution:
    solver = solver_for(get_model(problem.model), problem.box, problem.nm, dtype, "cpu", problem.shadings)
    assert isinstance(solver, PigmentSolver)
    kind = getattr(torch, dtype)
    weights = None if problem.weights is None else torch.from_numpy(problem.weights).to(kind)
    prior = None if problem.prior is None else problem.prior.to(kind, "cpu")
    return solver.reference(torch.from_numpy(problem.pixels).to(kind), weights, prior).numpy()


def kernel(problem: Case, dtype: str) -> Solution:
    solver = solver_for(get_model(problem.model), problem.box, problem.nm, dtype, "cpu", problem.shadings)
    assert isinstance(solver, PigmentSolver)
    assert isinstance(solver.kernel, CpuSolver)
    return solver(problem.pixels.astype(dtype), problem.weights, problem.prior)


def low_rank(problem: Case, dtype: str) -> Solution:
    """From coefficients in as many spectra as there are pixels: they are exact."""
    solver = solver_for(get_model(problem.model), problem.box, problem.nm, dtype)
    assert isinstance(solver, PigmentSolver)
    assert isinstance(solver.kernel, CpuSolver)
    terms = min(problem.pixels.shape[1], 40)
    mean = problem.pixels.mean(0)
    basis = np.linalg.svd(problem.pixels - mean, full_matrices=False)[2][:terms]
    coefficients = (problem.pixels - mean) @ basis.T
    problem.pixels[:] = np.maximum(mean + coefficients @ basis, 0)  # what they stand for
    low = LowRankSolver.over(solver.kernel, np.column_stack((basis.T, mean)))
    assert low is not None
    pixels = low.pixels(np.column_stack((coefficients, np.ones(len(coefficients)))).astype(np.float32), 1e-12)
    assert pixels.usable.mean() > 0.5
    solution = kernel(problem, dtype)
    for values, found in zip(vars(solution).values(), vars(low(pixels)).values(), strict=True):
        values[pixels.usable] = found
    return solution


def huber(problem: Case, dtype: str) -> Solution:
    """With a threshold that no residual reaches: half the sum of squares."""
    solver = solver_for(get_model(problem.model), problem.box, problem.nm, dtype)
    assert isinstance(solver, PigmentSolver)
    pixels = torch.from_numpy(problem.pixels).to(getattr(torch, dtype))
    weights = None if problem.weights is None else torch.from_numpy(problem.weights).to(pixels)
    loss = Loss(scale=None if weights is None else weights.sqrt(), threshold=torch.full_like(pixels[:, :1], 10.0))
    solution = solve_robustly(solver, solver(pixels, weights), pixels, loss).numpy()
    solution.cost = 2 * solution.cost
    return solution


def extras(problem: Case, dtype: str) -> Solution:
    """With an extra parameter between bounds that are almost equal."""
    box = {**problem.box, "scattering": (1.0, 1.0 + 1e-9)}
    solver = solver_for(get_model(problem.model), box, problem.nm, dtype)
    weights = None if problem.weights is None else torch.from_numpy(problem.weights)
    solution = solver(torch.from_numpy(problem.pixels), weights).numpy()
    solution.x = solution.x[:, :2]
    return solution


# name: (route, type, how far its RMSE may lie above the least, the kinds of problems that it takes)
PLAIN = ("skin", "no skin", "held")
ALL = (*PLAIN, "weighted")
WITH_TERMS = ("no gloss", "level known", "bounded", "prior", "maps of priors", "bounded prior", "weighted prior")
ROUTES: dict[str, tuple[Callable[[Case, str], Solution], str, float, tuple[str, ...]]] = {
    "reference float64": (reference, "float64", 1e-9, (*ALL, *WITH_TERMS)),
    "reference float32": (reference, "float32", 3e-6, ALL),
    "cpu float64": (kernel, "float64", 1e-9, (*ALL, *WITH_TERMS)),
    "cpu float32": (kernel, "float32", 3e-6, (*ALL, *WITH_TERMS)),
    "low rank": (low_rank, "float32", 4e-6, ("skin", "held")),
    "robust": (huber, "float64", 1e-8, ALL),
    "extras": (extras, "float64", 1e-8, ALL),
}
TABLE = [
    pytest.param(
        *(route, model, bands, kind),
        id=f"{route}, {model}, {bands} bands, {kind}",
        # of many bands each takes a second
        marks=[pytest.mark.slow] if bands > 64 and kind not in PLAIN else [],
    )
    for model, bands in (("msfit-issa-2026", 31), ("alotaibi-smith-2019", 9), ("jacques-km", 85))
    for kind in (*ALL, *WITH_TERMS)
    for route, (_, _, _, kinds) in ROUTES.items()  # of a problem one after another, so that its minima are found once
    if kind in kinds
    if (bands >= 64 or route != "low rank") and (route not in ("robust", "extras") or bands == 31)
]


def cost(problem: Case, solution: Solution) -> np.ndarray:
    """Sum of squares of a solution, from its definition in float64, (n,)."""
    skin = get_model(problem.model).in_numpy(problem.nm)
    assert skin is not None
    x, i_d, i_s = (np.asarray(part, np.float64) for part in (solution.x, solution.i_d, solution.i_s))
    squares = (problem.pixels - i_d[:, None] * skin.reflectance(x) - i_s[:, None]) ** 2
    total = np.asarray((squares if problem.weights is None else problem.weights * squares).sum(1))
    if problem.prior is None:
        return total
    away = np.column_stack((x, i_d, i_s)) - problem.prior.mean
    return np.asarray(total + ((problem.prior.root @ away[:, :, None])[..., 0] ** 2).sum(1))


def least(problem: Case, nodes: int = 60) -> np.ndarray:
    """The least sum of squares on a fine grid over the box, (n,)."""
    skin = get_model(problem.model).in_numpy(problem.nm)
    assert skin is not None
    axes = [
        low + (high - low) * np.linspace(0, 1, nodes if high > low else 1) ** 1.7 for low, high in problem.box.values()
    ]
    x = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    spectra = skin.reflectance(x)
    best = []
    for k, y in enumerate(problem.pixels):
        w = None if problem.weights is None else np.broadcast_to(problem.weights[k], spectra.shape)
        prior = None if problem.prior is None else problem.prior.take([k])
        here = Problem(skin, np.broadcast_to(y, spectra.shape), w, problem.shadings, prior)
        i_d, i_s = here.shade(spectra, x)
        some = Case(problem.model, problem.nm, here.pixels, w, None, problem.shadings, prior)
        best.append(cost(some, Solution(x, i_d, i_s, *(i_d,) * 3)).min())
    return np.array(best)


def minima(problem: Case) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares (n,) where the reference in double precision ends, and the least on the grid."""
    return cost(problem, reference(problem, "float64")), least(problem)


@cache
def known_minima(model: str, bands: int, kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    return minima(case(model, bands, kind, count))


@pytest.mark.parametrize(("route", "model", "bands", "kind"), TABLE)
def test_every_route_solves_every_problem_it_takes(route: str, model: str, bands: int, kind: str) -> None:
    solve, dtype, tolerance, _ = ROUTES[route]
    asked = model, bands, kind, 12 if route in ("robust", "extras") else 32
    problem = case(*asked)
    solution = solve(problem, dtype)
    assert solution.converged.all()
    low, high = np.array(list(problem.box.values())).T
    assert ((solution.x >= low.astype(solution.x.dtype)) & (solution.x <= high.astype(solution.x.dtype))).all()
    for value, ends in zip((solution.i_d, solution.i_s), problem.shadings, strict=True):
        assert ((value >= value.dtype.type(ends[0])) & (value <= value.dtype.type(ends[1]))).all()
    total = np.full(len(problem.pixels), bands) if problem.weights is None else problem.weights.sum(1)
    reached, stated = (np.sqrt(np.maximum(values, 0) / total) for values in (cost(problem, solution), solution.cost))
    # a route by coefficients has pixels of its own
    for exact in minima(problem) if route == "low rank" else known_minima(*asked):
        assert (reached - np.sqrt(exact / total)).max() < tolerance
    np.testing.assert_allclose(stated, reached, atol=2 * tolerance)


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        (route, kind)
        for route in ROUTES
        for kind in ("skin", "weighted", "bounded", "maps of priors")
        if kind in ROUTES[route][3]
    ],
)
def test_a_pixel_alone_equals_itself_in_a_batch_to_the_bit(route: str, kind: str) -> None:
    solve, dtype, _, _ = ROUTES[route]
    if route == "low rank":
        pytest.skip("its coefficients are those of the whole set; tests/test_mixtures.py has the same check")
    whole = case("msfit-issa-2026", 31, kind, 45)
    together = solve(whole, dtype)
    for part in (slice(0, 1), slice(7, 40), slice(44, 45)):
        weights = None if whole.weights is None else whole.weights[part]
        prior = None if whole.prior is None else whole.prior.take(part)
        alone = solve(Case(whole.model, whole.nm, whole.pixels[part], weights, None, whole.shadings, prior), dtype)
        for name, values in vars(alone).items():
            np.testing.assert_array_equal(values, getattr(together, name)[part], err_msg=name)


TRITON = """
import sys
import numpy as np
import torch
from msfit.skin.models import get_model
from msfit.solve.backends.gpu import GpuSolver
from tests.solve.test_routes import case, reference
problem = case("msfit-issa-2026", 31, sys.argv[1], 24)
skin, box = get_model(problem.model).in_numpy(problem.nm), np.array(list(problem.box.values())).T
gpu = GpuSolver.over(skin, *box, "cpu")
weights = None if problem.weights is None else torch.from_numpy(problem.weights).float()
found, expected = gpu(torch.from_numpy(problem.pixels).float(), weights).numpy(), reference(problem, "float64")
total = 31 if weights is None else problem.weights.sum(1)
assert found.converged.all()
assert (np.sqrt(np.maximum(found.cost, 0) / total) - np.sqrt(expected.cost / total)).max() < 3e-6
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_the_kernel_for_gpus_solves_them_too(kind: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", TRITON, kind]
    root = Path(__file__).parents[2]
    done: Any = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
