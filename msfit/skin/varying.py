"""Two layers of skin of which more than the pigments varies: oxygen saturation, scattering, thickness of the epidermis.

    r = exp(-2 e OD(f_mel, f_blood, s)) R(mu_a(f_blood, s), c mu_s)

with e the thickness of the epidermis and c the scattering of the dermis, both relative to the model's own, and s the
oxygen saturation of the blood. At the model's own values (1, 1 and its saturation) every operation that they add is
exact, so the reflectance is that of `layers.TwoLayers` to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msfit.skin.arrays import NAMESPACES, converted
from msfit.skin.layers import ScatteringSlope, TwoLayers
from msfit.skin.registry import Parameter


def oxygen_saturation(default: float) -> Parameter:
    """Oxygen saturation of the blood in the skin: a mixture of arterial (0.95-0.99) and venous blood.

    `paper` is the range of the literature for mixed blood in skin, 0.5-0.9: S. L. Jacques, Skin optics, OMLC News 1998
    (0.75); Phys. Med. Biol. 58, R37 (2013), table 3. `wide` is all that a share can be.
    """
    return Parameter("saturation", "1", "oxygen saturation of the blood", (0.0, 1.0), (0.5, 0.9), default)


def dermal_scattering(wide: tuple[float, float] = (0.5, 2.0)) -> Parameter:
    """Scattering of the dermis over the model's own.

    `paper`: 30 to 70 cm^-1 (reduced, at 500 nm) over 46, the spread of measured skin in S. L. Jacques, Phys. Med. Biol.
    58, R37 (2013), tables 1 and 2.
    """
    paper = (max(wide[0], 0.65), 1.5)
    return Parameter("scattering", "1", "scattering of the dermis, times the model's", wide, paper, 1.0)


#: `paper`: 30 to 100 um over 60. Face 30-63 um (K. Chopra et al., Aesthet. Surg. J. 35, 1007, 2015), arm and trunk
#: 57-82 um (J. Sandby-Moller et al., Acta Derm. Venereol. 83, 410, 2003), all sites 100 um (H. Xu et al., J. Am. Acad.
#: Dermatol. 77, 1133, 2017).
EPIDERMIS = Parameter("epidermis", "1", "thickness of the epidermis, times the model's", (0.25, 3.0), (0.5, 1.67), 1.0)


@dataclass(frozen=True, eq=False)
class VaryingLayers:
    """Two layers and how they change.

    Attributes
    ----------
    layers : TwoLayers
        The skin at the model's own values.
    saturation : tensor ()
        The oxygen saturation that `layers` has.
    dermal_blood, flattening : tensor (band,)
        `absorption_blood` grows with t = s - saturation as dermal_blood (1 - exp(-flattening t)) / flattening: a line
        where flattening is 0, else blood in vessels, whose absorption flattens (van Veen et al. 2002).
    epidermal_blood : tensor (2, band)
        `depth_blood` grows with t as epidermal_blood[0] t + epidermal_blood[1] t^2.
    by_scattering : callable
        The dermis's slope in its scattering.
    free : tuple of str
        Which of saturation, scattering, epidermis are the third and further parameters.
    held : mapping of float
        Values of those that are not free, where they are not the model's own.
    """

    layers: TwoLayers
    saturation: Any
    dermal_blood: Any
    flattening: Any
    epidermal_blood: Any
    by_scattering: ScatteringSlope
    free: tuple[str, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)

    def vary(self, free: tuple[str, ...], held: Mapping[str, float]) -> VaryingLayers | TwoLayers:
        """The skin with some parameters free, and some at other values than the model's own."""
        varying = replace(self, free=free, held=dict(held))
        return varying if free else varying._fixed()

    def to(self, dtype: Any, device: Any = "cpu") -> VaryingLayers:
        """The same skin with its constants in a numpy type, or a torch type on a device."""
        names = ("saturation", "dermal_blood", "flattening", "epidermal_blood")
        moved = {name: converted(getattr(self, name), dtype, device) for name in names}
        return replace(self, layers=self.layers.to(dtype, device), **moved)

    def reflectance(self, fractions: Any) -> Any:
        """Reflectance (..., band) at f_mel, f_blood and the free parameters, in the last dimension of `fractions`."""
        depth, thickness, absorption, scattering = self._properties(fractions)
        return NAMESPACES[type(depth)].exp(-2 * (depth * thickness)) * self.layers.dermis(absorption, scattering)[0]

    def jacobian(self, fractions: Any) -> tuple[Any, tuple[Any, ...]]:
        """Reflectance (..., band) and its derivative with respect to every parameter, each (..., band)."""
        layers = self.layers
        f_blood = fractions[..., 1:2]
        depth, thickness, absorption, scattering = self._properties(fractions)
        depth_blood, absorption_blood = self._blood(fractions)
        xp = NAMESPACES[type(depth)]
        transmittance = xp.exp(-2 * (depth * thickness))
        dermis, slope = layers.dermis(absorption, scattering)
        reflectance = transmittance * dermis
        by_depth = -2 * thickness * reflectance
        slopes = [by_depth * layers.depth_mel, by_depth * depth_blood + transmittance * slope * absorption_blood]
        for name in self.free:
            if name == "saturation":
                t = self._value("saturation", fractions) - self.saturation
                change = by_depth * (self.epidermal_blood[0] + 2 * t * self.epidermal_blood[1])
                change = change + transmittance * slope * (self.dermal_blood * xp.exp(-self.flattening * t))
                slopes.append(f_blood * change)
            elif name == "scattering":
                by_scattering = self.by_scattering(absorption, scattering, dermis, slope)
                slopes.append(transmittance * by_scattering * layers.scattering)
            else:
                slopes.append(-2 * depth * reflectance)
        return reflectance, tuple(slopes)

    def _properties(self, fractions: Any) -> tuple[Any, Any, Any, Any]:
        """Optical depth and relative thickness of the epidermis, absorption and scattering of the dermis."""
        layers = self.layers
        f_mel, f_blood = fractions[..., :1], fractions[..., 1:2]
        depth_blood, absorption_blood = self._blood(fractions)
        depth = layers.depth + f_mel * layers.depth_mel + f_blood * depth_blood
        absorption = layers.absorption + f_blood * absorption_blood
        scattering = self._value("scattering", fractions) * layers.scattering
        return depth, self._value("epidermis", fractions), absorption, scattering

    def _blood(self, fractions: Any) -> tuple[Any, Any]:
        """What the optical depth and the absorption of the dermis grow by with f_blood."""
        t = self._value("saturation", fractions) - self.saturation
        curved = self.flattening * t
        # one of the two is 0 where curved is: there the limit is t itself
        xp = NAMESPACES[type(curved)]
        growth = xp.where(curved == 0, t, -xp.expm1(-curved) / xp.where(curved == 0, 1, self.flattening))
        depth_blood = self.layers.depth_blood + t * (self.epidermal_blood[0] + t * self.epidermal_blood[1])
        return depth_blood, self.layers.absorption_blood + self.dermal_blood * growth

    def _value(self, name: str, fractions: Any) -> Any:
        if name in self.free:
            column = 2 + self.free.index(name)
            return fractions[..., column : column + 1]
        return self.held.get(name, self.saturation if name == "saturation" else 1.0)

    def _fixed(self) -> TwoLayers:
        """Plain layers at the held values."""
        nothing = self.dermal_blood[:0]  # no parameter is looked at
        depth_blood, absorption_blood = self._blood(nothing)
        thickness = self._value("epidermis", nothing)
        return replace(
            self.layers,
            depth=self.layers.depth * thickness,
            depth_mel=self.layers.depth_mel * thickness,
            depth_blood=depth_blood * thickness,
            absorption_blood=absorption_blood,
            scattering=self._value("scattering", nothing) * self.layers.scattering,
        )
