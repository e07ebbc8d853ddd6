"""MATLAB files of version 4 to 7, read with every length checked against the bytes that are there.

scipy's reader trusts the lengths in the file: a damaged byte can end the whole process (scipy 1.17). This one follows
MathWorks' "MAT-File Format" (2016) and holds what spectra need: numbers, text, structs and cells.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.io.matlab.unreadable import Unreadable, check_sparse

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODED = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_NOTHING, _CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 0, 1, 2, 3, 4, 5, 16, 17
_OTHERS = {_OBJECT: "an object", _FUNCTION: "a function", _OPAQUE: "an object of a class"}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x0800
_DEEPEST = 32
# Deflate cannot shrink more than this: what promises more is corrupt.
LARGEST_RATIO = 1100

Bytes = memoryview


def variables(file: Bytes) -> Iterator[tuple[str, Bytes, str]]:
    """The variables of a version 5 to 7 file: name, bytes of the element still to be read by `value`, byte order.

    Raises
    ------
    InputError
        The file ends inside a variable, or has elements that are none.
    """
    order = "<" if bytes(file[126:128]) == b"IM" else ">"
    position = _HEADER
    while position < len(file):
        if len(file) - position < 8:
            raise InputError(f"cut short: it ends inside the variable at byte {position}; get the file anew")
        kind, count = struct.unpack_from(order + "II", file, position)
        if kind not in (_MATRIX, _COMPRESSED):
            raise InputError(f"damaged: an element of unknown kind {kind} at byte {position}; get the file anew")
        if count > len(file) - position - 8:
            raise InputError(
                f"cut short: the variable at byte {position} needs {count} bytes, {len(file) - position - 8} are left;"
                " get the file anew"
            )
        element = file[position : position + 8 + count]
        head = Bytes(_inflated(element[8:], order, head_only=True)) if kind == _COMPRESSED else element
        name = _Matrix(head[8:], order, whole=False).name
        if name:
            yield name, element, order
        position += 8 + count


def unpacked_bytes(element: Bytes, order: str) -> int:
    """Bytes of a variable, of a compressed one as it says of itself."""
    (kind,) = struct.unpack_from(order + "I", element)
    if kind != _COMPRESSED:
        return len(element)
    return int(struct.unpack_from(order + "II", _inflated(element[8:], order, head_only=True))[1])


def value(element: Bytes, order: str) -> Any:
    """What a variable holds, as `msfit.io.matlab.mat.read_mat` describes it."""
    (kind,) = struct.unpack_from(order + "I", element)
    if kind == _COMPRESSED:
        element = Bytes(_inflated(element[8:], order))
    return _Matrix(element[8:], order).value(0)


def _inflated(packed: Bytes, order: str, head_only: bool = False) -> bytes:
    """A compressed variable unpacked, no longer than its own tag says."""
    try:
        head = zlib.decompressobj().decompress(packed, 1024)
        if len(head) < 8:
            raise InputError("damaged: a compressed variable without content; get the file anew")
        kind, count = struct.unpack_from(order + "II", head)
        if kind != _MATRIX or count > LARGEST_RATIO * len(packed):
            raise InputError(f"damaged: a compressed variable claims {count} bytes; get the file anew")
        if head_only:
            return head
        inflater = zlib.decompressobj()
        found = inflater.decompress(packed, 8 + count)
        # Only at its very end does the stream tell whether all of it was sound.
        rest = inflater.decompress(inflater.unconsumed_tail, 64)
    except zlib.error as error:
        raise InputError(f"damaged: {error}; get the file anew") from None
    if len(found) < 8 + count or len(rest) > 8 or not inflater.eof:
        raise InputError("damaged: a compressed variable of another length than it says; get the file anew")
    return found


class _Matrix:
    """An array element: its flags, shape and name read at once, its content when asked."""

    def __init__(self, body: Bytes, order: str, whole: bool = True) -> None:
        self.body, self.order, self.position = body, order, 0
        if whole and len(body) == 0:
            self.kind, self.name = _NOTHING, ""
            return
        flags = self._next("u4")
        if flags.size < 1:
            raise InputError("damaged: an array without flags; get the file anew")
        self.kind, self.complex = int(flags[0]) & 0xFF, bool(int(flags[0]) & _COMPLEX)
        if self.kind == _OPAQUE:  # string, table, datetime, containers.Map: its name follows at once
            self.shape: tuple[int, ...] = ()
            self.name = self._text()
            return
        self.shape = tuple(int(length) for length in self._next("i4", "u4"))
        if len(self.shape) < 2 or min(self.shape) < 0:
            raise InputError(f"damaged: an array of shape {self.shape}; get the file anew")
        self.name = self._text()

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise InputError("damaged: structs inside structs without end; get the file anew")
        if self.kind == _NOTHING:
            return np.zeros((0, 0))
        if self.kind == _CELL:
            return [self._inner(depth) for _ in range(self._count(1))]
        if self.kind == _STRUCT:
            return self._struct(depth)
        if self.kind == _CHAR:
            return self._characters()
        if self.kind == _SPARSE:
            return self._sparse()
        if self.kind not in _NUMBERS:
            return Unreadable(_OTHERS.get(self.kind, f"an array of MATLAB's class number {self.kind}"))
        found = self._numbers()
        return found + 1j * self._numbers() if self.complex else found

    def _struct(self, depth: int) -> Any:
        width = int(self._next("i4", "u4")[:1].sum())
        packed = self._text(strip=False)
        names = [packed[k : k + width].split("\0")[0] for k in range(0, len(packed), width)] if width > 0 else []
        if not names:
            return {}
        items = [{name: self._inner(depth) for name in names} for _ in range(self._count(len(names)))]
        return items[0] if len(items) == 1 else items

    def _numbers(self) -> np.ndarray:
        stored = self._next()
        if stored.size != math.prod(self.shape):
            raise InputError(
                f"damaged: {self.name or 'an array'} of shape {self.shape} with {stored.size} samples;"
                " get the file anew"
            )
        return stored.astype(np.dtype(self.order + _NUMBERS[self.kind]).newbyteorder("="), copy=False).reshape(
            self.shape, order="F"
        )

    def _sparse(self) -> np.ndarray:
        """A sparse matrix, written out: rows of its elements, where each column begins, elements."""
        if len(self.shape) != 2:
            raise InputError(f"damaged: a sparse matrix of shape {self.shape}; get the file anew")
        rows, starts = self._next("i4", "u4"), self._next("i4", "u4")
        elements = self._elements_of_sparse()
        columns = starts.astype(np.int64)
        counts = columns[1:] - columns[:-1]
        count = int(starts[-1]) if starts.size else -1
        if (
            starts.size != self.shape[1] + 1
            or starts[0] != 0
            or (counts < 0).any()
            or count > min(rows.size, elements.size)
        ):
            raise InputError(
                f"damaged: {self.name or 'a sparse matrix'} with columns that do not fit; get the file anew"
            )
        rows = rows[:count].astype(np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise InputError(f"damaged: {self.name or 'a sparse matrix'} with rows beyond its end; get the file anew")
        check_sparse(self.shape)
        found = np.zeros(self.shape)
        found[rows, np.repeat(np.arange(self.shape[1]), counts)] = elements[:count]
        return found

    def _elements_of_sparse(self) -> np.ndarray:
        """Elements; of truth values MATLAB 6 writes one byte each and calls them doubles."""
        kind, data = self._element()
        stored = _STORED.get(kind)
        if stored is None:
            raise InputError(f"damaged: {len(data)} bytes of kind {kind} where numbers belong; get the file anew")
        if len(data) % np.dtype(stored).itemsize:
            stored = "u1"
        return np.frombuffer(data, self.order + stored)

    def _characters(self) -> str:
        kind, data = self._element()
        if kind in _ENCODED:
            codec = _ENCODED[kind] if kind == 16 else _ENCODED[kind] + ("-le" if self.order == "<" else "-be")
            letters = list(bytes(data).decode(codec, errors="replace"))
        elif kind in _STORED and _STORED[kind][0] == "u":
            codes = np.frombuffer(data, self.order + _STORED[kind])
            letters = [chr(min(int(code), 0x10FFFF)) for code in codes]
        else:
            letters = []
        rows, columns = self.shape[0], math.prod(self.shape[1:])
        if rows < 2 or len(letters) != rows * columns:
            return "".join(letters)
        return "\n".join("".join(letters[row::rows]) for row in range(rows))

    def _count(self, elements_each: int) -> int:
        """Number of cells or structs: none can be smaller than its tag."""
        count = math.prod(self.shape)
        if count * elements_each * 8 > len(self.body) - self.position:
            raise InputError(f"damaged: {self.name or 'an array'} claims shape {self.shape}; get the file anew")
        return count

    def _inner(self, depth: int) -> Any:
        kind, data = self._element()
        if kind != _MATRIX:
            raise InputError(f"damaged: found an element of kind {kind} where an array belongs; get the file anew")
        return _Matrix(data, self.order).value(depth + 1)

    def _text(self, strip: bool = True) -> str:
        text = bytes(self._element()[1]).decode("latin-1")
        return text.rstrip("\0") if strip else text

    def _next(self, *expected: str) -> np.ndarray:
        kind, data = self._element()
        stored = _STORED.get(kind)
        if stored is None or (expected and stored not in expected) or len(data) % np.dtype(stored).itemsize:
            raise InputError(f"damaged: {len(data)} bytes of kind {kind} where numbers belong; get the file anew")
        return np.frombuffer(data, self.order + stored)

    def _element(self) -> tuple[int, Bytes]:
        body, start = self.body, self.position
        if start + 8 > len(body):
            raise InputError("damaged: a variable ends too early; get the file anew")
        kind, count = struct.unpack_from(self.order + "II", body, start)
        if kind >> 16:  # four bytes or less, inside the tag itself
            count, kind, start = kind >> 16, kind & 0xFFFF, start + 4
            self.position = start + 4
            limit = min(len(body), start + 4)
        else:
            start, limit = start + 8, len(body)
            self.position = start + count + -count % 8
        if start + count > limit:
            raise InputError("damaged: a variable ends too early; get the file anew")
        return kind, body[start : start + count]
