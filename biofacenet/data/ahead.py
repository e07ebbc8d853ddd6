"""Batches of coming steps, made by worker processes while a network is trained on the present one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

_Batch = TypeVar("_Batch")
_Made = TypeVar("_Made", covariant=True)


class Batches(Protocol[_Made]):
    """The batch of every step, which does not depend on the ones before; it can be pickled."""

    def __getitem__(self, step: int, /) -> _Made:
        """The batch of a step."""


class Ahead(Generic[_Batch]):
    """The same batches, asked for one step after the other.

    Parameters
    ----------
    batches : Batches
    first, end : int
        The first step that is asked for, and the one after the last.
    workers : int
        Processes; batches do not depend on their number. 0: made in this process, when they are asked for.
    """

    def __init__(self, batches: Batches[_Batch], first: int, end: int, workers: int) -> None:
        self._next = first
        loader = DataLoader(
            _Steps(batches),
            batch_size=None,
            sampler=range(first, end),
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_begin_worker if workers else None,
            generator=torch.Generator(),  # a loader draws a number to begin with, else from the global one
            # forked processes would stop where this one's threads held a lock
            multiprocessing_context="spawn" if workers else None,
        )
        self._coming: Iterator[_Batch] = iter(loader)

    def __getitem__(self, step: int) -> _Batch:
        """The batch of the next step."""
        if step != self._next:
            raise IndexError(f"step {step}: expected {self._next}, the next")
        self._next += 1
        return next(self._coming)

    def close(self) -> None:
        """End the workers."""
        self._coming = iter(())


class _Steps(Dataset[_Batch]):
    def __init__(self, batches: Batches[_Batch]) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> _Batch:
        return self._batches[step]


def _as_it_is(batch: _Batch) -> _Batch:
    return batch


def _begin_worker(number: int) -> None:
    """Ctrl-C is for the process that ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
