"""Photographs are read as they are meant to be seen, or refused in one line."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps

from biofacenet.photo.reading import linear_light, read_photo, write_photo
from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError


def colours(kind: type = np.uint8, channels: int = 3, height: int = 20, width: int = 30) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, np.iinfo(kind).max, (height, width, channels), kind, endpoint=True)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path: Path, kind: type, channels: int, ending: str) -> None:
    values = colours(kind, channels)
    path = tmp_path / f"photo{ending}"
    write_photo(path, values[..., :3], values[..., 3] if channels == 4 else None)
    photo = read_photo(path)
    assert photo.rgb.dtype == kind
    np.testing.assert_array_equal(photo.rgb, values[..., :3])
    if channels == 4:
        assert photo.alpha is not None
        np.testing.assert_array_equal(photo.alpha, values[..., 3])
        assert 0.4 < photo.opaque.mean() < 0.6
    else:
        assert photo.alpha is None
        assert photo.opaque.all()


def test_sixteen_bits_agree_with_an_independent_reader(tmp_path: Path) -> None:
    values = colours(np.uint16)
    tifffile.imwrite(tmp_path / "photo.tif", values, photometric="rgb", compression="zlib", predictor=True)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").rgb, values)
    write_photo(tmp_path / "photo.png", values)
    # Pillow keeps the upper byte
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "photo.png")), values >> 8)


def test_jpeg_takes_eight_bits_and_no_alpha(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    smooth = np.full((32, 32, 3), (51400, 38550, 25700), np.uint16)
    write_photo(path, smooth, np.zeros((32, 32), np.uint16))
    read = read_photo(path).rgb.astype(int)
    assert np.abs(read - np.array([200, 150, 100])).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_comes_upright(tmp_path: Path, orientation: int) -> None:
    values = colours()
    image = Image.fromarray(values)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    image.save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read_photo(path).rgb, expected)


def test_an_embedded_profile_is_converted(tmp_path: Path) -> None:
    values = colours()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    path = tmp_path / "photo.png"
    Image.fromarray(values).save(path, icc_profile=profile.tobytes())
    same = read_photo(path)
    np.testing.assert_array_equal(same.rgb, values)
    assert same.notes == ()
    # the same profile with its red and blue primaries swapped exchanges the channels
    swapped = swap_primaries(profile.tobytes())
    Image.fromarray(values).save(path, icc_profile=swapped)
    other = read_photo(path)
    assert other.notes == ("its colour profile was converted to sRGB",)
    assert np.abs(other.rgb.astype(int) - values[..., ::-1]).max() <= 2
    Image.fromarray(values).save(path, icc_profile=b"no profile")
    np.testing.assert_array_equal(read_photo(path).rgb, values)


def swap_primaries(profile: bytes) -> bytes:
    count = int.from_bytes(profile[128:132], "big")
    names = {profile[132 + 12 * k : 136 + 12 * k]: 132 + 12 * k for k in range(count)}
    swapped = bytearray(profile)
    red, blue = names[b"rXYZ"], names[b"bXYZ"]
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(swapped).replace("sRGB".encode("utf-16-be"), "GBR ".encode("utf-16-be")).replace(b"sRGB", b"GBR ")


def test_linear_light_is_that_of_srgb() -> None:
    for kind in (np.uint8, np.uint16):
        values = colours(kind)
        expected = decode_srgb(torch.from_numpy(values / np.iinfo(kind).max)).numpy()
        np.testing.assert_allclose(linear_light(values), expected, atol=2e-7)
    display = colours() / 255
    np.testing.assert_allclose(linear_light(display, "srgb"), linear_light(colours()), atol=2e-7)
    np.testing.assert_array_equal(linear_light(1.5 * display, "linear"), (1.5 * display).astype(np.float32))
    np.testing.assert_allclose(linear_light(colours(), "linear"), display, atol=1e-7)
    np.testing.assert_allclose(linear_light(display - 1e-7, "linear"), display, atol=2e-7)  # rounding below black


@pytest.mark.parametrize(
    ("picture", "encoding", "says"),
    [
        (np.zeros((20, 20)), "srgb", "greyscale"),
        (np.zeros((20, 20, 1), np.uint8), None, "greyscale"),
        (np.full((20, 20, 3), 99, np.uint8), None, "greyscale"),
        (colours() / 255, None, "encoding: not given"),
        (colours() / 255, "gamma", "'srgb' or 'linear'"),
        (colours().astype(float), "srgb", "white = 1"),
        (colours() / 255 - 0.01, "srgb", "black = 0"),
        (colours() / 255 - 0.01, "linear", "black = 0"),
        (colours().astype(np.int32), None, "int32"),
        (colours(width=3), None, "3 x 20 pixels"),
        (colours(channels=2), None, "shape"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(picture: np.ndarray, encoding: str | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        linear_light(picture, encoding)


def a_png(mode: str = "RGB", size: tuple[int, int] = (30, 20)) -> bytes:
    file = BytesIO()
    values = colours(height=size[1], width=size[0])
    Image.fromarray(values).convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"not a picture", "not a picture"),
        (a_png()[:-300], "cannot be read"),
        (a_png("L"), "greyscale"),
        (a_png("LA"), "greyscale"),
        (a_png("1"), "greyscale"),
        (a_png(size=(3, 40)), "3 x 40 pixels"),
    ],
)
def test_files_that_are_no_photographs_are_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as refused:
        read_photo(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_photo(tmp_path / "none.png")
    with pytest.raises(InputError, match="directory"):
        read_photo(tmp_path)


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    path = tmp_path / "photo.png"
    path.write_bytes(a_png())
    with pytest.raises(InputError, match="too many pixels"):
        read_photo(path)


def test_palettes_have_colours(tmp_path: Path) -> None:
    path = tmp_path / "photo.gif"
    Image.fromarray(colours()).save(path)
    assert read_photo(path).rgb.shape == (20, 30, 3)
