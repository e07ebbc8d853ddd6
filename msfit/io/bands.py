"""A folder of pictures, one a band: the layout of the CAVE database and of filter-wheel cameras."""

from __future__ import annotations

import logging
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.matlab.mat5 import LARGEST_RATIO
from msfit.io.scan import Scan

_ENDINGS = (".png", ".tif", ".tiff")
# Numbers from here on are wavelengths [nm], below it they only count the bands.
_SMALLEST_NM = 200
# Yasuma, Mitsunaga, Iso, Nayar 2010, IEEE Transactions on Image Processing 19(9): 31 bands, NAME_ms_01.png to _31.
_CAVE = re.compile(r"_ms_\d\d$")
_CAVE_NM = np.arange(400.0, 701, 10)
# What tifffile tells of a damaged file is told once, by the exception.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_bands(folder: Path, wavelengths: Any = None) -> Scan:
    """Read a folder of grey pictures.

    Parameters
    ----------
    folder : Path
        PNG or TIFF files, 8 or 16 bit, all of one size. The number in their names that differs from file to file is
        the wavelength [nm], or counts the bands.
    wavelengths : array (band,), optional
        [nm], in the order of the numbers; needed where these only count. The CAVE database's are known.

    Returns
    -------
    Scan
        Counts for integers, reflectance for floating point TIFF.
    """
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in _ENDINGS and file.is_file())
    files = [file for file in found if not file.name.startswith(".")]  # ._NAME: what macOS leaves on other disks
    if not files and (inner := _only_folder(folder)) is not None:
        return read_bands(inner, wavelengths)
    if len(files) < 2:
        raise InputError(f"a folder with {len(files)} PNG or TIFF files; expected one picture a band")
    order = _numbers([file.stem for file in files])
    files = [files[k] for k in np.argsort(order)]
    order = np.sort(order)
    provenance = {"format": "folder of band images"}
    if wavelengths is not None:
        nm = check_wavelengths(wavelengths, (len(files),))
    elif order[0] >= _SMALLEST_NM:
        nm = check_wavelengths(order)
    elif len(files) == _CAVE_NM.size and all(_CAVE.search(file.stem) for file in files):
        nm = _CAVE_NM
        provenance["note"] = "wavelengths 400:10:700 nm taken from the CAVE database's layout"
    else:
        raise InputError(
            f"{len(files)} pictures numbered {order[0]:g} to {order[-1]:g}; expected wavelengths [nm] in their names:"
            " --wavelengths 400:700:10 or FILE (wavelengths=)"
        )
    first = _picture(files[0])
    values = np.empty((*first.shape, len(files)), first.dtype)
    for k, file in enumerate(files):
        picture = first if k == 0 else _picture(file)
        if picture.shape != first.shape or picture.dtype != first.dtype:
            raise InputError(
                f"{file.name} is {picture.dtype} {picture.shape}, {files[0].name} is {first.dtype} {first.shape};"
                " expected pictures of one size and type"
            )
        values[..., k] = picture
    return Scan(values, nm, "counts" if first.dtype.kind in "ui" else "reflectance", provenance=provenance)


def _only_folder(folder: Path) -> Path | None:
    """The one folder in a folder, as archives unpack to; None where there are none or several, or it leads up."""
    inner = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
    inner = [entry for entry in inner if not entry.name.startswith((".", "__MACOSX"))]
    return inner[0] if len(inner) == 1 else None


def _numbers(stems: list[str]) -> np.ndarray:
    """The number before "nm", where every name has one; else the number that differs from name to name, the last."""
    stated = [re.findall(r"(\d+(?:\.\d+)?)\s*nm(?![a-z])", stem, re.IGNORECASE) for stem in stems]
    if all(len(numbers) == 1 for numbers in stated) and len({numbers[0] for numbers in stated}) == len(stems):
        return np.array([float(numbers[0]) for numbers in stated])
    found = [[float(number) for number in re.findall(r"\d+(?:\.\d+)?", stem)] for stem in stems]
    for place in range(1, min(map(len, found)) + 1):
        numbers = [entry[-place] for entry in found]
        if len(set(numbers)) == len(stems):
            return np.array(numbers)
    raise InputError(
        f"pictures {stems[0]} to {stems[-1]} carry no number that differs in each; expected wavelengths [nm] or band"
        " numbers in their names"
    )


def _png(content: BytesIO) -> np.ndarray:
    return np.asarray(need("imageio.v3").imread(content, plugin="pillow"))


def _tiff(content: BytesIO) -> np.ndarray:
    with need("tifffile").TiffFile(content) as file:
        series = file.series[0]
        if series.size * series.dtype.itemsize > LARGEST_RATIO * len(content.getvalue()):
            raise InputError(f"it claims {' x '.join(map(str, series.shape))} samples")
        return np.asarray(series.asarray())


def _picture(file: Path) -> np.ndarray:
    try:
        # From memory, where a length that is damaged cannot ask for more than there is.
        content = BytesIO(file.read_bytes())
        found = _png(content) if file.suffix.lower() == ".png" else _tiff(content)
    except Exception as error:  # picture libraries meet damaged files with whatever they cause
        raise InputError(f"{file.name} cannot be read as a picture ({said(error)})") from None
    if found.ndim == 3 and found.shape[2] in (3, 4) and (found[..., :1] == found[..., 1:3]).all():
        found = found[..., 0]  # a grey picture saved in colour, as some of CAVE's are
    if found.ndim != 2 or found.dtype.kind not in "uif" or found.size == 0:
        raise InputError(f"{file.name} is {found.dtype} of shape {found.shape}; expected one grey picture a band")
    return found
