"""White and dark references: patch, file, spectrum or array; saturated samples stay known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import msfit
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
H, W, B = 8, 6, NM.size
LIGHT = np.linspace(20_000, 50_000, B)
DARK = np.linspace(300, 500, B)


@pytest.fixture
def reflectance() -> np.ndarray:
    values = np.random.default_rng(0).uniform(0.05, 0.7, (H, W, B))
    values[:3, :3] = 1
    return values


@pytest.fixture
def scene(tmp_path: Path, reflectance: np.ndarray) -> Path:
    path = tmp_path / "scene.npz"
    np.savez(path, counts=np.round(reflectance * LIGHT + DARK).astype(np.uint16), wave=NM)
    return path


def white_file(folder: Path, kind: str) -> Path:
    path = folder / f"white.{'npz' if kind != 'csv' else 'csv'}"
    columns = np.linspace(0.8, 1.2, W)[:, None]
    if kind == "frame":
        np.savez(path, counts=np.ones((H, W, 1)) * LIGHT * columns + DARK, wave=NM)
    elif kind == "lines":
        np.savez(path, counts=np.ones((3, W, 1)) * LIGHT * columns + DARK, wave=NM)
    elif kind == "spectrum":
        np.savez(path, counts=(LIGHT + DARK)[None], wave=NM)
    else:
        nm = np.arange(390.0, 711, 5)
        level = np.interp(nm, NM, LIGHT + DARK)
        path.write_text("wavelength,white\n" + "\n".join(f"{a},{b}" for a, b in zip(nm, level, strict=True)))
    return path


@pytest.mark.parametrize("patch", ["0:3,0:3", " 0:3, 0:3 ", ((0, 3), (0, 3))])
@pytest.mark.parametrize("dark", [DARK, "array"])
def test_patch(scene: Path, reflectance: np.ndarray, patch: Any, dark: Any) -> None:
    dark = np.broadcast_to(DARK, (H, W, B)) if isinstance(dark, str) else dark
    cube = msfit.load(scene, white=patch, dark=dark)
    np.testing.assert_allclose(cube.reflectance, reflectance, atol=1e-4)
    assert cube.values.dtype == np.uint16
    assert cube.saturation == 65535


@pytest.mark.parametrize("kind", ["frame", "lines"])
def test_white_picture(scene: Path, reflectance: np.ndarray, tmp_path: Path, kind: str) -> None:
    cube = msfit.load(scene, white=white_file(tmp_path, kind), dark=DARK)
    expected = reflectance / np.linspace(0.8, 1.2, W)[:, None]
    np.testing.assert_allclose(cube.reflectance, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["spectrum", "csv"])
def test_white_spectrum(scene: Path, reflectance: np.ndarray, tmp_path: Path, kind: str) -> None:
    cube = msfit.load(scene, white=str(white_file(tmp_path, kind)), dark=DARK)
    np.testing.assert_allclose(cube.reflectance, reflectance, atol=1e-4)


def test_array_and_number(tmp_path: Path, reflectance: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", counts=reflectance * LIGHT + 400, wave=NM)
    for dark in (400, "400.0"):
        cube = msfit.load(tmp_path / "a.npz", white=LIGHT + 400, dark=dark)
        np.testing.assert_allclose(cube.reflectance, reflectance, rtol=1e-12)


def test_saturated_samples_stay_known(tmp_path: Path, reflectance: np.ndarray) -> None:
    counts = np.round(reflectance * LIGHT / 16 + DARK / 16).astype(np.uint16)
    counts[5, 4, 3] = 4095
    counts[1, 1, 0] = 4095
    np.savez(tmp_path / "a.npz", counts=counts, wave=NM)
    cube = msfit.load(tmp_path / "a.npz", white="0:3,0:3", dark=DARK / 16, saturation=4095)
    assert np.argwhere(~cube.rows(slice(None))[1]).tolist() == [[1, 1, 0], [5, 4, 3]]
    np.testing.assert_allclose(cube.reflectance[6:], reflectance[6:], atol=2e-3)


def test_a_band_whose_white_is_saturated_gets_no_light(tmp_path: Path, reflectance: np.ndarray) -> None:
    counts = np.round(reflectance * LIGHT).astype(np.uint16)
    counts[:3, :3, 30] = 65535
    np.savez(tmp_path / "a.npz", counts=counts, wave=NM)
    cube = msfit.load(tmp_path / "a.npz", white="0:3,0:3")
    usable = cube.rows(slice(None))[1]
    assert not usable[..., 30].any()
    assert usable[..., :30].all()
    assert "1 bands without a usable white reference" in cube.provenance["note"]


def test_white_overrules_what_the_file_calls_reflectance(tmp_path: Path, reflectance: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", data=reflectance * LIGHT, wave=NM)
    np.testing.assert_allclose(msfit.load(tmp_path / "a.npz", white="0:3,0:3").reflectance, reflectance, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"white": "0:30,0:3"}, r"white: patch 0:30,0:3 does not lie inside the picture of 8 x 6"),
        ({"white": "3:3,0:3"}, "does not lie inside"),
        ({"white": "nowhere.npz"}, "white: no such file nowhere.npz, nor a patch"),
        ({"white": np.ones(30)}, r"white: found shape \(30,\)"),
        ({"white": 3.0}, r"white: found shape \(\)"),
        ({"white": {"a": 1}}, "white: found shape"),
        ({"white": ((0, 1.5), (0, 2))}, "white: found shape"),
        ({"white": (1, (2, 3))}, "white: found shape"),
        ({"white": np.zeros(B)}, "nowhere brighter than the dark"),
        ({"white": DARK, "dark": LIGHT}, "nowhere brighter than the dark"),
        ({"dark": DARK}, "dark: given without a white reference"),
        ({"white": "0:3,0:3", "dark": np.ones(30)}, r"dark: found shape \(30,\)"),
    ],
)
def test_refusals(scene: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        msfit.load(scene, **options)
    assert str(refused.value).startswith(f"{scene}: ")


def test_refused_files(scene: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"

    def refused(message: str, path: Path = other) -> None:
        with pytest.raises(InputError, match=message):
            msfit.load(scene, white=path)

    np.savez(other, counts=np.ones((H, W, B)), wave=NM + 5)
    refused("holds other wavelengths")
    np.savez(other, counts=np.ones((H + 1, W + 1, B)), wave=NM)
    refused(r"is a picture \(9, 7, 31\)")
    other.write_text("nothing")
    refused("of an unknown kind")
    (tmp_path / "short.csv").write_text("wavelength,white\n450,1\n650,1\n")
    refused("white: holds 450-650 nm, the picture 400-700 nm", tmp_path / "short.csv")
    (tmp_path / "empty.csv").write_text("wavelength,white\n")
    refused("no spectrum; expected two columns", tmp_path / "empty.csv")
    (tmp_path / "micro.csv").write_text("0.35,1\n0.75,1\n")
    refused(r"white: .*micro.csv: wavelengths: 0.35 to 0.75 look like micrometres", tmp_path / "micro.csv")
    np.savez(other, counts=np.ones((1, B)), wave=NM / 1000)
    refused(r"white: .*other.npz: wavelengths: 0.4 to 0.7 look like micrometres")


def test_a_patch_needs_a_picture(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", counts=np.ones((4, B)), wave=NM)
    with pytest.raises(InputError, match="holds 4 spectra and no picture"):
        msfit.load(tmp_path / "a.npz", white="0:2,0:2")


def test_a_real_face_becomes_reflectance(reference_data: Path) -> None:
    cube = msfit.load(reference_data / "cave_face.mat", white="400:435,30:70")
    skin = np.median(cube.reflectance[260:330, 280:350], axis=(0, 1))
    at = dict(zip(cube.wavelengths, skin, strict=True))
    assert 0.15 < at[450] < at[500] < 0.5 < at[650] < 0.9
    assert at[560] > (at[540] + at[580]) / 2  # between the two bands of oxyhaemoglobin, 542 and 577 nm
    assert at[600] > 1.1 * at[580]
    assert cube.rows(slice(None))[1].mean() > 0.99
