"""Where a fit runs and in which type; torch is asked only where there may be a GPU."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.cube import Cube, precision
from msfit.errors import InputError, said

if TYPE_CHECKING:
    import torch

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
        return np.dtype(np.float64 if precision(cube.values.dtype) == np.float64 else np.float32)
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
