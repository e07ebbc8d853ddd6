"""Threads that work off blocks of pixels, one a core, and change nothing for the rest of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")
_MOST = 1024  # threads, of which each has an array of its own


def cores() -> int:
    """Threads that a fit takes: OMP_NUM_THREADS, or torch's number where it is loaded, or the process's cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted[:6]) > 0:
        return min(int(wanted[:6]), _MOST)
    number = getattr(sys.modules.get("torch"), "get_num_threads", None)  # None while another thread still loads it
    if number is not None:
        return int(number())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(count: int) -> Iterator[Callable[[Callable[[_Item], _Out], Iterable[_Item]], Iterator[_Out]]]:
    """A map over some threads, in order, whose work begins at once; where an error ends it what waits is dropped."""
    with ThreadPoolExecutor(count) as threads:
        try:
            yield lambda work, items: iter(threads.map(work, items))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
