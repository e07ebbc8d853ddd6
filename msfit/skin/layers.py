"""Two layers of skin on a set of bands: an absorbing epidermis, passed twice, over a scattering dermis.

    r = exp(-2 OD(f_mel, f_blood)) R(mu_a(f_blood))

The optical depth of the epidermis and the absorption of the dermis are linear in the two volume fractions; R is the
Kubelka-Munk reflectance of the dermis. This is the family of all the named models (Alotaibi & Smith, BMVC 2019, eq 12).
The formulas are written once for numpy arrays and torch tensors; a skin is of the kind of its constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from msfit.skin.arrays import NAMESPACES, converted

# (absorption, scattering) -> (reflectance, its derivative with respect to absorption)
Dermis = Callable[[Any, Any], tuple[Any, Any]]
# (absorption, scattering, reflectance, its derivative with respect to absorption) -> that with respect to scattering
ScatteringSlope = Callable[[Any, Any, Any, Any], Any]

# A thickness at which e^-2KD is 0 for every skin, and D times what is 0 remains it: coth(K D) is 1.
_INFINITE = 1e6


@dataclass(frozen=True, eq=False)
class Constants:
    """What the compiled descents read of a two-layer skin: one form for every kind of dermis.

        r = (1 - rho) q / (1 - rho q),   q = exp(d + f_mel d_mel + f_blood d_blood) S / (A + S + K coth(K D))

    with A = a + f_blood a_blood, S = s + f_blood s_blood, K = sqrt(A (A + 2 S)) and D the thickness of the dermis.

    `spectra` (band, 8): d, d_mel, d_blood, a, a_blood, s, s_blood, rho; `thickness`: D.

    `mixing` (coordinate, band): where it is not empty, a pixel is not given on these bands but by coordinates, or by
    channels, and the skin's are its reflectance times it. Both are filled up with zeros to a multiple of four.
    """

    spectra: np.ndarray
    thickness: Any
    mixing: np.ndarray


@runtime_checkable
class Compilable(Protocol):
    """A skin that has such constants, if its parts are of that form."""

    def constants(self, dtype: Any) -> Constants | None:
        """The constants in a numpy type, or None."""


@dataclass(frozen=True, eq=False)
class TwoLayers:
    """Spectral constants of a two-layer skin, one number a band each.

    OD = depth + f_mel depth_mel + f_blood depth_blood; mu_a = absorption + f_blood absorption_blood.
    """

    depth: Any
    depth_mel: Any
    depth_blood: Any
    absorption: Any
    absorption_blood: Any
    scattering: Any
    dermis: Dermis

    def to(self, dtype: Any, device: Any = "cpu") -> TwoLayers:
        """The same skin with its constants in a numpy type, or a torch type on a device."""
        return replace(self, **{k: converted(v, dtype, device) for k, v in vars(self).items() if k != "dermis"})

    def reflectance(self, fractions: Any) -> Any:
        """Reflectance (..., band) at fractions (..., 2), the last dimension holding f_mel and f_blood."""
        f_mel, f_blood = fractions[..., :1], fractions[..., 1:]
        depth = self.depth + f_mel * self.depth_mel + f_blood * self.depth_blood
        return (
            NAMESPACES[type(depth)].exp(-2 * depth)
            * self.dermis(self.absorption + f_blood * self.absorption_blood, self.scattering)[0]
        )

    def jacobian(self, fractions: Any) -> tuple[Any, tuple[Any, Any]]:
        """Reflectance (..., band) and its derivatives with respect to f_mel and f_blood, each (..., band)."""
        f_mel, f_blood = fractions[..., :1], fractions[..., 1:]
        depth = self.depth + f_mel * self.depth_mel + f_blood * self.depth_blood
        transmittance = NAMESPACES[type(depth)].exp(-2 * depth)
        dermis, slope = self.dermis(self.absorption + f_blood * self.absorption_blood, self.scattering)
        reflectance = transmittance * dermis
        by_mel = reflectance * (-2 * self.depth_mel)
        by_blood = reflectance * (-2 * self.depth_blood) + transmittance * slope * self.absorption_blood
        return reflectance, (by_mel, by_blood)

    def constants(self, dtype: Any) -> Constants | None:
        """The constants, in a numpy type, of a skin in numpy; None where its dermis is not of that form."""
        if not isinstance(self.dermis, FiniteKubelkaMunk | HalfSpace):
            return None
        depths = (-2 * self.depth, -2 * self.depth_mel, -2 * self.depth_blood)
        *dermis, thickness = self.dermis.terms(self.absorption, self.absorption_blood, self.scattering)
        spectra = np.stack((*depths, *dermis, np.zeros_like(self.scattering)), 1).astype(dtype)
        return Constants(spectra, np.dtype(dtype).type(thickness), np.empty((0, 0), dtype))


@dataclass(frozen=True)
class FiniteKubelkaMunk:
    """Kubelka-Munk reflectance of a layer over nothing, in the form of Alotaibi & Smith's released model.

    With K = sqrt(mu_a (mu_a + 2 mu_s)) and B = sqrt(mu_a / (mu_a + 2 mu_s)), their
    (1 - B^2)(e^Kd - e^-Kd) / ((1 + B)^2 e^Kd - (1 - B)^2 e^-Kd) equals mu_s / (mu_a + mu_s + K coth(K d)),
    which does not overflow.
    """

    thickness: float

    def terms(self, absorption: Any, absorption_blood: Any, scattering: Any) -> tuple[Any, ...]:
        """a, a_blood, s, s_blood and D of `Constants`."""
        return absorption, absorption_blood, scattering, np.zeros_like(scattering), self.thickness

    def __call__(self, absorption: Any, scattering: Any) -> tuple[Any, Any]:
        """Reflectance and its derivative with respect to absorption."""
        extinction = absorption + scattering
        xp = NAMESPACES[type(extinction)]
        k = xp.sqrt(absorption * (extinction + scattering))
        decay = xp.exp(k * (-2 * self.thickness))
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

    def slope(absorption: Any, scattering: Any, reflectance: Any, by_absorption: Any) -> Any:
        k2 = absorption * (absorption + 2 * scattering)
        xp = NAMESPACES[type(k2)]
        decay = xp.exp(xp.sqrt(k2) * (-2 * thickness))
        excess = 4 * decay / (1 - decay) ** 2  # coth^2 - 1
        return (reflectance**2 * k2 * thickness * excess / scattering - absorption * by_absorption) / scattering

    return slope


def infinite_scattering_slope(absorption: Any, scattering: Any, reflectance: Any, by_absorption: Any) -> Any:
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

    def terms(self, absorption: Any, absorption_blood: Any, scattering: Any) -> tuple[Any, ...]:
        """a, a_blood, s, s_blood and D of `Constants`."""
        scattered, lost = 0.75 * scattering - self.loss * absorption, -self.loss * absorption_blood
        return 2 * absorption, 2 * absorption_blood, scattered, lost, _INFINITE

    def __call__(self, absorption: Any, scattering: Any) -> tuple[Any, Any]:
        """Reflectance and its derivative with respect to absorption."""
        s = 0.75 * scattering - self.loss * absorption
        xp = NAMESPACES[type(s)]
        s = xp.where(s > 0, s, xp.nan)
        x = 2 * absorption / s
        root = xp.sqrt(x * (x + 2))
        reflectance = 1 / (1 + x + root)
        x_slope = (2 + self.loss * x) / s
        return reflectance, -reflectance / root * x_slope
