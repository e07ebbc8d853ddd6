"""Learned front views: crops, pairs, a run that goes on where it was, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biofacenet.surface.frontal import frontal
from biofacenet.training.config import read_sections
from biofacenet.turning.config import FrontalConfig, built_config
from biofacenet.turning.crop import cut, places
from biofacenet.turning.network import Critic, FrontNet
from biofacenet.turning.pairs import Pairs, render_pairs
from biofacenet.turning.picture import load_front_network
from biofacenet.turning.training import train_frontal
from msfit.errors import InputError
from msfit.face.canonical import canonical_face
from msfit.face.pose import still_vertices

TINY = FrontalConfig(size=32, width=8, batch=2, steps=3, critic=0.1, critic_from=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for side in ("turned", "front"):
        (tmp_path / side).mkdir()
        for name in "abc":
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / side / f"{name}.png")
    return tmp_path


def test_crops_show_landmarks_at_the_same_places_wherever_the_face_is() -> None:
    rng = np.random.default_rng(1)
    angle, scale, shift = 0.3, 9.0, np.array([150.0, 140.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = scale * (canonical_face().vertices[:, :2] * [1, -1]) @ turn.T + shift
    picture = np.zeros((300, 300, 3))
    index = rng.choice(len(still_vertices()), 1)[0]
    column, row = landmarks[still_vertices()[index]]
    y, x = np.mgrid[:300, :300] + 0.5
    picture += np.exp(-((x - column) ** 2 + (y - row) ** 2) / 200)[..., None]
    crop = cut(picture, landmarks, 128)
    row, column = np.unravel_index(crop[..., 0].argmax(), (128, 128))
    assert np.abs(np.array([column, row]) + 0.5 - 128 * places()[index]).max() <= 1


def test_pairs_are_read_by_name_and_resized(folder: Path) -> None:
    turned, front = Pairs(folder, 32).batch([2, 0])
    assert turned.shape == front.shape == (2, 3, 32, 32)
    with Image.open(folder / "front" / "c.png") as picture:
        expected = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    assert np.array_equal(front[0], np.moveaxis(expected, 2, 0))


def test_pairs_without_the_other_half_are_refused(folder: Path) -> None:
    (folder / "front" / "b.png").unlink()
    with pytest.raises(InputError, match=r"turned.b\.png: has no picture of that name in front"):
        Pairs(folder, 32)
    with pytest.raises(InputError, match="no such folder"):
        Pairs(folder / "none", 32)


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(folder: Path, tmp_path: Path) -> None:
    config = replace(TINY, pairs=str(folder))
    whole = train_frontal(config, tmp_path / "whole")

    def stop(step: int, *_: object) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_frontal(replace(config, checkpoint_minutes=0), tmp_path / "parts", progress=stop)
    parts = train_frontal(config, tmp_path / "parts")
    assert parts.training["step"] == 3
    for one, two in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(one, two)
    loaded = load_front_network(tmp_path / "parts" / "best.safetensors")
    picture = torch.rand(1, 3, 32, 32)
    assert torch.allclose(loaded(picture), parts.network.eval()(picture), atol=0.02)  # stored in half precision


def test_a_network_learns_what_all_front_views_have_in_common(folder: Path, tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (32, 32), (200, 60, 30)).save(folder / "front" / f"{name}.png")
    plain = replace(TINY, pairs=str(folder), steps=80, critic=0.0, learning_rate=0.02)
    network = train_frontal(plain, tmp_path / "out").network
    drawn = network(torch.rand(2, 3, 32, 32)).mean(dim=(0, 2, 3)).detach()
    assert torch.allclose(drawn, torch.tensor([200, 60, 30]) / 255, atol=0.12)


def test_rendered_pairs_are_of_one_head_and_kept(tmp_path: Path) -> None:
    render_pairs(tmp_path, 0, 1, 32, 0)
    pairs = Pairs(tmp_path, 32)
    turned, front = pairs.batch(list(range(len(pairs))))
    assert len(pairs) == 6
    assert np.array_equal(front[0], front[2])
    assert not np.array_equal(turned[0], turned[2])
    written = (tmp_path / "front" / pairs.names[0]).stat().st_mtime_ns
    render_pairs(tmp_path, 0, 1, 32, 0)
    assert (tmp_path / "front" / pairs.names[0]).stat().st_mtime_ns == written


def test_the_shipped_network_is_small_and_draws_skin() -> None:
    network = load_front_network()
    assert sum(value.numel() for value in network.parameters()) < 2e6
    with torch.inference_mode():
        drawn = network(torch.full((1, 3, 96, 96), 0.5))
    assert torch.isfinite(drawn).all()


def test_shapes() -> None:
    picture = torch.rand(2, 3, 32, 48)
    assert FrontNet(8)(picture).shape == picture.shape
    assert Critic()(picture, picture).shape == (2, 1, 4, 6)


def test_configurations_are_checked() -> None:
    source, sections = read_sections("frontal")
    assert built_config(source, sections).critic > 0
    for bad, said in (({"heads": 0}, "heads"), ({"size": 50}, "multiple of 16"), ({"stride": 1}, "'stride'")):
        with pytest.raises(InputError, match=said):
            built_config("file.toml", bad)


def test_what_the_network_cannot_do_is_refused() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="expected 'geometric'"):
        frontal(picture, method="network", yaw=20)
    with pytest.raises(InputError, match="expected one of geometric, network"):
        frontal(picture, method="learned")
