"""Figures of the second exam: an estimator that knows the truth passes, one that knows nothing does not."""

import numpy as np
import pytest

from biofacenet.photograph_exam import Estimate, examine, intraclass, typology_of_rgb
from msfit.errors import InputError
from msfit.synth import photographs as home
from msfit.synth import read_photograph
from msfit.synth.photographs import make_photograph, sitters
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.truth import fitted_pigments

MODEL = "msfit-issa-2026"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures each of a very light and a dark person."""
    place = tmp_path_factory.mktemp("exam")
    for sitter in (sitters()[1], sitters()[22]):
        for number in (0, 1):
            home._write(make_photograph(sitter, number, 96), place / f"{sitter.name}-{number + 1}.png")
    return place


def knowing(folder, of_truth):
    """An estimator that looks the picture up and answers with a function of its truth."""
    known = [read_photograph(path) for path in sorted(folder.glob("*.png"))]

    def estimate(rgb, mask):
        one = next(one for one in known if np.array_equal(one.picture, rgb))
        truth = fitted_pigments(one.reflectance, WAVELENGTHS, MODEL, "float32")
        sheets = [np.full(mask.shape, np.nan, np.float32) for _ in range(3)]
        for sheet, values in zip(
            sheets, (truth["f_mel"], truth["f_blood"], truth["scale"] * one.i_d[mask]), strict=True
        ):
            sheet[mask] = values
        return of_truth(Estimate(*sheets, one.gloss, np.full(mask.shape, 0.01, np.float32)))

    return estimate


def test_truth_passes(folder):
    found = examine(folder, knowing(folder, lambda truth: truth), MODEL)
    assert (found.photographs, found.persons) == (4, 2)
    assert found.worst_bias == pytest.approx(0, abs=1e-5)
    assert found.rmse["all"] == pytest.approx(0, abs=1e-5)
    assert found.icc > 0.95
    assert found.rank > 0.7
    assert found.spot_contrast == pytest.approx(1, abs=1e-3)
    assert abs(found.spot_in_i_d) < 1e-3
    assert found.coverage == 1
    assert "ICC" in str(found)


def test_a_constant_with_its_spots_in_the_light_does_not(folder):
    def flat(truth):
        return truth._replace(f_mel=np.full_like(truth.f_mel, 0.1), std=None)

    found = examine(folder, knowing(folder, flat), MODEL)
    assert found.bias["very light"][0] > 0.5
    assert found.bias["dark"][0] < -0.3
    assert found.spot_contrast == pytest.approx(0, abs=1e-6)
    assert found.coverage is None


def test_intraclass_correlation_of_known_values():
    """Shrout & Fleiss 1979, table 2: six targets, four judges, ICC(1, 1) = 0.17."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert intraclass(ratings.ravel().astype(float), np.repeat(np.arange(6), 4)) == pytest.approx(0.17, abs=0.005)


def test_typology_of_a_colour():
    assert typology_of_rgb(np.array([0.6, 0.4, 0.3])) > typology_of_rgb(np.array([0.2, 0.1, 0.07]))


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(InputError, match="msfit synth --photographs"):
        examine(tmp_path, lambda rgb, mask: None, MODEL)
