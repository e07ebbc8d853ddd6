"""MATLAB files as plain nested dicts: structs are dicts, cells lists, text str, numbers arrays of MATLAB's shape."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from msfit.io.matlab import mat4, mat5, mat73

HDF5_MARK = b"\x89HDF\r\n\x1a\n"
_FARTHEST = 1 << 20  # bytes before it, beyond which nobody looks


def mat_variables(path: Path) -> list[str]:
    """Names of a MATLAB file's variables.

    Parameters
    ----------
    path : Path
        A MAT file of version 4 to 7.3.

    Raises
    ------
    InputError
        The file is no MAT file, or damaged.
    """
    if is_hdf5(path):
        return mat73.names(path)
    file = _mapped(path)
    return [name for name, *_ in (mat5.variables(file) if _has_mark(file) else mat4.variables(file))]


def read_mat(path: Path, names: list[str] | None = None) -> dict[str, Any]:
    """Variables of a MATLAB file by name.

    Parameters
    ----------
    path : Path
        A MAT file of version 4 to 7.3.
    names : list of str, optional
        Only these; those that the file lacks are left out.

    Returns
    -------
    dict
        Structs are dicts (arrays of structs lists of them), cells lists, text str; what has no plain form is None.

    Raises
    ------
    InputError
        The file is no MAT file, or damaged.
    """
    if is_hdf5(path):
        return mat73.read(path, names)
    file = _mapped(path)
    if not _has_mark(file):
        return {name: value for name, value in mat4.variables(file) if names is None or name in names}
    return {
        name: mat5.value(element, order)
        for name, element, order in mat5.variables(file)
        if names is None or name in names
    }


def unpacked_bytes(path: Path) -> int:
    """Bytes of a file's variables, of compressed ones as they say they are."""
    if is_hdf5(path) or not _has_mark(file := _mapped(path)):
        return path.stat().st_size
    return sum(mat5.unpacked_bytes(element, order) for _, element, order in mat5.variables(file))


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5: its mark may stand after 0, 512, 1024, 2048, ... bytes; MATLAB puts 512 before it."""
    start, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while start < min(size, _FARTHEST):
            file.seek(start)
            if file.read(len(HDF5_MARK)) == HDF5_MARK:
                return True
            start = max(512, 2 * start)
    return False


def _mapped(path: Path) -> memoryview:
    """The file's bytes, read from disk as they are used."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _has_mark(file: memoryview) -> bool:
    """Version 5 to 7 says so at the end of its header; a file cut off inside the header is treated as one."""
    return bytes(file[126:128]) in (b"IM", b"MI") or bytes(file[:6]) == b"MATLAB"
