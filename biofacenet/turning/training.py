"""Training of learned front views: L1 and, on wish, a critic; goes on from its checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from biofacenet.networks.weights import read_tensors
from biofacenet.training.interruption import put_off
from biofacenet.turning.config import FrontalConfig
from biofacenet.turning.network import Critic, FrontNet
from biofacenet.turning.pairs import Pairs, render_pairs
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.output import written_whole
from msfit.synth.files import made_folder

_FORM = "expected a checkpoint that `biofacenet train` wrote; begin anew with --afresh"
_WARMUP = 0.05  # share of the steps in which the learning rate rises
_EDGES = 1.0  # weight of the loss on differences of neighbours beside that on colours


class Trained(NamedTuple):
    """What came of a run."""

    network: FrontNet
    training: dict[str, Any]
    """Steps, seconds and losses, as beside the weights."""


def train_frontal(
    config: FrontalConfig,
    output: str | Path,
    *,
    resume: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> Trained:
    """Train `FrontNet`; rendered pairs are drawn as the run goes on and kept in OUT/pairs.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        See `Pairs`; a checkpoint of another network.
    KeyboardInterrupt
        Ctrl-C: after the step that is under way, with a checkpoint of it.
    """
    folder = made_folder(output)
    return _Run(config, folder, progress or (lambda *_: None)).all_steps(resume)


class _Run:
    def __init__(self, config: FrontalConfig, folder: Path, report: Callable[[int, int, str], None]) -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder, self.report = config, folder, report
        self.network, self.critic = FrontNet(config.width), Critic()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, betas=(0.9, 0.99))
        self.judge = torch.optim.AdamW(self.critic.parameters(), 4e-4, betas=(0.5, 0.9))
        self.step, self.seconds, self.rendered, self.losses = 0, 0.0, 0, {"l1": math.nan, "critic": math.nan}
        if config.pairs:
            self.pairs = Pairs(config.pairs, config.size)

    def all_steps(self, resume: bool) -> Trained:
        config, saved = self.config, self.folder / "checkpoint.safetensors"
        if resume and saved.is_file():
            self._read(saved)
        started = last = time.monotonic()
        before = self.seconds
        with put_off() as stop:
            while self.step < config.steps and not stop.is_set():
                self._one_step()
                now = time.monotonic()
                self.seconds = before + now - started
                self.report(self.step, config.steps, f"L1 {self.losses['l1']:.4f}, {self.rendered} heads")
                if now - last > 60 * config.checkpoint_minutes:
                    self._write(saved)
                    last = time.monotonic()
            self._write(saved)
        if stop.is_set():
            raise KeyboardInterrupt
        return Trained(self.network, self._notes())

    def _one_step(self) -> None:
        turned, front = self._batch()
        late = self.step >= self.config.critic_from * self.config.steps
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / max(1.0, _WARMUP * self.config.steps))
        rate *= 0.5 * (1 + math.cos(math.pi * self.step / self.config.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        drawn = self.network(turned)
        colours = l1_loss(drawn, front)
        loss = colours + _EDGES * sum(
            l1_loss(torch.diff(drawn, dim=axis), torch.diff(front, dim=axis)) for axis in (2, 3)
        )
        if self.config.critic > 0 and late:
            if self.losses["critic"] != self.losses["critic"]:  # the last weights without a critic
                self._weights(self.folder / "plain.safetensors")
            # hinge losses of the critic, then of what is drawn
            true, false = self.critic(turned, front), self.critic(turned, drawn.detach())
            judged = torch.relu(1 - true).mean() + torch.relu(1 + false).mean()
            self.judge.zero_grad()
            judged.backward()
            self.judge.step()
            self.losses["critic"] = float(judged.detach())
            loss = loss - self.config.critic * self.critic(turned, drawn).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        seen = float(colours.detach())
        if not math.isfinite(seen):
            raise InputError("learning_rate: the loss is not finite; expected a smaller one")
        past = self.losses["l1"]
        self.losses["l1"] = seen if past != past else 0.98 * past + 0.02 * seen

    def _batch(self) -> tuple[Tensor, Tensor]:
        config = self.config
        rng = np.random.default_rng((config.seed, self.step))
        if not config.pairs:
            # as many heads as the share of the run, so that first steps need not wait for the last head
            wanted = min(config.heads, max(8, math.ceil(2.5 * config.heads * (self.step + 1) / config.steps)))
            if wanted > self.rendered:
                render_pairs(self.folder / "pairs", self.rendered, wanted - self.rendered, config.size, config.seed)
                self.rendered, self.pairs = wanted, Pairs(self.folder / "pairs", config.size)
        values = self.pairs.batch(rng.integers(len(self.pairs), size=config.batch).tolist())
        flipped = rng.random(config.batch) < 0.5
        values[:, flipped] = values[:, flipped, ..., ::-1]
        gain = rng.uniform(0.85, 1.15, (1, config.batch, 3, 1, 1)).astype(np.float32)
        turned, front = torch.from_numpy(np.clip(values * gain, 0, 1))
        return _shifted(turned, rng), front

    def _read(self, path: Path) -> None:
        tensors = read_tensors(path, _FORM)
        with need("safetensors", "train").safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        try:
            progress = json.loads(notes["progress"])
            self.network.load_state_dict(_below(tensors, "network."))
            self.critic.load_state_dict(_below(tensors, "critic."))
            for name, one in (("optimizer", self.optimizer), ("judge", self.judge)):
                state: dict[int, dict[str, Tensor]] = {}
                for key, value in _below(tensors, f"{name}.").items():
                    index, part = key.split(".", 1)
                    state.setdefault(int(index), {})[part] = value
                one.load_state_dict({"state": state, "param_groups": one.state_dict()["param_groups"]})
            self.step, self.seconds, self.losses = progress["step"], progress["seconds"], progress["losses"]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"{path}: not a checkpoint of this network ({type(error).__name__}); {_FORM}") from None

    def _write(self, path: Path) -> None:
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"critic.{key}": value for key, value in self.critic.state_dict().items()}
        for name, one in (("optimizer", self.optimizer), ("judge", self.judge)):
            for index, state in one.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        tensors = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
        save = need("safetensors.torch", "train").save
        with written_whole(path) as part:
            part.write_bytes(save(tensors, {"progress": json.dumps(self._notes()), "task": "frontal"}))
        self._weights(self.folder / "best.safetensors")

    def _weights(self, path: Path) -> None:
        halves = {key: value.detach().half().contiguous() for key, value in self.network.state_dict().items()}
        notes = {"task": "frontal", "training": json.dumps(self._notes() | {"config": asdict(self.config)})}
        with written_whole(path) as part:
            part.write_bytes(need("safetensors.torch", "train").save(halves, notes))

    def _notes(self) -> dict[str, Any]:
        return {"step": self.step, "steps": self.step, "seconds": self.seconds, "losses": self.losses}


def _shifted(turned: Tensor, rng: np.random.Generator) -> Tensor:
    """Moved and scaled a little, as landmarks err."""
    count = len(turned)
    scale = torch.from_numpy(1 + 0.04 * rng.normal(size=count)).float()
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = torch.from_numpy(0.03 * rng.normal(size=(count, 2))).float()
    grid = torch.nn.functional.affine_grid(theta, list(turned.shape), align_corners=False)
    return torch.nn.functional.grid_sample(turned, grid, padding_mode="border", align_corners=False)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
