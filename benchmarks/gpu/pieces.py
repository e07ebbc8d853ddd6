"""Files in pieces that are small enough to be sent, and put together again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from msfit.errors import InputError
from msfit.io.output import written_whole

MOST = 15_000_000  # bytes of a piece


def cut(path: Path, folder: Path, most: int = MOST, name: str = "") -> list[Path]:
    """Write a file to FOLDER/NAME.000, NAME.001, ... with its checksum in NAME.json; answer what was written.

    `name` by default is the file's own.
    """
    name = name or path.name
    content = path.read_bytes()
    pieces = [content[first : first + most] for first in range(0, len(content), most)]
    files = [folder / f"{name}.{number:03d}" for number in range(len(pieces))]
    for file, piece in zip(files, pieces, strict=True):
        with written_whole(file) as part:
            part.write_bytes(piece)
    about = {"name": name, "pieces": len(pieces), "sha256": hashlib.sha256(content).hexdigest()}
    index = folder / f"{name}.json"
    with written_whole(index) as part:
        part.write_text(json.dumps(about) + "\n")
    return [*files, index]


def join(index: Path) -> Path:
    """Put the file of NAME.json together beside it.

    Raises
    ------
    InputError
        A piece is absent or another.
    """
    about = json.loads(index.read_text())
    files = [index.parent / f"{about['name']}.{number:03d}" for number in range(about["pieces"])]
    if absent := [file.name for file in files if not file.is_file()]:
        raise InputError(f"{index}: {absent[0]} is absent; expected {len(files)} pieces beside it")
    content = b"".join(file.read_bytes() for file in files)
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise InputError(f"{index}: the pieces are not those of {about['name']} (another checksum); send them anew")
    path = index.parent / about["name"]
    with written_whole(path) as part:
        part.write_bytes(content)
    return path
