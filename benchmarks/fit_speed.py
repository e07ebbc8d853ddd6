"""How fast is the fit, from a cube in memory to finished maps, beside scipy a pixel at a time on the same pixels?

Usage: python -m benchmarks.fit_speed [--pixels 1000000] [--peer-seconds 20]

The pixels are measured facial spectra (ISSA) under random shading with a little noise, so that they are as hard as
real ones: 31 bands, four parameters, wide bounds. Ours is timed end to end: screening, fit, statuses, maps. Each figure
is the median of three runs after a warm-up. scipy's least_squares runs from one start, as a user would call it, with
the same model in plain numpy, on as many pixels as it does in the given time; nothing is extrapolated.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

import msfit
from benchmarks import record
from benchmarks.oracle import Oracle
from benchmarks.reference_skin import ReferenceSkin
from msfit.bounds import resolve_bounds
from msfit.io.issa import load_faces
from msfit.skin.models import get_model

MODEL = "alotaibi-smith-2019"
RUNS = 3


def measured_scene(pixels: int, seed: int = 4) -> msfit.Cube:
    """A picture (y, x, 31) of `pixels` measured spectra, shaded between 0.4 and 1.2 of full light, noise 0.002."""
    rng = np.random.default_rng(seed)
    faces = load_faces().cube
    width = 1000 if pixels % 1000 == 0 else 1
    spectra = faces.reflectance[rng.integers(0, faces.shape[0], pixels)]
    spectra = spectra * rng.uniform(0.4, 1.2, (pixels, 1)) + 0.002 * rng.standard_normal(spectra.shape)
    return msfit.Cube(spectra.astype(np.float32).reshape(-1, width, 31), faces.wavelengths)


def time_ours(cube: msfit.Cube, dtype: str) -> dict[str, Any]:
    """Pixels a second of msfit.fit: median, least and most of the runs."""
    msfit.fit(cube.values[:10], cube.wavelengths, model=MODEL, dtype=dtype)
    rates = []
    for _ in range(RUNS):
        began = time.perf_counter()
        found = msfit.fit(cube, model=MODEL, dtype=dtype)
        rates.append(found.status.size / (time.perf_counter() - began))
    rates.sort()
    return {
        "pixels": found.status.size,
        "pixels_per_second": rates[len(rates) // 2],
        "slowest": rates[0],
        "fastest": rates[-1],
        "median_rmse": float(np.median(found.rmse)),
        "not_converged": found.counts().get(msfit.Status.NOT_CONVERGED, 0),
    }


def time_scipy(cube: msfit.Cube, seconds: float) -> dict[str, Any]:
    """Pixels a second of scipy.optimize.least_squares, and how its RMSE compares with ours."""
    pixels = cube.values.reshape(-1, cube.wavelengths.size).astype(np.float64)
    box = tuple(resolve_bounds(get_model(MODEL), "wide").values())
    peer = Oracle(ReferenceSkin(MODEL, cube.wavelengths), (box[0], box[1]), nodes=2)
    reached: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds and len(reached) < len(pixels):
        reached.append(float(peer.single_start(pixels[len(reached)][None])[0]))
    rate = len(reached) / (time.perf_counter() - began)
    ours = msfit.fit(pixels[: len(reached)], cube.wavelengths, model=MODEL).rmse
    gap = np.array(reached) - ours
    return {
        "pixels": len(reached),
        "pixels_per_second": rate,
        "median_rmse": float(np.median(reached)),
        "share_worse_than_ours_by_1e-6": float((gap > 1e-6).mean()),
        "worst_above_ours": float(gap.max()),
        "worst_below_ours": float(-gap.min()),
    }


def main() -> None:
    """Measure, print and write results/fit_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=1_000_000)
    parser.add_argument("--peer-seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    cube = measured_scene(arguments.pixels)
    figures: dict[str, Any] = {"bands": 31, "model": MODEL, "bounds": "wide", "threads": torch.get_num_threads()}
    for dtype in ("float32", "float64"):
        figures[f"msfit_{dtype}"] = time_ours(cube, dtype)
    figures["scipy_least_squares"] = time_scipy(cube, arguments.peer_seconds)
    ratio = figures["msfit_float32"]["pixels_per_second"] / figures["scipy_least_squares"]["pixels_per_second"]
    figures["times_scipy_float32"] = ratio
    for name, value in figures.items():
        print(name, value)
    print(record.write("fit_speed", figures))


if __name__ == "__main__":
    main()
