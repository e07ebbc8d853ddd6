"""Training: batches, descent, figures after every epoch, checkpoints from which it goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biofacenet.data.augment import augment
from biofacenet.data.geometry import move
from biofacenet.data.photographs import Photographs
from biofacenet.data.synthetic import Kept, Source, Stream
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet
from biofacenet.networks.weights import Loaded, load_weights, save_weights, shipped_weights
from biofacenet.scores import score
from biofacenet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from biofacenet.training.config import Config, DataConfig, TrainingConfig, read_config
from biofacenet.training.interruption import put_off
from biofacenet.training.journal import Journal
from biofacenet.training.losses import LOSSES, Batch, Terms, weighted
from biofacenet.training.provenance import commit, provenance
from msfit.errors import InputError
from msfit.synth.files import made_folder

#: Nodes a side of the decoder's table in training: within 4e-4 of the model.
_NODES = 64
_VALIDATION_HEADS = 64
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
    """Train a network.

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
    return _Run(config, made_folder(output), progress or _silent).all_steps(resume)


def learning_rate(settings: TrainingConfig, step: int) -> float:
    """The rate of a step (from 0): a linear rise, a constant, a linear fall to zero over the last `decay` share."""
    rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    fall = min(1.0, (settings.steps - step) / (settings.decay * settings.steps)) if settings.decay else 1.0
    return settings.learning_rate * rise * fall


class _Run:
    """A run: what stays the same from step to step."""

    def __init__(self, config: Config, folder: Path, progress: Callable[[int, int, str], None]) -> None:
        self.config, self.folder, self.report = config, folder, progress
        data, settings = config.data, config.training
        commit()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(wanted if settings.device == "auto" else settings.device)
        torch.manual_seed(settings.seed)
        self.network, self.start = _begun(config)
        self.network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder = Decoder(data.model, nodes=_NODES).to(self.device, torch.float32)
        self.optimizer = _optimizer(self.network, settings)
        source = Source("train", data.seed, data.heads, data.model, data.size, data.balance)
        # first, because it is soon told whether they are there
        photographs = Photographs(data.photos, settings.batch, data.size, settings.seed) if data.photos else None
        # loss, its factor, and where its batches come from
        self.parts: dict[str, tuple[str, float, Kept | Stream | Photographs]] = {}
        if data.synthetic:
            samples = (
                Kept(source, settings.batch, data.samples, data.workers, progress=self._drawing)
                if data.samples
                else Stream(source, settings.batch, data.workers)
            )
            self.parts[""] = (config.loss.name, 1.0, samples)
        if photographs is not None:
            share = config.loss.photo_share if data.synthetic else 1.0
            self.parts["photo "] = (config.loss.of_photos, share, photographs)
        exam = replace(source, split="validation", heads=min(data.heads, _VALIDATION_HEADS), balance=0.0)
        drawn = Kept(exam, 2 * data.validation, 2 * data.validation, data.workers, progress=self._drawing)[0]
        # the even samples: under D65 through the mean camera, as the test scenes are seen
        self.exam = drawn.each(lambda values: values[::2].to(self.device))

    def _drawing(self, done: int, total: int) -> None:
        self.report(0, self.config.training.steps, f"{done} of {total} samples drawn")

    def all_steps(self, resume: bool) -> Loaded:
        settings, saved = self.config.training, self.folder / "checkpoint.safetensors"
        at = Progress()
        if resume and saved.is_file():
            at = load_checkpoint(saved, self.network, self.optimizer, self.config.to_dict())
        journal = Journal(self.folder, at.step)
        began = written = time.monotonic()
        with contextlib.ExitStack() as closing:
            stopped = closing.enter_context(put_off())
            for opened in (journal, *(batches for _, _, batches in self.parts.values())):
                closing.enter_context(contextlib.closing(opened))
            while at.step < settings.steps:
                terms = self._step(at.step)
                for name, term in terms.items():
                    at.sums[name] = at.sums.get(name, 0.0) + term / settings.epoch
                at.step += 1
                self.report(at.step, settings.steps, f"loss {sum(terms.values()):.4f}")
                ended = at.step % settings.epoch == 0 or at.step == settings.steps
                now = time.monotonic()
                at.seconds, began = at.seconds + now - began, now
                if ended:
                    self._epoch(at, journal)
                    at.sums = {}
                if ended or stopped.is_set() or now - written > 60 * settings.checkpoint_minutes:
                    save_checkpoint(saved, self.network, self.optimizer, at, self.config.to_dict())
                    written = now
                if stopped.is_set() and at.step < settings.steps:
                    raise KeyboardInterrupt(f"step {at.step:,} is saved; the same command without --afresh goes on")
                if settings.patience and at.stale >= settings.patience:
                    break
        return Loaded(self.network.eval(), provenance(self.config, at, {}, self.start))

    def _step(self, step: int) -> dict[str, float]:
        settings = self.config.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        self.network.train()
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        terms: Terms = {}
        for prefix, (loss, share, batches) in self.parts.items():
            batch = spoilt(batches[step], generator, self.config.data).each(self._here)
            with self._precision():
                prediction = self.network(batch.picture.contiguous(memory_format=torch.channels_last))
            losses = weighted(LOSSES[loss](prediction, batch, self.decoder), self.config.loss.weights)
            terms |= {prefix + name: share * term for name, term in losses.items()}
        total = torch.stack([*terms.values()]).sum()
        if not bool(torch.isfinite(total)):
            broken = [name for name, term in terms.items() if not bool(torch.isfinite(term))]
            raise InputError(
                f"loss: {', '.join(broken)} not finite at step {step}; lower training.learning_rate and resume"
            )
        self.optimizer.zero_grad()
        total.backward()
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizer.step()
        return _numbers(terms)

    def _here(self, values: Tensor) -> Tensor:
        return values.to(self.device, non_blocking=True)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        wanted = self.config.training.precision
        if wanted == "float32" or (wanted == "auto" and self.device.type == "cpu"):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.float16 if wanted == "float16" else torch.bfloat16)

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
    if network.config != config.network:
        raise InputError(
            f"training.start: {start} holds {network.config}; expected {config.network}, as the section network says"
        )
    return network, made


def spoilt(batch: Batch, generator: torch.Generator, data: DataConfig) -> Batch:
    """A batch whose pictures are moved, and some of them made worse, as far as `data` says; truth follows them."""
    batch = move(batch, generator, data.moved)
    count = len(batch.picture)
    chosen = torch.randperm(count, generator=generator)[: round(data.degraded * count)]
    if not len(chosen):
        return batch
    worse, exposure = augment(batch.picture[chosen], generator)
    gain = torch.ones(count, 1, 1, 1).index_put((chosen,), exposure)
    shading = {name: gain * value for name in ("i_d", "i_s") if (value := getattr(batch, name)) is not None}
    picture = batch.picture.index_put((chosen,), worse)
    return replace(batch, picture=picture, clean=gain * batch.clean, **shading)


def _optimizer(network: BioFaceNet, settings: TrainingConfig) -> torch.optim.Optimizer:
    # biases and normalisations are not drawn to zero
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _numbers(terms: Terms) -> dict[str, float]:
    values: Tensor = torch.stack([term.detach() for term in terms.values()])
    return dict(zip(terms, values.tolist(), strict=True))


def _silent(step: int, steps: int, message: str) -> None:
    """Tell nobody."""
