"""How fast is the fit, how does its time grow, and what do others do on the same pixels?

Usage: python -m benchmarks.fit_speed [--pixels 1000000] [--peer-seconds 60] [--quick]

The pixels are measured facial spectra (ISSA) under random shading with a little noise, so that they are as hard as
real ones: 31 bands, four parameters, wide bounds, unless said. `end_to_end` is msfit.fit from a cube in memory to the
finished result, on all cores; `kernel` is the compiled search and descent alone, on one thread or on all. Every figure
is the median of some runs after a warm-up, with their quartiles. Scenes in coefficients are written to a file first and
timed from there too. The peers work on as many pixels as take them the given time; their number is printed and nothing
is extrapolated. How far above the float64 optimum float32 ends is measured on the residuals of its maps, in float64.
With a GPU, the fit of tensors that lie on it is timed as well.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import msfit
from benchmarks import record
from benchmarks.scenes import coefficient_file, measured_scene, scene_on
from msfit.fitting.bounds import resolve_bounds
from msfit.io.output import written_whole
from msfit.skin.models import DEFAULT_MODEL, get_model
from msfit.solve.solver import PigmentSolver, solver_for

MODEL = "alotaibi-smith-2019"
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "fit_speed.png"
RUNS = 5
BLOCK = 4096
PIXELS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
BANDS = (8, 16, 31, 48, 63, 64, 100, 148)
# Free parameters beside i_d and i_s; of the slow ones, on how many pixels.
FREE = {2: (), 3: ("f_mel",), 4: ("f_mel", "f_blood"), 5: ("f_mel", "f_blood", "saturation")}
SLOW = {5: 10_000}
CHECKED = 100_000
CLIPPED = (0.0, 0.01, 0.05, 0.2, 0.5)
_MOST_SAMPLES = 2**28  # of a scene that is held expanded


def rate(work: Callable[[], Any], pixels: int, runs: int = RUNS) -> dict[str, float]:
    """Pixels a second: median and quartiles of some runs after one that is not counted."""
    work()
    rates = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        rates.append(pixels / (time.perf_counter() - began))
    low, middle, high = np.quantile(rates, (0.25, 0.5, 0.75))
    return {"pixels": pixels, "pixels_per_second": middle, "lower_quartile": low, "upper_quartile": high}


def end_to_end(cube: msfit.Cube, runs: int = RUNS, **options: Any) -> dict[str, float]:
    """Of msfit.fit."""
    chosen = {"model": MODEL, **options}
    return rate(lambda: msfit.fit(cube, **chosen), int(np.prod(cube.shape)), runs)


def solver_on(cube: msfit.Cube, dtype: Any, device: str = "cpu", model: str = MODEL) -> PigmentSolver:
    """The solver of the cube's bands, wide bounds."""
    box = resolve_bounds(get_model(model), "wide")
    solver = solver_for(get_model(model), box, cube.wavelengths, dtype, device)
    assert isinstance(solver, PigmentSolver)
    return solver


def kernel(cube: msfit.Cube, threads: int = 1, dtype: Any = np.float32, model: str = MODEL) -> dict[str, float]:
    """Of the solver alone, block by block, each block on one of some threads."""
    solver = solver_on(cube, dtype, model=model)
    pixels = cube.values.reshape(-1, cube.wavelengths.size)[: threads * 100_000].astype(dtype)
    blocks = [pixels[first : first + BLOCK] for first in range(0, len(pixels), BLOCK)]
    with ThreadPoolExecutor(threads) as workers:
        figures = rate(lambda: list(workers.map(solver, blocks)), len(pixels))
    return figures | {"threads": threads}


def on_gpu(cube: msfit.Cube) -> dict[str, float]:
    """Of the solver on tensors that lie on the GPU."""
    solver = solver_on(cube, np.float32, "cuda")
    pixels = torch.from_numpy(cube.values.reshape(-1, cube.wavelengths.size)).cuda()

    def work() -> None:
        solver(pixels)
        torch.cuda.synchronize()

    return rate(work, len(pixels)) | {"bytes_read": pixels.nbytes}


def worst_above_optimum(cube: msfit.Cube) -> dict[str, float]:
    """How far the residuals of float32's maps lie above those of float64 [RMSE of reflectance]."""
    pixels = cube.values.reshape(-1, cube.wavelengths.size)[:CHECKED].astype(np.float64)
    single, double = (msfit.fit(pixels, cube.wavelengths, model=MODEL, dtype=d) for d in ("float32", "float64"))
    f_mel, f_blood, i_d, i_s = (np.nan_to_num(single_map, nan=0.0).astype(np.float64) for single_map in _maps(single))
    skin = msfit.reflectance(f_mel, f_blood, cube.wavelengths, model=MODEL)
    reached = np.sqrt(((i_d[:, None] * skin + i_s[:, None] - pixels) ** 2).mean(1))
    gap = reached - double.rmse
    return {"pixels": len(pixels), "worst": float(gap.max()), "median": float(np.median(gap))}


def _maps(result: msfit.FitResult) -> tuple[np.ndarray, ...]:
    return result.f_mel, result.f_blood, result.i_d, result.i_s


def free_memory() -> int:
    """Bytes that can be had."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def growth(pixels: int) -> dict[str, Any]:
    """Time over the numbers of pixels, bands and parameters."""
    found: dict[str, Any] = {"pixels": {}, "bands": {}, "parameters": {}}
    for number in (n for n in PIXELS if n <= 10 * pixels):
        needed = 4 * number * 31 * 3  # a scene, and what makes it and works on it
        if needed > free_memory():
            print(f"{number:,} pixels left out: they need {needed / 2**30:.1f} GiB")
            continue
        found["pixels"][number] = end_to_end(measured_scene(number), runs=3)
    for bands in BANDS:
        scene = scene_on(bands, pixels // 5)
        found["bands"][bands] = {"end_to_end": end_to_end(scene, runs=3), "kernel": kernel(scene)}
    for parameters, free in FREE.items():
        scene = measured_scene(min(pixels, SLOW.get(parameters, pixels)))
        found["parameters"][parameters] = {"free": list(free), **end_to_end(scene, runs=3, free=free)}
    rates = {bands: row["end_to_end"]["pixels_per_second"] for bands, row in found["bands"].items()}
    found["times_31_bands_cost_148"] = rates[31] / rates[148]
    return found


def in_coefficients(pixels: int) -> dict[str, Any]:
    """Of scenes stored as six coefficients a pixel, from the file to the maps and from memory, beside 31 bands."""
    found: dict[str, Any] = {"31_bands_in_memory": end_to_end(measured_scene(pixels), runs=3)}
    base = found["31_bands_in_memory"]["pixels_per_second"]
    with tempfile.TemporaryDirectory() as folder:
        for bands in (31, 148):
            scene, path = scene_on(bands, pixels), Path(folder) / "scene.mat"
            coefficient_file(scene, path)
            row = {"from_file": rate(partial(_fit_file, path), pixels, 3)}
            cube = msfit.load(path)
            row["from_memory"] = end_to_end(cube, runs=3)
            if pixels * bands <= _MOST_SAMPLES:
                whole = msfit.Cube(np.asarray(cube.values), cube.wavelengths, cube.illuminant)
                row["expanded_in_memory"] = end_to_end(whole, runs=3)
            for measured in row.values():
                measured["cost_over_31_bands"] = base / measured["pixels_per_second"]
            print(f"scene in coefficients, {bands} bands: {row['from_file']['cost_over_31_bands']:.2f} times 31 bands")
            found[f"{bands}_bands"] = row
    return found


def clipped(pixels: int) -> dict[str, Any]:
    """Of scenes in coefficients of which a share of pixels is clipped at zero, beside fitting them expanded."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for bands in (31, 148):
            path = Path(folder) / "scene.mat"
            coefficient_file(scene_on(bands, pixels), path)
            cube = msfit.load(path)
            for share in CLIPPED:
                some = _clipped(cube, share)
                below = float((np.asarray(some.values) == 0).any(-1).mean())
                row: dict[str, Any] = {"clipped": below, "coefficients": end_to_end(some, runs=5)}
                row["expanded"] = rate(partial(_fit_expanded, some), pixels)
                rates = (row[name]["pixels_per_second"] for name in ("expanded", "coefficients"))
                row["cost_over_expanding"] = float(np.divide(*rates))
                print(f"{bands} bands, {below:.1%} clipped: {row['cost_over_expanding']:.2f} times expanding")
                figures[f"{bands}_bands_{share:.0%}"] = row
    return figures


def _clipped(cube: msfit.Cube, share: float) -> msfit.Cube:
    """The scene with that share of its pixels, spread evenly, so that some of their bands lie below zero."""
    values = cube.values
    coefficients = np.array(values.coefficients)
    flat = coefficients.reshape(-1, coefficients.shape[-1])
    count = len(flat)
    chosen = np.random.default_rng(7).permutation(count)[: round(share * count)]
    for factor in (6.0, -1.0, 5.0):  # one side of the mean is clipped, or the other
        whole = np.asarray(replace(values, coefficients=flat[chosen], floor=False))
        chosen = chosen[(whole >= 0).all(-1)]
        flat[chosen] *= factor
    return cube.changed(values=replace(values, coefficients=coefficients, floor=True))


def _fit_expanded(cube: msfit.Cube) -> None:
    light = cube.illuminant if cube.illuminant is None else np.asarray(cube.illuminant)
    msfit.fit(msfit.Cube(np.asarray(cube.values), cube.wavelengths, light), model=MODEL)


def _fit_file(path: Path) -> None:
    msfit.fit(msfit.load(path), model=MODEL)


def peers(cube: msfit.Cube, seconds: float) -> dict[str, Any]:
    """scipy and Adam on the first of the pixels."""
    from benchmarks.fit_quality import PROBE, run_peer
    from benchmarks.quality_peers import adam, scipy_least_squares

    pixels = cube.values.reshape(-1, cube.wavelengths.size).astype(np.float64)
    optimum = msfit.fit(pixels[:CHECKED], cube.wavelengths, model=MODEL).rmse
    found = {}
    for name, peer in {"scipy_least_squares": scipy_least_squares, "adam_500_steps_float32": adam}.items():
        assert name in PROBE
        reached, figures = run_peer(name, peer, pixels, seconds)
        gap = reached[:CHECKED] - optimum[: len(reached)]
        found[name] = figures | {"median_gap": float(np.median(gap)), "worst_gap": float(gap.max())}
    return found


def draw(figures: dict[str, Any]) -> Figure:
    """Rates over pixels, bands and parameters, the peers beside them."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    grown = figures["growth"]
    for axis, key, label in zip(
        axes, ("pixels", "bands", "parameters"), ("pixels", "bands", "parameters"), strict=True
    ):
        rows = [(int(number), row.get("end_to_end", row)) for number, row in grown[key].items()]
        axis.plot(*zip(*((n, row["pixels_per_second"]) for n, row in rows), strict=True), "o-", label="msfit.fit")
        axis.set_xlabel(label)
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes[0].set_xscale("log")
    axes[2].set_xticks([int(number) for number in grown["parameters"]])
    axes[0].set_ylabel("pixels a second, float32")
    kernels = [(int(bands), row["kernel"]["pixels_per_second"]) for bands, row in grown["bands"].items()]
    axes[1].plot(*zip(*kernels, strict=True), "s--", label="solver alone, one thread")
    for name, row in figures["peers"].items():
        axes[0].plot(row["pixels"], row["pixels_per_second"], "kx")
        axes[0].annotate(name.replace("_", " "), (row["pixels"], row["pixels_per_second"]), fontsize=7, va="bottom")
    axes[1].legend(fontsize=8)
    cores = figures["threads"]
    figure.suptitle(f"Fit of measured skin, {MODEL}, wide bounds, on {cores} cores", fontsize=11)
    return figure


def main() -> None:
    """Measure, print and write results/fit_speed.json and docs/images/fit_speed.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=1_000_000)
    parser.add_argument("--peer-seconds", type=float, default=60.0)
    parser.add_argument("--coefficients", action="store_true", help="only scenes in coefficients; nothing is written")
    parser.add_argument("--quick", action="store_true", help="a try: fewer pixels, and nothing is written")
    arguments = parser.parse_args()
    pixels, seconds = (20_000, 2.0) if arguments.quick else (arguments.pixels, arguments.peer_seconds)
    if arguments.coefficients:
        print(in_coefficients(pixels))
        print(clipped(pixels // 5))
        return
    cube = measured_scene(pixels)
    figures: dict[str, Any] = {"bands": 31, "model": MODEL, "bounds": "wide", "threads": torch.get_num_threads()}
    for dtype in ("float32", "float64"):
        figures[f"msfit_{dtype}"] = end_to_end(cube, dtype=dtype)
    figures["kernel_one_thread"] = kernel(cube)
    figures["kernel_all_threads"] = kernel(cube, torch.get_num_threads())
    figures["default_model"] = {
        "model": DEFAULT_MODEL,
        "msfit_float32": end_to_end(cube, model=DEFAULT_MODEL),
        "kernel_one_thread": kernel(cube, model=DEFAULT_MODEL),
    }
    figures["above_float64_optimum"] = worst_above_optimum(cube)
    figures["growth"] = growth(pixels) | {"coefficients": in_coefficients(pixels)}
    figures["clipped"] = clipped(pixels // 5)
    if torch.cuda.is_available():
        figures["gpu"] = on_gpu(cube) | {"name": torch.cuda.get_device_name()}
    figures["peers"] = peers(cube, seconds)
    ours = figures["msfit_float32"]["pixels_per_second"]
    for row in figures["peers"].values():
        row["msfit_float32_is_times_faster"] = ours / row["pixels_per_second"]
    for name, value in figures.items():
        print(name, value)
    if not arguments.quick:
        with written_whole(FIGURE) as path:
            draw(figures).savefig(path, dpi=130, format="png")
        print(record.write("fit_speed", figures))


if __name__ == "__main__":
    main()
