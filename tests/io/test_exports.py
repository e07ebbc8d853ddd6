"""Results for other programs: what they read, and that what comes back is what was saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import xarray

import msfit
from msfit.cli import main
from msfit.data.pixel_axes import PixelAxes
from msfit.data.result import MAPS
from msfit.data.status import Status, status_of_label
from msfit.errors import InputError

NM = np.arange(400.0, 701.0, 10.0)
ENDINGS = (".csv", ".hdr", ".tif", ".zarr")


@pytest.fixture(scope="module")
def picture() -> msfit.FitResult:
    """A picture with a masked pixel, one at a bound, standard deviations and coordinates in millimetres."""
    f_mel = np.linspace(0.02, 0.38, 42).reshape(6, 7)
    skin = (0.8 * msfit.reflectance(f_mel, 0.03, NM) + 0.04).astype(np.float32)
    mask = np.ones((6, 7), bool)
    mask[2, 3] = False
    result = msfit.fit(skin, NM, mask=mask, std=True, bounds={"f_mel": (0, 0.3)})
    coords = {"y": (("y",), 0.25 * np.arange(6), {"units": "mm"}), "x": (("x",), 0.5 * np.arange(7), {"units": "mm"})}
    return replace(
        result, axes=PixelAxes(("y", "x"), coords), attrs={**result.attrs, "note": '50 % {braces}, "é" <x>\n'}
    )


@pytest.fixture(scope="module")
def spectra() -> msfit.FitResult:
    """Two persons and two sites, as a table."""
    index = pandas.MultiIndex.from_product([["ann", "bo, jr"], ["cheek", "nose"]], names=["subject", "site"])
    skin = 0.8 * msfit.reflectance([0.05, 0.1, 0.2, 0.3], 0.03, NM) + 0.04
    return msfit.fit(pandas.DataFrame(skin, index=index, columns=NM))


def assert_same(found: msfit.FitResult, expected: msfit.FitResult) -> None:
    for name in MAPS:
        old, new = np.asarray(getattr(expected, name)), np.asarray(getattr(found, name))
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(found.status, expected.status)
    assert found.status.dtype == np.uint16
    assert found.bounds == expected.bounds
    assert found.model == expected.model
    np.testing.assert_array_equal(found.wavelengths, expected.wavelengths)
    assert found.attrs["note"] == expected.attrs["note"]
    assert set(found.std or {}) == set(expected.std or {})


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_picture_comes_back(picture: msfit.FitResult, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"maps{ending}"
    picture.save(path)
    picture.save(path)  # over itself
    found = msfit.load_result(path)
    assert_same(found, picture)
    assert found.std is not None
    assert picture.std is not None
    np.testing.assert_array_equal(found.std["f_mel"], picture.std["f_mel"])
    assert found.axes is not None
    np.testing.assert_array_equal(found.axes.coords["x"][1], 0.5 * np.arange(7))
    left = sorted(file.name for file in tmp_path.iterdir())
    assert left == sorted([path.name] + (["maps.img"] if ending == ".hdr" else []))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_list_of_spectra_comes_back(spectra: msfit.FitResult, tmp_path: Path, ending: str) -> None:
    spectra.save(tmp_path / f"maps{ending}")
    found = msfit.load_result(tmp_path / f"maps{ending}")
    assert_same(found, replace(spectra, attrs={**spectra.attrs, "note": found.attrs.get("note", "")}))
    assert found.to_dataframe().index.to_list() == spectra.to_dataframe().index.to_list()


def test_a_table_is_one_to_spreadsheets(spectra: msfit.FitResult, tmp_path: Path) -> None:
    spectra.save(tmp_path / "maps.csv")
    table = pandas.read_csv(tmp_path / "maps.csv", comment="#")
    assert table["subject"].to_list() == ["ann", "ann", "bo, jr", "bo, jr"]
    np.testing.assert_array_equal(table["f_mel"], spectra.f_mel)
    assert table["status"].iloc[0] == "converged"


def test_envi_is_one_to_the_library_spectral(picture: msfit.FitResult, tmp_path: Path) -> None:
    spectral = pytest.importorskip("spectral.io.envi")
    picture.save(tmp_path / "maps.hdr")
    image = spectral.open(str(tmp_path / "maps.hdr"))
    assert image.metadata["band names"][:2] == ["f_mel", "f_blood"]
    np.testing.assert_array_equal(np.asarray(image.read_band(0)), picture.f_mel)


def test_ome_tiff_names_its_channels_and_the_size_of_a_pixel(picture: msfit.FitResult, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    picture.save(tmp_path / "maps.ome.tif")
    with tifffile.TiffFile(tmp_path / "maps.ome.tif") as file:
        assert file.is_ome
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert file.asarray().dtype == np.float32
    assert [channel["Name"] for channel in pixels["Channel"]][:5] == list(MAPS)
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.5, 0.25)
    assert pixels["PhysicalSizeXUnit"] == "mm"


def test_zarr_is_lazy(picture: msfit.FitResult, tmp_path: Path) -> None:
    picture.save(tmp_path / "maps.zarr")
    found = msfit.load_result(tmp_path / "maps.zarr", lazy=True)
    assert hasattr(found.f_mel, "dask")
    assert_same(found, picture)
    assert xarray.open_zarr(tmp_path / "maps.zarr", consolidated=False)["f_mel"].attrs["units"] == "1"


def test_files_that_are_no_results(tmp_path: Path) -> None:
    for name, content in (("a.csv", "1,2\n"), ("a.hdr", "ENVI\nsamples = 1\n"), ("a.tif", "II*")):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="expected a result written by msfit"):
            msfit.load_result(tmp_path / name)
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "mine.txt").write_text("")
    with pytest.raises(InputError, match="folder"):
        msfit.fit(np.full((1, 31), 0.3), NM).save(tmp_path / "other.zarr")


def test_every_status_has_a_label_that_is_read_back() -> None:
    for code in range(2048):
        assert status_of_label(Status(code).label) == Status(code)


def test_the_command_line_writes_and_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skin = 0.8 * msfit.reflectance(np.full((3, 4), 0.1), 0.03, NM) + 0.04
    np.savez(tmp_path / "scene.npz", reflectance=skin, wavelengths=NM)
    for ending in ENDINGS:
        out = str(tmp_path / f"maps{ending}")
        assert main(["fit", str(tmp_path / "scene.npz"), "-o", out]) == 0
        assert main(["info", out]) == 0
        assert "12 pixels fitted" in capsys.readouterr().out
        assert main(["fit", str(tmp_path / "scene.npz"), "-o", out]) == 2
        assert main(["fit", str(tmp_path / "scene.npz"), "-o", out, "--skip-existing"]) == 0
        capsys.readouterr()


def test_a_table_has_all_digits_however_numpy_prints(picture: msfit.FitResult, tmp_path: Path) -> None:
    """colour-science sets numpy's printing to that of version 1.13, which has fewer, for the whole process."""
    with np.printoptions(legacy="1.13"):
        picture.save(tmp_path / "maps.csv")
    assert_same(msfit.load_result(tmp_path / "maps.csv"), picture)
