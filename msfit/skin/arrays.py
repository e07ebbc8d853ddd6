"""Formulas written once for numpy arrays and torch tensors: the functions that both have under one name."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


class _Namespaces(dict[type, Any]):
    def __missing__(self, kind: type) -> Any:
        self[kind] = np if issubclass(kind, np.ndarray | np.generic) else sys.modules["torch"]
        return self[kind]


#: The module with the functions of an array, by its type: numpy, or torch, which is loaded where there is a tensor.
#: Of these, both have under one name and with the same order of arguments: abs, broadcast_to, clip, concatenate, cos,
#: exp, expm1, finfo, maximum, ones_like, sqrt, stack, where.
NAMESPACES = _Namespaces(dict.fromkeys((np.ndarray, np.float64, np.float32, float, int), np))


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor; torch is not loaded for the answer."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def converted(array: Any, dtype: Any, device: Any = "cpu") -> Any:
    """An array or tensor in a numpy type, or as a tensor of a torch type on a device."""
    if dtype in (np.float32, np.float64):
        return np.asarray(array.detach().cpu() if is_tensor(array) else array).astype(dtype)[()]
    import torch

    # a copy, lest a tensor writes to an array that others keep
    tensor = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array))
    return tensor.to(dtype=dtype, device=device)
