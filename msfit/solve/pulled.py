"""The pixelwise half of a fit with spatial priors: squared residual, price of i_s, and a pull towards given values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.newton import box_step, safe_hessian, secant
from msfit.solve.objective import Point

_MOST_STEPS = 200
# A pixel is done when its next step promises to lower its cost by less than this share of it.
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Pulled:
    """Pixels whose unknowns x = (f_mel / scale, f_blood / scale, i_d, i_s) are pulled towards a target.

    The cost of a pixel is sum_b w_b (y_b - i_d r_b - i_s)^2 + price i_s + sum_k stiffness_k (x_k - target_k)^2 / 2.
    `scale` (2,); `pixels` (n, band); `weights` too, or None for ones; `target` (n, 4); `stiffness` (4,).
    """

    skin: Skin
    scale: Tensor
    pixels: Tensor
    weights: Tensor | None
    price: float
    target: Tensor
    stiffness: Tensor

    def take(self, index: Tensor | slice) -> Pulled:
        """Some of the pixels."""
        weights = None if self.weights is None else self.weights[index]
        some = self.pixels[index], weights, self.price, self.target[index], self.stiffness
        return Pulled(self.skin, self.scale, *some)

    def evaluate(self, scaled: Tensor) -> Point:
        """Cost at scaled pigments (n, 2) with the best shadings, and, both halved, its gradient and Hessian.

        By variable projection, as in `objective.evaluate`: the gradient is exact, the Hessian Gauss-Newton's.
        """
        reflectance, derivatives = self.skin.jacobian(scaled * self.scale)
        (dd, ds, ss), i_d, i_s = self._shadings(reflectance)
        residual = self.pixels - i_d.unsqueeze(1) * reflectance - i_s.unsqueeze(1)
        cost = self._cost(scaled, i_d, i_s, residual)

        pull, brightness = 0.5 * self.stiffness, i_d.unsqueeze(1)
        slopes = [brightness * scale * slope for scale, slope in zip(self.scale, derivatives, strict=True)]
        weighted = [self._weighted(slope) for slope in slopes]
        along_d = [(slope * reflectance).sum(1) for slope in weighted]
        along_s = [slope.sum(1) for slope in weighted]
        # the inverse of the shadings' own Hessian, 0 for those that are held at 0
        lit, glossy = i_d > 0, i_s > 0
        determinant = torch.where(lit & glossy, dd * ss - ds * ds, dd * ss)
        by_dd, by_ss = lit * ss / determinant, glossy * dd / determinant
        by_ds = (lit & glossy) * -ds / determinant

        def curvature(k: int, m: int) -> Tensor:
            eased = along_d[k] * (by_dd * along_d[m] + by_ds * along_s[m])
            eased = eased + along_s[k] * (by_ds * along_d[m] + by_ss * along_s[m])
            return (weighted[k] * slopes[m]).sum(1) - eased

        gradient = [
            pull[k] * (scaled[:, k] - self.target[:, k]) - (weighted[k] * residual).sum(1) for k in range(len(slopes))
        ]
        hessian = (curvature(0, 0) + pull[0], curvature(0, 1), curvature(1, 1) + pull[1])
        return Point(scaled, i_d, i_s, cost, torch.stack(gradient, 1), torch.stack(hessian, 1))

    def shaded(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Unknowns (n, 4) with the best shadings for scaled pigments (n, 2), and their cost (n,)."""
        reflectance = self.skin.reflectance(scaled * self.scale)
        _, i_d, i_s = self._shadings(reflectance)
        residual = self.pixels - i_d.unsqueeze(1) * reflectance - i_s.unsqueeze(1)
        return torch.cat((scaled, i_d.unsqueeze(1), i_s.unsqueeze(1)), 1), self._cost(scaled, i_d, i_s, residual)

    def cost(self, unknowns: Tensor) -> Tensor:
        """Cost (n,) at given unknowns (n, 4)."""
        scaled, i_d, i_s = unknowns[:, :2], unknowns[:, 2], unknowns[:, 3]
        reflectance = self.skin.reflectance(scaled * self.scale)
        return self._cost(scaled, i_d, i_s, self.pixels - i_d.unsqueeze(1) * reflectance - i_s.unsqueeze(1))

    def _weighted(self, spectra: Tensor) -> Tensor:
        return spectra if self.weights is None else self.weights * spectra

    def _shadings(self, reflectance: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Half the Hessian of the cost in the shadings, and the shadings that minimise it."""
        weighted, pull = self._weighted(reflectance), 0.5 * self.stiffness
        bands = self.pixels.shape[1] if self.weights is None else self.weights.sum(1)
        dd, ds, ss = (weighted * reflectance).sum(1) + pull[2], weighted.sum(1), bands + pull[3]
        hd = (weighted * self.pixels).sum(1) + pull[2] * self.target[:, 2]
        hs = self._weighted(self.pixels).sum(1) + pull[3] * self.target[:, 3] - 0.5 * self.price
        return (dd, ds, ss), *_least(dd, ds, ss, hd, hs)

    def _cost(self, scaled: Tensor, i_d: Tensor, i_s: Tensor, residual: Tensor) -> Tensor:
        away = torch.stack((*scaled.unbind(1), i_d, i_s), 1) - self.target
        pulled = 0.5 * (self.stiffness * away * away).sum(1)
        return (self._weighted(residual) * residual).sum(1) + self.price * i_s + pulled

    def minimise(self, start: Tensor, lower: Tensor, upper: Tensor) -> Point:
        """Descend over lower <= scaled pigments <= upper (2,) from `start` (n, 2), as `newton.descend` does.

        A step is taken only where it lowers the cost, so no pixel ends higher than it starts.
        """
        rest, point = self, self.evaluate(start)
        ended = Point(*(value.clone() for value in vars(point).values()))
        active = torch.arange(start.shape[0], device=start.device)
        curvature, damping = torch.zeros_like(point.hessian), torch.zeros_like(point.cost)
        rounding = 4 * torch.finfo(start.dtype).eps * (self.pixels * self.pixels).sum(1)
        for _ in range(_MOST_STEPS):
            room = lower - point.fractions, upper - point.fractions
            step, promise = box_step(point.gradient, safe_hessian(point, curvature, lower, upper), damping, *room)
            going = (2 * promise * (1 + damping) > _TOLERANCE * point.cost + rounding).nonzero()[:, 0]
            if going.numel() == 0:
                break
            if going.numel() < active.numel():
                active, rest, point, step = active[going], rest.take(going), point.take(going), step[going]
                curvature, damping, rounding = curvature[going], damping[going], rounding[going]
            trial = rest.evaluate((point.fractions + step).clamp(lower, upper))
            moved, change = trial.fractions - point.fractions, trial.gradient - point.gradient
            update = secant(curvature, point.hessian, moved, change)
            curvature = torch.where(torch.isfinite(update).all(1, keepdim=True), update, curvature)
            better = trial.cost < point.cost
            point = trial.where(better, point)
            damping = torch.where(better, torch.where(damping < 1e-3, 0, 0.1 * damping), (8 * damping).clamp_min(1e-2))
            for name, values in vars(point).items():
                getattr(ended, name)[active] = values
        return ended


def _least(dd: Tensor, ds: Tensor, ss: Tensor, hd: Tensor, hs: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise (dd i_d^2 + 2 ds i_d i_s + ss i_s^2) / 2 - hd i_d - hs i_s over i_d, i_s >= 0, each (n,).

    Where the free minimum is not inside the quadrant, the minimum lies on one of its two edges: the lower one.
    """
    determinant = dd * ss - ds * ds
    i_d, i_s = (ss * hd - ds * hs) / determinant, (dd * hs - ds * hd) / determinant
    matte, glare = hd.clamp_min(0) / dd, hs.clamp_min(0) / ss
    edge = ~((i_d >= 0) & (i_s >= 0))
    on_matte = matte * hd.clamp_min(0) >= glare * hs.clamp_min(0)
    i_d = torch.where(edge, torch.where(on_matte, matte, 0), i_d)
    return i_d, torch.where(edge, torch.where(on_matte, 0, glare), i_s)
