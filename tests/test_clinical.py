"""Numbers that clinicians know: against colour-science, hand-made spectra, and the order of light and dark skin."""

from __future__ import annotations

import colour
import numpy as np
import pytest

import msfit
from msfit.errors import InputError
from msfit.metrics import ita_class, skin_colour

NM = np.arange(400.0, 701.0, 10.0)
F_MEL = np.linspace(0.013, 0.43, 12)
SKIN = msfit.reflectance(F_MEL, 0.03, NM)


def test_lab_is_that_of_colour_science() -> None:
    shape = colour.SpectralShape(400, 700, 1)
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(shape)
    light = colour.SDS_ILLUMINANTS["D65"].copy().align(shape)
    white = colour.sd_to_XYZ(colour.SpectralDistribution(np.ones(301), np.arange(400, 701)), observer, light)
    for spectrum, lab in zip(SKIN, skin_colour(SKIN, NM).lab, strict=True):
        fine = colour.SpectralDistribution(np.interp(np.arange(400, 701), NM, spectrum), np.arange(400, 701))
        xyz = colour.sd_to_XYZ(fine, observer, light)
        np.testing.assert_allclose(lab, colour.XYZ_to_Lab(xyz / 100, colour.XYZ_to_xy(white)), atol=0.02)


def test_indices_are_the_plain_formula_between_bands() -> None:
    bands = np.array([450.0, 558.0, 578.0, 645.0, 665.0])
    found = skin_colour([0.3, 0.2, 0.3, 0.4, 0.6], bands)  # 0.25 at 568 nm, 0.5 at 655 nm
    assert found.erythema_index == pytest.approx(100 * np.log10(2))
    assert found.melanin_index == pytest.approx(100 * np.log10(2))


def test_a_neutral_surface_has_no_angle_and_no_redness() -> None:
    found = skin_colour(np.full(31, 0.18), NM)
    np.testing.assert_allclose(found.lab, [49.496, 0, 0], atol=1e-3)
    assert found.erythema_index == pytest.approx(0, abs=1e-12)
    # b* of a neutral surface is zero but for rounding: the sign of it decides nothing that matters
    assert np.isnan(found.ita) or abs(found.ita) > 80


@pytest.mark.parametrize(
    ("angle", "name"),
    [
        (55.1, "very light"),
        (55, "light"),
        (41, "intermediate"),
        (28, "tan"),
        (10, "brown"),
        (-30, "dark"),
        (-80, "dark"),
    ],
)
def test_a_class_begins_above_its_angle(angle: float, name: str) -> None:
    assert ita_class(angle) == name


def test_more_melanin_is_darker_and_more_blood_is_redder() -> None:
    by_melanin = skin_colour(SKIN, NM)
    assert (np.diff(by_melanin.ita) < 0).all()
    assert (np.diff(by_melanin.melanin_index) > 0).all()
    for f_mel in (0.03, 0.15, 0.35):
        by_blood = skin_colour(msfit.reflectance(f_mel, np.linspace(0.005, 0.07, 8), NM), NM)
        assert (np.diff(by_blood.erythema_index) > 0).all()


def test_shapes_and_missing_samples() -> None:
    spectra = SKIN.reshape(3, 4, 31).copy()
    spectra[1, 2, 10] = np.nan
    found = skin_colour(spectra, NM)
    assert found.lab.shape == (3, 4, 3)
    assert np.isnan(found.ita[1, 2])
    assert found.ita_class[1, 2] == ""
    assert np.isfinite(found.ita).sum() == 11


def test_refusals_name_the_argument() -> None:
    with pytest.raises(InputError, match="reflectance: found shape"):
        skin_colour(SKIN[:, :30], NM)
    with pytest.raises(InputError, match="568-655 nm"):
        skin_colour(SKIN[:, :25], NM[:25])
