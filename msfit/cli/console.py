"""Words to the user: results on standard output; notes, errors and progress on standard error."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

# Work shorter than this needs no progress bar [s].
_PATIENCE = 1.0

# All but tabs and ends of lines; signs that turn the direction of writing; other ends of lines.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

Advance = Callable[[int, int], None]

_program = "msfit"


def speak_as(program: str) -> None:
    """Name the program that complains from now on."""
    global _program
    _program = program


def say(text: str) -> None:
    """Print a result. A reader that has gone away does not stop the work."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """Print one line on standard error."""
    _write(sys.stderr, f"{_program}: {' '.join(text.split())}")


def flush() -> None:
    """Send off what was printed, while it can still be done quietly."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed by who started us
                stream.flush()
        except OSError:  # nobody reads, or there is no space for what they would read
            _silence(stream)


@contextlib.contextmanager
def compiling_told(quiet: bool = False) -> Iterator[None]:
    """While it lasts say, once, that numba compiles: the first fit of an installation waits for it."""
    if quiet:
        yield
        return
    from numba.core import event

    class Listener(event.Listener):
        told = False

        def on_start(self, _: event.Event) -> None:
            if not self.told:
                self.told = True
                complain("compiling for this processor, once: takes up to a minute, later fits start at once")

        def on_end(self, _: event.Event) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


@contextlib.contextmanager
def progress_bar(label: str, quiet: bool = False, in_bytes: bool = False) -> Iterator[Advance | None]:
    """A progress bar on a terminal, once the work has taken a while; None where nobody would see it.

    Yields
    ------
    callable or None
        To be told what is done and how much there is.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar(label, in_bytes)
    try:
        yield bar
    finally:
        bar.close()


class _Bar:
    def __init__(self, label: str, in_bytes: bool) -> None:
        self._label, self._in_bytes = label, in_bytes
        self._started = time.monotonic()
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._progress is None:
            if time.monotonic() - self._started < _PATIENCE or done >= total > 0:
                return
            self._progress = self._open()
        self._progress.update(self._progress.task_ids[0], completed=done, total=total or None)

    def _open(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        label = TextColumn("{task.description}", markup=False)
        amount = DownloadColumn() if self._in_bytes else TextColumn("{task.percentage:>3.0f} %")
        on_screen = Console(stderr=True)
        progress = Progress(label, BarColumn(), amount, TimeRemainingColumn(), console=on_screen, transient=True)
        progress.add_task(printable(self._label), total=None)
        progress.start()
        return progress

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def printable(text: str) -> str:
    r"""Text without what a terminal would obey: names of files may hold its control sequences.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    try:
        print(printable(text), file=stream, flush=True)
    except OSError:  # the result is in its file; that its summary cannot be shown does not undo it
        _silence(stream)


def _silence(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
