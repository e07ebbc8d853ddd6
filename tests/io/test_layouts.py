"""Layouts of public collections, stores that lack what xarray asks for, and sound files of other kinds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path
from typing import Any

import h5py
import imageio.v3 as iio
import numpy as np
import pytest
import xarray
import zarr
from scipy.io import savemat

import msfit
from msfit.cli import main
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
H, W, B = 6, 5, NM.size
REFLECTANCE = np.random.default_rng(0).uniform(0.05, 0.7, (H, W, B)).astype(np.float32)
WHITE = np.linspace(1, 2, B)


def same(path: Path, expected: np.ndarray = REFLECTANCE, nm: np.ndarray = NM, **options: Any) -> None:
    cube = msfit.load(path, **options)
    np.testing.assert_allclose(cube.wavelengths, nm)
    np.testing.assert_allclose(cube.rows(slice(None))[0], expected, rtol=1e-6, atol=1e-6)


# --- collections ------------------------------------------------------------------------------------------------------


def test_cave(tmp_path: Path) -> None:
    """face_ms/face_ms/face_ms_01.png to _31.png, with a picture in RGB beside them."""
    inner = tmp_path / "face_ms" / "face_ms"
    inner.mkdir(parents=True)
    for k in range(B):
        iio.imwrite(inner / f"face_ms_{k + 1:02}.png", np.rint(65000 * REFLECTANCE[..., k]).astype(np.uint16))
    iio.imwrite(inner / "face_RGB.bmp", np.zeros((H, W, 3), np.uint8))
    cube = msfit.load(tmp_path / "face_ms", white=np.full(B, 65000.0))
    np.testing.assert_allclose(cube.reflectance, REFLECTANCE, atol=1e-5)
    np.testing.assert_array_equal(cube.wavelengths, NM)


def test_icvl(tmp_path: Path) -> None:
    """MATLAB 7.3: `rad` in counts of 12 bits, `bands` [nm] and a picture `rgb`."""
    with h5py.File(tmp_path / "gavyam.mat", "w", userblock_size=512) as file:
        file["rad"], file["bands"], file["rgb"] = 4000.0 * REFLECTANCE.T, NM[:, None], np.zeros((3, W, H))
        for name in file:
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    same(tmp_path / "gavyam.mat", white=np.full(B, 4000.0))
    with pytest.raises(InputError, match="no illuminant: radiance is no reflectance"):
        msfit.load(tmp_path / "gavyam.mat")


def test_arad(tmp_path: Path) -> None:
    """MATLAB 7.3: `cube` as a share of its largest radiance, `bands` [nm] and `norm_factor`."""
    with h5py.File(tmp_path / "ARAD_HS_0001.mat", "w", userblock_size=512) as file:
        file["cube"], file["bands"], file["norm_factor"] = REFLECTANCE.T, NM[:, None], np.full((1, 1), 4095.0)
        file["cube"].attrs["MATLAB_class"] = np.bytes_("single")
    same(tmp_path / "ARAD_HS_0001.mat", white=np.ones(B))
    with pytest.raises(InputError, match="no illuminant"):
        msfit.load(tmp_path / "ARAD_HS_0001.mat")


@pytest.mark.parametrize(("name", "nm"), [("cube", "400:700:10"), ("SpecCube_F", "400:720:10")])
def test_cubes_without_wavelengths(tmp_path: Path, name: str, nm: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Hyper-Skin (`cube`, 31 bands) and PolyU-HSFD (`SpecCube_F`, 33): the bands are in the papers alone."""
    first, last, step = map(int, nm.split(":"))
    bands = np.arange(first, last + 1, step)
    values = np.random.default_rng(1).uniform(0.05, 0.7, (H, W, bands.size)).astype(np.float32)
    savemat(tmp_path / "p001.mat", {name: values})
    assert main(["info", str(tmp_path / "p001.mat")]) == 2
    assert "--wavelengths" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "p001.mat"), "--wavelengths", nm]) == 0
    assert f"{bands.size}, {first}-{last} nm, every 10 nm" in capsys.readouterr().out
    (tmp_path / "nm.txt").write_text("\n".join(map(str, bands)))
    assert main(["info", str(tmp_path / "p001.mat"), "--wavelengths", str(tmp_path / "nm.txt")]) == 0
    same(tmp_path / "p001.mat", values, bands, wavelengths=bands)


def test_emit(tmp_path: Path) -> None:
    """NetCDF-4: reflectance (downtrack, crosstrack, bands), wavelengths in the group sensor_band_parameters."""
    path = tmp_path / "EMIT_L2A_RFL.nc"
    dims = ("downtrack", "crosstrack", "bands")
    xarray.Dataset({"reflectance": (dims, REFLECTANCE)}).to_netcdf(path, engine="h5netcdf")
    bands = {
        "wavelengths": ("bands", NM),
        "fwhm": ("bands", np.full(B, 8.5)),
        "good_wavelengths": ("bands", np.ones(B)),
    }
    xarray.Dataset(bands).to_netcdf(path, mode="a", group="sensor_band_parameters", engine="h5netcdf")
    xarray.Dataset({"lon": (dims[:2], np.zeros((H, W)))}).to_netcdf(path, mode="a", group="location", engine="h5netcdf")
    same(path)


def test_neon(tmp_path: Path) -> None:
    """HDF5: SITE/Reflectance/Reflectance_Data in ten thousandths, wavelengths below Metadata."""
    with h5py.File(tmp_path / "NEON_refl.h5", "w") as file:
        counts = np.rint(1e4 * REFLECTANCE).astype(np.int16)
        counts[0, 0] = -9999
        file["ABBY/Reflectance/Reflectance_Data"] = counts
        file["ABBY/Reflectance/Reflectance_Data"].attrs.update(Scale_Factor=10000.0, Data_Ignore_Value=-9999.0)
        spectral = file.create_group("ABBY/Reflectance/Metadata/Spectral_Data")
        spectral["Wavelength"], spectral["FWHM"] = NM / 1000, np.full(B, 5.0)
        spectral["Wavelength"].attrs["Units"] = "micrometers"
        file["ABBY/Reflectance/Metadata/Ancillary_Imagery/Aspect"] = np.zeros((H, W))
    cube = msfit.load(tmp_path / "NEON_refl.h5")
    np.testing.assert_allclose(cube.wavelengths, NM)
    found = cube.rows(slice(None))[0]
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[1:], REFLECTANCE[1:], atol=1e-4)


def test_pace(tmp_path: Path) -> None:
    """NetCDF-4: rhos in a group; in another its bands, and those of the sensor, of which there are more."""
    path = tmp_path / "PACE_OCI.L2.SFREFL.nc"
    xarray.Dataset(attrs={"title": "OCI"}).to_netcdf(path, engine="h5netcdf")
    bands = {"wavelength_3d": ("wavelength_3d", NM), "wavelength": ("number_of_bands", np.linspace(310, 890, 286))}
    xarray.Dataset(bands).to_netcdf(path, mode="a", group="sensor_band_parameters", engine="h5netcdf")
    dims = ("number_of_lines", "pixels_per_line", "wavelength_3d")
    values = {"rhos": (dims, REFLECTANCE), "l2_flags": (dims[:2], np.zeros((H, W), np.int32))}
    xarray.Dataset(values).to_netcdf(path, mode="a", group="geophysical_data", engine="h5netcdf")
    same(path)


def test_two_pictures_in_groups_are_asked_about(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/first"], file["b/second"], file["b/wavelength"] = REFLECTANCE, REFLECTANCE, NM
    with pytest.raises(InputError, match=r"holds a/first, b/second; .*--variable NAME"):
        msfit.load(tmp_path / "a.h5")
    same(tmp_path / "a.h5", variable="a/first")


def test_wavelengths_that_differ_are_not_chosen_between(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["reflectance"], file["a/wavelength"], file["b/wavelength"] = REFLECTANCE, NM, NM + 1
    with pytest.raises(InputError, match="no wavelengths"):
        msfit.load(tmp_path / "a.h5")


# --- scale ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "kind"), [(100, np.float32), (10000, np.uint16), (255, np.float64)])
def test_scale_divides_the_numbers_of_a_file(tmp_path: Path, scale: int, kind: type) -> None:
    values = REFLECTANCE * scale
    np.savez(tmp_path / "a.npz", reflectance=values if kind != np.uint16 else np.rint(values).astype(kind), wave=NM)
    found = msfit.load(tmp_path / "a.npz", scale=scale).reflectance
    np.testing.assert_allclose(found, REFLECTANCE, atol=1e-4)
    assert main(["info", str(tmp_path / "a.npz"), "--scale", str(scale)]) == 0


def test_saturation_is_in_the_numbers_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.rint(10000 * REFLECTANCE).astype(np.uint16)
    values[2, 3, 4] = 9000
    np.savez(tmp_path / "a.npz", reflectance=values, wave=NM)
    usable = msfit.load(tmp_path / "a.npz", scale=10000, saturation=9000).rows(slice(None))[1]
    assert usable.sum() == values.size - 1
    assert main(["info", str(tmp_path / "a.npz"), "--scale", "10000", "--saturation", "9000"]) == 0
    assert "at or above 0.9" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf, "a", True])
def test_a_scale_that_is_none_is_refused(tmp_path: Path, wrong: Any) -> None:
    np.savez(tmp_path / "a.npz", reflectance=REFLECTANCE, wave=NM)
    with pytest.raises(InputError, match=r"scale: found .*expected a positive number"):
        msfit.load(tmp_path / "a.npz", scale=wrong)
    with pytest.raises(InputError, match="beside a white reference"):
        msfit.load(tmp_path / "a.npz", scale=100, white=WHITE)


# --- Zarr without names of dimensions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_without_names_of_dimensions(tmp_path: Path, version: int) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    root.create_array("reflectance", shape=REFLECTANCE.shape, chunks=(4, 3, B), dtype="f4")[:] = REFLECTANCE
    root.create_array("wavelength", shape=NM.shape, dtype="f8")[:] = NM
    root.create_array("mask", shape=(H, W), dtype="bool")[:] = MASK
    same(tmp_path / "a.zarr")
    cube = msfit.load(tmp_path / "a.zarr")
    assert cube.values.chunks[0] == (4, 2)
    np.testing.assert_array_equal(cube.mask, MASK)


MASK = np.random.default_rng(2).uniform(size=(H, W)) > 0.3


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_that_is_one_array(tmp_path: Path, version: int) -> None:
    one = zarr.create_array(
        tmp_path / "a.zarr", shape=REFLECTANCE.shape, chunks=(4, 3, B), dtype="f4", zarr_format=version
    )
    one[:] = REFLECTANCE
    same(tmp_path / "a.zarr", wavelengths=NM)


# --- sound files of other kinds ---------------------------------------------------------------------------------------


def test_zipped_zarr_is_called_valid(tmp_path: Path) -> None:
    data = xarray.Dataset({"reflectance": (("y", "x", "wavelength"), REFLECTANCE)}, {"wavelength": NM})
    data.to_zarr(tmp_path / "a.zarr", consolidated=False)
    with zipfile.ZipFile(tmp_path / "a.zarr.zip", "w") as archive:
        for file in (tmp_path / "a.zarr").rglob("*"):
            archive.write(file, file.relative_to(tmp_path))
    with pytest.raises(InputError, match=r"zipped Zarr store: valid, not supported; .*unzip a\.zarr\.zip"):
        msfit.load(tmp_path / "a.zarr.zip")


def test_other_archives_are_called_valid(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("scene.mat", b"MATLAB 5.0")
    with pytest.raises(InputError, match="zip archive of other files: valid, not supported"):
        msfit.load(tmp_path / "a.zip")


@pytest.mark.parametrize(("pack", "end"), [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_packed_files_are_called_valid(tmp_path: Path, pack: Any, end: str) -> None:
    (tmp_path / f"scene.mat.{end}").write_bytes(pack(b"MATLAB 5.0 MAT-file" * 20))
    with pytest.raises(InputError, match=r"packed by .*: valid, not supported"):
        msfit.load(tmp_path / f"scene.mat.{end}")


@pytest.mark.parametrize("end", ["png", "tif", "jpg", "bmp"])
def test_single_pictures_are_called_valid(tmp_path: Path, end: str) -> None:
    iio.imwrite(tmp_path / f"a.{end}", np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="valid, not supported"):
        msfit.load(tmp_path / f"a.{end}")


def test_netcdf_of_64_bit_data_is_called_valid(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"CDF\x05" + bytes(100))
    with pytest.raises(InputError, match=r"CDF-5\): valid, not supported"):
        msfit.load(tmp_path / "a.nc")


def test_an_envi_header_in_utf_16(tmp_path: Path) -> None:
    listed = ", ".join(map(str, NM))
    head = (
        f"ENVI\nlines = {H}\nsamples = {W}\nbands = {B}\ninterleave = bip\ndata type = 4\nwavelength = {{{listed}}}\n"
    )
    (tmp_path / "face.hdr").write_text(head, encoding="utf-16")
    (tmp_path / "face.img").write_bytes(REFLECTANCE.tobytes())
    same(tmp_path / "face.hdr")
    same(tmp_path / "face.img")


# --- data that lie in other files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["link", "raw", "virtual"])
@pytest.mark.parametrize("end", ["h5", "mat"])
def test_links_to_other_files_are_not_followed(tmp_path: Path, way: str, end: str) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = REFLECTANCE
    (tmp_path / "other.raw").write_bytes(REFLECTANCE.tobytes())
    path = tmp_path / f"scene.{end}"
    with h5py.File(path, "w") as file:
        file["wavelength"] = NM
        if way == "link":
            file["reflectance"] = h5py.ExternalLink("other.h5", "secret")
        elif way == "raw":
            outside = [("other.raw", 0, REFLECTANCE.nbytes)]
            file.create_dataset("reflectance", REFLECTANCE.shape, "f4", external=outside)
        else:
            layout = h5py.VirtualLayout(REFLECTANCE.shape, "f4")
            layout[:] = h5py.VirtualSource("other.h5", "secret", REFLECTANCE.shape)
            file.create_virtual_dataset("reflectance", layout)
    with pytest.raises(InputError, match=r"reflectance: (is|found) .*other\.(h5|raw)"):
        msfit.load(path)
