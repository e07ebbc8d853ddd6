"""How fast are training samples and scenes made?

Usage: python -m benchmarks.synth_speed [--samples 256] [--workers 2]

Samples are 64 x 64, 31 bands folded to RGB, every truth map included (measured skin: with the exact fit of each pixel),
drawn by separate processes of one thread each, as a data loader does; the bank of heads is traced before the clock
starts. Scenes are 256 x 256 x 31, one after the other in one process. Medians; nothing is extrapolated.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from benchmarks import record
from msfit.synth import Bank, make_scene, samples

SCENES, BATCH = 5, 16


def main() -> None:
    """Time both, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=64)
    chosen = parser.parse_args()
    bank = Bank(chosen.heads)
    figures = {
        "samples": {mode: sample_rate(bank, mode, chosen.samples, chosen.workers) for mode in ("measured", "model")},
        "workers": chosen.workers,
        "scene": scene_seconds(),
        "load_average": os.getloadavg()[0],
    }
    print(figures)
    record.write("synth_speed", figures)


def sample_rate(bank: Bank, mode: str, count: int, workers: int) -> dict[str, float]:
    """Samples a second, `count` of them shared out in batches, and the processor time that one takes."""
    batches = [(bank, mode, range(start, start + BATCH)) for start in range(0, count, BATCH)]
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(_batch, [(bank, mode, range(BATCH))] * (2 * workers)))
        began = time.perf_counter()
        spent = sum(pool.map(_batch, batches))
        made = BATCH * len(batches)
        return {"per_second": made / (time.perf_counter() - began), "cpu_seconds_each": spent / made}


def scene_seconds() -> dict[str, float]:
    """Median time of a scene with its truth, by the clock and of the processor."""
    make_scene(0)
    clock, cpu = [], []
    for seed in range(1, SCENES + 1):
        began, spent = time.perf_counter(), time.process_time()
        make_scene(seed)
        clock.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    return {"seconds": sorted(clock)[SCENES // 2], "cpu_seconds": sorted(cpu)[SCENES // 2]}


def _batch(job: tuple[Bank, str, range]) -> float:
    bank, mode, indices = job
    spent = time.process_time()
    samples(indices, bank=bank, mode=mode)
    return time.process_time() - spent


if __name__ == "__main__":
    main()
