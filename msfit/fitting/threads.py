"""Threads that work off blocks of pixels, one a core, and change nothing for the rest of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")


def cores() -> int:
    """Threads that a fit takes: OMP_NUM_THREADS, or torch's number where it is loaded, or the process's cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    number = getattr(sys.modules.get("torch"), "get_num_threads", None)  # None while another thread still loads it
    if number is not None:
        return int(number())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's operations that the calling thread begins run on it alone; nothing where torch is not loaded.

    They are too small to be split, and after a fork the threads that they would be split over are gone. OpenMP keeps
    the number of threads for each thread by itself, so no other sees a difference.
    """
    if "torch" not in sys.modules:
        yield
        return
    import torch  # waits for another thread that is loading it

    torch.get_num_threads()  # sets the number for a thread that is new to torch, which would undo ours
    pools = _openmp()
    before = [pool.num_threads for pool in pools]
    try:
        for pool in pools:
            pool.set_num_threads(1)
        yield
    finally:
        for pool, number in zip(pools, before, strict=True):
            pool.set_num_threads(number)


@cache
def _openmp() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="openmp").lib_controllers)


@contextmanager
def workers(count: int) -> Iterator[Callable[[Callable[[_Item], _Out], Iterable[_Item]], Iterator[_Out]]]:
    """A map over some threads, in order, whose work begins at once; where an error ends it what waits is dropped."""
    with ThreadPoolExecutor(count) as threads:
        try:
            yield lambda work, items: iter(threads.map(work, items))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
