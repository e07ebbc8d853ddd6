"""Of several descents of a pixel, the one that ended lowest."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.solve.newton import Descent
from msfit.solve.objective import Point


def cheapest(owner: Tensor, found: Descent, count: int) -> Descent:
    """Of each pixel the cheapest of its descents, the earliest among equals."""
    if owner.numel() == count:
        return found
    best = best_of(owner, found.point.cost, count)
    return Descent(found.point.take(best), found.converged[best], found.steps[best])


def joined(first: Descent, second: Descent) -> Descent:
    """The pixels of two descents, one after the other."""
    point = Point(
        *(torch.cat(pair) for pair in zip(vars(first.point).values(), vars(second.point).values(), strict=True))
    )
    return Descent(point, torch.cat((first.converged, second.converged)), torch.cat((first.steps, second.steps)))


def best_of(owner: Tensor, cost: Tensor, count: int) -> Tensor:
    """Index of the cheapest descent of each pixel, the earliest among equals, (count,). NaN is the dearest."""
    cost = torch.nan_to_num(cost, nan=torch.inf, posinf=torch.inf)
    least = torch.full((count,), torch.inf, dtype=cost.dtype, device=cost.device).scatter_reduce(0, owner, cost, "amin")
    order = torch.arange(owner.numel(), device=owner.device)
    candidates = torch.where(cost == least[owner], order, owner.numel())
    return torch.full_like(order[:count], owner.numel()).scatter_reduce(0, owner, candidates, "amin")
