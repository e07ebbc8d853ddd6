"""Files appear whole or not at all: they are written beside their place, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from msfit.errors import InputError


def check_output(path: str | Path, extensions: Collection[str]) -> Path:
    """Make sure that a file can be written, before any work begins.

    Parameters
    ----------
    path : str or Path
        The file to be written. One that exists will be replaced.
    extensions : collection of str
        What its name may end in, as ``.h5``; case does not matter.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        Unknown extension; a folder that is absent or cannot be written to; a folder of that name.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in extensions:
        found = f"the extension {path.suffix!r}" if path.suffix else "no extension"
        raise InputError(f"{path}: found {found}; expected a file name that ends in {', '.join(sorted(extensions))}")
    with explained(path):
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}; create it or choose another")
        if path.is_dir() and not _is_store(path):
            raise InputError(f"{path}: found a folder; expected the name of a file to write")
        trial = _beside(path)
        try:
            trial.touch(exist_ok=False)
        finally:
            trial.unlink(missing_ok=True)
    return path


def check_no_input(output: str | Path, inputs: Iterable[Any]) -> None:
    """Refuse to write over a file that is read, under whatever name it goes by.

    Parameters
    ----------
    output : str or Path
    inputs : iterable
        Paths; what is no path of a file is passed over.

    Raises
    ------
    InputError
        The output is one of the inputs.
    """
    output = Path(output).expanduser()
    for given in inputs:
        if not isinstance(given, str | Path):
            continue
        for read, written in itertools.product(_read_with(Path(given).expanduser()), _written_with(output)):
            try:
                same = written.samefile(read)
            except (OSError, ValueError):  # what is no file, as a patch, is none to lose
                continue
            if same:
                raise InputError(f"{written}: is an input ({given}), which would be lost; choose another output")


def _written_with(output: Path) -> list[Path]:
    """The files of an output: of an ENVI header its data, too."""
    return [output, output.with_suffix(".img")] if output.suffix.lower() == ".hdr" else [output]


def _read_with(given: Path) -> list[Path]:
    """The files of an input: of an ENVI picture header and data, whichever is given."""
    from msfit.io import files_of

    try:
        return [given] if given.is_dir() else [given, *files_of(given)]
    except (OSError, ValueError):
        return [given]


def check_absent(outputs: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse to write over results that exist, unless `overwrite`.

    Raises
    ------
    InputError
        One exists.
    """
    for output in outputs:
        written = [] if output is None or overwrite else _written_with(output.expanduser())
        for path in [path for path in written if path.exists()]:
            raise InputError(f"{path}: exists; choose another output, or write over it: --overwrite")


def tidy(output: Path) -> None:
    """Remove what a writer of this output that was killed has left beside it. Call it while no other writes it."""
    with contextlib.suppress(OSError):
        for left in output.parent.glob(f"{_mark(output)}*{output.suffix}"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def part_of(output: Path) -> Path:
    """Where a fit from disk to disk keeps what it has until all of an output is there."""
    return output.with_name(output.name + ".part")


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Lend a path to write to, and rename it to `path` when all went well; otherwise leave nothing behind.

    Raises
    ------
    InputError
        The disk is full, the folder absent, or writing is not allowed.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "greeting.txt"
    >>> with written_whole(target) as part:
    ...     _ = part.write_text("hello")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('hello', 1)
    """
    path = Path(path)
    with explained(path):
        # a link is followed: renaming onto it would cut it off from the file that it points to
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        part = _beside(target)
        try:
            yield part
            if target.exists():  # it keeps its permissions
                shutil.copymode(target, part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """As `written_whole`, of a folder: one that exists is put aside, and removed once the new one stands in its place.

    Raises
    ------
    InputError
        As of `written_whole`.
    """
    path = Path(path)
    with explained(path):
        target = path.resolve() if path.is_symlink() else path
        part, old = _beside(target), _beside(target)
        try:
            yield part
            if target.exists():
                os.replace(target, old)
            try:
                os.replace(part, target)
            except OSError:
                if old.exists():
                    os.replace(old, target)
                raise
        finally:
            for left in (part, old):
                shutil.rmtree(left, ignore_errors=True)


def _is_store(path: Path) -> bool:
    """Whether a folder is a Zarr store, which may be written over, or an empty one of such a name."""
    if path.suffix.lower() != ".zarr":
        return False
    return any((path / name).exists() for name in ("zarr.json", ".zgroup")) or not any(path.iterdir())


def _beside(path: Path) -> Path:
    # the same extension: writers that look at it must not be misled
    return path.with_name(f"{_mark(path)}{secrets.token_hex(6)}{path.suffix}")


def _mark(path: Path) -> str:
    """What names of files begin with that become `path`; short, whatever its own length."""
    return f".msfit-{hashlib.sha256(path.name.encode(errors='surrogateescape')).hexdigest()[:8]}-"


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path}: the disk is full; make room or choose another folder") from error
        if error.errno == errno.EPIPE:
            raise
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise InputError(f"{path}: cannot be written ({reason}); choose another folder or file name") from error
