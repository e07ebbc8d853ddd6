"""Training samples: what they hold, and that they depend on nothing but their index and seed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import msfit
from msfit.errors import InputError
from msfit.synth import Bank, samples
from msfit.synth.people import wearable
from msfit.synth.sampling import reference_weights
from msfit.synth.spectra import WAVELENGTHS

MODEL = "alotaibi-smith-2019"


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return Bank(3, 32, "train", tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def batch(bank):
    return samples(6, bank=bank, seed=1)


def test_a_sample_has_a_picture_and_every_map(batch):
    channels = {"image": 3, "mask": 1, "f_mel": 1, "f_blood": 1, "i_d": 1, "i_s": 1, "scale": 1, "offset": 1}
    channels |= {"albedo": 3, "normals": 3}
    for name, count in channels.items():
        assert batch[name].shape == (6, count, 32, 32), name
        assert batch[name].dtype == torch.float32
        assert torch.isfinite(batch[name]).all(), name
    assert batch["light"].shape == (6, 15)
    assert batch["camera"].shape == (6, 2)
    assert set(channels) | {"light", "camera"} == set(batch)
    face = batch["mask"] > 0
    assert 0.1 < face.float().mean() < 0.9
    assert (batch["f_mel"][face] > 0).any()
    assert (batch["f_mel"][~face] == 0).all()


def test_a_sample_depends_on_its_index_and_seed_alone(bank, batch):
    alone = samples([4], bank=bank, seed=1)
    shuffled = samples([5, 4, 0], bank=bank, seed=1)
    for name, values in batch.items():
        assert torch.equal(alone[name][0], values[4]), name
        assert torch.equal(shuffled[name][1], values[4]), name
    other = samples([4], bank=bank, seed=2)
    assert not torch.equal(other["image"], alone["image"])


def test_the_picture_is_the_model_through_light_and_camera(bank):
    """Mode "model", without noise, D65 and the mean camera: the image follows from the maps."""
    made = samples(4, bank=bank, mode="model", model=MODEL, pictures="reference", noise=False)
    face = made["mask"][:, 0] > 0
    skin = msfit.reflectance(made["f_mel"][:, 0][face], made["f_blood"][:, 0][face], WAVELENGTHS, model=MODEL)
    weights = torch.from_numpy(reference_weights())
    shaded = made["i_d"][:, 0][face][:, None] * (skin @ weights) + made["i_s"][:, 0][face][:, None] * weights.sum(0)
    torch.testing.assert_close(made["image"].permute(0, 2, 3, 1)[face], shaded, atol=2e-5, rtol=0)
    assert (made["scale"][:, 0][face] == 1).all()
    assert (made["light"] == 0).all()


def test_varied_pictures_follow_the_models_of_light_and_camera(bank):
    from msfit.colour.cameras import CameraModel
    from msfit.colour.illuminants import IlluminationModel
    from msfit.colour.pipelines import pipeline, rgb_weights
    from msfit.colour.spectra import standard_observer

    made = samples(4, bank=bank, mode="model", model=MODEL, noise=False)
    light = IlluminationModel(WAVELENGTHS)(made["light"].double())
    camera = CameraModel(WAVELENGTHS)(made["camera"].double())
    observer = torch.from_numpy(standard_observer().on(WAVELENGTHS))
    weights = rgb_weights(light, camera, observer, pipeline("neutral")).float()
    skin = msfit.reflectance(made["f_mel"][:, 0], made["f_blood"][:, 0], WAVELENGTHS, model=MODEL)
    colour = torch.einsum("nyxb,nbc->ncyx", skin, weights)
    white = weights.sum(1)[:, :, None, None]
    face = (made["mask"] > 0).expand(-1, 3, -1, -1)
    expected = made["i_d"] * colour + made["i_s"] * white
    torch.testing.assert_close(made["image"][face], expected[face], atol=5e-4, rtol=0)


def test_measured_pigments_explain_the_albedo(bank):
    made = samples(4, bank=bank, model=MODEL, pictures="reference")
    face = made["mask"][:, 0] > 0
    skin = msfit.reflectance(made["f_mel"][:, 0][face], made["f_blood"][:, 0][face], WAVELENGTHS, model=MODEL)
    skin = made["scale"][:, 0][face][:, None] * skin + made["offset"][:, 0][face][:, None]
    albedo = msfit.render(msfit.Cube(skin.numpy(), WAVELENGTHS))
    error = albedo - made["albedo"].permute(0, 2, 3, 1)[face].numpy()
    assert np.sqrt((error**2).mean()) < 0.02


def test_noise_is_added_to_the_picture_only(bank):
    noisy, clean = (samples(2, bank=bank, noise=noise) for noise in (True, False))
    assert not torch.equal(noisy["image"], clean["image"])
    for name in clean:
        if name != "image":
            assert torch.equal(noisy[name], clean[name]), name


def test_banks_come_back_from_disk_and_travel_to_workers(bank):
    again = Bank(3, 32, "train", bank.path.parent)
    sent = pickle.loads(pickle.dumps(bank))
    for other in (again, sent):
        for field in bank[2]._fields:
            np.testing.assert_array_equal(getattr(other[2], field), getattr(bank[2], field))


def test_the_folder_of_banks_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("MSFIT_CACHE", str(tmp_path))
    assert Bank(1, 16, "validation").path.parent == tmp_path


def test_train_and_test_share_no_skin():
    assert not {one.person for one in wearable("train")} & {one.person for one in wearable("test")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "guessed"}, "measured"),
        ({"split": "test"}, "heads of split 'train'"),
        ({"pictures": "nice"}, "varied"),
        ({"indices": []}, "none"),
    ],
)
def test_wrong_settings_are_refused(bank, arguments, message):
    with pytest.raises(InputError, match=message):
        samples(**{"indices": 1, "bank": bank, **arguments})


def test_a_bank_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="1 head or more"):
        Bank(0, 32, "train", tmp_path)
