"""MATLAB files as plain nested dicts: structs are dicts, cells lists, text str, numbers arrays of MATLAB's shape."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from msfit.errors import InputError, said
from msfit.io.mat73 import LARGEST_RATIO, names73, read73

_HEADER = 128
_TAG = 8
_COMPRESSED, _MATRIX = 15, 14
_HDF5 = b"\x89HDF\r\n\x1a\n"


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
        return names73(path)
    _check_elements(path)
    found = _scipy(path, "whosmat")
    for name, shape, _ in found:
        if np.prod([float(n) for n in shape]) > LARGEST_RATIO * path.stat().st_size:
            raise InputError(
                f"damaged: variable {name} claims {' x '.join(map(str, shape))} samples; get the file anew"
            )
    return [name for name, _, _ in found]


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
    present = mat_variables(path)
    wanted = present if names is None else [name for name in names if name in present]
    if is_hdf5(path):
        return read73(path, wanted)
    found = _scipy(path, "loadmat", variable_names=wanted) if wanted else {}
    return {name: _plain(found[name]) for name in wanted if name in found}


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, with or without the 512 bytes that MATLAB puts before it."""
    with path.open("rb") as file:
        head = file.read(512 + len(_HDF5))
    return head.startswith(_HDF5) or head[512:] == _HDF5


def _scipy(path: Path, function: str, **options: Any) -> Any:
    import scipy.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(scipy.io, function)(str(path), **options)
    except OSError as error:
        if error.errno:
            raise InputError(f"cannot be read: {error.strerror}") from None
        raise InputError(f"damaged or cut short ({error}); get the file anew") from None
    except NotImplementedError:
        raise InputError("a MAT file of a version that cannot be read; save it again with MATLAB's -v7") from None
    except Exception as error:  # scipy's parser meets damaged bytes with whatever they cause
        raise InputError(f"no MAT file that can be read ({said(error)}); get the file anew, or save it again") from None


def _check_elements(path: Path) -> None:
    """Walk the elements of a version 5 to 7 file: a file that was cut short ends inside one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        if order is None:
            if len(header) < _HEADER and header.startswith(b"MATLAB"):
                raise InputError(f"cut short: {size} bytes are not even a MAT header; get the file anew")
            return
        position = _HEADER
        while position < size:
            file.seek(position)
            tag = file.read(_TAG)
            if len(tag) < _TAG:
                raise InputError(f"cut short: it ends inside the variable at byte {position}; get the file anew")
            kind, count = struct.unpack(order + "II", tag)
            if kind not in (_COMPRESSED, _MATRIX):
                raise InputError(f"damaged: an element of unknown kind {kind} at byte {position}; get the file anew")
            if position + _TAG + count > size:
                raise InputError(
                    f"cut short: the variable at byte {position} needs {count} bytes, {size - position - _TAG} are"
                    " left; get the file anew"
                )
            position += _TAG + count


def _plain(value: Any) -> Any:
    from scipy.io.matlab import MatlabFunction, MatlabOpaque

    if isinstance(value, MatlabFunction | MatlabOpaque) or not isinstance(value, np.ndarray):
        return None
    if value.dtype.names:
        items = [{name: _plain(item[name]) for name in value.dtype.names} for item in value.ravel(order="F")]
        return items[0] if len(items) == 1 else items
    if value.dtype == object:
        return [_plain(item) for item in value.ravel(order="F")]
    if value.dtype.kind == "U":
        lines = [str(line) for line in value.ravel()]
        return "\n".join(lines)
    return value
