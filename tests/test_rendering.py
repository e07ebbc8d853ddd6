"""Pictures of cubes and of fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

import msfit
from msfit import rendering
from msfit.colour.cameras import CameraModel, mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.colour.illuminants import illuminant
from msfit.colour.spectra import Spectrum
from msfit.rendering import render

BANDS = np.arange(400.0, 701.0, 10.0)
MODEL = "alotaibi-smith-2019"


def scene(shape: tuple[int, ...] = (5, 4), dtype: type = np.float64) -> msfit.Cube:
    return msfit.Cube(np.random.default_rng(0).random((*shape, BANDS.size)).astype(dtype), BANDS)


def fitted(shape: tuple[int, ...] = (5, 4)) -> msfit.FitResult:
    rng = np.random.default_rng(1)
    maps = {
        "f_mel": rng.uniform(0.01, 0.4, shape),
        "f_blood": rng.uniform(0.02, 0.07, shape),
        "i_d": rng.uniform(0.2, 1.0, shape),
        "i_s": rng.uniform(0.0, 0.1, shape),
    }
    status = np.zeros(shape, np.uint16)
    bounds = {"f_mel": (0.0, 0.43), "f_blood": (0.0, 0.07)}
    return msfit.FitResult(**maps, rmse=np.zeros(shape), status=status, model=MODEL, bounds=bounds, wavelengths=BANDS)


def test_it_is_public() -> None:
    assert msfit.render is render


@pytest.mark.parametrize("camera", ["cie1931", "mean"])
@pytest.mark.parametrize("light", ["A", "D65", "D5000", "E", *(f"F{n}" for n in range(1, 13))])
def test_white_and_grey_are_neutral_under_every_light(camera: str, light: str) -> None:
    cube = msfit.Cube(np.stack([np.ones((1, 31)), np.full((1, 31), 0.18)]), BANDS)
    picture = render(cube, light, camera)
    np.testing.assert_allclose(picture[:, 0], [[1, 1, 1], [0.18] * 3], atol=1e-9)


def test_white_is_neutral_to_every_measured_camera(reference_data: Path) -> None:
    cube = msfit.Cube(np.ones((1, 31)), BANDS)
    for path in sorted((reference_data / "cameras").glob("*.json")):
        np.testing.assert_allclose(render(cube, "F11", path), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 4), (20,)])
def test_shape_and_type_follow_the_cube(shape: tuple[int, ...], dtype: type) -> None:
    picture = render(scene(shape, dtype))
    assert picture.shape == (*shape, 3)
    assert picture.dtype == dtype
    assert render(scene(shape, dtype), srgb=True).dtype == dtype


def test_counts_are_rendered_from_their_reflectance() -> None:
    counts = np.random.default_rng(0).integers(0, 900, (3, 2, 31)).astype(np.uint16)
    light = np.linspace(500, 1000, 31)
    picture = render(msfit.Cube(counts, BANDS, illuminant=light))
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, render(msfit.Cube(counts / light, BANDS)), rtol=2e-5, atol=2e-6)


def test_a_pixel_is_the_same_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render(scene((9, 4)))
    monkeypatch.setattr(rendering, "_SAMPLES_A_BLOCK", 2 * 4 * 31)
    np.testing.assert_allclose(render(scene((9, 4))), whole, rtol=1e-13, atol=1e-15)


def test_missing_pixels_stay_missing_and_are_black_on_display() -> None:
    cube = scene()
    cube.values[1, 2, 7] = np.nan
    picture = render(cube)
    assert np.isnan(picture[1, 2]).all()
    assert np.isfinite(np.delete(picture.reshape(-1, 3), 1 * 4 + 2, axis=0)).all()
    display = render(cube, srgb=True)
    assert not display[1, 2].any()
    assert display.min() >= 0
    assert display.max() <= 1


def test_lights_by_name_array_spectrum_and_file_agree(tmp_path: Path) -> None:
    power = illuminant("A").on(BANDS)
    path = tmp_path / "lamp.csv"
    path.write_text(
        "nm,power\n" + "".join(f"{nm},{p!r}\n" for nm, p in zip(BANDS.tolist(), power.tolist(), strict=True))
    )
    by_array = render(scene(), power)
    np.testing.assert_allclose(render(scene(), path), by_array, rtol=1e-12)
    np.testing.assert_allclose(render(scene(), str(path)), by_array, rtol=1e-12)
    np.testing.assert_allclose(render(scene(), Spectrum(BANDS, power)), by_array, rtol=1e-12)
    # the lamp is known every 5 nm by name, every 10 nm as an array
    np.testing.assert_allclose(render(scene(), "A"), by_array, atol=1e-3)


def test_cameras_by_name_array_and_file_agree(tmp_path: Path) -> None:
    camera = mean_camera()
    samples = {f"{nm:g}": row.tolist() for nm, row in zip(camera.wavelengths, camera.values, strict=True)}
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"spectral_data": {"index": {"main": ["R", "G", "B"]}, "data": {"main": samples}}}))
    by_name = render(scene(), "A", "mean")
    np.testing.assert_allclose(render(scene(), "A", path), by_name, rtol=1e-9)
    np.testing.assert_allclose(render(scene(), "A", camera), by_name, rtol=1e-9)
    sampled = CameraModel(BANDS).mean.numpy()
    np.testing.assert_allclose(render(scene(), "A", sampled), by_name, atol=0.03)
    assert np.abs(by_name - render(scene(), "A")).max() > 0.01


def test_the_authors_pipeline_is_an_option_of_cameras() -> None:
    white = render(msfit.Cube(np.ones((1, 31)), BANDS), "D65", "mean", pipeline="authors")
    np.testing.assert_allclose(white, [[0.34205, 0.34273, 0.34177]], atol=1e-5)


def test_a_fit_is_rendered_from_its_maps() -> None:
    result = fitted()
    skin = msfit.reflectance(result.f_mel, result.f_blood, BANDS, model=MODEL)
    appearance = result.i_d[..., None] * skin + result.i_s[..., None]
    for light in ("D65", "A"):
        np.testing.assert_allclose(render(result, light), render(msfit.Cube(appearance, BANDS), light), atol=1e-12)
    np.testing.assert_allclose(render(result, what="albedo"), skin @ rgb_weights(BANDS, "D65"), atol=1e-12)


def test_masked_pixels_of_a_fit_are_missing_and_pure_glints_are_not() -> None:
    result = fitted()
    for name in ("f_mel", "f_blood", "i_d", "i_s"):
        getattr(result, name)[0, 0] = np.nan
    result.f_mel[1, 1] = result.f_blood[1, 1] = np.nan
    result.i_d[1, 1], result.i_s[1, 1] = 0, 0.4
    picture = render(result)
    assert np.isnan(picture[0, 0]).all()
    np.testing.assert_allclose(picture[1, 1], 0.4, rtol=1e-12)
    assert np.isnan(picture).sum() == 3
    assert np.isnan(render(result, what="albedo")).sum() == 6


def test_a_list_of_fitted_spectra_gives_a_list_of_colours() -> None:
    assert render(fitted((6,))).shape == (6, 3)


def test_the_white_patch_of_a_measured_scene_is_white_and_its_face_is_skin(reference_data: Path) -> None:
    file = scipy.io.loadmat(reference_data / "cave_face.mat")
    counts = file["counts"]
    white = counts[400:435, 30:70].mean((0, 1))
    picture = render(msfit.Cube(counts, file["wave"].ravel(), illuminant=white))
    np.testing.assert_allclose(picture[400:435, 30:70].mean((0, 1)), 1, atol=1e-4)
    red, green, blue = picture[200:430, 215:420].mean((0, 1))
    assert red > 1.4 * green > 1.7 * blue > 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"illuminant": "D66"}, "neither a name nor a file"),
        ({"illuminant": np.ones(5)}, "illuminant: values of shape"),
        ({"illuminant": np.zeros(31)}, "negative or no power"),
        ({"illuminant": "D1000000"}, "neither a name nor a file"),
        ({"camera": "nikon"}, "neither a name nor a file"),
        ({"camera": np.ones((31, 2))}, r"expected \(band, 3\)"),
        ({"camera": np.ones((31, 3))}, "three independent"),
        ({"what": "picture"}, "'appearance' or 'albedo'"),
        ({"what": "albedo"}, "expected a FitResult"),
        ({"adaptation": "none"}, "'xyz-scaling' or 'bradford'"),
        ({"adaptation": "bradford", "camera": "mean"}, "leave it out"),
        ({"pipeline": "authors"}, "name one"),
        ({"pipeline": "rosy", "camera": "mean"}, "'neutral' or 'authors'"),
    ],
)
def test_what_cannot_be_rendered_is_refused(options: dict, message: str) -> None:
    with pytest.raises(msfit.InputError, match=message) as refusal:
        render(scene(), **options)
    assert "\n" not in str(refusal.value)


def test_infrared_and_foreign_objects_are_refused() -> None:
    with pytest.raises(msfit.InputError, match="too little of what the eye sees"):
        render(msfit.Cube(np.ones((2, 2, 30)), np.linspace(700, 1000, 30)))
    with pytest.raises(msfit.InputError, match="found ndarray"):
        render(np.ones((2, 2, 31)))  # type: ignore[arg-type]
