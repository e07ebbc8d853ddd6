"""ENVI: every layout, lazily; bad bands, scale, units and ignored values as the header states them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spectral.io.envi

import msfit
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
H, W, B = 6, 5, NM.size


@pytest.fixture
def reflectance() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.05, 0.7, (H, W, B)).astype(np.float32)


def saved(folder: Path, values: np.ndarray, layout: str = "bil", **header: Any) -> Path:
    path = folder / "face.hdr"
    header = {name.replace("_", " "): value for name, value in header.items()}
    metadata = {"wavelength": NM.tolist(), "wavelength units": "Nanometers", **header}
    metadata = {name: value for name, value in metadata.items() if value is not None}
    spectral.io.envi.save_image(str(path), values, interleave=layout, metadata=metadata, force=True, dtype=values.dtype)
    return path


@pytest.mark.parametrize("layout", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("name", ["face.hdr", "face.img"])
def test_every_layout_by_header_or_data(tmp_path: Path, reflectance: np.ndarray, layout: str, name: str) -> None:
    saved(tmp_path, reflectance, layout)
    cube = msfit.load(tmp_path / name)
    np.testing.assert_array_equal(cube.reflectance, reflectance)
    np.testing.assert_array_equal(cube.wavelengths, NM)
    assert hasattr(cube.values, "dask")


def test_big_endian_after_an_offset(tmp_path: Path, reflectance: np.ndarray) -> None:
    path = saved(tmp_path, reflectance, "bip")
    path.write_text(path.read_text().replace("byte order = 0", "byte order = 1").replace("offset = 0", "offset = 12"))
    (tmp_path / "face.img").write_bytes(b"x" * 12 + reflectance.astype(">f4").tobytes())
    np.testing.assert_array_equal(msfit.load(path).reflectance, reflectance)


def test_only_the_rows_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msfit.io.flat.STRIP", W * B)
    values = np.random.default_rng(0).uniform(0, 1, (H, W, B)).astype(np.float32)
    cube = msfit.load(saved(tmp_path, values, "bip"))
    assert cube.values.numblocks == (H, 1, 1)
    np.testing.assert_array_equal(cube.rows(slice(2, 4))[0], values[2:4])


def test_bad_bands_are_left_out_with_a_note(tmp_path: Path, reflectance: np.ndarray) -> None:
    good = np.ones(B, int)
    good[[0, 7, 30]] = 0
    cube = msfit.load(saved(tmp_path, reflectance, bbl=good.tolist()))
    np.testing.assert_array_equal(cube.wavelengths, NM[good == 1])
    np.testing.assert_array_equal(cube.reflectance, reflectance[..., good == 1])
    assert cube.provenance["note"] == "3 of 31 bands left out: the header calls them bad"


def test_scale_factor_and_saturation(tmp_path: Path, reflectance: np.ndarray) -> None:
    stored = np.round(reflectance * 10000).astype(np.int16)
    stored[1, 2, 3] = 32767
    cube = msfit.load(saved(tmp_path, stored, reflectance_scale_factor=10000))
    values, usable = cube.rows(slice(None))
    np.testing.assert_allclose(values[0], reflectance[0], atol=5.1e-5)
    assert np.argwhere(~usable).tolist() == [[1, 2, 3]]
    assert values.dtype == np.float32


def test_ignored_values_are_unusable(tmp_path: Path, reflectance: np.ndarray) -> None:
    stored = np.round(reflectance * 10000).astype(np.int16)
    stored[0, 1] = -9999
    cube = msfit.load(saved(tmp_path, stored, reflectance_scale_factor=10000, data_ignore_value=-9999))
    values, usable = cube.rows(slice(None))
    assert np.isnan(values[0, 1]).all()
    assert usable.sum() == (H * W - 1) * B


@pytest.mark.parametrize(
    ("unit", "factor"), [("Micrometers", 1e-3), ("um", 1e-3), ("Angstroms", 10), ("m", 1e-9), (None, 1), ("Unknown", 1)]
)
def test_stated_wavelength_units_are_converted(
    tmp_path: Path, reflectance: np.ndarray, unit: str | None, factor: float
) -> None:
    path = saved(tmp_path, reflectance, wavelength=(NM * factor).tolist(), wavelength_units=unit)
    np.testing.assert_allclose(msfit.load(path).wavelengths, NM, rtol=1e-9)


def test_unstated_micrometres_are_refused(tmp_path: Path, reflectance: np.ndarray) -> None:
    with pytest.raises(InputError, match="look like micrometres"):
        msfit.load(saved(tmp_path, reflectance, wavelength=(NM / 1000).tolist(), wavelength_units=None))


def test_counts_need_a_white_reference(tmp_path: Path, reflectance: np.ndarray) -> None:
    counts = np.round(reflectance * 4000).astype(np.uint16)
    counts[:2, :2] = 4000
    path = saved(tmp_path, counts)
    with pytest.raises(InputError, match="no illuminant: counts are no reflectance"):
        msfit.load(path)
    np.testing.assert_allclose(msfit.load(path, white="0:2,0:2").reflectance[3], reflectance[3], atol=2e-4)


def test_gains_and_offsets_are_applied(tmp_path: Path, reflectance: np.ndarray) -> None:
    gains, offsets = np.linspace(1, 2, B), np.linspace(0, 0.01, B)
    stored = ((reflectance - offsets) / gains).astype(np.float32)
    path = saved(tmp_path, stored, data_gain_values=gains.tolist(), data_offset_values=offsets.tolist())
    cube = msfit.load(path, white=np.ones(B))
    np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-5)


def test_wavelengths_given_by_the_caller(tmp_path: Path, reflectance: np.ndarray) -> None:
    path = saved(tmp_path, reflectance, wavelength=None)
    with pytest.raises(InputError, match="the ENVI header states none"):
        msfit.load(path)
    np.testing.assert_array_equal(msfit.load(path, wavelengths=NM).wavelengths, NM)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"wavelength": NM[:-1].tolist()}, "found 30 for 31 bands"),
        ({"wavelength": ["red"] * B}, "wavelength: found .* expected numbers"),
        ({"wavelength": NM[np.r_[1, 0, 2:B]].tolist()}, "neither increasing nor decreasing"),
        ({"wavelength": [400.0, *NM[:-1]]}, "repeated"),
        ({"wavelength_units": "GHz"}, "in the unit 'GHz'"),
        ({"bbl": [1] * 30}, "bbl: found 30 entries for 31 bands"),
        ({"bbl": [0] * B}, "calls every band bad"),
        ({"reflectance_scale_factor": 0}, "expected a positive number"),
        ({"reflectance_scale_factor": "big"}, "expected numbers"),
        ({"data_gain_values": [1.0]}, "data gain values: found 1 for 31 bands"),
    ],
)
def test_refused_headers(tmp_path: Path, reflectance: np.ndarray, header: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, reflectance, **header)
    with pytest.raises(InputError, match=message) as refused:
        msfit.load(path)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lines = 6", "lines = 600000", r"cut short: face\.img holds 3720 bytes, its header promises 372000000"),
        ("lines = 6", "lines = -6", "expected positive numbers"),
        ("lines = 6", "lines = six", "cannot be read"),
        ("lines = 6", "", "cannot be read"),
        ("data type = 4", "data type = 99", "cannot be read"),
        ("data type = 4", "data type = 6", "cut short"),
        ("interleave = bil", "interleave = xyz", "expected bsq, bil or bip"),
        ("{", "", "cannot be read|states none|expected"),
        ("}", "", "cannot be read"),
        ("ENVI", "IVNE", "unknown kind"),
    ],
)
def test_damaged_headers(tmp_path: Path, reflectance: np.ndarray, old: str, new: str, message: str) -> None:
    path = saved(tmp_path, reflectance)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        msfit.load(path)


def test_percent_is_refused(tmp_path: Path, reflectance: np.ndarray) -> None:
    with pytest.raises(InputError, match="divide percent by 100"):
        msfit.load(saved(tmp_path, reflectance * 100))


def test_complex_samples_are_refused(tmp_path: Path, reflectance: np.ndarray) -> None:
    with pytest.raises(InputError, match="found complex64"):
        msfit.load(saved(tmp_path, reflectance.astype(np.complex64)))


def test_truncated_data_and_missing_data(tmp_path: Path, reflectance: np.ndarray) -> None:
    path = saved(tmp_path, reflectance)
    data = tmp_path / "face.img"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InputError, match="cut short"):
        msfit.load(path)
    data.unlink()
    with pytest.raises(InputError, match="ENVI header without its data"):
        msfit.load(path)


def test_widths_of_the_header_are_those_of_the_fit(tmp_path: Path) -> None:
    nm = np.arange(430.0, 671, 20)
    channels = msfit.Channels.gaussian(nm, 20)
    skin = 0.8 * msfit.reflectance(np.full((H, W), 0.08), 0.03, channels=channels) + 0.03
    about = {
        "wavelength": (nm / 1000).tolist(),
        "wavelength_units": "Micrometers",
        "fwhm": (np.full(13, 0.02)).tolist(),
    }
    path = saved(tmp_path, skin, **about)
    np.testing.assert_allclose(msfit.load(path).fwhm, 20)
    with pytest.warns(UserWarning, match="the file states bands 20 nm wide: they are taken for Gaussians"):
        wide = msfit.fit(path)
    np.testing.assert_allclose(wide.f_mel, 0.08, atol=1e-5)
    assert "20 nm wide" in wide.attrs["note"]
    needles, asked = msfit.fit(path, fwhm=0), msfit.fit(path, fwhm=20)
    assert "channels" not in needles.attrs
    assert abs(needles.f_mel - 0.08).min() > 1e-4
    np.testing.assert_array_equal(wide.f_mel, asked.f_mel)
    assert msfit.fit_file(path, output=tmp_path / "maps.h5").f_mel.max() == wide.f_mel.max()
    with pytest.warns(UserWarning, match="needles .bands: found a step"):
        msfit.fit(path, bands="440:660:20")
    assert msfit.render(msfit.load(path)).shape == (H, W, 3)


def test_bands_that_reach_outside_the_model_are_left_out(tmp_path: Path, reflectance: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="1 bands reach outside the model's range: left out"):
        result = msfit.fit(saved(tmp_path, reflectance, fwhm=np.full(B, 9.0).tolist()))
    assert result.wavelengths.size == B - 1


@pytest.mark.parametrize("fwhm", [[8.0] * 3, [0.0] * B, ["wide"] * B])
def test_widths_that_are_none_are_not_used(tmp_path: Path, reflectance: np.ndarray, fwhm: list[Any]) -> None:
    cube = msfit.load(saved(tmp_path, reflectance, fwhm=fwhm))
    assert cube.fwhm is None
    assert "fwhm in the header is not used" in cube.provenance["note"]
