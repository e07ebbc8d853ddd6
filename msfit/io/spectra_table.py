"""Spectra in tables of text or of a workbook: what spectrophotometers and spreadsheets export.

Wavelengths stand in one row with a spectrum a row below, or in one column with a spectrum a column beside it. Around
them may be anything: lines of comment, names and values of the instrument's settings, columns with names of persons.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.pixel_axes import PixelAxes
from msfit.data.wavelengths import to_nanometres
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.labelled import TAKEN
from msfit.io.scan import Scan
from msfit.io.text import number_of, read_text

Cell = str | float | None
Grid = list[list[Cell]]

_FEWEST = 3  # wavelengths that make a header
_NM, _UM = (200.0, 5000.0), (0.2, 5.0)
_LARGEST_CELLS = 50_000_000
_COMMENT = ("#", "%", "//", "!")
_PERCENT = 1.5  # reflectance: a 95th percentile above it is in percent
_WAVELENGTH = re.compile(r"(?:[a-z_]+[ _.:]?)??(\d{1,4}(?:[.,]\d+)?)\s*(nm|um|µm|μm)?", re.IGNORECASE)
_ENDINGS = (".csv", ".tsv", ".txt", ".asc", ".prn")


def is_workbook(path: Path) -> bool:
    """Whether a zip file is a workbook (.xlsx, .xlsm)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def is_table(path: Path) -> bool:
    """Whether a file is text with spectra in a table, or at least is named as a table is."""
    if path.suffix.lower() in _ENDINGS:
        return True
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            return False
    try:
        return _find(_cells(read_text(path))) is not None
    except (InputError, csv.Error):
        return False


def read_table(path: Path, variable: str | None = None, wavelengths: Any = None) -> Scan:
    """Read spectra from a table.

    Parameters
    ----------
    path : Path
        CSV, TSV or other text with columns set apart by tabs, semicolons, commas or spaces, and decimal points or
        commas; or a workbook, which needs openpyxl.
    variable : str, optional
        Name of a workbook's sheet; else the first that holds spectra.
    wavelengths : array (band,), optional
        [nm], in place of the table's, in its order.

    Returns
    -------
    Scan
        Reflectance [1], a spectrum a pixel: percent, where the table says so or values leave no doubt, are divided by
        100 and noted. What else the table says of a spectrum stands as coordinates of the pixels.

    Raises
    ------
    InputError
        No wavelengths; a cell among the spectra that is no number; a sheet that is not there.
    """
    if is_workbook(path):
        sheets = _sheets(path, variable)
        found = [(name, places) for name, grid in sheets.items() if (places := _find(grid)) is not None]
        if not found:
            raise InputError(f"no spectra in the sheets {', '.join(sheets)}; {_EXPECTED}")
        name, places = found[0]
        scan = _scan(sheets[name], places, wavelengths)
        return _with(scan, {"format": "XLSX", "sheet": name})
    if variable is not None:
        raise InputError("variable: names a workbook's sheet, and this is text; leave it out")
    grid = _cells(read_text(path))
    text_places = _find(grid)
    if text_places is None:
        raise InputError(f"no spectra in this text; {_EXPECTED}")
    return _with(_scan(grid, text_places, wavelengths), {"format": "table"})


_EXPECTED = "expected wavelengths [nm] in one row with spectra below, or in one column with spectra beside"


def _with(scan: Scan, provenance: dict[str, Any]) -> Scan:
    from dataclasses import replace

    return replace(scan, provenance={**provenance, **scan.provenance})


# --- cells -----------------------------------------------------------------------------------------------------------


def _sheets(path: Path, wanted: str | None) -> dict[str, Grid]:
    openpyxl = need("openpyxl", "tables")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl meets damaged files with whatever they cause
        raise InputError(f"workbook that cannot be read ({type(error).__name__}: {said(error)})") from None
    try:
        if wanted is not None and wanted not in book.sheetnames:
            raise InputError(f"variable: found {wanted!r}; expected a sheet: {', '.join(book.sheetnames)}")
        names = book.sheetnames if wanted is None else [wanted]
        return {
            name: [[_plain(cell) for cell in row] for row in book[name].iter_rows(values_only=True)] for name in names
        }
    finally:
        book.close()


def _plain(cell: Any) -> Cell:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    return float(cell)


def _cells(text: str) -> Grid:
    """Cells of text: its separator is the one that gives most lines the same, largest number of cells."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(_COMMENT)]
    best: Grid = []
    for separator in ("\t", ";", ",", None):
        if separator is not None and not any(separator in line for line in lines):
            continue
        rows = [line.split() for line in lines] if separator is None else list(csv.reader(lines, delimiter=separator))
        comma = separator != ","
        grid: Grid = [[_number_or_text(cell, comma) for cell in row] for row in rows]
        if sum(map(len, grid)) > _LARGEST_CELLS:
            raise InputError(f"more than {_LARGEST_CELLS:,} cells; expected a table of spectra: take another format")
        if _find(grid) is not None:
            return grid
        best = best or grid
    return best


def _number_or_text(cell: str, comma: bool) -> Cell:
    cell = cell.strip()
    if not cell:
        return None
    number = cell.replace(",", ".") if comma and cell.count(",") == 1 and "." not in cell else cell
    number = number.removesuffix("%").strip()
    try:
        return number_of(number)
    except ValueError:
        return cell


# --- where the spectra are --------------------------------------------------------------------------------------------


class _Places:
    """Where wavelengths and spectra stand: in rows of the grid, or in rows of its transpose."""

    def __init__(self, row: int, first: int, nm: list[float], turned: bool) -> None:
        self.row, self.first, self.nm, self.turned = row, first, nm, turned


def _find(grid: Grid) -> _Places | None:
    """The longest run of wavelengths in a row or a column, with numbers beside it."""
    across = _longest(grid, turned=False)
    down = _longest(_turned(grid), turned=True)
    candidates = [places for places in (across, down) if places is not None]
    return max(candidates, key=lambda places: len(places.nm), default=None)


def _longest(grid: Grid, *, turned: bool) -> _Places | None:
    best: _Places | None = None
    for number, row in enumerate(grid):
        if best is not None and len(row) <= len(best.nm):
            continue
        start = 0
        while start < len(row):
            run, unit = _run(row, start)
            if (
                len(run) >= _FEWEST
                and (best is None or len(run) > len(best.nm))
                and _has_numbers(grid, number, start, len(run))
            ):
                best = _Places(number, start, to_nanometres(run, unit).tolist(), turned)
            start += max(1, len(run))
    return best


def _run(row: Sequence[Cell], start: int) -> tuple[list[float], str | None]:
    """Wavelengths that rise or fall from a cell on, as far as they go."""
    found: list[float] = []
    unit: str | None = None
    for cell in row[start:]:
        value, stated = _wavelength(cell)
        if value is None or (found and stated != unit):
            break
        low, high = _UM if stated == "um" or (stated is None and value < 100) else _NM
        if not low <= value <= high or (len(found) > 1 and (value - found[-1]) * (found[1] - found[0]) <= 0):
            break
        if len(found) == 1 and value == found[0]:
            break
        found.append(value)
        unit = stated
    if unit is None and found and max(found) <= _UM[1]:
        return [], None  # without a unit small numbers are reflectances
    return found, unit


def _wavelength(cell: Cell) -> tuple[float | None, str | None]:
    if isinstance(cell, float):
        return cell, None
    if cell is None or (match := _WAVELENGTH.fullmatch(cell.strip())) is None:
        return None, None
    unit = (match[2] or "").lower()
    return float(match[1].replace(",", ".")), {"": None, "nm": None}.get(unit, "um")


def _has_numbers(grid: Grid, row: int, first: int, count: int) -> bool:
    """Whether some row below has numbers under the wavelengths, and no wavelengths itself."""
    for below in grid[row + 1 :]:
        numbers = [cell for cell in below[first : first + count] if isinstance(cell, float)]
        if len(numbers) * 2 > count:
            return len(_run(below, first)[0]) < count or max(numbers) <= 150
    return False


def _turned(grid: Grid) -> Grid:
    width = max(map(len, grid), default=0)
    return [[row[column] if column < len(row) else None for row in grid] for column in range(width)]


# --- spectra ----------------------------------------------------------------------------------------------------------


def _scan(grid: Grid, places: _Places, wavelengths: Any) -> Scan:
    text = " ".join(cell for row in grid for cell in row if isinstance(cell, str))
    table = _turned(grid) if places.turned else grid
    stop = places.first + len(places.nm)
    spectra: list[list[float]] = []
    rows: list[list[Cell]] = []
    header, what = table[places.row], "column" if places.turned else "row"
    _check_header(header, places, table)
    passed = []
    for number, row in enumerate(table[places.row + 1 :], places.row + 2):
        if len(row) > len(header) and any(isinstance(cell, float) for cell in row[len(header) :]):
            raise InputError(
                f"{what} {number}: found {len(row)} cells under {len(header)} of the heading; expected as many: a comma"
                " may be a decimal comma or set columns apart: use semicolons, or decimal points"
            )
        cells = [*row[places.first : stop], *[None] * (stop - max(len(row), places.first))][: len(places.nm)]
        if (count := sum(isinstance(cell, float) for cell in cells)) * 2 <= len(cells):
            # units, empty lines, what follows
            passed += [f"{what} {number}: {count} of {len(cells)} numbers, left out"] if count else []
            continue
        spectra.append([_value(cell, what, number) for cell in cells])
        rows.append([*row[: places.first], *[None] * (places.first - len(row)), *row[stop:]])
    values = np.array(spectra, np.float64)
    names = [*header[: places.first], *header[stop:]]
    provenance: dict[str, Any] = {}
    known = values[np.isfinite(values)]
    if known.size and float(np.percentile(known, 95)) > _PERCENT:
        values, stated = values / 100, "%" in text or "percent" in text.lower()
        provenance["note"] = "percent were divided by 100" + ("" if stated else ": the values leave no doubt")
    if passed:
        shown = passed[:3] + ([f"{len(passed) - 3} more"] if len(passed) > 3 else [])
        provenance["note"] = "; ".join(filter(None, [provenance.get("note"), *shown]))
    nm = np.asarray(places.nm) if wavelengths is None else np.asarray(wavelengths, np.float64)
    axes = PixelAxes(("pixel",), _coordinates(names, rows, turned=places.turned))
    return Scan(values, nm, "reflectance", provenance=provenance, axes=axes if axes.coords else None)


def _check_header(header: Sequence[Cell], places: _Places, table: Grid) -> None:
    """Refuse wavelengths beside those that were found: some other cell cuts them off, or they are in no order."""
    stop = places.first + len(places.nm)
    for place, cell in enumerate(header):
        value, unit = _wavelength(cell)
        bare = isinstance(cell, float) or unit is not None or str(cell).lower().strip().endswith("nm")
        if places.first <= place < stop or value is None or not bare or not _NM[0] <= value <= _NM[1]:
            continue
        below = [row[place] for row in table[places.row + 1 :] if place < len(row)]
        if any(isinstance(one, float) for one in below):
            raise InputError(
                f"wavelengths: found {value:g} beside {places.nm[0]:g} to {places.nm[-1]:g} nm, which is out of order"
                " or cut off from them; expected all in one rising or falling run"
            )


def _value(cell: Cell, what: str, number: int) -> float:
    if isinstance(cell, float):
        return cell
    if cell is None or cell.strip().lower() in ("nan", "na", "n/a", "-", "null"):
        return float("nan")
    raise InputError(f"{what} {number}: found {cell!r} among the spectra; expected a number")


def _coordinates(names: list[Cell], rows: list[list[Cell]], *, turned: bool) -> dict[str, Any]:
    """What stands beside each spectrum, by the heading of its column; of a spectrum a column, its name."""
    coords: dict[str, Any] = {}
    for column, name in enumerate(names):
        cells = [row[column] if column < len(row) else None for row in rows]
        if all(cell is None for cell in cells):
            continue
        if turned and (None in cells or (len(cells) > 1 and len(set(cells)) == 1)):
            continue  # settings of the instrument, and units
        label = str(name).strip() if isinstance(name, str) else f"column {column + 1}"
        label = re.sub(r"\W+", "_", label).strip("_") or f"column_{column + 1}"
        if turned and "spectrum" not in coords:
            label = "spectrum"
        while label in (*TAKEN, "pixel") or label in coords or label.startswith(("std_", "correlation_")):
            label += "_"
        numbers = all(isinstance(cell, float) for cell in cells)
        values = np.array(cells, np.float64) if numbers else np.array([_label(cell) for cell in cells])
        coords[label] = (("pixel",), values, {})
    return coords


def _label(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:g}" if isinstance(cell, float) else cell
