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
