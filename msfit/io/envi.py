"""ENVI pictures: a text header, read by the library `spectral`, beside a flat file that is read lazily."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.wavelengths import check_wavelengths, to_nanometres
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.flat import FlatArray
from msfit.io.scan import Quantity, Scan
from msfit.io.text import decode

_LARGEST_HEADER = 16_000_000


def header_of(path: Path) -> Path | None:
    """The header that belongs to an ENVI file: the file itself or the .hdr beside it; None where there is none."""
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode()
    if head.removeprefix(codecs.BOM_UTF8).startswith(b"ENVI"):
        return path
    wanted = {f"{stem}.hdr".lower() for stem in (path.stem, path.name)}
    beside = sorted(file for file in path.parent.iterdir() if file.name.lower() in wanted and file != path)
    return next((header for header in beside if header.is_file()), None)


def read_envi(path: Path, wavelengths: Any = None) -> Scan:
    """Read an ENVI picture.

    Parameters
    ----------
    path : Path
        The header or the data file.
    wavelengths : array (band,), optional
        [nm], in place of the header's.

    Returns
    -------
    Scan
        Lazy. Reflectance where the header states a reflectance scale factor or the samples are floating point, else
        counts. Bands that the header's `bbl` calls bad are left out; samples at the `data ignore value` are NaN. The
        header's `fwhm` are the widths of bands.
    """
    envi, dask = need("spectral.io.envi"), need("dask.array")
    header_path = header_of(path)
    if header_path is None:
        raise InputError("no ENVI header beside it; expected a .hdr file of the same name")
    if header_path.stat().st_size > _LARGEST_HEADER:
        raise InputError("is no ENVI header: more than 16 MB of text")
    data_path = data_of(path, header_path)
    try:
        header = _parsed(decode(header_path.read_bytes()))
        header.setdefault("byte order", "0")
        envi.check_compatibility(header)
        params = envi.gen_params(header)
        shape = (int(params.nrows), int(params.ncols), int(params.nbands))
        dtype, offset = np.dtype(params.dtype), params.offset
    except InputError:
        raise
    except Exception as error:  # spectral meets damaged headers with whatever they cause
        raise InputError(f"ENVI header that cannot be read ({type(error).__name__}: {said(error)})") from None
    if _stated(header, "file compression") not in (None, "0"):
        raise InputError(
            f"ENVI with compressed data: valid, not supported; expected {data_path.name} unpacked: gunzip it"
        )
    if "classification" in str(_stated(header, "file type")).lower():
        raise InputError("ENVI classification: numbers of classes, no spectra; expected the picture itself")
    _check_size(data_path, shape, dtype, offset)
    values = _stored(data_path, header["interleave"], shape, dtype, offset)
    if "spectral library" in str(_stated(header, "file type")).lower():
        values, shape = values[..., 0], (shape[0], 1, shape[1])  # a spectrum a line, its bands the samples
    saturation, notes = _saturation(header, dtype)
    quantity: Quantity = "counts" if dtype.kind in "ui" else "reflectance"
    if (ignored := _number(header, "data ignore value")) is not None and not np.isnan(ignored):
        values = dask.where(values == ignored, np.nan, values.astype(np.result_type(dtype, np.float32)))
    if _calibrated(header):
        if saturation is not None:
            values = dask.where(values >= saturation, np.nan, values.astype(np.result_type(dtype, np.float32)))
        values, quantity, saturation = _in_units(values, header, shape[-1]), "counts", None
    if (scale := _number(header, "reflectance scale factor")) is not None:
        if not 0 < scale < np.inf:
            raise InputError(f"reflectance scale factor: found {scale:g}; expected a positive number")
        values, quantity = values.astype(np.result_type(dtype, np.float32)) / scale, "reflectance"
        saturation = None if saturation is None else saturation / scale
    provenance: dict[str, Any] = {"format": "ENVI"}
    if (exposure := _stated(header, "tint")) is not None:
        provenance["tint"] = exposure
    good = _good_bands(header, shape[-1])
    nm = _wavelengths(header) if wavelengths is None else np.asarray(wavelengths)
    if nm.shape != (shape[-1],):
        check_wavelengths(nm, shape)
    fwhm = _widths(header, nm, notes)
    if not good.all():
        values, nm = values[..., np.flatnonzero(good)], nm[good]
        fwhm = None if fwhm is None else fwhm[good]
        notes.append(f"{np.count_nonzero(~good)} of {good.size} bands left out: the header calls them bad")
    if notes:
        provenance["note"] = "; ".join(notes)
    nm = check_wavelengths(nm)
    return Scan(values, nm, quantity, saturation=saturation, provenance=provenance, fwhm=fwhm)


def _parsed(text: str) -> dict[str, Any]:
    """The entries of a header: text, or lists of it where they stand in braces. The last of a name counts."""
    lines = iter(text.splitlines())
    if not next(lines, "").strip().startswith("ENVI"):
        raise InputError("ENVI header that cannot be read: it does not begin with ENVI; get the file anew")
    entries: dict[str, Any] = {}
    for line in lines:
        name, equals, entry = line.partition("=")
        name, entry = " ".join(name.lower().split()), entry.strip()
        if not equals or name.startswith(";"):
            continue
        if entry.startswith("{"):
            while "}" not in entry:
                more = next(lines, None)
                if more is None:
                    raise InputError(f"ENVI header that cannot be read: it ends inside {name}; get the file anew")
                entry += "\n" + more.strip()
            inner = entry[1 : entry.index("}")].strip()
            entries[name] = inner if name == "description" else [piece.strip() for piece in inner.split(",")]
        else:
            entries[name] = entry
    return entries


def _stated(header: dict[str, Any], name: str) -> str | None:
    """One word of the header, in braces or not; None where it is absent or empty."""
    entry = header.get(name)
    return (entry[0] if isinstance(entry, list) else entry) or None


def _saturation(header: dict[str, Any], dtype: np.dtype) -> tuple[float | None, list[str]]:
    """The level at which samples saturate, in the file's numbers: of the type, or a lower one that is stated."""
    level = float(np.iinfo(dtype).max) if dtype.kind in "ui" else None
    notes = []
    for name in ("ceiling", "bit depth"):
        if (number := _number(header, name)) is None or not number > 0:
            continue
        number = 2 ** min(number, 64) - 1 if name == "bit depth" else number
        if "reflectance scale factor" in header or level is None:
            notes.append(f"{name} in the header is not used: the samples are no counts")
        elif number < level:
            level = number
            notes.append(f"samples from {number:g} on are saturated: {name} in the header")
    return level, notes


def data_of(path: Path, header: Path) -> Path:
    """The data file of an ENVI picture, given either of its files, and its header."""
    if path != header:
        return path
    stem = header.with_suffix("")
    beside = {file.name.lower(): file for file in sorted(header.parent.iterdir()) if file != header and file.is_file()}
    for end in ("", ".img", ".dat", ".raw", ".bsq", ".bil", ".bip", ".hyspex", ".bin", ".sli"):
        if (stem.name + end).lower() in beside:
            return beside[(stem.name + end).lower()]
    if f"{stem.name}.gz".lower() in beside or f"{stem.name}.img.gz".lower() in beside:
        raise InputError("ENVI with compressed data: valid, not supported; expected the data unpacked: gunzip them")
    raise InputError(f"ENVI header without its data; expected {stem.name} or {stem.name}.img, .dat, .raw beside it")


def _check_size(data: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int) -> None:
    if min(shape) < 1 or offset < 0:
        raise InputError(
            f"ENVI header: {shape} lines, samples and bands after {offset} bytes; expected positive numbers"
        )
    expected = offset + dtype.itemsize * shape[0] * shape[1] * shape[2]
    if data.stat().st_size < expected:
        with data.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if packed:
            raise InputError(
                f"ENVI with compressed data: valid, not supported; expected {data.name} unpacked: gunzip it"
            )
        raise InputError(
            f"cut short: {data.name} holds {data.stat().st_size} bytes, its header promises {expected};"
            " get the file anew"
        )


def _stored(data: Path, interleave: Any, shape: tuple[int, int, int], dtype: np.dtype, offset: int) -> Any:
    """The file's samples as a dask array (y, x, band)."""
    lines, samples, bands = shape
    layouts = {
        "bsq": ((bands, lines, samples), (1, 2, 0)),
        "bil": ((lines, bands, samples), (0, 2, 1)),
        "bip": ((lines, samples, bands), (0, 1, 2)),
    }
    if str(interleave).lower() not in layouts:
        raise InputError(f"interleave: found {interleave!r}; expected bsq, bil or bip")
    stored, axes = layouts[str(interleave).lower()]
    return FlatArray(data, stored, dtype, offset).lazy(axis=axes[0]).transpose(axes)


def _wavelengths(header: dict[str, Any]) -> np.ndarray:
    if "wavelength" not in header:
        raise InputError("no wavelengths: the ENVI header states none: --wavelengths 400:700:10 or FILE (wavelengths=)")
    return to_nanometres(_numbers(header, "wavelength"), _stated(header, "wavelength units"))


def _widths(header: dict[str, Any], nm: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """Full widths at half maximum (band,) [nm]; None where the header states none, or what cannot be widths."""
    if "fwhm" not in header:
        return None
    # in the unit of the wavelengths: small numbers, which alone would not show it
    try:
        widths = _numbers(header, "fwhm")
        unit = 1.0
        if "wavelength" in header:
            own = _numbers(header, "wavelength")
            unit = float(to_nanometres(own, _stated(header, "wavelength units"))[0] / own[0])
    except InputError:
        widths, unit = np.zeros(0), 1.0
    widths = widths * unit
    if widths.shape != nm.shape or not (np.isfinite(widths).all() and (widths > 0).all()):
        notes.append("fwhm in the header is not used: expected a positive width for each band")
        return None
    return widths


def _good_bands(header: dict[str, Any], bands: int) -> np.ndarray:
    if "bbl" not in header:
        return np.ones(bands, bool)
    good = _numbers(header, "bbl") != 0
    if good.size != bands:
        raise InputError(f"bbl: found {good.size} entries for {bands} bands; expected one a band")
    if not good.any():
        raise InputError("bbl: the header calls every band bad; expected some good ones")
    return good


def _calibrated(header: dict[str, Any]) -> bool:
    return any(name in header for name in ("data gain values", "data offset values"))


def _in_units(values: Any, header: dict[str, Any], bands: int) -> Any:
    """Stored numbers times the header's gains plus its offsets, one a band."""
    for name, neutral in (("data gain values", 1.0), ("data offset values", 0.0)):
        factors = _numbers(header, name) if name in header else np.full(bands, neutral)
        if factors.size != bands:
            raise InputError(f"{name}: found {factors.size} for {bands} bands; expected one a band")
        values = values * factors if neutral else values + factors
    return values


def _number(header: dict[str, Any], name: str) -> float | None:
    return float(_numbers(header, name)[0]) if name in header else None


def _numbers(header: dict[str, Any], name: str) -> np.ndarray:
    entry = header[name]
    try:
        found = np.array([float(number) for number in (entry if isinstance(entry, list) else [entry])])
    except ValueError:
        stated = repr(entry) if len(repr(entry)) < 60 else f"{repr(entry)[:57]}..."
        raise InputError(f"{name}: found {stated} in the ENVI header; expected numbers") from None
    if found.size == 0:
        raise InputError(f"{name}: nothing stated in the ENVI header; expected numbers")
    return found
