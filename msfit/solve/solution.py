"""What comes out of a solver, and what a descent looks at on its way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from msfit.skin.arrays import NAMESPACES


@dataclass(eq=False)
class Local:
    """An objective around points (n, p): cost (n,), half its gradient (n, p), half a model of its Hessian (n, p, p).

    `rounding` (n,): what rounding may do to the cost. A subclass may keep more about each point.
    """

    cost: Any
    gradient: Any
    hessian: Any
    rounding: Any


@dataclass(eq=False)
class Point(Local):
    """The projected objective around a point x (n, p) of each pixel, with its best shadings i_d and i_s (n,)."""

    x: Any
    i_d: Any
    i_s: Any


@dataclass(eq=False)
class Solution:
    """Minima of pixels: x (n, p), i_d, i_s, cost, whether the descent `converged`, its number of `steps` (n,).

    Numpy arrays or torch tensors, as the backend makes them.
    """

    x: Any
    i_d: Any
    i_s: Any
    cost: Any
    converged: Any
    steps: Any

    def take(self, index: Any) -> Solution:
        """Some of the pixels."""
        return Solution(*(value[index] for value in vars(self).values()))

    def joined(self, other: Solution) -> Solution:
        """These pixels and, behind them, those of another."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Solution(*(NAMESPACES[type(first)].concatenate((first, second)) for first, second in pairs))

    def scaled(self, unit: Any) -> Solution:
        """The same of pixels that are `unit` (n,) times as bright."""
        return replace(self, i_d=self.i_d * unit, i_s=self.i_s * unit, cost=self.cost * unit * unit)

    def torch(self) -> Solution:
        """The same, of numpy arrays, in tensors."""
        import torch

        return Solution(*(torch.from_numpy(value) for value in vars(self).values()))

    def numpy(self) -> Solution:
        """The same in numpy arrays."""
        return Solution(*(value.cpu().numpy() if hasattr(value, "cpu") else value for value in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """`std` (n, parameter) and `correlation` (n, pair) of f_mel, f_blood, i_d, i_s; pairs as `uncertainty.pairs`."""

    std: Any
    correlation: Any
