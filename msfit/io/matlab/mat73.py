"""MATLAB files of version 7.3: HDF5 with MATLAB's conventions.

Arrays are stored with their axes turned round, text as uint16 characters, structs as groups, cells and arrays of
structs as references, and an empty array as its shape with the attribute MATLAB_empty.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.lazy_arrays import CUT, STRIP
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.inside import outside_of
from msfit.io.matlab.unreadable import Unreadable, check_sparse

# MATLAB's own groups, which hold what references point to.
_HIDDEN = ("#refs#", "#subsystem#")
_DEEPEST, _MOST = 32, 10_000  # values inside values, and all of them
# What HDF5's usual filters can at most shrink: shapes that promise more than this many bytes a byte are corrupt.
LARGEST_RATIO = 1100
# MATLAB's classes whose content lies in its own subsystem.
_OBJECTS = ("string", "table", "timetable", "datetime", "duration", "categorical", "containers.Map", "function_handle")
_LARGE = 2**26  # bytes from which on an array stays in the file until its samples are needed


def names(path: Path) -> list[str]:
    """Names of the variables."""
    return _opened(path, lambda file: [name for name in file if name not in _HIDDEN])


def read(path: Path, wanted: list[str] | None) -> dict[str, Any]:
    """Variables by name, in the plain form of `msfit.io.matlab.mat.read_mat`."""

    def chosen(file: Any) -> dict[str, Any]:
        source = _Source(file, LARGEST_RATIO * path.stat().st_size, _as_stored(file))
        return source.members(file, [n for n in file if n not in _HIDDEN and (wanted is None or n in wanted)], 0)

    return _opened(path, chosen)


@dataclass
class _Source:
    """An open file: bytes that an array may claim, whether arrays lie as they are meant, values that were met."""

    file: Any
    limit: int
    as_stored: bool
    count: int = 0

    def members(self, group: Any, names: Iterable[str], depth: int) -> dict[str, Any]:
        """Those of a group, in plain form; what lies in other files is not read."""
        names, elsewhere = list(names), outside_of(group)
        self.promise(len(names))
        return {
            name: Unreadable(elsewhere[name]) if name in elsewhere else _plain(group[name], self, depth)
            for name in names
        }

    def referenced(self, references: np.ndarray, depth: int) -> list[Any]:
        """What references (n,) point to, None where that is nothing."""
        self.promise(references.size)
        return [_plain(self.file[one], self, depth) if one else None for one in references]

    def promise(self, count: int) -> None:
        """Refuse more values than a file of spectra has, before they are read: references may lead to each other."""
        self.count += count
        if self.count > _MOST:
            raise InputError(f"damaged, or more than {_MOST:,} values in cells and structs; save the spectra alone")


def _opened(path: Path, read: Any) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return read(file)
    except InputError:
        raise
    except Exception as error:  # h5py meets damaged bytes with whatever they cause
        raise InputError(f"damaged or cut short ({said(error)}); get the file anew") from None


def _plain(item: Any, source: _Source, depth: int) -> Any:
    import h5py

    if depth > _DEEPEST:
        raise InputError("damaged: structs inside structs without end; get the file anew")
    if isinstance(item, h5py.Group):
        if "MATLAB_object_decode" in item.attrs:
            return Unreadable(f"an object of MATLAB's class {_class(item)}")
        if "MATLAB_sparse" in item.attrs:
            return _sparse(item)
        return _struct(source.members(item, item, depth + 1), item)
    kind = _class(item)
    if kind in _OBJECTS or "MATLAB_object_decode" in item.attrs:
        return Unreadable(f"an object of MATLAB's class {kind}")
    if item.attrs.get("MATLAB_empty", 0):
        shape = tuple(int(n) for n in np.asarray(item[()]).ravel())
        return {"char": "", "cell": [], "struct": []}.get(kind) if kind in ("char", "cell", "struct") else _empty(shape)
    if item.size * item.dtype.itemsize > source.limit:
        raise InputError(f"damaged: {item.name} claims an array of shape {item.shape}; get the file anew")
    if item.size * item.dtype.itemsize >= _LARGE and item.dtype.kind in "biuf" and item.ndim > 1:
        return _lazy(item, source.as_stored)
    stored = item[()]
    if item.dtype == h5py.ref_dtype:
        return source.referenced(np.asarray(stored).ravel(), depth + 1)
    found = np.asarray(stored) if source.as_stored else np.asarray(stored).T
    if kind == "char":
        lines = np.atleast_2d(found)
        return "\n".join("".join(chr(code) for code in line) for line in lines)
    if found.dtype.names == ("real", "imag"):
        return found["real"] + 1j * found["imag"]
    if found.dtype.kind not in "buif":
        return Unreadable(f"data of the type {found.dtype}")
    return np.atleast_2d(found)


@dataclass(frozen=True)
class _Stored:
    """An array in a file that is opened for each block that is read."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        return _opened(self.path, lambda file: np.asarray(file[self.name][index]))


def _lazy(item: Any, as_stored: bool) -> Any:
    """A dask array of MATLAB's shape in the file's chunks; where it has none, in strips of MATLAB's rows."""
    stored = _Stored(Path(item.file.filename), item.name, item.shape, item.dtype)
    strip = max(1, STRIP * item.shape[-1] // item.size)
    name = ("mat-" if item.chunks else CUT) + uuid.uuid4().hex
    lazy = need("dask.array").from_array(stored, chunks=item.chunks or (*item.shape[:-1], strip), name=name)
    return lazy if as_stored else lazy.T


def _sparse(group: Any) -> np.ndarray:
    """A sparse matrix, written out."""
    if "jc" not in group:
        raise InputError(f"damaged: {group.name} is a sparse matrix without columns; get the file anew")
    starts = group["jc"][()].astype(np.int64).ravel()
    shape = (int(group.attrs["MATLAB_sparse"]), starts.size - 1)
    check_sparse(shape)
    found = np.zeros(shape)
    if "ir" in group and "data" in group:  # without any element they are absent
        columns = np.repeat(np.arange(shape[1]), np.diff(starts))
        found[group["ir"][()].astype(np.int64).ravel(), columns] = group["data"][()].ravel()
    return found


def _as_stored(file: Any) -> bool:
    """Whether arrays lie as they are meant: MATLAB's own files have 512 bytes of its own in front, and name classes."""
    return file.userblock_size == 0 and not any("MATLAB_class" in item.attrs for item in file.values())


def _class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape if 0 in shape else (0, 0))


def _struct(fields: dict[str, Any], group: Any) -> Any:
    """One struct, or a list of them where every field is a list of references."""
    members = [group[name] for name in fields]
    if members and all(
        _class(member) == "" and isinstance(fields[m], list) for m, member in zip(fields, members, strict=True)
    ):
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
    return fields
