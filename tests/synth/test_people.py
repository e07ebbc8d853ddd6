"""Whose skin it is, and the split."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from msfit.errors import InputError
from msfit.io.datasets.issa import load_faces
from msfit.synth.people import (
    ITA_CLASSES,
    SITES,
    SPLITS,
    ita_class,
    make_split,
    split_table,
    subjects,
    typology_angle,
    wearable,
)


def test_the_shipped_split_is_the_one_that_the_function_makes():
    made = {row["person"]: row for row in make_split(load_faces())}
    assert made == split_table()


def test_every_person_of_the_archive_is_in_exactly_one_split():
    persons = {str(person) for person in load_faces().person}
    assert set(split_table()) == persons
    named = [one.person for split in SPLITS for one in subjects(split, min_sites=1)]
    assert len(named) == len(set(named)) == len(persons)


def test_test_subjects_cover_the_ends_of_the_scale():
    counts = collections.Counter(one.ita_class for one in wearable("test"))
    assert counts["very light"] >= 4
    assert counts["dark"] >= 8
    assert set(counts) == set(ITA_CLASSES)


def test_the_split_is_alike_in_every_class():
    for name in ITA_CLASSES:
        rows = [row for row in split_table().values() if row["ita_class"] == name]
        share = sum(row["split"] == "test" for row in rows) / len(rows)
        assert share == pytest.approx(0.2, abs=0.02) if len(rows) > 50 else share == 0.5


def test_classes_of_the_typology_angle():
    angles = [70.0, 55.0, 41.1, 30.0, 10.1, 0.0, -30.0, -60.0]
    expected = ["very light", "light", "light", "intermediate", "tan", "brown", "dark", "dark"]
    assert [ita_class(angle) for angle in angles] == expected


def test_typology_angle_of_a_grey_is_ninety_degrees_above_middle_lightness():
    wavelengths = np.arange(400.0, 701.0, 10.0)
    spectra = np.stack([np.full(31, 0.5), np.full(31, 0.05)])
    light, dark = typology_angle(spectra, wavelengths)
    assert light > 85
    assert dark < -85


def test_a_subject_holds_the_mean_logarithm_of_its_own_spectra():
    archive = load_faces()
    one = subjects("test")[0]
    own = (archive.person == one.person) & (archive.site == "forehead")
    expected = np.log(archive.cube.reflectance[own].astype(float)).mean(axis=0)
    np.testing.assert_allclose(one.log_reflectance[SITES.index("forehead")], expected)
    assert one.sites == np.isfinite(one.log_reflectance[:, 0]).sum() >= 3


def test_what_is_not_bare_skin_is_left_out():
    assert all(one.contrast <= 12 for one in wearable("validation"))
    assert 0.85 < len(wearable("train")) / len(subjects("train")) < 1


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="train, validation, test"):
        subjects("exam")
