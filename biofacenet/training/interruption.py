"""Ctrl-C put off until what is under way is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def put_off() -> Iterator[threading.Event]:
    """Note Ctrl-C instead of raising it; a second one is raised at once.

    Yields
    ------
    threading.Event
        Set once Ctrl-C was pressed. Outside the main thread, which alone is told of it, never.
    """
    noted = threading.Event()

    def note(*_: Any) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
