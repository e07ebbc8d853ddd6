"""Training: steps a second of both networks, samples a second, and a network trained in the time that is left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.pieces import cut
from benchmarks.gpu.site import Site, missing
from biofacenet.data.synthetic import Source, Stream
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet
from biofacenet.training.config import Config, read_config
from biofacenet.training.losses import Batch
from biofacenet.training.processes import Processes
from biofacenet.training.run import train as train_network
from biofacenet.training.step import Descent, Part

_BATCHES = (64, 512)
_HEADS, _SAMPLES = 96, 4096
_STEPS = 40
_NODES = 64  # of the decoder's table, as in training
_DRAWN, _LEAST = 0.35, 60.0  # share of the time for drawing samples; seconds below which nothing is trained


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """Steps a second on batches that lie on the device; samples a second that all cores draw."""
    for name in ("compact", "paper"):
        config = read_config(name)
        for size in _BATCHES[: 1 if site.rehearsed else None]:
            yield f"{name}, batch {size}", partial(_steps, site, config, size)
    yield "samples", partial(_samples, site)


def _steps(site: Site, config: Config, size: int) -> dict[str, float]:
    descent, batch = _descent(site, config), made_up(site.size(size, 2), config.data.size if not site.rehearsed else 32)
    batch = batch.each(lambda values: values.to(site.device))
    parts = [Part("", config.loss.name, 1.0, batch)]
    steps = site.size(_STEPS, 1)

    def work() -> None:
        for step in range(steps):
            descent(step, 1e-6, parts)

    figure = site.rate(work, steps, 3)
    return figure | {"pictures_per_second": figure["per_second"] * len(batch.picture)}


def _descent(site: Site, config: Config) -> Descent:
    torch.manual_seed(0)
    network = BioFaceNet(config.network).to(site.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    decoder = Decoder(config.data.model, nodes=_NODES).to(site.device, torch.float32)
    return Descent(network, decoder, config.training, config.loss.weights, Processes())


def made_up(count: int, size: int) -> Batch:
    """A batch of random numbers, which take a step as long as pictures do."""
    generator = torch.Generator().manual_seed(0)

    def random(channels: int) -> torch.Tensor:
        return torch.rand(count, channels, size, size, generator=generator)

    picture = random(3)
    return Batch(
        picture=picture,
        clean=picture,
        mask=(random(1) > 0.3).float(),
        m_mel=2 * random(1) - 1,
        m_blood=2 * random(1) - 1,
        i_d=random(1),
        i_s=0.1 * random(1),
        scale=random(1),
        offset=0.1 * random(1),
        albedo=random(3),
        lighting=torch.randn(count, 15, generator=generator),
        camera=torch.randn(count, 2, generator=generator),
    )


def _samples(site: Site) -> dict[str, Any]:
    """By the processor alone, all cores."""
    workers = len(os.sched_getaffinity(0)) if not site.rehearsed else 0
    source = Source(heads=site.size(_HEADS, 2), size=64 if not site.rehearsed else 32)
    size, batches = site.size(64, 2), site.size(_SAMPLES // 64, 1)
    stream = Stream(source, size, workers)
    try:
        stream[0]  # heads are traced, workers begun
        began = time.perf_counter()
        for step in range(1, batches + 1):
            stream[step]
        seconds = time.perf_counter() - began
    finally:
        stream.close()
    return {"count": size * batches, "workers": workers, "per_second": size * batches / seconds}


def train(site: Site, folder: Path) -> Iterator[tuple[str, Any]]:
    """`compact` on samples that are drawn first; its weights, log and score come back."""
    if site.left < _LEAST and not site.rehearsed:
        yield "left out", f"{site.left:.0f} s are too few"
        return
    config = _in_time(site)
    yield "settings", {"samples": config.data.samples, "steps": config.training.steps, "batch": config.training.batch}
    output = folder / "training"
    try:
        made = train_network(config, output, resume=True)
        yield "validation", made.training["validation"] or "of the last epoch: see log.csv"
        yield "steps", made.training["steps"]
    except Exception as error:
        yield "ended", missing(error)
    weights = output / "best.safetensors"
    if weights.is_file():
        yield "pieces", [file.name for file in cut(weights, folder)]
    if (output / "log.csv").is_file():
        (folder / "log.csv").write_bytes((output / "log.csv").read_bytes())


def _in_time(site: Site) -> Config:
    """The configuration `compact` with as many samples and steps as the time allows."""
    config = read_config("compact")
    if site.rehearsed:
        data = replace(config.data, samples=8, heads=2, size=32, validation=2, workers=0)
        training = replace(config.training, batch=4, steps=4, epoch=2, warmup=1, panels=0, device="cpu")
        return replace(config, data=data, training=training)
    workers, batch = len(os.sched_getaffinity(0)), 256
    left, drawn = site.left, _samples(site)["per_second"]
    samples = max(batch, int(_DRAWN * left * drawn))
    rate = _steps(site, config, batch)["per_second"]
    # validation, and pictures that are made worse on the processor, take their time too
    steps = max(50, int(0.6 * rate * (site.left - _DRAWN * left)))
    data = replace(config.data, samples=samples, heads=_HEADS, workers=workers, validation=128)
    training = replace(
        config.training, batch=batch, steps=steps, epoch=max(25, steps // 12), warmup=min(500, steps // 20), panels=0
    )
    return replace(config, data=data, training=training)
