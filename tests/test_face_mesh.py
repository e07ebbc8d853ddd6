"""The face by its mesh: landmarks on rendered heads whose vertices are known, poses, zones, openings."""

from __future__ import annotations

import hashlib
import runpy
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from msfit.errors import InputError
from msfit.face import zones
from msfit.face.canonical import canonical_face
from msfit.face.crops import Square, cut
from msfit.face.mesh import FaceMesh, find_mesh
from msfit.face.pose import find_pose

SHAPE = (240, 220)


def posed(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, scale: float = 10.0) -> FaceMesh:
    """The canonical face in the middle of a picture, turned as asked [degrees]."""
    turn = Rotation.from_euler("ZXY", [roll, -pitch, yaw], degrees=True)
    vertices = turn.apply(canonical_face().vertices.copy()) * [1, -1, -1] * scale + [110, 120, 0]
    return FaceMesh(vertices, *find_pose(vertices), 1.0, SHAPE)


def test_the_mirror_is_its_own_inverse_and_keeps_the_middle() -> None:
    face = canonical_face()
    assert_array_equal(face.mirror[face.mirror], np.arange(468))
    middle = face.mirror == np.arange(468)
    assert_allclose(face.vertices[middle, 0], 0, atol=1e-9)
    assert face.uv.min() >= 0
    assert face.uv.max() <= 1
    with pytest.raises(ValueError, match="read-only"):
        face.vertices[0] = 0


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (-60, 10, 0), (20, -25, 15), (5, 30, -70), (80, 0, 10)])
def test_a_pose_is_found_again(angles: tuple[float, float, float]) -> None:
    pose = find_pose(posed(*angles).vertices)
    assert_allclose(pose, angles, atol=1e-6)


def test_the_signs_of_a_pose() -> None:
    nose = 1

    def move(**angles: float) -> np.ndarray:
        return (posed(**angles).vertices - posed().vertices)[nose]

    assert move(yaw=20)[0] > 5  # to the right of the picture
    assert move(pitch=20)[1] < -5  # up
    assert posed(roll=20).vertices[10, 0] < posed().vertices[10, 0] - 5  # the top of the forehead to the left


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 10, 5)])
def test_skin_is_the_mesh_less_its_openings(angles: tuple[float, float, float]) -> None:
    mesh = posed(*angles)
    outline, skin = mesh.outline(), mesh.skin()
    cut_out = outline & ~skin
    assert 0.005 < cut_out.sum() / outline.sum() < 0.08
    for name in zones.OPENINGS:
        assert mesh.part(name).any() or name == "mouth"  # the canonical mouth is closed
        assert not (skin & mesh.part(name)).any()
    for zone in zones.ZONES:
        less = mesh.skin(without=[zone])
        assert_array_equal(less, skin & ~mesh.part(zone))
        assert less.sum() < skin.sum()
    assert_array_equal(mesh.skin(without="brows"), mesh.skin(without=["brows"]))


def test_sites_lie_in_the_skin_and_apart_and_mirror_each_other() -> None:
    mesh = posed()
    skin, sites = mesh.skin(), mesh.sites()
    assert tuple(sites) == zones.SITES
    drawn = np.zeros(SHAPE, int)
    for name, site in sites.items():
        assert site.sum() > 30, name
        assert (site & skin).sum() > 0.95 * site.sum(), name
        drawn += site
    assert (drawn > 1).mean() < 0.001  # rims alone
    columns = np.arange(SHAPE[1])
    assert (sites["right_cheek"] * columns).sum() / sites["right_cheek"].sum() < 90  # left in the picture
    assert abs(sites["right_cheek"].sum() / sites["left_cheek"].sum() - 1) < 0.03


def test_what_is_turned_away_is_not_drawn() -> None:
    turned = posed(yaw=75)  # to the person's left: the left cheek is behind
    assert turned.part("left_cheek").sum() < 0.2 * turned.part("right_cheek").sum()


def test_a_square_is_cut_out_turned() -> None:
    y, x = np.mgrid[:300, :400]
    picture = np.stack([x / 2, y / 2, 0 * x], axis=2).astype(np.uint8)
    square = Square(200, 150, 96, np.radians(30))
    values = 255 * cut(picture, square, 48)
    centres = (np.arange(48) + 0.5) / 48
    u, v = np.meshgrid(centres, centres)
    expected = square.to_picture(np.stack([u.ravel(), v.ravel()], axis=1)).reshape(48, 48, 2)
    assert_allclose(2 * values[..., :2], expected - 0.5, atol=2.5)  # half of the position, in whole numbers
    assert (cut(picture, Square(-500, -500, 50), 16) == 0).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: posed().skin(without=["hair"]), "without: found 'hair'; expected some of brows, beard"),
        (lambda: posed().part("ear"), "name: found 'ear'; expected one of eyes"),
        (lambda: find_mesh(np.zeros((40, 40, 3))), "picture: found float64"),
        (lambda: find_mesh(np.zeros((40, 40), np.uint8)), r"picture: found uint8 \(40, 40\)"),
    ],
)
def test_refusals(call: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()  # type: ignore[operator]


def test_the_models_are_those_of_the_package() -> None:
    script = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "build_face_models.py"))
    for name, expected in script["MODELS"].items():
        content = resources.files("msfit.face").joinpath("data", f"{name}.tflite").read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected
