"""MATLAB files of version 4: full real or complex matrices and text, one after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from msfit.errors import InputError

_PRECISION = ("f8", "f4", "i4", "i2", "u2", "u1")
_FULL, _TEXT = 0, 1


def variables(file: memoryview) -> Iterator[tuple[str, Any]]:
    """Name and value of each variable; sparse matrices are None.

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
            yield name, None
