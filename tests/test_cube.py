"""A cube holds what it is given, checked, and divides radiance by light."""

from __future__ import annotations

import warnings
from typing import Any

import dask.array
import numpy as np
import pytest

import msfit
from msfit.data.cube import Cube
from msfit.errors import InputError, InputWarning

NM = np.arange(400.0, 701, 10)


@pytest.fixture
def reflectance() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.05, 0.7, (5, 4, NM.size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reflectance_is_kept_to_the_bit(reflectance: np.ndarray, dtype: type) -> None:
    cube = Cube(reflectance.astype(dtype), NM)
    np.testing.assert_array_equal(cube.reflectance, reflectance.astype(dtype))
    assert cube.reflectance.dtype == dtype
    assert cube.shape == (5, 4)


def test_spectra_have_one_axis_of_pixels(reflectance: np.ndarray) -> None:
    assert Cube(reflectance.reshape(-1, NM.size), NM).shape == (20,)


@pytest.mark.parametrize("light_shape", [(31,), (31, 1), (1, 31), (5, 4, 31)])
def test_radiance_over_illuminant(reflectance: np.ndarray, light_shape: tuple[int, ...]) -> None:
    light = np.random.default_rng(1).uniform(1e14, 2e14, light_shape)
    spread = light if light.ndim == 3 else light.ravel()
    cube = Cube(reflectance * spread, NM, light)
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-14)


def test_dark_is_subtracted_before_the_division(reflectance: np.ndarray) -> None:
    light, dark = np.linspace(1000, 2000, NM.size), np.linspace(10, 20, NM.size)
    np.testing.assert_allclose(Cube(reflectance * light + dark, NM, light, dark=dark).reflectance, reflectance)
    np.testing.assert_allclose(Cube(reflectance * light + 7, NM, light, dark=7).reflectance, reflectance)


def test_samples_without_light_are_nan_and_unusable(reflectance: np.ndarray) -> None:
    light = np.ones(NM.size)
    light[:3] = 0, -1, np.nan
    values, usable = Cube(reflectance, NM, light).rows(slice(None))
    assert np.isnan(values[..., :3]).all()
    assert not usable[..., :3].any()
    assert usable[..., 3:].all()


def test_saturated_samples_are_unusable() -> None:
    counts = np.full((2, 2, NM.size), 1000, np.uint16)
    counts[0, 0, 5] = 65535
    counts[1, 1, 7] = 4095
    light = np.full(NM.size, 3000)
    assert np.argwhere(~Cube(counts, NM, light).rows(slice(None))[1]).tolist() == [[0, 0, 5]]
    stated = Cube(counts, NM, light, saturation=4095, dark=np.full(NM.size, 20))
    assert np.argwhere(~stated.rows(slice(None))[1]).tolist() == [[0, 0, 5], [1, 1, 7]]


def test_descending_bands_are_turned_round_with_a_note(reflectance: np.ndarray) -> None:
    light, dark = np.linspace(1, 2, NM.size), np.linspace(0, 0.01, NM.size)
    upright = Cube(reflectance, NM, light, dark=dark)
    turned = Cube(reflectance[..., ::-1], NM[::-1], light[::-1], dark=dark[::-1], provenance={"note": "first"})
    np.testing.assert_array_equal(turned.reflectance, upright.reflectance)
    np.testing.assert_array_equal(turned.wavelengths, NM)
    assert turned.provenance["note"] == "first; bands were in descending order and have been turned round"


def test_rows_are_those_of_the_whole(reflectance: np.ndarray) -> None:
    light = np.random.default_rng(1).uniform(1, 2, reflectance.shape)
    cube = Cube(reflectance, NM, light, dark=light * 0.01)
    np.testing.assert_array_equal(cube.rows(slice(1, 3))[0], cube.reflectance[1:3])


def test_a_dask_array_is_read_block_by_block(reflectance: np.ndarray) -> None:
    read = []

    def block(values: np.ndarray) -> np.ndarray:
        read.append(values.shape)
        return values

    lazy = dask.array.from_array(reflectance, chunks=(1, 4, NM.size)).map_blocks(block, dtype=reflectance.dtype)
    cube = Cube(lazy, NM)
    read.clear()
    np.testing.assert_array_equal(cube.rows(slice(2, 3))[0], reflectance[2:3])
    assert read == [(1, 4, NM.size)]


def test_damage_found_while_reading_is_a_plain_refusal(reflectance: np.ndarray) -> None:
    def block(values: np.ndarray, block_info: dict) -> np.ndarray:
        if block_info[0]["chunk-location"][0] == 4:
            raise OSError("bad checksum")
        return values

    lazy = dask.array.from_array(reflectance, chunks=(1, 4, NM.size)).map_blocks(block, dtype=reflectance.dtype)
    cube = Cube(lazy, NM)
    assert cube.rows(slice(0, 4))[0].shape == (4, 4, 31)
    with pytest.raises(InputError, match="values: cannot be read or computed \\(bad checksum\\)"):
        cube.rows(slice(4, 5))


def test_what_computes_a_lazy_array_is_blamed_in_one_line(reflectance: np.ndarray) -> None:
    def block(values: np.ndarray) -> np.ndarray:
        raise RuntimeError("no more\nworkers\n\n    Advice: see the manual")

    lazy = dask.array.from_array(reflectance).map_blocks(block, dtype=float)
    with pytest.raises(InputError, match=r"^values: cannot be read or computed \(no more workers\); .* mend what"):
        Cube(lazy, NM)
    with pytest.raises(InputError, match=r"^mask: cannot be read or computed"):
        Cube(reflectance, NM, mask=lazy[..., 0] > 0)


def test_rows_may_be_written_to(reflectance: np.ndarray) -> None:
    reflectance.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", InputWarning)  # the values are no skin
        msfit.fit(reflectance, NM)
    assert Cube(reflectance, NM).reflectance.flags.writeable
    np.testing.assert_array_equal(Cube(reflectance, NM).reflectance, reflectance)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("each", [False, True])
def test_radiance_in_percent_of_its_light_is_refused(lazy: bool, each: bool) -> None:
    skin = 0.8 * msfit.reflectance(np.full((30, 30), 0.1), 0.03, NM, model="alotaibi-smith-2019") + 0.02
    light = np.linspace(1e3, 3e3, NM.size)
    light = light * np.ones((30, 30, 1)) if each else light
    wrapped = dask.array.from_array if lazy else np.asarray
    with pytest.raises(InputError, match=r"values: around .* times the illuminant; .* divide percent by 100"):
        Cube(wrapped(100 * skin * light), NM, light)
    assert Cube(wrapped(skin * light), NM, light).shape == (30, 30)


def test_glints_lamps_shadows_and_dim_light_are_no_percent() -> None:
    rng = np.random.default_rng(0)
    skin = 0.8 * msfit.reflectance(np.full((30, 30), 0.1), 0.03, NM, model="alotaibi-smith-2019") + 0.02
    skin[:12] = 100.0  # a window
    lamp = np.linspace(1e3, 3e3, NM.size)
    assert Cube(skin * lamp, NM, lamp).shape == (30, 30)
    spot = np.full((30, 30, 1), 1e-9)  # of which the rest of the picture sees nothing
    spot[15:20, 10:20] = 1
    noisy = skin * spot * lamp + rng.uniform(0, 1, skin.shape)
    assert Cube(noisy, NM, spot * lamp).shape == (30, 30)
    assert Cube(10 * skin[15:] * lamp, NM, lamp).shape == (15, 30)
    inside = np.zeros((30, 30), bool)
    inside[15:] = True
    skin[:15] = 1e3  # what lies outside the mask does not count
    assert Cube(skin * lamp, NM, lamp, inside).shape == (30, 30)


@pytest.mark.parametrize(
    "mask", [np.eye(5, 4) > 0, np.eye(5, 4), 255 * np.eye(5, 4, dtype=np.uint8), dask.array.eye(5)[:, :4] > 0]
)
def test_masks_are_truth_values_or_two_numbers(reflectance: np.ndarray, mask: Any) -> None:
    np.testing.assert_array_equal(Cube(reflectance, NM, mask=mask).mask, np.eye(5, 4) > 0)


def test_select_bands(reflectance: np.ndarray) -> None:
    light, dark = np.linspace(1, 2, NM.size), np.linspace(0, 0.01, NM.size)
    cube, bands = Cube(reflectance, NM, light, dark=dark), np.array([2, 5, 9])
    np.testing.assert_array_equal(cube.select_bands(bands).reflectance, cube.reflectance[..., bands])
    np.testing.assert_array_equal(cube.select_bands(bands).wavelengths, NM[bands])


def test_with_mask_keeps_the_rest(reflectance: np.ndarray) -> None:
    mask = np.zeros((5, 4), bool)
    mask[1, 1] = True
    cube = Cube(reflectance, NM, saturation=0.6, provenance={"source": "x"}).with_mask(mask)
    assert cube.mask is not None
    assert cube.mask.sum() == 1
    assert cube.saturation == 0.6
    assert cube.provenance == {"source": "x"}
    assert cube.with_mask(None).mask is None


def test_resampling_a_straight_line_is_exact(reflectance: np.ndarray) -> None:
    line = reflectance[..., :1] + 0.3 * (NM - 400) / 300
    target = np.array([400, 403.7, 411, 699.5, 700])
    expected = reflectance[..., :1] + 0.3 * (target - 400) / 300
    np.testing.assert_allclose(Cube(line, NM).resample(target).values, expected, rtol=1e-14)


def test_resampling_keeps_exact_bands_clear_of_bad_neighbours(reflectance: np.ndarray) -> None:
    reflectance[0, 0, 5] = np.nan
    mixed = Cube(reflectance, NM).resample(np.array([440.0, 445, 450, 455, 460])).values
    assert np.isnan(mixed[0, 0]).tolist() == [False, True, True, True, False]


def test_resampling_never_extrapolates(reflectance: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"390-700 nm asked for, the data hold 400-700 nm"):
        Cube(reflectance, NM).resample(np.arange(390, 701, 10))


def test_to_xarray(reflectance: np.ndarray) -> None:
    array = Cube(reflectance, NM, mask=np.ones((5, 4)), provenance={"source": "x"}).to_xarray()
    assert array.dims == ("y", "x", "wavelength")
    assert array.wavelength.attrs == {"units": "nm"}
    assert array.attrs == {"units": "1", "source": "x"}
    assert array.coords["mask"].all()


def test_a_few_glints_are_no_percent(reflectance: np.ndarray) -> None:
    reflectance[0, 0] = 5
    assert Cube(reflectance, NM).shape == (5, 4)


def test_percent_is_found_on_a_black_background() -> None:
    percent = np.zeros((40, 40, NM.size))
    percent[10:14, 10:14] = 35
    with pytest.raises(InputError, match="divide percent by 100"):
        Cube(percent, NM)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 4, 31)), "empty array"),
        (np.zeros(31), "expected real numbers"),
        (np.zeros((2, 2, 2, 31)), "expected real numbers"),
        (np.zeros((2, 31), complex), "found complex128"),
        (np.full((2, 31), "a"), "expected real numbers"),
        (np.full((3, 31), 40.0), "divide percent by 100"),
        (dask.array.full((3, 31), 40.0), "divide percent by 100"),
        (np.full((3, 31), 1200, np.uint16), "white reference"),
        (dask.array.full((3, 31), 0.4)[dask.array.ones(3) > 0], r"unknown size; .* compute_chunk_sizes\(\)"),
        (np.full((3, 30), 0.4), "found 31 for 30 bands"),
    ],
)
def test_refused_values(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cube(values, NM)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"illuminant": np.ones(30)}, "illuminant: found float64 of shape"),
        ({"illuminant": np.zeros(31)}, "no positive value"),
        ({"illuminant": np.ones((4, 5, 31))}, "illuminant: found"),
        ({"illuminant": np.ones(31, complex)}, "illuminant: found complex128"),
        ({"dark": np.ones(30)}, "dark: found"),
        ({"mask": np.ones((4, 5))}, "mask: found shape"),
        ({"mask": np.full((5, 4), np.nan)}, "mask: found nan; expected True and False, 0 and 1"),
        ({"mask": np.arange(20).reshape(5, 4)}, "mask: found 2"),
        ({"mask": np.full((5, 4), 0.5)}, "mask: found 0.5"),
        ({"mask": np.arange(20).reshape(5, 4) % 2 + 254}, "mask: found 254"),
    ],
)
def test_refused_companions(reflectance: np.ndarray, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cube(reflectance, NM, **arguments)
