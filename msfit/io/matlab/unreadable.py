"""What is in a MATLAB file and has no plain form: neither absent, nor empty."""

from __future__ import annotations

from dataclasses import dataclass

from msfit.errors import InputError

# Elements of a sparse matrix, written out: far more than a picture has pixels.
_LARGEST = 2**27


@dataclass(frozen=True)
class Unreadable:
    """A variable that is there and cannot be read.

    Attributes
    ----------
    kind : str
        What it is, for messages, as "an object of MATLAB's class table".
    """

    kind: str


def check_sparse(shape: tuple[int, ...]) -> None:
    """Refuse a sparse matrix that would not fit into memory when it is written out."""
    if shape[0] * shape[1] > _LARGEST:
        raise InputError(f"a sparse matrix of {shape[0]} x {shape[1]}; expected at most {_LARGEST:,} elements")
