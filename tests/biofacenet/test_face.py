"""Faces are found, and skin in them, in rendered pictures and in one real face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from biofacenet.photo.face import Box, around, check_box, find_face, parse_box
from biofacenet.photo.reading import linear_light
from biofacenet.photo.skin import face_ellipse, feathered, skin_in_picture
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.data.cube import Cube
from msfit.errors import InputError
from msfit.io.datasets.issa import load_faces
from msfit.rendering import render
from msfit.synth import Scene


def test_a_rendered_face_is_found(face: np.ndarray, face_scene: Scene) -> None:
    box = find_face(face)
    assert box is not None
    rows, columns = np.nonzero(face_scene.truth.mask)
    assert abs(box.x + box.width / 2 - columns.mean()) < 0.15 * box.width
    assert abs(box.y + box.height / 2 - rows.mean()) < 0.15 * box.height
    twice = np.repeat(np.repeat(face, 6, axis=0), 6, axis=1).astype(np.uint16) * 257
    larger = find_face(twice)
    assert larger is not None
    np.testing.assert_allclose(np.array(larger) / 6, np.array(box), atol=0.2 * box.width)


def test_no_face_is_found_where_there_is_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 150, 3), np.uint8)
    assert find_face(noise) is None


def test_a_real_face_is_found_with_its_skin(reference_data: Path) -> None:
    held = scipy.io.loadmat(reference_data / "cave_face.mat")
    white = held["counts"][400:436, 30:71].mean(axis=(0, 1))
    cube = Cube((held["counts"] / white).astype(np.float32), held["wave"].ravel())
    picture = np.rint(255 * render(cube, "D65", "mean", srgb=True)).astype(np.uint8)
    box = find_face(picture)
    assert box is not None
    assert face_ellipse(box, picture.shape)[330, 315]
    skin = skin_in_picture(linear_light(picture))
    assert skin[200:430, 240:390].mean() > 0.97
    assert skin[:120].mean() < 0.01
    assert skin[:, :150].mean() < 0.01


def test_the_colours_of_measured_skin_are_skin() -> None:
    faces = load_faces()
    colours = fold_bands(faces.cube.reflectance.astype(np.float64), rgb_weights(faces.cube.wavelengths, "D65"))
    found = [skin_in_picture(np.broadcast_to(0.7 * colour, (16, 16, 3)))[4:-4, 4:-4].all() for colour in colours[::25]]
    assert np.mean(found) > 0.99


def test_skin_does_not_depend_on_the_strength_of_the_light(face: np.ndarray, face_scene: Scene) -> None:
    linear = linear_light(face)
    skin = skin_in_picture(linear)
    assert skin[face_scene.truth.mask].mean() > 0.9
    np.testing.assert_array_equal(skin_in_picture(0.5 * linear), skin)
    for colour in ((0.1, 0.4, 0.1), (0.1, 0.1, 0.6), (0.4, 0.4, 0.4), (0.0, 0.0, 0.0)):
        assert not skin_in_picture(np.broadcast_to(np.array(colour), (30, 30, 3))).any()


def test_the_square_around_a_face_stays_in_the_picture() -> None:
    assert around(Box(100, 100, 70, 70), (300, 300, 3)) == Box(85, 85, 100, 100)
    near_edge = around(Box(0, 10, 70, 70), (90, 300, 3))
    assert near_edge == near_edge.inside((90, 300, 3))


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "", "1.5,2,3,4"])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="x,y,width,height"):
        parse_box(text)


@pytest.mark.parametrize("box", [Box(-1, 0, 50, 50), Box(0, 0, 101, 50), Box(10, 10, 5, 50), Box(10, 10, 50, -5)])
def test_a_box_outside_or_too_small_is_refused(box: Box) -> None:
    with pytest.raises(InputError, match="inside 100 x 80"):
        check_box(box, (80, 100, 3), 16)


def test_a_feathered_mask_is_zero_outside_and_one_well_inside() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:, 5:35] = True
    soft = feathered(mask, 6)
    assert (soft[~mask] == 0).all()
    assert (soft[mask] > 0).all()
    assert soft[39, 20] == 1  # no fall at the picture's edge
    assert np.abs(np.diff(soft, axis=1)).max() < 0.3
