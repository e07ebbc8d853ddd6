"""Isotropic total variation of maps (channel, y, x) on the pixels that are there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        gradient = maps.new_zeros((2, *maps.shape))
        torch.sub(maps[..., 1:], maps[..., :-1], out=gradient[0, ..., :-1])
        torch.sub(maps[..., 1:, :], maps[..., :-1, :], out=gradient[1, ..., :-1, :])
        gradient[0] *= self.right
        gradient[1] *= self.down
        return gradient

    def degree(self) -> Tensor:
        """How many edges every pixel has, (y, x)."""
        degree = self.right + self.down
        degree[:, 1:] += self.right[:, :-1]
        degree[1:] += self.down[:-1]
        return degree

    def adjoint(self, flow: Tensor) -> Tensor:
        """The adjoint of `gradient`, minus the divergence: (2, channel, y, x) -> (channel, y, x)."""
        across, along = flow[0] * self.right, flow[1] * self.down
        divergence = -(across + along)
        divergence[..., 1:] += across[..., :-1]
        divergence[..., 1:, :] += along[..., :-1, :]
        return divergence


def total_variation(maps: Tensor, edges: Edges) -> Tensor:
    """Sum over the pixels of the length of the gradient, of each map: (channel, y, x) -> (channel,)."""
    return edges.gradient(maps).square().sum(0).sqrt().sum((-2, -1))
