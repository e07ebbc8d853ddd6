"""Arrays that are read from disk in chunks: read with little memory, in blocks of rows that suit the chunks."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.data.memory import resident, told
from msfit.errors import InputError, said

# Bytes of whole chunks that are read together: more gains no speed.
_AT_ONCE = 32 * 2**20
# A chunk is in memory packed, unpacked, and once more while numbers are scaled.
_COPIES_OF_CHUNK = 3
# Samples in a strip of rows: a few megabytes, which a disk reads in one go.
STRIP = 2**20
# Names of dask arrays that were cut from files without chunks begin so: of them any part can be read by itself.
CUT = "cut-"
# Beside blocks and chunks: small objects, and what the memory allocator keeps.
MARGIN = 48 * 2**20


def is_lazy(values: Any) -> bool:
    """Whether an array is a dask array, which is read piece by piece."""
    return hasattr(values, "dask")


def read_rows(values: Any, rows: slice, name: str = "values") -> np.ndarray:
    """Some rows of an array in memory; of a lazy one few chunks at once, so that chunks across all rows do no harm.

    A single spectrum (band,) has no rows: it is returned whole.

    Raises
    ------
    InputError
        A lazy array, of that name, cannot be read from its file, or computed.
    """
    if not is_lazy(values):
        return np.asarray(values if values.ndim == 1 else values[rows])
    try:
        if values.ndim == 1:
            return np.asarray(values)
        start, stop, step = rows.indices(values.shape[0])
        if step != 1 or stop <= start:
            return np.asarray(values[rows])
        pieces = list(_pieces(values, start, stop))
        if len(pieces) == 1:
            return np.asarray(values[rows])
        found = np.empty((stop - start, *values.shape[1:]), values.dtype)
        for first, *others in pieces:
            found[(slice(first.start - start, first.stop - start), *others)] = np.asarray(values[(first, *others)])
        return found
    except Exception as error:  # the file is read only now, and its reader meets damage with whatever that causes
        raise InputError(
            f"{name}: cannot be read or computed ({said(error)}); get the file anew, or mend what computes them"
        ) from None


def row_blocks(values: Any, usual: int, most: int) -> list[slice]:
    """All rows of an array in blocks that end where the file's chunks do, wherever that is possible.

    Parameters
    ----------
    values : array (row, ...)
    usual : int
        Rows that make a block of good size.
    most : int
        Rows for which there is memory: taken where chunks are higher than `usual`, since chunks that do not fit into
        a block are read again for each block that they touch.
    """
    heights = values.chunks[0] if is_lazy(values) and not _is_cut(values) else (1,) * values.shape[0]
    blocks: list[slice] = []
    start = stop = 0
    usual = max(1, min(usual, most))
    for height in heights:
        if stop - start + height > usual and stop > start:
            blocks.append(slice(start, stop))
            start = stop
        stop += height
        if height > usual:
            step = math.ceil(height / math.ceil(height / max(1, most)))
            blocks += [slice(first, min(first + step, stop)) for first in range(start, stop, step)]
            start = stop
    return [*blocks, slice(start, stop)] if stop > start else blocks


def reads_a_chunk(values: Any, blocks: list[slice]) -> int:
    """How often the chunk that suffers most is read; once where the file itself has none."""
    if not is_lazy(values) or _is_cut(values):
        return 1
    ends = np.cumsum(values.chunks[0])
    counts = np.zeros(ends.size, int)
    for block in blocks:
        first, last = np.searchsorted(ends, (block.start, block.stop - 1), "right")
        counts[first : last + 1] += 1
    return int(counts.max())


def reading_bytes(values: Any) -> int:
    """Bytes of memory that reading a block takes at most, beside the block itself."""
    if not is_lazy(values):
        return 0
    largest, (height, *_) = _largest_chunk(values)
    row_of_chunks = height * math.prod(values.shape[1:]) * values.dtype.itemsize
    return _COPIES_OF_CHUNK * max(largest, min(_AT_ONCE, row_of_chunks))


def check_chunks(values: Any, memory: int) -> None:
    """Make sure that the chunks of an array can be read within a budget, before any is.

    Raises
    ------
    InputError
        A chunk alone needs more.
    """
    if not is_lazy(values):
        return
    size, shape = _largest_chunk(values)
    used = resident() + MARGIN
    needed = used + _COPIES_OF_CHUNK * size
    if used > memory:
        raise InputError(f"memory: {told(memory)} is less than Python with its libraries takes: {told(used)}")
    if needed > memory:
        raise InputError(
            f"memory: {told(memory)} cannot hold a chunk of {' x '.join(map(str, shape))} samples ({told(size)}), which"
            f" is read whole; expected at least {told(1.1 * needed)}, or a file in smaller chunks"
        )


@dataclass(frozen=True)
class RowFunction:
    """An array that a function of rows computes when it is indexed."""

    function: Callable[[slice], np.ndarray]
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        """Its samples, from rows computed whole."""
        span, inner = span_of(index[0], self.shape[0])
        return self.function(slice(span.start, span.stop))[(inner, *index[1:])]


def lazy_rows(values: Any, like: Any = None) -> Any:
    """A dask array of what is indexed as an array (row, ...), in strips that suit the chunks of `like`, if given."""
    import dask.array

    whole, shape = like is None or _is_cut(like), values.shape
    like = np.broadcast_to(0, shape) if like is None else like
    strip = max(1, STRIP // math.prod(like.shape[1:]))
    heights = tuple(rows.stop - rows.start for rows in row_blocks(like, strip, 4 * strip))
    name = (CUT if whole else "rows-") + uuid.uuid4().hex
    empty = np.empty((0,) * len(shape), values.dtype)  # nothing is read to see what comes
    return dask.array.from_array(values, chunks=(heights, *shape[1:]), name=name, meta=empty)


def span_of(index: Any, length: int) -> tuple[range, Any]:
    """The range that an index of one axis lies in, and the index inside it."""
    if isinstance(index, slice):
        chosen = range(*index.indices(length))
        if not chosen:
            return range(0), slice(0, 0)
        low, last = min(chosen[0], chosen[-1]), chosen[-1]
        end = last - low + (1 if chosen.step > 0 else -1)
        inner = slice(chosen[0] - low, None if end < 0 else end, chosen.step)
        return range(low, max(chosen[0], last) + 1), inner
    places = np.asarray(index)
    if places.size == 0:
        return range(0), places
    places = np.where(places < 0, places + length, places)
    return range(int(places.min()), int(places.max()) + 1), places - places.min()


def _is_cut(values: Any) -> bool:
    return is_lazy(values) and any(str(name).startswith(CUT) for name in values.dask.layers)


def _largest_chunk(values: Any) -> tuple[int, tuple[int, ...]]:
    shape = tuple(max(lengths) for lengths in values.chunks)
    return math.prod(shape) * values.dtype.itemsize, shape


def _pieces(values: Any, start: int, stop: int) -> Iterator[tuple[slice, ...]]:
    """Parts of some rows, each within chunks that together are not larger than `_AT_ONCE`, or within one chunk."""
    edges = [np.concatenate(([0], np.cumsum(lengths))) for lengths in values.chunks]
    first, last = np.searchsorted(edges[0], (start, stop - 1), "right")
    ranges = [(int(first) - 1, int(last)), *((0, len(lengths)) for lengths in values.chunks[1:])]
    for chunks in _halved(values.chunks, ranges, values.dtype.itemsize):
        spans = [slice(int(edge[a]), int(edge[b])) for edge, (a, b) in zip(edges, chunks, strict=True)]
        spans[0] = slice(max(start, spans[0].start), min(stop, spans[0].stop))
        yield tuple(spans)


def _halved(lengths: Any, ranges: list[tuple[int, int]], itemsize: int) -> Iterator[list[tuple[int, int]]]:
    size = itemsize * math.prod(sum(axis[a:b]) for axis, (a, b) in zip(lengths, ranges, strict=True))
    longest = max(range(len(ranges)), key=lambda axis: ranges[axis][1] - ranges[axis][0])
    a, b = ranges[longest]
    if size <= _AT_ONCE or b - a <= 1:
        yield ranges
        return
    middle = (a + b) // 2
    halves = ([*ranges[:longest], half, *ranges[longest + 1 :]] for half in ((a, middle), (middle, b)))
    yield from itertools.chain.from_iterable(_halved(lengths, half, itemsize) for half in halves)


def flat_light(values: Any) -> np.ndarray:
    """A light of one level in all bands, above nearly all of what was recorded: values (..., band)."""
    level = 0.0
    for first in range(0, values.shape[0], max(1, values.shape[0] // 16)):
        sample = np.asarray(read_rows(values, slice(first, first + 1)), np.float64)
        sample = sample[np.isfinite(sample)]
        level = max(level, float(np.quantile(sample, 0.995))) if sample.size else level
    # where nothing is bright, what comes of it has no skin, which is refused later
    return np.full(values.shape[-1], level if level > 0 else 1.0)
