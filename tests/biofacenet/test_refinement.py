"""The solver finishes what the network says: reproduction, what stays, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import biofacenet
from biofacenet.prediction import Model, load_model
from biofacenet.refinement import NetworkErrors
from msfit.errors import InputError

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def model() -> Model:
    """The shipped network."""
    return load_model("default", "cpu")


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """128 x 128 around a face."""
    return np.ascontiguousarray(skimage_data.astronaut()[40:168, 160:288])


def test_the_solver_comes_nearer_to_the_picture_than_the_network(model: Model, face: np.ndarray) -> None:
    """The residual of refined maps is less than 90 % of the network's, pixel by pixel and in bands."""
    alone = model.predict(face, refine=False)
    for how in (True, "pixels"):
        refined = model.predict(face, refine=how)
        assert refined.median("rmse") < 0.9 * alone.median("rmse")
        assert refined.attrs["refine"] == str(how).lower()


def test_refined_maps_have_deviations_and_the_networks_own_have_none(model: Model, face: np.ndarray) -> None:
    """Positive where maps are, in the units of the maps; means stay within a few of them."""
    refined, alone = model.predict(face), model.predict(face, refine=False)
    assert alone.std is None
    assert refined.std is not None
    for name in ("f_mel", "f_blood", "i_d", "i_s"):
        std = refined.std[name]
        assert std.shape == refined.shape
        assert (std[refined.fitted] > 0).all()
    off = np.abs(refined.f_mel - alone.f_mel) / refined.std["f_mel"]
    assert np.median(off) < 3


def test_only_the_region_is_refined(model: Model, face: np.ndarray) -> None:
    """Outside it maps are the network's, to the bit, and have no deviations."""
    region = np.zeros(face.shape[:2], bool)
    region[40:90, 30:100] = True
    refined, alone = model.predict(face, region=region), model.predict(face, refine=False)
    for name in ("f_mel", "f_blood", "i_d", "i_s"):
        np.testing.assert_array_equal(getattr(refined, name)[~region], getattr(alone, name)[~region])
    assert refined.std is not None
    assert np.isnan(refined.std["f_mel"][~region]).all()


def test_gloss_and_misfit_make_up_the_picture(model: Model, face: np.ndarray) -> None:
    """``i_d C (r + misfit) + i_s C 1`` is the reconstruction; i_s is never negative."""
    result = model.predict(face)
    assert (result.i_s[result.fitted] >= 0).all()
    assert result.misfit is not None
    assert (result.misfit >= 0).all()
    assert result.reconstruction is not None
    assert result.albedo is not None


def test_a_refinement_that_cannot_be_is_refused(model: Model, face: np.ndarray) -> None:
    """Another word, and a network whose errors nobody measured, in one line."""
    with pytest.raises(InputError, match="refine: found 'twice'; expected True, 'pixels' or False"):
        model.predict(face, refine="twice")
    unknown = load_model("default", "cpu")
    unknown.errors = None
    with pytest.raises(InputError, match="errors of compact are not known"):
        unknown.predict(face, refine=True)
    assert unknown.predict(face).attrs["refine"] == "false"


def test_errors_are_written_as_they_are_read(model: Model) -> None:
    """JSON there and back; what is damaged is refused."""
    assert model.errors is not None
    again = NetworkErrors.of({"errors": model.errors.as_json()})
    assert again is not None
    np.testing.assert_array_equal(again.bands.shares, model.errors.bands.shares)
    with pytest.raises(InputError, match=r"training\.errors"):
        NetworkErrors.of({"errors": {**model.errors.as_json(), "scales": [0.1]}})


def test_predict_of_a_photograph_refines_its_skin() -> None:
    """By default, and not when it is told not to."""
    pytest.importorskip("ai_edge_litert")
    photograph = skimage_data.astronaut()
    refined, alone = (biofacenet.predict(photograph, refine=how) for how in (None, False))
    assert refined.std is not None
    assert alone.std is None
    assert refined.median("rmse") < alone.median("rmse")
    np.testing.assert_array_equal(refined.fitted, alone.fitted)
