"""Weights on disk: what comes back is what was written, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from biofacenet.data.synthetic import Source, as_batch, draw
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.networks.weights import load_weights, save_weights, shipped_weights, sizes_alone
from biofacenet.scores import score
from msfit.errors import InputError

SMALL = NetworkConfig("compact", (4, 6))
MADE = {"skin_model": "alotaibi-smith-2019"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save_weights(BioFaceNet(SMALL), path, MADE)
    return path


def test_a_network_comes_back_as_it_was(saved: Path) -> None:
    torch.manual_seed(0)
    original = BioFaceNet(SMALL).eval()
    network, training = load_weights(saved)
    assert network.config == SMALL
    assert training == MADE
    assert not network.training
    picture = torch.rand(1, 3, 20, 12)
    for here, there in zip(original(picture), network(picture), strict=True):
        assert (here is None and there is None) or torch.equal(here, there)
    assert load_weights(saved.with_suffix(".json")).network.config == SMALL


def test_a_network_is_measured_without_memory_or_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """For random numbers of tensors without memory torch loads its compiler, for two seconds."""
    monkeypatch.setattr(torch.nn.init, "_no_grad_normal_", None)  # what they are drawn by
    with sizes_alone():
        sizes = BioFaceNet(NetworkConfig("compact", (1024, 1024))).state_dict()
    assert all(value.is_meta for value in sizes.values())
    assert sum(value.numel() for value in sizes.values()) > 20e6


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    save_weights(BioFaceNet(NetworkConfig("paper", (4, 6))), saved.with_name("other.safetensors"), MADE)
    saved.with_name("other.safetensors").replace(saved)
    with pytest.raises(InputError, match=r"not weights of the architecture compact \(4, 6\): '.+' is not there"):
        load_weights(saved)


def test_weights_of_other_widths_are_refused(saved: Path) -> None:
    content = json.loads(saved.with_suffix(".json").read_text())
    content["network"]["widths"] = [4, 8]
    saved.with_suffix(".json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="has shape"):
        load_weights(saved)


def test_numbers_that_are_not_finite_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    tensors["body.heads.weight"][0] = float("nan")
    save_file(tensors, saved)
    with pytest.raises(InputError, match=r"'body.heads.weight' holds numbers that are not finite"):
        load_weights(saved)


def test_numbers_of_another_type_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    tensors["body.heads.weight"] = tensors["body.heads.weight"].to(torch.int32)
    save_file(tensors, saved)
    with pytest.raises(InputError, match=r"'body.heads.weight' holds torch.int32; expected torch.float32"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (None, "does not name the skin model"),
        ({}, "does not name the skin model"),
        ({"skin_model": "zork"}, "zork"),
        ({**MADE, "bounds": "zork"}, "training.bounds: found 'zork'; expected 'wide'"),
        ({**MADE, "highest_fractions": [0.43, 0.07]}, "training.highest_fractions: found [0.43, 0.07]"),
        ({**MADE, "settings": {"data": {"size": "large"}}}, "training.settings.data.size: found 'large'"),
        ({**MADE, "settings": 3}, "training.settings.data.size: found None"),
    ],
)
def test_what_the_maps_rest_on_is_checked(saved: Path, training: object, message: str) -> None:
    described = saved.with_suffix(".json")
    described.write_text(json.dumps({**json.loads(described.read_text()), "training": training}))
    with pytest.raises(InputError, match=r"small\.json: ") as refused:
        load_weights(saved)
    assert message in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\x80\x04\x95pickled", b"\xff" * 64])
def test_files_of_other_kinds_are_refused(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_weights(saved)


def test_a_file_that_was_cut_off_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_weights(saved)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "biofacenet-1", "network": 3}', '{"format": "biofacenet-1", "network": {"depth": 3}}',
     '{"format": "biofacenet-1", "network": {"architecture": "resnet"}}',
     '{"format": "biofacenet-1", "network": {"widths": "wide"}}',
     '{"format": "biofacenet-1", "network": {"widths": [0, -1]}}'],
)  # fmt: skip
def test_configurations_of_other_kinds_are_refused(saved: Path, content: str) -> None:
    saved.with_suffix(".json").write_text(content)
    with pytest.raises(InputError, match=r"small\.json.*expected NAME\.safetensors with NAME\.json"):
        load_weights(saved)


def test_absent_files_and_other_extensions_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_weights(tmp_path / "absent.safetensors")
    saved.unlink()
    with pytest.raises(InputError, match="no such file"):
        load_weights(saved)
    with pytest.raises(InputError, match=r"extension '\.pt'"):
        load_weights(tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"extension '\.pt'"):
        save_weights(BioFaceNet(SMALL), tmp_path / "model.pt", MADE)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="expected one of default"):
        shipped_weights("enormous")


class TestShipped:
    def test_it_says_how_it_was_made_and_is_small(self) -> None:
        path = shipped_weights("default")
        network, training = load_weights(path)
        assert network.config.architecture == "compact"
        assert path.stat().st_size < 20e6
        assert (training["skin_model"], training["bounds"]) == ("alotaibi-smith-2019", "wide")
        assert training["split"] == "train"
        assert {"data_seed", "commit", "seconds", "settings", "validation"} <= set(training)

    @pytest.mark.usefixtures("small_bank")
    def test_it_takes_unseen_persons_apart(self) -> None:
        """Faces and persons of the test split, under D65 through the mean camera, well below what a constant leaves."""
        network = load_weights(shipped_weights()).network
        drawn = draw(Source(split="test", heads=8, seed=5), range(0, 32, 2))
        figures, _ = score(network, as_batch(drawn), Decoder().float())
        assert figures["melanin"] < 0.12
        assert figures["haemoglobin"] < 0.13
        assert figures["albedo"] < 0.05
        assert figures["specular"] < 0.03
        assert figures["reconstruction"] < 0.03
