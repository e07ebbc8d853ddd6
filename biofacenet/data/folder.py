"""Folders of photographs as training data: squares of one size with the skin in their alpha channel."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from biofacenet.photo.reading import linear_light, read_photo
from biofacenet.photo.skin import skin_in_picture
from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.output import written_whole

REPORT, SETTINGS = "report.csv", "settings.json"
_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
#: Photographs between two writings of the report: what an interruption makes a later run look at again.
_BETWEEN_REPORTS = 256


@dataclass(frozen=True)
class Selection:
    """Which photographs are taken, and how they are stored.

    Attributes
    ----------
    shortest : int
        Least length of the shorter side [pixels].
    difference : int
        Most that the two sides may differ by [pixels].
    size : int
        Side of the squares that are stored [pixels]: the shorter side is scaled to it, the middle of the longer kept.
    skin : float
        Least share of a square that is skin [1], see `biofacenet.photo.skin.skin_in_picture`.

    Raises
    ------
    InputError
        A number out of range.
    """

    shortest: int = 100
    difference: int = 100
    size: int = 256
    skin: float = 0.4

    def __post_init__(self) -> None:
        if not (self.shortest >= 16 and self.difference >= 0 and 32 <= self.size <= 4096 and 0 <= self.skin <= 1):
            raise InputError(
                f"selection: found {self}; expected shortest >= 16, difference >= 0, size 32 to 4096, skin 0 to 1"
            )


#: "default", and "imdb": 50,000 of the 65,536 pixels are skin, as asked of tight crops of faces from IMDB.
SELECTIONS = {"default": Selection(), "imdb": Selection(skin=50_000 / 65_536)}


class Row(NamedTuple):
    """What became of a photograph."""

    source: str
    outcome: str
    """kept or rejected"""
    reason: str
    skin: str
    """Share of the square that is skin [1], where it was looked for."""
    file: str


def prepare(
    sources: Iterable[str | Path],
    output: str | Path,
    selection: Selection | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Turn folders of photographs into training data.

    The output holds a PNG (8 bit sRGB, alpha 255 on skin) for each photograph that is kept, `report.csv` with a row for
    every one, and `settings.json`. Each appears whole or not at all; a later run goes on where one was interrupted.

    Parameters
    ----------
    sources : iterable of str or Path
        Folders, searched with all below them, or photographs.
    output : str or Path
        A folder, made if absent.
    selection : Selection, optional
    progress : callable (done, total), optional

    Returns
    -------
    list of Row
        In the order of the sources.

    Raises
    ------
    InputError
        No photographs; a source that is not there; an output inside a source, or one that cannot be written to or was
        made with other settings.
    """
    selection, output = selection or Selection(), Path(output)
    photographs = _photographs(sources, output)
    _open_output(output, selection)
    recorded = {row.source: row for row in read_report(output)}
    rows = [recorded.pop(str(path), None) for path in photographs]
    earlier = list(recorded.values())  # of other sources
    waiting = [k for k, row in enumerate(rows) if row is None or (row.file and not (output / row.file).is_file())]
    done = len(rows) - len(waiting)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(waiting), _BETWEEN_REPORTS):
            some = waiting[start : start + _BETWEEN_REPORTS]
            for k, row in zip(some, pool.map(lambda k: _one(photographs[k], output, selection), some), strict=True):
                rows[k], done = row, done + 1
                if progress is not None:
                    progress(done, len(rows))
            _write_report(output, earlier + [row for row in rows if row is not None])
    finished = [row for row in rows if row is not None]
    _write_report(output, earlier + finished)
    return finished


def read_report(folder: str | Path) -> list[Row]:
    """The rows of a prepared folder's report; none where there is no report yet."""
    path = Path(folder) / REPORT
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [Row(**row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (OSError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: not the report of a prepared folder ({said(error)}); remove it") from None


class PreparedFolder(Dataset[dict[str, Tensor]]):
    """The photographs of a prepared folder, one an item.

    An item is a dict of float32 tensors: image (3, size, size), linear RGB, white = 1; mask (1, size, size), the share
    of skin in each pixel, 0..1.

    Parameters
    ----------
    folder : str or Path
        As `prepare` writes it.
    size : int
        Side of the items; the stored squares are reduced to it by means over areas.

    Raises
    ------
    InputError
        No prepared folder, or none of its photographs was kept.
    """

    def __init__(self, folder: str | Path, size: int = 64) -> None:
        self.folder, self.size = Path(folder), size
        self.files = list(dict.fromkeys(row.file for row in read_report(folder) if row.file))
        if not self.files:
            raise InputError(f"{folder}: holds no prepared photographs; make them with `biofacenet prepare`")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        path = self.folder / self.files[index]
        try:
            with need("PIL.Image", "photo").open(path) as opened:
                values = torch.from_numpy(np.array(opened.convert("RGBA")))
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"{path}: cannot be read ({said(error)}); run `biofacenet prepare` again") from None
        values = values.permute(2, 0, 1).float() / 255
        linear = torch.cat([decode_srgb(values[:3]), (values[3:] > 0.5).float()])
        reduced = F.interpolate(linear[None], (self.size, self.size), mode="area")[0]
        return {"image": reduced[:3], "mask": reduced[3:]}


def _photographs(sources: Iterable[str | Path], output: Path) -> list[Path]:
    paths: dict[Path, None] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source}: there is no such folder; expected one with photographs")
        if source.is_dir() and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source)):
            raise InputError(f"{output}: lies in {source}, whose photographs are looked for; choose a folder beside it")
        paths |= dict.fromkeys(_below(source) if source.is_dir() else [source])
    if not paths:
        raise InputError(f"no photographs found; expected files that end in {', '.join(_PICTURES)}")
    return list(paths)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _PICTURES and path.is_file():
            yield path


def _open_output(output: Path, selection: Selection) -> None:
    wanted, path = asdict(selection), output / SETTINGS
    try:
        output.mkdir(parents=True, exist_ok=True)
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else wanted
    except OSError as error:
        raise InputError(
            f"{output}: cannot be used ({(error.strerror or str(error)).lower()}); choose another"
        ) from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: damaged; remove it, or choose another folder") from None
    if recorded != wanted:
        raise InputError(f"{output}: was made with other settings, {recorded}; choose another folder or those settings")
    with written_whole(path) as part:
        part.write_text(json.dumps(wanted) + "\n", encoding="utf-8")


def _one(path: Path, output: Path, selection: Selection) -> Row:
    """Look at one photograph, and store it if it is to be kept."""
    source = str(path)
    try:
        photo = read_photo(path)
    except InputError as error:
        return Row(source, "rejected", str(error).removeprefix(f"{path}: "), "", "")
    height, width = photo.rgb.shape[:2]
    size = f"{width} x {height} pixels"
    if min(height, width) < selection.shortest:
        return Row(source, "rejected", f"{size}: shorter side under {selection.shortest}", "", "")
    if abs(height - width) > selection.difference:
        return Row(source, "rejected", f"{size}: sides differ by more than {selection.difference}", "", "")
    square = _square(photo.rgb, selection.size)
    skin = skin_in_picture(linear_light(square))
    share = float(skin.mean())
    if share < selection.skin:
        return Row(source, "rejected", f"skin on {share:.1%}, under {selection.skin:.1%}", f"{share:.4f}", "")
    # the same stem in two folders makes two files
    name = f"{path.stem[:80]}-{hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:8]}.png"
    with written_whole(output / name) as part:
        values = np.dstack([square, np.where(skin, 255, 0).astype(np.uint8)])
        need("PIL.Image", "photo").fromarray(values).save(part)
    return Row(source, "kept", "", f"{share:.4f}", name)


def _square(rgb: np.ndarray, size: int) -> np.ndarray:
    """The middle square of a picture, of this side, uint8."""
    picture = rgb if rgb.dtype == np.uint8 else np.rint(rgb / 257).astype(np.uint8)
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image: Any = need("PIL.Image", "photo")
    cut = image.fromarray(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    return np.asarray(cut.resize((size, size), image.Resampling.LANCZOS))


def _write_report(output: Path, rows: list[Row]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(Row._fields)
    table.writerows(rows)
    with written_whole(output / REPORT) as part:
        part.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
