"""Restoration: what it must never do, and what of it can be said without trained weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from skimage.data import astronaut

from biofacenet import Model, restore
from biofacenet.cli import main
from biofacenet.photo.face import Box
from biofacenet.photo.located import Face, locate
from biofacenet.photo.reading import Photo, read_photo, write_photo
from biofacenet.restoration.blocks import measured_quality
from biofacenet.restoration.config import built_config
from biofacenet.restoration.consistency import held
from biofacenet.restoration.degradation import Degradation, Step, apply, random_hole, random_steps, summed
from biofacenet.restoration.holes import continued, hemmed, surrounded
from biofacenet.restoration.losses import Adversary, adversarial, told_apart
from biofacenet.restoration.network import Restorer, RestorerConfig, degradations, numbers_of
from biofacenet.restoration.pigments import OFFSET, directions, skin_coordinates
from biofacenet.restoration.pipeline import agreed_quality, severity
from biofacenet.restoration.prior import filled, fitted, texture_of
from biofacenet.restoration.reading import jpeg_quality, read_mask
from biofacenet.restoration.shrinkage import measured_noise
from biofacenet.restoration.skin import colours_held
from biofacenet.restoration.textures import detail, natural
from biofacenet.restoration.weights import Restoring, load_restorer, save_restorer
from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError


@pytest.fixture(scope="module")
def eager() -> Restoring:
    """An untrained network that adds something to every picture, and takes each for one made worse."""
    torch.manual_seed(1)
    network = Restorer(RestorerConfig((4, 6)))
    torch.nn.init.normal_(network.head.weight, std=0.02)
    torch.nn.init.constant_(network.numbers[2].bias, 0.6)  # type: ignore[arg-type]
    return Restoring(network.eval(), {}, "eager")


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return np.ascontiguousarray(astronaut()[20:212, 130:322])


def test_numbers_of_a_degradation_come_back() -> None:
    done = [Degradation(), Degradation(2.0, 3.0, 12.0, 40.0)]
    for there, back in zip(done, degradations(numbers_of(done)), strict=True):
        assert_allclose(back, there, rtol=1e-5, atol=1e-5)


def test_steps_add_up_in_variance_and_noise_fades_under_later_blur() -> None:
    both = summed([Step(blur=3.0, noise=10.0), Step(blur=4.0)])
    assert both.blur == pytest.approx(5.0)
    assert both.noise == pytest.approx(10 / (2 * np.sqrt(np.pi) * 4))
    assert summed([]) == Degradation()


def test_a_flat_picture_stays_flat_under_blur_and_sampling() -> None:
    flat = torch.full((1, 3, 32, 32), 0.4)
    assert_allclose(apply(flat, [Step(2.0, 4.0)], torch.Generator()), flat, atol=1e-5)


def test_random_steps_stay_in_their_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        for step in random_steps(generator):
            assert 0 <= step.blur <= 10
            assert 1 <= step.factor <= 8
            assert 0 <= step.noise <= 30
            assert 12 <= step.quality <= 100
    assert 0 < float(random_hole(32, generator).mean()) < 0.9


def test_a_hole_takes_what_surrounds_it_and_nothing_else_changes() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32).clone()
    hole = torch.zeros(1, 1, 32, 32)
    hole[..., 12:18, 12:18] = 1
    spoilt = torch.where(hole > 0, torch.tensor(9.0), ramp)
    filled = surrounded(spoilt, hole)
    assert_array_equal(filled[..., :12], ramp[..., :12])
    assert_allclose(filled[..., 12:18, 12:18], ramp[..., 12:18, 12:18], atol=0.1)


def test_skin_coordinates_undo_their_directions() -> None:
    amounts = torch.tensor([-0.5, 0.3, 0.2])
    signs = torch.tensor([1.0, -1.0, -1.0])
    linear = (directions() @ (signs * amounts)).exp() - OFFSET
    assert_allclose(skin_coordinates(linear.reshape(1, 3, 1, 1))[0, :, 0, 0], amounts, atol=1e-5)


def test_what_is_held_has_the_photographs_colour_and_keeps_unsupported_detail() -> None:
    rng = np.random.default_rng(0)
    photograph = np.full((64, 64, 3), (0.4, 0.3, 0.2), np.float32)
    detail = rng.normal(0, 0.02, (64, 64, 1)).astype(np.float32)
    network = photograph * 1.3 + detail - detail.mean()
    made = held(network, photograph, Degradation(blur=4.0), 40.0)
    assert_allclose(made.mean(axis=(0, 1)), photograph.mean(axis=(0, 1)), rtol=1e-4)
    assert np.corrcoef((made - made.mean())[..., 0].ravel(), detail.ravel())[0, 1] > 0.9


def test_what_agrees_with_the_photograph_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    picture = rng.uniform(0.2, 0.6, (48, 40, 3)).astype(np.float32)
    assert_allclose(held(picture, picture, Degradation(), 30.0), picture, atol=1e-5)


def test_noise_in_a_photograph_does_not_lighten_dark_skin() -> None:
    rng = np.random.default_rng(2)
    dark = np.full((64, 64, 3), (0.25, 0.15, 0.1), np.float32)
    noisy = (dark + rng.normal(0, 0.06, dark.shape)).clip(0, 1).astype(np.float32)
    skin = np.ones((64, 64), bool)
    by_noise = colours_held(noisy, dark, skin, 40.0)[..., 2].mean() - 0.1
    assert by_noise > 0.01  # why the photograph without its noise is what colours are held to
    assert_allclose(colours_held(dark, dark * 1.1, skin, 40.0), dark, atol=4e-3)


@pytest.mark.parametrize("quality", [20, 50, 75, 92, 98])
def test_a_files_tables_tell_its_jpeg_quality(face: np.ndarray, tmp_path: Path, quality: int) -> None:
    Image.fromarray(face).save(tmp_path / "face.jpg", quality=quality)
    assert jpeg_quality(tmp_path / "face.jpg") == pytest.approx(quality, abs=1)
    Image.fromarray(face).save(tmp_path / "face.png")
    assert jpeg_quality(tmp_path / "face.png") is None
    assert agreed_quality(quality - 10, quality) == quality
    assert agreed_quality(quality - 60, quality) == quality - 60
    assert agreed_quality(quality) == quality
    assert agreed_quality(quality, quality, quality - 20) == quality - 20


@pytest.mark.parametrize("quality", [15, 45, 60, 85])
def test_pixels_tell_that_they_were_jpeg(face: np.ndarray, tmp_path: Path, quality: int) -> None:
    Image.fromarray(face).save(tmp_path / "face.jpg", quality=quality)
    packed = np.asarray(Image.open(tmp_path / "face.jpg"))
    assert measured_quality(packed) == pytest.approx(quality, abs=2)
    assert measured_quality(face) is None
    assert measured_quality(np.asarray(Image.fromarray(packed).resize((250, 250)))) is None


@pytest.mark.parametrize("sigma", [0.0, 5.0, 15.0])
def test_noise_is_measured_where_the_picture_is_flat(face: np.ndarray, sigma: float) -> None:
    display = torch.from_numpy(face / np.float32(255)).permute(2, 0, 1)[None]
    display = torch.nn.functional.avg_pool2d(display, 5, stride=1)  # its own noise goes
    noisy = display + sigma / 255 * torch.randn(display.shape, generator=torch.Generator().manual_seed(0))
    assert measured_noise(noisy.clamp(0, 1)) == pytest.approx(sigma, abs=max(1.5, 0.15 * sigma))


def test_the_prior_of_faces_finds_what_a_hole_hides_and_fits_its_rim(face: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    mesh = locate(Photo(face)).mesh
    assert mesh is not None
    light = decode_srgb(torch.from_numpy(face / np.float32(255))).numpy()
    own = texture_of(light, mesh.vertices[:, :2])
    assert np.isfinite(own).any()
    others = own * np.exp(rng.normal(0, 0.4, (12, 1, 1, 3)) + rng.normal(0, 0.05, (12, *own.shape))).astype(np.float32)
    prior = fitted(np.concatenate([others, own[None]]).astype(np.float32), 8)
    hole = np.zeros(face.shape[:2], bool)
    x, y = mesh.vertices[159, :2].astype(int)  # an eye
    hole[y - 8 : y + 9, x - 12 : x + 13] = True
    spoilt = np.where(hole[..., None], np.float32(1), light)

    def error(made: np.ndarray) -> float:
        return float(np.square(np.sqrt(made.clip(0)) - np.sqrt(light))[hole].mean())

    located = locate(Photo(face))
    made = filled(spoilt, located, 1, hole, prior)
    assert_array_equal(made[~hole], light[~hole])
    assert error(made) < 0.5 * error(continued(spoilt, hole))
    assert_allclose(filled(spoilt, Face(located.crop), 1, hole), continued(spoilt, hole))


def test_cut_outs_of_photographs_are_pictures_and_their_detail_is_level() -> None:
    generator = torch.Generator().manual_seed(4)
    for _ in range(6):
        cut = natural(48, generator)
        assert cut.shape == (1, 3, 48, 48)
        assert 0 <= float(cut.min()) < float(cut.max())
        assert abs(float(detail(48, generator).mean())) < 0.5
    with pytest.raises(InputError, match=r"data\.crop"):
        natural(2000, generator)


def test_severity_is_nothing_for_nothing_and_grows() -> None:
    assert severity(Degradation()) == 0
    assert severity(Degradation(1.0)) < severity(Degradation(2.0)) < severity(Degradation(2.0, 2.0))


def test_strength_zero_is_the_photograph(face: np.ndarray, model: Model, eager: Restoring) -> None:
    assert_array_equal(restore(face, model, strength=0, restorer=eager).rgb, face)


def test_an_untouched_photograph_is_left_alone(face: np.ndarray, model: Model, eager: Restoring) -> None:
    calm = Restorer(eager.network.config)
    calm.load_state_dict(eager.network.state_dict())
    torch.nn.init.zeros_(calm.numbers[2].weight)  # type: ignore[arg-type]
    torch.nn.init.zeros_(calm.numbers[2].bias)  # type: ignore[arg-type]
    assert_array_equal(restore(face, model, restorer=Restoring(calm.eval(), {})).rgb, face)


def test_the_skin_of_a_face_stays_what_it_was_though_the_network_paints(
    face: np.ndarray, model: Model, eager: Restoring
) -> None:
    torch.manual_seed(3)
    painter = Restorer(eager.network.config)
    painter.load_state_dict(eager.network.state_dict())
    painter.head.bias.data[:3] = torch.tensor([0.08, 0.02, -0.05])  # lighter and warmer
    made = restore(face, model, restorer=Restoring(painter.eval(), {}))
    assert made.change is not None
    assert abs(made.change.ita) < 0.7
    assert abs(made.change.f_mel) < 0.03
    assert not np.array_equal(made.rgb, face)


def test_a_hole_is_filled_marked_and_reported(face: np.ndarray, model: Model, eager: Restoring) -> None:
    hole = np.zeros(face.shape[:2], bool)
    hole[100:130, 80:110] = True
    made = restore(face, model, hole=hole, restorer=eager)
    assert_array_equal(made.invented, hole)
    assert made.report["invented"]["holes"] == pytest.approx(hole.mean(), abs=1e-5)
    assert (made.marked()[hole] != made.rgb[hole]).any()
    painted = face.copy()
    painted[hole] = 255
    again = restore(painted, model, hole=hole, restorer=eager)
    assert_allclose(again.rgb[hole].astype(int), made.rgb[hole].astype(int), atol=1)


def test_enlargement_alpha_and_depth_are_kept(face: np.ndarray, model: Model, eager: Restoring) -> None:
    deep = np.dstack([face, np.full(face.shape[:2], 255, np.uint8)]).astype(np.uint16) * 257
    deep[:20, :, 3] = 0
    made = restore(deep, model, scale=2, restorer=eager)
    assert made.rgb.dtype == np.uint16
    assert made.rgb.shape == (2 * face.shape[0], 2 * face.shape[1], 3)
    assert made.alpha is not None
    assert (made.alpha[:36] == 0).all()
    assert (made.alpha[60:] == 65535).all()


def test_greyscale_stays_grey_and_claims_no_pigments(face: np.ndarray, model: Model, eager: Restoring) -> None:
    made = restore(face[..., 1], model, restorer=eager)
    assert made.grey
    assert made.change is None
    assert (np.ptp(made.rgb.astype(int), axis=2) == 0).all()
    with pytest.raises(InputError, match="no pigments"):
        made.maps(model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": 3}, "scale: found 3; expected 1, 2 or 4"),
        ({"strength": 1.5}, "strength: found 1.5; expected a number from 0 to 1"),
        ({"strength": float("nan")}, "strength: found nan"),
        ({"hole": np.zeros((4, 4), bool)}, "hole: found 4 x 4 pixels; expected 192 x 192"),
        ({"hole": np.ones((192, 192), bool)}, "hole: covers the whole"),
        ({"hole": np.zeros((192, 192))}, "hole: found float64"),
        ({"restorer": "none such"}, "restorer: found 'none such'"),
        ({"box": "there"}, "box: found 'there'"),
        ({"strenght": 1}, "strength"),
    ],
)
def test_other_arguments_are_refused(
    face: np.ndarray, model: Model, eager: Restoring, options: dict[str, object], said: str
) -> None:
    with pytest.raises((InputError, TypeError), match=said.replace("(", r"\(")):
        restore(face, model, **{"restorer": eager, **options})  # type: ignore[arg-type]


def test_without_a_face_only_the_whole_is_restored(model: Model, eager: Restoring) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="no face found"):
        restore(picture, model, restorer=eager)
    made = restore(picture, model, box="whole", restorer=eager)
    assert made.change is None
    assert "without physics" in made.notes[0]


def test_weights_come_back_and_damaged_ones_are_refused(eager: Restoring, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_restorer(eager.network, path, {"steps": 1})
    again = load_restorer(path)
    both = [one.network(torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, 1, 8, 8)) for one in (eager, again)]
    assert_array_equal(both[0].display.detach(), both[1].display.detach())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_restorer(path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match="not the configuration of a restoration network"):
        load_restorer(path)


def test_the_adversary_and_its_opponent_pay_for_opposite_things() -> None:
    torch.manual_seed(0)
    adversary, found, clean = (
        Adversary((4, 4, 4)).eval().requires_grad_(False),
        torch.rand(2, 3, 32, 32),
        torch.rand(2, 3, 32, 32),
    )
    gap = (adversary(2 * clean - 1).mean() - adversary(2 * found - 1).mean()).detach()
    assert float(told_apart(adversary, found, clean).detach()) == pytest.approx(2 - float(gap), abs=0.2)
    assert float(adversarial(adversary, found).detach()) == pytest.approx(
        -float(adversary(2 * found - 1).mean()), abs=1e-6
    )


def test_configurations_refuse_what_they_do_not_know() -> None:
    for content, said in (
        ({"data": {"crop": 90}}, "multiple of 16"),
        ({"loss": {"weights": {"beauty": 1.0}}}, "beauty"),
        ({"training": {"steps": 0}}, "training.steps"),
        ({"model": {}}, "expected task"),
    ):
        with pytest.raises(InputError, match=said):
            built_config("own.toml", content)


def test_the_command_writes_picture_and_report(
    face: np.ndarray, weights: Path, eager: Restoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photo(tmp_path / "face.png", face)
    save_restorer(eager.network, tmp_path / "own.safetensors", {})
    command = ["restore", str(tmp_path / "face.png"), "-o", str(tmp_path / "out.png"), "--weights", str(weights)]
    command += ["--restorer", str(tmp_path / "own.safetensors")]
    assert main([*command, "--report", str(tmp_path / "out.json"), "--show-invented"]) == 0
    said = capsys.readouterr().out
    assert "blur" in said
    assert "ITA" in said
    assert read_photo(tmp_path / "out.png").rgb.shape == face.shape
    assert json.loads((tmp_path / "out.json").read_text())["physics"] is True
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err


def test_an_animation_is_refused_and_greyscale_is_written_grey(
    face: np.ndarray, weights: Path, eager: Restoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_restorer(eager.network, tmp_path / "own.safetensors", {})
    options = ["--weights", str(weights), "--restorer", str(tmp_path / "own.safetensors")]
    moving = [Image.fromarray(face), Image.fromarray(face[::-1].copy())]
    moving[0].save(tmp_path / "moving.gif", save_all=True, append_images=moving[1:])
    assert main(["restore", str(tmp_path / "moving.gif"), "-o", str(tmp_path / "a.png"), *options]) == 2
    assert "an animation of 2 pictures" in capsys.readouterr().err
    deep = face[..., 1].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "grey.png")
    assert main(["restore", str(tmp_path / "grey.png"), "-o", str(tmp_path / "b.png"), *options]) == 0
    with Image.open(tmp_path / "b.png") as made:
        assert made.mode.startswith("I")


@pytest.mark.parametrize("corner", [(slice(0, 90), slice(None)), (slice(60, None), slice(60, None))])
def test_a_hole_at_the_edge_of_the_picture_is_no_darker_than_around_it(corner: tuple[slice, slice]) -> None:
    """Large ones too, which are solved on fewer pixels; whatever stood in the hole, and beside a steep slope."""
    y, x = np.mgrid[:160, :160] / 160
    picture = np.stack([0.5 + 0.2 * x, 0.5 + 0.2 * y, 0.6 - 0.1 * x], -1).astype(np.float32)
    hole = np.zeros((160, 160), bool)
    hole[corner] = True
    picture -= 0.3 * np.exp(-100 * ((y - 0.6) ** 2 + (x - 0.3) ** 2))[..., None].astype(np.float32)
    filled = [hemmed(np.where(hole[..., None], value, picture), hole) for value in (0.0, 1.0)]
    assert_allclose(filled[0], filled[1], atol=1e-5)
    assert filled[0][hole].min() > picture[~hole].min() - 0.01
    assert filled[0][hole].max() < picture[~hole].max() + 0.01


def test_a_mask_without_white_is_refused(face: np.ndarray, tmp_path: Path) -> None:
    shape = face.shape
    Image.fromarray(np.zeros(shape[:2], np.uint8)).save(tmp_path / "black.png")
    for hole in (tmp_path / "black.png", np.ones(shape[:2], np.uint8)):
        with pytest.raises(InputError, match="no pixel is brighter than half"):
            read_mask(hole, shape)
    with pytest.raises(InputError, match="shape"):
        read_mask(np.array(True), shape)
    assert not read_mask(np.zeros(shape[:2], bool), shape).any()


def test_a_hole_over_the_whole_face_claims_nothing_about_its_skin(
    face: np.ndarray, weights: Path, eager: Restoring
) -> None:
    hole = np.zeros(face.shape[:2], bool)
    hole[20:170, 20:170] = True
    made = restore(face, str(weights), hole=hole, box=Box(24, 24, 140, 140), restorer=eager)
    assert made.change is None
    assert any("whole face" in note for note in made.notes)
    json.dumps(made.report, allow_nan=False)
    untouched = restore(
        face, str(weights), hole=hole, box=Box(24, 24, 140, 140), restorer=eager, strength=np.float32(0)
    )
    assert_array_equal(untouched.rgb, face)
    assert not untouched.invented.any()
