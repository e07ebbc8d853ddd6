"""The mask finds skin of every tone and leaves out what only looks like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import msfit
from msfit.data.cube import Cube
from msfit.errors import InputError
from msfit.io.datasets.issa import load_faces
from msfit.mask import skin_mask

NM = np.arange(400.0, 701, 10)
SIZE = 120


def chart() -> np.ndarray:
    """The 24 patches of a ColorChecker: two of them imitate skin."""
    colour = pytest.importorskip("colour")
    patches = colour.SDS_COLOURCHECKERS["BabelColor Average"].values()
    return np.stack([np.interp(NM, patch.wavelengths, patch.values) for patch in patches])


def picture(skin: np.ndarray, noise: float = 0.0005) -> tuple[np.ndarray, np.ndarray]:
    """A disc of skin under uneven light beside a chart, on grey: (values, where skin is)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    disc = (y - 60) ** 2 + (x - 78) ** 2 < 38**2
    values = np.full((SIZE, SIZE, NM.size), 0.05)
    for k, patch in enumerate(chart()):
        row, column = divmod(k, 3)
        values[row * 15 : row * 15 + 13, column * 12 : column * 12 + 11] = patch
    values[disc] = skin
    values *= np.linspace(0.3, 1, SIZE)[:, None, None]
    return values + rng.normal(0, noise, values.shape), disc


@pytest.mark.parametrize("quantile", [0.01, 0.05, 0.5, 0.95, 0.99])
def test_skin_of_every_tone_is_found_beside_a_chart(quantile: float) -> None:
    skin = load_faces().cube.reflectance
    order = np.argsort(skin.mean(axis=1))
    values, disc = picture(skin[order[int(quantile * len(order))]])
    found = skin_mask(Cube(values, NM))
    assert (found & disc).sum() > 0.97 * disc.sum()
    rim = 2 * np.pi * 38  # one pixel wide: neighbours are averaged
    assert (found & ~disc).sum() < rim


def test_no_skin_no_mask() -> None:
    values, _ = picture(chart()[1])
    assert not skin_mask(Cube(values, NM)).any()


def test_the_level_of_the_light_does_not_matter() -> None:
    values, _ = picture(load_faces().cube.reflectance[100], noise=0)
    light = np.linspace(1, 3, NM.size)
    dim = skin_mask(Cube(values * light * 1e-3, NM, light))
    np.testing.assert_array_equal(dim, skin_mask(Cube(values, NM)))


def test_moles_and_dead_pixels_are_filled_and_the_own_mask_holds() -> None:
    values, disc = picture(load_faces().cube.reflectance[100])
    values[60:62, 70:72] = 0.02
    values[50, 90] = np.nan
    own = np.ones((SIZE, SIZE), bool)
    own[:, 100:] = False
    found = skin_mask(Cube(values, NM, mask=own))
    assert found[55:65, 65:75].all()
    assert found[50, 90]
    assert not found[:, 100:].any()
    assert disc[:, 100:].any()


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (Cube(np.full((5, 31), 0.5), NM), "found 5 spectra; expected a picture"),
        (Cube(np.full((5, 5, 6), 0.5), NM[10:16]), "6 bands on 500-650 nm; expected at least 7"),
        (Cube(np.full((5, 5, 8), 0.5), np.r_[500:521:5, 640:651:5].astype(float)), "at most 25 nm apart"),
        (Cube(np.full((5, 5, 3), 0.5), NM[:3]), "0 bands on 500-650 nm"),
    ],
)
def test_refusals(cube: Cube, message: str) -> None:
    with pytest.raises(InputError, match=message):
        skin_mask(cube)


def test_face_without_chart_cloth_hair_and_background(reference_data: Path) -> None:
    found = skin_mask(msfit.load(reference_data / "cave_face.mat", white="400:435,30:70"))
    assert found[200:430, 215:420].mean() > 0.9
    assert not found[:, :107].any()  # chart
    assert not found[:140].any()  # hair, background
    assert not found[495:].any()  # shirt
    assert not found[:, 440:].any()  # background


@pytest.mark.parametrize(("name", "scale"), [("iset_face_spatial_illuminant.mat", 1), ("iset_face_raw.mat", 2)])
def test_scenes_with_their_own_light(reference_data: Path, name: str, scale: int) -> None:
    found = skin_mask(msfit.load(reference_data / name))
    assert found[70 // scale : 190 // scale, 60 // scale : 150 // scale].mean() > 0.95
    assert not found[: 40 // scale].any()
    assert not found[218 // scale :].any()


def test_strips_do_not_show_in_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    faces = load_faces().cube
    values = faces.reflectance[rng.integers(0, faces.shape[0], 1)] * rng.uniform(0.3, 1, (60, 50, 1))
    values[:, 20:28] = rng.uniform(0.1, 0.6, (60, 8, values.shape[-1]))
    cube = Cube(values + 0.001 * rng.standard_normal(values.shape), faces.wavelengths)
    whole = skin_mask(cube)
    monkeypatch.setattr("msfit.mask._STRIP", 7 * 50 * 16)
    np.testing.assert_array_equal(skin_mask(cube), whole)
    assert 0.5 < whole.mean() < 1
