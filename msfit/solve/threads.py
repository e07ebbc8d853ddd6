"""Torch held to the thread that calls it, without a change that another thread sees."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


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
