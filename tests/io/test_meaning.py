"""What a file states is used, read as it is meant, or named: nothing that changes numbers passes unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import imageio.v3 as iio
import numpy as np
import pytest
import scipy.sparse
import xarray
from scipy.io import savemat

import msfit
from msfit.errors import InputError
from msfit.io.text import read_columns

NM = np.arange(400.0, 701, 10)
H, W, B = 6, 5, NM.size
REFLECTANCE = np.random.default_rng(0).uniform(0.05, 0.7, (H, W, B))
LIGHT = np.linspace(1, 3, B)
MASK = np.zeros((H, W))
MASK[1:4, 2:] = 1


def envi(folder: Path, values: np.ndarray, extra: str = "", *, data: str = "face.img", head: str = "ENVI") -> Path:
    """A header and its data, band-interleaved by pixel."""
    kinds = {"uint8": 1, "int16": 2, "float32": 4, "float64": 5, "uint16": 12}
    lines, samples, bands = values.shape
    listed = "" if "wavelength" in extra.split("=")[0] else f"wavelength = {{{', '.join(map(str, NM))}}}\n"
    (folder / "face.hdr").write_text(
        f"{head}\nlines = {lines}\nsamples = {samples}\nbands = {bands}\nheader offset = 0\ninterleave = bip\n"
        f"data type = {kinds[str(values.dtype)]}\n{listed}{extra}\n",
        encoding="utf-8",
    )
    (folder / data).write_bytes(values.tobytes())
    return folder / "face.hdr"


FLOATS = REFLECTANCE.astype(np.float32)


# --- there, empty, absent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_a_sparse_mask_is_read(tmp_path: Path, version: str) -> None:
    path = tmp_path / "scene.mat"
    if version == "5":
        savemat(path, {"reflectance": REFLECTANCE, "wave": NM, "mask": scipy.sparse.csc_matrix(MASK)})
    else:
        packed = scipy.sparse.csc_matrix(MASK)
        with h5py.File(path, "w", userblock_size=512) as file:
            file["reflectance"], file["wave"] = REFLECTANCE.T, NM[None]
            group = file.create_group("mask")
            group.attrs["MATLAB_sparse"], group.attrs["MATLAB_class"] = np.uint64(H), np.bytes_("logical")
            group["data"], group["ir"], group["jc"] = packed.data.astype("u1"), packed.indices, packed.indptr
    np.testing.assert_array_equal(msfit.load(path).mask, MASK.astype(bool))


def test_a_sparse_illuminant_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scene.mat"
    savemat(path, {"photons": REFLECTANCE * 2, "wave": NM, "illuminant": scipy.sparse.csc_matrix(np.full((B, 1), 2.0))})
    np.testing.assert_allclose(msfit.load(path).reflectance, REFLECTANCE)


@pytest.mark.parametrize("name", ["mask", "saturation", "illuminant"])
@pytest.mark.parametrize("end", ["mat", "npz"])
def test_what_is_empty_is_as_if_absent(tmp_path: Path, name: str, end: str) -> None:
    held = {"reflectance": REFLECTANCE, "wave": NM, name: np.zeros((0, 0))}
    (savemat if end == "mat" else lambda path, kept: np.savez(path, **kept))(tmp_path / f"scene.{end}", held)
    cube = msfit.load(tmp_path / f"scene.{end}")
    assert cube.mask is None
    np.testing.assert_array_equal(cube.reflectance, REFLECTANCE)


@pytest.mark.parametrize("name", ["mask", "illuminant"])
def test_what_is_there_and_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scene.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["photons"], file["wave"] = REFLECTANCE.T, NM[None]
        file[name] = np.zeros((1, 6), np.uint32)
        file[name].attrs["MATLAB_class"], file[name].attrs["MATLAB_object_decode"] = np.bytes_("table"), np.int32(3)
    with pytest.raises(InputError, match=f"{name}.*class table, which cannot be read"):
        msfit.load(path)


# --- beside the point -------------------------------------------------------------------------------------------------


def opaque(name: str) -> bytes:
    """A variable of a class, as MATLAB writes a string, table, datetime or containers.Map."""

    def element(kind: int, data: bytes) -> bytes:
        return np.array([kind, len(data)], "<u4").tobytes() + data + bytes(-len(data) % 8)

    flags = element(6, np.array([17, 0], "<u4").tobytes())
    words = b"".join(element(1, text) for text in (name.encode(), b"MCOS", b"string"))
    inner = element(6, np.array([13, 0], "<u4").tobytes()) + element(5, np.array([1, 6], "<i4").tobytes())
    inner += element(1, b"") + element(6, np.zeros(6, "<u4").tobytes())
    return element(14, flags + words + element(14, inner))


def test_objects_of_classes_beside_the_spectra_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "workspace.mat"
    savemat(path, {"reflectance": REFLECTANCE, "wave": NM}, do_compression=False)
    sound = path.read_bytes()
    path.write_bytes(sound[:128] + opaque("remarks") + sound[128:] + opaque("when"))
    np.testing.assert_array_equal(msfit.load(path).reflectance, REFLECTANCE)


def test_bad_bands_are_left_out_before_wavelengths_are_judged(tmp_path: Path) -> None:
    nm, good = NM.copy(), np.ones(B, int)
    nm[:2], good[:2] = 0, 0
    listed = f"wavelength = {{{', '.join(map(str, nm))}}}\nbbl = {{{', '.join(map(str, good))}}}"
    np.testing.assert_array_equal(msfit.load(envi(tmp_path, FLOATS, listed)).wavelengths, NM[2:])


# --- the header of ENVI -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["ceiling = 4095", "bit depth = 12", "ceiling = {4095}"])
def test_the_level_that_a_header_states_is_saturated(tmp_path: Path, extra: str) -> None:
    counts = np.full((H, W, B), 2000, np.uint16)
    counts[0, 0, 3] = 4095
    cube = msfit.load(envi(tmp_path, counts, extra), white=np.full(B, 4000.0))
    usable = cube.rows(slice(None))[1]
    assert not usable[0, 0, 3]
    assert usable.sum() == counts.size - 1
    assert "saturated" in str(cube.provenance["note"])


def test_integration_times_of_picture_and_white_reference_are_used(tmp_path: Path) -> None:
    (tmp_path / "white").mkdir()
    white = envi(tmp_path / "white", np.full((H, W, B), 1000, np.uint16), "tint = 5.0")
    scene = envi(tmp_path, np.full((H, W, B), 1000, np.uint16), "tint = 10.0")
    cube = msfit.load(scene, white=white)
    np.testing.assert_allclose(cube.reflectance, 0.5)
    assert "integration times" in str(cube.provenance["note"])


@pytest.mark.parametrize("units", ["{nm}", "{Nanometers}", "nm", ""])
def test_units_of_wavelengths_in_braces(tmp_path: Path, units: str) -> None:
    cube = msfit.load(envi(tmp_path, FLOATS, f"description = {{a}}\nwavelength units = {units}"))
    np.testing.assert_array_equal(cube.wavelengths, NM)


@pytest.mark.parametrize(
    "data", ["face", "face.hyspex", "face.bin", "face.BIL", "FACE.IMG", "face.sli", "face.raw", "face.Dat"]
)
def test_data_are_found_by_their_header_and_lead_to_it(tmp_path: Path, data: str) -> None:
    header = envi(tmp_path, FLOATS, data=data)
    for path in (header, tmp_path / data):
        np.testing.assert_array_equal(msfit.load(path).reflectance, FLOATS)


def test_a_header_with_a_byte_order_mark(tmp_path: Path) -> None:
    np.testing.assert_array_equal(msfit.load(envi(tmp_path, FLOATS, head="\ufeffENVI")).reflectance, FLOATS)


def test_a_header_in_latin_1(tmp_path: Path) -> None:
    header = envi(tmp_path, FLOATS, "description = {Haut}")
    header.write_bytes(header.read_bytes().replace(b"Haut", "Größe".encode("latin-1")))
    np.testing.assert_array_equal(msfit.load(header).reflectance, FLOATS)


def test_a_spectral_library(tmp_path: Path) -> None:
    spectra = np.ascontiguousarray(FLOATS.reshape(-1, B)[..., None])
    header = envi(tmp_path, spectra, "file type = ENVI Spectral Library", data="face.sli")
    np.testing.assert_array_equal(msfit.load(header).reflectance, FLOATS.reshape(-1, B))


def test_compressed_envi_is_called_valid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"valid, not supported.*gunzip"):
        msfit.load(envi(tmp_path, FLOATS, "file compression = 1"))


def test_saturated_counts_stay_so_under_gains(tmp_path: Path) -> None:
    counts = np.full((H, W, B), 1000, np.uint16)
    counts[2, 1, 5] = 65535
    gains = f"data gain values = {{{', '.join(['0.001'] * B)}}}"
    usable = msfit.load(envi(tmp_path, counts, gains), white=np.ones(B)).rows(slice(None))[1]
    assert not usable[2, 1, 5]
    assert usable.sum() == counts.size - 1


# --- attributes of HDF5 -----------------------------------------------------------------------------------------------


def stored(path: Path, values: np.ndarray, **attrs: Any) -> Path:
    array = xarray.DataArray(values, dims=("y", "x", "wavelength"), coords={"wavelength": NM}, attrs=attrs)
    array.to_dataset(name="reflectance").to_netcdf(path, engine="h5netcdf")
    return path


def test_scale_factor_and_ignored_values_of_neon(tmp_path: Path) -> None:
    counts = np.rint(1e4 * REFLECTANCE).astype(np.int16)
    counts[0, 0] = -9999
    path = stored(tmp_path / "neon.h5", counts, Scale_Factor=10000.0, Data_Ignore_Value=-9999.0)
    found = msfit.load(path, white=np.ones(B)).reflectance
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[1:], REFLECTANCE[1:], atol=1e-4)


@pytest.mark.parametrize("unit", ["ratio", "none", "1", "fraction"])
def test_units_that_mean_fractions(tmp_path: Path, unit: str) -> None:
    np.testing.assert_array_equal(
        msfit.load(stored(tmp_path / "a.nc", REFLECTANCE, units=unit)).reflectance, REFLECTANCE
    )


@pytest.mark.parametrize("unit", ["per cent", "percent", "%"])
def test_units_that_mean_percent(tmp_path: Path, unit: str) -> None:
    found = msfit.load(stored(tmp_path / "a.nc", 100 * REFLECTANCE, units=unit)).reflectance
    np.testing.assert_allclose(found, REFLECTANCE)


def test_a_negative_scale_saturates_at_its_low_end(tmp_path: Path) -> None:
    array = xarray.DataArray(REFLECTANCE, dims=("y", "x", "wavelength"), coords={"wavelength": NM})
    packing = {"dtype": "int16", "scale_factor": -1 / 20000, "add_offset": 1.0}
    array.to_dataset(name="reflectance").to_netcdf(
        tmp_path / "a.nc", engine="h5netcdf", encoding={"reflectance": packing}
    )
    reflectance, usable = msfit.load(tmp_path / "a.nc", white=np.ones(B)).rows(slice(None))
    assert usable.all()
    np.testing.assert_allclose(reflectance, REFLECTANCE, atol=1e-4)


def test_arrays_of_a_mat_that_h5py_wrote_lie_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["reflectance"], file["wave"] = REFLECTANCE, NM
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.mat").reflectance, REFLECTANCE)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wl", "Wavelength", "bands", "lambda", "WAVELENGTHS"])
def test_other_names_of_wavelengths(tmp_path: Path, name: str) -> None:
    savemat(tmp_path / "a.mat", {"cube": REFLECTANCE, name: NM})
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.mat").wavelengths, NM)


def test_the_only_picture_of_a_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"SpecCube_F": REFLECTANCE, "wave": NM, "title": "face"})
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.mat").reflectance, REFLECTANCE)


def test_exposure_times_in_names_are_no_wavelengths(tmp_path: Path) -> None:
    for k, nm in enumerate(NM):
        iio.imwrite(tmp_path / f"face_{nm:.0f}nm_exp{300 + 7 * k}ms.tif", FLOATS[..., k])
    (tmp_path / "._face_400nm_exp300ms.tif").write_bytes(b"\0\5\x16\7")
    cube = msfit.load(tmp_path)
    np.testing.assert_array_equal(cube.wavelengths, NM)
    np.testing.assert_array_equal(cube.reflectance, FLOATS)


# --- text -------------------------------------------------------------------------------------------------------------

ROWS = np.stack([NM, np.linspace(1.125, 3.5, B)], axis=1)


def text(separator: str, comma: bool = False) -> str:
    lines = [f"{nm:g}{separator}{value:.6f}" if not comma else f"{nm:g}{separator}{value:.6f}".replace(".", ",")
             for nm, value in ROWS]  # fmt: skip
    return "\n".join(["Wellenlänge / Wert", *lines, ""])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize(("separator", "comma"), [(",", False), (";", True), ("\t", True), (" ", True), (", ", False)])
def test_text_in_every_encoding(tmp_path: Path, encoding: str, separator: str, comma: bool) -> None:
    path = tmp_path / "white.txt"
    path.write_bytes(text(separator, comma).encode(encoding))
    np.testing.assert_allclose(read_columns(path, 2), ROWS, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nm,white\n400,1,5\n500,2,5\n", "line 2: found 3 numbers.*decimal comma"),
        ("400 1\n450 n/a\n500 2\n", "line 2: found '450 n/a'"),
        ("400;1\n500;2;3\n", "line 2: found 3 numbers"),
        ("nm;white\n400;1.234,5\n500;2\n", "line 2"),
        ("nothing\n", "no numbers"),
    ],
)
def test_no_row_of_text_is_dropped(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "white.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_columns(tmp_path / "white.csv", 2)


def test_a_decimal_comma_does_not_flatten_a_white_reference(tmp_path: Path) -> None:
    counts = np.rint(1000 * REFLECTANCE * ROWS[:, 1]).astype(np.uint16)
    path = tmp_path / "white.csv"
    path.write_text("\n".join(f"{nm:.0f};{1000 * value:.3f}".replace(".", ",") for nm, value in ROWS))
    found = msfit.load(envi(tmp_path, counts), white=path).reflectance
    np.testing.assert_allclose(found, REFLECTANCE, atol=1e-3)


# --- what lies beside the spectra, in HDF5, Zarr, NetCDF, NPZ and MAT -------------------------------------------------


def hdf5(path: Path, beside: Any, **options: Any) -> Path:
    with h5py.File(path, "w", **options) as file:
        file["reflectance"], file["wavelength"] = REFLECTANCE, NM
        beside(file)
    return path


def objects() -> np.ndarray:
    found = np.empty(1, object)
    found[0] = {"notes": "of a person"}
    return found


def other_filter(file: h5py.File, name: str = "odd") -> None:
    """An array that is packed by LZ4, which plain installations lack."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2, 2, B))
    plist.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(REFLECTANCE.shape)
    array = h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, plist)
    h5py.Dataset(array).id.write_direct_chunk((0, 0, 0), b"abc")


@pytest.mark.parametrize(("name", "beside", "words"), [
    ("group", lambda file: file.create_group("mask"), "mask: is a group"),
    ("link", lambda file: file.__setitem__("mask", h5py.SoftLink("/gone")), "mask: is a link to /gone, which is not"),
    ("light", lambda file: file.__setitem__("illuminant", h5py.SoftLink("/gone")), "illuminant: is a link to /gone"),
    ("compound", lambda file: file.create_dataset("mask", data=np.zeros((H, W), "i4,f4")), "mask: found"),
    ("reference", lambda file: file.create_dataset("mask", data=file["wavelength"].ref), "mask: found"),
    ("packed", lambda file: other_filter(file, "mask"), "mask: is packed by the filter 32004, which is not installed"),
    ("level", lambda file: file["reflectance"].attrs.__setitem__("saturation", "much"), "saturation 'much' beside it"),
])  # fmt: skip
def test_what_an_hdf5_file_has_and_cannot_be_read_is_refused_by_name(
    tmp_path: Path, name: str, beside: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        np.asarray(msfit.load(hdf5(tmp_path / f"{name}.h5", beside)).reflectance)


@pytest.mark.parametrize("beside", [
    lambda file: file.create_dataset("mask", data=h5py.Empty("f")),
    lambda file: file.create_dataset("illuminant", data=h5py.Empty("f")),
    lambda file: file.__setitem__("type", np.dtype("f8")),
    lambda file: file.__setitem__("gone", h5py.SoftLink("/nothing")),
    lambda file: file.create_dataset("log", data=np.zeros(4, "i4,S4")),
    lambda file: file["reflectance"].attrs.__setitem__("units", h5py.Empty("S1")),
    other_filter,
])  # fmt: skip
def test_what_is_empty_or_irrelevant_in_an_hdf5_file_is_passed_over(tmp_path: Path, beside: Any) -> None:
    np.testing.assert_array_equal(msfit.load(hdf5(tmp_path / "a.h5", beside)).reflectance, REFLECTANCE)


@pytest.mark.parametrize("size", [512, 1024, 8192])
def test_hdf5_after_bytes_of_the_user(tmp_path: Path, size: int) -> None:
    path = hdf5(tmp_path / "a.h5", lambda file: None, userblock_size=size)
    np.testing.assert_array_equal(msfit.load(path).reflectance, REFLECTANCE)


def labelled(**more: Any) -> xarray.Dataset:
    spectra = {"reflectance": (("y", "x", "wavelength"), REFLECTANCE)}
    return xarray.Dataset({**spectra, **more}, coords={"wavelength": NM})


@pytest.mark.parametrize("attrs", [
    {"units": "days since banana"},
    {"units": "days since 2000-01-01", "calendar": "martian"},
])  # fmt: skip
def test_times_that_nobody_understands_are_irrelevant(tmp_path: Path, attrs: dict[str, str]) -> None:
    labelled(t=(("k",), np.arange(3.0), attrs)).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.nc").reflectance, REFLECTANCE)


def unknown_type(folder: Path) -> None:
    folder.mkdir()
    (folder / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "nobody", "fill_value": 0, "codecs": [],'
        ' "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},'
        ' "chunk_key_encoding": {"name": "default"}}'
    )


def test_an_array_that_zarr_does_not_know_is_passed_over_or_refused_by_name(tmp_path: Path) -> None:
    labelled().to_zarr(tmp_path / "a.zarr", consolidated=False)
    unknown_type(tmp_path / "a.zarr" / "junk")
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.zarr").reflectance, REFLECTANCE)
    unknown_type(tmp_path / "a.zarr" / "mask")
    with pytest.raises(InputError, match="mask: cannot be read"):
        msfit.load(tmp_path / "a.zarr")


def test_python_objects_in_npz_are_passed_over_or_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", reflectance=REFLECTANCE, wave=NM, notes=objects())
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.npz").reflectance, REFLECTANCE)
    for name in ("mask", "illuminant"):
        np.savez(tmp_path / "b.npz", radiance=REFLECTANCE, wave=NM, **{name: objects()})
        with pytest.raises(InputError, match=f"{name}: found Python objects, which cannot be read"):
            msfit.load(tmp_path / "b.npz")


def test_npz_of_version_3(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, values in (("reflectance", REFLECTANCE), ("wave", NM)):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, values, version=(3, 0))
    np.testing.assert_array_equal(msfit.load(tmp_path / "a.npz").reflectance, REFLECTANCE)


def test_a_sparse_mask_of_version_4_is_read(tmp_path: Path) -> None:
    mask = scipy.sparse.csc_matrix(MASK.reshape(-1, 1))
    contents = {"data": REFLECTANCE.reshape(-1, B), "wave": NM, "mask": mask}
    savemat(tmp_path / "a.mat", contents, format="4")
    found = msfit.load(tmp_path / "a.mat").mask
    np.testing.assert_array_equal(found, MASK.ravel() > 0)
    savemat(tmp_path / "b.mat", {**contents, "mask": mask.astype(complex)}, format="4")
    with pytest.raises(InputError, match="mask: found a sparse matrix of complex numbers, which cannot be read"):
        msfit.load(tmp_path / "b.mat")


@pytest.mark.parametrize(("name", "head", "words"), [
    ("a.mat", b"\x1f\x8b\x08\0" + bytes(200), "packed by gzip: valid"),
    ("a.mat", b"# Created by Octave 6.4, Mon Jan 01\n# name: x\n", "Octave's text: valid"),
    ("a.mat", b"Octave-1-L\0\x04\0\0\0" + bytes(100), "Octave's own binary: valid"),
    ("a.h5", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "pointer of Git LFS.*lfs pull"),
    ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "old Excel workbook"),
    ("a.parquet", b"PAR1" + bytes(100), "Parquet"),
])  # fmt: skip
def test_sound_files_of_other_formats_are_named(tmp_path: Path, name: str, head: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(head)
    with pytest.raises(InputError, match=words):
        msfit.load(tmp_path / name)


def test_envi_that_is_packed_or_no_picture_is_named(tmp_path: Path) -> None:
    import gzip

    header = envi(tmp_path, FLOATS)
    (tmp_path / "face.img").write_bytes(gzip.compress((tmp_path / "face.img").read_bytes()))
    with pytest.raises(InputError, match=r"compressed data: valid, not supported; expected face\.img unpacked"):
        msfit.load(header)
    classes = envi(tmp_path, np.zeros((H, W, B), np.uint8), "file type = ENVI Classification\nclasses = 3")
    with pytest.raises(InputError, match="ENVI classification: numbers of classes, no spectra"):
        msfit.load(classes)


@pytest.mark.parametrize("level", [float("nan"), float("inf")])
def test_a_saturation_that_is_no_level_is_refused(tmp_path: Path, level: float) -> None:
    np.savez(tmp_path / "a.npz", reflectance=REFLECTANCE, wave=NM)
    with pytest.raises(InputError, match="saturation: found"):
        msfit.load(tmp_path / "a.npz", saturation=level)
    with pytest.raises(InputError, match="scale: found 1e-320"):
        msfit.load(tmp_path / "a.npz", scale=1e-320)


def test_a_white_reference_without_end_is_no_light(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", counts=np.rint(REFLECTANCE * 60_000).astype(np.uint16), wave=NM)
    white = np.full(B, 60_000.0)
    white[3] = np.inf
    cube = msfit.load(tmp_path / "a.npz", white=white)
    assert "1 bands without a usable white reference" in cube.provenance["note"]
    assert np.isnan(cube.reflectance[..., 3]).all()


def test_numbers_with_underscores_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("400 6_0000\n410 6_0000\n")
    with pytest.raises(InputError, match=r"no numbers|expected 2 numbers"):
        read_columns(tmp_path / "a.txt", 2)
