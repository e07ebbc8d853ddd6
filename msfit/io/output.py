"""Files appear whole or not at all: they are written beside their place, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path

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
        if path.is_dir():
            raise InputError(f"{path}: found a folder; expected the name of a file to write")
        trial = _beside(path)
        try:
            trial.touch(exist_ok=False)
        finally:
            trial.unlink(missing_ok=True)
    return path


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
        target = path.resolve() if path.is_symlink() else path
        part = _beside(target)
        try:
            yield part
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    # the same extension: writers that look at it must not be misled
    return path.with_name(f".msfit-{secrets.token_hex(6)}{path.suffix}")


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
