"""Numbers in text files: one strict reader, which reads every row or says which one it cannot."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import numpy as np

from msfit.errors import InputError

_LARGEST = 64_000_000
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """Text in UTF-8, in UTF-16 or UTF-32 that begins with a byte order mark, or else in Windows' Latin-1.

    Raises
    ------
    InputError
        More than 64 MB, or zeros as in binary files.
    """
    if path.stat().st_size > _LARGEST:
        raise InputError("is no text of numbers: more than 64 MB")
    return decode(path.read_bytes())


def decode(content: bytes) -> str:
    """As `read_text`, of bytes."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            try:
                return content.decode(name)
            except UnicodeDecodeError:
                raise InputError(f"is no text in {name.upper()}, as its first bytes say") from None
    if b"\0" in content:
        raise InputError("is no text: it holds zero bytes; expected UTF-8, or UTF-16 with a byte order mark")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def read_columns(path: Path, columns: int) -> np.ndarray:
    """A table of numbers (row, column).

    Lines before the first that is all numbers are its heading; empty lines and those that begin with # or % are left
    out. Columns are set apart by semicolons, tabs, commas or spaces. A comma between digits is a decimal comma where
    something else sets the columns apart.

    Parameters
    ----------
    path : Path
    columns : int
        How many are expected.

    Raises
    ------
    InputError
        After the heading, a line that is no row of numbers; commas that can be read in two ways; no numbers.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#%":
            continue
        pieces = split_line(line)
        try:
            row = [number_of(piece) for piece in pieces]
        except ValueError:
            if rows or is_number(pieces[0]):  # no heading
                raise InputError(f"line {number}: found {line[:40]!r}; expected {columns} numbers") from None
            continue
        if len(row) != columns:
            both = "; a comma may be a decimal comma or set columns apart: use semicolons, or decimal points"
            raise InputError(
                f"line {number}: found {len(row)} numbers, {line[:40]!r}; expected {columns}"
                + (both if "," in line and len(row) > columns else "")
            )
        rows.append(row)
    if not rows:
        raise InputError(f"no numbers; expected {columns} columns of them")
    return np.array(rows)


def number_of(word: str) -> float:
    """The number that a word is: as Python reads it, but for 1_000.

    Raises
    ------
    ValueError
        It is none.
    """
    if "_" in word:
        raise ValueError(f"no number: {word!r}")
    return float(word)


def is_number(word: str) -> bool:
    """Whether a word is a number."""
    try:
        number_of(word)
    except ValueError:
        return False
    return True


def split_line(line: str) -> list[str]:
    """The columns of a line, with decimal points."""
    if ";" in line or "\t" in line:
        pieces = re.split(r"\s*[;\t]\s*", line.rstrip(";"))
        return [piece.replace(",", ".") for piece in pieces]
    if re.search(r",\s", line):
        return re.split(r"\s*,\s*", line)
    if re.fullmatch(r"[-+.,\deE]+(\s+[-+.,\deE]+)+", line):
        return [piece.replace(",", ".") for piece in line.split()]
    return line.split(",")
