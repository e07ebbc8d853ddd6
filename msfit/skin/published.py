"""The skin models of the literature, each with its constants and where they come from."""

from __future__ import annotations

import numpy as np

from msfit.skin.chromophores import extinction
from msfit.skin.layers import TwoLayers, diffusing_half_space, finite_kubelka_munk
from msfit.skin.registry import SkinModel, add_model

_LN_10 = 2.303  # as rounded in all three sources
_SATURATION = 0.75  # share of oxygenated haemoglobin in the blood of the skin
_HAEMOGLOBIN = 150.0  # of whole blood [g/l]


def _baseline(wavelengths: np.ndarray) -> np.ndarray:
    """Absorption of skin without pigment [mm^-1]: Jacques, "Skin optics", OMLC News 1998 (ten times that, in cm^-1)."""
    return 0.0244 + 8.53 * np.exp(-(wavelengths - 154.0) / 66.2)


def _scattering(wavelengths: np.ndarray) -> np.ndarray:
    """Mie and Rayleigh scattering of the dermis [cm^-1]: Jacques, "Skin optics", OMLC News 1998."""
    return 2e5 * wavelengths**-1.5 + 2e12 * wavelengths**-4.0


def _alotaibi_smith(
    wavelengths: np.ndarray, melanin_scale: float, blood_in_epidermis: tuple[float, float]
) -> TwoLayers:
    """Constants of Alotaibi & Smith's released model, kept literally.

    It mixes units (the baseline is per mm, blood and scattering per cm) and weighs haemoglobin by saturation twice in
    the epidermis. `blood_in_epidermis` weighs the oxygenated and the deoxygenated part there.
    """
    # 61 % eumelanin at 80 mg/ml and 39 % pheomelanin at 12 mg/ml, through 0.02 cm of epidermis
    melanin = 0.02 * (
        0.61 * 80 * extinction("eumelanin", wavelengths) + 0.39 * 12 * extinction("pheomelanin", wavelengths)
    )
    molar = _LN_10 * _HAEMOGLOBIN / 66500.0  # haemoglobin's molar mass as in the release [g/mol]
    oxygenated = _SATURATION * molar * extinction("oxyhaemoglobin", wavelengths)
    deoxygenated = (1 - _SATURATION) * molar * extinction("deoxyhaemoglobin", wavelengths)
    base = _baseline(wavelengths)
    epidermal_blood = blood_in_epidermis[0] * oxygenated + blood_in_epidermis[1] * deoxygenated
    return TwoLayers.from_numpy(
        finite_kubelka_munk(thickness=0.3),
        depth=base,
        depth_mel=melanin_scale * melanin - base,
        depth_blood=0.25 * (epidermal_blood - base),  # a quarter of the dermis's blood reaches the epidermis
        absorption=base,
        absorption_blood=oxygenated + deoxygenated - base,
        scattering=_scattering(wavelengths),
    )


def _alotaibi_smith_2019(wavelengths: np.ndarray) -> TwoLayers:
    return _alotaibi_smith(wavelengths, 1.0, (_SATURATION, 1 - _SATURATION))


def _biofacenet_lut(wavelengths: np.ndarray) -> TwoLayers:
    return _alotaibi_smith(wavelengths, 1.25, (0.0, 1.0))


def _jacques_km(wavelengths: np.ndarray) -> TwoLayers:
    """Textbook skin in consistent units [cm^-1]: Jacques, "Skin optics", OMLC News 1998; blood from Prahl's table."""
    melanosome = 6.6e11 * wavelengths**-3.33
    base = 10 * _baseline(wavelengths)
    molar = _LN_10 * _HAEMOGLOBIN / 64500.0  # haemoglobin's molar mass as given by Prahl [g/mol]
    blood = molar * (
        _SATURATION * extinction("oxyhaemoglobin", wavelengths)
        + (1 - _SATURATION) * extinction("deoxyhaemoglobin", wavelengths)
    )
    thickness = 0.006  # of the epidermis [cm]
    return TwoLayers.from_numpy(
        diffusing_half_space,
        depth=thickness * base,
        depth_mel=thickness * (melanosome - base),
        depth_blood=np.zeros_like(base),
        absorption=base,
        absorption_blood=blood - base,
        scattering=_scattering(wavelengths),
    )


ALOTAIBI_SMITH_2019 = add_model(
    SkinModel(
        name="alotaibi-smith-2019",
        summary="Lambert-Beer epidermis over a finite Kubelka-Munk dermis, as released by its authors",
        source="Alotaibi & Smith, ICIP 2019 (arXiv:1902.06557), BMVC 2019 (arXiv:1908.10578) and their released code",
        wavelength_range=(400.0, 720.0),
        on_bands=_alotaibi_smith_2019,
    )
)
BIOFACENET_LUT = add_model(
    SkinModel(
        name="biofacenet-lut",
        summary="variant inferred from a picture of BioFaceNet's table: melanin x 1.25, only Hb in the epidermis",
        source="inferred here, not stated by the authors: Alotaibi & Smith, BMVC 2019 (arXiv:1908.10578)",
        wavelength_range=(400.0, 720.0),
        on_bands=_biofacenet_lut,
    )
)
JACQUES_KM = add_model(
    SkinModel(
        name="jacques-km",
        summary="textbook skin in consistent units: Jacques's melanosomes and baseline over a Kubelka-Munk half-space",
        source="S. L. Jacques, Skin optics, OMLC News 1998; S. Prahl, OMLC",
        wavelength_range=(400.0, 900.0),
        on_bands=_jacques_km,
    )
)
