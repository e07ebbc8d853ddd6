"""How fast, and how near the optimum? This fit beside scipy, lmfit, Adam, Levenberg-Marquardt in jax, and cvxpy.

Usage: python -m benchmarks.fit_quality [--pixels 300000] [--seconds 60] [--oracle-pixels 300]

All get the same pixels (measured facial spectra under random shading with noise 0.002: 31 bands), the same objective
and the same box (alotaibi-smith-2019, `wide`). A peer runs once, on the first pixels, as many as a short timing says it
does in the given time; nothing is extrapolated. Ours runs five times on all of them, end to end: screening, fit,
statuses, maps. Each is warmed up first, compilation included.

The gap of a pixel is the RMSE of what a solver returned, evaluated by an independent model in float64, minus the least
RMSE that any solver in float64 has found for it; on the first pixels an exhaustive search (512 x 512 nodes, scipy from
the ten best) is one of them. cvxpy solves the linear part alone: shadings for the pigments of our fit, beside
`msfit.solve.problem.shadings`.

Figures go to benchmarks/results/fit_quality.json, speed against gap to docs/images/fit_quality.png.
"""

from __future__ import annotations

import argparse
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import msfit
from benchmarks import record
from benchmarks.oracle import Oracle
from benchmarks.quality_peers import (
    MODEL,
    NM,
    UPPER,
    Peer,
    adam,
    cvxpy_shading,
    levenberg_marquardt,
    lmfit_leastsq,
    rmse,
    scipy_least_squares,
)
from benchmarks.reference_skin import ReferenceSkin
from benchmarks.scenes import measured_scene
from msfit.io.output import written_whole
from msfit.solve.problem import shadings

ROOT = Path(__file__).parents[1]
RUNS = 5
NOTICEABLE = 2e-6  # gap in RMSE
# Solvers that work in float32 do not say where the optimum is.
SINGLE = ("msfit_float32", "adam_500_steps_float32", "optimistix_lm_float32")
SAFETY = 0.9  # share of the time that the short timing fills
# Pixels of the short timing, of which the run has a multiple: one of the solver's own batches.
PROBE = {"scipy_least_squares": 50, "lmfit_leastsq": 50, "adam_500_steps_float32": 16_384}
BATCH = 4096


def peers() -> dict[str, Peer]:
    """The other solvers by name."""
    return {
        "scipy_least_squares": scipy_least_squares,
        "lmfit_leastsq": lmfit_leastsq,
        "adam_500_steps_float32": adam,
        "optimistix_lm_float64": levenberg_marquardt("float64"),
        "optimistix_lm_float32": levenberg_marquardt("float32"),
    }


def run_peer(name: str, peer: Peer, pixels: np.ndarray, seconds: float) -> tuple[np.ndarray, dict[str, Any]]:
    """RMSE of the first pixels, as many as take the given time, and how long they took."""
    probe = pixels[: PROBE.get(name, BATCH)]
    peer(probe)
    began = time.perf_counter()
    peer(probe)
    rounds = int(SAFETY * seconds / (time.perf_counter() - began))
    count = min(len(probe) * max(rounds, 1), len(pixels))
    began = time.perf_counter()
    solution = peer(pixels[:count])
    took = time.perf_counter() - began
    return rmse(pixels[:count], solution), {"pixels": count, "seconds": took, "pixels_per_second": count / took}


def run_ours(dtype: str, cube: msfit.Cube, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """RMSE of all pixels, and the spread of five runs."""
    msfit.fit(cube, model=MODEL, dtype=dtype)
    rates = []
    for _ in range(RUNS):
        began = time.perf_counter()
        solution = msfit.fit(cube, model=MODEL, dtype=dtype)
        rates.append(len(pixels) / (time.perf_counter() - began))
    maps = np.stack(
        [np.nan_to_num(m.ravel()) for m in (solution.f_mel, solution.f_blood, solution.i_d, solution.i_s)], 1
    )
    lower, middle, upper = np.quantile(rates, (0.25, 0.5, 0.75))
    figures = {"pixels": len(pixels), "runs": RUNS, "pixels_per_second": middle, "interquartile": [lower, upper]}
    return rmse(pixels, maps), figures


def gaps(reached: np.ndarray, optimum: np.ndarray) -> dict[str, float]:
    """How far above the optimum a solver ends [RMSE of reflectance]."""
    gap = reached - optimum[: len(reached)]
    return {
        "median_gap": float(np.median(gap)),
        "p99_gap": float(np.quantile(gap, 0.99)),
        "worst_gap": float(gap.max()),
        "share_above_2e-6": float((gap > NOTICEABLE).mean()),
    }


def linear_part(pixels: np.ndarray, seconds: float) -> dict[str, Any]:
    """cvxpy beside our closed form on the shadings of given pigments."""
    fitted = msfit.fit(pixels, NM, model=MODEL)
    reflectance = ReferenceSkin(MODEL, NM)(fitted.f_mel, fitted.f_blood)
    solve = cvxpy_shading()
    solve(reflectance[:2], pixels[:2])
    began = time.perf_counter()
    solve(reflectance[:50], pixels[:50])
    count = min(len(pixels), int(50 * seconds / (time.perf_counter() - began)))
    began = time.perf_counter()
    theirs = solve(reflectance[:count], pixels[:count])
    took = time.perf_counter() - began
    r, y = torch.from_numpy(reflectance), torch.from_numpy(pixels)
    rates = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        ours = torch.stack(shadings(r, y, None), 1).numpy()
        rates.append(len(pixels) / (time.perf_counter() - began))
    lower, middle, upper = np.quantile(rates[1:], (0.25, 0.5, 0.75))

    def cost(shadings: np.ndarray) -> np.ndarray:
        residual = shadings[:, :1] * reflectance[:count] + shadings[:, 1:] - pixels[:count]
        return np.sqrt((residual**2).mean(1))

    above = cost(ours[:count]) - cost(theirs)
    return {
        "cvxpy": {"pixels": count, "pixels_per_second": count / took},
        "msfit_shadings": {
            "pixels": len(pixels),
            "runs": RUNS,
            "pixels_per_second": middle,
            "interquartile": [lower, upper],
        },
        "largest_difference": float(np.abs(ours[:count] - theirs).max()),
        "ours_above_cvxpy": float(above.max()),
        "cvxpy_above_ours": float(-above.min()),
    }


def draw(figures: dict[str, Any]) -> Figure:
    """Speed against gap on logarithmic axes: the median as a dot, a line up to 99 % and the worst."""
    floor = 1e-13
    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, row) in enumerate(figures["solvers"].items()):
        colour = f"C{index}"
        speed = row["pixels_per_second"]
        median, high, worst = (max(row[key], floor) for key in ("median_gap", "p99_gap", "worst_gap"))
        axes.plot([speed, speed], [median, worst], color=colour, lw=1.2)
        axes.plot(speed, median, "o", color=colour, ms=8, label=f"{name.replace('_', ' ')} ({row['pixels']:,} pixels)")
        axes.plot(speed, high, "_", color=colour, ms=14)
        axes.plot(speed, worst, "^", color=colour, ms=6)
    axes.axhline(NOTICEABLE, color="#888888", lw=1, ls="--", label=f"{NOTICEABLE:g}: what this fit may not exceed")
    axes.set(xscale="log", yscale="log", xlabel="pixels a second", ylabel="gap to the optimum [RMSE of reflectance]")
    title = f"{figures['bands']} bands, four parameters, {figures['threads']} threads"
    axes.set_title(f"{title}; dot: median, bar: 99 %, triangle: worst", fontsize=10)
    axes.set_ylim(floor / 3, 1)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Measure, print, draw and write results/fit_quality.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--oracle-pixels", type=int, default=300)
    chosen = parser.parse_args()
    cube = measured_scene(chosen.pixels)
    pixels = cube.values.reshape(-1, NM.size).astype(np.float64)

    reached, rows = {}, {}
    for dtype in ("float32", "float64"):
        reached[f"msfit_{dtype}"], rows[f"msfit_{dtype}"] = run_ours(dtype, cube, pixels)
    for name, peer in peers().items():
        reached[name], rows[name] = run_peer(name, peer, pixels, chosen.seconds)
        print(name, rows[name], flush=True)
    optimum = reached["msfit_float64"].copy()
    exhaustive = Oracle(ReferenceSkin(MODEL, NM), ((0.0, UPPER[0]), (0.0, UPPER[1]))).rmse(
        pixels[: chosen.oracle_pixels]
    )
    for solution in (exhaustive, *(values for name, values in reached.items() if name not in SINGLE)):
        optimum[: len(solution)] = np.minimum(optimum[: len(solution)], solution)
    figures: dict[str, Any] = {
        "model": MODEL,
        "bounds": "wide",
        "bands": NM.size,
        "threads": torch.get_num_threads(),
        "exhaustive_pixels": len(exhaustive),
        "peer_versions": {name: version(name) for name in ("lmfit", "jax", "optimistix", "cvxpy")},
        "solvers": {name: row | gaps(reached[name], optimum) for name, row in rows.items()},
        "exhaustive": gaps(exhaustive, optimum),
        "linear_part": linear_part(pixels, chosen.seconds / 4),
    }
    for name, row in figures["solvers"].items():
        print(name, row)
    print(figures["exhaustive"], figures["linear_part"])
    with written_whole(ROOT / "docs" / "images" / "fit_quality.png") as part:
        draw(figures).savefig(part, dpi=110)
    print(record.write("fit_quality", figures))


if __name__ == "__main__":
    main()
