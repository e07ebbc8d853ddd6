"""A person's surface, its camera, and the canonical square, on faces whose shape and pose are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

import msfit
from msfit.errors import InputError
from msfit.face.camera import Camera
from msfit.face.canonical import canonical_face
from msfit.face.correction import corrected
from msfit.face.mesh import FaceMesh
from msfit.face.pose import angles, find_pose, rotation
from msfit.face.subdivision import fine_face
from msfit.face.surface import FaceSurface, lay_surface
from msfit.face.texture import part_of_square, sample, sample_square, texels, view

SHAPE = (320, 300)
DISTANCES = pytest.mark.parametrize("distance", [100.0, math.inf])


def camera_of(yaw: float, pitch: float, roll: float, distance: float) -> Camera:
    return Camera(rotation(yaw, pitch, roll), 11.0, np.array([140.0, 170.0]), np.array([150.0, 160.0]), distance)


def photographed(camera: Camera) -> FaceMesh:
    """The landmarks of the canonical face as a camera sees them."""
    seen = camera.project(canonical_face().vertices)
    vertices = np.column_stack([seen[:, :2], -camera.scale * seen[:, 2]])
    return FaceMesh(vertices, *find_pose(vertices), 1.0, SHAPE)


def laid(camera: Camera) -> FaceSurface:
    kind = "weak-perspective" if math.isinf(camera.distance) else "perspective"
    distance = 100.0 if math.isinf(camera.distance) else camera.distance
    return lay_surface(photographed(camera), kind, distance=distance)


@DISTANCES
def test_a_camera_is_undone(distance: float) -> None:
    camera = camera_of(35, -12, 8, distance)
    points = np.random.default_rng(0).normal(size=(50, 3)) * 6
    assert_allclose(camera.unproject(camera.project(points)), points, atol=1e-9)


@DISTANCES
def test_rays_pass_through_what_they_show(distance: float) -> None:
    camera = camera_of(-50, 20, 5, distance)
    points = np.random.default_rng(1).normal(size=(50, 3)) * 6
    origin, way = camera.rays(camera.project(points)[:, :2])
    offset = points - origin
    assert_allclose(np.cross(offset, way), 0, atol=1e-8)
    assert (np.einsum("nc,nc->n", offset, way) > 0).all()
    assert_allclose(camera.view(points), -way, atol=1e-9)


def test_a_rotation_is_that_of_its_angles() -> None:
    for pose in ((0, 0, 0), (40, -20, 10), (-75, 15, -30)):
        assert_allclose(angles(rotation(*pose)), pose, atol=1e-9)
    assert_allclose(rotation(30), Rotation.from_euler("Y", 30, degrees=True).as_matrix())


@DISTANCES
@pytest.mark.parametrize("yaw", [0, 45, -70])
def test_the_surface_is_that_of_the_person_whatever_the_pose(yaw: float, distance: float) -> None:
    camera = camera_of(yaw, 10, -5, distance)
    surface = laid(camera)
    assert_allclose(surface.landmarks, canonical_face().vertices, atol=0.02)
    assert_allclose(surface.camera.project(surface.landmarks)[:, :2], photographed(camera).vertices[:, :2], atol=0.2)
    assert_allclose(angles(surface.camera.rotation), (yaw, 10, -5), atol=0.2)
    assert surface.yaw == pytest.approx(yaw, abs=0.2)


def test_hidden_landmarks_come_from_the_other_side() -> None:
    mesh = photographed(camera_of(60, 0, 0, math.inf))
    hidden = laid(camera_of(60, 0, 0, math.inf)).confidence == 0
    assert 60 < hidden.sum() < 260
    guessed = mesh.vertices + np.where(hidden, 12.0, 0)[:, None]  # the landmark model is a centimetre off
    surface = lay_surface(FaceMesh(guessed, 60, 0, 0, 1.0, SHAPE), "weak-perspective")
    sure = canonical_face().mirror[surface.confidence > 0.99]
    off = np.linalg.norm(surface.landmarks - canonical_face().vertices, axis=1)
    # of 1.9 cm, what is left is their pull on the pose
    assert np.median(off[hidden & np.isin(np.arange(468), sure)]) < 0.6
    assert_allclose(FaceSurface(surface.landmarks, surface.camera, surface.confidence, SHAPE).vertices.shape, (7257, 3))


def test_the_fine_mesh_passes_near_the_landmarks_and_is_symmetric() -> None:
    fine, face = fine_face(), canonical_face()
    vertices = fine.refine @ face.vertices
    assert np.median(np.linalg.norm(vertices[:468] - face.vertices, axis=1)) < 0.05  # cm
    assert fine.spread.shape[0] == len(vertices)
    assert_allclose(np.asarray(fine.spread.sum(axis=1)).ravel(), 1)
    assert_allclose(face.uv[face.mirror] * [-1, 1] + [1, 0], face.uv, atol=2e-3)


def test_texels_are_where_their_coordinates_say() -> None:
    at = texels(128)
    uv = at.at(fine_face().uv)
    row, column = np.divmod(at.texel, 128)
    assert_allclose(uv, (np.column_stack([column, row]) + 0.5) / 128, atol=1e-5)
    assert 0.6 < at.texel.size / 128**2 < 0.7
    forehead = part_of_square("forehead", 128)
    assert forehead.any()
    assert np.flatnonzero(forehead.any(axis=1)).max() < 64  # in the upper half
    right = part_of_square("right_cheek", 128)
    assert np.array_equal(right[:, ::-1], part_of_square("left_cheek", 128)) or (
        (right[:, ::-1] ^ part_of_square("left_cheek", 128)).mean() < 0.005
    )


@DISTANCES
def test_a_texture_drawn_and_read_again_is_the_same(distance: float) -> None:
    camera = camera_of(20, 5, 0, distance)
    surface = laid(camera)
    at = texels(256)
    row, column = np.divmod(at.texel, 256)
    square = at.square(np.sin(column / 20) + np.cos(row / 15))
    seen = view(surface, camera, SHAPE)
    picture = np.full(SHAPE, np.nan)
    picture.reshape(-1)[seen.pixel] = sample_square(square, seen.at(fine_face().uv))
    again = sample(picture, camera.project(at.at(surface.vertices))[:, :2])
    shown = surface.seen(at.at(surface.vertices), at.at(surface.normals)) & np.isfinite(again)
    frank = at.at(surface.facing) > 0.5
    assert shown.mean() > 0.6
    assert np.quantile(np.abs(again - square.ravel()[at.texel])[shown & frank], 0.95) < 0.1


def test_what_the_nose_hides_is_not_seen() -> None:
    surface = laid(camera_of(50, 0, 0, 100.0))
    at = texels(128)
    seen = at.square(surface.seen(at.at(surface.vertices), at.at(surface.normals)), False)
    facing = at.square(at.at(surface.facing))
    # the left side of the face in its square is the person's right, which looks to the camera
    assert seen[:, :50][np.nan_to_num(facing[:, :50]) > 0.5].mean() > 0.98
    behind = (facing > 0.1) & ~seen
    assert behind.sum() > 20  # beside the nose
    assert np.flatnonzero(behind.any(axis=0)).min() > 45


def test_nan_does_not_spread_and_is_told() -> None:
    picture = np.ones((10, 10), np.float32)
    picture[:, :5] = np.nan
    found = sample(picture, np.array([[7.0, 5.0], [5.2, 5.0], [2.0, 5.0], [-3.0, 5.0]]))
    assert_allclose(found, [1, 1, np.nan, np.nan])


@pytest.mark.parametrize(
    ("options", "says"),
    [({"camera": "fisheye"}, "camera: found 'fisheye'; expected one of perspective"), ({"distance": 5}, "distance: ")],
)
def test_refusals(options: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        lay_surface(photographed(camera_of(0, 0, 0, 100.0)), **options)


def test_coordinates_of_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = photographed(camera_of(15, 0, 0, 100.0))
    monkeypatch.setattr("msfit.face.coordinates.find_mesh", lambda picture, box: mesh)
    monkeypatch.setattr("msfit.face.coordinates.looked_at_twice", lambda picture, found: found)
    wavelengths = np.arange(400.0, 701, 10)
    cube = msfit.Cube(np.full((*SHAPE, 31), 0.3, np.float32), wavelengths)
    found = msfit.face_coordinates(cube)
    assert found.uv.shape == (*SHAPE, 2)
    assert 0.2 < found.seen.mean() < 0.6
    # u in texture coordinates goes through the square and back
    square = found.to_texture(found.uv[..., 0], 128)
    at = texels(128)
    read = square.ravel()[at.texel]
    known = np.isfinite(read)
    assert known.mean() > 0.6
    assert np.quantile(np.abs(read - (at.texel % 128 + 0.5) / 128)[known], 0.95) < 0.01
    assert set(found.sites()) == set(mesh.sites())
    assert_allclose(found.mesh.vertices, corrected(mesh).vertices)
    with pytest.raises(InputError, match="values: found shape"):
        found.to_texture(np.zeros((3, 3)))
    with pytest.raises(InputError, match="found 4 spectra"):
        msfit.face_coordinates(msfit.Cube(np.full((4, 31), 0.3), wavelengths))
    monkeypatch.setattr("msfit.face.coordinates.find_mesh", lambda picture, box: None)
    with pytest.raises(InputError, match="no face found"):
        msfit.face_coordinates(cube)


def mirrored(mesh: FaceMesh) -> FaceMesh:
    vertices = mesh.vertices * [-1, 1, 1] + [mesh.shape[1], 0, 0]
    return replace(mesh, vertices=vertices[canonical_face().mirror])


def test_landmarks_of_both_sides_are_corrected_alike() -> None:
    mesh = photographed(camera_of(40, 5, -3, 100.0))
    assert_allclose(mirrored(corrected(mirrored(mesh))).vertices, corrected(mesh).vertices, atol=1e-6)


def test_landmarks_are_corrected_whatever_the_size_of_the_picture() -> None:
    large = photographed(camera_of(-30, 0, 4, 100.0))
    small = replace(large, vertices=large.vertices / 2, shape=(SHAPE[0] // 2, SHAPE[1] // 2))
    assert_allclose(corrected(small).vertices, corrected(large).vertices / 2, atol=1e-6)


def test_landmarks_are_moved_a_little() -> None:
    for yaw in (0, 20, -45):
        camera = camera_of(yaw, 5, -3, 100.0)
        mesh = photographed(camera)
        moved = np.linalg.norm((corrected(mesh).vertices - mesh.vertices)[:, :2], axis=1)
        assert np.median(moved) < camera.scale  # 1 cm
