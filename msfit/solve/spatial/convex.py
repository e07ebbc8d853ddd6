"""The convex half of a fit with spatial priors: a quadratic a pixel, total variation and bounds, solved by its dual."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.solve.spatial.total_variation import Edges, total_variation

_LOOK_EVERY = 20


@dataclass(frozen=True, eq=False)
class Forces:
    """The dual's unknowns: flows (2, k, y, x) along the edges, and the push (k, y, x) of the bounds."""

    flow: Tensor
    push: Tensor

    @classmethod
    def none(cls, maps: Tensor) -> Forces:
        """Where the dual starts, for maps (k, y, x)."""
        return cls(maps.new_zeros((2, *maps.shape)), torch.zeros_like(maps))


@dataclass(frozen=True, eq=False)
class Minimum:
    """Maps (k, y, x) inside the bounds and the dual that belongs to them, found in so many steps.

    `change` is that of the objective from where it started; it ends at most `gap` above the minimum.
    """

    maps: Tensor
    forces: Forces
    change: float
    gap: float
    steps: int


@dataclass(frozen=True, eq=False)
class Convex:
    """Minimise sum_p (g_p . d_p + d_p . H_p d_p / 2) + sum_k strength_k TV(x_k) over lower <= x <= upper.

    d = x - start. `start` and `gradient` g (k, y, x); `hessian` H and its `inverse` (k, k, y, x), both 0 where there is
    no pixel, the inverse also for an unknown that is held at its start; `strength`, `lower` and `upper` (k,).
    """

    edges: Edges
    start: Tensor
    gradient: Tensor
    hessian: Tensor
    inverse: Tensor
    strength: Tensor
    lower: Tensor
    upper: Tensor

    def minimise(self, forces: Forces, *, share: float, gap: float, steps: int) -> Minimum:
        """Solve it from a guess of the dual, until the gap is at most `gap` or this `share` of what has been gained.

        The dual (Chambolle 2004), with flows at most `strength` long at every pixel, is solved by accelerated projected
        gradients (Beck & Teboulle 2009) with a step of its own for every edge and bound (Pock & Chambolle 2011), which
        restart when they overshoot (O'Donoghue & Candes 2015).
        """
        limit = self.strength.view(-1, 1, 1)
        along_edge, along_bound = self._steps()
        stiff_edge, stiff_bound = (torch.where(step > 0, 1 / step, 0) for step in (along_edge, along_bound))
        pixel = along_bound > 0
        lowest = torch.where(pixel, along_bound * self.lower.view(-1, 1, 1), -torch.inf)
        highest = torch.where(pixel, along_bound * self.upper.view(-1, 1, 1), torch.inf)
        flow, push = _shortened(forces.flow, limit), forces.push
        ahead, momentum = Forces(flow, push), 1.0
        for step in range(1, steps + 1):
            maps = self._answer(ahead)
            next_flow = _shortened(ahead.flow + along_edge * self.edges.gradient(maps), limit)
            pushed = ahead.push + along_bound * maps
            next_push = (pushed - highest).clamp_min(0) + (pushed - lowest).clamp_max(0)
            flow_change, push_change = next_flow - flow, next_push - push
            flow, push = next_flow, next_push
            overshot = (stiff_edge * (ahead.flow - flow) * flow_change).sum()
            if float(overshot + (stiff_bound * (ahead.push - push) * push_change).sum()) > 0:
                ahead, momentum = Forces(flow, push), 1.0
            else:
                next_momentum = (1 + (1 + 4 * momentum * momentum) ** 0.5) / 2
                onward, momentum = (momentum - 1) / next_momentum, next_momentum
                ahead = Forces(flow + onward * flow_change, push + onward * push_change)
            if step % _LOOK_EVERY == 0 or step == steps:
                minimum = self._minimum(Forces(flow, push), step)
                if minimum.gap <= max(gap, -share * minimum.change):
                    break
        return minimum

    def _steps(self) -> tuple[Tensor, Tensor]:
        """Steps of the flows and the push at each pixel: at most 1 over a row sum of the dual's Hessian, absolute.

        Rows of pushes count half and step half as far: most bounds do not push.
        """
        touched = self.inverse.abs().sum(1) * (self.edges.degree() + 0.5)
        across, down = torch.zeros_like(touched), torch.zeros_like(touched)
        across[..., :-1] = touched[..., 1:] + touched[..., :-1]
        down[..., :-1, :] = touched[..., 1:, :] + touched[..., :-1, :]
        along = torch.maximum(across * self.edges.right, down * self.edges.down)
        return torch.where(along > 0, 1 / along, 0), torch.where(touched > 0, 0.5 / touched, 0)

    def _answer(self, forces: Forces) -> Tensor:
        """The maps (k, y, x) at which the quadratics balance the forces."""
        force = self.gradient + self.edges.adjoint(forces.flow) + forces.push
        return self.start - (self.inverse * force).sum(1)

    def _minimum(self, forces: Forces, steps: int) -> Minimum:
        lower, upper = self.lower.view(-1, 1, 1), self.upper.view(-1, 1, 1)
        free = self._answer(forces)
        maps = free.clamp(lower, upper)
        step, beyond, push = maps - self.start, maps - free, forces.push
        variation = (self.strength * total_variation(maps, self.edges)).sum()
        before = (self.strength * total_variation(self.start, self.edges)).sum()
        change = (step * (self.gradient + 0.5 * (self.hessian * step).sum(1))).sum() + variation - before
        # what the forces fail to do: bend the quadratics to the maps, run along their slopes, push at their bounds
        gap = 0.5 * (beyond * (self.hessian * beyond).sum(1)).sum()
        gap = gap + variation - (self.edges.gradient(maps) * forces.flow).sum()
        gap = gap + torch.where(push != 0, push * (torch.where(push > 0, upper, lower) - maps), 0).sum()
        return Minimum(maps, forces, float(change), float(gap), steps)


def _shortened(flow: Tensor, limit: Tensor) -> Tensor:
    """Flows no longer than the limit at every pixel."""
    length = flow.square().sum(0).sqrt()
    return flow * (limit / length.clamp_min(torch.finfo(flow.dtype).tiny)).clamp_max(1)
