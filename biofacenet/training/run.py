"""Training: batches, descent, figures after every epoch, checkpoints from which it goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from biofacenet.data.ahead import Ahead, Batches
from biofacenet.data.augment import augment
from biofacenet.data.geometry import move
from biofacenet.data.photographs import Photographs
from biofacenet.data.portraits import Portraits
from biofacenet.data.rendered import RenderedStream
from biofacenet.data.synthetic import Kept, Source, Stream
from biofacenet.networks.compact import Compact
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.gaussian import Gaussian
from biofacenet.networks.network import BioFaceNet
from biofacenet.networks.weights import Loaded, load_weights, save_weights, shipped_weights
from biofacenet.scores import score
from biofacenet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from biofacenet.training.config import Config, DataConfig, TrainingConfig, read_config
from biofacenet.training.interruption import put_off
from biofacenet.training.journal import Journal
from biofacenet.training.losses import Batch
from biofacenet.training.processes import Processes, processes
from biofacenet.training.provenance import commit, provenance
from biofacenet.training.step import Descent, Part
from msfit.errors import InputError
from msfit.synth.files import made_folder

#: Where batches with truth come from.
Samples = Kept | Portraits | Stream | RenderedStream
#: Nodes a side of the decoder's table in training: within 4e-4 of the model.
_NODES = 64
_VALIDATION_HEADS, _PORTRAIT_HEADS = 64, 48
# Root of what a constant leaves on samples, see `training.losses`: the score is the mean of figures over these.
_CONSTANT = {
    "diffuse": 0.255,
    "specular": 0.076,
    "albedo": 0.045,
    "melanin": 0.293,
    "haemoglobin": 0.207,
    "reconstruction": 0.137,
}


def train(
    config: str | Path | Mapping[str, Any] | Config,
    output: str | Path,
    *,
    resume: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> Loaded:
    """Train a network; where `torchrun` started several processes each takes its share of every batch.

    Parameters
    ----------
    config : str, Path, mapping or Config
        See `biofacenet.training.config.read_config`.
    output : str or Path
        Folder, made if absent: best.safetensors and .json (the weights of the epoch with the best score),
        checkpoint.safetensors, log.csv, TensorBoard's events and panels/.
    resume : bool
        Go on from the checkpoint in that folder, if there is one: the curve is that of a run without interruption, on
        one machine and number of threads to the bit.
    progress : callable (step, steps, message), optional

    Returns
    -------
    Loaded
        The network after the last step, and what is written beside its weights.

    Raises
    ------
    InputError
        As of `read_config`; a folder that cannot be written to, or that holds the checkpoint of other settings; a loss
        that is not finite.
    KeyboardInterrupt
        Ctrl-C: after the step that is under way, with a checkpoint of it.
    """
    config = config if isinstance(config, Config) else read_config(config)
    folder = made_folder(output)
    with processes(config.training.device) as here:
        return _Run(config, folder, progress or _silent, here).all_steps(resume)


def learning_rate(settings: TrainingConfig, step: int) -> float:
    """The rate of a step (from 0): a linear rise, a constant, a linear fall to zero over the last `decay` share."""
    rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    fall = min(1.0, (settings.steps - step) / (settings.decay * settings.steps)) if settings.decay else 1.0
    return settings.learning_rate * rise * fall


class _Run:
    """A run: what stays the same from step to step."""

    def __init__(
        self, config: Config, folder: Path, progress: Callable[[int, int, str], None], here: Processes
    ) -> None:
        self.config, self.folder, self.here = config, folder, here
        self.report = progress if here.first else _silent
        data, settings = config.data, config.training
        commit()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        if settings.batch % here.count:
            raise InputError(
                f"training.batch: found {settings.batch} for {here.count} processes; expected a multiple of those"
            )
        self.device = here.device(settings.device)
        torch.manual_seed(settings.seed)
        self.network, self.start = _begun(config)
        self.network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder = Decoder(data.model, nodes=_NODES).to(self.device, torch.float32)
        self.descent = Descent(self.network, self.decoder, settings, config.loss.weights, here)
        self.optimizer = self.descent.optimizer
        source = Source("train", data.seed, data.heads, data.model, data.size, data.balance)
        # first, because it is soon told whether they are there
        photographs = Photographs(data.photos, settings.batch, data.size, settings.seed) if data.photos else None
        # loss, its factor, and where its batches come from
        self.parts: dict[str, tuple[str, float, Samples | Photographs]] = {}
        with self._one_after_the_first():  # heads and kept samples are made once
            if data.synthetic:
                self.parts[""] = (config.loss.name, 1.0, self._samples(source))
            most = _PORTRAIT_HEADS if data.portraits else _VALIDATION_HEADS
            exam = replace(source, split="validation", heads=min(data.heads, most), balance=0.0)
            if data.portraits:
                drawn = Portraits(exam, data.validation, data.validation, data.workers, progress=self._drawing)[0]
            else:
                # the even samples: under D65 through the mean camera, as the test scenes are seen
                both = Kept(exam, 2 * data.validation, 2 * data.validation, data.workers, progress=self._drawing)[0]
                drawn = both.each(lambda values: values[::2])
        if photographs is not None:
            share = config.loss.photo_share if data.synthetic else 1.0
            self.parts["photo "] = (config.loss.of_photos, share, photographs)
        self.exam = drawn.each(lambda values: values.to(self.device))

    def _samples(self, source: Source) -> Samples:
        data, batch = self.config.data, self.config.training.batch
        if data.portraits:
            return Portraits(source, batch, data.portraits, data.workers, progress=self._drawing)
        if data.samples:
            return Kept(source, batch, data.samples, data.workers, progress=self._drawing)
        if data.rendered == "device":
            return RenderedStream(source, batch, data.workers, self.device)
        return Stream(source, batch, data.workers)

    @contextlib.contextmanager
    def _one_after_the_first(self) -> Iterator[None]:
        """The first process goes ahead; the others find what it has left on disk."""
        if not self.here.first:
            self.here.wait()
        yield
        if self.here.first:
            self.here.wait()

    def _drawing(self, done: int, total: int) -> None:
        self.report(0, self.config.training.steps, f"{done} of {total} samples drawn")

    def all_steps(self, resume: bool) -> Loaded:
        settings, saved = self.config.training, self.folder / "checkpoint.safetensors"
        at = Progress()
        if resume and self.here.agreed(saved.is_file()):
            at = load_checkpoint(saved, self.network, self.optimizer, self.config.to_dict())
        journal = Journal(self.folder, at.step) if self.here.first else None
        began = written = time.monotonic()
        with contextlib.ExitStack() as closing:
            stopped = closing.enter_context(put_off())
            for opened in (journal, *(batches for _, _, batches in self.parts.values())):
                if opened is not None:
                    closing.enter_context(contextlib.closing(opened))
            coming = [
                closing.enter_context(contextlib.closing(self._ahead(number, at.step)))
                for number in range(len(self.parts))
            ]
            while at.step < settings.steps:
                terms = self._step(at.step, [batches[at.step] for batches in coming])
                for name, term in terms.items():
                    at.sums[name] = at.sums.get(name, 0.0) + term / settings.epoch
                at.step += 1
                self.report(at.step, settings.steps, f"loss {sum(terms.values()):.4f}")
                ended = at.step % settings.epoch == 0 or at.step == settings.steps
                now = time.monotonic()
                at.seconds, began = at.seconds + now - began, now
                if ended:
                    if journal is not None:
                        self._epoch(at, journal)
                    at.best, at.stale = self.here.agreed((at.best, at.stale))
                    at.sums = {}
                stop = self.here.agreed(stopped.is_set())
                if journal is not None and (ended or stop or now - written > 60 * settings.checkpoint_minutes):
                    save_checkpoint(saved, self.network, self.optimizer, at, self.config.to_dict())
                    written = now
                if stop and at.step < settings.steps:
                    raise KeyboardInterrupt(f"step {at.step:,} is saved; the same command without --afresh goes on")
                if settings.patience and at.stale >= settings.patience:
                    break
        return Loaded(self.network.eval(), provenance(self.config, at, {}, self.start))

    def _ahead(self, number: int, step: int) -> Ahead[Batch]:
        """The batches of a part from a step on; those that nobody makes ahead are made by processes of their own."""
        data, settings = self.config.data, self.config.training
        *_, batches = [*self.parts.values()][number]
        workers = data.workers if isinstance(batches, Portraits) else 0
        return Ahead(_Spoilt(batches, settings.seed + number, data, self.here), step, settings.steps, workers)

    def _step(self, step: int, batches: list[Batch]) -> dict[str, float]:
        named = zip(self.parts.items(), batches, strict=True)
        parts = [Part(prefix, loss, factor, batch) for (prefix, (loss, factor, _)), batch in named]
        return self.descent(step, learning_rate(self.config.training, step), parts)

    def _epoch(self, at: Progress, journal: Journal) -> None:
        figures, prediction = score(self.network, self.exam, self.decoder)
        total = sum(figures[name] / constant for name, constant in _CONSTANT.items()) / len(_CONSTANT)
        better = total < at.best
        at.best, at.stale = (total, 0) if better else (at.best, at.stale + 1)
        rate = learning_rate(self.config.training, at.step - 1)
        journal.write(at.step, {"seconds": at.seconds, "rate": rate, "score": total}, at.sums, figures)
        if self.config.training.panels:
            journal.panel(at.step, self.exam, prediction, self.decoder, self.config.training.panels)
        if better:
            save_weights(
                self.network, self.folder / "best.safetensors", provenance(self.config, at, figures, self.start)
            )
        self.report(at.step, self.config.training.steps, f"score {total:.4f}")


def _begun(config: Config) -> tuple[BioFaceNet, Mapping[str, Any] | None]:
    """The network as training begins, and what is known of weights that it begins from."""
    start = config.training.start
    if not start:
        return BioFaceNet(config.network), None
    network, made = load_weights(start if start.endswith(".safetensors") else shipped_weights(start))
    if config.network.architecture == "gaussian" and network.config.architecture == "compact":
        adopting = BioFaceNet(config.network)
        assert isinstance(adopting.body, Gaussian)
        assert isinstance(network.body, Compact)
        adopting.body.adopt(network.body)
        network = adopting
    if network.config != config.network:
        raise InputError(
            f"training.start: {start} holds {network.config}; expected {config.network}, as the section network says"
        )
    return network, made


class _Spoilt:
    """A process's share of batches, moved and made worse."""

    def __init__(self, batches: Batches[Batch], seed: int, data: DataConfig, here: Processes) -> None:
        self._batches, self._seed, self._data, self._here = batches, seed, data, here

    def __getitem__(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        return spoilt(self._batches[step].each(self._here.share), generator, self._data, self._here)


def spoilt(batch: Batch, generator: torch.Generator, data: DataConfig, here: Processes | None = None) -> Batch:
    """A batch whose pictures are moved, and some of them made worse, as far as `data` says; truth follows them.

    It may be one process's share of a batch: how a picture is moved, and whether it is made worse, does not depend on
    how many there are; in which way it is made worse does.
    """
    here = here or Processes()
    batch = move(batch, generator, data.moved, here)
    count = len(batch.picture)
    order = torch.randperm(here.count * count, generator=generator)
    worse_ones = torch.zeros(len(order), dtype=torch.bool)
    worse_ones[order[: round(data.degraded * len(order))]] = True
    chosen = order[: round(data.degraded * len(order))] if here.count == 1 else here.share(worse_ones).nonzero()[:, 0]
    if not len(chosen):
        return batch
    worse, exposure = augment(batch.picture[chosen], generator)
    gain = torch.ones(count, 1, 1, 1).index_put((chosen,), exposure)
    shading = {name: gain * value for name in ("i_d", "i_s") if (value := getattr(batch, name)) is not None}
    picture = batch.picture.index_put((chosen,), worse)
    return replace(batch, picture=picture, clean=gain * batch.clean, **shading)


def _silent(step: int, steps: int, message: str) -> None:
    """Tell nobody."""
