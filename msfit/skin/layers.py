"""Two layers of skin on a set of bands: an absorbing epidermis, passed twice, over a scattering dermis.

    r = exp(-2 OD(f_mel, f_blood)) R(mu_a(f_blood))

The optical depth of the epidermis and the absorption of the dermis are linear in the two volume fractions; R is the
Kubelka-Munk reflectance of the dermis. This is the family of all the named models (Alotaibi & Smith, BMVC 2019, eq 12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# (absorption, scattering) -> (reflectance, its derivative with respect to absorption)
Dermis = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# (absorption, scattering, reflectance, its derivative with respect to absorption) -> that with respect to scattering
ScatteringSlope = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class TwoLayers:
    """Spectral constants of a two-layer skin, one number a band each.

    OD = depth + f_mel depth_mel + f_blood depth_blood; mu_a = absorption + f_blood absorption_blood.
    """

    depth: Tensor
    depth_mel: Tensor
    depth_blood: Tensor
    absorption: Tensor
    absorption_blood: Tensor
    scattering: Tensor
    dermis: Dermis

    @classmethod
    def from_numpy(cls, dermis: Dermis, **spectra: np.ndarray) -> TwoLayers:
        """Build from float64 spectra (band,)."""
        return cls(**{name: torch.from_numpy(np.asarray(values)) for name, values in spectra.items()}, dermis=dermis)

    def to(self, dtype: torch.dtype, device: torch.device) -> TwoLayers:
        """The same skin with its constants in another type or place."""
        tensors = {name: value.to(dtype=dtype, device=device) for name, value in vars(self).items() if name != "dermis"}
        return TwoLayers(**tensors, dermis=self.dermis)

    def reflectance(self, fractions: Tensor) -> Tensor:
        """Reflectance (..., band) at fractions (..., 2), the last dimension holding f_mel and f_blood."""
        f_mel, f_blood = fractions[..., :1], fractions[..., 1:]
        depth = self.depth + f_mel * self.depth_mel + f_blood * self.depth_blood
        return (
            torch.exp(-2 * depth) * self.dermis(self.absorption + f_blood * self.absorption_blood, self.scattering)[0]
        )

    def jacobian(self, fractions: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Reflectance (..., band) and its derivatives with respect to f_mel and f_blood, each (..., band)."""
        f_mel, f_blood = fractions[..., :1], fractions[..., 1:]
        depth = self.depth + f_mel * self.depth_mel + f_blood * self.depth_blood
        transmittance = torch.exp(-2 * depth)
        dermis, slope = self.dermis(self.absorption + f_blood * self.absorption_blood, self.scattering)
        reflectance = transmittance * dermis
        by_mel = reflectance * (-2 * self.depth_mel)
        by_blood = reflectance * (-2 * self.depth_blood) + transmittance * slope * self.absorption_blood
        return reflectance, (by_mel, by_blood)


@dataclass(frozen=True)
class FiniteKubelkaMunk:
    """Kubelka-Munk reflectance of a layer over nothing, in the form of Alotaibi & Smith's released model.

    With K = sqrt(mu_a (mu_a + 2 mu_s)) and B = sqrt(mu_a / (mu_a + 2 mu_s)), their
    (1 - B^2)(e^Kd - e^-Kd) / ((1 + B)^2 e^Kd - (1 - B)^2 e^-Kd) equals mu_s / (mu_a + mu_s + K coth(K d)),
    which does not overflow.
    """

    thickness: float

    def __call__(self, absorption: Tensor, scattering: Tensor) -> tuple[Tensor, Tensor]:
        """Reflectance and its derivative with respect to absorption."""
        extinction = absorption + scattering
        k = torch.sqrt(absorption * (extinction + scattering))
        decay = torch.exp(k * (-2 * self.thickness))
        coth = (1 + decay) / (1 - decay)
        reflectance = scattering / (extinction + k * coth)
        # d(K coth Kd) / dK = coth - K d (coth^2 - 1);  dK / dmu_a = (mu_a + mu_s) / K
        growth = 1 + extinction * (coth / k - self.thickness * (coth * coth - 1))
        return reflectance, -reflectance * reflectance / scattering * growth


def finite_scattering_slope(thickness: float) -> ScatteringSlope:
    """How the reflectance of `FiniteKubelkaMunk` changes with its scattering.

    Scaling absorption and scattering together is the same as scaling the thickness: a R_a + s R_s = d R_d, and
    d R_d = R^2 K^2 d (coth^2 Kd - 1) / s.
    """

    def slope(absorption: Tensor, scattering: Tensor, reflectance: Tensor, by_absorption: Tensor) -> Tensor:
        k2 = absorption * (absorption + 2 * scattering)
        decay = torch.exp(torch.sqrt(k2) * (-2 * thickness))
        excess = 4 * decay / (1 - decay) ** 2  # coth^2 - 1
        return (reflectance**2 * k2 * thickness * excess / scattering - absorption * by_absorption) / scattering

    return slope


def infinite_scattering_slope(
    absorption: Tensor, scattering: Tensor, reflectance: Tensor, by_absorption: Tensor
) -> Tensor:
    """How the reflectance of an infinitely thick layer changes with its scattering: it depends on their ratio alone."""
    return -absorption / scattering * by_absorption


@dataclass(frozen=True)
class HalfSpace:
    """Kubelka-Munk reflectance of an infinitely thick layer, K = 2 mu_a, S = 3/4 mu_s' - `loss` mu_a.

    R = 1 + x - sqrt(x^2 + 2x) with x = K/S, computed as 1 / (1 + x + sqrt(x^2 + 2x)), which does not cancel.
    `loss` is 1/4 in diffusion theory, 0 in S. L. Jacques, Phys. Med. Biol. 58, R37 (2013). NaN where S is not positive:
    the approximation does not hold there.
    """

    loss: float

    def __call__(self, absorption: Tensor, scattering: Tensor) -> tuple[Tensor, Tensor]:
        """Reflectance and its derivative with respect to absorption."""
        s = 0.75 * scattering - self.loss * absorption
        s = torch.where(s > 0, s, torch.nan)
        x = 2 * absorption / s
        root = torch.sqrt(x * (x + 2))
        reflectance = 1 / (1 + x + root)
        x_slope = (2 + self.loss * x) / s
        return reflectance, -reflectance / root * x_slope
