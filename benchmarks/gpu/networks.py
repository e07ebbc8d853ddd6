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
from biofacenet.data.rendered import RenderedStream
from biofacenet.data.synthetic import Source, Stream
from biofacenet.evaluation import evaluate
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet
from biofacenet.prediction import load_model
from biofacenet.training.config import Config, DataConfig, read_config
from biofacenet.training.losses import Batch
from biofacenet.training.processes import Processes
from biofacenet.training.run import train as train_network
from biofacenet.training.step import Descent, Part
from msfit.synth import write_scenes, write_standins
from msfit.synth.standins import STANDIN_MODEL

_BATCHES = (64, 512)
_HEADS, _SAMPLES = 96, 4096
_STEPS = 40
_NODES = 64  # of the decoder's table, as in training
_BATCH = 256  # of training
#: Networks that are trained, by name.
TRAINED = ("compact", "paper")
_DRAWN, _LEAST = 0.3, 60.0  # share of the time for drawing samples; seconds below which nothing is trained


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """Steps a second on batches that lie on the device; samples a second that all cores draw."""
    for name in ("compact", "paper"):
        config = read_config(name)
        for size in _BATCHES[: 1 if site.rehearsed else None]:
            yield f"{name}, batch {size}", partial(_steps, site, config, size)
    yield "samples", partial(_samples, site)
    yield "samples, rendered on the device", partial(_samples, site, rendered=True)


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


def _samples(site: Site, rendered: bool = False) -> dict[str, Any]:
    """By the processor alone, all cores; or drawn by these and rendered on the device."""
    workers = len(os.sched_getaffinity(0)) if not site.rehearsed else 0
    source = Source(heads=site.size(_HEADS, 2), size=64 if not site.rehearsed else 32)
    size, batches = site.size(64, 2), site.size(_SAMPLES // 64, 1)
    stream = RenderedStream(source, size, workers, site.device) if rendered else Stream(source, size, workers)
    try:
        stream[0]  # heads are traced, workers begun
        began = time.perf_counter()
        for step in range(1, batches + 1):
            stream[step]
        site.wait()
        seconds = time.perf_counter() - began
    finally:
        stream.close()
    return {"count": size * batches, "workers": workers, "per_second": size * batches / seconds}


def train(site: Site, folder: Path) -> Iterator[tuple[str, Any]]:
    """Both networks, one after the other, on the same samples; weights, logs and scores on the stand-ins come back.

    `paper` is trained as `compact` is: the published descent needs 200 rounds of its samples.
    """
    if site.left < _LEAST and not site.rehearsed:
        yield "left out", f"{site.left:.0f} s are too few"
        return
    scenes = folder / "scenes"
    yield "stand-ins", partial(_standins, site, scenes)
    drawn = _samples(site)["per_second"]
    data = _data(site, max(_BATCH, int(_DRAWN * site.left * drawn)))
    yield "samples kept", data.samples
    for number, name in enumerate(TRAINED):
        config = _in_time(site, name, data, 0 if number else data.samples / drawn, len(TRAINED) - number)
        yield f"{name}, settings", {"steps": config.training.steps, "batch": config.training.batch}
        output = folder / "training" / name
        try:
            made = train_network(config, output, resume=True)
            yield f"{name}, validation", made.training["validation"] or "of the last epoch: see its log"
            yield f"{name}, steps", made.training["steps"]
        except Exception as error:  # what there is comes back all the same
            yield f"{name}, ended", missing(error)
        if (output / "log.csv").is_file():
            (folder / f"{name}.csv").write_bytes((output / "log.csv").read_bytes())
        if (weights := output / "best.safetensors").is_file():
            pieces = cut(weights, folder, name=f"{name}.safetensors")
            yield f"{name}, pieces", [file.name for file in pieces]
            yield f"{name}, stand-ins", partial(_scores, site, weights, scenes)


def _standins(site: Site, folder: Path) -> int:
    """Scenes of unseen persons to score networks on: the stand-ins, in a rehearsal one small scene."""
    if site.rehearsed:
        return len(write_scenes(folder, size=64, split="test", model=STANDIN_MODEL))
    return len(write_standins(folder))


def _scores(site: Site, weights: Path, scenes: Path) -> dict[str, Any]:
    """The six figures of trained weights, in the model's and measured terms, shading scaled and not."""
    scores = evaluate(scenes, load_model(weights, site.device)).scores
    return {
        f"{one.method}, {one.terms} terms, shading {one.shading_scale}": {
            column: None if value is None else round(value, 5) for column, value in one.figures.items()
        }
        for one in scores
    }


def _data(site: Site, samples: int) -> DataConfig:
    """Where all networks take their samples from."""
    data = read_config("compact").data
    if site.rehearsed:
        return replace(data, samples=8, heads=2, size=32, validation=2, workers=0)
    return replace(data, samples=samples, heads=_HEADS, workers=len(os.sched_getaffinity(0)), validation=128)


def _in_time(site: Site, name: str, data: DataConfig, drawing: float, networks: int) -> Config:
    """`compact`, or its settings for another network, with as many steps as the time allows.

    The time that is left less the seconds for `drawing` is shared by so many networks.
    """
    compact = read_config("compact")
    batch = _BATCH if not site.rehearsed else 4
    training = replace(compact.training, batch=batch, panels=0)
    config = replace(compact, name=name, network=read_config(name).network, data=data, training=training)
    if site.rehearsed:
        return replace(config, training=replace(training, steps=4, epoch=2, warmup=1, device="cpu"))
    rate = _steps(site, config, _BATCH)["per_second"]
    # validation, and pictures that are made worse on the processor, take their time too
    steps = max(50, int(0.6 * rate * (site.left - drawing) / networks))
    epoch, warmup = max(25, steps // 12), min(500, steps // 20)
    return replace(config, training=replace(training, steps=steps, epoch=epoch, warmup=warmup))
