"""An unfinished result on disk: blocks of rows, appended one by one, each of which is whole or does not count."""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from msfit.data.lazy_arrays import lazy_rows, span_of
from msfit.errors import InputError
from msfit.io.output import explained

_FORMAT = "msfit part 1"
_LONGEST_HEAD = 2**20
_MARK = b"rows"
_RECORD = struct.Struct("<4sQQI")  # mark, first row, row after the last, checksum of these rows and their maps


class Part:
    """Maps (y, x) or (pixel,) that grow by blocks of rows, in any order, and survive a kill at any moment.

    One file: a line of JSON with the settings, then a record a block. A record is on disk, flushed, before the next
    begins; a last one that was cut off fails its checksum and is written over.

    Parameters
    ----------
    path : Path
        The file; one that exists is taken up again.
    settings : mapping
        What the maps depend on, as plain JSON by names.
    maps : mapping
        Data type of each map.
    shape : tuple of int
        That of a map.

    Raises
    ------
    InputError
        The file belongs to other settings, to a process that still runs, or is no part of a result; the disk is full.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], maps: Mapping[str, np.dtype], shape: tuple[int, ...]
    ) -> None:
        self.path, self.maps, self.shape = path, dict(maps), shape
        self.width = math.prod(shape[1:])
        self._reading = threading.Lock()
        head = {**settings, "shape": shape, "maps": {name: np.dtype(kind).str for name, kind in maps.items()}}
        line = json.dumps({"format": _FORMAT, "settings": head}).encode() + b"\n"
        with explained(path):
            self._file: BinaryIO = path.open("r+b" if path.exists() else "x+b")
        try:
            _lock(self._file, path)
            found = self._file.readline(_LONGEST_HEAD)
            if _is_torn(found):
                self._file.truncate(0)
                self._write(0, [line])
            else:
                _compare(path, found, json.loads(line)["settings"])
            self._records = sorted(self._scan(len(line)))
            self._end = max((place + self._bytes(b - a) for a, b, place in self._records), default=len(line))
        except BaseException:
            self.close()
            raise

    @property
    def rows_done(self) -> int:
        """Number of rows that are there."""
        return sum(stop - start for start, stop, _ in self._records)

    def check_complete(self) -> None:
        """Make sure that all rows are there.

        Raises
        ------
        InputError
            Some are missing.
        """
        if self.rows_done != self.shape[0]:
            raise InputError(
                f"{self.path}: {self.rows_done:,} of {self.shape[0]:,} rows are there; what is done is kept: run again"
            )

    def missing(self, blocks: list[slice]) -> list[slice]:
        """Those parts of blocks of rows, sorted, that are not there yet."""
        left = []
        for block in blocks:
            start = block.start
            for first, stop, _ in self._records:
                if first < block.stop and stop > start:
                    left.append(slice(start, max(start, first)))
                    start = stop
            left.append(slice(start, block.stop))
        return [block for block in left if block.stop > block.start]

    def append(self, rows: slice, maps: Mapping[str, np.ndarray]) -> None:
        """Add a block of rows.

        Raises
        ------
        InputError
            The disk is full; what was there before stays good.
        """
        content = [np.ascontiguousarray(maps[name], kind) for name, kind in self.maps.items()]
        record = _RECORD.pack(_MARK, rows.start, rows.stop, _checksum(rows.start, rows.stop, content))
        self._write(self._end, [record, *content])
        place = self._end + _RECORD.size
        self._records = sorted([*self._records, (rows.start, rows.stop, place)])
        self._end = place + self._bytes(rows.stop - rows.start)

    def read(self, name: str, rows: slice) -> np.ndarray:
        """Some rows of a map, all of which are there."""
        kind = self.maps[name]
        before = sum(np.dtype(self.maps[other]).itemsize for other in list(self.maps)[: list(self.maps).index(name)])
        found, covered = np.empty((rows.stop - rows.start, *self.shape[1:]), kind), 0
        for start, stop, place in self._records:
            first, last = max(start, rows.start), min(stop, rows.stop)
            if first < last:
                skipped = before * (stop - start) + found.itemsize * (first - start)
                with self._reading:
                    self._file.seek(place + skipped * self.width)
                    content = self._file.read((last - first) * self.width * found.itemsize)
                if len(content) != (last - first) * self.width * found.itemsize:
                    raise InputError(f"{self.path}: was cut short while it was read; run again")
                covered += last - first
                found[first - rows.start : last - rows.start] = np.frombuffer(content, kind).reshape(
                    -1, *self.shape[1:]
                )
        if covered != rows.stop - rows.start:
            raise InputError(f"{self.path}: rows {rows.start} to {rows.stop} are not all there; run again")
        return found

    def lazy(self) -> dict[str, Any]:
        """The maps as dask arrays that are read from the file; it must hold all rows."""
        self.check_complete()
        stored = {name: _StoredMap(self, name) for name in self.maps}
        return {name: lazy_rows(stored_map) for name, stored_map in stored.items()}

    def close(self) -> None:
        """Let go of the file, which stays."""
        with contextlib.suppress(OSError):  # the rest of a record that found no room
            self._file.close()

    def remove(self) -> None:
        """Delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _bytes(self, rows: int) -> int:
        return rows * self.width * sum(np.dtype(kind).itemsize for kind in self.maps.values())

    def _write(self, place: int, content: list[Any]) -> None:
        with explained(self.path):
            self._file.seek(place)
            for piece in content:
                self._file.write(piece)
            self._file.flush()
            os.fsync(self._file.fileno())

    def _scan(self, place: int) -> Iterator[tuple[int, int, int]]:
        """Whole records: first row, row after the last, place of the maps."""
        self._file.seek(place)
        while len(head := self._file.read(_RECORD.size)) == _RECORD.size:
            mark, start, stop, checksum = _RECORD.unpack(head)
            if mark != _MARK or not start < stop <= self.shape[0]:
                return
            content = self._file.read(self._bytes(stop - start))
            if checksum != _checksum(start, stop, [content]):
                return
            yield start, stop, place + _RECORD.size
            place += _RECORD.size + len(content)


class _StoredMap:
    """A map of a part, which is read when it is indexed."""

    def __init__(self, part: Part, name: str) -> None:
        self.part, self.name = part, name
        self.shape, self.dtype = part.shape, np.dtype(part.maps[name])
        self.ndim = len(self.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        rows, *others = index
        if isinstance(rows, slice) and rows.step in (None, 1):  # a strip, or some rows of one
            start, stop, _ = rows.indices(self.shape[0])
            return self.part.read(self.name, slice(start, stop))[(slice(None), *others)]
        span, inner = span_of(rows, self.shape[0])
        return self.part.read(self.name, slice(span.start, span.stop))[(inner, *others)]


def discard(path: Path) -> None:
    """Delete an unfinished result, if there is one.

    Raises
    ------
    InputError
        The file is none, or another process is writing it.
    """
    if path.exists():
        with explained(path), path.open("rb") as file:
            _lock(file, path)
            line = file.readline(_LONGEST_HEAD)
            if not (line and _is_torn(line)):
                _settings(path, line)
            path.unlink()


def _is_torn(line: bytes) -> bool:
    """Whether a file ends inside its first line, or was never filled: it was begun by a process that was killed."""
    begins = json.dumps({"format": _FORMAT})[:-1].encode()
    return not line.strip(b"\0") or (not line.endswith(b"\n") and line[: len(begins)] == begins[: len(line)])


def _settings(path: Path, line: bytes) -> dict[str, Any]:
    try:
        head = json.loads(line)
        if head["format"] == _FORMAT:
            return dict(head["settings"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputError(f"{path}: is no unfinished result of msfit, or a damaged one; delete it or choose another output")


def _compare(path: Path, line: bytes, wanted: dict[str, Any]) -> None:
    found = _settings(path, line)
    other = {name for name in {*found, *wanted} if found.get(name) != wanted.get(name)}
    if other:
        named = sorted(other - {"maps"}) or ["set of maps"]  # which follows from the others
        raise InputError(
            f"{path}: an unfinished fit with another {', '.join(named)}; finish it as it was begun, or give it up and"
            " start anew with --no-resume (resume=False)"
        )


def _lock(file: BinaryIO, path: Path) -> None:
    with contextlib.suppress(ImportError):  # Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path}: another process is writing it; wait for it or choose another output") from None
        except OSError:  # a file system without locks
            return


def _checksum(start: int, stop: int, content: list[Any]) -> int:
    checksum = zlib.crc32(struct.pack("<QQ", start, stop))
    for piece in content:
        checksum = zlib.crc32(piece, checksum)
    return checksum
