"""Scenes stored as coefficients: fitted from them, and as if they had been expanded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

import msfit
from msfit.data.low_rank import LinearSpectra, space_times_spectrum
from msfit.data.result import Status
from msfit.errors import InputError
from msfit.fitting.options import FitOptions
from msfit.fitting.plan import prepare

H, W, TERMS = 12, 20, 6
MAPS = ("f_mel", "f_blood", "i_d", "i_s", "rmse")


def linear_scene(bands: int = 148, dtype: Any = np.float32, noise: float = 0.003, seed: int = 0) -> msfit.Cube:
    """Skin under space times spectrum, in six basis functions and a mean."""
    rng = np.random.default_rng(seed)
    nm = np.linspace(405, 715, bands)
    pigments = rng.uniform((0.01, 0.005), (0.3, 0.08), (H * W, 2)).T
    spectra = rng.uniform(0.3, 1, (H * W, 1)) * msfit.reflectance(
        *pigments, nm, model="alotaibi-smith-2019"
    ) + rng.uniform(0, 0.1, (H * W, 1))
    spectra += noise * rng.standard_normal((H * W, TERMS)) @ rng.standard_normal((TERMS, bands))
    mean = spectra.mean(0)
    basis = np.linalg.svd(spectra - mean, full_matrices=False)[2][:TERMS].T
    light, space = np.linspace(1e15, 3e15, bands), rng.uniform(0.5, 1.5, (H, W, 1))
    # what is stored is radiance, so that its mean is not lit by `space`: the seventh term takes it up
    terms = np.column_stack(((spectra - mean) @ basis, np.ones(H * W))).reshape(H, W, TERMS + 1) * space
    functions = np.column_stack((basis, mean)) * light[:, None]
    none = np.zeros(bands, dtype)
    radiance = LinearSpectra(terms.astype(dtype), functions.astype(dtype), none, floor=True)
    return msfit.Cube(radiance, nm, LinearSpectra(space.astype(dtype), light[:, None].astype(dtype), none))


def expanded(cube: msfit.Cube) -> msfit.Cube:
    return msfit.Cube(np.asarray(cube.values), cube.wavelengths, np.asarray(cube.illuminant), cube.mask)


def reached(result: msfit.FitResult, cube: msfit.Cube) -> np.ndarray:
    """Root mean square residual of the maps, in float64."""
    f_mel, f_blood, i_d, i_s = (getattr(result, name).astype(np.float64) for name in MAPS[:4])
    skin = msfit.reflectance(f_mel, f_blood, result.wavelengths, model=result.model)
    inside = np.isin(cube.wavelengths, result.wavelengths)
    residual = i_d[..., None] * skin + i_s[..., None] - np.asarray(cube.reflectance, np.float64)[..., inside]
    return np.sqrt((residual**2).mean(-1))


@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "msfit-issa-2026"])
@pytest.mark.parametrize("bounds", ["wide", "paper"])
@pytest.mark.parametrize(("bands", "chosen"), [(64, None), (148, None), (148, "410:700")])
def test_the_fit_is_that_of_the_expanded_scene(model: str, bounds: str, bands: int, chosen: str | None) -> None:
    scene = linear_scene(bands)
    options: dict[str, Any] = {"model": model, "bounds": bounds, "bands": chosen}
    assert prepare(scene, FitOptions(**options)).mixtures is not None
    found, whole = msfit.fit(scene, **options), msfit.fit(expanded(scene), **options)
    best = msfit.fit(expanded(scene), dtype="float64", **options)
    assert found.i_d.dtype == np.float32
    assert (reached(found, scene) - best.rmse).max() < 2e-6
    np.testing.assert_allclose(found.rmse, best.rmse, rtol=0, atol=2e-6)
    assert (found.status == whole.status).mean() > 0.995
    for name in MAPS:
        difference = np.abs(getattr(found, name) - getattr(whole, name))
        assert np.nanquantile(difference, 0.99) < 1e-3, name
        assert np.nanmedian(difference) < 2e-5, name


def test_float64_is_fitted_on_all_bands() -> None:
    scene = linear_scene(dtype=np.float64)
    assert prepare(scene, FitOptions()).mixtures is None
    found, whole = msfit.fit(scene), msfit.fit(expanded(scene))
    for name in MAPS:
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_a_mask_is_kept() -> None:
    scene = linear_scene()
    mask = np.random.default_rng(1).uniform(size=(H, W)) < 0.5
    whole, part = msfit.fit(scene), msfit.fit(scene, mask=mask)
    np.testing.assert_array_equal(part.status[~mask], Status.MASKED_BY_USER)
    for name in MAPS:
        np.testing.assert_array_equal(getattr(part, name)[mask], getattr(whole, name)[mask])
        assert np.isnan(getattr(part, name)[~mask]).all()


@pytest.mark.parametrize("bands", [64, 148])
def test_clipped_and_missing_pixels_are_expanded(bands: int) -> None:
    scene = linear_scene(bands)
    terms = np.array(scene.values.coefficients)
    terms[0, :5, 0] *= -8  # below zero somewhere
    terms[1, 0, 2], terms[1, 1, 6], terms[2, :2] = np.nan, np.inf, 0
    broken = msfit.Cube(LinearSpectra(terms, *_rest(scene.values)), scene.wavelengths, scene.illuminant)
    clipped = (np.asarray(broken.values) == 0).any(-1) & (np.asarray(broken.values) > 0).any(-1)
    assert clipped.any()
    found, whole, sound = msfit.fit(broken), msfit.fit(expanded(broken)), msfit.fit(scene)
    np.testing.assert_array_equal(found.status, whole.status)
    assert (found.status[1, :2] == Status.MASKED_TOO_FEW_BANDS).all()
    assert (found.status[2, :2] == Status.MASKED_NO_SIGNAL).all()
    assert found.counts()[Status.MASKED_TOO_FEW_BANDS] == 2
    for name in MAPS:  # those by their samples, the others as if nothing were the matter
        np.testing.assert_allclose(getattr(found, name)[clipped], getattr(whole, name)[clipped], rtol=2e-3, atol=2e-4)
        np.testing.assert_array_equal(getattr(found, name)[3:], getattr(sound, name)[3:])


def _rest(values: LinearSpectra) -> tuple[np.ndarray, np.ndarray, bool]:
    return values.functions, values.mean, values.floor


@pytest.mark.parametrize(
    "options",
    [
        {"std": True},
        {"huber": 0.01},
        {"weights": {(405, 500): 0.5, (500, 715): 1.0}},
        {"residual": "radiance"},
        {"bands": "420:700:10"},
        {"free": ("f_mel", "f_blood", "saturation")},
    ],
)
def test_what_needs_samples_gets_them(options: dict[str, Any]) -> None:
    scene = _rows(linear_scene(31), 2)
    assert prepare(scene, FitOptions(**options)).mixtures is None
    found, whole = msfit.fit(scene, **options), msfit.fit(expanded(scene), **options)
    for name in MAPS:
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def _rows(cube: msfit.Cube, count: int) -> msfit.Cube:
    return msfit.Cube(cube.values[:count], cube.wavelengths, cube.illuminant[:count])


def test_light_of_another_spectrum_at_each_pixel_is_divided_band_by_band() -> None:
    scene = linear_scene(31)
    light = np.asarray(scene.illuminant) * np.linspace(0.8, 1.2, W)[:, None] ** np.linspace(-1, 1, 31)
    other = msfit.Cube(scene.values, scene.wavelengths, light)
    assert prepare(other, FitOptions()).mixtures is None
    found, whole = msfit.fit(other), msfit.fit(expanded(other))
    np.testing.assert_array_equal(found.f_mel, whole.f_mel)


def test_a_pixel_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    scene = linear_scene()
    whole = msfit.fit(scene)
    for y, x in ((0, 0), (5, 7), (H - 1, W - 1)):
        pixel = msfit.Cube(
            scene.values[y : y + 1, x : x + 1], scene.wavelengths, scene.illuminant[y : y + 1, x : x + 1]
        )
        alone = msfit.fit(pixel)
        for name in MAPS:
            np.testing.assert_array_equal(getattr(alone, name)[0, 0], getattr(whole, name)[y, x])


def saved(folder: Path, cube: msfit.Cube, **changed: Any) -> Path:
    path, nm = folder / "scene.mat", cube.wavelengths
    values: LinearSpectra = cube.values
    light = {"type": "illuminant", "spectrum": {"wave": nm}, "data": {"photons": np.asarray(cube.illuminant)}}
    held = {"mcCOEF": values.coefficients, "basis": {"basis": values.functions, "wave": nm}, "illuminant": light}
    savemat(path, held | changed)
    return path


def test_a_file_is_fitted_from_its_coefficients_whole_or_in_blocks(tmp_path: Path) -> None:
    scene = linear_scene()
    path = saved(tmp_path, scene)
    cube = msfit.load(path)
    assert isinstance(cube.values, LinearSpectra)
    assert isinstance(cube.illuminant, LinearSpectra)
    np.testing.assert_allclose(cube.reflectance, scene.reflectance, rtol=0, atol=2e-6)
    assert prepare(cube, FitOptions()).mixtures is not None
    whole = msfit.fit(cube)
    streamed = msfit.fit_file(path, tmp_path / "maps.h5")
    lazily = msfit.fit_lazy(cube).compute()
    for name in MAPS:
        np.testing.assert_array_equal(np.asarray(getattr(streamed, name)), getattr(whole, name))
        np.testing.assert_allclose(lazily[name], getattr(whole, name), rtol=1e-2, atol=1e-3)


def test_other_light_in_a_file_is_kept_as_it_is(tmp_path: Path) -> None:
    scene = linear_scene(31)
    light = np.asarray(scene.illuminant) * np.linspace(0.8, 1.2, W)[:, None] ** np.linspace(-1, 1, 31)
    illuminant = {"type": "illuminant", "spectrum": {"wave": scene.wavelengths}, "data": {"photons": light}}
    cube = msfit.load(saved(tmp_path, scene, illuminant=illuminant))
    assert isinstance(cube.illuminant, np.ndarray)
    assert prepare(cube, FitOptions()).mixtures is None


def test_indexing_is_that_of_the_expanded_array() -> None:
    rng = np.random.default_rng(0)
    linear = LinearSpectra(rng.normal(size=(7, 5, 3)), rng.normal(size=(9, 3)), rng.normal(size=9), floor=True)
    whole = np.maximum(np.einsum("yxk,bk->yxb", linear.coefficients, linear.functions) + linear.mean, 0)
    assert (linear.shape, linear.ndim, linear.size, len(linear)) == (whole.shape, 3, whole.size, 7)
    np.testing.assert_allclose(np.asarray(linear), whole, atol=1e-12)
    for index in (
        slice(2, 5),
        (slice(None), slice(1, 3)),
        (Ellipsis, np.array([1, 4])),
        (Ellipsis, slice(None, None, -1)),
        (slice(0, 6, 2), slice(None), slice(3, 6)),
        (Ellipsis, 4),
        (3, 2),
    ):
        np.testing.assert_allclose(np.asarray(linear[index]), whole[index], atol=1e-12)
    assert np.asarray(linear, np.float32).dtype == np.float32


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"coefficients: found shape \(4, 3\) with functions \(9, 2\)"):
        LinearSpectra(np.ones((4, 3)), np.ones((9, 2)), np.zeros(9))
    with pytest.raises(InputError, match=r"mean \(8,\); expected"):
        LinearSpectra(np.ones((4, 2)), np.ones((9, 2)), np.zeros(8))


def test_space_times_spectrum_is_recognised() -> None:
    rng = np.random.default_rng(0)
    space, spectrum = rng.uniform(0.1, 2, (6, 5, 1)), rng.uniform(1, 3, 31)
    product = space * spectrum
    for samples in (product, product.astype(np.float32)):
        found = space_times_spectrum(samples)
        assert isinstance(found, LinearSpectra)
        assert found.dtype == samples.dtype
        np.testing.assert_allclose(np.asarray(found), samples, rtol=2e-6)
    product[3, 2, 8] *= 1.0001
    assert space_times_spectrum(product) is product
    product[3, 2, 8] = np.nan
    assert space_times_spectrum(product) is product
    dark = np.zeros((2, 2, 31))
    assert space_times_spectrum(dark) is dark


def test_a_dip_between_the_bands_that_are_looked_at_first_is_seen() -> None:
    """One band below zero, whichever it is: as if all had been looked at."""
    rng = np.random.default_rng(3)
    nm = np.linspace(405, 715, 148)
    functions = np.column_stack((msfit.reflectance(0.1, 0.03, nm, model="alotaibi-smith-2019"), np.zeros(nm.size)))
    for band in rng.choice(nm.size, 12, replace=False):
        dip = functions.copy()
        dip[band, 1] = -1
        coefficients = np.stack((np.full((3, 4), 0.8), rng.uniform(0, 1, (3, 4))), -1).astype(np.float32)
        values = LinearSpectra(coefficients, dip.astype(np.float32), np.zeros(nm.size, np.float32), floor=True)
        scene = msfit.Cube(values, nm, np.ones(nm.size, np.float32))
        assert prepare(scene, FitOptions()).mixtures is not None
        found, whole = msfit.fit(scene), msfit.fit(expanded(scene))
        for name in MAPS:
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-3, atol=1e-4)
