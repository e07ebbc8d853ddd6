"""Where a fit runs and in which type: a device, or threads of the CPU, one a core, that change nothing for the process.

Torch is asked only where there may be a GPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from msfit.data.cube import Cube, precision
from msfit.errors import InputError, said

if TYPE_CHECKING:
    import torch

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")
_MOST_THREADS = 1024  # of which each has an array of its own
# Of drivers of NVIDIA and AMD, on Linux and in its guise under Windows.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


class Device(str):
    """A device by torch's name for it, "cpu" or "cuda:0"."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """Its kind, "cpu" or "cuda"."""
        return self.partition(":")[0]


def resolve_device(name: str) -> Device:
    """The device of that name, "auto" being a GPU if there is one.

    Raises
    ------
    InputError
        It cannot be used.
    """
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return Device("cpu")
    return Device(str(torch_device(name)))


def torch_device(name: str) -> torch.device:
    """The same as torch has it."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except Exception as error:  # torch has one of its own for each device
        reason = said(error).split(". ")[0]
        if reason.startswith("Expected one of"):  # and all kinds that torch has ever had
            reason = "no such kind of device"
        raise InputError(
            f"device: {name!r} cannot be used ({reason}); expected auto, cpu or a GPU that is there"
        ) from None
    return device


def resolve_dtype(name: str | None, cube: Cube) -> np.dtype[Any]:
    """The type of that name, or that of the cube's values (float32 for integers)."""
    if name is None:
        return np.dtype(precision(cube.values.dtype))
    if name not in ("float32", "float64"):
        raise InputError(f"dtype: found {name!r}; expected float32 or float64")
    return np.dtype(name)


def _may_have_gpu() -> bool:
    """Whether it is worth asking torch, which takes a second to load."""
    if "torch" in sys.modules:
        return True
    if sys.platform == "win32":
        return os.path.exists(os.path.join(os.environ.get("SYSTEMROOT", ""), "System32", "nvcuda.dll"))
    return any(os.path.exists(driver) for driver in _DRIVERS)


def cores() -> int:
    """Threads that a fit takes: OMP_NUM_THREADS, or torch's number where it is loaded, or the process's cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted[:6]) > 0:
        return min(int(wanted[:6]), _MOST_THREADS)
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
