"""Whether spectra are skin: measured persons of every tone, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

import msfit
from msfit.errors import InputError
from msfit.io.datasets.issa import load_faces
from msfit.skin.likeness import UNLIKE
from msfit.synth.people import ITA_CLASSES, split_table

ARCHIVE = np.arange(400.0, 701.0, 10.0)
CAMERAS = {
    "archive": ARCHIVE,
    "16 bands": np.linspace(430, 690, 16),
    "5 nm": np.arange(420.0, 700.0, 5.0),
    "6 LEDs": np.array([450.0, 505, 545, 577, 620, 660]),
}


@pytest.mark.parametrize("camera", CAMERAS)
def test_people_who_were_not_used_are_skin_in_every_tone(camera: str) -> None:
    """At least 95 % of the facial spectra of test persons of each class of skin tone, very light and dark too."""
    faces, table, bands = load_faces(), split_table(), CAMERAS[camera]
    test = np.array([table[str(person)]["split"] == "test" for person in faces.person])
    tone = np.array([table[str(person)]["ita_class"] for person in faces.person])
    spectra = np.stack([np.interp(bands, ARCHIVE, row) for row in np.asarray(faces.cube.reflectance)[test]])
    like = msfit.skin_likeness(spectra, bands) >= UNLIKE
    for name in ITA_CLASSES:
        assert like[tone[test] == name].mean() >= 0.95, name


def test_what_is_no_skin_is_told(reference_data: Path) -> None:
    """Of objects, cloth, plants, food and paints without hair at most 9 % pass, of paints, cloth and food 5 %."""
    contents = scipy.io.loadmat(reference_data / "not_skin.mat")
    kind = np.array([str(np.ravel(one)[0]).strip() for one in contents["kind"].ravel()])
    likeness = msfit.skin_likeness(
        np.maximum(contents["reflectance"], 1e-4), contents["wavelength"].ravel().astype(float)
    )
    passed = likeness >= UNLIKE
    assert passed[kind != "hair"].mean() <= 0.09
    assert passed[~np.isin(kind, ["hair", "objects"])].mean() <= 0.05


def test_the_level_of_light_does_not_matter() -> None:
    """Skin at a tenth and at twice the light is as like skin, and a grey card at none."""
    skin = np.asarray(load_faces().cube.reflectance)[::500]
    likeness = [msfit.skin_likeness(level * skin, ARCHIVE) for level in (0.1, 1.0, 2.0)]
    np.testing.assert_allclose(likeness[0], likeness[1], rtol=0.02, atol=1e-6)
    np.testing.assert_allclose(likeness[2], likeness[1], rtol=0.02, atol=1e-6)
    assert (msfit.skin_likeness(np.full((3, 31), 0.3), ARCHIVE) < UNLIKE).all()


def test_a_result_says_which_of_its_pixels_are_unlike_skin() -> None:
    """DOUBTFUL beside what else the status says; maps keep every bit; the share is told."""
    skin = np.asarray(load_faces().cube.reflectance)[:60]
    grey = np.tile(np.linspace(0.5, 0.3, 31), (40, 1))
    result = msfit.fit(np.concatenate([skin, grey]), ARCHIVE)
    doubted = msfit.doubt_unlike_skin(result)
    marked = (doubted.status & msfit.Status.DOUBTFUL) > 0
    assert marked[60:].all()
    assert marked[:60].mean() < 0.1
    np.testing.assert_array_equal(doubted.f_mel, result.f_mel)
    np.testing.assert_array_equal(doubted.status & ~np.uint16(msfit.Status.DOUBTFUL), result.status)
    assert doubted.attrs["unlike_skin"] == pytest.approx(marked.mean(), abs=1e-6)


def test_a_picture_gives_a_map_and_unknown_samples_are_nan() -> None:
    """(y, x) as the cube's; NaN where a band is missing or dark."""
    values = np.tile(msfit.reflectance(0.1, 0.03, ARCHIVE), (8, 9, 1))
    values[2, 3, 4] = np.nan
    likeness = msfit.skin_likeness(msfit.Cube(values, ARCHIVE))
    assert likeness.shape == (8, 9)
    assert np.isnan(likeness[2, 3])
    assert np.isfinite(np.delete(likeness.ravel(), 2 * 9 + 3)).all()


def test_too_few_bands_are_refused() -> None:
    """One line that says how many were found."""
    with pytest.raises(InputError, match=r"wavelengths: 3 bands inside 400-700 nm"):
        msfit.skin_likeness(np.ones((2, 3)), [450.0, 550, 650])
