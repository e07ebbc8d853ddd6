"""Arrays of many samples, drawn once by worker processes and kept on disk in half precision, in ever new order."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msfit.errors import InputError
from msfit.synth.bank import end_with_parent

Progress = Callable[[int, int], None]

_COMPLETE = "complete.json"


class Arrays(dict[str, np.ndarray]):
    """The arrays of a folder by name, mapped from disk; pickled as the folder's path."""

    def __init__(self, folder: Path) -> None:
        super().__init__({file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")})
        self._folder = folder

    def __reduce__(self) -> tuple[type[Arrays], tuple[Path]]:
        return Arrays, (self._folder,)


def kept(
    path: Path,
    draw: Callable[[int], Mapping[str, np.ndarray]],
    count: int,
    chunk: int,
    workers: int = 0,
    progress: Progress | None = None,
    about: Mapping[str, Any] | None = None,
    prepare: Callable[[], object] = lambda: None,
) -> Arrays:
    """The arrays of a folder, by name, mapped from disk; drawn and written where they are not there yet.

    What an interrupted run has written is written again.

    Parameters
    ----------
    path : Path
    draw : callable (number) -> {name: array (chunk, ...)}
        The samples of a chunk; it is sent to the workers.
    count, chunk : int
        Samples in all, and in each call.
    workers : int
        Processes that draw; 0: this one.
    progress : callable (done, total), optional
    about : mapping, optional
        What the folder says of its samples.
    prepare : callable
        Run once before the workers draw.

    Raises
    ------
    InputError
        The folder cannot be made.
    """
    if not (path / _COMPLETE).is_file():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be made ({error.strerror}); set MSFIT_CACHE to a folder that can"
            ) from None
        prepare()
        _write(path, draw, count, chunk, workers, progress)
        (path / _COMPLETE).write_text(json.dumps({"samples": count, **(about or {})}) + "\n", encoding="utf-8")
    return Arrays(path)


def _write(
    path: Path,
    draw: Callable[[int], Mapping[str, np.ndarray]],
    count: int,
    chunk: int,
    workers: int,
    progress: Progress | None,
) -> None:
    arrays: dict[str, np.memmap] = {}
    running = pool(workers)
    try:
        parts = running.map(draw, range(math.ceil(count / chunk)))
        for start, drawn in zip(range(0, count, chunk), parts, strict=True):
            stop = min(start + chunk, count)
            for name, values in drawn.items():
                if name not in arrays:
                    shape = (count, *values.shape[1:])
                    arrays[name] = np.lib.format.open_memmap(path / f"{name}.npy", "w+", np.float16, shape)
                arrays[name][start:stop] = values[: stop - start]
            if progress is not None:
                progress(stop, count)
    finally:
        running.shutdown(cancel_futures=True)
    for array in arrays.values():
        array.flush()


class Turns:
    """Which of `count` kept samples the batch of a step holds: all once a turn, in an order drawn anew for each."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._count, self._size, self._seed = count, size, seed
        self._turn, self._order = -1, np.empty(0, int)

    def __getitem__(self, step: int) -> np.ndarray:
        """Indices of a step's batch, sorted."""
        turn, within = divmod(step, self._count // self._size)
        if self._turn != turn:
            self._turn, self._order = turn, np.random.default_rng((self._seed, turn)).permutation(self._count)
        return np.sort(self._order[within * self._size :][: self._size])


def pool(workers: int) -> Executor:
    """Processes started anew, which unlike forked ones know nothing of this one's threads; or a thread for none."""
    if workers == 0:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker)


def _begin_worker() -> None:
    """One thread; Ctrl-C is for the process that ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    end_with_parent()
