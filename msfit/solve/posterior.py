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
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.skin.arrays import NAMESPACES, converted, is_tensor
from msfit.solve.problem import Component
from msfit.solve.solution import Solution, Uncertainty

if TYPE_CHECKING:
    from torch import Tensor

    from msfit.solve.backends.reference import ReferenceSolver
    from msfit.solve.solver import PigmentSolver


#: A solution, what is known of it, and what it leaves of the pixels (n, band).
Posterior = tuple[Solution, Uncertainty, Any]


class PosteriorSolver:
    """Maximum a posteriori estimates.

    Parameters
    ----------
    solver : PigmentSolver
        On the bands, in the type and place of the pixels; its bounds are kept.
    noise : float64 array (band,) or (band, band)
        Variances, or a covariance, of a pixel's bands about the model.
    """

    def __init__(self, solver: PigmentSolver, noise: np.ndarray) -> None:
        self.solver, self.noise = solver, noise

    def __call__(self, pixels: Any, usable: Any, components: Sequence[Component]) -> Posterior:
        """Fit pixels (n, band), of whose samples `usable` (n, band) are known, None for all.

        The solution, what is known of it and its residual (n, band), 0 where there is no sample; all in arrays of the
        kind of `pixels`, the components in numpy. The cost of the solution is the sum that is minimised times the
        variance of its unit.
        """
        if self.noise.ndim == 1:
            variance = 1 / float((1 / self.noise).mean())
            weights = None if usable is None else usable * NAMESPACES[type(pixels)].ones_like(pixels)
            if not bool((self.noise == self.noise[0]).all()):
                each = NAMESPACES[type(pixels)].ones_like(pixels) * _like(variance / self.noise, pixels)
                weights = each if weights is None else weights * each
            solution, certainty, residual = self._least(self.solver, pixels, weights, components, variance)
            return solution, certainty, residual if usable is None else residual * usable
        if usable is None or bool(usable.all()):
            return self._decorrelated(pixels, np.ones(pixels.shape[1], bool), components)
        known = usable.cpu().numpy() if is_tensor(usable) else usable
        patterns, group = np.unique(known, axis=0, return_inverse=True)
        parts, order = [], []
        for number, pattern in enumerate(patterns):
            index = np.flatnonzero(group.ravel() == number)
            some = pixels[_index(index, pixels)]
            parts.append(self._decorrelated(some, pattern, [each.take(index) for each in components]))
            order.append(index)
        back = _index(np.concatenate(order).argsort(), pixels)
        solution, certainty, residual = parts[0]
        join = NAMESPACES[type(pixels)].concatenate
        for more, also, left in parts[1:]:
            solution, residual = solution.joined(more), join((residual, left))
            pairs = zip(vars(certainty).values(), vars(also).values(), strict=True)
            certainty = Uncertainty(*(join(pair) for pair in pairs))
        known = Uncertainty(*(values[back] for values in vars(certainty).values()))
        return solution.take(back), known, residual[back]

    def _decorrelated(self, pixels: Any, pattern: np.ndarray, components: Sequence[Component]) -> Posterior:
        """Pixels of which the same bands are known, those of `pattern` (band,)."""
        solver, whole, variance = _decorrelated_solver(self.solver, self.noise.tobytes(), pattern.tobytes())
        mixed = _mixed(pixels[:, _index(np.flatnonzero(pattern), pixels)], whole[:, pattern])
        solution, certainty, residual = self._least(solver, mixed, None, components, variance)
        back = np.zeros((len(pattern), len(whole)))
        back[pattern] = np.linalg.inv(whole[:, pattern])
        return solution, certainty, _mixed(residual, back)

    @staticmethod
    def _least(
        solver: PigmentSolver, pixels: Any, weights: Any, components: Sequence[Component], variance: float
    ) -> Posterior:
        """The least over the components, and its uncertainty; `variance` of a residual of weight 1."""
        return solver.posterior(pixels, weights, [each.scaled(variance**0.5) for each in components], variance)


@lru_cache(maxsize=16)
def _decorrelated_solver(
    solver: PigmentSolver, noise: bytes, pattern: bytes
) -> tuple[PigmentSolver, np.ndarray, float]:
    """A solver on mixtures of the bands of a pattern, their weights (mixture, band) and the variance of each."""
    known = np.frombuffer(pattern, bool)
    covariance = np.frombuffer(noise).reshape(known.size, known.size)
    mixing, variance = decorrelation(covariance[np.ix_(known, known)])
    whole = np.zeros((len(mixing), known.size))
    whole[:, known] = mixing
    return solver.mixed(whole), whole, variance


def _mixed(pixels: Any, weights: np.ndarray) -> Any:
    """Sums (n, sum) of bands of pixels (n, band) with weights (sum, band).

    Band by band in double precision: a product of matrices may round differently with the number of pixels.
    """
    xp, total = NAMESPACES[type(pixels)], 0.0
    for band, row in enumerate(weights.T):
        wide = pixels[:, band : band + 1] * xp.ones_like(pixels[:1, :1], dtype=xp.float64)
        total = total + wide * _like(row, wide)
    return total.astype(pixels.dtype) if xp is np else total.to(pixels.dtype)  # type: ignore[attr-defined]


def _like(values: np.ndarray, pixels: Any) -> Any:
    """Values in the type and place of pixels."""
    return converted(values, pixels.dtype, pixels.device if is_tensor(pixels) else "cpu")


def _index(index: np.ndarray, pixels: Any) -> Any:
    """An index of pixels in their place."""
    if not is_tensor(pixels):
        return index
    import torch

    return torch.from_numpy(index).to(pixels.device)


def least(
    solver: PigmentSolver | ReferenceSolver,
    pixels: Tensor,
    weights: Tensor | None,
    components: Sequence[Component],
    variance: float,
) -> Posterior:
    """The least over components of a prior, whose roots are in the unit of residuals of this variance; in torch."""
    import torch

    from msfit.solve.loss import Loss
    from msfit.solve.problem import Prior, Problem
    from msfit.solve.uncertainty import uncertainty

    # noise of this variance over the weight
    scale = None if weights is None else weights.sqrt()
    loss = Loss(None, scale, None, torch.full_like(pixels, variance**0.5))
    found: list[tuple[Solution, Uncertainty]] = []
    for component in components:
        own = component.to(pixels.dtype, pixels.device)
        solution = solver(pixels, weights, own.prior)
        solution.cost = solution.cost + variance * own.constant
        ends = solver.lower, solver.upper, solver.shadings
        about = Prior(*(part.expand(len(pixels), *part.shape[1:]) for part in (own.prior.mean, own.prior.root)))
        own_std = uncertainty(solver.skin, solution, pixels, loss, *ends, prior=about, variance=variance)
        found.append((solution, own_std))
    solution, certainty = found[0] if len(found) == 1 else _together(found, variance)
    return solution, certainty, Problem(solver.skin, pixels).residual(solution)


def _together(found: Sequence[tuple[Solution, Uncertainty]], variance: float) -> tuple[Solution, Uncertainty]:
    """The least of solutions (n,), and the spread of all of them about it.

    Each component has as much of the posterior as the integral of its Gaussian about its own minimum (Laplace).
    """
    import torch

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
    import torch

    return torch.cat((solution.x, solution.i_d.unsqueeze(1), solution.i_s.unsqueeze(1)), 1).double()


def _chosen(condition: Tensor, first: Any, second: Any) -> list[Tensor]:
    import torch

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
