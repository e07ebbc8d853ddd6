"""NPZ, NPY, HDF5, NetCDF, Zarr and xarray objects become the same cube; stated units are converted."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

import msfit
from msfit.data.cube import Cube
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
H, W, B = 6, 5, NM.size
REFLECTANCE = np.random.default_rng(0).uniform(0.05, 0.7, (H, W, B))
LIGHT = np.linspace(10, 40, B)


def dataset(name: str = "reflectance", **attrs: Any) -> xarray.Dataset:
    return xarray.Dataset(
        {name: (("y", "x", "wavelength"), REFLECTANCE, attrs)},
        coords={"wavelength": ("wavelength", NM, {"units": "nm"})},
    )


def written(folder: Path, data: xarray.Dataset, kind: str) -> Path:
    path = folder / f"file.{kind}"
    if kind == "zarr":
        data.to_zarr(path)
    elif kind == "nc3":
        data.to_netcdf(path, engine="scipy")
    else:
        data.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("kind", ["nc", "h5", "nc3", "zarr"])
def test_files_are_read_lazily(tmp_path: Path, kind: str) -> None:
    cube = msfit.load(written(tmp_path, dataset(), kind))
    assert hasattr(cube.values, "dask")
    np.testing.assert_array_equal(cube.reflectance, REFLECTANCE)
    np.testing.assert_array_equal(cube.rows(slice(1, 3))[0], REFLECTANCE[1:3])
    np.testing.assert_array_equal(cube.wavelengths, NM)


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_radiance_with_illuminant_and_mask(tmp_path: Path, kind: str) -> None:
    mask = np.zeros((H, W), bool)
    mask[2, 3] = True
    for light in (LIGHT, LIGHT * np.linspace(0.5, 1, H)[:, None, None] * np.ones((1, W, 1))):
        data = dataset("radiance")
        data["radiance"] = data["radiance"] * xarray.DataArray(light, dims=("y", "x", "wavelength")[-light.ndim :])
        data["illuminant"] = (("y", "x", "wavelength")[-light.ndim :], light)
        data["mask"] = (("y", "x"), mask)
        folder = tmp_path / str(light.ndim)
        folder.mkdir()
        cube = msfit.load(written(folder, data.transpose("wavelength", "x", "y"), kind))
        np.testing.assert_allclose(cube.reflectance, REFLECTANCE, rtol=1e-14)
        np.testing.assert_array_equal(cube.mask, mask)


def test_plain_hdf5_without_named_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "plain.h5"
    with h5py.File(path, "w") as file:
        file["reflectance"] = REFLECTANCE.transpose(2, 0, 1)
        file["wavelengths"] = NM
        file["group/skin"] = REFLECTANCE
        file["group/wave"] = NM / 1000
        file["group/wave"].attrs["units"] = "um"
    np.testing.assert_array_equal(msfit.load(path).reflectance, REFLECTANCE)
    grouped = msfit.load(path, variable="group/skin")
    np.testing.assert_array_equal(grouped.reflectance, REFLECTANCE)
    np.testing.assert_allclose(grouped.wavelengths, NM)


def test_npz_and_npy(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", radiance=REFLECTANCE * LIGHT, wavelengths=NM, illuminant=LIGHT)
    np.testing.assert_allclose(msfit.load(tmp_path / "a.npz").reflectance, REFLECTANCE, rtol=1e-14)
    np.savez(tmp_path / "b.npz", values=REFLECTANCE.reshape(-1, B).T, wave=NM)
    np.testing.assert_array_equal(msfit.load(tmp_path / "b.npz").reflectance, REFLECTANCE.reshape(-1, B))
    np.save(tmp_path / "c.npy", REFLECTANCE)
    np.testing.assert_array_equal(msfit.load(tmp_path / "c.npy", wavelengths=NM).reflectance, REFLECTANCE)
    with pytest.raises(InputError, match="no wavelengths"):
        msfit.load(tmp_path / "c.npy")


def test_xarray_there_and_back() -> None:
    cube = Cube(REFLECTANCE * LIGHT, NM, LIGHT, mask=np.ones((H, W)), provenance={"source": "x", "number": 3})
    again = Cube.from_xarray(cube.to_xarray())
    np.testing.assert_array_equal(again.reflectance, cube.reflectance)
    np.testing.assert_array_equal(again.mask, cube.mask)
    assert again.provenance["source"] == "x"


def test_a_list_of_spectra_in_xarray() -> None:
    array = xarray.DataArray(REFLECTANCE[0].T, dims=("band", "pixel"), coords={"wavelength": ("band", NM)})
    np.testing.assert_array_equal(Cube.from_xarray(array).reflectance, REFLECTANCE[0])


def test_dimensions_of_length_one_are_dropped() -> None:
    array = dataset()["reflectance"].expand_dims("time")
    assert Cube.from_xarray(array).shape == (H, W)


@pytest.mark.parametrize("unit", ["um", "micrometer", "m", "nm", "angstrom"])
def test_stated_wavelength_units_are_converted(unit: str) -> None:
    factor = {"um": 1e-3, "micrometer": 1e-3, "m": 1e-9, "nm": 1, "angstrom": 10}[unit]
    data = dataset().assign_coords(wavelength=("wavelength", NM * factor, {"units": unit}))
    np.testing.assert_allclose(Cube.from_xarray(data).wavelengths, NM, rtol=1e-9)


@pytest.mark.parametrize("unit", ["%", "percent"])
def test_stated_percent_is_converted(unit: str) -> None:
    data = dataset(units=unit)
    data["reflectance"] = data["reflectance"].copy(data=REFLECTANCE * 100)
    np.testing.assert_allclose(Cube.from_xarray(data).reflectance, REFLECTANCE, rtol=1e-14)


def test_packed_integers_saturate_at_their_type(tmp_path: Path) -> None:
    data = dataset()
    data["reflectance"][1, 2, 3] = 65535 / 50000
    encoding = {"reflectance": {"dtype": "uint16", "scale_factor": 1 / 50000, "_FillValue": 0}}
    data.to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding=encoding)
    values, usable = msfit.load(tmp_path / "packed.nc").rows(slice(None))
    np.testing.assert_allclose(values[0], REFLECTANCE[0], atol=2e-5)
    assert np.argwhere(~usable).tolist() == [[1, 2, 3]]


def test_stated_saturation() -> None:
    cube = Cube.from_xarray(dataset(saturation=0.6))
    np.testing.assert_array_equal(cube.rows(slice(None))[1], REFLECTANCE < 0.6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dataset("radiance"), "no illuminant: radiance"),
        (dataset(units="W m-2 sr-1 nm-1"), "no illuminant: radiance"),
        (dataset(units="DN"), "no illuminant: counts"),
        ((dataset() * 60000).astype(np.uint16), "no illuminant: counts"),
        (dataset() * 100, "divide percent by 100"),
        (dataset().drop_vars("wavelength"), "no wavelengths"),
        (dataset().assign_coords(wavelength=NM / 1000), "look like micrometres"),
        (dataset().isel(wavelength=[1, 0, *range(2, B)]), "neither increasing nor decreasing"),
        (xarray.Dataset({"a": ("x", NM)}), "holds a; expected spectra named"),
        (dataset().astype(complex), "found complex128"),
        (dataset().expand_dims(time=2), r"reflectance: found an array of shape \(2, 6, 5, 31\)"),
    ],
)
def test_refused_datasets(data: xarray.Dataset, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cube.from_xarray(data)


def test_square_arrays_without_names_need_an_orientation(tmp_path: Path) -> None:
    square = np.random.default_rng(0).uniform(0, 1, (B, B))
    with h5py.File(tmp_path / "square.h5", "w") as file:
        file["data"], file["wave"] = square, NM
    with pytest.raises(InputError, match="can be read either way"):
        msfit.load(tmp_path / "square.h5")
    np.testing.assert_array_equal(msfit.load(tmp_path / "square.h5", orientation="bands-first").reflectance, square.T)


def test_a_variable_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, dataset(), "nc")
    with pytest.raises(InputError, match=r"file\.nc: variable: found no 'skin'; the file holds reflectance"):
        msfit.load(path, variable="skin")
    with pytest.raises(InputError, match=r"file\.nc: "):
        msfit.load(path, variable="nowhere/skin")


@pytest.mark.parametrize("kind", ["nc", "nc3", "npz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_truncated_files(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "file.npz"
    if kind == "npz":
        np.savez(path, reflectance=REFLECTANCE, wave=NM)
    else:
        path = written(tmp_path, dataset(), kind)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError):
        msfit.load(path)


def test_an_npz_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "huge.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (900000, 900000, 31), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"data\.npy claims an array of shape"):
        msfit.load(path)


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", data=np.array([{"a": 1}], dtype=object), wave=NM)
    with pytest.raises(InputError, match="data: found Python objects, which cannot be read"):
        msfit.load(tmp_path / "objects.npz")


def test_zip_without_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError):
        msfit.load(tmp_path / "a.zip")
