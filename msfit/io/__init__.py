"""Files in, cubes out: `load` finds out what a file is and reads it.

In: a path. One file here reads one family of formats into a `Scan` (values, wavelengths, light and
mask as they stand in the file).
Out: a `Cube`, lazily where the format allows; `results` writes and reads FitResult.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import check_chunks, flat_light
from msfit.data.low_rank import LinearSpectra
from msfit.data.memory import parse_size, resident, told
from msfit.errors import InputError, names_nearest
from msfit.io.scan import Scan

_ZARR = ("zarr.json", ".zgroup", ".zarray")
_FORMATS = "MATLAB, ENVI, NPZ, NPY, HDF5, NetCDF, Zarr, a table of spectra (CSV, XLSX), or a folder of band images"

_UNPACK, _PICTURES = "unpack it", "put pictures of single bands into a folder, their wavelengths in their names"
# Beginnings of files that are sound and hold something else, or hold it in another way.
_OTHERS = {
    b"\x1f\x8b": ("packed by gzip", "gunzip it"),
    b"BZh": ("packed by bzip2", _UNPACK),
    b"\xfd7zXZ": ("packed by xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", _UNPACK),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACK),
    b"Rar!": ("a rar archive", _UNPACK),
    b"\x0e\x03\x13\x01": ("HDF4", "convert it to HDF5: h4toh5"),
    b"SIMPLE  =": ("FITS", "convert it to HDF5 or NetCDF"),
    b"\x89PNG": ("one picture", _PICTURES),
    b"II*\0": ("one TIFF", _PICTURES),
    b"MM\0*": ("one TIFF", _PICTURES),
    b"II+\0": ("one TIFF", _PICTURES),
    b"\xff\xd8\xff": ("a photograph", "see biofacenet predict"),
    b"BM": ("one picture", _PICTURES),
    b"\x80\x04": ("a Python pickle, which may run anything", "save it with numpy.savez"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "git lfs pull"),
    b"# Created by Octave": ("Octave's text", "save it with 'save -v7'"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save it as .xlsx or CSV"),
    b"PAR1": ("Parquet", "save it as CSV"),
    b"ARROW1": ("Feather", "save it as CSV"),
    b"Octave-1": ("Octave's own binary", "save it with 'save -v7'"),
    b"\x80\x05": ("a Python pickle, which may run anything", "save it with numpy.savez"),
}


@names_nearest
def load(
    path: str | Path,
    *,
    variable: str | None = None,
    orientation: str | None = None,
    wavelengths: Any = None,
    white: Any = None,
    dark: Any = None,
    saturation: float | None = None,
    scale: float | None = None,
    memory: int | str | None = None,
) -> Cube:
    """Read spectra from a file, whatever its format: what it is shows in its content, not in its name.

    ENVI, HDF5, NetCDF and Zarr files, and large arrays in MATLAB files of version 7.3, are read lazily, block by block
    when their rows are needed.

    Parameters
    ----------
    path : str or Path
        MATLAB (ISET scenes; reflectance with wavelengths), ENVI (header or data file; spectral libraries), NPZ, NPY,
        HDF5, NetCDF, Zarr, a table of spectra (CSV, TSV, other text; XLSX), or a folder of band images.
    variable : str, optional
        Name of the array to read, where the file holds several or an unusual one; of a workbook its sheet.
    orientation : {"bands-last", "bands-first"}, optional
        Which axis holds the bands, where the number of pixels equals the number of bands.
    wavelengths : array (band,), optional
        Band centres [nm], in place of the file's or where it has none.
    white : patch, path or array, optional
        White reference, which turns counts or radiance into reflectance: a patch ``"y0:y1,x0:x1"`` (or
        ``((y0, y1), (x0, x1))``) of the picture, a file, or an array (band,) or of the picture's shape. It counts as
        reflecting everything. "checker": a ColorChecker Classic in the picture (extra `checker`), whose white patch
        has a known reflectance. "unknown": the values as they are recorded, under a light of one level in all bands,
        for `msfit.estimate_illuminant`.
    dark : number, patch, path or array, optional
        What the sensor gives without light, subtracted from picture and white reference.
    saturation : float, optional
        Samples at or above this level, in the file's numbers, are saturated; by default at the largest value of an
        integer type.
    scale : float, optional
        The file's numbers are divided by it: 100 where they are percent, 10000 as in many products of satellites. What
        would be counts is reflectance then.
    memory : int or str, optional
        What the process may occupy, such as "1GiB": a file that cannot be read within it, chunk by chunk or whole, is
        refused before it is read.

    Returns
    -------
    Cube
        Radiance with its illuminant, or reflectance [1].

    Raises
    ------
    InputError
        The file is missing, unreadable, damaged, of an unknown kind, or holds no spectra that `Cube` accepts.
    """
    path = Path(path).expanduser()
    try:
        budget = None if memory is None else parse_size(memory)
        if budget is not None:
            _check_whole(path, budget)
        scan = _read(path, variable, orientation, wavelengths)
        if budget is not None:
            check_chunks(scan.values, budget)
            _check_mask(scan, budget)
        scan = replace(scan, provenance={"source": str(path), **scan.provenance})
        if saturation is not None:
            if not math.isfinite(saturation):
                raise InputError(f"saturation: found {saturation}; expected a level in the file's numbers")
            scan = replace(scan, saturation=float(saturation))
        if scale is not None:
            scan = _scaled(scan, scale, white)
        if white is not None or dark is not None:
            from msfit.io.white import calibrated

            unknown = isinstance(white, str) and white == "unknown"
            scan = calibrated(scan, flat_light(scan.values) if unknown else white, dark, _read)
        return scan.to_cube()
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"{path}: does not fit into memory") from None


def files_of(path: str | Path) -> list[Path]:
    """The files that hold a scene: one, an ENVI header with its data, or all files of a folder."""
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if _kind(path) == "ENVI":
        from msfit.io.envi import data_of, header_of

        header = header_of(path)
        return [path] if header is None else [header, data_of(path, header)]
    return [path]


def read_in_blocks(path: str | Path) -> bool:
    """Whether a scene is read block by block, so that it may be larger than memory; False where nothing can read it."""
    from msfit.io.matlab.mat import is_hdf5

    path = Path(path)
    try:
        kind = _kind(path)
        return kind in ("dataset", "ENVI") or (kind == "MATLAB" and is_hdf5(path))
    except (InputError, OSError):
        return False


def _scaled(scan: Scan, scale: float, white: Any) -> Scan:
    """The scan with its numbers divided by a stated scale."""
    if isinstance(scale, bool) or not isinstance(scale, int | float | np.number) or not 1e-30 < scale < 1e30:
        raise InputError(f"scale: found {scale!r}; expected a positive number, as 100 for percent")
    if white is not None:
        raise InputError("scale: given beside a white reference, which cancels it; expected one of them")
    values, level = scan.values, scan.saturation
    if isinstance(values, LinearSpectra):
        raise InputError("scale: found coefficients of spectra; expected samples: leave scale out")
    if values.dtype.kind in "ui" and level is None:
        level = float(np.iinfo(values.dtype).max)
    values = values.astype(np.result_type(values.dtype, np.float32))
    values = values / values.dtype.type(scale)
    return replace(
        scan,
        values=values,
        quantity="reflectance" if scan.quantity == "counts" else scan.quantity,
        saturation=None if level is None else level / scale,
        provenance={**scan.provenance, "scale": float(scale)},
    )


def _check_whole(path: Path, memory: int) -> None:
    """Refuse a file that would be read as a whole and is too large for that."""
    if not path.exists() or read_in_blocks(path):
        return
    needed = _bytes_when_read(path) + resident()
    if needed > memory:
        raise InputError(
            f"{_kind(path)} files are read whole, which takes at least {told(needed)} of memory; expected at most"
            f" {told(memory)}: convert it to HDF5, Zarr or ENVI, or allow more"
        )


def _check_mask(scan: Scan, memory: int) -> None:
    """Refuse a mask that does not fit into memory: it is kept for all of the picture, a byte a pixel."""
    if scan.mask is None:
        return
    needed = math.prod(scan.values.shape[:-1]) + resident()
    if needed > memory:
        raise InputError(
            f"its mask takes at least {told(needed)} of memory; expected at most {told(memory)}: allow more"
        )


def _bytes_when_read(path: Path) -> int:
    """What a file that is read whole takes while it is read: unpacked, and once more as it is put in order."""
    kind = _kind(path)
    if kind == "numpy" and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return 2 * sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise InputError(f"damaged or no plain numpy file ({error}); get the file anew") from None
    if kind == "MATLAB":
        from msfit.io.matlab.mat import unpacked_bytes

        return 2 * unpacked_bytes(path)
    return sum(file.stat().st_size for file in files_of(path))


def _read(path: Path, variable: str | None = None, orientation: str | None = None, wavelengths: Any = None) -> Scan:
    if not path.exists():
        raise InputError("no such file; expected spectra: check the path")
    kind = _kind(path)
    if kind == "MATLAB":
        from msfit.io.matlab.iset import read_iset

        return read_iset(path, variable, orientation, wavelengths)
    if kind == "numpy":
        from msfit.io.arrays import read_npz

        return read_npz(path, variable, orientation, wavelengths)
    if kind == "dataset":
        from msfit.io.arrays import read_dataset

        return read_dataset(path, variable, orientation, wavelengths)
    if kind == "ENVI":
        from msfit.io.envi import read_envi

        return read_envi(path, wavelengths)
    if kind == "table":
        from msfit.io.spectra_table import read_table

        return read_table(path, variable, wavelengths)
    from msfit.io.bands import read_bands

    return read_bands(path, wavelengths)


def _kind(path: Path) -> str:
    """What a file is, by its content."""
    if path.is_dir():
        zarr = any((path / name).exists() for name in _ZARR)
        return "dataset" if zarr else "bands"
    if path.stat().st_size == 0:
        raise InputError("is empty; expected spectra: get the file anew")
    from msfit.io.matlab.mat import HDF5_MARK, is_hdf5
    from msfit.io.spectra_table import is_table, is_workbook

    with path.open("rb") as file:
        head = file.read(128)
    if head.startswith(b"MATLAB") or head[126:128] in (b"IM", b"MI"):
        return "MATLAB"
    if head.startswith(HDF5_MARK) or is_hdf5(path):  # which looks behind a block of the user's too
        return "MATLAB" if path.suffix.lower() == ".mat" else "dataset"
    if head.startswith(b"CDF"):
        return "dataset"
    if head.startswith(b"\x93NUMPY"):
        return "numpy"
    if zipfile.is_zipfile(path):
        if is_workbook(path):
            return "table"
        _check_zip(path)
        return "numpy"
    from msfit.io.envi import header_of

    if header_of(path) is not None:
        return "ENVI"
    for mark, (what, instead) in _OTHERS.items():
        if head.startswith(mark):
            raise InputError(f"is {what}: valid, not supported; expected {_FORMATS}: {instead}")
    if path.suffix.lower() == ".mat" and 0 in head[:4]:
        return "MATLAB"  # version 4, which has no mark of its own
    if path.suffix.lower() != ".mat" and is_table(path):
        return "table"
    what = "no MATLAB file" if path.suffix.lower() == ".mat" else "of an unknown kind"
    raise InputError(f"is {what} (it begins with {head[:16]!r}); expected {_FORMATS}: get the file anew, or convert it")


def _check_zip(path: Path) -> None:
    """Tell numpy's archives from others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # a damaged one, as its reader says
    if any(name.rpartition("/")[2] in _ZARR for name in names):
        raise InputError(f"a zipped Zarr store: valid, not supported; expected its folder: unzip {path.name}")
    if names and not any(name.endswith(".npy") for name in names):
        raise InputError(f"a zip archive of other files: valid, not supported; expected {_FORMATS}: unzip {path.name}")
