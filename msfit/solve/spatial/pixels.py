"""Pixels of a fit with spatial priors: squared residual and price of i_s, and the quadratics that come near them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.skin.registry import Skin
from msfit.solve.problem import bounded_pair

# Added to the shadings' Hessian, as a share: it can be inverted where the skin is as grey as gloss, too.
_RIDGE = 1e-12
# Of the finite differences of the skin's analytic derivatives, in units of `scale`.
_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels with unknowns x = (f_mel / scale, f_blood / scale, i_d, i_s).

    The cost of a pixel is sum_b w_b (y_b - i_d r_b - i_s)^2 + price i_s. `scale` (2,); `values` y (n, band); `weights`
    too, or None for ones.
    """

    skin: Skin
    scale: Tensor
    values: Tensor
    weights: Tensor | None
    price: float

    def take(self, index: Tensor | slice) -> Pixels:
        """Some of the pixels."""
        weights = None if self.weights is None else self.weights[index]
        return Pixels(self.skin, self.scale, self.values[index], weights, self.price)

    def cost(self, unknowns: Tensor) -> Tensor:
        """Cost (n,) at given unknowns (n, 4)."""
        return self._cost(self.skin.reflectance(unknowns[:, :2] * self.scale), unknowns[:, 2], unknowns[:, 3])

    def shaded(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Unknowns (n, 4) with the best shadings for scaled pigments (n, 2), and their cost (n,)."""
        reflectance = self.skin.reflectance(scaled * self.scale)
        weighted = self._weighted(reflectance)
        bands = self.values.new_tensor(self.values.shape[1]) if self.weights is None else self.weights.sum(1)
        ds, hs = weighted.sum(1), self._weighted(self.values).sum(1) - 0.5 * self.price
        centred = self._weighted(reflectance - (ds / bands).unsqueeze(1))
        # the price lowers what i_s explains, and so raises what is left to i_d
        contrast = (centred * self.values).sum(1) + 0.5 * self.price * (ds / bands)
        i_d, i_s, _ = bounded_pair((centred * reflectance).sum(1), contrast, ds, bands, hs)
        return torch.cat((scaled, i_d.unsqueeze(1), i_s.unsqueeze(1)), 1), self._cost(reflectance, i_d, i_s)

    def quadratic(self, unknowns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient (n, 4) of the cost at unknowns (n, 4), and its Gauss-Newton and its full Hessian (n, 4, 4)."""
        scaled, i_d, i_s = unknowns[:, :2], unknowns[:, 2:3], unknowns[:, 3:]
        reflectance, slopes = self._slopes(scaled)
        jacobian = torch.stack((*(i_d * slope for slope in slopes), reflectance, torch.ones_like(reflectance)), 1)
        weighted = jacobian if self.weights is None else jacobian * self.weights.unsqueeze(1)
        residual = self.values - i_d * reflectance - i_s
        gradient = -2 * (weighted @ residual.unsqueeze(2)).squeeze(2)
        gradient[:, 3] += self.price
        hessian = 2 * weighted @ jacobian.mT

        pull = -2 * self._weighted(residual)
        bent = torch.zeros_like(hessian)
        for k, inwards in enumerate(torch.where(scaled < 0.5, _STEP, -_STEP).unbind(1)):
            bent[:, k, 2] = bent[:, 2, k] = (pull * slopes[k]).sum(1)
            aside = scaled.clone()
            aside[:, k] += inwards
            for m, slope in enumerate(self._slopes(aside)[1]):
                bent[:, k, m] = (i_d * pull * (slope - slopes[m])).sum(1) / inwards
        return gradient, hessian, hessian + 0.5 * (bent + bent.mT)

    def _slopes(self, scaled: Tensor) -> tuple[Tensor, list[Tensor]]:
        reflectance, derivatives = self.skin.jacobian(scaled * self.scale)
        return reflectance, [scale * slope for scale, slope in zip(self.scale, derivatives, strict=True)]

    def projected(self, unknowns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same, (n, 2) and twice (n, 2, 2), of the cost with the best shadings, at unknowns that have these.

        Variable projection (Golub & Pereyra 1973): shadings above 0 give way, those at 0 stay there.
        """
        gradient, *hessians = self.quadratic(unknowns)
        free = (unknowns[:, 2:] > 0).to(gradient.dtype)
        reduced = []
        for hessian in hessians:
            shadings = hessian[:, 2:, 2:] * free.unsqueeze(1) * free.unsqueeze(2)
            shadings = shadings + torch.diag_embed(1 - free + _RIDGE * shadings.diagonal(dim1=1, dim2=2))
            mixed = hessian[:, :2, 2:] * free.unsqueeze(1)
            reduced.append(hessian[:, :2, :2] - mixed @ torch.linalg.solve(shadings, mixed.mT))
        return gradient[:, :2], reduced[0], reduced[1]

    def _weighted(self, spectra: Tensor) -> Tensor:
        return spectra if self.weights is None else self.weights * spectra

    def _cost(self, reflectance: Tensor, i_d: Tensor, i_s: Tensor) -> Tensor:
        residual = self.values - i_d.unsqueeze(1) * reflectance - i_s.unsqueeze(1)
        return (self._weighted(residual) * residual).sum(1) + self.price * i_s
