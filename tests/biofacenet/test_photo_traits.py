"""What a photograph's file says of itself, by trait, format and depth: it comes out the same picture."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from biofacenet.photo.reading import read_photo, write_photo

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(20, 236, (24, 18, 3))
# How a picture that is upright is stored under each EXIF orientation (EXIF 2.32, tag 0x0112).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[:, ::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[::-1].swapaxes(0, 1),
}


def of_depth(bits: int) -> np.ndarray:
    return COLOURS.astype(np.uint8) if bits == 8 else (COLOURS * 257 + RNG.integers(0, 200, COLOURS.shape)).astype("u2")


def chunked(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks put in after its header."""
    between = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return png[:33] + between + png[33:]


def saved(path: Path, values: np.ndarray, orientation: int) -> Path:
    tifffile = pytest.importorskip("tifffile")
    if path.suffix == ".tif":
        tag = (0x0112, "H", 1, orientation, True)
        tifffile.imwrite(path, values, photometric="rgb", extratags=[tag], metadata=None)
    else:
        write_photo(path, values)
        exif = Image.Exif()
        exif[0x0112] = orientation
        block = exif.tobytes().removeprefix(b"Exif\0\0")
        path.write_bytes(chunked(path.read_bytes(), (b"eXIf", block)))
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("end", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, end: str, bits: int) -> None:
    values = of_depth(bits)
    photo = read_photo(saved(tmp_path / f"face{end}", np.ascontiguousarray(STORED[orientation](values)), orientation))
    np.testing.assert_array_equal(photo.rgb, values)
    assert ("turned upright" in photo.notes) == (orientation > 1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("end", [".png", ".tif"])
def test_a_linear_profile_that_calls_itself_srgb_is_converted(tmp_path: Path, end: str, bits: int) -> None:
    tifffile, values, path = pytest.importorskip("tifffile"), of_depth(bits), tmp_path / f"face{end}"
    profile = linear_profile()
    if end == ".tif":
        tifffile.imwrite(path, values, photometric="rgb", iccprofile=profile, metadata=None)
    else:
        write_photo(path, values)
        packed = b"sRGB linear\0\0" + zlib.compress(profile)
        path.write_bytes(chunked(path.read_bytes(), (b"iCCP", packed)))
    linear = COLOURS / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    photo = read_photo(path)
    assert any("profile" in note for note in photo.notes)
    np.testing.assert_allclose(photo.rgb.astype(float), expected, atol=2)


def linear_profile() -> bytes:
    """Pillow's sRGB profile with straight curves; its description still says sRGB."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = bytearray(profile)
    for k in range(struct.unpack_from(">I", profile, 128)[0]):
        name, place, _ = struct.unpack_from(">4sII", profile, 132 + 12 * k)
        if name in (b"rTRC", b"gTRC", b"bTRC"):  # a parametric curve becomes that of exponent 1
            found[place : place + 12] = b"para" + bytes(4) + struct.pack(">HH", 0, 0)
            found[place + 12 : place + 16] = struct.pack(">i", 1 << 16)
    assert "srgb" in ImageCms.getProfileDescription(ImageCms.getOpenProfile(BytesIO(bytes(found)))).lower()
    return bytes(found)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_gamma_of_png_is_used(tmp_path: Path, bits: int) -> None:
    values, path = of_depth(bits), tmp_path / "face.png"
    write_photo(path, values)
    path.write_bytes(chunked(path.read_bytes(), (b"gAMA", struct.pack(">I", 100000))))
    linear = values / np.iinfo(values.dtype).max
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    photo = read_photo(path)
    np.testing.assert_allclose(photo.rgb / np.iinfo(values.dtype).max, expected, atol=0.003 if bits == 8 else 2e-5)
    assert photo.rgb.dtype == values.dtype


@pytest.mark.parametrize("gamma", [45455, 45000])
def test_the_gamma_of_srgb_changes_nothing(tmp_path: Path, gamma: int) -> None:
    path = tmp_path / "face.png"
    write_photo(path, of_depth(8))
    path.write_bytes(chunked(path.read_bytes(), (b"gAMA", struct.pack(">I", gamma))))
    np.testing.assert_array_equal(read_photo(path).rgb, of_depth(8))


def test_primaries_of_png_are_used(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    write_photo(path, of_depth(8))
    p3 = [0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060]  # Display P3
    path.write_bytes(chunked(path.read_bytes(), (b"cHRM", struct.pack(">8I", *(round(1e5 * x) for x in p3)))))
    # Display P3 to sRGB, linear (CSS Color 4, section 10): rows sum to 1
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    stored = COLOURS / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4) @ matrix.T
    linear = linear.clip(0, 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(read_photo(path).rgb / 255, expected, atol=0.006)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_kinds_of_alpha_of_16_bit_tiff(tmp_path: Path, kind: str) -> None:
    tifffile, values, path = pytest.importorskip("tifffile"), of_depth(16), tmp_path / "face.tif"
    alpha = RNG.integers(20000, 65535, values.shape[:2]).astype(np.uint16)
    colour = np.rint(values * (alpha[..., None] / 65535)).astype(np.uint16) if kind == "assocalpha" else values
    stored = np.concatenate([colour, alpha[..., None]], axis=2)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=(kind,), metadata=None)
    photo = read_photo(path)
    np.testing.assert_allclose(photo.rgb.astype(float), values, atol=2)
    if kind == "unspecified":
        assert photo.alpha is None
    else:
        np.testing.assert_array_equal(photo.alpha, alpha)
