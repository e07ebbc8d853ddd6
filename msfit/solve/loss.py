"""What a residual costs: squares or Huber's loss, with weights, in reflectance or in radiance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Loss:
    """sum_b w_b rho(s_b e_b) of a batch of pixels, e being the residual in reflectance.

    rho(t) = t^2 / 2, or with a `threshold` k Huber's: t^2 / 2 up to |t| = k, k |t| - k^2 / 2 beyond.

    `weights` w (band,) and `scale` s (n, band), each None for ones; 0 leaves a sample out. `threshold` (n, 1) and
    `sigma` (n, band), the known standard deviation of s e, are in the unit of s e.
    """

    weights: Tensor | None = None
    scale: Tensor | None = None
    threshold: Tensor | None = None
    sigma: Tensor | None = None

    def to(self, dtype: torch.dtype) -> Loss:
        """The same loss in another type."""
        return Loss(*(part if part is None else part.to(dtype) for part in vars(self).values()))

    def take(self, index: Tensor) -> Loss:
        """The loss of some of the pixels."""
        scale, threshold, sigma = (x if x is None else x[index] for x in (self.scale, self.threshold, self.sigma))
        return Loss(self.weights, scale, threshold, sigma)

    def squares(self, pixels: Tensor) -> Tensor | None:
        """Weights (n, band) of the plain sum of squares of e, None for ones."""
        if self.scale is None:
            return None if self.weights is None else self.weights.expand_as(pixels)
        scale = self.scale.square()
        return scale if self.weights is None else scale * self.weights

    def touching(self, residual: Tensor) -> Tensor:
        """Weights (n, band) of the sum of squares that touches Huber's loss at a residual and is nowhere below it."""
        squares = self.squares(residual)
        shrunk = self._shrunk(residual)
        return shrunk if squares is None else shrunk * squares

    def value(self, residual: Tensor) -> Tensor:
        """The loss (n,)."""
        t = residual if self.scale is None else self.scale * residual
        if self.threshold is None:
            rho = 0.5 * t.square()
        else:
            inside = t.abs().minimum(self.threshold)
            rho = inside * (t.abs() - 0.5 * inside)
        return (rho if self.weights is None else self.weights * rho).sum(1)

    def score(self, residual: Tensor) -> Tensor:
        """Derivative of the loss with respect to e, (n, band)."""
        if self.threshold is None:
            squares = self.squares(residual)
            return residual if squares is None else squares * residual
        return self.touching(residual) * residual

    def information(self, residual: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Expected curvature of the loss in e, and variance of its score, (n, band) each.

        The noise is `sigma` if that is known, normal, and independent of the weights. Else it is estimated from the
        residual, `free` (n,) being the number of fitted parameters: the weights then count as inverse variances.
        """
        squares = self.squares(residual)
        squares = torch.ones_like(residual) if squares is None else squares
        weights = torch.ones_like(residual) if self.weights is None else self.weights.expand_as(residual)
        used = squares > 0
        if self.sigma is not None:
            inside, score = _normal_moments(self.sigma, self.threshold)
            return squares * inside, squares * weights * score
        t = residual if self.scale is None else self.scale * residual
        weights = torch.where(used, weights, 0)
        spare = used.sum(1) - free
        if self.threshold is None:
            return squares, squares * ((weights * t.square()).sum(1) / spare).unsqueeze(1)
        inside = (weights * (t.abs() <= self.threshold)).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        score = (weights * t.abs().minimum(self.threshold).square()).sum(1) / spare
        return squares * inside, squares * score.unsqueeze(1)

    def beyond(self, residual: Tensor) -> Tensor:
        """Where a residual lies beyond the threshold, (n, band)."""
        return self._shrunk(residual) < 1

    def _shrunk(self, residual: Tensor) -> Tensor:
        t = (residual if self.scale is None else self.scale * residual).abs()
        tiny = torch.finfo(t.dtype).tiny
        return torch.ones_like(t) if self.threshold is None else (self.threshold / t.clamp_min(tiny)).clamp_max(1)


def _normal_moments(sigma: Tensor, threshold: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of Huber's psi(t), t ~ N(0, sigma^2): the expectation of psi' and of psi^2 (Huber, Robust Statistics, 1981)."""
    if threshold is None:
        return torch.ones_like(sigma), sigma.square()
    k = threshold / sigma
    inside = torch.erf(k / math.sqrt(2))
    density = torch.exp(-0.5 * k.square()) / math.sqrt(2 * math.pi)
    square = inside - 2 * k * density + k.square() * (1 - inside)
    return inside, sigma.square() * square
