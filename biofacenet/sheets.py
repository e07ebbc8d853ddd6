"""Contact sheets: one photograph under a range of changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from biofacenet.editing import EDITABLE, Change, Editor, parse_change
from msfit.errors import InputError
from msfit.io.extras import need

_MOST = 25
_LINE = 22  # pixels of a caption
_LARGEST_TILE = 400


class Range(NamedTuple):
    """A map and the changes it goes through."""

    name: str
    changes: tuple[Change, ...]


def parse_range(text: str) -> Range:
    """A range as it is written: ``NAME=FROM:TO:COUNT``.

    ``melanin=-0.05:0.2:5`` adds, since an end has a sign; ``blood=x0.5:x2:4`` multiplies, evenly in ratio;
    ``specular=0:0.1:3`` sets.

    Raises
    ------
    InputError
        Anything else.

    Examples
    --------
    >>> [str(change) for change in parse_range("melanin=-0.05:0.05:3").changes]
    ['-0.05', '+0', '+0.05']
    """
    name, _, span = text.partition("=")
    parts = span.split(":")
    if name not in EDITABLE or len(parts) != 3 or not parts[2].isdecimal() or not 2 <= int(parts[2]) <= _MOST:
        raise InputError(
            f"--range: found {text!r}; expected NAME=FROM:TO:COUNT with 2 to {_MOST} steps, as in"
            f" melanin=-0.05:0.2:5; names: {', '.join(EDITABLE)}"
        )
    first, last = (parse_change(name, part) for part in parts[:2])
    ways, count = {first.how, last.how}, int(parts[2])
    if ways == {"add", "set"}:
        ways = {"add"}  # a sign on one end is enough
    if len(ways) > 1:
        raise InputError(f"--range: found {text!r}; expected both ends with x, or neither")
    how = ways.pop()
    if how == "multiply" and min(first.amount, last.amount) > 0:
        amounts = np.geomspace(first.amount, last.amount, count)
    else:
        amounts = np.linspace(first.amount, last.amount, count)
    return Range(name, tuple(Change(how, round(float(amount), 6)) for amount in amounts))


def contact_sheet(
    editor: Editor, ranges: Sequence[Range], changes: Mapping[str, Change | str | float] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The face under every change of one range, or of two against each other.

    Parameters
    ----------
    editor : Editor
    ranges : sequence of Range
        One: a row. Two: the first from left to right, the second from top to bottom.
    changes : mapping, optional
        What is changed in every picture besides.

    Returns
    -------
    sheet : uint8 array (y, x, 3)
        sRGB, each picture with its changes below it.
    notes : tuple of str
        Where changes came to the end of a map's range.

    Raises
    ------
    InputError
        No range, or more than two; one map twice.
    """
    names = [one.name for one in ranges] + list(changes or {})
    if not 1 <= len(ranges) <= 2 or len(set(names)) != len(names):
        raise InputError("--range: expected one range or two, each of another map than all other changes")
    across, down = ranges[0], ranges[1] if len(ranges) == 2 else None
    rows: list[np.ndarray] = []
    notes: dict[str, None] = {}
    for below in down.changes if down else (None,):
        tiles = []
        for change in across.changes:
            wanted: dict[str, Change | str | float] = {**(changes or {}), across.name: change}
            if down and below is not None:
                wanted[down.name] = below
            edited = editor.edit(wanted)
            notes |= dict.fromkeys(edited.notes)
            tiles.append(_tile(edited.rgb[editor.box.slices], [f"{name} {what}" for name, what in wanted.items()]))
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows, axis=0), tuple(notes)


def _tile(rgb: np.ndarray, lines: list[str]) -> np.ndarray:
    """A picture, 8 bit, reduced where large, with lines of text below it."""
    image, draw, font = (need(f"PIL.{part}", "photo") for part in ("Image", "ImageDraw", "ImageFont"))
    picture = image.fromarray(rgb if rgb.dtype == np.uint8 else np.rint(rgb / 257).astype(np.uint8))
    picture.thumbnail((_LARGEST_TILE, _LARGEST_TILE), image.Resampling.LANCZOS)
    width, height = picture.size
    sheet = image.new("RGB", (width + 4, height + _LINE * len(lines) + 4), "white")
    sheet.paste(picture, (2, 2))
    pen = draw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((4, height + 2 + _LINE * number), line, fill="black", font=font.load_default(14))
    return np.asarray(sheet)
