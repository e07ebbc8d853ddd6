"""The whole face: light found, hidden texels completed, photographs joined, front views and files."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from skimage.transform import SimilarityTransform, warp

import biofacenet
import msfit
from biofacenet.cli import main
from biofacenet.photo.located import Face
from biofacenet.photo.reading import Photo
from biofacenet.surface import unwrap as unwrapping
from biofacenet.surface.colour import SkinColour
from biofacenet.surface.completion import Known, complete, features
from biofacenet.surface.files import check_folder
from biofacenet.surface.frontal import draw
from biofacenet.surface.light import FoundLight, coarse, directions, find_light
from biofacenet.surface.record import _as_fine_as_texels
from biofacenet.surface.surroundings import carried_along
from biofacenet.surface.unwrap import FaceTexture
from msfit.colour.colorimetry import rgb_weights
from msfit.data.result import Status
from msfit.errors import InputError, InputWarning
from msfit.face.camera import Camera
from msfit.face.canonical import canonical_face
from msfit.face.correction import corrected
from msfit.face.mesh import FaceMesh, looked_at_twice
from msfit.face.pose import angles, find_pose, rotation, still_vertices
from msfit.face.surface import FaceSurface
from msfit.face.texture import SHEET_CM, texels
from msfit.skin.models import get_model
from msfit.synth import Scene
from msfit.synth.appearance import random_surface, texture_sheets
from msfit.synth.appearance import surface as dress
from msfit.synth.buffers import CAMERA_DISTANCE, TURNED_ABOUT, Pose, trace
from msfit.synth.light import random_light
from msfit.synth.mesh import template
from msfit.synth.people import subjects
from msfit.synth.sampling import reference_weights
from msfit.synth.scene import coat, shading
from msfit.synth.shape import random_shape
from msfit.synth.shape import rotation as turned
from msfit.synth.spectra import random_palette
from msfit.synth.texture import random_texture

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'msfit[face]'")

SIZE = 128


def canonical_surface(yaw: float) -> FaceSurface:
    camera = Camera(rotation(yaw), 10.0, np.array([120.0, 120.0]), np.array([120.0, 120.0]), math.inf)
    return FaceSurface(canonical_face().vertices, camera, np.ones(468), (240, 240))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One rendered head turned to both sides and to the front, as PNG files."""
    folder = tmp_path_factory.mktemp("photographs")
    person = subjects("validation")[3]
    made = {}
    for name, yaw in (("left", 0.55), ("right", -0.55), ("front", 0.0)):
        pose = Pose(yaw, 0.0, 0.0, 12.4, (0.0, -0.4))
        buffers = trace(np.random.default_rng(5), 256, pose, eyes_open=1.0, count=128)
        rng = np.random.default_rng(6)
        palette = random_palette(rng, person.ita)
        dressed = dress(
            buffers, texture_sheets(random_texture(rng, 384, person.ita, beard=False)), palette, random_surface(rng)
        )
        i_d, i_s = shading(buffers, dressed, random_light(np.random.default_rng(7), 128))
        spectra, _ = coat(dressed, person, palette.brow, "measured", "alotaibi-smith-2019")
        weights = reference_weights()
        linear = np.full((256 * 256, 3), 0.2)
        linear[buffers.pixel] = 0.8 * (i_d[:, None] * (spectra @ weights) + i_s[:, None] * weights.sum(axis=0))
        encoded = np.where(linear > 0.0031308, 1.055 * np.clip(linear, 0, 1) ** (1 / 2.4) - 0.055, 12.92 * linear)
        made[name] = folder / f"{name}.png"
        Image.fromarray(np.rint(255 * encoded.clip(0, 1)).astype(np.uint8).reshape(256, 256, 3)).save(made[name])
    return made


@pytest.fixture(scope="module")
def left(photographs: dict[str, Path]) -> FaceTexture:
    return biofacenet.unwrap(photographs["left"], size=SIZE)


def test_directions_are_even() -> None:
    ways = directions()
    assert_allclose(np.linalg.norm(ways, axis=1), 1)
    assert abs(ways[:, :2].mean(axis=0)).max() < 0.01


def test_the_light_is_found_and_shades_the_turned_head() -> None:
    turned, ways = canonical_surface(40), directions()
    sun = np.exp((ways @ np.array([0.7, 0.3, 0.648]) - 1) / 0.08)
    truth = FoundLight(3 * sun + 0.25, 0.0, 0.8)
    diffuse, gloss = truth.at(turned, turned.camera)
    facing = np.clip(turned.facing[: coarse()], 0, 1)
    facing *= turned.seen(turned.vertices[: coarse()], turned.normals[: coarse()])
    found, as_seen, _ = find_light(turned, diffuse[: coarse()], gloss[: coarse()] + 0.1, facing)
    assert_allclose(as_seen, found.at(turned, turned.camera)[0])
    front = turned.turned()
    expected, shine = truth.at(turned, front)
    shown, glossy = found.at(turned, front)
    seen = turned.normals[:, 2] > 0.3
    assert np.abs(shown - expected)[seen].mean() < 0.04 * expected[seen].mean()
    assert found.gloss == pytest.approx(0.8, rel=0.1)  # the haze is not gloss
    assert np.abs(glossy - shine)[seen].mean() < 0.15 * shine[seen].mean()
    lost, _, _ = find_light(turned, np.full(coarse(), np.nan), np.zeros(coarse()), facing)
    assert np.isfinite(lost.at(turned, front)[0]).all()


def symmetric(size: int = SIZE) -> np.ndarray:
    across, down = np.meshgrid(np.abs(np.linspace(-1, 1, size)), np.linspace(-1, 1, size))
    return np.stack([0.1 + 0.03 * across + 0.02 * down, 0.05 - 0.01 * across**2], axis=2)


def test_the_other_side_is_mirrored_without_its_moles() -> None:
    values, weight = symmetric(), np.zeros((SIZE, SIZE), np.float32)
    weight[:, : SIZE // 2 + 6] = 1
    spotted = values.copy()
    spotted[62:66, 24:28] += 0.2
    found = complete(spotted, weight)
    face = found.known > 0
    assert_allclose(found.values[found.known == Known.SEEN], spotted[found.known == Known.SEEN], atol=1e-6)
    mirrored = found.known == Known.MIRRORED
    assert mirrored.sum() > 0.3 * face.sum()
    assert np.abs(found.values - values)[mirrored].max() < 0.02  # a tenth of the mole
    assert np.abs(found.values - values)[mirrored].mean() < 0.001
    assert np.isnan(found.values[~face]).all()


def test_features_are_mirrored_with_their_detail() -> None:
    values, weight = symmetric(), np.zeros((SIZE, SIZE), np.float32)
    weight[:, : SIZE // 2 + 6] = 1
    brow = features(SIZE) > 0.95
    values[brow] += 0.1
    found = complete(values, weight)
    hidden = brow & (found.known == Known.MIRRORED)
    assert hidden.sum() > 50
    assert np.abs(found.values - values)[hidden].mean() < 0.02


def test_a_side_that_is_darker_stays_so_beyond_the_seam() -> None:
    values, weight = np.zeros((SIZE, SIZE, 1)), np.zeros((SIZE, SIZE), np.float32)
    values[:, SIZE // 2 :] = 0.1
    weight[:, : SIZE // 2 + 12] = 1
    found = complete(values, weight).values[40:90, :, 0]
    assert found[:, SIZE // 2 + 14].min() > 0.06  # near the seam as seen there
    assert np.nanmin(found[:, SIZE // 2 + 14 :]) > -0.001


def test_without_a_mirror_the_rest_is_smooth() -> None:
    weight = np.zeros((SIZE, SIZE), np.float32)
    weight[:, : SIZE // 2] = 1
    found = complete(symmetric(), weight, mirror=False)
    assert Known.MIRRORED not in found.known
    filled = found.values[found.known == Known.FILLED]
    assert filled[:, 0].min() > 0.07
    assert filled[:, 0].max() < 0.16


def test_nothing_is_invented_of_nothing() -> None:
    found = complete(np.full((SIZE, SIZE, 1), np.nan), np.zeros((SIZE, SIZE)))
    assert_allclose(found.values[found.known > 0], 0, atol=1e-6)
    assert (found.known[found.known > 0] == Known.FILLED).all()


def test_colours_of_the_darkest_skin_are_positive() -> None:
    wavelengths = np.arange(400.0, 721, 10)
    weights = rgb_weights(wavelengths)
    for model in ("alotaibi-smith-2019", "msfit-issa-2026"):
        nm = wavelengths[wavelengths <= get_model(model).wavelength_range[1]]
        colour = SkinColour(model, nm, rgb_weights(nm) if nm.size < wavelengths.size else weights)
        f_mel, f_blood = np.meshgrid(np.linspace(0, colour.highest[0], 40), np.linspace(0, colour.highest[1], 40))
        assert colour(f_mel, f_blood).min() > 0
        light = colour(np.array([0.03]), np.array([0.03]))
        exact = msfit.reflectance(0.03, 0.03, nm, model=model) @ rgb_weights(nm)
        assert_allclose(light[0], exact, rtol=5e-3)


def test_a_texture_says_how_each_texel_is_known(left: FaceTexture) -> None:
    shares = left.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["seen"] > 0.4
    assert shares["mirrored"] > 0.15
    face = left.known > 0
    assert face.sum() == texels(SIZE).texel.size
    for name in ("f_mel", "f_blood", "i_s", "facing"):
        values = getattr(left, name)
        assert np.isfinite(values[face]).all(), name
        assert np.isnan(values[~face]).all(), name
    assert left.f_mel[face].min() >= 0
    assert left.doubtful[left.known == Known.MIRRORED].all()
    assert (left.facing[left.known == Known.SEEN] > 0.25).all()
    # the head looks to the right of the picture, so its own right side is seen: the left half of the square
    assert (left.known[:, : SIZE // 2] == Known.SEEN).sum() > 1.5 * (left.known[:, SIZE // 2 :] == Known.SEEN).sum()
    assert float(str(left.attrs["yaw"])) == pytest.approx(31.5, abs=4)


def test_landmarks_are_nearer_to_those_of_the_head_once_corrected(photographs: dict[str, Path]) -> None:
    shape = random_shape(np.random.default_rng(5), eyes_open=1.0)
    points = (template().refine @ shape.control)[:468]
    for name, yaw in (("left", 0.55), ("right", -0.55)):
        seen = (points - TURNED_ABOUT) @ turned(yaw, 0.0, 0.0).T + TURNED_ABOUT - [0.0, -0.4, 0.0]
        near = CAMERA_DISTANCE / (CAMERA_DISTANCE - seen[:, 2:])
        truth = 128 + 128 / 12.4 * near * seen[:, :2] * [1, -1]
        mesh = biofacenet.face_mesh(photographs[name])
        made = corrected(looked_at_twice(biofacenet.read_photo(photographs[name]).rgb, mesh))
        before, after = (np.linalg.norm(one.vertices[:, :2] - truth, axis=1) for one in (mesh, made))
        assert np.median(after) < 0.85 * np.median(before)


def test_a_view_as_photographed_is_the_photograph(left: FaceTexture) -> None:
    one = left.records[0]
    pose = angles(one.surface.camera.rotation)
    made = draw(dataclasses.replace(left), yaw=pose.yaw, pitch=pose.pitch)
    well = made.known == Known.SEEN
    off = np.abs(made.linear - one.linear).max(axis=2)[well]
    assert well.sum() > 5000
    assert np.median(off) < 0.03  # roll is taken out, so pixels move a little


def test_the_front_view_is_nearer_to_the_truth_than_the_photograph(
    photographs: dict[str, Path], left: FaceTexture
) -> None:
    truth = biofacenet.read_photo(photographs["front"]).rgb / 255.0
    before = biofacenet.read_photo(photographs["left"]).rgb / 255.0
    made = draw(left)
    aim = biofacenet.face_mesh(photographs["front"])
    surface = left.records[0].surface
    still = still_vertices()
    own = surface.turned().project(surface.landmarks)[still, :2]
    was = biofacenet.face_mesh(photographs["left"]).vertices[still, :2]

    def error(picture: np.ndarray, places: np.ndarray) -> float:
        moved = SimilarityTransform.from_estimate(aim.vertices[still, :2], places)
        return float(np.square(warp(picture, moved, mode="edge") - truth)[aim.skin()].mean())

    assert error(made.rgb / 255.0, own) < 0.6 * error(before, was)
    alone = draw(left, face_only=True)
    assert (alone.linear[alone.known == 0] == 0).all()
    shown = draw(left, show_invented=True)
    blue = shown.known == Known.MIRRORED
    assert (shown.linear - made.linear)[blue][:, 2].mean() > 0.1
    assert sum(made.shares().values()) == pytest.approx(1)


@pytest.mark.parametrize("yaw", [0.0, 4.0, -4.0])
def test_surroundings_of_a_face_that_looks_ahead_stay(yaw: float) -> None:
    y, x = np.mgrid[:240, :240] / 240.0
    picture = np.stack([x, y, x * y], axis=2).astype(np.float32)
    surface = canonical_surface(yaw)
    moved = carried_along(picture, surface, surface.turned())
    assert np.abs(moved - picture).max() < 0.06
    assert np.abs(moved - picture).mean() < 0.01


def test_another_light_changes_the_colour_and_not_the_white(left: FaceTexture) -> None:
    as_is, lamp = draw(left), draw(left, light="F11")
    face = as_is.known == Known.SEEN
    moved = np.abs(lamp.linear - as_is.linear)[face]
    assert 1e-4 < moved.mean() < 0.05
    assert_allclose(lamp.linear[as_is.known == 0], as_is.linear[as_is.known == 0])
    with pytest.raises(InputError, match="illuminant"):
        draw(left, light="moonlight")


@pytest.fixture(scope="module")
def both(photographs: dict[str, Path]) -> FaceTexture:
    return biofacenet.unwrap([photographs["left"], photographs["right"]], size=SIZE)


@pytest.mark.parametrize("column", [0.3, 0.42, 0.58, 0.7])
def test_a_mole_stays_on_its_side_when_photographs_are_joined(both: FaceTexture, column: float) -> None:
    """4 mm wide, in every photograph that shows the place."""
    v, u = np.mgrid[:SIZE, :SIZE] / SIZE
    mole = 0.1 * np.exp(-0.5 * ((u - column) ** 2 + (v - 0.55) ** 2) / 0.008**2)
    records = tuple(dataclasses.replace(one, f_mel=(one.f_mel + mole).astype(np.float32)) for one in both.records)
    added = unwrapping.textured(records).f_mel - both.f_mel
    row = round(0.55 * SIZE)
    assert added[row, round(column * SIZE)] > 0.08
    assert abs(added[row, round((1 - column) * SIZE)]) < 0.005


def test_two_photographs_see_more_than_one(both: FaceTexture, left: FaceTexture) -> None:
    assert both.shares()["seen"] > left.shares()["seen"] + 0.1
    assert len(both.records) == 2
    again = unwrapping.textured((left.records[0], left.records[0]))
    seen = again.known == Known.SEEN
    assert np.abs(again.f_mel - left.f_mel)[seen].mean() < 1e-3
    assert np.abs(again.f_mel - left.f_mel)[seen].max() < 0.03


def test_photographs_of_two_people_are_told_apart(left: FaceTexture) -> None:
    one = left.records[0]
    darker = dataclasses.replace(one, f_mel=3 * one.f_mel)
    with pytest.warns(InputWarning, match=r"f_mel is 3\.00 times that of"):
        unwrapping.textured((one, darker))


def test_photographs_that_are_finer_than_texels_are_reduced() -> None:
    camera = Camera(rotation(20), 11.0, np.array([150.0, 160.0]), np.array([150.0, 160.0]), 100.0)
    seen = camera.project(canonical_face().vertices)
    vertices = np.column_stack([seen[:, :2], -camera.scale * seen[:, 2]])
    mesh = FaceMesh(vertices, *find_pose(vertices), 1.0, (320, 300))
    ramp = np.broadcast_to(np.arange(300, dtype=np.uint16)[None, :, None] * 200, (320, 300, 3))
    face = Face(biofacenet.Box(40, 60, 220, 200), mesh=mesh)
    small, there, step = _as_fine_as_texels(Photo(ramp), face, mesh, 64)
    assert step == pytest.approx(11 * SHEET_CM / 64, rel=0.02)
    assert small.rgb.shape[:2] == there.mesh.shape == (there.crop.height, there.crop.width)
    # a landmark shows the same place
    x, y = there.mesh.vertices[1, :2]
    assert small.rgb[int(y), int(x), 0] / 200 == pytest.approx(vertices[1, 0], abs=step)
    assert _as_fine_as_texels(Photo(ramp), face, mesh, 512)[2] == 1


def test_files(left: FaceTexture, tmp_path: Path) -> None:
    left.save(tmp_path / "texture.h5")
    with h5py.File(tmp_path / "texture.h5") as file:
        assert_allclose(file["f_mel"][:], left.f_mel)
        assert file["surface/vertices"].shape == (7257, 3)
        assert file["known"].attrs["description"].startswith("0 outside")
    left.save(tmp_path / "texture")
    about = json.loads((tmp_path / "texture" / "texture.json").read_text())
    stored = np.array(Image.open(tmp_path / "texture" / "f_mel.png"), np.float64)
    low, high = about["ranges"]["f_mel"]["0"], about["ranges"]["f_mel"]["65535"]
    face = left.known > 0
    assert_allclose((low + stored / 65535 * (high - low))[face], left.f_mel[face], atol=1e-5)
    with pytest.raises(InputError, match=r"expected \.h5, \.glb, or a folder"):
        left.save(tmp_path / "texture.obj")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texture", "texture.h5"]


def test_a_folder_that_holds_anything_else_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "texture"
    check_folder(folder)
    folder.mkdir()
    (folder / "albedo.png").write_bytes(b"")
    (folder / "texture.json").write_text("{}")
    check_folder(folder)
    (folder / "holiday.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds 'holiday.png', which is no part of a texture and would be lost"):
        check_folder(folder)
    with pytest.raises(InputError, match="found a file"):
        check_folder(folder / "albedo.png")


def test_gltf_has_the_surface_and_the_maps(left: FaceTexture, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    left.save(tmp_path / "face.glb")
    (mesh,) = trimesh.load(tmp_path / "face.glb").geometry.values()
    assert len(mesh.faces) == 14368
    assert 0.1 < np.ptp(mesh.vertices[:, 1]) < 0.3  # metres
    content = (tmp_path / "face.glb").read_bytes()
    tree = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    names = [variant["name"] for variant in tree["extensions"]["KHR_materials_variants"]["variants"]]
    assert names == ["albedo", "f_mel", "f_blood", "i_s", "known"]


def node_modules(*packages: str) -> Path:
    """The folder of packages from npm, or skip."""
    for folder in (Path(__file__).parents[2] / "node_modules", Path.cwd() / "node_modules"):
        if all((folder / package).is_dir() for package in packages):
            return folder
    pytest.skip(f"not installed: npm install {' '.join(packages)}")


def test_gltf_is_valid(left: FaceTexture, tmp_path: Path) -> None:
    node = shutil.which("node") or pytest.skip("node is not installed")
    modules = node_modules("gltf-validator")
    left.save(tmp_path / "face.glb")
    script = (
        f"require({json.dumps(str(modules / 'gltf-validator'))})"
        f".validateBytes(new Uint8Array(require('fs').readFileSync({json.dumps(str(tmp_path / 'face.glb'))})))"
        ".then(report => console.log(JSON.stringify(report.issues)))"
    )
    issues = json.loads(subprocess.run([node, "-e", script], check=True, capture_output=True, text=True).stdout)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


@pytest.mark.slow
def test_gltf_is_drawn_by_a_browser(left: FaceTexture, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or pytest.skip("no Chromium is installed")
    viewer = node_modules("@google/model-viewer") / "@google" / "model-viewer" / "dist" / "model-viewer.min.js"
    left.save(tmp_path / "face.glb")
    page_source = (
        '<script type="module" src="viewer.js"></script><body style="margin:0"><model-viewer src="face.glb" '
        'camera-orbit="0deg 90deg auto" style="width:400px;height:400px" interaction-prompt="none"></model-viewer>'
    )
    files = {
        "/": ("text/html", page_source.encode()),
        "/viewer.js": ("text/javascript", viewer.read_bytes()),
        "/face.glb": ("model/gltf-binary", (tmp_path / "face.glb").read_bytes()),
    }

    def answer(route: Any) -> None:
        kind, body = files.get(urlsplit(route.request.url).path, ("", b""))
        route.fulfill(status=200 if kind else 404, content_type=kind, body=body)

    with api.sync_playwright() as playwright:
        software = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        browser = playwright.chromium.launch(executable_path=chromium, args=software)
        page = browser.new_page(viewport={"width": 400, "height": 400})
        page.route("**/*", answer)
        page.goto("http://face.test/")
        page.wait_for_function("document.querySelector('model-viewer').modelIsVisible", timeout=120_000)
        drawn = []
        for variant in ("albedo", "known"):
            page.evaluate(
                "async name => { const viewer = document.querySelector('model-viewer'); viewer.variantName = name;"
                " await viewer.updateComplete; await new Promise(done => setTimeout(done, 500)); }",
                variant,
            )
            drawn.append(page.evaluate("document.querySelector('model-viewer').toDataURL()"))
        browser.close()
    albedo, known = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one.split(",")[1]))).convert("RGBA"), float) for one in drawn
    )
    face = albedo[..., 3] > 128
    assert 0.2 < face.mean() < 0.9
    assert abs(face[:, :200].mean() - face[:, 200:].mean()) < 0.1  # looks at the viewer
    red, green, blue = np.median(albedo[face], axis=0)[:3]
    assert red > green > blue  # skin
    assert np.abs(albedo - known)[face].mean() > 10
    Image.fromarray(albedo.astype(np.uint8)).save(tmp_path / "albedo.png")


def test_the_command_line(photographs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "front.png"
    assert main(["frontal", str(photographs["left"]), "-o", str(out), "--light", "D65"]) == 0
    assert Image.open(out).size == (256, 256)
    assert "% mirrored" in capsys.readouterr().out
    assert main(["frontal", str(photographs["left"]), "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    target = tmp_path / "texture.glb"
    assert main(["unwrap", str(photographs["left"]), str(photographs["right"]), "-o", str(target), "--size", "64"]) == 0
    assert target.stat().st_size > 100_000
    capsys.readouterr()
    for arguments, says in (
        (["unwrap", str(photographs["left"]), "-o", str(tmp_path / "t.obj")], "expected a file name that ends in"),
        (["unwrap", str(photographs["left"]), "-o", str(tmp_path / "t.h5"), "--size", "8"], "size: found 8"),
        (["frontal", str(photographs["left"]), "-o", str(tmp_path / "f.png"), "--yaw", "95"], "yaw, pitch: found 95"),
        (["frontal", str(photographs["left"]), "-o", str(photographs["left"])], "input"),
        (["frontal", str(tmp_path / "none.png"), "-o", str(tmp_path / "f.png")], "cannot be read"),
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "f.png").exists()


def test_refusals(photographs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no face found; give its place \(box: x,y,width,height\)$"):
        biofacenet.frontal(np.random.default_rng(0).integers(90, 140, (200, 200, 3)).astype(np.uint8))
    with pytest.raises(InputError, match="photos: found none"):
        biofacenet.unwrap([])
    with pytest.raises(InputError, match="box: found one for 2 photographs"):
        biofacenet.unwrap([photographs["left"]] * 2, box=biofacenet.Box(0, 0, 100, 100))
    monkeypatch.setattr("biofacenet.surface.record.LARGEST_YAW", 20.0)
    with pytest.raises(InputError, match=r"left\.png: the head is turned by [23]\d degrees; expected 20 or less"):
        biofacenet.unwrap(photographs["left"])


def test_two_faces_are_told(photographs: dict[str, Path]) -> None:
    one = biofacenet.read_photo(photographs["front"]).rgb
    large = np.array(Image.fromarray(one).resize((300, 300)))
    side = np.full((300, 256, 3), large[0, 0], np.uint8)
    side[20:276] = one
    texture = biofacenet.unwrap(np.concatenate([large, side], axis=1), size=64)
    assert texture.records[0].notes == ("2 faces found; the largest is taken (box: x,y,width,height for another)",)


def test_a_fitted_scene_gives_its_own_pigments(face_scene: Scene) -> None:
    truth = face_scene.truth
    maps = {name: np.where(truth.mask, getattr(truth, name), np.nan) for name in ("f_mel", "f_blood", "i_d", "i_s")}
    result = msfit.FitResult(
        **maps,
        rmse=np.zeros(truth.mask.shape),
        status=np.where(truth.mask, 0, Status.MASKED_BY_USER).astype(np.uint16),
        model="alotaibi-smith-2019",
        bounds={},
        wavelengths=truth.wavelengths,
        cube=face_scene.cube,
    )
    texture = biofacenet.unwrap(result, size=SIZE)
    seen = texture.known == Known.SEEN
    assert seen.mean() > 0.2
    low, high = np.nanquantile(maps["f_mel"], [0.02, 0.98])
    assert low < np.median(texture.f_mel[seen]) < high
    read = msfit.face_coordinates(result).to_texture(maps["f_mel"], SIZE)
    both = seen & np.isfinite(read) & (texture.facing > 0.7)
    assert np.median(np.abs(texture.f_mel - read)[both]) < 1e-3
    made = biofacenet.frontal(result, yaw=20, light="A")
    red, _, blue = made.linear[made.known == Known.SEEN].mean(axis=0)
    assert red > blue
    spectra = msfit.FitResult(*np.ones((5, 9)), np.zeros(9, np.uint16), result.model, {}, truth.wavelengths)
    with pytest.raises(InputError, match="found a result of 9 spectra"):
        biofacenet.unwrap(spectra)
