"""Trains SfSNet on the stream of synthetic faces that the networks of msfit are trained on.

Usage: python -m benchmarks.table1.train_sfsnet [--samples N] [--epochs N] [--filters N] [--workers N]

Writes weights/sfsnet.safetensors and .json beside this file. Albedo and shading are taught in the terms of the
reference skin model, as to the networks, so that the rows of the table mean the same.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import msfit
from benchmarks.table1.sfsnet import SfSNet, loss, true_light
from msfit.colour.colorimetry import rgb_weights
from msfit.io.output import written_whole
from msfit.skin.models import REFERENCE_MODEL
from msfit.synth import Bank, samples
from msfit.synth.spectra import WAVELENGTHS

WEIGHTS = Path(__file__).with_name("weights") / "sfsnet.safetensors"
_BATCH = 32
_RATE = 1e-3
_SEED = 1812


class Lessons(NamedTuple):
    """Pictures and what is true of them: rgb, normals, albedo (n, 3, y, x); mask (n, 1, y, x); light (n, 27)."""

    rgb: Tensor
    normals: Tensor
    albedo: Tensor
    light: Tensor
    mask: Tensor

    def take(self, index: Tensor) -> Lessons:
        """Some of them."""
        return Lessons(*(values[index] for values in self))


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3072)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    began = time.monotonic()
    lessons = draw(chosen.samples, chosen.workers)
    print(f"{chosen.samples} samples after {time.monotonic() - began:.0f} s", flush=True)
    torch.manual_seed(_SEED)
    network = SfSNet(chosen.filters)
    final = _train(network, lessons, chosen.epochs)
    minutes = (time.monotonic() - began) / 60
    training = {
        "about": f"Sengupta et al. 2018, reimplemented at {chosen.filters} filters, 64 x 64, linear RGB; trained on "
        f"{chosen.samples} pictures of the stream for {chosen.epochs} epochs",
        "model": REFERENCE_MODEL,
        "bounds": "wide",
        "split": "train",
        "seed": _SEED,
        "samples": chosen.samples,
        "epochs": chosen.epochs,
        "final_loss": round(final, 5),
        "minutes": round(minutes, 1),
        "version": msfit.__version__,
    }
    _save(network, chosen.filters, training)


def draw(count: int, workers: int) -> Lessons:
    """The first `count` pictures of the stream, every other one under D65 through the mean camera."""
    Bank(split="train", workers=workers)  # traced once, before workers ask for it
    starts = range(0, count, _BATCH)
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(partial(_draw, count=count), starts))
    return Lessons(*(torch.from_numpy(np.concatenate(arrays)).float() for arrays in zip(*parts, strict=True)))


def _draw(start: int, count: int) -> tuple[np.ndarray, ...]:
    torch.set_num_threads(1)
    indices = range(start, min(start + _BATCH, count))
    lessons = []
    for remainder, pictures in enumerate(("reference", "varied")):
        mine = [index for index in indices if index % 2 == remainder]
        if mine:
            lessons.append(_lesson(samples(mine, seed=_SEED, pictures=pictures, model=REFERENCE_MODEL)))
    return tuple(np.concatenate(arrays).astype(np.float16) for arrays in zip(*lessons, strict=True))


def _lesson(drawn: dict[str, Tensor]) -> tuple[np.ndarray, ...]:
    """Truth in the terms of the skin model: i_d r(f) + i_s is the picture."""
    mask, normals = drawn["mask"], drawn["normals"]
    f_mel, f_blood = (drawn[name][:, 0].numpy() for name in ("f_mel", "f_blood"))
    skin = msfit.reflectance(f_mel, f_blood, WAVELENGTHS, model=REFERENCE_MODEL) @ rgb_weights(WAVELENGTHS)
    albedo = torch.from_numpy(np.moveaxis(skin, -1, 1)).float() * mask
    light = true_light(normals, drawn["i_d"] * drawn["scale"], mask)
    return tuple(part.numpy() for part in (drawn["image"], normals, albedo, light, mask))


def _train(network: SfSNet, lessons: Lessons, epochs: int) -> float:
    count = len(lessons.rgb)
    steps = epochs * (count // _BATCH)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps, pct_start=0.1)
    shuffled = torch.Generator().manual_seed(_SEED)
    network.train()
    mean = float("nan")
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(count, generator=shuffled)[: count // _BATCH * _BATCH].split(_BATCH):
            rgb, *targets = lessons.take(index)
            rgb = rgb.clamp(0, 1)
            value = loss(network(rgb), rgb, *targets)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
            total += value.item()
        mean = total / (count // _BATCH)
        print(f"epoch {epoch + 1} of {epochs}: loss {mean:.4f}", flush=True)
    return mean


def _save(network: SfSNet, filters: int, training: dict[str, object]) -> None:
    WEIGHTS.parent.mkdir(exist_ok=True)
    tensors = {name: value.contiguous() for name, value in network.eval().state_dict().items()}
    with written_whole(WEIGHTS) as part:
        save_file(tensors, part)
    with written_whole(WEIGHTS.with_suffix(".json")) as part:
        part.write_text(json.dumps({"filters": filters, "training": training}, indent=2) + "\n", encoding="utf-8")


def load_sfsnet(path: Path = WEIGHTS) -> tuple[SfSNet, dict[str, object]]:
    """The network in evaluation mode, and what its file says of its training."""
    content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    network = SfSNet(int(content["filters"]))
    network.load_state_dict(load_file(path))
    training: dict[str, object] = content["training"]
    return network.eval(), training


if __name__ == "__main__":
    main()
