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
from msfit.io.matlab.variables import listed
from msfit.io.scan import Scan
from msfit.io.upright import ORIENTATION, upright

_ENDINGS = (".png", ".tif", ".tiff")
# Numbers from here on are wavelengths [nm], below it they only count the bands.
_SMALLEST_NM = 200
# Yasuma, Mitsunaga, Iso, Nayar 2010, IEEE Transactions on Image Processing 19(9): 31 bands, NAME_ms_01.png to _31.
_CAVE = re.compile(r"_ms_\d\d$")
_CAVE_NM = np.arange(400.0, 701, 10)
# A number with its unit.
_STATED = re.compile(r"(\d+(?:[.,]\d+)?)\s*(nm|um|µm|μm)(?![a-z])", re.IGNORECASE)
_LARGEST_NM = 2500  # in names without a unit: no skin is seen beyond, and frames are counted so
_MOST_SAMPLE = 281  # MaxSampleValue, a tag of TIFF 6.0
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
    notes = []
    stated = [file for file in files if len(_STATED.findall(file.stem)) == 1]
    if len(stated) > 2 and len(stated) < len(files) and _stated_nm([file.stem for file in stated]) is not None:
        others = [file.name for file in files if file not in stated]
        notes.append(f"{listed(others)} beside the bands: no wavelength in the name, left out")
        files = stated
    if not files and (inner := _only_folder(folder)) is not None:
        return read_bands(inner, wavelengths)
    if len(files) < 2:
        raise InputError(f"a folder with {len(files)} PNG or TIFF files; expected one picture a band")
    stems = [file.stem for file in files]
    known = _stated_nm(stems)
    order, plausible = (known, True) if known is not None else _numbers(stems, wavelengths is not None)
    files = [files[k] for k in np.argsort(order)]
    order = np.sort(order)
    if wavelengths is not None:
        nm = check_wavelengths(wavelengths, (len(files),))
    elif plausible:
        nm = check_wavelengths(order)
        if known is None and (np.diff(order) == 1).all():  # as frames are counted, too
            notes.append(f"wavelengths {order[0]:g} to {order[-1]:g} nm are numbers in names without a unit")
    elif len(files) == _CAVE_NM.size and all(_CAVE.search(stem) for stem in stems):
        nm = _CAVE_NM
        notes.append("wavelengths 400:10:700 nm taken from the CAVE database's layout")
    else:
        raise InputError(
            f"{len(files)} pictures numbered {order[0]:g} to {order[-1]:g}; expected wavelengths [nm] in their names:"
            " --wavelengths 400:700:10 or FILE (wavelengths=)"
        )
    first, remarks = _picture(files[0])
    values = np.empty((*first.shape, len(files)), first.dtype)
    for k, file in enumerate(files):
        picture = first if k == 0 else _picture(file)[0]
        if picture.shape != first.shape or picture.dtype != first.dtype:
            raise InputError(
                f"{file.name} is {picture.dtype} {picture.shape}, {files[0].name} is {first.dtype} {first.shape};"
                " expected pictures of one size and type"
            )
        values[..., k] = picture
    provenance = {"format": "folder of band images"}
    if notes := notes + remarks:
        provenance["note"] = "; ".join(notes)
    return Scan(values, nm, "counts" if first.dtype.kind in "ui" else "reflectance", provenance=provenance)


def _only_folder(folder: Path) -> Path | None:
    """The one folder in a folder, as archives unpack to; None where there are none or several, or it leads up."""
    inner = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
    inner = [entry for entry in inner if not entry.name.startswith((".", "__MACOSX"))]
    return inner[0] if len(inner) == 1 else None


def _stated_nm(stems: list[str]) -> np.ndarray | None:
    """Wavelengths [nm] from numbers with their unit, as 450nm, 450.5 nm or 0.45um; None where not all have one.

    Where names state several, as a width too, those from 200 on that differ in each are meant.
    """
    found = [
        [float(number.replace(",", ".")) * (1 if unit.lower() == "nm" else 1000) for number, unit in pairs]
        for pairs in (_STATED.findall(stem) for stem in stems)
    ]
    columns = np.array(found).T if len({len(row) for row in found}) == 1 else np.empty((0, len(stems)))
    fitting = [column for column in columns if column.min() >= _SMALLEST_NM and len(set(column)) == len(stems)]
    return fitting[0].round(6) if len(fitting) == 1 else None


def _numbers(stems: list[str], given: bool) -> tuple[np.ndarray, bool]:
    """Numbers without a unit that differ from name to name: wavelengths [nm], or else counters, and which they are.

    Numbers with a unit of their own (300ms), with leading zeros (0450) and above 2500 are no wavelengths. Where
    wavelengths are given, all count.
    """
    found = [[(float(number), bare) for number, bare in _pieces(stem)] for stem in stems]
    columns = []
    for place in range(1, min(map(len, found)) + 1):
        numbers, bare = np.array([row[-place][0] for row in found]), all(row[-place][1] for row in found)
        if len(set(numbers)) == len(stems):
            columns.append((numbers, bare and numbers.min() >= _SMALLEST_NM and numbers.max() <= _LARGEST_NM))
    fitting = [numbers for numbers, plausible in columns if plausible]
    if len(fitting) > 1 and not given:
        raise InputError(
            f"{stems[0]} to {stems[-1]}: several numbers in the names may be wavelengths; expected one a name, as 450nm"
        )
    if fitting and not given:
        return fitting[0], True
    if columns:
        return columns[0][0], False
    raise InputError(
        f"pictures {stems[0]} to {stems[-1]} carry no number that differs in each; expected wavelengths [nm] or band"
        " numbers in their names"
    )


def _pieces(stem: str) -> list[tuple[str, bool]]:
    """Numbers in a name, and whether they may be wavelengths by how they are written."""
    return [
        (number, not unit and not re.match(r"0\d", number))
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)((?:ms|us|s|x|px|p|deg|db|k)(?![a-z]))?", stem, re.IGNORECASE)
    ]


def _png(content: BytesIO) -> tuple[np.ndarray, int, list[str]]:
    """Samples as they are stored, their orientation by EXIF, and what is seen beside them and not used."""
    with need("PIL.Image").open(content) as picture:
        curve = ["gAMA"] if picture.info.get("gamma", 1) != 1 else []
        curve += ["sRGB"] if "srgb" in picture.info else []
        orientation = int(picture.getexif().get(ORIENTATION, 1))
    content.seek(0)
    notes = [f"{' and '.join(curve)} of the pictures not used: bands are taken as linear in light"] if curve else []
    return np.asarray(need("imageio.v3").imread(content, plugin="pillow")), orientation, notes


def _tiff(content: BytesIO) -> tuple[np.ndarray, int, list[str]]:
    """As `_png`, from the first picture of a TIFF; brightness grows with the numbers returned."""
    notes = []
    with need("tifffile").TiffFile(content) as file:
        series, page = file.series[0], file.pages[0]
        if series.size * series.dtype.itemsize > LARGEST_RATIO * len(content.getvalue()):
            raise InputError(f"it claims {' x '.join(map(str, series.shape))} samples")
        found = np.asarray(series.asarray())
        tags = {code: page.tags[code].value for code in (ORIENTATION, _MOST_SAMPLE) if code in page.tags}
        if page.photometric.name == "MINISWHITE" and found.dtype.kind == "u":
            found = found.dtype.type(2 ** min(int(page.bitspersample), 8 * found.dtype.itemsize) - 1) - found
        elif page.photometric.name == "PALETTE":
            colours = np.asarray(page.colormap)
            if not (colours == colours[:1]).all():
                raise InputError("it has a palette of colours")
            found = colours[0][found]
    if (most := tags.get(_MOST_SAMPLE)) is not None and found.dtype.kind == "u" and most < np.iinfo(found.dtype).max:
        notes.append(f"MaxSampleValue {most} of the pictures not used: --saturation {most} if samples end there")
    return found, int(tags.get(ORIENTATION, 1)), notes


def _picture(file: Path) -> tuple[np.ndarray, list[str]]:
    """A grey picture (y, x), upright, and remarks."""
    try:
        # From memory, where a length that is damaged cannot ask for more than there is.
        content = BytesIO(file.read_bytes())
        found, orientation, notes = _png(content) if file.suffix.lower() == ".png" else _tiff(content)
    except Exception as error:  # picture libraries meet damaged files with whatever they cause
        raise InputError(f"{file.name} cannot be read as a picture ({said(error)})") from None
    if found.ndim == 3 and found.shape[2] in (2, 4) and (found[..., -1] == np.iinfo(found.dtype).max).all():
        found = found[..., :-1]  # opaque
    if found.ndim == 3 and found.shape[2] in (1, 3) and (found[..., :1] == found).all():
        found = found[..., 0]  # a grey picture saved in colour, as some of CAVE's are
    if found.ndim != 2 or found.dtype.kind not in "uif" or found.size == 0:
        raise InputError(f"{file.name} is {found.dtype} of shape {found.shape}; expected one grey picture a band")
    return upright(found, orientation), notes
