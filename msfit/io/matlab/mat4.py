"""MATLAB files of version 4: real or complex matrices, full or sparse, and text, one after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.io.matlab.unreadable import Unreadable, check_sparse

_PRECISION = ("f8", "f4", "i4", "i2", "u2", "u1")
_FULL, _TEXT = 0, 1


def variables(file: memoryview) -> Iterator[tuple[str, Any]]:
    """Name and value of each variable, sparse matrices written out.

    Raises
    ------
    InputError
        The file is none of this version, or ends inside a variable.
    """
    position = 0
    while position < len(file):
        if len(file) - position < 20:
            raise InputError(f"cut short: it ends inside the variable at byte {position}; get the file anew")
        order = "<" if 0 <= struct.unpack_from("<i", file, position)[0] < 5000 else ">"
        mark, rows, columns, imaginary, name_length = struct.unpack_from(order + "5i", file, position)
        precision, kind = mark // 10 % 10, mark % 10
        sound = 0 <= mark < 5000 and precision < len(_PRECISION) and kind < 3 and min(rows, columns, name_length) >= 0
        if not sound or imaginary not in (0, 1) or name_length > 1024:
            raise InputError(f"no MATLAB file, or damaged at byte {position}; get the file anew")
        dtype = np.dtype(order + _PRECISION[precision])
        start = position + 20 + name_length
        length = rows * columns * dtype.itemsize
        position = start + length * (1 + imaginary)
        if position > len(file):
            raise InputError(f"cut short: a variable of {rows} x {columns} ends {position - len(file)} bytes after it")
        name = bytes(file[start - name_length : start]).split(b"\0")[0].decode("latin-1")
        parts = [
            np.frombuffer(file[start + k * length :][:length], dtype).reshape((rows, columns), order="F")
            for k in range(1 + imaginary)
        ]
        if kind == _TEXT:
            lines = parts[0].astype(np.uint8)
            yield name, "\n".join(bytes(line).decode("latin-1") for line in lines)
        elif kind == _FULL:
            yield name, parts[0] + 1j * parts[1] if imaginary else parts[0]
        else:
            yield name, _sparse(parts[0])


def _sparse(entries: np.ndarray) -> Any:
    """A matrix from rows (row, column, value), counted from 1; the last row holds its shape.

    Complex ones have a fourth column. Source: MAT-File Format, The MathWorks, "Version 4 MAT-File Format", type 2.
    """
    if entries.ndim != 2 or entries.shape[1] != 3 or not len(entries):
        return Unreadable("a sparse matrix of complex numbers")
    whole = entries[:, :2].astype(np.int64)
    shape = (int(whole[-1, 0]), int(whole[-1, 1]))
    row, column = whole[:-1].T - 1
    if min(shape) < 0 or (row.size and (row.min() < 0 or column.min() < 0)):
        raise InputError("damaged: a sparse matrix has entries before its first; get the file anew")
    if row.size and (row.max() >= shape[0] or column.max() >= shape[1]):
        raise InputError(f"damaged: a sparse matrix of {shape[0]} x {shape[1]} has entries beyond; get the file anew")
    check_sparse(shape)
    full = np.zeros(shape)
    np.add.at(full, (row, column), entries[:-1, 2].astype(np.float64))
    return full
