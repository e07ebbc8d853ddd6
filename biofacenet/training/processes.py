"""Training by several processes, one a device, as `torchrun` starts them; by one where it did not.

Each takes its share of every batch. What a loss divides by, what normalisations go by and the gradients are those of
the whole batch, so that many processes descend as one does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

from msfit.errors import InputError
from msfit.fitting.devices import torch_device

_PATIENCE = timedelta(hours=2)  # while one draws the samples that all wait for
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Processes:
    """`number` of this process (0 is the first) among `count`, and its number on this machine."""

    number: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks."""
        return self.number == 0

    def device(self, wanted: str) -> torch.device:
        """Of this process: "auto" is a GPU of its own where there are any."""
        kind = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
        return torch_device(f"cuda:{self.local}" if kind == "cuda" and self.count > 1 else kind)

    def share(self, values: Tensor) -> Tensor:
        """Every `count`-th of the first axis, from `number` on."""
        return values[self.number :: self.count]

    def agreed(self, value: _Value) -> _Value:
        """The first process's value."""
        if self.count == 1:
            return value
        held: list[Any] = [value]
        distributed.broadcast_object_list(held)
        return held[0]

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()

    def spread(self, network: nn.Module) -> nn.Module:
        """The network as it is trained: gradients are averaged, normalisations go by the whole batch."""
        if self.count == 1:
            return network
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SharedNorm
        device = next(network.parameters()).device
        # the statistics are alike everywhere; of some losses a head is left out
        options: dict[str, Any] = {"broadcast_buffers": False, "static_graph": True}
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None, **options
        )


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, by its environment; alone without it.

    Raises
    ------
    InputError
        Fewer GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or distributed.is_initialized():
        yield Processes()
        return
    here = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    chosen = here.device(device)
    if chosen.type == "cuda":
        if here.local >= torch.cuda.device_count():
            raise InputError(
                f"torchrun: process {here.local} of this machine has no GPU of its own, there are"
                f" {torch.cuda.device_count()}; expected --nproc-per-node of as many at most"
            )
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield here
    finally:
        distributed.destroy_process_group()


def averaged(value: Tensor) -> Tensor:
    """The mean of a value over the processes, without a gradient: what a loss divides by."""
    if not _several():
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


class SharedNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all processes' parts; torch's own does so on GPUs alone."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not _several():
            return super().forward(values)
        x = values.float()
        count = distributed.get_world_size() * x.numel() / x.shape[1]
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce((centred**2).sum((0, 2, 3))) / count
        with torch.no_grad():
            share = 0.1 if self.momentum is None else self.momentum
            for kept, now in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
                assert kept is not None
                kept.lerp_(now, share)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(values.dtype)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
