"""Zip archives, unpacked only into their own folder."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from msfit.errors import InputError
from msfit.io.output import written_whole

_LONGEST_NAME = 255  # bytes, of file systems
_JUNK = ("__MACOSX", ".DS_Store")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def check_archive(path: Path, reserved: Sequence[str] = ()) -> None:
    """Read an archive through. No member may have a name in `reserved`, in any case of letters.

    Raises
    ------
    InputError
        It is not a zip archive, some of its bytes are not what they were when it was made, or a member would land
        outside the archive's folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _target(path, member, path.parent, reserved)
            broken = archive.testzip()
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: not a whole zip archive ({error})") from error
    if broken is not None:
        raise InputError(f"{path}: damaged at {broken!r}")


def unpack(path: Path, folder: Path, reserved: Sequence[str] = ()) -> list[Path]:
    """Unpack an archive; files of the right size that are there already are left alone.

    No member may have a name in `reserved`, in any case of letters.

    Returns
    -------
    list of Path
        The files, sorted.

    Raises
    ------
    InputError
        A member would land outside `folder` or is a link: then nothing is unpacked. The archive is damaged; there is
        not room enough.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not _is_junk(m.filename)]
            targets = [_target(path, member, folder, reserved) for member in members]
            _check_names(path, targets)
            missing = [
                (member, target)
                for member, target in zip(members, targets, strict=True)
                if not (target.is_file() and target.stat().st_size == member.file_size)
            ]
            _check_room(path, folder, sum(member.file_size for member, _ in missing))
            for member, target in missing:
                target.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(target) as part, archive.open(member) as source, part.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged ({error}); delete it and fetch it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be unpacked into {folder} ({error.strerror or error})") from error
    return sorted(targets)


def _is_junk(name: str) -> bool:
    return any(piece in _JUNK for piece in PurePosixPath(name).parts)


def _target(path: Path, member: zipfile.ZipInfo, folder: Path, reserved: Sequence[str] = ()) -> Path:
    name = member.filename
    pieces = PurePosixPath(name.replace("\\", "/")).parts
    outside = name.startswith(("/", "\\")) or ".." in pieces or PureWindowsPath(name).drive
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(
            f"{path}: holds {name!r}, which would be written outside {folder}; nothing was unpacked: distrust it"
        )
    if len(pieces) == 1 and pieces[0].casefold() in (one.casefold() for one in reserved):
        raise InputError(
            f"{path}: holds {name!r}, which stands for something else there; nothing was unpacked: distrust it"
        )
    if any(len(os.fsencode(piece)) > _LONGEST_NAME for piece in pieces):
        raise InputError(
            f"{path}: holds a name of more than {_LONGEST_NAME} bytes, {name[:40]!r}...; nothing was unpacked"
        )
    return folder.joinpath(*pieces)


def _check_names(path: Path, targets: list[Path]) -> None:
    """Two members of one name would replace each other, and one below another cannot be there."""
    seen = set(targets)
    if len(seen) < len(targets) or any(parent in seen for target in targets for parent in target.parents):
        raise InputError(f"{path}: holds two members of one name; nothing was unpacked: distrust it")


def _check_room(path: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder if folder.is_dir() else os.curdir).free
    if needed > free:
        raise InputError(f"{path}: unpacks to {needed / 1e9:.1f} GB, {folder} has room for {free / 1e9:.1f} GB")
