"""Does the kernel end where the CPU ends? Pixels of every kind, map by map, and statuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

import msfit
from benchmarks.gpu.pixels import KINDS, measured
from benchmarks.gpu.site import MODEL, NM, Fit, Site, skin_of
from msfit.fitting.devices import cores, workers
from msfit.fitting.maps import diffuse, statuses
from msfit.skin.channels import through
from msfit.skin.models import get_model
from msfit.skin.registry import Skin
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.problem import NON_NEGATIVE, Prior, Problem, ShadingBounds
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver, solver_for
from msfit.solve.tolerances import TOLERANCE

_PIXELS, _OTHERS = 1_000_000, 100_000
_BLOCK, _AT_ONCE = 16_384, 131_072
_LEAST = 0.02  # of the box: parameters below it are compared with it
_LEDS = (450, 505, 545, 577, 620, 660)


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """A million pixels of each kind; fewer with weights, in channels and with other options."""
    skin, lower, upper = skin_of()
    fused = site.fused(skin, lower, upper, interpreted=True)
    if not site.rehearsed:
        yield "first launch, seconds", partial(_first, fused, site)
    drawn = {kind: draw(site.size(_PIXELS)) for kind, draw in KINDS.items()}
    if site.rehearsed:  # a launch takes the interpreter as long for one kind as for all
        drawn = {"all kinds": np.concatenate(list(drawn.values()))}
    for kind, pixels in drawn.items():
        yield kind, partial(_equal, fused, skin, pixels, site)
    few = measured(site.size(_OTHERS), seed=1)
    yield "alone and in a batch", partial(_alone, site.fused(skin, lower, upper), few, site)
    # in a rehearsal by a stand-in: `interpreted` has these cases
    plain = site.fused(skin, lower, upper)
    yield "weights", partial(_weighted, plain, few[: site.size(_OTHERS // 10)], site)
    yield "six channels", partial(_channels, site)
    for name, options in OPTIONS.items():
        yield name, partial(_with_options, few[: site.size(_OTHERS // 5)], options, site)


#: What `fit` does on a GPU beside plain sums of squares.
OPTIONS: dict[str, dict[str, Any]] = {
    "std": {"std": True},
    "certificate": {"certify": True},
    "Huber's loss": {"huber": 0.01},
    "bounds of shadings": {"bounds": {"i_d": (0.0, 1.0), "i_s": (0.0, 0.08)}},
    "held blood": {"hold": {"f_blood": 0.03}},
    "weights of bands": {"weights": np.linspace(0.5, 2.0, len(NM)).tolist()},
}


def differences(
    found: Solution,
    expected: Solution,
    skin: Skin,
    pixels: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray | None = None,
    shadings: ShadingBounds = NON_NEGATIVE,
    prior: Prior | None = None,
) -> dict[str, Any]:
    """How far two solutions lie apart, map by map; in parameters where the minimum is sharp, see `sharpness`."""
    lower, upper = box
    bands = pixels.shape[1] if weights is None else weights.sum(1)
    gap = np.sqrt(np.maximum(found.cost, 0) / bands) - np.sqrt(np.maximum(expected.cost, 0) / bands)
    scale = np.maximum(expected.x, _LEAST * upper)
    apart = np.abs(found.x - expected.x) / scale
    width = np.where(upper > lower, scale, 0)
    sharp = (sharpness(skin, pixels, expected.x, width, weights, shadings, prior) > 1) & (expected.i_d > 0)
    first, second = (_statuses(one, lower, upper) for one in (found, expected))
    maps = {"f_mel": 0, "f_blood": 1}
    worst = {name: float(np.abs(found.x - expected.x)[sharp, k].max(initial=0)) for name, k in maps.items()}
    shades = {name: float(np.abs(getattr(found, name) - getattr(expected, name)).max()) for name in ("i_d", "i_s")}
    return {
        "pixels": len(pixels),
        "rmse above": float(gap.max()),
        "rmse below": float(-gap.min()),
        "sharp": float(sharp.mean()),
        "worst of sharp": worst,
        "relative, worst of sharp": float(apart[sharp].max(initial=0)),
        "relative, 99 % of all": float(np.quantile(apart, 0.99)),
        "worst of all": shades,
        "other status": int((first != second).sum()),
        "rmse where it is another": float(np.abs(gap[first != second]).max(initial=0)),
        "not converged": [int((~one.converged).sum()) for one in (found, expected)],
        "most steps": int(found.steps.max()),
    }


def sharpness(
    skin: Skin,
    pixels: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    weights: np.ndarray | None = None,
    shadings: ShadingBounds = NON_NEGATIVE,
    prior: Prior | None = None,
) -> np.ndarray:
    """How much the flattest direction bends, (n,): above 1, tolerances leave x less than a thousandth of `scale` open.

    A descent has converged when the next step would lower the objective F by less than a millionth of F: a step of
    sqrt(1e-6 F / curvature), curvature the least eigenvalue of the projected Hessian for x over `scale` (n, 2), which
    is 0 for a held parameter. The answer is curvature / F, and so the step below a thousandth where it exceeds 1.
    """
    bend = np.empty(len(pixels))
    for first in range(0, len(pixels), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        some = None if weights is None else weights[part].astype(np.float64)
        known = None if prior is None else prior.take(part)
        problem = Problem(skin, pixels[part].astype(np.float64), some, shadings, known)
        point = problem.evaluate(x[part].astype(np.float64))
        (a, b), (_, d) = np.moveaxis(point.hessian * scale[part, :, None] * scale[part, None], 0, -1)
        held = (scale[part] == 0).any(1)
        least = np.where(held, a + d, (a + d) / 2 - np.hypot((a - d) / 2, b))
        bend[part] = 1e-6 * least / (TOLERANCE["float32"] * np.maximum(point.cost, 1e-30))
    return bend


def _statuses(solution: Solution, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    ends = (end.astype(np.float32).tolist() for end in (lower, upper))
    return statuses(solution.x.T, diffuse(solution.i_d, solution.i_s), solution.converged, *ends)


def _first(fit: Fit, site: Site) -> float:
    """Compilation above all."""
    began = time.perf_counter()
    _there(fit, measured(64), site)
    return time.perf_counter() - began


def _equal(fit: Fit, skin: Skin, pixels: np.ndarray, site: Site) -> dict[str, Any]:
    _, lower, upper = skin_of()
    solution = _there(fit, pixels, site)
    return differences(solution, _on_cpu(skin, lower, upper, pixels), skin, pixels, (lower, upper))


def _channels(site: Site) -> dict[str, Any]:
    """Six broad channels, of which each is the model's integral over some wavelengths."""
    leds, (_, lower, upper) = msfit.Channels.gaussian(_LEDS, 20), skin_of()
    skin = through(get_model(MODEL), leds).in_numpy(leds.centres)
    assert skin is not None
    rng = np.random.default_rng(2)
    count = site.size(_OTHERS)
    seen = 0.8 * skin.reflectance(lower + rng.random((count, 2)) * (upper - lower)) + 0.03
    seen = (seen + 0.003 * rng.standard_normal(seen.shape)).astype(np.float32)
    return _equal(site.fused(skin, lower, upper), skin, seen, site)


def _there(fit: Fit, pixels: np.ndarray, site: Site, weights: np.ndarray | None = None) -> Solution:
    """By the device, from the host and back."""
    sent = [None if values is None else torch.from_numpy(values).to(site.device) for values in (pixels, weights)]
    return fit(*sent).numpy()


def _on_cpu(skin: Skin, lower: np.ndarray, upper: np.ndarray, pixels: np.ndarray) -> Solution:
    """By the kernels for CPUs, one thread a core."""
    solver = CpuSolver.over(skin, lower, upper, np.float32)
    assert solver is not None
    with workers(cores()) as each:
        parts = list(each(solver, (pixels[first : first + _BLOCK] for first in range(0, len(pixels), _BLOCK))))
    whole = (np.concatenate(values) for values in zip(*(vars(part).values() for part in parts), strict=True))
    return Solution(*whole)


def _alone(fit: Fit, pixels: np.ndarray, site: Site) -> dict[str, Any]:
    """A pixel's solution must not depend on the others, to the bit."""
    together = _there(fit, pixels, site)
    chosen = [slice(17, len(pixels) // 2 + 3), *([] if site.rehearsed else [slice(0, 1)])]
    same = True
    for part in chosen:
        alone = _there(fit, pixels[part], site)
        for values, others in zip(vars(alone).values(), vars(together).values(), strict=True):
            same = same and np.array_equal(values, others[part])
    return {"pixels": len(pixels), "the same to the bit": same}


def _weighted(fit: Fit, pixels: np.ndarray, site: Site) -> dict[str, Any]:
    """Bands that are missing or count more, against the reference in torch in float64 on the CPU."""
    weights = np.random.default_rng(3).choice([0.0, 0.5, 1.0, 2.0], pixels.shape).astype(np.float32)
    weights[:, ::4] = 1
    solver = solver_for(get_model(MODEL), _box(), NM, "float64")
    assert isinstance(solver, PigmentSolver)
    exact = solver.reference(torch.from_numpy(pixels).double(), torch.from_numpy(weights).double()).numpy()
    found, total = _there(fit, pixels, site, weights), weights.sum(1)
    gap = np.sqrt(np.maximum(found.cost, 0) / total) - np.sqrt(exact.cost / total)
    return {"pixels": len(gap), "rmse above": float(gap.max()), "not converged": int((~found.converged).sum())}


def _box() -> dict[str, tuple[float, float]]:
    _, lower, upper = skin_of()
    return dict(zip(("f_mel", "f_blood"), zip(lower.tolist(), upper.tolist(), strict=True), strict=True))


def _with_options(pixels: np.ndarray, options: dict[str, Any], site: Site) -> dict[str, Any]:
    """`msfit.fit` on the device beside the CPU: the largest difference of every map, and statuses."""
    there, here = (msfit.fit(pixels, NM, model=MODEL, device=place, **options) for place in (site.device, "cpu"))
    apart: dict[str, Any] = {"pixels": len(pixels)}
    for name in ("f_mel", "f_blood", "i_d", "i_s", "rmse"):
        apart[name] = _worst(getattr(there, name), getattr(here, name))
    if there.std is not None and here.std is not None:
        for name, values in there.std.items():
            apart[f"std of {name}, relative"] = _worst(values / here.std[name], np.ones_like(values))
    if there.gap is not None and here.gap is not None:
        apart["gap"] = _worst(there.gap, here.gap)
    apart["other status"] = int((there.status != here.status).sum())
    return apart


def _worst(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.nanmax(np.abs(np.asarray(found, np.float64) - expected), initial=0.0))
