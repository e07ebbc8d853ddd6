"""MATLAB files: each form of an ISET scene, plain reflectance either way round, and everything that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

import msfit
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
PLANCK_TIMES_LIGHT_SPEED = 1.98644586e-25  # J m
H, W, B = 6, 5, NM.size


@pytest.fixture
def reflectance() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.05, 0.7, (H, W, B))


@pytest.fixture
def light() -> np.ndarray:
    return np.linspace(1e15, 4e15, B)


def saved(folder: Path, **variables: Any) -> Path:
    path = folder / "file.mat"
    savemat(path, variables)
    return path


def modern(light: np.ndarray) -> dict[str, Any]:
    photons = light[:, None] if light.ndim == 1 else light
    return {"name": "D65", "type": "illuminant", "spectrum": {"wave": NM[:, None]}, "data": {"photons": photons}}


def test_scene_equals_what_isetcam_reads_back(reference_data: Path) -> None:
    cube = msfit.load(reference_data / "iset_face_spatial_illuminant.mat")
    expected = loadmat(reference_data / "iset_face_spatial_illuminant_reflectance.mat")["reflectance"]
    np.testing.assert_allclose(cube.reflectance, expected, rtol=0, atol=1e-5)
    assert cube.illuminant.shape == cube.values.shape


def test_uncompressed_scene_is_the_same_face_at_half_size(reference_data: Path) -> None:
    half = msfit.load(reference_data / "iset_face_raw.mat")
    full = msfit.load(reference_data / "iset_face_spatial_illuminant.mat")
    assert half.illuminant.shape == (31,)
    assert np.corrcoef(half.reflectance.ravel(), full.reflectance[::2, ::2].ravel())[0, 1] > 0.95


def test_cheeks_are_71_spectra(reference_data: Path) -> None:
    cube = msfit.load(reference_data / "iset_cheeks.mat")
    assert cube.values.shape == (71, 148)
    assert (cube.wavelengths[0], cube.wavelengths[-1]) == (415, 950)


def test_counts_are_refused_with_the_way_out(reference_data: Path) -> None:
    with pytest.raises(InputError, match=r"cave_face\.mat: no illuminant: counts are no reflectance.*--white"):
        msfit.load(reference_data / "cave_face.mat")


@pytest.mark.parametrize("name", ["data", "reflectance"])
@pytest.mark.parametrize("wave", ["wave", "wavelength"])
@pytest.mark.parametrize("turned", [False, True])
def test_reflectance_either_way_round(
    tmp_path: Path, reflectance: np.ndarray, name: str, wave: str, turned: bool
) -> None:
    spectra = reflectance.reshape(-1, B)
    cube = msfit.load(saved(tmp_path, **{name: spectra.T if turned else spectra, wave: NM}))
    np.testing.assert_array_equal(cube.values, spectra)
    np.testing.assert_array_equal(cube.wavelengths, NM)
    assert cube.illuminant is None
    assert cube.provenance["source"].endswith("file.mat")


def test_reflectance_picture_either_way_round(tmp_path: Path, reflectance: np.ndarray) -> None:
    first = msfit.load(saved(tmp_path, data=reflectance.transpose(2, 0, 1), wave=NM))
    np.testing.assert_array_equal(first.values, reflectance)
    np.testing.assert_array_equal(msfit.load(saved(tmp_path, data=reflectance, wave=NM)).values, reflectance)


def test_square_data_need_an_orientation(tmp_path: Path) -> None:
    square = np.random.default_rng(0).uniform(0, 1, (B, B))
    path = saved(tmp_path, data=square, wave=NM)
    with pytest.raises(InputError, match="can be read either way; --orientation bands-last"):
        msfit.load(path)
    np.testing.assert_array_equal(msfit.load(path, orientation="bands-last").values, square)
    np.testing.assert_array_equal(msfit.load(path, orientation="bands-first").values, square.T)
    with pytest.raises(InputError, match="orientation: found 'sideways'"):
        msfit.load(path, orientation="sideways")


def test_orientation_is_checked_against_the_wavelengths(tmp_path: Path, reflectance: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected 31 bands on its first axis"):
        msfit.load(saved(tmp_path, data=reflectance, wave=NM), orientation="bands-first")


def test_a_variable_by_name(tmp_path: Path, reflectance: np.ndarray) -> None:
    path = saved(tmp_path, skin=reflectance, data=reflectance / 2, wave=NM)
    np.testing.assert_array_equal(msfit.load(path, variable="skin").values, reflectance)
    with pytest.raises(InputError, match="variable: found no 'hair'; the file holds skin, data, wave"):
        msfit.load(path, variable="hair")


def test_wavelengths_given_by_the_caller(tmp_path: Path, reflectance: np.ndarray) -> None:
    path = saved(tmp_path, reflectance=reflectance)
    with pytest.raises(InputError, match="no wavelengths"):
        msfit.load(path)
    np.testing.assert_array_equal(msfit.load(path, wavelengths=NM).values, reflectance)


@pytest.mark.parametrize("name", ["photons", "data"])
@pytest.mark.parametrize("wave", ["wave", "wavelength"])
def test_uniform_illuminant(tmp_path: Path, reflectance: np.ndarray, light: np.ndarray, name: str, wave: str) -> None:
    cube = msfit.load(saved(tmp_path, **{name: reflectance * light, wave: NM}, illuminant=modern(light)))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-14)
    np.testing.assert_array_equal(cube.illuminant, light)


def test_spatial_illuminant(tmp_path: Path, reflectance: np.ndarray, light: np.ndarray) -> None:
    spatial = light * np.linspace(0.5, 1, H)[:, None, None] * np.ones((1, W, 1))
    cube = msfit.load(saved(tmp_path, photons=reflectance * spatial, wave=NM, illuminant=modern(spatial)))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-14)


@pytest.mark.parametrize("with_mean", [True, False])
def test_linear_model(tmp_path: Path, light: np.ndarray, with_mean: bool) -> None:
    rng = np.random.default_rng(0)
    coefficients, basis = rng.normal(0, 1e15, (H, W, 6)), np.linalg.qr(rng.normal(size=(B, 6)))[0]
    mean = np.full((B, 1), 5e14) if with_mean else np.zeros((B, 1))
    extra = {"imgMean": mean} if with_mean else {}
    path = saved(tmp_path, mcCOEF=coefficients, basis={"basis": basis, "wave": NM}, illuminant=modern(light), **extra)
    cube = msfit.load(path)
    raw = np.einsum("yxk,bk->yxb", coefficients, basis) + mean.ravel()
    assert (raw < 0).any()
    np.testing.assert_allclose(cube.values, np.where(raw < 0, 0, raw), rtol=1e-12, atol=1)


@pytest.mark.parametrize(
    "illuminant",
    [
        lambda energy: {"data": energy, "wavelength": NM},
        lambda energy: {"data": {"photons": energy}, "spectrum": {"wave": NM}},
        lambda energy: {"data": energy, "name": "D65", "comment": "old"},
        lambda energy: {
            "type": "illuminant",
            "data": {"photons": energy, "min": 0.0, "max": 1.0},
            "spectrum": {"wave": NM},
        },
    ],
    ids=["data", "data.photons", "no spectrum", "min and max"],
)
def test_old_illuminants_are_energy(
    tmp_path: Path, reflectance: np.ndarray, light: np.ndarray, illuminant: Any
) -> None:
    energy = light * PLANCK_TIMES_LIGHT_SPEED / (NM * 1e-9)
    cube = msfit.load(saved(tmp_path, photons=reflectance * light, wave=NM, illuminant=illuminant(energy)))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-8)


def test_modern_data_without_photons_field_are_photons(
    tmp_path: Path, reflectance: np.ndarray, light: np.ndarray
) -> None:
    path = saved(tmp_path, photons=reflectance * light, wave=NM, illuminant={"type": "illuminant", "data": light})
    np.testing.assert_allclose(msfit.load(path).reflectance, reflectance, rtol=1e-14)


def test_illuminant_without_spectrum_uses_the_scenes(
    tmp_path: Path, reflectance: np.ndarray, light: np.ndarray
) -> None:
    illuminant = {"type": "illuminant", "data": {"photons": light}}
    path = saved(tmp_path, photons=reflectance * light, wave=NM, illuminant=illuminant)
    np.testing.assert_allclose(msfit.load(path).reflectance, reflectance, rtol=1e-14)
    illuminant["data"]["photons"] = light[:-1]
    with pytest.raises(InputError, match=r"illuminant: found shape \(1, 30\) with 31 wavelengths"):
        msfit.load(saved(tmp_path, photons=reflectance * light, wave=NM, illuminant=illuminant))


def test_illuminant_on_other_wavelengths(tmp_path: Path, reflectance: np.ndarray) -> None:
    nm = np.arange(380.0, 731, 5)
    illuminant = {"type": "illuminant", "data": {"photons": nm[::-1] * 1e12}, "spectrum": {"wave": nm[::-1]}}
    cube = msfit.load(saved(tmp_path, photons=reflectance * NM * 1e12, wave=NM, illuminant=illuminant))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-12)
    illuminant["spectrum"]["wave"] = nm[::-1] + 40
    with pytest.raises(InputError, match="illuminant: holds 420-770 nm, the picture 400-700 nm"):
        msfit.load(saved(tmp_path, photons=reflectance * NM * 1e12, wave=NM, illuminant=illuminant))


def test_scene_saved_whole(tmp_path: Path, reflectance: np.ndarray, light: np.ndarray) -> None:
    scene = {
        "type": "scene",
        "name": "face",
        "spectrum": {"wave": NM[:, None]},
        "data": {"photons": (reflectance * light).astype(np.float32), "luminance": np.zeros((0, 0))},
        "illuminant": modern(light),
    }
    cube = msfit.load(saved(tmp_path, scene=scene, unrelated=1.0))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_quantised_scene(tmp_path: Path, reflectance: np.ndarray, light: np.ndarray, dtype: type) -> None:
    def quantised(values: np.ndarray, low: str, high: str) -> dict[str, Any]:
        span = values.max() - values.min()
        codes = np.round((values - values.min()) / span * np.iinfo(dtype).max).astype(dtype)
        return {"photons": codes, low: values.min(), high: values.max()}

    scene = {
        "type": "scene",
        "spectrum": {"wave": NM},
        "data": quantised(reflectance * light, "dmin", "dmax"),
        "illuminant": {"type": "illuminant", "spectrum": {"wave": NM}, "data": quantised(light[:, None], "min", "max")},
    }
    cube = msfit.load(saved(tmp_path, scene=scene))
    np.testing.assert_allclose(cube.reflectance, reflectance, atol=1e-4)
    del scene["data"]["dmax"]
    with pytest.raises(InputError, match="quantised photons without their range"):
        msfit.load(saved(tmp_path, scene=scene))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"photons": np.ones((3, 2, B)), "wave": NM}, "no illuminant: radiance.*--white"),
        ({"data": np.full((3, 2, B), 1e15), "wave": NM}, "give an illuminant or a white reference"),
        ({"counts": np.ones((3, 2, B)), "wave": NM}, "no illuminant: counts.*--white"),
        ({"data": np.ones((3, 2, B), np.uint16), "wave": NM}, "no illuminant: counts.*--white"),
        ({"data": np.ones((3, B)), "wave": NM / 1000}, "look like micrometres"),
        ({"data": np.ones((3, B)), "wave": NM[np.r_[1, 0, 2:B]]}, "neither increasing nor decreasing"),
        ({"data": np.ones((3, B)), "wave": np.r_[NM[:-1], NM[-2]]}, "repeated"),
        ({"data": np.ones((3, 30)), "wave": NM}, r"found an array of shape \(3, 30\) with 31 wavelengths"),
        ({"data": np.full((3, B), 45.0), "wave": NM}, "divide percent by 100"),
        ({"data": np.zeros((0, B)), "wave": NM}, "empty"),
        ({"data": np.ones((3, B)), "wave": np.zeros((0, 0))}, "wave: found an empty array"),
        ({"data": np.ones((3, B)) * 1j, "wave": NM}, "data: found complex numbers"),
        ({"data": "spectra", "wave": NM}, "data: found text"),
        ({"data": {"a": 1.0}, "wave": NM}, "data: found a struct"),
        ({"data": np.array([1, "a"], object), "wave": NM}, "data: found cells"),
        ({"data": np.ones((2, 2, 2, B)), "wave": NM}, "expected \\(y, x, band\\)"),
        ({"data": np.ones((3, B)), "wave": "visible"}, "wave: found text"),
        ({"data": np.ones((3, B))}, "no wavelengths"),
        ({"something": np.ones((3, B)), "wave": NM}, "holds something, wave; expected one of"),
        ({"mcCOEF": np.ones((3, 2, 6)), "wave": NM, "illuminant": modern(NM)}, "mcCOEF without its basis"),
        ({"mcCOEF": np.ones((3, 2, 5)), "basis": {"basis": np.ones((B, 6)), "wave": NM}}, "basis.basis: found shape"),
        ({"mcCOEF": np.ones((3, 2, 6)), "basis": {"basis": np.ones((B, 6)), "wave": NM}}, "no illuminant"),
        (
            {"mcCOEF": np.ones((3, 2, 6)), "basis": {"basis": np.ones((B, 6)), "wave": NM}, "imgMean": NM[1:]},
            "imgMean: found 30",
        ),
        ({"photons": np.ones((3, 2, B)), "wave": NM, "illuminant": "D65"}, "illuminant: found text"),
        (
            {"photons": np.ones((3, 2, B)), "wave": NM, "illuminant": {"name": "D65"}},
            "illuminant: found a struct without data",
        ),
        ({"photons": np.ones((3, 2, B)), "wave": NM, "illuminant": {"data": {"min": 1}}}, "hold no photons"),
        ({"photons": np.ones((3, 2, B)), "wave": NM, "illuminant": modern(0 * NM)}, "illuminant: no positive value"),
        (
            {"photons": np.ones((3, 2, B)), "wave": NM, "illuminant": modern(np.ones((2, 3, B)))},
            r"illuminant: found float64 of shape \(2, 3, 31\)",
        ),
    ],
)
def test_refusals(tmp_path: Path, variables: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **variables)
    with pytest.raises(InputError, match=message) as refused:
        msfit.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_descending_bands_are_turned_round(tmp_path: Path, reflectance: np.ndarray, light: np.ndarray) -> None:
    illuminant = {"type": "illuminant", "data": {"photons": light[::-1]}, "spectrum": {"wave": NM[::-1]}}
    photons = (reflectance * light)[..., ::-1]
    cube = msfit.load(saved(tmp_path, photons=photons, wave=NM[::-1], illuminant=illuminant))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-14)
    assert "turned round" in cube.provenance["note"]
