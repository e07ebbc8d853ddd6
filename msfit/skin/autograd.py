"""A skin model from a user's function, its derivatives by forward-mode automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class AutogradSkin:
    """A function (f_mel, f_blood, wavelengths) -> reflectance on fixed wavelengths (band,) [nm]."""

    function: Callable[[Tensor, Tensor, Tensor], Tensor]
    wavelengths: Tensor

    def to(self, dtype: torch.dtype, device: torch.device) -> AutogradSkin:
        """The same skin in another type or place."""
        return AutogradSkin(self.function, self.wavelengths.to(dtype=dtype, device=device))

    def reflectance(self, fractions: Tensor) -> Tensor:
        """Reflectance (..., band) at fractions (..., parameter)."""
        f_mel, f_blood = fractions[..., :1], fractions[..., 1:]
        return self.function(f_mel, f_blood, self.wavelengths)

    def jacobian(self, fractions: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Reflectance (..., band) and its derivative with respect to each parameter.

        Pixels do not depend on each other, so one tangent of ones serves a parameter at all pixels at once.
        """
        reflectance, derivatives = self.reflectance(fractions), []
        for index in range(fractions.shape[-1]):
            tangent = torch.zeros_like(fractions)
            tangent[..., index] = 1
            derivatives.append(torch.func.jvp(self.reflectance, (fractions,), (tangent,))[1])
        return reflectance, tuple(derivatives)
