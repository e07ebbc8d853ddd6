"""Training of a restoration network: batches, descent, figures after every epoch, checkpoints from which it goes on."""

from __future__ import annotations

import contextlib
import copy
import csv
import json
import platform
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import msfit
from biofacenet.data.ahead import Ahead, Batches
from biofacenet.networks.compact import Compact
from biofacenet.networks.weights import check_tensors, load_weights, read_tensors, shipped_weights
from biofacenet.restoration.config import RestorationConfig
from biofacenet.restoration.faces import Alternating, Faces, FaceSource, FolderFaces, RestorationBatch
from biofacenet.restoration.losses import Adversary, adversarial, checked_factors, terms, told_apart
from biofacenet.restoration.network import Restorer
from biofacenet.restoration.pigments import skin_coordinates
from biofacenet.restoration.weights import Restoring, load_restorer, save_restorer
from biofacenet.training.interruption import put_off
from biofacenet.training.provenance import commit
from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError
from msfit.fitting.devices import torch_device
from msfit.io.extras import need
from msfit.io.output import written_whole
from msfit.synth.files import made_folder

_VALIDATION_HEADS, _VALIDATION_FACES = 24, 60
# Batches over which the statistics of averaged weights are taken.
_SETTLING = 16
_PARTS = ("network", "averaged", "adversary")


def train_restorer(
    config: RestorationConfig,
    output: str | Path,
    *,
    resume: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> Restoring:
    """Train a restoration network.

    Parameters
    ----------
    config : RestorationConfig
    output : str or Path
        Folder, made if absent: best.safetensors and .json (the weights with the highest PSNR on validation),
        checkpoint.safetensors, log.csv.
    resume : bool
        Go on from the checkpoint in that folder, if there is one.
    progress : callable (step, steps, message), optional

    Returns
    -------
    Restoring
        As training ended.

    Raises
    ------
    InputError
        A folder that cannot be written to; a checkpoint of another configuration; a loss that is not finite.
    KeyboardInterrupt
        Ctrl-C, once what was reached is saved.
    """
    run = _Run(config, made_folder(output), progress or (lambda *_: None))
    return run.all_steps(resume)


class _Run:
    def __init__(self, config: RestorationConfig, folder: Path, report: Callable[[int, int, str], None]) -> None:
        self.config, self.folder, self.report = config, folder, report
        data, settings = config.data, config.training
        commit()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.device = torch_device(settings.device)
        torch.manual_seed(settings.seed)
        self.network = _begun(config).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network).eval()
        self.factors = checked_factors(config.loss.weights)
        self.optimizers = [_adam(self.network, settings.learning_rate, settings.weight_decay)]
        self.adversary = Adversary().to(self.device) if self.factors["adversary"] else None
        if self.adversary is not None:
            self.optimizers.append(torch.optim.Adam(self.adversary.parameters(), settings.adversary_rate, (0.5, 0.99)))
        source = FaceSource("train", data.heads, data.faces, data.size, data.seed)
        others = FaceSource("validation", _VALIDATION_HEADS, _VALIDATION_FACES, data.size, data.seed)

        def drawing(done: int, total: int) -> None:
            report(0, settings.steps, f"{done} of {total} faces drawn")

        faces = Faces(source, settings.batch, data.crop, data.workers, progress=drawing, textures=data.textures)
        self.batches: Batches[RestorationBatch] = faces
        if data.photos:
            self.batches = Alternating(faces, FolderFaces(data.photos, settings.batch, data.crop, data.seed))
        self.recent: deque[RestorationBatch] = deque(maxlen=_SETTLING)
        self.exam = Faces(others, data.validation, data.crop, data.workers, progress=drawing)[0]

    def all_steps(self, resume: bool) -> Restoring:
        settings, saved = self.config.training, self.folder / "checkpoint.safetensors"
        at: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -1.0, "rows": []}
        if resume and saved.is_file():
            at = self._load(saved)
        sums: dict[str, float] = {}
        before = written = time.monotonic()
        with contextlib.ExitStack() as closing:
            stopped = closing.enter_context(put_off())
            coming = Ahead(self.batches, at["step"], settings.steps, self.config.data.workers)
            closing.enter_context(contextlib.closing(coming))
            self.recent.extend(
                _on(self.batches[k], self.device) for k in range(max(0, at["step"] - _SETTLING), at["step"])
            )
            while at["step"] < settings.steps:
                made = self._step(at["step"], _on(coming[at["step"]], self.device))
                for name, value in made.items():
                    sums[name] = sums.get(name, 0.0) + value / settings.epoch
                at["step"] += 1
                self.report(at["step"], settings.steps, f"loss {sum(made.values()):.4f}")
                now = time.monotonic()
                at["seconds"], before = at["seconds"] + now - before, now
                ended = at["step"] % settings.epoch == 0 or at["step"] == settings.steps
                if ended:
                    self._epoch(at, sums)
                    sums = {}
                if ended or stopped.is_set() or now - written > 60 * settings.checkpoint_minutes:
                    self._save(saved, at)
                    written = now
                if stopped.is_set() and at["step"] < settings.steps:
                    raise KeyboardInterrupt(f"step {at['step']:,} is saved; the same command without --afresh goes on")
        return Restoring(self.averaged.eval(), self._provenance(at, {}))

    def _step(self, step: int, batch: RestorationBatch) -> dict[str, float]:
        settings = self.config.training
        rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
        fall = min(1.0, (settings.steps - step) / (settings.decay * settings.steps)) if settings.decay else 1.0
        self.optimizers[0].param_groups[0]["lr"] = settings.learning_rate * rise * fall
        self.recent.append(batch)
        self.network.train()
        estimate = self.network(batch.degraded.contiguous(memory_format=torch.channels_last), batch.hole)
        losses = terms(estimate, batch, self._factors(step))
        if self.adversary is not None:
            self.adversary.requires_grad_(False)
            losses["adversary"] = self.factors["adversary"] * adversarial(self.adversary, estimate.display)
            self.adversary.requires_grad_(True)
        total = torch.stack([*losses.values()]).sum()
        if not bool(torch.isfinite(total)):
            raise InputError(f"loss: not finite at step {step}; lower training.learning_rate and resume")
        self.optimizers[0].zero_grad()
        total.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizers[0].step()
        if self.adversary is not None:
            self.optimizers[1].zero_grad()
            pays = told_apart(self.adversary, estimate.display, batch.clean)
            pays.backward()
            self.optimizers[1].step()
            losses["discriminator"] = pays
        # of the first steps the mean is short, or it would hold the random weights
        keep = min(settings.averaged, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, own in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(own, 1 - keep)
            for statistic, own_statistic in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                statistic.copy_(own_statistic)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _epoch(self, at: dict[str, Any], sums: dict[str, float]) -> None:
        settle(self.averaged, [*self.recent])
        figures = scored(self.averaged.eval(), _on(self.exam, self.device))
        row = {"step": at["step"], "seconds": round(at["seconds"], 1), **sums, **figures}
        at["rows"].append({name: round(value, 5) for name, value in row.items()})
        with written_whole(self.folder / "log.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(at["rows"][-1]), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(at["rows"])
        # an adversary is not after PSNR: its last weights are its best
        if figures["psnr"] > at["best"] or self.adversary is not None:
            at["best"] = figures["psnr"]
            save_restorer(self.averaged, self.folder / "best.safetensors", self._provenance(at, figures))
        self.report(at["step"], self.config.training.steps, f"PSNR {figures['psnr']:.2f} dB")

    def _provenance(self, at: dict[str, Any], figures: dict[str, float]) -> dict[str, Any]:
        settings = self.config.to_dict()
        settings["training"]["start"] = Path(self.config.training.start).name
        settings["data"]["photos"] = Path(self.config.data.photos).name
        return {
            "split": "train",
            "settings": settings,
            "factors": self.factors,
            "steps": at["step"],
            "pictures": at["step"] * self.config.training.batch,
            "seconds": round(at["seconds"], 1),
            "validation": {name: round(value, 5) for name, value in figures.items()},
            "commit": commit(),
            "versions": {"msfit": msfit.__version__, "torch": torch.__version__, "python": platform.python_version()},
        }

    def _modules(self) -> dict[str, nn.Module]:
        found = {"network": self.network, "averaged": self.averaged, "adversary": self.adversary}
        return {name: module for name, module in found.items() if module is not None}

    def _save(self, path: Path, at: dict[str, Any]) -> None:
        tensors: dict[str, Tensor] = {}
        for part, module in self._modules().items():
            tensors |= {f"{part}.{name}": value.detach() for name, value in module.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {
                    f"optimizer{number}.{index}.{name}": torch.as_tensor(value) for name, value in state.items()
                }
        tensors = {name: value.cpu().contiguous().clone() for name, value in tensors.items()}
        notes = {"progress": json.dumps(at), "config": json.dumps(self._fixed(at["step"]))}
        with written_whole(path) as part_path:
            part_path.write_bytes(need("safetensors.torch", "train").save(tensors, notes))

    def _load(self, path: Path) -> dict[str, Any]:
        tensors = read_tensors(path, "expected a checkpoint that `biofacenet train` wrote; begin anew with --afresh")
        with need("safetensors", "train").safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        try:
            at, made_with = json.loads(notes["progress"]), json.loads(notes["config"])
        except (KeyError, ValueError):
            raise InputError(f"{path}: not a checkpoint of a training run; begin anew with --afresh") from None
        if made_with != json.loads(json.dumps(self._fixed(at["step"]))):
            raise InputError(f"{path}: a checkpoint of another configuration; train into another folder")
        for part, module in self._modules().items():
            own = {name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{part}.")}
            check_tensors(path, own, module.state_dict(), f"the {part}")
            module.load_state_dict(own)
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimizer{number}."):
                    _, index, key = name.split(".", 2)
                    state.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return dict(at)

    def _factors(self, step: int) -> dict[str, float]:
        late = {"pigments": 0.0} if step < self.config.loss.late else {}
        return {**self.factors, **late}

    def _fixed(self, step: int) -> dict[str, Any]:
        """What a checkpoint of a step must have in common with the run that goes on from it.

        Losses that differ only in what comes after may share one.
        """
        content = self.config.to_dict()
        data = {name: content["data"][name] for name in ("crop", "textures")}
        return {"network": content["network"], "data": data, "factors": self._factors(step - 1)}


@torch.no_grad()
def settle(network: Restorer, batches: list[RestorationBatch]) -> None:
    """Give a network of averaged weights the statistics of its own features: means over some batches.

    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018, section 3.2.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    network.train()
    for batch in batches:
        network(batch.degraded.contiguous(memory_format=torch.channels_last), batch.hole)
    for norm in norms:
        norm.momentum = 0.1


@torch.inference_mode()
def scored(network: Restorer, batch: RestorationBatch) -> dict[str, float]:
    """PSNR [dB], the input's too; mean change of melanin and blood over faces; error of the degradation's numbers."""
    estimate = network(batch.degraded, batch.hole)
    found = estimate.display.clamp(0, 1)

    # untouched pictures would weigh more than all others, and are left alone in the end
    worse = (batch.degraded - batch.clean).square().mean((1, 2, 3)) > 1e-4

    def psnr(display: Tensor) -> float:
        error = (display - batch.clean).square().mean((1, 2, 3))
        return float((-10 * error[worse if bool(worse.any()) else ...].log10()).mean())

    area = batch.face.sum((2, 3)).clamp(min=1)
    apart = (skin_coordinates(decode_srgb(found)) - skin_coordinates(decode_srgb(batch.clean))) * batch.face
    change = (apart.sum((2, 3)) / area).abs().mean(0)
    return {
        "psnr": psnr(found),
        "psnr input": psnr(batch.degraded),
        "melanin": float(change[1]),
        "blood": float(change[2]),
        "numbers": float((estimate.numbers - batch.numbers).abs()[batch.told > 0].mean()),
    }


def _begun(config: RestorationConfig) -> Restorer:
    """The network as training begins."""
    start, network = config.training.start, Restorer(config.network)
    if not start:
        return network
    if start.endswith(".safetensors"):
        begun = load_restorer(start).network
        if begun.config != config.network:
            raise InputError(f"training.start: {start} holds {begun.config}; expected {config.network}")
        return begun.train()
    known = load_weights(shipped_weights(start)).network
    if not isinstance(known.body, Compact) or known.config.widths != config.network.widths:
        raise InputError(f"training.start: {start} holds {known.config}; expected `compact` of {config.network.widths}")
    network.adopt(known.body)
    return network


def _adam(network: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [*network.parameters()], "weight_decay": decay},
    ]
    return torch.optim.AdamW(groups, lr=rate)


def _on(batch: RestorationBatch, device: torch.device) -> RestorationBatch:
    return RestorationBatch(**{name: value.to(device) for name, value in vars(batch).items()})
