"""The six figures of Table 1 on maps whose RMSEs are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from msfit.errors import InputError
from msfit.metrics import COLUMNS, Decomposition, decomposition_rmse, in_unit, shading_scales

SHAPE = (8, 6)
FACE = np.zeros(SHAPE, bool)
FACE[2:6, 1:5] = True


def flat(**values: float) -> Decomposition:
    """Maps of one value each; pictures of one grey."""
    colour = {"albedo", "picture"}
    return Decomposition(**{name: np.full((*SHAPE, 3) if name in colour else SHAPE, v) for name, v in values.items()})


TRUTH = flat(i_d=0.8, i_s=0.1, albedo=0.4, f_mel=0.43 / 8, f_blood=0.07 / 8, picture=0.5)


def test_differences_of_flat_maps_are_the_scores() -> None:
    mine = flat(i_d=0.7, i_s=0.13, albedo=0.44, f_mel=0.43, f_blood=0.07, picture=0.45)
    score = decomposition_rmse(mine, TRUTH, FACE, shading_scale="none")
    # f_max / 8 is u = 1/2, m = 2 (0.5 - 0.01) / 0.99 - 1; f_max is m = 1
    half = 2 * (0.5 - 0.01) / 0.99 - 1
    expected = {"diffuse": 0.1, "specular": 0.03, "albedo": 0.04, "melanin": 1 - half, "haemoglobin": 1 - half}
    assert score == pytest.approx({**expected, "reconstruction": 0.05}, rel=1e-12)
    assert tuple(score) == COLUMNS


def test_a_forgotten_scale_changes_the_score_as_computed_by_hand() -> None:
    rng = np.random.default_rng(0)
    truth = Decomposition(i_d=rng.uniform(0.2, 1, SHAPE), i_s=rng.uniform(0, 0.2, SHAPE))
    double = truth.each(lambda values: 2 * values)
    assert decomposition_rmse(double, truth, FACE, shading_scale="scene")["diffuse"] == pytest.approx(0, abs=1e-15)
    forgotten = decomposition_rmse(double, truth, FACE, shading_scale="none")
    assert truth.i_d is not None
    assert forgotten["diffuse"] == pytest.approx(np.sqrt((truth.i_d[FACE] ** 2).mean()), rel=1e-12)


def test_one_factor_a_scene_is_least_squares_over_both_maps() -> None:
    rng = np.random.default_rng(1)
    mine, truth = (Decomposition(i_d=rng.uniform(size=SHAPE), i_s=rng.uniform(size=SHAPE)) for _ in range(2))
    both = [np.concatenate([one.i_d[FACE], one.i_s[FACE]]) for one in (mine, truth)]  # type: ignore[index]
    scale = np.linalg.lstsq(both[0][:, None], both[1], rcond=None)[0][0]
    assert_allclose(shading_scales(mine, truth, FACE, "scene"), (scale, scale), rtol=1e-12)
    own = [
        np.linalg.lstsq(a[FACE][:, None], b[FACE], rcond=None)[0][0]
        for a, b in ((mine.i_d, truth.i_d), (mine.i_s, truth.i_s))
    ]  # type: ignore[index]
    assert_allclose(shading_scales(mine, truth, FACE, "map"), own, rtol=1e-12)


def test_swapped_maps_score_the_difference_of_the_maps() -> None:
    swapped = Decomposition(i_d=TRUTH.i_s, i_s=TRUTH.i_d)
    score = decomposition_rmse(swapped, TRUTH, FACE, shading_scale="none")
    assert score["diffuse"] == score["specular"] == pytest.approx(0.7)


def test_a_wrong_mask_lets_the_background_in() -> None:
    spoilt = np.where(FACE, 0.8, 0.0)
    mine = Decomposition(i_d=spoilt)
    assert decomposition_rmse(mine, TRUTH, FACE, shading_scale="none")["diffuse"] == 0
    everywhere = decomposition_rmse(mine, TRUTH, None, shading_scale="none")["diffuse"]
    assert everywhere == pytest.approx(0.8 * np.sqrt(1 - FACE.mean()))


def test_maps_that_a_method_does_not_give_have_no_score() -> None:
    score = decomposition_rmse(Decomposition(i_d=TRUTH.i_d), TRUTH, FACE)
    assert [name for name, value in score.items() if value is None] == list(COLUMNS[1:])


@given(st.floats(-1, 1))
def test_the_unit_of_the_heads_inverts_their_formula(m: float) -> None:
    fraction = 0.43 * (0.01 + 0.99 * (m + 1) / 2) ** 3
    assert in_unit("f_mel", fraction, "heads") == pytest.approx(m, abs=1e-9)


def test_linear_units_span_the_bounds() -> None:
    assert in_unit("f_blood", np.array([0, 0.035, 0.07]), "linear").tolist() == [-1, 0, 1]


@pytest.mark.parametrize("choice", [{"shading_scale": "best"}, {"pigments": "percent"}])
def test_unknown_choices_are_refused(choice: dict[str, str]) -> None:
    with pytest.raises(InputError, match="expected one of"):
        decomposition_rmse(TRUTH, TRUTH, FACE, **choice)


def test_an_estimate_with_holes_is_refused_unless_they_are_left_out() -> None:
    holes = np.full((4, 4), 0.5)
    holes[0] = np.nan
    truth, mine = Decomposition(i_d=np.ones((4, 4))), Decomposition(i_d=holes)
    with pytest.raises(InputError, match=r"estimate.i_d: 4 of 16 values on the face are not finite"):
        decomposition_rmse(mine, truth, shading_scale="none")
    assert decomposition_rmse(mine, truth, shading_scale="none", missing="omit")["diffuse"] == 0.5
    below = np.ones((4, 4), dtype=bool)
    below[0] = False
    assert decomposition_rmse(mine, truth, below, shading_scale="none")["diffuse"] == 0.5
    # of pixels that the truth says nothing of nothing is asked
    assert decomposition_rmse(Decomposition(i_d=np.full((4, 4), 0.5)), mine, shading_scale="none")["diffuse"] == 0.0


@pytest.mark.parametrize("how", ["scene", "map"])
def test_light_is_not_negative(how: str) -> None:
    truth = Decomposition(i_d=np.ones((4, 4)), i_s=np.ones((4, 4)))
    scored = decomposition_rmse(truth.each(np.negative), truth, shading_scale=how)
    assert (scored["diffuse"], scored["specular"]) == (1.0, 1.0)


@pytest.mark.parametrize("fraction", [10.0, -0.5])
@pytest.mark.parametrize("unit", ["heads", "linear", "fraction"])
def test_pigments_that_are_no_fractions_are_refused(fraction: float, unit: str) -> None:
    truth = Decomposition(f_mel=np.full((4, 4), 0.1))
    with pytest.raises(InputError, match=r"estimate.f_mel: found values from .* volume fractions"):
        decomposition_rmse(Decomposition(f_mel=np.full((4, 4), fraction)), truth, pigments=unit)


def test_what_is_no_decomposition_is_refused() -> None:
    truth = Decomposition(f_mel=np.full((4, 4), 0.1))
    with pytest.raises(InputError, match="estimate: found dict"):
        decomposition_rmse({"f_mel": 0.1}, truth)  # type: ignore[arg-type]
