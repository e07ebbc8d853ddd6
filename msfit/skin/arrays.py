"""Formulas written once for numpy arrays and torch tensors: the functions that both have under one name."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def namespace(array: Any) -> Any:
    """The module with the functions of an array: numpy, or torch, which is loaded where there is a tensor.

    Of these, both have under one name and with the same order of arguments: abs, broadcast_to, clip, concatenate, cos,
    exp, expm1, finfo, maximum, ones_like, sqrt, stack, where.
    """
    return np if isinstance(array, np.ndarray | np.generic | float) else sys.modules["torch"]


def converted(array: Any, dtype: Any, device: Any) -> Any:
    """An array or tensor as a tensor of a torch type on a device."""
    import torch

    # a copy, lest a tensor writes to an array that others keep
    tensor = torch.from_numpy(np.array(array)) if isinstance(array, np.ndarray | np.generic | float) else array
    return tensor.to(dtype=dtype, device=device)
