"""Photographs in training: batches of both kinds of folder, and the losses that they can bear."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from biofacenet.data.folder import Selection, prepare
from biofacenet.data.photographs import Photographs
from biofacenet.training.run import train
from msfit.errors import InputError


@pytest.fixture
def prepared(face: np.ndarray, tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.fromarray(np.roll(face, 5 * number, axis=1)).save(photos / f"{number}.png")
    prepare([photos], tmp_path / "prepared", Selection(size=64, skin=0.05))
    return tmp_path / "prepared"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    faces = np.zeros((2, 10, 64, 64), np.float32)
    faces[:, :3] = rng.uniform(0.2, 0.8, (2, 3, 64, 64)) * np.array([1.0, 0.7, 0.5])[:, None, None]
    faces[:, 5], faces[:, 6, 16:48, 16:48] = 1.0, 1.0
    lights = np.zeros((2, 3, 9), np.float32)
    lights[:, :, 0] = 1.0
    for kind, values in (("d10_inmc", faces), ("d3_lrgb", lights)):
        with h5py.File(tmp_path / f"zx_7_{kind}_celebA_01.hdf5", "w") as file:
            file["zx_7"] = values
    return tmp_path


def test_each_photograph_comes_once_before_any_comes_twice(prepared: Path) -> None:
    batches = Photographs(prepared, 2, 32)
    seen = torch.cat([batches[step].picture for step in range(2)])
    assert seen.shape == (4, 3, 32, 32)
    assert len({values.numpy().tobytes() for values in seen}) == 3
    torch.testing.assert_close(batches[0].picture, Photographs(prepared, 2, 32)[0].picture)
    batch = batches[0]
    assert batch.m_mel is None
    assert batch.i_d is None
    assert set(batch.mask.unique().tolist()) <= {0.0, 1.0}
    batches.close()


def test_pairs_bring_their_shading(pairs: Path) -> None:
    batch = Photographs(pairs, 2, 64)[0]
    assert batch.i_d is not None
    assert batch.i_d.shape == (2, 1, 64, 64)
    assert batch.mask.sum() == 2 * 32 * 32


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pair found"):
        Photographs(tmp_path, 2, 64)


@pytest.mark.usefixtures("small_bank")
class TestTraining:
    @staticmethod
    def settings(photos: Path, synthetic: bool, loss: str = "supervised") -> dict[str, object]:
        return {
            "network": {"widths": [4, 6]},
            "data": {
                "samples": 8, "heads": 2, "size": 32, "validation": 2, "workers": 0,
                "photos": str(photos), "synthetic": synthetic,
            },
            "training": {"batch": 2, "steps": 2, "epoch": 2, "panels": 0, "threads": 1},
            "loss": {"name": loss},
        }  # fmt: skip

    def test_photographs_go_beside_samples(self, prepared: Path, tmp_path: Path) -> None:
        train(self.settings(prepared, synthetic=True), tmp_path / "run")
        head = (tmp_path / "run" / "log.csv").read_text().splitlines()[0]
        assert {"loss/melanin", "loss/photo reconstruction", "loss/photo specular"} <= set(head.split(","))

    def test_the_published_loss_trains_on_pairs_alone(self, pairs: Path, tmp_path: Path) -> None:
        settings = self.settings(pairs, synthetic=False, loss="paper")
        settings["data"] = {**settings["data"], "size": 64}  # type: ignore[dict-item]
        train(settings, tmp_path / "run")
        head = (tmp_path / "run" / "log.csv").read_text().splitlines()[0].split(",")
        assert {"loss/photo appearance", "loss/photo shading"} <= set(head)
        assert "loss/melanin" not in head

    def test_nothing_to_train_on_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"a folder where data\.synthetic is false"):
            train({"data": {"synthetic": False}}, tmp_path)
