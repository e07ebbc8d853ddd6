"""A skin model from a user's function, its derivatives by forward-mode automatic differentiation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from msfit.errors import InputError

# Torch counts the levels of forward-mode differentiation for all threads together: one at a time.
_FORWARD_MODE = threading.Lock()


@dataclass(frozen=True, eq=False)
class AutogradSkin:
    """A function (f_mel, f_blood, wavelengths, **extras) -> reflectance on fixed wavelengths (band,) [nm].

    `free` names the extras that are the third and further parameters, `held` has the values of the others.
    """

    name: str
    function: Callable[..., Tensor]
    wavelengths: Tensor
    free: tuple[str, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)

    def to(self, dtype: Any, device: Any = "cpu") -> AutogradSkin:
        """The same skin in another type or place."""
        return replace(self, wavelengths=self.wavelengths.to(dtype=dtype, device=device))

    def reflectance(self, fractions: Tensor) -> Tensor:
        """Reflectance (..., band) at fractions (..., parameter)."""
        f_mel, f_blood, *others = (fractions[..., k : k + 1] for k in range(fractions.shape[-1]))
        extras = dict(zip(self.free, others, strict=True))
        extras |= {name: torch.full_like(f_mel, value) for name, value in self.held.items()}
        expected = (*fractions.shape[:-1], self.wavelengths.numel())
        try:
            values = self.function(f_mel, f_blood, self.wavelengths, **extras)
        except Exception as error:  # whatever a user's code raises
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            raise InputError(f"model {self.name}: its function fails ({reason}); expected torch operations") from error
        if not isinstance(values, Tensor) or tuple(values.shape) != expected:
            kind = f"a tensor {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise InputError(
                f"model {self.name}: its function returns {kind} for f_mel and f_blood {tuple(f_mel.shape)} and "
                f"{expected[-1]} wavelengths; expected a tensor {expected}"
            )
        return values

    def jacobian(self, fractions: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Reflectance (..., band) and its derivative with respect to each parameter.

        Pixels do not depend on each other, so one tangent of ones serves a parameter at all pixels at once.
        """
        reflectance, derivatives = self.reflectance(fractions), []
        for index in range(fractions.shape[-1]):
            tangent = torch.zeros_like(fractions)
            tangent[..., index] = 1
            with _FORWARD_MODE:
                derivatives.append(torch.func.jvp(self.reflectance, (fractions,), (tangent,))[1])
        return reflectance, tuple(derivatives)
