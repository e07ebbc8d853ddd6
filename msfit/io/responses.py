"""Responses of a camera's channels from a file: CSV or TSV, JSON, the rawtoaces camera format, MAT."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.channels import Channels
from msfit.errors import InputError

_FORM = "expected a table with wavelengths [nm] in the first column and a response in each other one"


def read_channels(path: Path) -> Channels:
    """Channels from a file, whose kind its ending says; see `Channels.from_file`."""
    readers = {".json": _from_json, ".mat": _from_mat}
    try:
        wavelengths, responses, names = readers.get(path.suffix.lower(), _from_table)(path)
        return Channels(responses, wavelengths, names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {_FORM}") from None


def _from_table(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"is no text; {_FORM}") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise InputError(f"is empty; {_FORM}")
    delimiter = max("\t;,", key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    names: tuple[str, ...] = ()
    if not _is_number(rows[0][0]):
        names, rows = tuple(rows[0][1:]), rows[1:]
    if delimiter != ",":  # elsewhere a comma may be decimal
        rows = [[cell.replace(",", ".") for cell in row] for row in rows]
    width = len(rows[0]) if rows else 0
    for number, row in enumerate(rows, 1):
        if len(row) != width or width < 2 or not all(_is_number(cell) for cell in row):
            raise InputError(f"row {number} is {delimiter.join(row)[:60]!r}; {_FORM}")
    table = np.array(rows, np.float64)
    if not len(table):
        raise InputError(f"has no rows; {_FORM}")
    return table[:, 0], table[:, 1:].T, names


def _from_json(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    form = 'expected {"wavelengths": [...], "responses": [[...], ...]} or the camera format of rawtoaces-data'
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"is no JSON; {form}") from None
    try:
        if "spectral_data" in held:
            spectra = held["spectral_data"]
            rows = sorted((float(nm), values) for nm, values in spectra["data"]["main"].items())
            nm, values = (np.array(part, np.float64) for part in zip(*rows, strict=True))
            # noise of the measurement goes a little below zero
            return nm, values.T.clip(min=0), tuple(spectra["index"]["main"])
        nm, values = (np.array(held[name], np.float64) for name in ("wavelengths", "responses"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"found something else; {form}") from None
    return nm, values, tuple(held.get("names", ()))


def _from_mat(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from msfit.io.matlab.mat import read_mat

    held: dict[str, Any] = read_mat(path)
    nm = next((held[name] for name in ("wavelengths", "wavelength", "wave", "wl") if name in held), None)
    responses = next((held[name] for name in ("responses", "response", "sensitivity", "data") if name in held), None)
    if nm is None or responses is None:
        raise InputError(f"holds {', '.join(held) or 'nothing'}; expected `responses` and `wavelengths`")
    nm, responses = np.asarray(nm, np.float64).ravel(), np.asarray(responses, np.float64)
    if responses.ndim == 2 and responses.shape[1] != nm.size and responses.shape[0] == nm.size:
        responses = responses.T
    return nm, responses, ()


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
