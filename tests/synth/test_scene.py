"""Whole scenes and their truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import msfit
from msfit.errors import InputError
from msfit.synth import make_scene
from msfit.synth.buffers import CLOTH, FACE, HAIR, directions, trace
from msfit.synth.camera import random_illuminant, record
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.truth import PIGMENT_MAPS

SIZE = 40
MODEL = "alotaibi-smith-2019"


@pytest.fixture(scope="module")
def measured():
    return make_scene(7, size=SIZE, split="test", model=MODEL, noise=False)


@pytest.fixture(scope="module")
def modelled():
    return make_scene(7, size=SIZE, split="test", mode="model", model=MODEL, noise=False)


def test_heads_are_turned_as_asked():
    front, turned = (make_scene(7, size=SIZE, turn=(yaw, 0), mode="model", noise=False).truth for yaw in (0, 70))
    x, _, z = np.nanmean(turned.normals[turned.mask], axis=0)
    assert np.degrees(np.arctan2(x, z)) > 15  # what is seen of the face still looks to the camera
    assert abs(np.nanmean(front.normals[front.mask], axis=0)[0]) < 0.1
    assert turned.mask.sum() < front.mask.sum()
    assert turned.attrs["person"] == front.attrs["person"]
    with pytest.raises(InputError, match=r"turn: found \(95, 0\)"):
        make_scene(7, size=SIZE, turn=(95, 0))


def test_a_scene_comes_from_its_seed(measured):
    again = make_scene(7, size=SIZE, split="test", model=MODEL, noise=False)
    for field in dataclasses.fields(measured.truth):
        np.testing.assert_array_equal(getattr(again.truth, field.name), getattr(measured.truth, field.name))
    np.testing.assert_array_equal(again.radiance, measured.radiance)
    other = make_scene(8, size=SIZE, split="test", model=MODEL, noise=False)
    assert not np.array_equal(other.truth.mask, measured.truth.mask)


def test_splits_share_no_head(measured):
    other = make_scene(7, size=SIZE, split="train", model=MODEL, noise=False)
    assert not np.array_equal(other.truth.mask, measured.truth.mask)
    assert other.truth.attrs["person"] != measured.truth.attrs["person"]


def test_radiance_is_dichromatic(measured):
    truth = measured.truth
    expected = truth.i_d[..., None] * truth.reflectance + truth.i_s[..., None]
    np.testing.assert_allclose(measured.cube.reflectance, expected, rtol=1e-5, atol=1e-6)


def test_a_white_patch_under_unit_shading_is_one(measured):
    """Pictures are not exposed by their content: rendering the truth's own formula gives the scene's picture."""
    truth = measured.truth
    picture = msfit.render(measured.cube)
    albedo = msfit.render(msfit.Cube(truth.reflectance, truth.wavelengths))
    np.testing.assert_allclose(picture, truth.i_d[..., None] * albedo + truth.i_s[..., None], atol=1e-5)
    np.testing.assert_allclose(truth.albedo, albedo, atol=1e-5)


def test_truth_covers_the_face_and_nothing_else(measured, modelled):
    for truth in (measured.truth, modelled.truth):
        assert 0.1 < truth.mask.mean() < 0.6
        for name in PIGMENT_MAPS:
            values = getattr(truth, name)
            assert np.isfinite(values[truth.mask]).all(), name
            assert np.isnan(values[~truth.mask]).all(), name
        length = np.linalg.norm(truth.normals[truth.mask], axis=-1)
        np.testing.assert_allclose(length, 1, atol=1e-5)
        assert (truth.normals[truth.mask][:, 2] > -0.2).all()
        assert ((truth.reflectance > 0) & (truth.reflectance < 1)).all()
        assert (truth.i_d >= 0).all()
        assert (truth.i_s >= 0).all()


def test_measured_pigments_are_the_fit_of_the_true_reflectance(measured):
    truth = measured.truth
    result = msfit.fit(truth.reflectance[truth.mask].astype(np.float64), WAVELENGTHS, model=MODEL, bounds="wide")
    np.testing.assert_allclose(truth.f_mel[truth.mask], result.f_mel, atol=1e-6)
    np.testing.assert_allclose(truth.f_blood[truth.mask], result.f_blood, atol=1e-6)
    skin = msfit.reflectance(truth.f_mel[truth.mask], truth.f_blood[truth.mask], WAVELENGTHS, model=MODEL)
    left = truth.reflectance[truth.mask] - truth.scale[truth.mask][:, None] * skin - truth.offset[truth.mask][:, None]
    np.testing.assert_allclose(np.sqrt((left**2).mean(axis=1)), truth.rmse[truth.mask], atol=1e-6)
    assert np.median(truth.rmse[truth.mask]) > 1e-3  # measured skin is not the model's


def test_model_pigments_are_exact_and_the_fit_finds_them(modelled):
    truth = modelled.truth
    skin = msfit.reflectance(truth.f_mel, truth.f_blood, WAVELENGTHS, model=MODEL)
    np.testing.assert_allclose(truth.reflectance[truth.mask], skin[truth.mask], rtol=1e-6)
    result = msfit.fit(modelled.cube, model=MODEL)
    lit = truth.mask & (truth.i_d > 0.05)
    assert np.median(np.abs(result.f_mel - truth.f_mel)[lit]) < 1e-4
    assert np.median(np.abs(result.i_d - truth.i_d)[lit]) < 1e-3
    assert np.median(np.abs(result.i_s - truth.i_s)[lit]) < 1e-4


def test_attributes_say_where_a_scene_comes_from(measured):
    attrs = measured.truth.attrs
    assert attrs["name"] == "test-7"
    assert attrs["mode"] == "measured"
    assert attrs["model"] == MODEL
    assert attrs["bounds"] == "wide"
    assert attrs["split"] == "test"
    assert attrs["seed"] == 7
    assert "synthetic" in measured.cube.provenance["source"]


def test_highlights_are_sparse(measured):
    """Half of the face has less than a third of the highlights' strength."""
    glints = measured.truth.i_s[measured.truth.mask]
    assert np.median(glints) < np.quantile(glints, 0.98) / 3
    assert glints.max() < 0.6


def test_shadows_and_cavities_darken(measured):
    shading = measured.truth.i_d[measured.truth.mask]
    assert np.quantile(shading, 0.02) < 0.6 * np.quantile(shading, 0.9)


def test_traced_normals_point_to_the_camera():
    buffers = trace(np.random.default_rng(3), 32)
    view = np.array([0, 0, 100.0]) - buffers.position
    assert (np.einsum("nc,nc->n", buffers.normal, view) >= -1e-3).all()
    assert {FACE, CLOTH} & set(buffers.region.tolist())
    assert buffers.region.max() <= max(HAIR, CLOTH)
    seen = np.unpackbits(buffers.visible, axis=1).astype(bool)
    assert not (seen & (buffers.normal @ directions(256).T < -1e-3)).any()


def test_the_light_varies_over_the_picture_but_stays_smooth():
    for seed in range(5):
        light = random_illuminant(np.random.default_rng(seed), 32)
        assert light.shape == (32, 32, 31)
        assert light.min() > 0
        assert light.max(axis=(0, 1)).mean() > 1.03 * light.min(axis=(0, 1)).mean()
        assert np.abs(np.diff(light, axis=0)).max() < 0.1 * light.max()


def test_noise_is_that_of_photons_and_reading():
    flat = np.full((200, 200, 2), [1.0, 0.25], np.float32)
    noisy = record(flat, np.random.default_rng(0))
    assert noisy.mean(axis=(0, 1)) == pytest.approx([1, 0.25], rel=1e-3)
    electrons = 0.75 * 30_000
    expected = np.sqrt(np.array([1, 0.25]) * electrons + 12**2) / electrons
    assert noisy.std(axis=(0, 1)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "guessed"}, "measured or model"),
        ({"split": "exam"}, "train, validation, test"),
        ({"size": 4}, "16 pixels"),
        ({"seed": -1}, "0 or more"),
        ({"person": "nobody"}, "person of the split"),
        ({"model": "none-such"}, "none-such"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        make_scene(**{"seed": 0, "size": SIZE, **arguments})
