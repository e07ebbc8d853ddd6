"""The skin models of the literature, each with its constants and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from msfit.skin.chromophores import extinction
from msfit.skin.layers import (
    FiniteKubelkaMunk,
    HalfSpace,
    ScatteringSlope,
    TwoLayers,
    finite_scattering_slope,
    infinite_scattering_slope,
)
from msfit.skin.registry import Parameter, SkinModel, add_model
from msfit.skin.varying import EPIDERMIS, VaryingLayers, dermal_scattering, oxygen_saturation

_LN_10 = 2.303  # as rounded in all three sources
_SATURATION = 0.75  # share of oxygenated haemoglobin in the blood of the skin
_HAEMOGLOBIN = 150.0  # of whole blood [g/l]


def _baseline(wavelengths: np.ndarray) -> np.ndarray:
    """Absorption of skin without pigment [mm^-1]: Jacques, "Skin optics", OMLC News 1998 (ten times that, in cm^-1)."""
    return 0.0244 + 8.53 * np.exp(-(wavelengths - 154.0) / 66.2)


def _scattering(wavelengths: np.ndarray) -> np.ndarray:
    """Mie and Rayleigh scattering of the dermis [cm^-1]: Jacques, "Skin optics", OMLC News 1998."""
    return 2e5 * wavelengths**-1.5 + 2e12 * wavelengths**-4.0


# oxygenated and deoxygenated blood (band,) -> their sum in the epidermis, its slope and bend in saturation (2, band)
_EpidermalBlood = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _weighed_twice(oxygenated: np.ndarray, deoxygenated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighs both by saturation once more, as the release does."""
    s = _SATURATION
    slope, bend = 2 * (oxygenated - deoxygenated), oxygenated / s + deoxygenated / (1 - s)
    return s * oxygenated + (1 - s) * deoxygenated, np.stack((slope, bend))


def _deoxygenated_only(oxygenated: np.ndarray, deoxygenated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return deoxygenated, np.stack((-deoxygenated / (1 - _SATURATION), np.zeros_like(oxygenated)))


def _alotaibi_smith(wavelengths: np.ndarray, melanin_scale: float, epidermal: _EpidermalBlood) -> VaryingLayers:
    """Constants of Alotaibi & Smith's released model, kept literally.

    It mixes units (the baseline is per mm, blood and scattering per cm) and weighs haemoglobin by saturation twice in
    the epidermis.
    """
    # 61 % eumelanin at 80 mg/ml and 39 % pheomelanin at 12 mg/ml, through 0.02 cm of epidermis
    melanin = 0.02 * (
        0.61 * 80 * extinction("eumelanin", wavelengths) + 0.39 * 12 * extinction("pheomelanin", wavelengths)
    )
    molar = _LN_10 * _HAEMOGLOBIN / 66500.0  # haemoglobin's molar mass as in the release [g/mol]
    oxygenated = _SATURATION * molar * extinction("oxyhaemoglobin", wavelengths)
    deoxygenated = (1 - _SATURATION) * molar * extinction("deoxyhaemoglobin", wavelengths)
    base = _baseline(wavelengths)
    epidermal_blood, epidermal_change = epidermal(oxygenated, deoxygenated)
    thickness = 0.3  # of the dermis
    layers = TwoLayers(
        dermis=FiniteKubelkaMunk(thickness),
        depth=base,
        depth_mel=melanin_scale * melanin - base,
        depth_blood=0.25 * (epidermal_blood - base),  # a quarter of the dermis's blood reaches the epidermis
        absorption=base,
        absorption_blood=oxygenated + deoxygenated - base,
        scattering=_scattering(wavelengths),
    )
    by_saturation = oxygenated / _SATURATION - deoxygenated / (1 - _SATURATION)
    return _varying(layers, by_saturation, 0.25 * epidermal_change, finite_scattering_slope(thickness))


def _varying(
    layers: TwoLayers, dermal_blood: np.ndarray, epidermal_blood: np.ndarray, by_scattering: ScatteringSlope
) -> VaryingLayers:
    return VaryingLayers(
        layers,
        saturation=_SATURATION,
        dermal_blood=dermal_blood,
        flattening=np.zeros_like(dermal_blood),
        epidermal_blood=epidermal_blood,
        by_scattering=by_scattering,
    )


def _alotaibi_smith_2019(wavelengths: np.ndarray) -> VaryingLayers:
    return _alotaibi_smith(wavelengths, 1.0, _weighed_twice)


def _biofacenet_lut(wavelengths: np.ndarray) -> VaryingLayers:
    return _alotaibi_smith(wavelengths, 1.25, _deoxygenated_only)


def _jacques_km(wavelengths: np.ndarray) -> VaryingLayers:
    """Textbook skin in consistent units [cm^-1]: Jacques, "Skin optics", OMLC News 1998; blood from Prahl's table."""
    melanosome = 6.6e11 * wavelengths**-3.33
    base = 10 * _baseline(wavelengths)
    molar = _LN_10 * _HAEMOGLOBIN / 64500.0  # haemoglobin's molar mass as given by Prahl [g/mol]
    oxygenated, deoxygenated = (extinction(name, wavelengths) for name in ("oxyhaemoglobin", "deoxyhaemoglobin"))
    blood = molar * (_SATURATION * oxygenated + (1 - _SATURATION) * deoxygenated)
    thickness = 0.006  # of the epidermis [cm]
    layers = TwoLayers(
        dermis=HalfSpace(loss=0.25),
        depth=thickness * base,
        depth_mel=thickness * (melanosome - base),
        depth_blood=np.zeros_like(base),
        absorption=base,
        absorption_blood=blood - base,
        scattering=_scattering(wavelengths),
    )
    no_blood = np.zeros((2, base.size))
    return _varying(layers, molar * (oxygenated - deoxygenated), no_blood, infinite_scattering_slope)


def _published(layers_of: Callable[[np.ndarray], VaryingLayers], scattering: Parameter, **about: Any) -> SkinModel:
    return add_model(
        SkinModel(
            **about,
            on_bands=lambda wavelengths: layers_of(wavelengths).layers,
            extras=(oxygen_saturation(_SATURATION), scattering, EPIDERMIS),
            varying=lambda wavelengths, free, held: layers_of(wavelengths).vary(free, held),
        )
    )


ALOTAIBI_SMITH_2019 = _published(
    _alotaibi_smith_2019,
    dermal_scattering(),
    name="alotaibi-smith-2019",
    summary="Lambert-Beer epidermis over a finite Kubelka-Munk dermis, as released by its authors",
    source="Alotaibi & Smith, ICIP 2019 (arXiv:1902.06557), BMVC 2019 (arXiv:1908.10578) and their released code",
    wavelength_range=(400.0, 720.0),
)
BIOFACENET_LUT = _published(
    _biofacenet_lut,
    dermal_scattering(),
    name="biofacenet-lut",
    summary="variant inferred from a picture of BioFaceNet's table: melanin x 1.25, only Hb in the epidermis",
    source="inferred here, not stated by the authors: Alotaibi & Smith, BMVC 2019 (arXiv:1908.10578)",
    wavelength_range=(400.0, 720.0),
)
JACQUES_KM = _published(
    _jacques_km,
    # with less scattering its diffusion approximation breaks down at 7 % of deoxygenated blood
    dermal_scattering((0.9, 2.0)),
    name="jacques-km",
    summary="textbook skin in consistent units: Jacques's melanosomes and baseline over a Kubelka-Munk half-space",
    source="S. L. Jacques, Skin optics, OMLC News 1998; S. Prahl, OMLC",
    wavelength_range=(400.0, 900.0),
)
