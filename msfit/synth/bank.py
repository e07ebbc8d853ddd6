"""Traced heads kept on disk, so that training samples need no rays."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from msfit.errors import InputError
from msfit.synth.buffers import Buffers, random_pose, trace
from msfit.synth.people import SPLITS

_ARRAYS = ("pixel", "region", "normal", "position", "uv", "gradient", "visible")
_DIRECTIONS = 128
# Raised whenever a head of the same seed would look different.
_EDITION = 1
_FRAMES = (8.6, 12.6)


class Bank:
    """`count` heads of a split, traced at `size` x `size`, in pose and framing more varied than test scenes.

    Parameters
    ----------
    count : int
        How many heads. Each takes about 0.2 s to trace, once, and 0.25 MB at 64 x 64.
    size : int
        Height and width of the pictures.
    split : {"train", "validation", "test"}
        Splits share no head.
    folder : str or Path, optional
        Where banks are kept: by default $MSFIT_CACHE, else the user's cache folder.
    workers : int
        Processes that trace what is missing.
    progress : callable (done, total), optional
    """

    def __init__(
        self,
        count: int = 512,
        size: int = 64,
        split: str = "train",
        folder: str | Path | None = None,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if count < 1 or split not in SPLITS or size < 16:
            raise InputError(
                f"bank: found {count} heads of {size} pixels, split {split!r}; expected 1 head or more of 16 pixels or"
                f" more, of {', '.join(SPLITS)}"
            )
        self.count, self.size, self.split = count, size, split
        self.path = (cache_folder() if folder is None else Path(folder)) / f"heads-{_EDITION}-{split}-{size}-{count}"
        if not self.path.is_dir():
            _build(self.path, count, size, split, workers, progress)
        self._start = np.load(self.path / "start.npy")
        self._traits = np.load(self.path / "traits.npy")
        self._arrays = [np.load(self.path / f"{name}.npy", mmap_mode="r") for name in _ARRAYS]

    def __getitem__(self, index: int) -> Buffers:
        """The head of an index in 0 .. count - 1."""
        rows = slice(self._start[index], self._start[index + 1])
        pixel_cm, long_hair = self._traits[index]
        arrays = {name: np.array(values[rows]) for name, values in zip(_ARRAYS, self._arrays, strict=True)}
        return Buffers(size=self.size, pixel_cm=float(pixel_cm), long_hair=bool(long_hair), **arrays)

    def __reduce__(self) -> tuple[type[Bank], tuple[int, int, str, Path]]:
        # data loaders send a bank to their workers: by name, not by content
        return Bank, (self.count, self.size, self.split, self.path.parent)


def cache_folder() -> Path:
    """Where msfit keeps what can be made again: $MSFIT_CACHE, else msfit in $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("MSFIT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msfit"


def end_with_parent() -> None:
    """Have this worker process end within a second of its parent, which may be killed and then ends no workers."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _build(
    path: Path, count: int, size: int, split: str, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    make = functools.partial(_head, size=size, split=split)
    heads: list[Buffers] = []
    if workers > 1:
        with ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
            for head in pool.map(make, range(count), chunksize=8):
                heads.append(head)
                if progress is not None:
                    progress(len(heads), count)
    else:
        for index in range(count):
            heads.append(make(index))
            if progress is not None:
                progress(len(heads), count)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".heads-", dir=path.parent))
        try:
            np.save(part / "start.npy", np.cumsum([0, *(len(head.pixel) for head in heads)]))
            np.save(part / "traits.npy", np.array([(head.pixel_cm, head.long_hair) for head in heads], np.float32))
            for name in _ARRAYS:
                np.save(part / f"{name}.npy", np.concatenate([getattr(head, name) for head in heads]))
            if not path.is_dir():
                part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if not path.is_dir():  # else another process was faster
            raise InputError(
                f"{path}: cannot be written ({error.strerror}); set MSFIT_CACHE to a folder that can"
            ) from None


def _head(index: int, size: int, split: str) -> Buffers:
    rng = np.random.default_rng(np.random.SeedSequence((SPLITS.index(split), index, 64)))
    return trace(rng, size, random_pose(rng, _FRAMES, turn=0.3), count=_DIRECTIONS)
