"""The most probable numbers of a pixel under a prior and known noise (maximum a posteriori), and their uncertainty.

    (y - i_d r(x) - i_s)' N^-1 (y - i_d r(x) - i_s) + min_k [(v - m_k)' C_k^-1 (v - m_k) + c_k],   v = (x, i_d, i_s)

with N the covariance of noise and of what the model leaves over, and components k of a Gaussian mixture with means m_k,
covariances C_k and c_k = log det C_k - 2 log share_k; a Gaussian has one. The density of a mixture is the sum of its
components, and here the largest of them, so that the minimum is the least of one problem a component, and as global as
these are (`search`).

Where bands are correlated they are mixed until they are not. With S = N^-1/2 and u = S 1, the reflection H (A. S.
Householder, J. ACM 5, 1958) that turns u to a multiple c of (1, ..., 1), y -> H S y / c and r -> H S r / c leave the
form of the problem as it is, i_s multiplying ones, with independent noise of variance 1 / c^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.solve.backends.reference import ReferenceSolver
from msfit.solve.loss import Loss
from msfit.solve.problem import Prior
from msfit.solve.solution import Solution
from msfit.solve.uncertainty import Uncertainty, uncertainty


@dataclass(frozen=True, eq=False)
class Component:
    """One Gaussian of a mixture: `prior`, whose root' root is C^-1, and `constant` c, (n,) or (1,)."""

    prior: Prior
    constant: Tensor

    def take(self, index: Tensor) -> Component:
        """The component for some of the pixels."""
        constant = self.constant if len(self.constant) == 1 else self.constant[index]
        return Component(self.prior.take(index), constant)


class PosteriorSolver:
    """Maximum a posteriori estimates.

    Parameters
    ----------
    solver : ReferenceSolver
        On the bands, in the type and place of the pixels; its bounds are kept.
    noise : float64 array (band,) or (band, band)
        Variances, or a covariance, of a pixel's bands about the model.
    """

    def __init__(self, solver: ReferenceSolver, noise: np.ndarray) -> None:
        self.solver, self.noise = solver, noise
        self._mixed: dict[bytes, tuple[ReferenceSolver, np.ndarray, float]] = {}

    def __call__(
        self, pixels: Tensor, usable: Tensor | None, components: Sequence[Component]
    ) -> tuple[Solution, Uncertainty]:
        """Fit pixels (n, band), of whose samples `usable` (n, band) are known, None for all.

        The cost of the solution is the sum that is minimised times the variance of its unit.
        """
        if self.noise.ndim == 1:
            variance = 1 / float((1 / self.noise).mean())
            alike = bool((self.noise == self.noise[0]).all())
            weights = None if alike else torch.from_numpy(variance / self.noise).to(pixels)
            scale = None if usable is None else usable.to(pixels.dtype)
            sigma = torch.from_numpy(self.noise).sqrt().to(pixels.device).expand(pixels.shape)
            return self._least(self.solver, pixels, Loss(weights, scale, None, sigma), components, variance)
        if usable is None or bool(usable.all()):
            return self._decorrelated(pixels, np.ones(pixels.shape[1], bool), components)
        patterns, group = np.unique(usable.cpu().numpy(), axis=0, return_inverse=True)
        parts, order = [], []
        for number, pattern in enumerate(patterns):
            index = torch.from_numpy(np.flatnonzero(group.ravel() == number)).to(pixels.device)
            parts.append(self._decorrelated(pixels[index], pattern, [each.take(index) for each in components]))
            order.append(index)
        back = torch.cat(order).argsort()
        solution, certainty = parts[0]
        for more, also in parts[1:]:
            solution = solution.joined(more)
            joined = (torch.cat(pair) for pair in zip(vars(certainty).values(), vars(also).values(), strict=True))
            certainty = Uncertainty(*joined)
        return solution.take(back), Uncertainty(*(values[back] for values in vars(certainty).values()))

    def _decorrelated(
        self, pixels: Tensor, pattern: np.ndarray, components: Sequence[Component]
    ) -> tuple[Solution, Uncertainty]:
        """Pixels of which the same bands are known, those of `pattern` (band,)."""
        key = pattern.tobytes()
        if key not in self._mixed:
            mixing, variance = decorrelation(self.noise[np.ix_(pattern, pattern)])
            whole = np.zeros((len(mixing), len(pattern)))
            whole[:, pattern] = mixing
            self._mixed[key] = self.solver.mixed(whole), whole, variance
        solver, whole, variance = self._mixed[key]
        weights = torch.from_numpy(whole).to(pixels.device)
        known = torch.where(torch.from_numpy(pattern).to(pixels.device), pixels, 0).double()
        # band by band: a product of matrices may round differently with the number of pixels
        mixed = torch.zeros(len(pixels), len(whole), dtype=torch.float64, device=pixels.device)
        for band in np.flatnonzero(pattern):
            mixed = mixed + known[:, band : band + 1] * weights[:, band]
        y = mixed.to(pixels.dtype)
        sigma = torch.full_like(mixed, variance**0.5)
        return self._least(solver, y, Loss(None, None, None, sigma), components, variance)

    def _least(
        self, solver: ReferenceSolver, pixels: Tensor, loss: Loss, components: Sequence[Component], variance: float
    ) -> tuple[Solution, Uncertainty]:
        """The least over the components, and its uncertainty; `variance` of a residual of weight 1."""
        found: list[tuple[Solution, Uncertainty]] = []
        for component in components:
            own = component.prior
            prior = Prior(own.mean, own.root * variance**0.5).to(pixels.dtype, pixels.device)
            solution = solver(pixels, loss.squares(pixels), prior)
            solution.cost = solution.cost + variance * component.constant.to(solution.cost)
            ends = solver.lower, solver.upper, solver.shadings
            about = Prior(*(part.expand(len(pixels), *part.shape[1:]) for part in (prior.mean, prior.root)))
            own_std = uncertainty(solver.skin, solution, pixels, loss, *ends, prior=about, variance=variance)
            found.append((solution, own_std))
        return found[0] if len(found) == 1 else _together(found, variance)


def _together(found: Sequence[tuple[Solution, Uncertainty]], variance: float) -> tuple[Solution, Uncertainty]:
    """The least of solutions (n,), and the spread of all of them about it.

    Each component has as much of the posterior as the integral of its Gaussian about its own minimum (Laplace).
    """
    best, certainty = found[0]
    for solution, own in found[1:]:
        lower = solution.cost < best.cost
        best = Solution(*_chosen(lower, solution, best))
        certainty = Uncertainty(*_chosen(lower, own, certainty))
    first, second = (list(places) for places in zip(*combinations(range(certainty.std.shape[1]), 2), strict=True))
    middle, evidences, spreads = _numbers(best), [], []
    for solution, own in found:
        std = torch.nan_to_num(own.std.double(), nan=0.0)
        matrix = torch.diag_embed(torch.ones_like(std))
        matrix[:, first, second] = matrix[:, second, first] = torch.nan_to_num(own.correlation.double(), nan=0.0)
        volume = torch.linalg.slogdet(matrix).logabsdet + 2 * torch.where(std > 0, std, 1).log().sum(1)
        evidences.append(0.5 * (volume - (solution.cost - best.cost).double() / variance))
        away = _numbers(solution) - middle
        matrix = matrix * std.unsqueeze(1) * std.unsqueeze(2)
        spreads.append(matrix + away.unsqueeze(1) * away.unsqueeze(2))
    shares = torch.softmax(torch.nan_to_num(torch.stack(evidences), nan=-torch.inf), 0)
    spread = (shares[:, :, None, None] * torch.stack(spreads)).sum(0)
    std = spread.diagonal(dim1=1, dim2=2).sqrt()
    correlation = (spread[:, first, second] / (std[:, first] * std[:, second])).clamp(-1, 1)
    return best, Uncertainty(
        torch.where(certainty.std.isnan(), torch.nan, std.to(certainty.std)),
        torch.where(certainty.correlation.isnan(), torch.nan, correlation.to(certainty.std)),
    )


def _numbers(solution: Solution) -> Tensor:
    return torch.cat((solution.x, solution.i_d.unsqueeze(1), solution.i_s.unsqueeze(1)), 1).double()


def _chosen(condition: Tensor, first: Any, second: Any) -> list[Tensor]:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return [torch.where(condition.reshape(-1, *(1,) * (new.ndim - 1)), new, old) for new, old in pairs]


def decorrelation(noise: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (band, band) that mix bands of covariance `noise` so that ones stay ones, and the variance of each then.

    Examples
    --------
    >>> noise = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> mixing, variance = decorrelation(noise)
    >>> np.allclose(mixing @ noise @ mixing.T, variance * np.eye(2)), np.allclose(mixing.sum(1), 1)
    (True, True)
    """
    values, vectors = np.linalg.eigh(noise)
    root = (vectors / np.sqrt(values)) @ vectors.T
    white, ones = root.sum(1), np.ones(len(noise)) / np.sqrt(len(noise))
    length = np.linalg.norm(white)
    axis = white / length - ones
    size = axis @ axis
    turned = root if size < 1e-28 else root - np.outer(axis, axis @ root) * (2 / size)
    scale = length / np.sqrt(len(noise))
    return turned / scale, float(1 / scale**2)
