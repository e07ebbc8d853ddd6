"""Is the spatial fit at the optimum, and what do its priors gain? Beside cvxpy, L-BFGS and a scene with known truth.

Usage: python -m benchmarks.spatial [SCENE] [--starts 20] [--noise 0.01]

1. The convex parts on 16 x 16: total-variation denoising, and (i_d, i_s) of given pigments under L1 and total
   variation; our objective over cvxpy's (Clarabel's), minus 1.
2. The full problem on 16 x 16 beside L-BFGS-B from random starts, on total variation smoothed less and less (1e-3,
   1e-5, 1e-7); every end is judged by the true objective. Ours runs with its defaults.
3. The middle 96 x 96 pixels of SCENE (default data_iset/scenes/standin-01.mat, with its truth beside it) with white
   noise added to their reflectance: RMSE of the maps against the truth for several prices, beside that of each pixel's
   own fit, and seconds.

Figures go to benchmarks/results/spatial.json, the panel to docs/images/spatial.png.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import msfit
from benchmarks import record
from benchmarks.spatial_figure import draw
from benchmarks.spatial_oracles import SMOOTHING, FullProblem, denoised, shaded, variation
from msfit.io.output import written_whole
from msfit.solve.spatial.convex import Convex, Forces
from msfit.solve.spatial.total_variation import Edges
from msfit.synth import read_truth

ROOT = Path(__file__).parents[1]
MODEL = "alotaibi-smith-2019"
NM = np.arange(400.0, 701.0, 10.0)
SIZE = 16
PART = 96  # rows and columns of the scene
PRICES: dict[str, Any] = {"tv": 0.02, "sparsity": 0.001}
SWEEP: tuple[dict[str, Any], ...] = (
    {"tv": 0.002},
    {"tv": 0.005},
    {"tv": 0.01},
    {"tv": 0.02},
    {"tv": 0.005, "sparsity": 0.01},
    {"tv": 0.005, "tv_shading": 0.005},
)
MAPS = ("f_mel", "f_blood", "i_d", "i_s")


def small_scene() -> tuple[np.ndarray, np.ndarray]:
    """Noisy reflectance (16, 16, 31) of a mole on skin that is flushed on one side, and that of its pigments alone."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    f_mel = np.where((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.08, 0.15, 0.05)
    skin = msfit.reflectance(f_mel, np.where(x > 0.6, 0.05, 0.02), NM, model=MODEL)
    gloss = 0.05 * np.exp(-((x - 0.3) ** 2 + (y - 0.3) ** 2) / 0.02)
    radiance = (0.9 - 0.4 * x)[..., None] * skin + gloss[..., None]
    return radiance + 0.01 * np.random.default_rng(0).standard_normal(radiance.shape), skin


def denoising_problem(maps: torch.Tensor, inside: torch.Tensor, strength: torch.Tensor) -> Convex:
    """|z - maps|^2 / 2 + strength TV(z), of maps (k, y, x) with a strength (k,) each, over the pixels inside."""
    unit = torch.eye(len(maps), dtype=maps.dtype)[..., None, None] * inside
    unbounded = torch.full_like(strength, torch.inf)
    edges = Edges.between(inside, maps.dtype)
    return Convex(edges, maps, torch.zeros_like(maps), unit, unit, strength, -unbounded, unbounded)


def convex_parts(pixels: np.ndarray) -> dict[str, float]:
    """Our objective over cvxpy's, minus 1, of the two convex problems."""
    inside = np.random.default_rng(1).random((SIZE, SIZE)) > 0.1
    image, strength = 10 * pixels[..., 15], 0.3

    def denoising(z: np.ndarray) -> float:
        return float(0.5 * ((z - image)[inside] ** 2).sum() + strength * variation(z, inside))

    maps = torch.from_numpy(np.where(inside, image, 0))[None]
    problem = denoising_problem(maps, torch.from_numpy(inside), torch.tensor([strength], dtype=torch.float64))
    ours = problem.minimise(Forces.none(maps), share=0, gap=1e-7 * denoising(image), steps=20_000).maps

    skin = np.broadcast_to(msfit.reflectance(0.08, 0.03, NM, model=MODEL), pixels.shape)
    sparsity, tv_shading = 0.05, 0.02

    def shading(i_d: np.ndarray, i_s: np.ndarray) -> float:
        residual = (pixels - i_d[..., None] * skin - i_s[..., None])[inside]
        penalty = sparsity * i_s[inside].sum() + tv_shading * (variation(i_d, inside) + variation(i_s, inside))
        return float((residual**2).sum() + penalty)

    fixed_pigments = {"f_mel": (0.08, 0.08), "f_blood": (0.03, 0.03)}
    result = msfit.fit_spatial(
        pixels, NM, tv=0, sparsity=sparsity, tv_shading=tv_shading, model=MODEL, bounds=fixed_pigments, mask=inside
    )
    optimum = shading(*(np.maximum(m, 0) for m in shaded(pixels, skin, sparsity, tv_shading, inside)))
    return {
        "denoising_above_cvxpy": denoising(ours[0].numpy()) / denoising(denoised(image, strength, inside)) - 1,
        "shading_above_cvxpy": shading(np.nan_to_num(result.i_d), np.nan_to_num(result.i_s)) / optimum - 1,
        "least_shading": float(min(np.nanmin(result.i_d), np.nanmin(result.i_s))),
    }


def full_problem(pixels: np.ndarray, tv_shading: float, starts: int) -> dict[str, Any]:
    """Our end beside those of L-BFGS from random starts, by the true objective."""
    peer = FullProblem(pixels, NM, MODEL, PRICES["tv"], PRICES["sparsity"], tv_shading)
    began = time.perf_counter()
    result = msfit.fit_spatial(pixels, NM, model=MODEL, tv_shading=tv_shading, **PRICES)
    seconds = time.perf_counter() - began
    maps = np.stack([result.f_mel / 0.43, result.f_blood / 0.07, result.i_d, result.i_s])
    rng = np.random.default_rng(20)
    began = time.perf_counter()
    ends = sorted(peer.objective(peer.descend(peer.random_start(rng))) for _ in range(starts))
    return {
        "tv_shading": tv_shading,
        **PRICES,
        "ours": {
            "objective": peer.objective(maps),
            "relative_to_best_lbfgs": peer.objective(maps) / ends[0] - 1,
            "iterations": result.attrs["iterations"],
            "settled": result.attrs["settled"],
            "largest_rise": float(np.diff(result.attrs["objective"]).max()),
            "seconds": seconds,
        },
        "lbfgs": {
            "starts": starts,
            "smoothing": SMOOTHING,
            "best": ends[0],
            "median": float(np.median(ends)),
            "worst": ends[-1],
            "seconds_a_start": (time.perf_counter() - began) / starts,
        },
    }


def noisy_scene(path: Path, noise: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """RMSE of pigments of a scene with truth, with and without priors; and what the panel shows."""
    cube, truth = msfit.load(path), read_truth(path)
    clean = cube.reflectance
    middle = np.zeros_like(truth.mask)
    middle[tuple(slice((size - PART) // 2, (size + PART) // 2) for size in middle.shape)] = True
    truth = replace(truth, mask=truth.mask & middle)
    noisy = clean + noise * np.random.default_rng(0).standard_normal(clean.shape)
    options: dict[str, Any] = {"mask": truth.mask, "model": truth.attrs["model"], "dtype": "float64"}
    true_maps = {
        "f_mel": truth.f_mel,
        "f_blood": truth.f_blood,
        "i_d": truth.i_d * truth.scale,
        "i_s": truth.i_s + truth.i_d * truth.offset,
    }

    def errors(result: msfit.FitResult) -> dict[str, float]:
        away = {name: (getattr(result, name) - true_maps[name])[truth.mask] for name in MAPS}
        return {name: float(np.sqrt(np.nanmean(error**2))) for name, error in away.items()}

    without, alone = (msfit.fit(values, cube.wavelengths, **options) for values in (clean, noisy))
    rows, shown = [], {}
    for prices in SWEEP:
        began = time.perf_counter()
        result = msfit.fit_spatial(noisy, cube.wavelengths, **prices, **options)
        seconds = time.perf_counter() - began
        ended = {name: result.attrs[name] for name in ("iterations", "settled")}
        ended["objective"] = result.attrs["objective"][-1]
        rows.append({**prices, "rmse": errors(result), **ended, "seconds": seconds})
        shown[tuple(prices.items())] = result
        print(rows[-1], flush=True)
    best = min(rows[:4], key=lambda row: row["rmse"]["f_mel"])
    figures = {
        "scene": path.stem,
        "pixels": int(truth.mask.sum()),
        "noise": noise,
        "model": truth.attrs["model"],
        "threads": torch.get_num_threads(),
        "without_noise": errors(without),
        "alone": errors(alone),
        "spatial": rows,
    }
    return figures, {
        "truth": truth,
        "alone": alone,
        "best": shown[(("tv", best["tv"]),)],
        "strong": shown[(("tv", 0.02),)],
    }


def main() -> None:
    """Measure, print, draw and write results/spatial.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", nargs="?", type=Path, default=ROOT / "data_iset" / "scenes" / "standin-01.mat")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--noise", type=float, default=0.01)
    chosen = parser.parse_args()
    scene, shown = noisy_scene(chosen.scene, chosen.noise)
    pixels, _ = small_scene()
    figures: dict[str, Any] = {"size": SIZE, "model": MODEL, "convex": convex_parts(pixels), "scene": scene}
    print(figures["convex"], flush=True)
    figures["full"] = [full_problem(pixels, tv_shading, chosen.starts) for tv_shading in (0.0, 0.01)]
    print(figures["full"])
    with written_whole(ROOT / "docs" / "images" / "spatial.png") as part:
        draw(**shown, noise=chosen.noise).savefig(part, dpi=110)
    print(record.write("spatial", figures))


if __name__ == "__main__":
    main()
