"""White and dark references: they turn counts into reflectance, ``(counts - dark) / (white - dark)``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.lazy_arrays import RowFunction, is_lazy, lazy_rows, read_rows
from msfit.data.wavelengths import check_wavelengths, interpolated
from msfit.errors import InputError
from msfit.io.scan import Scan
from msfit.io.text import read_columns

Reader = Callable[[Path], Scan]

_TEXTS = (".csv", ".txt", ".dat", ".tsv")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")
_PATCH = re.compile(r"(\d+):(\d+),(\d+):(\d+)")


def calibrated(scan: Scan, white: Any, dark: Any, read: Reader) -> Scan:
    """The scan with a white reference as its illuminant.

    Parameters
    ----------
    scan : Scan
        Counts or radiance.
    white : patch, path or array
        A patch of the picture that shows the white standard, ``"y0:y1,x0:x1"`` or ``((y0, y1), (x0, x1))``, ends
        excluded: the median of its pixels is taken, and bands that are saturated there get no light. A file: a
        picture of the standard, or a spectrum (two columns of text, wavelength [nm] and value). An array (band,) or
        of the shape of the values. The standard counts as reflecting everything. "checker": a ColorChecker Classic in
        the picture, whose white patch has a known reflectance (`msfit.io.checker`).
    dark : number, patch, path or array, optional
        What the sensor gives without light, in the same forms.
    read : callable
        Reads a file as a Scan.

    Raises
    ------
    InputError
        A patch outside the picture; a reference of another shape or other wavelengths; no light in it.
    """
    if white is None:
        raise InputError("dark: given without a white reference; expected both: add --white (white=...)")
    offset = None if dark is None else _double(_reference("dark", dark, scan, read))
    told = _told(white)
    if isinstance(white, str) and white == "checker":
        from msfit.io.checker import checker_white

        light, told = checker_white(scan, offset)
        told = f"white patch of a ColorChecker, {told}"
    else:
        light = _double(_reference("white", white, scan, read))
        if offset is not None:
            light = light - offset
    if not is_lazy(light) and not (light > 0).any():
        raise InputError(
            "white: saturated, or nowhere brighter than the dark reference; expected a bright white standard"
        )
    remarks_of_exposure = ""
    if (ratio := _exposure_ratio(white, scan, read)) != 1:
        light, remarks_of_exposure = (
            light * ratio,
            f"white reference scaled by {ratio:.4g}: the headers' integration times",
        )
    unlit = 0
    if light.ndim == 1:
        usable = (light > 0) & np.isfinite(light)
        light, unlit = np.where(usable, light, np.nan), int(np.count_nonzero(~usable))
    remarks: dict[str, Any] = {"white": told} | ({} if dark is None else {"dark": _told(dark)})
    note = f"{unlit} bands without a usable white reference get no weight" if unlit else ""
    if note or remarks_of_exposure:
        remarks["note"] = "; ".join(filter(None, [scan.provenance.get("note"), note, remarks_of_exposure]))
    return replace(scan, quantity="radiance", illuminant=light, dark=offset, provenance={**scan.provenance, **remarks})


def _exposure_ratio(white: Any, scan: Scan, read: Reader) -> float:
    """Integration time of the picture over that of the white reference, where the headers of both state one."""
    if "tint" not in scan.provenance or not isinstance(white, str | Path) or not Path(white).is_file():
        return 1.0
    if Path(white).suffix.lower() in _TEXTS or "tint" not in (of_white := read(Path(white)).provenance):
        return 1.0
    try:
        own, its = float(scan.provenance["tint"]), float(of_white["tint"])
    except ValueError:
        return 1.0
    return own / its if own > 0 and its > 0 else 1.0


def _reference(name: str, given: Any, scan: Scan, read: Reader) -> Any:
    shape: tuple[int, ...] = tuple(scan.values.shape)
    if isinstance(given, str) and (match := _PATCH.fullmatch(given.replace(" ", ""))):
        y0, y1, x0, x1 = map(int, match.groups())
        return _patch(name, ((y0, y1), (x0, x1)), scan)
    if isinstance(given, tuple) and len(given) == 2 and all(_is_range(ends) for ends in given):
        return _patch(name, given, scan)
    if isinstance(given, str) and name == "dark" and _NUMBER.fullmatch(given.strip()):
        given = float(given)
    if isinstance(given, str | Path):
        return _from_file(name, Path(given), scan, read)
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim == 0 and name == "dark":
        return np.full(shape[-1], found)
    if tuple(found.shape) not in (shape[-1:], shape):
        raise InputError(
            f"{name}: found shape {found.shape}; expected a patch y0:y1,x0:x1, a file, or an array {shape[-1:]}"
            f" or {shape}"
        )
    return found


def _double(reference: Any) -> Any:
    return reference.astype(np.float64) if is_lazy(reference) else np.asarray(reference, dtype=np.float64)


def _is_range(ends: Any) -> bool:
    return isinstance(ends, tuple | list) and len(ends) == 2 and all(isinstance(end, int | np.integer) for end in ends)


def _patch(name: str, corners: Any, scan: Scan) -> np.ndarray:
    (y0, y1), (x0, x1) = corners
    shape = tuple(scan.values.shape)
    if len(shape) != 3:
        raise InputError(f"{name}: a patch, but the file holds {shape[0]} spectra and no picture; expected a file")
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise InputError(
            f"{name}: patch {y0}:{y1},{x0}:{x1} does not lie inside the picture of {shape[0]} x {shape[1]}"
        )
    return _median(read_rows(scan.values[:, x0:x1], slice(y0, y1)), scan.saturation)


def _median(samples: np.ndarray, saturation: float | None) -> np.ndarray:
    """One spectrum (band,); a band whose median is saturated is NaN."""
    if saturation is None and samples.dtype.kind in "ui":
        saturation = float(np.iinfo(samples.dtype).max)
    found = np.median(samples.reshape(-1, samples.shape[-1]).astype(np.float64), axis=0)
    return found if saturation is None else np.where(found < saturation, found, np.nan)


def _from_file(name: str, path: Path, scan: Scan, read: Reader) -> Any:
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{name}: no such file {path}, nor a patch y0:y1,x0:x1")
    try:
        text = _text_spectrum(path)
        found = read(path) if text is None else text
        wavelengths = check_wavelengths(found.wavelengths)
    except InputError as error:
        raise InputError(f"{name}: {path}: {error}") from None
    values, shape = found.values, tuple(scan.values.shape)
    if text is not None:
        return interpolated(name, values[0], wavelengths, scan.wavelengths)
    if values.shape[-1] != shape[-1] or not np.allclose(wavelengths, scan.wavelengths, rtol=0, atol=0.5):
        raise InputError(f"{name}: {path} holds other wavelengths than the picture; expected the same bands")
    if tuple(values.shape) == shape:
        return _unsaturated(values, found.saturation)
    if values.ndim == 3 and len(shape) == 3 and values.shape[1] == shape[1]:
        # A line scanner's reference: few lines, each column with a sensitivity of its own.
        lines = _unsaturated(np.asarray(values), found.saturation)
        line = np.median(lines, axis=0)
        if not is_lazy(scan.values):
            return np.broadcast_to(line, shape)
        return lazy_rows(
            RowFunction(lambda rows: np.broadcast_to(line, (rows.stop - rows.start, *line.shape)), shape, line.dtype)
        )
    if values.ndim == 3 and values.shape[0] * values.shape[1] > 1 and len(shape) == 3:
        raise InputError(
            f"{name}: {path} is a picture {tuple(values.shape)}; expected the size {shape}, or one spectrum"
        )
    return _median(np.asarray(values), found.saturation)


def _unsaturated(values: Any, saturation: float | None) -> Any:
    if saturation is None and values.dtype.kind in "ui":
        saturation = float(np.iinfo(values.dtype).max)
    return values if saturation is None else np.where(values < saturation, values, np.nan)


def _text_spectrum(path: Path) -> Scan | None:
    """Two columns of numbers, wavelength [nm] and value, after any lines of heading; None for other files."""
    if path.suffix.lower() not in _TEXTS:
        return None
    try:
        table = read_columns(path, 2)
    except InputError as error:
        raise InputError(f"no spectrum; expected two columns, wavelength [nm] and value: {error}") from None
    if len(table) < 2:
        raise InputError("no spectrum: one row; expected two columns, wavelength [nm] and value")
    return Scan(table[:, 1][None], table[:, 0], "counts")


def _told(given: Any) -> str:
    return str(given) if isinstance(given, str | Path | tuple | int | float) else "array"
