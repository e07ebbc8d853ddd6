"""Skin's spectra, measured and modelled."""

from __future__ import annotations

import numpy as np
import pytest

import msfit
from msfit.synth.model_skin import model_skin, site_fractions
from msfit.synth.people import lab, subjects
from msfit.synth.spectra import WAVELENGTHS, absorbers, measured_skin, random_palette

MODEL = "alotaibi-smith-2019"
NOTHING = np.zeros(4)
BLACK = np.zeros(31, np.float32)


@pytest.fixture(scope="module")
def subject():
    return next(one for one in subjects("test") if one.sites == 4 and one.ita_class == "intermediate")


def test_unchanged_skin_is_the_measurement(subject):
    found = measured_skin(subject, np.eye(4), NOTHING, NOTHING, NOTHING, BLACK)
    np.testing.assert_allclose(found, np.exp(subject.log_reflectance), rtol=1e-4)


def test_a_missing_site_is_filled_by_the_others():
    one = next(one for one in subjects("test") if one.sites == 3)
    missing = np.isnan(one.log_reflectance[:, 0])
    found = measured_skin(one, missing[None].astype(float), *np.zeros((3, 1)), BLACK)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.log(found[0]), np.nanmean(one.log_reflectance, axis=0), rtol=1e-4)


def test_melanin_darkens_and_blood_reddens(subject):
    cheek = np.tile([1.0, 0, 0, 0], (3, 1))
    zero = np.zeros(3)
    spectra = measured_skin(subject, cheek, np.array([0, 0.3, 0]), np.array([0, 0, 0.3]), zero, BLACK)
    plain, melanin, blood = lab(spectra, WAVELENGTHS)
    assert melanin[0] < plain[0] - 3
    assert blood[1] > plain[1] + 3
    assert abs(melanin[1] - plain[1]) < blood[1] - plain[1]


def test_hair_covers_by_its_share(subject):
    full = measured_skin(subject, np.eye(4), NOTHING, NOTHING, np.ones(4), BLACK + 0.05)
    np.testing.assert_allclose(full, 0.05, atol=1e-6)


def test_absorbers_have_the_bands_of_their_pigments():
    melanin, blood = absorbers()
    assert melanin[WAVELENGTHS == 550] == pytest.approx(1)
    assert blood[WAVELENGTHS == 560] == pytest.approx(1)
    assert (np.diff(melanin) < 0).all()
    # oxygenated haemoglobin: the two bands of the green with a valley between, the Soret band, none in the red
    at = dict(zip(WAVELENGTHS, blood, strict=True))
    assert at[540] > at[560] < at[580]
    assert at[420] > at[540]
    assert at[650] < 0.2


def test_model_skin_is_exactly_the_model(subject):
    rng = np.random.default_rng(0)
    sites = rng.dirichlet(np.ones(4), 50)
    spectra, f_mel, f_blood = model_skin(subject, sites, *rng.normal(size=(2, 50)) * 0.1, rng.random(50) * 0.2, MODEL)
    expected = msfit.reflectance(f_mel, f_blood, WAVELENGTHS, model=MODEL)
    np.testing.assert_allclose(spectra, expected, rtol=1e-6)
    assert ((f_mel >= 0) & (f_mel <= 0.43) & (f_blood >= 0) & (f_blood <= 0.07)).all()


def test_model_skin_rests_on_the_fit_of_the_sites(subject):
    base = site_fractions(subject, MODEL)
    _, f_mel, f_blood = model_skin(subject, np.eye(4), NOTHING, NOTHING, NOTHING, MODEL)
    np.testing.assert_allclose(np.column_stack([f_mel, f_blood]), base, atol=1e-5)


def test_palettes_are_reflectances():
    for seed in range(50):
        for spectrum in random_palette(np.random.default_rng(seed), float(seed * 3 - 60)):
            assert spectrum.shape == (31,)
            assert 0 < spectrum.min() <= spectrum.max() < 1
