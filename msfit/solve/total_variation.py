"""Isotropic total variation of maps (channel, y, x) on the pixels that are there, and its proximal operator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LOOK_EVERY = 10


@dataclass(frozen=True, eq=False)
class Edges:
    """Which neighbours of a picture are compared: 1 where a pixel and the one to its right, or below, are both there.

    `right` and `down` are (y, x), 0 in the last column or row.
    """

    right: Tensor
    down: Tensor

    @classmethod
    def between(cls, inside: Tensor, dtype: torch.dtype) -> Edges:
        """Edges between the pixels that are `inside`, bool (y, x)."""
        right, down = (torch.zeros(inside.shape, dtype=dtype, device=inside.device) for _ in range(2))
        right[:, :-1] = (inside[:, 1:] & inside[:, :-1]).to(dtype)
        down[:-1] = (inside[1:] & inside[:-1]).to(dtype)
        return cls(right, down)

    def gradient(self, maps: Tensor) -> Tensor:
        """Forward differences (2, channel, y, x), rightwards and downwards, 0 across an edge that is not there."""
        right, down = torch.zeros_like(maps), torch.zeros_like(maps)
        right[..., :-1] = maps[..., 1:] - maps[..., :-1]
        down[..., :-1, :] = maps[..., 1:, :] - maps[..., :-1, :]
        return torch.stack((right * self.right, down * self.down))

    def adjoint(self, flow: Tensor) -> Tensor:
        """The adjoint of `gradient`, minus the divergence: (2, channel, y, x) -> (channel, y, x)."""
        across, along = flow[0] * self.right, flow[1] * self.down
        found = -(across + along)
        found[..., 1:] += across[..., :-1]
        found[..., 1:, :] += along[..., :-1, :]
        return found


def total_variation(maps: Tensor, edges: Edges) -> Tensor:
    """Sum over the pixels of the length of the gradient, of each map: (channel, y, x) -> (channel,)."""
    return edges.gradient(maps).square().sum(0).sqrt().sum((-2, -1))


def prox_total_variation(
    maps: Tensor, strength: Tensor, edges: Edges, flow: Tensor, *, tolerance: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Minimise |z - maps|^2 / 2 + strength TV(z) for each map: z (channel, y, x), and the flow that proves it.

    Its dual, the flow p with |p| <= strength at every pixel that makes z = maps - adjoint(p) shortest, is solved by
    accelerated projected gradients (Chambolle 2004; Beck & Teboulle 2009) that restart when they overshoot
    (O'Donoghue & Candes 2015), from a `flow` (2, channel, y, x) of which the first guess is zero. It ends when primal
    and dual objective differ by less than `tolerance` of the primal one for each map, or after so many `steps`.
    """
    limit = strength.view(-1, 1, 1)
    flow = _project(flow, limit)
    ahead, momentum = flow, 1.0
    for step in range(steps):
        # 1/8: the square of the gradient's norm is at most 8
        following = _project(ahead + edges.gradient(maps - edges.adjoint(ahead)) / 8, limit)
        change = following - flow
        if float(((ahead - following) * change).sum()) > 0:
            ahead, momentum = following, 1.0
        else:
            next_momentum = (1 + (1 + 4 * momentum * momentum) ** 0.5) / 2
            ahead = following + (momentum - 1) / next_momentum * change
            momentum = next_momentum
        flow = following
        if step % _LOOK_EVERY == 0 and bool((_gap(maps, flow, limit, edges) <= tolerance).all()):
            break
    return maps - edges.adjoint(flow), flow


def _gap(maps: Tensor, flow: Tensor, limit: Tensor, edges: Edges) -> Tensor:
    """By how much of the primal objective it may lie above the minimum, for each map (channel,)."""
    push = edges.adjoint(flow)
    slope = edges.gradient(maps - push)
    variation = limit * slope.square().sum(0).sqrt()
    gap = (variation - (slope * flow).sum(0)).sum((-2, -1))
    primal = 0.5 * push.square().sum((-2, -1)) + variation.sum((-2, -1))
    return gap / primal.clamp_min(torch.finfo(primal.dtype).tiny)


def _project(flow: Tensor, limit: Tensor) -> Tensor:
    """Flows no longer than the limit at every pixel."""
    length = flow.square().sum(0).sqrt()
    return flow * (limit / length.clamp_min(torch.finfo(flow.dtype).tiny)).clamp_max(1)
