"""Numbers that clinicians know, from spectra: L*a*b*, typology angle and its class, erythema and melanin index."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from msfit.colour.colorimetry import fold_bands, xyz_weights
from msfit.colour.spectra import Spectrum
from msfit.colour.transforms import xyz_to_lab
from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError

#: Classes of the typology angle, lightest first, and the angle [degrees] above which each begins.
ITA_CLASSES = (("very light", 55.0), ("light", 41.0), ("intermediate", 28.0), ("tan", 10.0), ("brown", -30.0))
_DARKEST = "dark"  # -30 degrees and below

#: Wavelengths [nm] of the narrow-band reflectometer whose indices are computed.
GREEN, RED = 568.0, 655.0


class SkinColour(NamedTuple):
    """Colour of skin; each field has the shape of the spectra without their last axis, `lab` a last axis of 3 more.

    A spectrum with a missing sample where it is needed gives NaN, and the class "".
    """

    #: CIE 1976 L*, a*, b*.
    lab: np.ndarray
    #: Individual typology angle [degrees].
    ita: np.ndarray
    #: Class of the typology angle, a str each.
    ita_class: np.ndarray
    #: 100 log10(R_red / R_green).
    erythema_index: np.ndarray
    #: 100 log10(1 / R_red).
    melanin_index: np.ndarray


def skin_colour(reflectance: Any, wavelengths: Any, illuminant: str | Spectrum = "D65") -> SkinColour:
    """L*a*b*, typology angle with its class, erythema and melanin index of spectra.

    They describe how skin looks, gloss and shading included: of a picture, shading moves L*, the angle and the melanin
    index. Of a fit, ``result.skin()`` has neither.

    Parameters
    ----------
    reflectance : array (..., band)
        [1], 0 to 1.
    wavelengths : array (band,)
        [nm], increasing, from 568 nm or below to 655 nm or above for the indices, and enough of visible light for a
        colour (`msfit.colour.colorimetry.xyz_weights`).
    illuminant : str or Spectrum
        Light of the colour, seen by the CIE 1931 observer, with that light's own white. D65 is usual for the angle.

    Returns
    -------
    SkinColour
        `ita` is arctan((L* - 50) / b*) 180 / pi, NaN where b* is not positive, as of skin it is: there the angle is not
        defined. The indices are infinite or NaN where a reflectance is not positive.

    Raises
    ------
    InputError
        Other numbers of bands and wavelengths; a range without 568-655 nm, or with too little of visible light.

    References
    ----------
    A. Chardon, I. Cretois, C. Hourseau, "Skin colour typology and suntanning pathways", Int. J. Cosmet. Sci. 13, 1991:
    the angle and the classes; S. Del Bino, F. Bernerd, "Variations in skin colour and the biological consequences of
    ultraviolet radiation exposure", Br. J. Dermatol. 169 (s3), 2013: "dark" below -30 degrees.
    B. L. Diffey, R. J. Oliver, P. M. Farr, "A portable instrument for quantifying erythema induced by ultraviolet
    radiation", Br. J. Dermatol. 111, 1984; H. Takiwaki, L. Overgaard, J. Serup, "Comparison of narrow-band reflectance
    spectrophotometric and tristimulus colorimetric measurements of skin color", Skin Pharmacol. 7, 1994: the indices,
    at 568 and 655 nm. Instruments at other wavelengths give other numbers.

    Examples
    --------
    >>> import msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> colour = skin_colour(msfit.reflectance([0.03, 0.3], 0.005, bands), bands)
    >>> colour.ita_class.tolist()
    ['light', 'dark']
    """
    bands = check_wavelengths(wavelengths)
    spectra = np.asarray(reflectance, dtype=np.float64)
    if spectra.ndim == 0 or spectra.shape[-1] != bands.size:
        raise InputError(f"reflectance: found shape {spectra.shape}; expected {bands.size} bands on the last axis")
    if bands[0] > GREEN or bands[-1] < RED:
        raise InputError(
            f"wavelengths: found {bands[0]:g}-{bands[-1]:g} nm; expected {GREEN:g}-{RED:g} nm inside, for the indices"
        )
    weights = xyz_weights(bands, illuminant)
    xyz = torch.from_numpy(np.ascontiguousarray(fold_bands(spectra, weights)))
    lab = xyz_to_lab(xyz, torch.from_numpy(weights.sum(axis=0))).numpy()
    ita = _typology_angle(lab)
    with np.errstate(divide="ignore", invalid="ignore"):
        green, red = (100 * np.log10(1 / _at(spectra, bands, nm)) for nm in (GREEN, RED))
        return SkinColour(lab, ita, ita_class(ita), green - red, red)


def ita_class(angle: Any) -> np.ndarray:
    """Class of typology angles [degrees]: very light > 55 > light > 41 > intermediate > 28 > tan > 10 > brown > -30.

    -30 degrees and below is dark; NaN is "".

    Examples
    --------
    >>> ita_class([60, 55, -30.0]).tolist()
    ['very light', 'light', 'dark']
    """
    angle = np.asarray(angle, dtype=np.float64)
    conditions = [np.isnan(angle), *(angle > above for _, above in ITA_CLASSES)]
    return np.asarray(np.select(conditions, ["", *(name for name, _ in ITA_CLASSES)], default=_DARKEST))


def _typology_angle(lab: np.ndarray) -> np.ndarray:
    lightness, yellow = lab[..., 0], lab[..., 2]
    defined = yellow > 0
    return np.where(defined, np.degrees(np.arctan2(lightness - 50, np.where(defined, yellow, 1.0))), np.nan)


def _at(spectra: np.ndarray, bands: np.ndarray, nm: float) -> np.ndarray:
    """Reflectance at a wavelength, linearly between bands."""
    right = int(np.searchsorted(bands, nm).clip(1, bands.size - 1))
    share = (nm - bands[right - 1]) / (bands[right] - bands[right - 1])
    return (1 - share) * spectra[..., right - 1] + share * spectra[..., right]
