"""One step of the descent: pictures through the network, its loss, gradients, and the weights moved along them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet
from biofacenet.training.config import TrainingConfig
from biofacenet.training.losses import LOSSES, Batch, Terms, weighted
from biofacenet.training.processes import Processes, averaged
from msfit.errors import InputError


@dataclass(frozen=True)
class Part:
    """A batch with its loss: what names of its terms begin with, the loss's name, its factor."""

    prefix: str
    loss: str
    factor: float
    batch: Batch


class Descent:
    """What is the same in each step.

    Parameters
    ----------
    network : BioFaceNet
        On the device on which it is trained.
    decoder : Decoder
        There too.
    settings : TrainingConfig
    weights : mapping
        Factors of the loss's terms.
    here : Processes
    """

    def __init__(
        self,
        network: BioFaceNet,
        decoder: Decoder,
        settings: TrainingConfig,
        weights: Mapping[str, float],
        here: Processes,
    ) -> None:
        self.decoder, self.settings, self.weights = decoder, settings, weights
        self.device = next(network.parameters()).device
        self.optimizer = optimizer_of(network, settings)
        self.network: nn.Module = here.spread(network)
        self.kind = self._precision()
        # single steps of half precision vanish below 6e-8: the loss is scaled up, and the gradients down again
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.kind == torch.float16)

    def __call__(self, step: int, rate: float, parts: Iterable[Part]) -> dict[str, float]:
        """Take a step at a learning rate; the loss's terms, means over the processes.

        Raises
        ------
        InputError
            A loss that is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        terms: Terms = {}
        for part in parts:
            batch = part.batch.each(lambda values: values.to(self.device, non_blocking=True))
            with self._autocast():
                prediction = self.network(batch.picture.contiguous(memory_format=torch.channels_last))
            losses = weighted(LOSSES[part.loss](prediction, batch, self.decoder), self.weights)
            terms |= {part.prefix + name: part.factor * term for name, term in losses.items()}
        total = torch.stack([*terms.values()]).sum()
        means = dict(zip(terms, averaged(torch.stack([term.detach() for term in terms.values()])), strict=True))
        if not all(map(_finite, means.values())):
            broken = [name for name, term in means.items() if not _finite(term)]
            raise InputError(
                f"loss: {', '.join(broken)} not finite at step {step}; lower training.learning_rate and resume"
            )
        self.optimizer.zero_grad()
        self.scaler.scale(total).backward()
        if self.settings.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {name: float(term) for name, term in means.items()}

    def _precision(self) -> torch.dtype | None:
        """Of the convolutions; None where it is not mixed."""
        wanted = self.settings.precision
        if wanted == "float32" or (wanted == "auto" and self.device.type == "cpu"):
            return None
        return torch.float16 if wanted == "float16" else torch.bfloat16

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self.kind is None else torch.autocast(self.device.type, self.kind)


def optimizer_of(network: BioFaceNet, settings: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser of the settings; biases and normalisations are not drawn to zero."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value))
