"""The endless stream of samples with known truth, drawn by worker processes, rendered where the network is trained."""

from __future__ import annotations

from concurrent.futures import Future

import torch

from biofacenet.data.kept import pool
from biofacenet.data.synthetic import D65_KELVIN, Source, as_batch, chosen
from biofacenet.networks.decoder import lighting_of_daylight
from biofacenet.training.losses import Batch
from msfit.synth import Bank
from msfit.synth.on_device import Renderer
from msfit.synth.sampling import Drawn, draw_sample


class RenderedStream:
    """The samples of `Stream`, up to rounding, on a device.

    Parameters
    ----------
    source : Source
    size : int
        Samples a batch.
    workers : int
        Processes that draw textures, heads and light. 0: drawn in this process, when a batch is asked for.
    device : torch.device or str
    """

    def __init__(self, source: Source, size: int, workers: int, device: torch.device | str) -> None:
        self._source, self._size, self._ahead = source, size, 2 * workers
        self._pending: dict[int, Future[list[Drawn]]] = {}
        bank = Bank(source.heads, source.size, source.split, workers=workers)
        self._renderer = Renderer(bank, str(device), source.model)
        self._pool = pool(workers)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, as of `Stream`."""
        self._pending = {number: job for number, job in self._pending.items() if number >= step}
        for number in range(step, step + self._ahead + 1):
            if number not in self._pending:
                self._pending[number] = self._pool.submit(_drawn, self._source, number, self._size)
        indices = chosen(self._source, step, self._size)
        made = self._renderer(self._pending.pop(step).result())
        even = torch.tensor([index % 2 == 0 for index in indices], device=made["light"].device)
        made["light"][even] = lighting_of_daylight(D65_KELVIN).to(made["light"])
        return as_batch(made)

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(cancel_futures=True)


def _drawn(source: Source, number: int, size: int) -> list[Drawn]:
    """What chance decides of the samples of a batch."""
    bank = Bank(source.heads, source.size, source.split)
    return [
        draw_sample(index, source.seed, bank, "varied" if index % 2 else "reference")
        for index in chosen(source, number, size)
    ]
