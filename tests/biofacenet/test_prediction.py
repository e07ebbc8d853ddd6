"""Pictures become results that msfit's tools take, whatever their type and size; no face, no result."""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import msfit
from biofacenet import Box, Model, load_model, predict
from biofacenet.networks import scales, tiles
from biofacenet.networks.decoder import fractions
from biofacenet.networks.weights import Loaded
from biofacenet.photo.face import parse_box
from biofacenet.photo.reading import Photo, linear_light, read_photo, write_photo
from biofacenet.prediction import masked
from biofacenet.result import FaceResult
from msfit.data.result import MAPS, Status
from msfit.errors import InputError


def test_a_result_is_a_fit_result_within_its_bounds(model: Model, face: np.ndarray) -> None:
    result = model.predict(face)
    assert isinstance(result, msfit.FitResult)
    assert result.shape == face.shape[:2]
    for name in MAPS:
        assert getattr(result, name).dtype == np.float32
        assert np.isfinite(getattr(result, name)).all()
    for name, (low, high) in result.bounds.items():
        values = getattr(result, name)
        assert low <= values.min() < values.max() <= high
    assert min(result.i_d.min(), result.i_s.min()) >= 0
    assert len(repr(result)) < 300
    assert repr(result).startswith("<FaceResult ")
    assert result._repr_html_().count("data:image/png") == len(MAPS)
    assert result.model == "alotaibi-smith-2019"
    assert result.wavelengths.tolist() == list(range(400, 721, 10))
    assert set(result.counts()) <= {Status.CONVERGED, *Status}
    assert result.picture is not None
    assert result.reconstruction is not None
    assert_allclose(result.rmse, np.sqrt(((result.reconstruction - result.picture) ** 2).mean(axis=2)), atol=1e-5)


def test_the_tools_of_msfit_take_it(model: Model, face: np.ndarray, tmp_path: Path) -> None:
    result = model.predict(face)
    result.save(tmp_path / "maps.h5")
    again = msfit.load_result(tmp_path / "maps.h5")
    for name in (*MAPS, "status"):
        assert_array_equal(getattr(again, name), getattr(result, name))
    assert again.attrs["network"] == "small"
    assert result.to_xarray()["f_mel"].attrs["units"] == "1"
    for ending in (".mat", ".npz"):
        result.save(tmp_path / f"maps{ending}")
    assert np.isfinite(msfit.render(result, what="albedo")).all()
    assert msfit.render(again, "D65", "mean").shape == face.shape
    titles = [{axes.get_title(loc="left") for axes in one.plot().axes} for one in (result, again)]
    assert {"Melanin", "Haemoglobin"} <= titles[0] & titles[1]


def test_the_picture_of_the_maps_is_the_reconstruction(model: Model, face: np.ndarray) -> None:
    """The light and camera found, through msfit.render, give what the decoder gave."""
    result = model.predict(face)
    light = model.decoder.light(torch.from_numpy(result.lighting))
    camera = model.decoder.camera(torch.from_numpy(result.camera))
    assert result.reconstruction is not None
    # the decoder works on its 33 bands, render on 1 nm between them
    rendered = msfit.render(result, light.numpy(), camera.numpy()) * np.array(json.loads(result.attrs["gains"]))
    assert float(np.sqrt(np.mean((rendered - result.reconstruction) ** 2))) < 0.02


def test_types_of_one_picture_give_one_result(model: Model, face: np.ndarray) -> None:
    expected = model.predict(face)
    linear = linear_light(face)
    others = [
        model.predict(face.astype(np.uint16) * 257),
        model.predict(face / 255, encoding="srgb"),
        model.predict(linear, encoding="linear"),
        model.predict(linear.astype(np.float64), encoding="linear"),
        model.predict(np.dstack([face, np.full(face.shape[:2], 255, np.uint8)])),
        model.predict(np.dstack([face / 255, np.ones(face.shape[:2])]), encoding="srgb"),
    ]
    for other in others:
        for name in MAPS:
            assert_allclose(getattr(other, name), getattr(expected, name), rtol=1e-3, atol=1e-5)


def test_a_picture_of_the_trained_size_is_seen_once(model: Model, face: np.ndarray) -> None:
    small = face[::3, ::3]
    light = torch.from_numpy(linear_light(small)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        found = model.network(light)
    result = model.predict(small, refine=False)
    assert result.misfit is not None
    assert_allclose(result.f_mel, fractions(found.m_mel, 0.43)[0, 0], rtol=1e-5)
    assert_allclose(result.i_s + result.i_d * result.misfit, found.i_s[0, 0], rtol=1e-5)
    assert_array_equal(model.predict(small, size=0, refine=False).f_mel, result.f_mel)


def test_larger_pictures_keep_level_and_light_and_gain_detail(model: Model, face: np.ndarray) -> None:
    coarse, fine = (model.predict(face, size=size, refine=False) for size in (64, 0))
    assert_array_equal(coarse.lighting, fine.lighting)
    assert_array_equal(coarse.camera, fine.camera)

    def cells(values: np.ndarray) -> np.ndarray:
        return values.reshape(24, 8, 24, 8).mean(axis=(1, 3))

    def shading(result: FaceResult, name: str) -> np.ndarray:
        assert result.misfit is not None
        return result.i_d if name == "i_d" else result.i_s + result.i_d * result.misfit

    for name in ("i_d", "i_s"):
        one, two = shading(coarse, name), shading(fine, name)
        assert_allclose(cells(two).mean(), cells(one).mean(), rtol=0.02)
        assert np.abs(np.diff(two, axis=0)).mean() > 1.1 * np.abs(np.diff(one, axis=0)).mean()
    assert model.predict(face[:100], size=48).shape == (100, 192)
    assert_array_equal(model.predict(face, refine=False).i_d, fine.i_d)  # 192 pixels are seen as they are


def test_tiles_do_not_show(model: Model, face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predict(face, size=0)
    monkeypatch.setattr(scales, "predict_tiled", functools.partial(tiles.predict_tiled, tile=64))
    for name in ("i_d", "i_s", "f_mel"):
        assert_allclose(getattr(model.predict(face, size=0), name), getattr(whole, name), rtol=1e-3)


def test_pixels_that_are_not_finite_are_masked(model: Model, face: np.ndarray) -> None:
    linear = linear_light(face)
    linear[3:9, 5:7] = np.nan
    result = model.predict(linear, encoding="linear")
    expected = np.zeros(face.shape[:2], bool)
    expected[3:9, 5:7] = True
    assert_array_equal(result.status == Status.MASKED_NO_SIGNAL, expected)
    assert_array_equal(np.isnan(result.f_blood), expected)


def test_heads_at_their_ends_are_told(model: Model, face: np.ndarray) -> None:
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        network.body.heads.bias[:2] = torch.tensor([1000.0, -1000.0])  # type: ignore[union-attr]
    counts = Model(Loaded(network, model.training)).predict(face).counts()
    assert counts == {Status.F_MEL_UPPER_F_BLOOD_LOWER: face.shape[0] * face.shape[1]}


def test_a_face_in_a_photograph_is_found_and_masked(model: Model, face_file: Path) -> None:
    result = predict(face_file, model)
    box = parse_box(result.attrs["box"])
    assert result.shape == (box.height, box.width)
    assert box.x > 30
    assert box.width < 220
    assert 0.25 < result.fitted.mean() < 0.9
    assert result.fitted[result.shape[0] // 2, result.shape[1] // 2]
    assert (result.status[~result.fitted] == Status.MASKED_BY_USER).all()
    assert result.attrs["source"] == str(face_file)
    everything = predict(face_file, model, mask="none", box=box)
    assert everything.fitted.all()
    assert_array_equal(everything.f_mel[result.fitted], result.f_mel[result.fitted])
    assert_array_equal(predict(read_photo(face_file).rgb, model).f_mel, result.f_mel)
    assert predict(face_file, model, box="whole").shape == (260, 300)


def test_transparent_pixels_are_masked(model: Model, face: np.ndarray, tmp_path: Path) -> None:
    alpha = np.full(face.shape[:2], 255, np.uint8)
    alpha[:, :80] = 10
    write_photo(tmp_path / "face.png", face, alpha)
    result = predict(tmp_path / "face.png", model, box="whole", mask="none")
    assert_array_equal(result.fitted, alpha > 127)
    array = np.dstack([face, alpha])
    assert_array_equal(model.predict(array).status == Status.MASKED_BY_USER, alpha < 128)
    assert_array_equal(model.predict(array / 255, encoding="srgb").fitted, alpha > 127)


def test_where_nothing_is_to_be_seen_nothing_is_answered(model: Model, face: np.ndarray) -> None:
    blue = NOISE // 4 + np.array([0, 20, 160], np.uint8)
    with pytest.raises(InputError, match="no skin was found in the face; take all of it"):
        predict(blue, model, box="whole")
    assert predict(blue, model, box="whole", mask="none").fitted.all()
    transparent = np.dstack([face, np.zeros(face.shape[:2], np.uint8)])
    for look in (model.predict, lambda array: predict(array, model, box="whole", mask="none")):
        with pytest.raises(InputError, match="the face is transparent"):
            look(transparent)


def test_masking_keeps_the_first_reason(model: Model, face: np.ndarray) -> None:
    result = model.predict(face)
    first, second = np.ones(result.shape, bool), np.ones(result.shape, bool)
    first[:5], second[:9] = False, False
    twice = masked(masked(result, first, Status.MASKED_NO_SIGNAL), second, Status.MASKED_BY_USER)
    assert twice.counts()[Status.MASKED_NO_SIGNAL] == 5 * 192
    assert twice.counts()[Status.MASKED_BY_USER] == 4 * 192


NOISE = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "no face found"),
        ({"box": Box(0, 0, 91, 20)}, "inside 90 x 90"),
        ({"box": "face"}, "'auto', 'whole' or a Box"),
        ({"box": "whole", "size": 5}, "size"),
        ({"box": "whole", "mask": "skin"}, "mask"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(model: Model, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        predict(NOISE, model, **options)  # type: ignore[arg-type]


def test_values_that_are_no_photograph_are_refused(model: Model) -> None:
    with pytest.raises(InputError, match="uint8 or uint16"):
        predict(NOISE / 255, model)
    with pytest.raises(InputError, match="encoding"):
        model.predict(NOISE / 255)


def test_unknown_weights_and_devices_are_refused(weights: Path) -> None:
    with pytest.raises(InputError, match="found 'best'"):
        load_model("best")
    with pytest.raises(InputError, match="device"):
        load_model(weights, "abacus")


def test_a_photograph_can_be_passed_as_it_was_read(model: Model, face: np.ndarray) -> None:
    photo = Photo(face, notes=("turned upright",))
    result = predict(photo, model, box="whole")
    assert result.attrs["note"] == "turned upright"
    assert replace(result, attrs={}).summary()
