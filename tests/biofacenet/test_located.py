"""Faces in photographs by their mesh; every promise of docs/photos.md on it, and what happens without the extra."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import msfit
from biofacenet import Box, Model, face_mesh, predict
from biofacenet.photo import located
from biofacenet.photo.face import parse_box
from biofacenet.photo.located import doubtful
from biofacenet.photo.reading import read_photo
from msfit.data.result import Status
from msfit.errors import InputError
from msfit.synth import Scene

pytest.importorskip("ai_edge_litert", reason="landmarks need ai-edge-litert")


@pytest.fixture(scope="session")
def photos() -> Path:
    """Folder of photographs that are not part of the project; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MSFIT_PHOTOS", Path(__file__).resolve().parents[3] / "shared" / "photos"))
    if not folder.is_dir():
        pytest.skip(f"photographs are not at hand: no folder {folder}; set MSFIT_PHOTOS to it")
    return folder


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A photograph that may be used by all (NASA): uint8 (512, 512, 3)."""
    return np.asarray(pytest.importorskip("skimage.data").astronaut())


def test_the_mesh_lies_on_a_face(astronaut: np.ndarray) -> None:
    mesh = face_mesh(astronaut)
    assert mesh.vertices.shape == (468, 3)
    assert mesh.confidence > 0.9
    assert max(abs(mesh.yaw), abs(mesh.pitch), abs(mesh.roll)) < 10
    # read off the picture by eye: outer corners of the eyes, tip of the nose, corners of the mouth
    seen = {33: (193, 101), 263: (258, 104), 1: (223, 128), 61: (204, 140), 291: (245, 141)}
    for vertex, place in seen.items():
        assert_allclose(mesh.vertices[vertex, :2], place, atol=4)


def test_the_mesh_moves_with_the_picture(astronaut: np.ndarray) -> None:
    mesh = face_mesh(astronaut)
    mirrored, twice = face_mesh(astronaut[:, ::-1].copy()), face_mesh(astronaut.repeat(2, axis=0).repeat(2, axis=1))
    size = mesh.box[3]
    other = mirrored.vertices[np.asarray(_mirror()), :2] * [-1, 1] + [512, 0]
    assert np.linalg.norm(other - mesh.vertices[:, :2], axis=1).mean() < 0.03 * size
    assert np.linalg.norm(twice.vertices[:, :2] / 2 - mesh.vertices[:, :2], axis=1).mean() < 0.03 * size
    assert abs(mirrored.yaw + mesh.yaw) < 5


@pytest.mark.parametrize("angle", [-90, -40, 40, 90])
def test_tilted_heads_are_found(astronaut: np.ndarray, angle: int) -> None:
    tilted = np.asarray(Image.fromarray(astronaut[:300, 80:380]).rotate(angle, resample=Image.Resampling.BILINEAR))
    mesh, upright = face_mesh(tilted), face_mesh(astronaut[:300, 80:380].copy())
    assert abs(mesh.roll - upright.roll - angle) < 8


def _mirror() -> np.ndarray:
    from msfit.face.canonical import canonical_face

    return canonical_face().mirror


def test_region_against_true_masks(face: np.ndarray, face_scene: Scene) -> None:
    skin, truth = face_mesh(face).skin(), face_scene.truth.mask
    assert (skin & truth).sum() > 0.9 * skin.sum()


def test_the_region_does_not_look_at_colours(model: Model, astronaut: np.ndarray) -> None:
    """Dark light, blue light: nothing falls out of the skin, pixels are doubted instead."""
    bright = predict(astronaut, model)
    dark = (astronaut * 0.12).astype(np.uint8)
    box = parse_box(bright.attrs["box"])
    region = face_mesh(astronaut).skin()[box.slices]
    assert_array_equal(bright.fitted, region)
    shadow = predict(dark, model, box=box)
    assert (shadow.fitted & region).sum() > 0.9 * region.sum()
    told = (shadow.status & Status.DOUBTFUL) != 0
    assert_array_equal(told, doubtful(dark[box.slices]) & shadow.fitted)
    assert told[shadow.fitted].mean() > 0.2
    assert np.isfinite(shadow.f_mel[told]).all()


def test_what_is_doubtful() -> None:
    picture = np.full((1, 5, 3), 100, np.uint8)
    picture[0, 1, 0] = 255
    picture[0, 2] = 19
    picture[0, 3] = (20, 0, 0)
    expected = [[False, True, True, False, False]]
    assert_array_equal(doubtful(picture), expected)
    assert_array_equal(doubtful(picture.astype(np.uint16) * 257), expected)


def test_results_say_pose_and_confidence(model: Model, astronaut: np.ndarray, tmp_path: Path) -> None:
    result, mesh = predict(astronaut, model), face_mesh(astronaut)
    for name in ("yaw", "pitch", "roll", "confidence"):
        assert result.attrs[name] == pytest.approx(getattr(mesh, name), abs=1e-4)
    result.save(tmp_path / "maps.h5")
    again = msfit.load_result(tmp_path / "maps.h5")
    assert_array_equal(again.status, result.status)


def test_without_the_extra_all_is_as_before(model: Model, face_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(located, "models_known", lambda: False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    result = predict(face_file, model)
    assert "yaw" not in result.attrs
    assert 0.25 < result.fitted.mean() < 0.9


def test_without_the_extra_the_mesh_says_what_it_needs(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    caught: list[str] = []

    def look() -> None:
        try:
            face_mesh(face)
        except InputError as error:
            caught.append(str(error))

    fresh = threading.Thread(target=look)  # interpreters of this thread may be at hand already
    fresh.start()
    fresh.join()
    assert len(caught) == 1
    assert "ai-edge-litert" in caught[0]
    assert "pip install 'msfit[face]'" in caught[0]
    assert "\n" not in caught[0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda noise: face_mesh(noise), "no face found"),
        (lambda noise: face_mesh(noise, Box(0, 0, 60, 60)), "no face found"),
        (lambda noise: face_mesh(noise, Box(0, 0, 91, 60)), "inside 90 x 90"),
        (lambda noise: face_mesh(noise, "whole"), "'auto' or a Box"),
    ],
)
def test_refusals(call: Callable[[np.ndarray], object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        call(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8))


def test_threads_do_not_share_an_interpreter(astronaut: np.ndarray) -> None:
    pictures = [astronaut[:300, 80:380].copy(), astronaut[:300, 80:380][:, ::-1].copy()]
    alone = [face_mesh(picture).vertices for picture in pictures]
    together: dict[int, np.ndarray] = {}

    def look(number: int) -> None:
        together[number] = face_mesh(pictures[number % 2]).vertices

    threads = [threading.Thread(target=look, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vertices in together.items():
        assert_array_equal(vertices, alone[number % 2])


@pytest.mark.parametrize(
    ("name", "yaw"),
    [
        ("portrait_a_1.jpg", None),
        ("portrait_b_1.jpg", None),
        ("turned_front.png", -1),
        ("turned_left.png", 24),
        ("turned_right.png", -23),
    ],
)
def test_real_photographs_keep_the_skin_of_the_face(model: Model, photos: Path, name: str, yaw: float | None) -> None:
    """Fitted on at least 97 % of the mesh less eyes, mouth and nostrils, whatever the tone of the skin."""
    photo = read_photo(photos / name)
    mesh, result = face_mesh(photo), predict(photos / name, model)
    box = parse_box(result.attrs["box"])
    assert result.fitted.sum() >= 0.97 * mesh.skin().sum()
    assert mesh.skin()[box.slices][result.fitted].all()
    if yaw is not None:
        assert mesh.yaw == pytest.approx(yaw, abs=4)
