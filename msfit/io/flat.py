"""Flat binary files, read where they are needed and as far as they are needed."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.lazy_arrays import CUT, STRIP, span_of
from msfit.errors import InputError
from msfit.io.extras import need


@dataclass(frozen=True)
class FlatArray:
    """An array in a file, row by row without gaps, that is read when it is indexed.

    The bytes are read into fresh memory and not mapped: pages of a mapped file count as the process's own.

    Attributes
    ----------
    path : Path
    shape : tuple of int
    dtype : numpy.dtype
        Of any byte order.
    offset : int
        Bytes before the first sample.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int = 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        """The samples; whole rows of the last axis are read, of the others what lies between the ends asked for."""
        index = index if isinstance(index, tuple) else (index,)
        index = (*index, *(slice(None),) * (self.ndim - len(index)))
        spans, inner = zip(*(span_of(i, n) for i, n in zip(index, self.shape, strict=True)), strict=True)
        return self._read(spans[:-1])[(*inner[:-1], index[-1])]

    def lazy(self, axis: int = 0) -> Any:
        """A dask array in strips along an axis."""
        others = math.prod(self.shape) // self.shape[axis]
        chunks = [-1] * self.ndim
        chunks[axis] = max(1, STRIP // others)
        return need("dask.array").from_array(self, chunks=tuple(chunks), name=CUT + uuid.uuid4().hex)

    def _read(self, spans: tuple[range, ...]) -> np.ndarray:
        """Parts of all axes but the last, in runs that lie together in the file."""
        whole = len(spans)  # axes from here on are read whole
        while whole > 0 and len(spans[whole - 1]) == self.shape[whole - 1]:
            whole -= 1
        lead, run = spans[: max(0, whole - 1)], spans[whole - 1] if whole else range(1)
        inner = math.prod(self.shape[whole:]) if whole else math.prod(self.shape)
        steps = [math.prod(self.shape[axis + 1 :]) for axis in range(len(lead))]
        found = np.empty((*(len(span) for span in lead), len(run) * inner), self.dtype)
        with self.path.open("rb", buffering=0) as file:
            for place in np.ndindex(*(len(span) for span in lead)):
                first = sum((span.start + k) * step for span, k, step in zip(lead, place, steps, strict=True))
                file.seek(self.offset + (first + run.start * inner) * self.dtype.itemsize)
                _fill(file, found[place])
        return found.reshape(*(len(span) for span in spans), self.shape[-1])


def _fill(file: Any, samples: np.ndarray) -> None:
    view = samples.view(np.uint8).data
    while len(view):
        count = file.readinto(view)
        if not count:
            raise InputError(f"{file.name} is cut short; get the file anew")
        view = view[count:]
