"""Is this checkout slower than another? Fits of the same pixels by both, in turns, on one machine.

Usage: python -m benchmarks.compare_speed OTHER [--runs 7] [--processor] [--out FILE]

OTHER is another checkout of the project (``git worktree add``). Each of the two has a process of its own, which waits
while the other computes; run by run they take turns, so that a machine whose speed drifts is slow for both. Printed for
each case: the median over the runs of the time of the other over that of this one (above 1: this one is faster), with
its quartiles, and this one's pixels a second. Cases are fits by `msfit.fit` from an array to the finished result, on
all cores. `--processor` takes processor time of all threads instead, which others on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parents[1]
#: {case: (pixels, samples that are missing, options)}
CASES: dict[str, tuple[int, float, dict[str, Any]]] = {
    "plain": (200_000, 0.0, {}),
    "plain, one spectrum": (1, 0.0, {}),
    "float64": (50_000, 0.0, {"dtype": "float64"}),
    "a twentieth of the pixels lack a band": (50_000, 0.05, {}),
    "weights": (30_000, 0.0, {"weights": {(400, 450): 0.5}}),
    "Huber": (2_000, 0.0, {"huber": 0.01}),
    "std": (50_000, 0.0, {"std": True}),
    "certified": (4_000, 0.0, {"certify": True}),
    "saturation free": (2_000, 0.0, {"free": ("f_mel", "f_blood", "saturation")}),
}
_MODEL = "msfit-issa-2025"
_LEAST_SECONDS = 0.2  # of a timed run: short fits are repeated


def _pixels(count: int, missing: float) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance of skin under random shading with noise, seeded: the same whoever computes it."""
    import msfit

    random, nm = np.random.default_rng(1), np.arange(400.0, 701.0, 10.0)
    mel, blood = random.uniform(0.02, 0.4, count), random.uniform(0.005, 0.06, count)
    i_d, i_s = random.uniform(0.4, 1.1, (2, count, 1)) * [[[1]], [[0.1]]]
    y = i_d * msfit.reflectance(mel, blood, nm, model="alotaibi-smith-2019") + i_s
    y += 0.003 * random.standard_normal(y.shape)
    y[random.uniform(size=count) < missing, 3] = np.nan
    return nm, y.astype(np.float32)


def _serve(clock: Callable[[], float]) -> None:
    """Time one case for each line of input."""
    import warnings

    import msfit

    warnings.simplefilter("ignore")  # what fits say of these pixels
    for line in sys.stdin:
        count, missing, options = CASES[line.strip()]
        nm, y = _pixels(count, missing)
        msfit.fit(y, nm, model=_MODEL, **options)
        times, began = 0, clock()
        while (spent := clock() - began) < _LEAST_SECONDS:
            msfit.fit(y, nm, model=_MODEL, **options)
            times += 1
        print(spent / times, flush=True)


def _process(tree: Path, more: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, str(Path(__file__).absolute()), "--serve", str(tree), *more]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree, env=environment
    )


def _ask(process: subprocess.Popen[str], case: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    print(case, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def main() -> None:
    """Time every case by both checkouts, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout of the project")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    parser.add_argument("--case", choices=CASES, action="append", help="only this case; may be repeated")
    parser.add_argument("--processor", action="store_true", help="processor time instead of elapsed time")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(time.process_time if arguments.processor else time.perf_counter)
        return
    more = ["--processor"] if arguments.processor else []
    both = [_process(tree, more) for tree in (arguments.other.absolute(), HERE)]
    figures: dict[str, dict[str, float]] = {}
    for case in arguments.case or CASES:
        seconds = np.array([[_ask(process, case) for process in both] for _ in range(arguments.runs)])
        low, middle, high = np.quantile(seconds[:, 0] / seconds[:, 1], (0.25, 0.5, 0.75)).tolist()
        rate = CASES[case][0] / float(np.median(seconds[:, 1]))
        figures[case] = {"ratio": middle, "low": low, "high": high, "pixels_a_second": rate}
        print(f"{case}: {middle:.2f} ({low:.2f}-{high:.2f}), {rate:,.0f} pixels a second", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
