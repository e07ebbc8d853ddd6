"""What goes in with names comes out with them, through every door and every format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray

import msfit
from msfit.data.result import MAPS, FitResult
from msfit.errors import InputError
from msfit.io.results import EXTENSIONS

NM = np.arange(400.0, 701.0, 10.0)
RNG = np.random.default_rng(8)
SKIN = 0.8 * msfit.reflectance(RNG.uniform(0.03, 0.2, (3, 4)), RNG.uniform(0.01, 0.05, (3, 4)), NM) + 0.05
SKIN = SKIN + 0.002 * RNG.standard_normal(SKIN.shape)
SKIN[0, 0] = np.nan
OLD = Path(__file__).parent / "data"


def labelled(order: tuple[str, ...] = ("northing", "easting", "wavelength")) -> xarray.DataArray:
    """A picture with names, coordinates along an axis, over both, of no axis, numbers, text and dates."""
    array = xarray.DataArray(
        SKIN,
        dims=("northing", "easting", "wavelength"),
        coords={
            "wavelength": NM,
            "easting": ("easting", np.arange(4) * 0.5, {"units": "m"}),
            "row_name": ("northing", ["a", "b", "c"]),
            "taken": ("northing", np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]")),
            "distance": (("northing", "easting"), np.arange(12.0).reshape(3, 4) / 7),
            "session": 7,
        },
        attrs={"instrument": "a camera", "operator": "nobody", "units": "1"},
    )
    return array.transpose(*order)


def assert_axes(found: xarray.Dataset, coords: tuple[str, ...] = ("easting", "row_name", "taken", "distance")) -> None:
    assert found["f_mel"].dims == ("northing", "easting")
    for name in coords:
        np.testing.assert_array_equal(found[name].values, labelled()[name].values, err_msg=name)
    assert found.attrs["instrument"] == "a camera"
    assert found["easting"].attrs == {"units": "m"} or "easting" not in coords


def assert_same(found: FitResult, expected: FitResult) -> None:
    for name in MAPS:
        np.testing.assert_array_equal(np.asarray(found.map(name)), expected.map(name))
    np.testing.assert_array_equal(np.asarray(found.status), expected.status)
    assert found.bounds == expected.bounds
    assert found.model == expected.model
    np.testing.assert_array_equal(found.wavelengths, expected.wavelengths)
    for kind in ("std", "correlation", "extra"):
        mine, other = getattr(found, kind) or {}, getattr(expected, kind) or {}
        assert list(mine) == list(other)
        for name in mine:
            np.testing.assert_array_equal(np.asarray(mine[name]), other[name])


@pytest.mark.parametrize("order", [("northing", "easting", "wavelength"), ("wavelength", "northing", "easting")])
def test_names_coordinates_and_attributes_of_an_array_come_back(order: tuple[str, ...]) -> None:
    result = msfit.fit(labelled(order))
    assert_axes(result.to_xarray())
    assert result.to_xarray()["session"] == 7
    xarray.testing.assert_equal(result.to_xarray()["easting"], labelled()["easting"])
    assert result.to_xarray()["f_mel"].sel(easting=0.5).shape == (3,)
    assert_axes(msfit.fit_lazy(labelled(order).chunk(northing=1)).compute())
    assert msfit.fit_spatial(labelled(order)).to_xarray()["f_blood"].dims == ("northing", "easting")
    assert msfit.Cube.from_xarray(labelled(order)).to_xarray().dims[:2] == ("northing", "easting")


@pytest.mark.parametrize("ending", EXTENSIONS)
@pytest.mark.parametrize("source", ["array", "labelled", "numbered", "table", "spectrum"])
def test_every_format_gives_back_what_was_saved(ending: str, source: str, tmp_path: Path) -> None:
    sources: dict[str, Callable[[], Any]] = {
        "array": lambda: msfit.fit(SKIN, NM, std=True, free=("f_mel", "f_blood", "saturation")),
        "labelled": lambda: msfit.fit(labelled(), std=True),
        "numbered": lambda: msfit.fit(labelled().drop_vars(["row_name", "taken"])),
        "table": lambda: msfit.fit(table()),
        "spectrum": lambda: msfit.fit(SKIN[1, 1], NM, certify=True),
    }
    result = sources[source]()
    path = tmp_path / f"maps{ending}"
    result.save(path)
    again = msfit.load_result(path)
    assert_same(again, result)
    assert again.attrs["source"] == result.attrs["source"]
    if result.gap is not None:
        np.testing.assert_array_equal(again.gap, result.gap)
    if source == "labelled":
        assert_axes(again.to_xarray())
    if source == "numbered":
        assert_axes(again.to_xarray(), ("easting", "distance"))
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe(), check_categorical=False)
    if ending in (".h5", ".nc"):
        with xarray.open_dataset(path, engine="h5netcdf") as file:
            xarray.testing.assert_equal(file.load(), result.to_xarray())
        assert_same(msfit.load_result(path, lazy=True), result)


def table() -> pd.DataFrame:
    index = pd.MultiIndex.from_product([["s1", "s2", "s3"], [1, 2, 3, 4]], names=["subject", "site"])
    return pd.DataFrame(SKIN.reshape(-1, NM.size), index=index, columns=NM)


def test_the_index_of_a_table_is_on_the_rows_of_the_result() -> None:
    found = msfit.fit(table(), std=True).to_dataframe()
    pd.testing.assert_index_equal(found.index, table().index)
    np.testing.assert_array_equal(found.f_mel, msfit.fit(SKIN, NM).f_mel.ravel())
    assert found.status.loc["s1", 1] == "masked_too_few_bands"
    assert {"std_f_mel", "correlation_f_mel_f_blood", "rmse"} < set(found)
    assert found.groupby("subject", observed=True).f_blood.median().notna().all()
    plain = msfit.fit(table().reset_index(drop=True)).to_dataframe()
    pd.testing.assert_index_equal(plain.index, pd.RangeIndex(12), exact=False)
    assert msfit.fit(SKIN, NM).to_dataframe().index.names == ["y", "x"]
    assert msfit.fit(labelled()).to_dataframe().loc[(2, 1.5), "row_name"] == "c"


def test_a_fit_from_disk_to_disk_keeps_the_axes(tmp_path: Path) -> None:
    labelled().rename("reflectance").to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
    result = msfit.fit_file(tmp_path / "scene.nc", tmp_path / "maps.h5")
    assert_axes(result.to_xarray())
    assert_axes(msfit.load_result(tmp_path / "maps.h5").to_xarray())
    assert_same(result, msfit.fit(labelled()))
    assert_axes(msfit.fit(tmp_path / "scene.nc").to_xarray())


def test_axes_that_a_file_does_not_name_are_y_and_x(tmp_path: Path) -> None:
    nm = np.arange(420.0, 701.0, 40.0)
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["wavelength"] = nm
        file["reflectance"] = np.full((3, 2, nm.size), 0.4, np.float32)
    assert msfit.fit(msfit.load(tmp_path / "cube.h5")).to_xarray()["f_mel"].dims == ("y", "x")
    msfit.fit_file(tmp_path / "cube.h5", tmp_path / "maps.h5")
    with h5py.File(tmp_path / "maps.h5") as maps:
        assert not [name for name in maps if name.startswith("phony")]


def test_a_coordinate_named_as_a_map_is_left_out() -> None:
    assert "rmse" in msfit.fit(labelled().assign_coords(rmse=3.0)).to_xarray().data_vars


@pytest.mark.parametrize("ending", ["h5", "npz", "mat"])
def test_every_format_of_version_0_1_0_is_read(ending: str) -> None:
    expected, found = msfit.load_result(OLD / "result_0_1_0.h5"), msfit.load_result(OLD / f"result_0_1_0.{ending}")
    assert_same(found, expected)
    assert found.attrs["msfit_version"] == "0.1.0"
    assert found.gap is not None


def test_spectra_and_residuals_are_those_of_the_fit() -> None:
    cube = msfit.Cube(SKIN, NM)
    result = msfit.fit(cube)
    fitted, left = result.spectra(), result.residuals()
    np.testing.assert_allclose(np.sqrt(np.mean(left**2, -1)), result.rmse, rtol=1e-6, equal_nan=True)
    np.testing.assert_array_equal(left + fitted, SKIN)
    np.testing.assert_array_equal(result.spectra(slice(1, 2)), fitted[1:2])
    unlit = msfit.fit(np.full((1, 31), 0.3), NM)
    np.testing.assert_allclose(unlit.spectra(), 0.3)
    with pytest.raises(InputError, match="put it back with"):
        replace(result, cube=None).residuals()
    with pytest.raises(InputError, match="other pixels or bands"):
        replace(result, cube=msfit.Cube(SKIN[:2], NM)).residuals()


def test_what_is_shown_is_short(tmp_path: Path) -> None:
    result = msfit.fit(labelled(), free=("f_mel", "f_blood", "saturation"))
    for shown in (msfit.Cube(SKIN, NM, mask=np.ones((3, 4))), result, msfit.fit(SKIN[0], NM)):
        assert len(repr(shown)) < 300
        assert repr(shown).startswith(f"<{type(shown).__name__} ")
        assert "<div>" in shown._repr_html_()
    page = result._repr_html_()
    assert page.count("data:image/png;base64,") == 6
    assert "1 masked: too few usable bands" in page
    assert len(page) < 30_000
    result.save(tmp_path / "maps.h5")
    assert "data:image" not in msfit.load_result(tmp_path / "maps.h5", lazy=True)._repr_html_()


def test_only_public_names_are_listed() -> None:
    assert dir(msfit) == sorted(msfit.__all__)
    assert not [name for name in dir(msfit) if name.startswith("_") and name != "__version__"]
    assert {"alotaibi-smith-2019", "msfit-issa-2026"} <= set(msfit.models())
    assert msfit.skin_mask is not None


def test_spectra_of_a_fit_in_channels_are_those_of_the_channels() -> None:
    channels = msfit.Channels.gaussian(np.arange(460.0, 660, 25), 40)
    values = 0.9 * msfit.reflectance(np.linspace(0.03, 0.3, 10), 0.03, channels=channels) + 0.02
    result = msfit.fit(values, channels=channels)
    np.testing.assert_allclose(result.spectra(), values, atol=1e-5)
    np.testing.assert_allclose(result.residuals(), 0, atol=1e-5)
    with pytest.raises(InputError, match="responses of the channels"):
        replace(result, cube=None).spectra()
