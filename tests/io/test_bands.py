"""Folders of band images: names carry wavelengths, or count the bands."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import msfit
from msfit.errors import InputError

NM = np.arange(400, 701, 10)
H, W, B = 6, 5, NM.size


def saved(folder: Path, values: np.ndarray, names: list[str]) -> Path:
    for k, name in enumerate(names):
        iio.imwrite(folder / name, values[..., k])
    return folder


@pytest.fixture(params=[np.uint8, np.uint16])
def counts(request: pytest.FixtureRequest) -> np.ndarray:
    most = np.iinfo(request.param).max
    values = np.random.default_rng(0).integers(most // 10, most // 2, (H, W, B))
    values[:2, :2] = most // 2
    values[5, 4, 3] = most
    return values.astype(request.param)


@pytest.mark.parametrize("pattern", ["face_{nm}nm.png", "{nm}.tif", "subject2_{nm}.tiff", "b{nm}_8bit.PNG"])
def test_wavelengths_in_names(tmp_path: Path, counts: np.ndarray, pattern: str) -> None:
    folder = saved(tmp_path, counts[..., ::-1], [pattern.format(nm=nm) for nm in NM[::-1]])
    cube = msfit.load(folder, white="0:2,0:2")
    np.testing.assert_array_equal(cube.wavelengths, NM)
    np.testing.assert_array_equal(cube.values, counts, strict=True)
    np.testing.assert_allclose(cube.reflectance, counts / counts[0, 0].astype(float), rtol=1e-6)
    assert np.argwhere(~cube.rows(slice(None))[1]).tolist() == [[5, 4, 3]]


def test_numbered_bands_need_wavelengths(tmp_path: Path, counts: np.ndarray) -> None:
    folder = saved(tmp_path, counts, [f"band_{k}.png" for k in range(1, B + 1)])
    with pytest.raises(InputError, match=r"31 pictures numbered 1 to 31; .* --wavelengths 400:700:10"):
        msfit.load(folder)
    cube = msfit.load(folder, white="0:2,0:2", wavelengths=NM)
    np.testing.assert_array_equal(cube.values, counts)


def test_the_layout_of_cave_is_known(tmp_path: Path, counts: np.ndarray) -> None:
    folder = saved(tmp_path, counts, [f"face_ms_{k:02d}.png" for k in range(1, B + 1)])
    (folder / "face_RGB.bmp").write_bytes(b"BM")
    (folder / "Thumbs.db").write_bytes(b"x")
    cube = msfit.load(folder, white="0:2,0:2")
    np.testing.assert_array_equal(cube.wavelengths, NM)
    assert "CAVE" in cube.provenance["note"]


def test_grey_saved_in_colour(tmp_path: Path, counts: np.ndarray) -> None:
    for k, nm in enumerate(NM):
        iio.imwrite(tmp_path / f"{nm}.tif", np.repeat(counts[..., k, None], 3, axis=-1), photometric="rgb")
    np.testing.assert_array_equal(msfit.load(tmp_path, white="0:2,0:2").values, counts)


def test_floating_point_tiff_is_reflectance(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 0.8, (H, W, B)).astype(np.float32)
    cube = msfit.load(saved(tmp_path, values, [f"{nm}.tif" for nm in NM]))
    np.testing.assert_array_equal(cube.reflectance, values)


def test_counts_are_refused_without_a_white_reference(tmp_path: Path, counts: np.ndarray) -> None:
    with pytest.raises(InputError, match="no illuminant: counts are no reflectance"):
        msfit.load(saved(tmp_path, counts, [f"{nm}.png" for nm in NM]))


def test_refused_folders(tmp_path: Path, counts: np.ndarray) -> None:
    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            msfit.load(tmp_path)

    refused("a folder with 0 PNG or TIFF files")
    saved(tmp_path, counts, ["red.png", "green.png"])
    refused("carry no number that differs")
    for file in tmp_path.iterdir():
        file.unlink()
    saved(tmp_path, counts, [f"{nm}.png" for nm in NM])
    (tmp_path / "450.png").write_bytes((tmp_path / "450.png").read_bytes()[:60])
    refused(r"450\.png cannot be read as a picture")
    iio.imwrite(tmp_path / "450.png", counts[:-1, :, 0])
    refused("expected pictures of one size and type")
    iio.imwrite(tmp_path / "450.png", np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8))
    refused("expected one grey picture a band")
    (tmp_path / "450.png").write_text("no picture")
    refused("cannot be read as a picture")


COUNTS = np.random.default_rng(1).integers(1000, 60_000, (H, W, B)).astype(np.uint16)
WHITE = np.full(B, 60_000.0)


@pytest.mark.parametrize("pattern", [
    "{nm}_band{k:02d}.png", "band{k:02d}_{nm}.png", "2024-01-15_{nm}.png", "{nm}_1200{k:02d}.png", "{nm}_640x480.png",
    "F{nm}W10.png", "{nm}-10nm.png", "{nm}nm_fwhm{width}nm.png", "{um:.2f}um.png", "x_{nm}_{exposure}ms.png",
    "exp{exposure}us_{nm}.png",
])  # fmt: skip
def test_wavelengths_among_other_numbers(tmp_path: Path, pattern: str) -> None:
    for k, nm in enumerate(NM):
        numbers = {"nm": nm, "k": k, "um": nm / 1000, "width": 10 + k, "exposure": 300 + 7 * k}
        iio.imwrite(tmp_path / pattern.format(**numbers), COUNTS[..., k])
    np.testing.assert_array_equal(msfit.load(tmp_path, white=WHITE).wavelengths, NM)


def test_decimal_commas_in_names(tmp_path: Path) -> None:
    saved(tmp_path, COUNTS, [f"{nm},5nm.png" for nm in NM])
    np.testing.assert_array_equal(msfit.load(tmp_path, white=WHITE).wavelengths, NM + 0.5)


@pytest.mark.parametrize("first", [400, 4000])
def test_counters_are_no_wavelengths(tmp_path: Path, first: int) -> None:
    saved(tmp_path, COUNTS, [f"IMG_{first + k:04d}.png" for k in range(B)])
    with pytest.raises(InputError, match=r"expected wavelengths \[nm\] in their names"):
        msfit.load(tmp_path, white=WHITE)


def test_two_numbers_that_may_be_wavelengths_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, COUNTS, [f"{nm}_{nm + 300}.png" for nm in NM])
    with pytest.raises(InputError, match="several numbers in the names may be wavelengths"):
        msfit.load(tmp_path, white=WHITE)


def test_other_pictures_beside_the_bands_are_left_out_and_said(tmp_path: Path) -> None:
    saved(tmp_path, COUNTS, [f"{nm}nm.png" for nm in NM])
    iio.imwrite(tmp_path / "preview.png", np.zeros((30, 20, 3), np.uint8))
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._400nm.png", "notes.csv"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "@eaDir").mkdir()
    cube = msfit.load(tmp_path, white=WHITE)
    np.testing.assert_array_equal(cube.values, COUNTS)
    assert "preview.png beside the bands" in cube.provenance["note"]


def tiff(path: Path, values: np.ndarray, **options: object) -> None:
    import tifffile

    tifffile.imwrite(path, values, **options)


STORED = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose, 6: np.rot90,
          7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1)}  # fmt: skip


def png_with(kind: bytes, content: bytes, values: np.ndarray) -> bytes:
    import io
    import struct
    import zlib

    stream = io.BytesIO()
    iio.imwrite(stream, values, extension=".png")
    sound = stream.getvalue()
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return sound[:33] + chunk + sound[33:]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_come_upright_from_tiff(tmp_path: Path, orientation: int, depth: type) -> None:
    counts = (COUNTS >> 8).astype(depth) if depth is np.uint8 else (COUNTS / 65_536).astype(depth)
    counts = COUNTS if depth is np.uint16 else counts
    for k, nm in enumerate(NM):
        tags = [(274, 3, 1, orientation, True)]
        tiff(tmp_path / f"{nm}nm.tif", np.ascontiguousarray(STORED[orientation](counts[..., k])), extratags=tags)
    cube = msfit.load(tmp_path, **({} if depth is np.float32 else {"white": np.full(B, float(np.iinfo(depth).max))}))
    np.testing.assert_array_equal(cube.values, counts)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_bands_come_upright_from_png(tmp_path: Path, orientation: int) -> None:
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    for k, nm in enumerate(NM):
        stored = np.ascontiguousarray(STORED[orientation](COUNTS[..., k]))
        (tmp_path / f"{nm}nm.png").write_bytes(png_with(b"eXIf", exif, stored))
    np.testing.assert_array_equal(msfit.load(tmp_path, white=WHITE).values, COUNTS)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_tiff_in_which_zero_is_white(tmp_path: Path, depth: type) -> None:
    counts = COUNTS if depth is np.uint16 else (COUNTS >> 8).astype(depth)
    for k, nm in enumerate(NM):
        tiff(tmp_path / f"{nm}nm.tif", np.iinfo(depth).max - counts[..., k], photometric="miniswhite")
    cube = msfit.load(tmp_path, white=np.full(B, float(np.iinfo(depth).max)))
    np.testing.assert_array_equal(cube.values, counts)


def test_what_band_pictures_state_and_is_not_used_is_said(tmp_path: Path) -> None:
    import struct

    for k, nm in enumerate(NM):
        (tmp_path / f"{nm}nm.png").write_bytes(png_with(b"gAMA", struct.pack(">I", 45_455), COUNTS[..., k]))
    cube = msfit.load(tmp_path, white=WHITE)
    np.testing.assert_array_equal(cube.values, COUNTS)
    assert "gAMA of the pictures not used" in cube.provenance["note"]
    (tmp_path / "tiff").mkdir()
    for k, nm in enumerate(NM):
        tiff(tmp_path / "tiff" / f"{nm}nm.tif", COUNTS[..., k] >> 4, extratags=[(281, 3, 1, 4095, True)])
    cube = msfit.load(tmp_path / "tiff", white=WHITE / 16)
    assert "MaxSampleValue 4095 of the pictures not used: --saturation 4095" in cube.provenance["note"]


def test_grey_with_opaque_alpha_and_palettes(tmp_path: Path) -> None:
    for k, nm in enumerate(NM):
        alpha = np.full((H, W), 65_535, np.uint16)
        tiff(tmp_path / f"{nm}nm.tif", np.stack([COUNTS[..., k], alpha], -1), photometric="minisblack",
             extrasamples=["unassalpha"])  # fmt: skip
    np.testing.assert_array_equal(msfit.load(tmp_path, white=WHITE).values, COUNTS)
    (tmp_path / "palette").mkdir()
    ramp = np.arange(255, -1, -1, dtype=np.uint16) * 257
    for k, nm in enumerate(NM):
        indices = 255 - (COUNTS[..., k] >> 8).astype(np.uint8)
        tiff(tmp_path / "palette" / f"{nm}nm.tif", indices, photometric="palette", colormap=np.stack([ramp] * 3))
    np.testing.assert_array_equal(msfit.load(tmp_path / "palette", white=WHITE).values, (COUNTS >> 8) * 257)
