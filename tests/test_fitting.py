"""`msfit.fit`: published figures, masks and statuses, bands and bounds, what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import msfit
from msfit import Cube, InputError, Status
from msfit.fitting.inputs import as_cube

NM = np.arange(400.0, 701.0, 10.0)
fit = partial(msfit.fit, model="alotaibi-smith-2019")
SKIN = 0.8 * msfit.reflectance([[0.05, 0.10, 0.2], [0.01, 0.3, 0.02]], 0.03, NM, model="alotaibi-smith-2019") + 0.05


def test_published_figures_on_the_iset_cheeks(reference_data: Path) -> None:
    cheeks = msfit.load(reference_data / "iset_cheeks.mat")
    found = fit(cheeks, bands=(415, 700))
    assert found.shape == (71,)
    assert np.median(found.rmse) == pytest.approx(0.0074, abs=1e-4)
    assert found.rmse.max() == pytest.approx(0.0120, abs=1e-4)
    paper = fit(cheeks, bands=(415, 700), bounds="paper")
    assert (paper.status == Status.F_BLOOD_LOWER).sum() == 70


def test_maps_have_the_shape_and_type_of_the_picture() -> None:
    found = fit(Cube(SKIN.astype(np.float32), NM))
    assert found.f_mel.shape == found.status.shape == (2, 3)
    assert found.f_mel.dtype == np.float32
    assert found.status.dtype == np.uint16
    np.testing.assert_allclose(found.f_mel, [[0.05, 0.10, 0.2], [0.01, 0.3, 0.02]], rtol=1e-3)
    assert fit(SKIN, NM).f_mel.dtype == np.float64
    assert fit(SKIN, NM, dtype="float32").f_mel.dtype == np.float32
    np.testing.assert_allclose(fit(SKIN.reshape(-1, 31), NM).f_mel, [0.05, 0.10, 0.2, 0.01, 0.3, 0.02], rtol=1e-9)


def test_radiance_is_divided_by_the_illuminant() -> None:
    light = np.linspace(1, 3, 31) * np.ones((2, 3, 1)) * np.array([1.0, 2.0, 5.0])[:, None]
    found = fit(Cube(SKIN * light, NM, light))
    np.testing.assert_allclose(found.f_mel, fit(SKIN, NM).f_mel, rtol=1e-9)
    np.testing.assert_allclose(found.i_d, 0.8, rtol=1e-9)


def test_hopeless_pixels_are_masked_and_counted() -> None:
    spoiled = np.stack([SKIN[0, 0]] * 7)
    spoiled[1, :23] = np.nan  # eight bands left
    spoiled[2, :24] = np.nan  # seven
    spoiled[3] = np.inf
    spoiled[4] = 0
    spoiled[5] -= 1
    mask = np.array([1, 1, 1, 1, 1, 1, 0], dtype=bool)
    found = fit(spoiled, NM, mask=mask)
    expected = [
        Status.CONVERGED,
        Status.CONVERGED,
        Status.MASKED_TOO_FEW_BANDS,
        Status.MASKED_TOO_FEW_BANDS,
        Status.MASKED_NO_SIGNAL,
        Status.MASKED_NO_SIGNAL,
        Status.MASKED_BY_USER,
    ]
    assert found.status.tolist() == expected
    assert found.counts()[Status.MASKED_TOO_FEW_BANDS] == 2
    for name in ("f_mel", "f_blood", "i_d", "i_s", "rmse"):
        np.testing.assert_array_equal(np.isnan(getattr(found, name)), found.status >= Status.MASKED_BY_USER)
    np.testing.assert_allclose(found.f_mel[:2], 0.05, atol=1e-6)


def test_saturated_bands_get_no_weight() -> None:
    counts = np.round(SKIN * 40_000).astype(np.uint16)
    white = np.full(31, 40_000.0)
    clean = fit(Cube(counts, NM, white))
    counts[0, 0, 25:] = np.iinfo(np.uint16).max
    found = fit(Cube(counts, NM, white))
    assert found.f_mel[0, 0] == pytest.approx(clean.f_mel[0, 0], abs=1e-3)
    assert found.rmse[0, 0] < 1e-4
    np.testing.assert_array_equal(found.f_mel[0, 1:], clean.f_mel[0, 1:])
    stated = fit(Cube(np.where(SKIN > 0.4, 0.4, SKIN), NM, saturation=0.4))
    np.testing.assert_allclose(stated.f_mel, fit(SKIN, NM).f_mel, atol=1e-6)


def test_noise_below_zero_is_data() -> None:
    rng = np.random.default_rng(0)
    dark = (
        0.3 * msfit.reflectance(0.4, 0.05, NM, model="alotaibi-smith-2019")
        + 0.01 * rng.standard_normal((200, 31))
        + 0.005
    )
    assert ((dark < 0).any(1) & (dark.mean(1) > 0)).sum() > 100
    found = fit(dark, NM)
    np.testing.assert_array_equal(found.fitted, dark.mean(1) > 0)


def test_bounds_hold_and_are_named() -> None:
    box = {"f_mel": (0.02, 0.15), "f_blood": (0.035, 0.06)}
    found = fit(SKIN, NM, bounds=box)
    assert ((found.f_mel >= 0.02) & (found.f_mel <= 0.15)).all()
    assert ((found.f_blood >= 0.035) & (found.f_blood <= 0.06)).all()
    assert found.bounds == box
    assert found.status[0, 2] in (
        Status.F_MEL_UPPER,
        Status.F_MEL_UPPER_F_BLOOD_LOWER,
        Status.F_MEL_UPPER_F_BLOOD_UPPER,
    )
    assert (found.status != Status.CONVERGED).all()
    assert (found.rmse >= fit(SKIN, NM).rmse).all()


def test_a_parameter_can_be_held() -> None:
    found = fit(SKIN, NM, bounds={"f_blood": (0.03, 0.03)})
    np.testing.assert_allclose(found.f_mel, fit(SKIN, NM).f_mel, rtol=1e-8)
    assert (found.status == Status.CONVERGED).all()
    default = fit(SKIN, NM, free=("f_mel",))
    np.testing.assert_array_equal(default.f_blood, 0.03)
    np.testing.assert_allclose(default.f_mel, found.f_mel)
    nearly = fit(SKIN, NM, bounds={"f_blood": (0.03, 0.03 + 1e-17), "f_mel": (0, 1e-9)})
    assert nearly.bounds == {"f_mel": (0, 0), "f_blood": (0.03, 0.03)}
    assert (nearly.status == Status.CONVERGED).all()


def test_flat_spectra_have_no_diffuse_light() -> None:
    found = fit(np.stack([np.full(31, 0.4), np.linspace(0.5, 0.3, 31)]), NM)
    assert found.status.tolist() == [Status.NO_DIFFUSE] * 2
    assert np.isnan(found.f_mel).all()
    assert found.fitted.all()
    np.testing.assert_allclose(found.i_s, 0.4)
    np.testing.assert_array_equal(found.i_d, 0)


@pytest.mark.parametrize("bands", [29, 31, 65])
@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "msfit-issa-2026"])
def test_diffuse_light_the_size_of_rounding_is_none(model: str, bands: int) -> None:
    grey = np.repeat(np.linspace(0.01, 1, 50)[:, None], bands, 1)
    assert (msfit.fit(grey, np.linspace(400, 700, bands), model=model).status == Status.NO_DIFFUSE).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bands", [37, 148])
@pytest.mark.parametrize("sample", [1e12, 1e25])
def test_an_absurd_sample_spoils_its_own_pixel_alone(bands: int, dtype: str, sample: float) -> None:
    nm = np.linspace(400, 720, bands)
    pixels = (
        0.8 * msfit.reflectance(0.1, 0.03, nm, model="alotaibi-smith-2019")
        + 0.1
        + 0.01 * np.random.default_rng(0).normal(size=(5, bands))
    )
    alone = fit(np.delete(pixels, 3, 0), nm, dtype=dtype)
    pixels[3, 7] = sample
    found = fit(pixels, nm, dtype=dtype)
    for name in ("f_mel", "i_d", "rmse", "status"):
        np.testing.assert_array_equal(np.delete(getattr(found, name), 3), getattr(alone, name))
    # what cannot be computed is not called a result
    assert np.isfinite(found.rmse[3]) or found.status[3] == Status.NOT_CONVERGED


def test_bands_inside_the_models_range_are_used() -> None:
    nm = np.arange(380.0, 781.0, 10.0)
    wide = np.full((2, nm.size), 0.4)
    inside = (nm >= 400) & (nm <= 720)
    wide[:, inside] = 0.8 * msfit.reflectance(0.1, 0.03, nm[inside], model="alotaibi-smith-2019") + 0.05
    found = fit(wide, nm)
    np.testing.assert_array_equal(found.wavelengths, nm[inside])
    assert found.attrs["bands_dropped"] == 8
    np.testing.assert_allclose(found.f_mel, 0.1, rtol=1e-9)
    some = fit(wide, nm, bands="420:700")
    np.testing.assert_array_equal(some.wavelengths, np.arange(420, 701, 10))
    finer = fit(wide, nm, bands="420:700:5")
    np.testing.assert_array_equal(finer.wavelengths, np.arange(420, 701, 5))


def test_standard_deviations() -> None:
    rng = np.random.default_rng(1)
    sigma = 0.003
    pixel = 0.8 * msfit.reflectance(0.08, 0.03, NM, model="alotaibi-smith-2019") + 0.1
    found = fit(pixel + sigma * rng.standard_normal((4000, 31)), NM, std=True)
    assert found.std is not None
    inside = found.status == Status.CONVERGED
    for name in ("f_mel", "f_blood", "i_d", "i_s"):
        spread = getattr(found, name)[inside].std()
        assert np.median(found.std[name][inside]) == pytest.approx(spread, rel=0.1), name
    held = fit(pixel[None], NM, std=True, free=("f_mel",))
    assert held.std is not None
    assert np.isnan(held.std["f_blood"]).all()
    assert fit(pixel[None], NM).std is None


def test_correlations_show_where_two_parameters_trade() -> None:
    found = fit(SKIN + 0.001 * np.cos(np.arange(31)), NM, std=True)
    assert found.correlation is not None
    assert list(found.correlation) == [
        "f_mel,f_blood",
        "f_mel,i_d",
        "f_mel,i_s",
        "f_blood,i_d",
        "f_blood,i_s",
        "i_d,i_s",
    ]
    strongest, pair = found.strongest_correlation()
    names = list(found.correlation)
    for index in np.ndindex(found.shape):
        values = {name: found.correlation[name][index] for name in names}
        assert abs(strongest[index]) == max(abs(value) for value in values.values())
        assert strongest[index] == values[names[pair[index]]]
    held = fit(SKIN, NM, std=True, bounds={"f_mel": (0.1, 0.1), "f_blood": (0.03, 0.03)}, noise=0.01)
    assert (held.strongest_correlation()[1] == 5).all()
    with pytest.raises(InputError, match="std=True"):
        fit(SKIN, NM).strongest_correlation()


NOISY = SKIN + 0.004 * np.random.default_rng(8).standard_normal(SKIN.shape)
FIGURES = ("f_mel", "f_blood", "i_d", "i_s", "rmse")


@given(
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=31, max_size=31).filter(
        lambda w: np.count_nonzero(w) >= 8
    ),
    factor=st.sampled_from([1e-6, 0.3, 1e9]),
)
@settings(max_examples=15)
def test_weights_are_relative_and_nought_leaves_a_band_out(weights: list[float], factor: float) -> None:
    w = np.array(weights)
    found, scaled, without = (
        fit(NOISY, NM, weights=w, std=True),
        fit(NOISY, NM, weights=factor * w, std=True),
        fit(NOISY[..., w > 0], NM[w > 0], weights=w[w > 0], std=True),
    )
    np.testing.assert_array_equal(found.wavelengths, NM[w > 0])
    assert found.attrs["bands_dropped"] == np.count_nonzero(w == 0)
    for name in FIGURES:
        np.testing.assert_allclose(getattr(scaled, name), getattr(found, name), rtol=1e-4, atol=1e-7)
        np.testing.assert_array_equal(getattr(without, name), getattr(found, name))
    for name, values in (without.std or {}).items():
        np.testing.assert_array_equal(values, (found.std or {})[name])


def test_weights_by_range_and_by_band_are_the_same() -> None:
    by_band = fit(NOISY, NM, weights=np.where(NM <= 450, 0.25, 1.0))
    by_range = fit(NOISY, NM, weights={(400, 450): 0.25})
    np.testing.assert_array_equal(by_range.f_mel, by_band.f_mel)
    assert not np.array_equal(by_range.f_mel, fit(NOISY, NM).f_mel)
    # weights belong to the data's bands, whichever are then fitted
    some = fit(NOISY, NM, weights={(400, 450): 0.25}, bands="420:700")
    np.testing.assert_array_equal(some.f_mel, fit(NOISY[..., 2:], NM[2:], weights={(400, 450): 0.25}).f_mel)
    resampled = fit(NOISY, NM, weights=np.linspace(1, 2, 31), bands="400:700:5")
    np.testing.assert_allclose(resampled.attrs["weights"], np.linspace(1, 2, 61) / 1.5)
    # unusable bands stay out
    broken = NOISY.copy()
    broken[0, 0, 3] = np.nan
    found = fit(broken, NM, weights=np.linspace(1, 2, 31))
    rest = np.delete(np.arange(31), 3)
    alone = fit(NOISY[:1, :1, rest], NM[rest], weights=np.linspace(1, 2, 31)[rest])
    np.testing.assert_allclose(found.f_mel[0, 0], alone.f_mel[0, 0], rtol=1e-6)


def test_a_weight_of_two_is_a_band_twice() -> None:
    """For Huber's loss too, of which bands a hair apart are the same."""
    twice = np.sort(np.concatenate([NM, NM[10:20] + 1e-9]))
    weights = np.where(np.isin(NM, NM[10:20]), 2.0, 1.0)
    for huber in (None, 0.003):
        once, repeated = (
            fit(NOISY, NM, weights=weights, huber=huber),
            fit(NOISY.repeat(weights.astype(int), -1), twice, huber=huber),
        )
        np.testing.assert_allclose(once.f_mel, repeated.f_mel, rtol=1e-4)
        np.testing.assert_allclose(once.i_d, repeated.i_d, rtol=1e-4)


@pytest.mark.parametrize("huber", [None, 0.003])
def test_a_residual_in_radiance_under_flat_light_is_one_in_reflectance(huber: float | None) -> None:
    expected = fit(NOISY, NM, huber=huber, std=True)
    for level in (1.0, 1e-15, 1e16):
        threshold = None if huber is None else huber * level
        cube = Cube(NOISY * level, NM, np.full(31, level))
        found = fit(cube, residual="radiance", huber=threshold, std=True)
        for name in FIGURES:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-7)
        for name, values in (found.std or {}).items():
            np.testing.assert_allclose(values, (expected.std or {})[name], rtol=1e-3)
    assert found.attrs["residual"] == "radiance"


def test_a_residual_in_radiance_weighs_by_the_light_of_each_pixel() -> None:
    lamp = np.linspace(0.3, 3, 31) ** 2
    shade = np.array([[1.0, 2.0, 0.1], [5.0, 5e-3, 1.0]])[..., None] * np.ones(31)
    shade[1, 2] = np.linspace(3, 1, 31)
    light = lamp * shade
    found = fit(Cube(NOISY * light, NM, light), residual="radiance", std=True, noise=0.01)
    for index in np.ndindex(2, 3):
        alone = fit(NOISY[index][None], NM, weights=light[index] ** 2, std=True, noise=0.01 / light[index])
        for name in FIGURES:
            np.testing.assert_allclose(getattr(found, name)[index], getattr(alone, name)[0], rtol=1e-4, atol=1e-7)
        for name, values in (found.std or {}).items():
            np.testing.assert_allclose(values[index], (alone.std or {})[name][0], rtol=1e-3)
    flat = fit(Cube(NOISY * lamp, NM, lamp), residual="radiance")
    np.testing.assert_allclose(flat.f_mel[0], found.f_mel[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("keywords", "word"),
    [
        ({"weights": np.ones(30)}, "31 bands"),
        ({"weights": [1.0] * 30 + [np.nan]}, "found nan"),
        ({"weights": [1.0] * 30 + [-1.0]}, "found -1"),
        ({"weights": [1.0] * 7 + [0.0] * 24}, "7 of 31"),
        ({"weights": [1e-30] * 30 + [1e30]}, "1 of 31 fitted bands weigh at least 1e-06 of the largest"),
        ({"weights": np.ones(31, complex)}, "a number >= 0 a band"),
        ({"weights": [[1, 2], [3]]}, "a number >= 0 a band"),
        ({"weights": "some"}, "a number >= 0 a band"),
        ({"weights": {(400, 450): -1}}, "found -1"),
        ({"weights": {(800, 900): 2}}, "0 bands"),
        ({"weights": {400: 2}}, "0 bands"),
        ({"weights": {(400, 450): "two"}}, "a number >= 0 a band"),
        ({"residual": "photons"}, "reflectance or radiance"),
        ({"residual": "radiance"}, "illuminant"),
        ({"huber": 0}, "positive threshold"),
        ({"huber": np.nan}, "positive threshold"),
        ({"huber": True}, "positive threshold"),
        ({"noise": 0.01}, "without std"),
        ({"noise": 0.0, "std": True}, "found 0; expected a number > 0"),
        ({"noise": -0.01, "std": True}, "found -0.01; expected a number > 0"),
        ({"noise": np.inf, "std": True}, "found inf; expected a number > 0"),
        ({"noise": {(400, 700): 0.0}, "std": True}, "found 0; expected a number > 0"),
        ({"noise": True, "std": True}, "found True"),
        ({"noise": [True] * 31, "std": True}, "a number > 0"),
        ({"noise": 1e-300, "std": True}, "found 1e-300"),
        ({"noise": 100, "std": True}, "divide percent by 100"),
        ({"noise": {(400, 650): 0.01}, "std": True}, "none at 660 nm"),
        ({"noise": np.ones((2, 31)), "std": True}, "31 bands"),
    ],
)
def test_criteria_that_are_refused(keywords: dict, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        fit(SKIN, NM, **keywords)
    assert "\n" not in str(caught.value)


def test_what_a_criterion_needs_of_the_data() -> None:
    light = Cube(SKIN * 2, NM, np.full(31, 2.0))
    with pytest.raises(InputError, match="resampled"):
        fit(light, residual="radiance", bands="400:700:5")
    with pytest.raises(InputError, match="turned round"):
        fit(SKIN[..., ::-1], NM[::-1], weights=np.ones(31))
    turned = fit(NOISY[..., ::-1], NM[::-1], weights={(400, 450): 0.25})
    np.testing.assert_allclose(turned.f_mel, fit(NOISY, NM, weights={(400, 450): 0.25}).f_mel, rtol=1e-4)


def test_progress_reaches_the_end() -> None:
    calls: list[tuple[int, int]] = []
    fit(SKIN, NM, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)


@pytest.mark.parametrize(
    ("keywords", "word"),
    [
        ({"model": "no-such-skin"}, "expected one of"),
        ({"bounds": "narrow"}, "expected wide, paper"),
        ({"bounds": {"melanin": (0, 1)}}, "melanin"),
        ({"bounds": {"f_mel": (0.3, 0.1)}}, "lower <= upper"),
        ({"bounds": {"f_mel": (1.3, 43)}}, "lower <= upper"),
        ({"bounds": {"f_mel": 3}}, "lower <= upper"),
        ({"free": ("oxygen",)}, "has f_mel, f_blood, saturation"),
        ({"bands": "390:700"}, "400-720"),
        ({"bands": "420:760"}, "400-720"),
        ({"bands": "500:560"}, "at least 8"),
        ({"bands": "red"}, "A:B"),
        ({"bands": (700, 420)}, "A:B"),
        ({"bands": "420:700:0"}, "A:B"),
        ({"bands": "420:700:-10"}, "positive"),
        ({"bands": "420:700:0.0001"}, "coarser"),
        ({"bounds": None}, "mapping"),
        ({"free": "f_mel"}, "list of names"),
        ({"free": ("f_mel", "saturation"), "shared": ("saturation",)}, "leave it out of one"),
        ({"device": "meta"}, "device"),
        ({"mask": "skin"}, "no file"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"device": "abacus"}, "device"),
        ({"mask": np.zeros((2, 3), bool)}, "no pixel is left"),
        ({"mask": np.ones((3, 3), bool)}, "mask"),
    ],
)
def test_refusals(keywords: dict, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        fit(SKIN, NM, **keywords)
    assert "\n" not in str(caught.value)


def test_arrays_of_other_kinds() -> None:
    """Byte order, masked arrays and xarray change nothing but what they say."""
    expected = fit(SKIN, NM)
    np.testing.assert_array_equal(fit(SKIN.astype(">f8"), NM).f_mel, expected.f_mel)
    np.testing.assert_array_equal(fit(np.asfortranarray(SKIN), NM.tolist()).f_mel, expected.f_mel)
    np.testing.assert_array_equal(fit(torch.from_numpy(SKIN), torch.from_numpy(NM)).f_mel, expected.f_mel)
    tensor = torch.from_numpy(SKIN)
    assert np.shares_memory(as_cube(tensor, NM).values, tensor.numpy())  # nothing is copied
    labelled = xarray.DataArray(SKIN, dims=("y", "x", "wavelength"), coords={"wavelength": NM})
    np.testing.assert_array_equal(fit(labelled).f_mel, expected.f_mel)
    np.testing.assert_array_equal(fit(labelled.drop_vars("wavelength"), NM).f_mel, expected.f_mel)
    numbered = labelled.rename(wavelength="band").assign_coords(band=np.arange(1, 32))
    np.testing.assert_array_equal(fit(numbered, NM).f_mel, expected.f_mel)
    with pytest.raises(InputError, match="beside an xarray object that has its own"):
        fit(labelled, NM)
    masked = np.ma.array(SKIN.copy())
    masked[0, 0] = np.ma.masked
    masked[0, 1, :2] = np.ma.masked
    masked.data[0, :2, :2] = 0.9
    found = fit(masked, NM)
    assert found.status[0, 0] == Status.MASKED_TOO_FEW_BANDS
    np.testing.assert_allclose(found.f_mel[0, 1], expected.f_mel[0, 1], rtol=1e-9)


def test_notes_on_what_the_user_may_not_expect() -> None:
    assert fit(SKIN, NM).attrs["note"] == ""
    assert "430-700" in fit(SKIN[..., 3:], NM[3:], bands="400:700").attrs["note"]
    dark_percent = 100 * (0.5 * msfit.reflectance(np.full(40, 0.35), 0.03, NM, model="alotaibi-smith-2019") + 0.01)
    assert "percent" in fit(dark_percent, NM).attrs["note"]


def test_too_little_light_to_compute_with_is_no_signal() -> None:
    assert (fit(np.vstack([SKIN[0] * 1e-30, SKIN[0]]).astype(np.float32), NM).status[:3] > 256).all()


def test_progress_comes_block_by_block() -> None:
    calls: list[int] = []
    fit(np.tile(SKIN[0, 0], (60_000, 1)), NM, progress=lambda done, total: calls.append(done))
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert calls[-1] == 60_000


def test_refusals_of_the_data() -> None:
    with pytest.raises(InputError, match="wavelengths"):
        fit(SKIN)
    with pytest.raises(InputError, match="has its own"):
        fit(Cube(SKIN, NM), NM)
    with pytest.raises(InputError, match="micrometres"):
        fit(SKIN, NM / 1000)
    with pytest.raises(InputError, match="divide angstrom by 10"):
        fit(SKIN, NM * 10)
    with pytest.raises(InputError, match="at least 8"):
        fit(SKIN, NM + 310)
    with pytest.raises(InputError, match="no pixel is left"):
        fit(np.full((2, 31), np.nan), NM)
    with pytest.raises(InputError, match="percent"):
        fit(100 * SKIN, NM)


def test_the_plan_of_a_fit_is_kept_and_changes_nothing() -> None:
    """Fits with one set of options on one set of bands share their plan; others do not get it."""
    nm = np.arange(380.0, 771.0, 10.0)
    skin = 0.8 * msfit.reflectance([0.05, 0.10], 0.03, nm[2:35]) + 0.04
    wide = np.pad(skin, ((0, 0), (2, 5)), mode="edge")
    options = {"hold": {"i_s": 0.04}, "std": True}
    first, second = (msfit.fit(wide, nm, **options) for _ in range(2))
    for name in ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status"):
        np.testing.assert_array_equal(first.map(name), second.map(name))
    assert first.wavelengths.tolist() == second.wavelengths.tolist() == nm[2:35].tolist()
    assert second.cube is not None
    assert second.cube.values.shape == (2, 33)
    assert {**first.attrs, "seconds": 0} == {**second.attrs, "seconds": 0}
    other = msfit.fit(0.5 * wide, nm, hold={"i_s": 0.02}, std=True)
    assert other.attrs["hold"] == "i_s=0.02"
    np.testing.assert_allclose(other.f_mel, first.f_mel, rtol=1e-5)
    assert msfit.fit(wide, nm, dtype="float32").f_mel.dtype == np.float32
