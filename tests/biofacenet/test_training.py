"""Training: it learns, it stops and goes on to the bit, it says what is wrong."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biofacenet.data.synthetic import Source, as_batch, draw
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.networks.weights import load_weights
from biofacenet.scores import score
from biofacenet.training.config import Config, TrainingConfig, read_config
from biofacenet.training.losses import supervised
from biofacenet.training.run import learning_rate, train
from msfit.errors import InputError


def small(**training: Any) -> dict[str, Any]:
    settings = {"batch": 4, "steps": 6, "epoch": 2, "warmup": 2, "panels": 0, "threads": 1, **training}
    return {
        "name": "small",
        "network": {"widths": [4, 6]},
        "data": {"samples": 8, "heads": 2, "size": 32, "validation": 2, "workers": 0},
        "training": settings,
    }


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.usefixtures("small_bank")
class TestRuns:
    def test_an_interrupted_run_goes_on_as_if_nothing_had_been(self, tmp_path: Path) -> None:
        whole = train(small(), tmp_path / "whole").network

        def interrupt(step: int, steps: int, message: str) -> None:
            if step == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(small(checkpoint_minutes=0.0), tmp_path / "parts", progress=interrupt)
        resumed = train(small(), tmp_path / "parts").network
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), name
        assert rows(tmp_path / "whole") == rows(tmp_path / "parts")

    def test_ctrl_c_waits_for_the_step_and_saves_it(self, tmp_path: Path) -> None:
        whole = train(small(), tmp_path / "whole").network
        handler = signal.getsignal(signal.SIGINT)

        def press(step: int, steps: int, message: str) -> None:
            if step == 3 and "loss" in message:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt, match="step 3 is saved"):
            train(small(), tmp_path / "parts", progress=press)
        assert signal.getsignal(signal.SIGINT) is handler
        resumed = train(small(), tmp_path / "parts").network
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), name
        assert rows(tmp_path / "whole") == rows(tmp_path / "parts")

    def test_what_a_run_leaves_behind(self, tmp_path: Path) -> None:
        messages: list[str] = []
        train(small(steps=4, panels=1), tmp_path, progress=lambda step, steps, message: messages.append(message))
        log = rows(tmp_path)
        assert [row["step"] for row in log] == ["2", "4"]
        terms = {name for name in log[0] if name.startswith("loss/")}
        assert {"loss/melanin", "loss/reconstruction", "loss/light", "loss/diffuse shape"} <= terms
        assert {"rmse/melanin", "rmse/albedo", "rmse/reconstruction"} <= set(log[0])
        network, training = load_weights(tmp_path / "best.safetensors")
        assert network.config == NetworkConfig("compact", (4, 6))
        assert training["skin_model"] == "alotaibi-smith-2019"
        assert training["bounds"] == "wide"
        assert training["split"] == "train"
        assert training["data_seed"] == 0
        assert training["steps"] in (2, 4)
        assert training["commit"]
        assert (tmp_path / "panels" / "0000004.png").is_file()
        assert list(tmp_path.glob("events.out.tfevents*"))
        assert any("score" in message for message in messages)

    def test_training_stops_when_nothing_gets_better(self, tmp_path: Path) -> None:
        """With a learning rate too small to change the score, the second epoch is no better than the first."""
        train(small(steps=40, patience=2, learning_rate=1e-30, warmup=0), tmp_path)
        assert int(rows(tmp_path)[-1]["step"]) < 40

    def test_a_checkpoint_of_other_settings_is_not_taken_up(self, tmp_path: Path) -> None:
        train(small(steps=2), tmp_path)
        other = small(steps=4)
        other["network"] = {"widths": [4, 8]}
        with pytest.raises(InputError, match="a checkpoint of another network"):
            train(other, tmp_path)
        (tmp_path / "checkpoint.safetensors").write_bytes(b"cut off")
        with pytest.raises(InputError, match=r"not a whole safetensors file .* begin anew with --afresh"):
            train(small(steps=4), tmp_path)

    def test_a_run_may_begin_from_the_weights_of_another(self, tmp_path: Path) -> None:
        train(small(steps=2), tmp_path / "first")
        weights = tmp_path / "first" / "best.safetensors"
        network, made = train(small(steps=1, learning_rate=1e-30, warmup=0, start=str(weights)), tmp_path / "second")
        for name, value in load_weights(weights).network.named_parameters():
            torch.testing.assert_close(dict(network.named_parameters())[name], value)
        assert made["start"]["steps"] == 2
        other = small(steps=1, start=str(weights))
        other["network"] = {"widths": [4, 8]}
        with pytest.raises(InputError, match=r"training\.start: .* holds"):
            train(other, tmp_path / "third")

    def test_a_loss_that_explodes_is_said_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"not finite at step \d+; lower training.learning_rate"):
            train(small(learning_rate=1000.0, clip=0.0, steps=20, warmup=0), tmp_path)

    @pytest.mark.parametrize("loss", ["paper"])
    def test_the_published_loss_trains_the_published_network(self, loss: str, tmp_path: Path) -> None:
        settings = small(steps=2, optimizer="sgd", learning_rate=1e-5)
        settings |= {"network": {"architecture": "paper", "widths": [4, 6]}, "loss": {"name": loss}}
        train(settings, tmp_path)
        assert {"loss/appearance", "loss/camera", "loss/sparsity", "loss/shading"} <= set(rows(tmp_path)[0])


def test_absent_photographs_are_told_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("samples drawn")

    monkeypatch.setattr("biofacenet.training.run.Kept", refuse)
    settings = small()
    settings["data"]["photos"] = str(tmp_path / "absent")
    with pytest.raises(InputError, match=r"data\.photos: .*absent: no such folder"):
        train(settings, tmp_path / "run")


def memorise(scenes: int, size: int, steps: int, widths: tuple[int, ...]) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of a network before and after it has seen nothing but these scenes."""
    torch.manual_seed(0)
    # the even samples: light and camera are known to all
    batch = as_batch(draw(Source(heads=2, size=size), range(0, 2 * scenes, 2)))
    network, decoder = BioFaceNet(NetworkConfig("compact", widths)), Decoder(nodes=64).float()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    before = score(network, batch, decoder)[0]
    for step in range(steps):
        network.train()
        # running statistics are those of the scenes, at last with weights that hardly move any more
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, 2 * (1 - step / steps)) + 1e-6
        terms = supervised(network(batch.picture), batch, decoder)
        optimizer.zero_grad()
        torch.stack([*terms.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return before, score(network, batch, decoder)[0]


@pytest.mark.usefixtures("small_bank")
def test_a_few_scenes_are_memorised() -> None:
    before, after = memorise(scenes=3, size=32, steps=100, widths=(12, 16))
    assert after["reconstruction"] < 0.02
    for name in ("diffuse", "specular", "albedo", "melanin", "haemoglobin", "reconstruction"):
        assert after[name] < 0.7 * before[name], name


@pytest.mark.slow
@pytest.mark.usefixtures("small_bank")
def test_sixteen_scenes_are_memorised() -> None:
    before, after = memorise(scenes=16, size=64, steps=600, widths=(32, 48, 64))
    assert after["reconstruction"] < 0.01
    for name in ("diffuse", "specular", "albedo", "melanin", "haemoglobin", "reconstruction"):
        assert after[name] < 0.5 * before[name], name


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = TrainingConfig(steps=100, warmup=10, decay=0.4, learning_rate=2.0)
    rates = np.array([learning_rate(settings, step) for step in range(100)])
    assert rates[0] == pytest.approx(0.2)
    assert (rates[9:60] == 2.0).all()
    assert (np.diff(rates[60:]) < 0).all()
    assert rates[-1] == pytest.approx(2.0 / 40)


@pytest.mark.parametrize("name", ["quick", "compact", "photographs", "paper"])
def test_shipped_configurations_are_whole(name: str) -> None:
    config = read_config(name)
    assert config.name == name
    assert json.loads(json.dumps(config.to_dict()))["network"]["architecture"] == (
        {"paper": "paper", "photographs": "gaussian"}.get(name, "compact")
    )


def test_the_paper_is_trained_as_published() -> None:
    config = read_config("paper")
    assert (config.loss.name, config.training.optimizer, config.training.learning_rate) == ("paper", "sgd", 1e-5)
    assert config.training.batch == 64
    assert config.training.steps == 200 * 50_000 // 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("steps = [", "not TOML"),
        ("speed = 3", "found 'speed'; expected name, network, data, training, loss"),
        ("[training]\nsteps = 'many'", "training.steps: found 'many'"),
        ("[training]\nsteps = true", "training.steps: found True"),
        ("[training]\nsteps = 0", "training.steps: found 0; expected 1 to 1e+09"),
        ("[training]\nrate = 0.1", "training: found 'rate'; expected some of batch"),
        ("[training]\noptimizer = 'newton'", "training.optimizer: found 'newton'"),
        ("[training]\nlearning_rate = -1", "expected above 0"),
        ("[data]\ndegraded = 1.5", "data.degraded: found 1.5; expected 0 to 1"),
        ("[network]\narchitecture = 'vgg'", "architecture: found 'vgg'"),
        ("[loss]\nname = 'gan'", "loss.name: found 'gan'"),
        ("[loss.weights]\nhair = 1", "loss weights: found 'hair'"),
        ("[loss.weights]\nlight = 'much'", "loss.weights.light: found 'much'; expected a number"),
        ("data = 3", "data: found 3; expected a section"),
        # sizes, seeds, devices, threads and widths out of range: refused before anything is made
        ("[network]\nwidths = [true, true]", "widths: found (True, True); expected 2 to 8 whole numbers up to 1024"),
        ("[network]\nwidths = [4096, 4096]", "widths: found (4096, 4096)"),
        ("[network]\nwidths = [0, 4]", "widths: found (0, 4)"),
        ("[network]\nwidths = [4]", "widths: found (4,)"),
        ("[network]\nwidths = [4, 4.5]", "widths: found (4, 4.5)"),
        ("[network]\nwidths = [4, 'x']", "widths: found (4, 'x')"),
        (f"[network]\nwidths = {[4] * 5000}", "expected 2 to 8 whole numbers"),
        ("[data]\nsize = 99999999", "data.size: found 99999999; expected 16 to 2048"),
        ("[data]\nsize = 15", "data.size: found 15"),
        ("[data]\nsamples = 99999999999", "data.samples: found 99999999999"),
        ("[data]\nheads = 0", "data.heads: found 0"),
        ("[data]\nworkers = 100000", "data.workers: found 100000"),
        ("[data]\nseed = -1", "data.seed: found -1"),
        ("[data]\nseed = 99999999999999999999", "data.seed: found 99999999999999999999"),
        ("[training]\nseed = 9223372036854775808", "training.seed: found 9223372036854775808"),
        ("[training]\nthreads = 1000000", "training.threads: found 1000000; expected 0 to 1024"),
        ("[training]\nbatch = 1000000000", "training.batch: found 1000000000"),
        ("[training]\ndecay = nan", "training.decay: found nan"),
        ("[training]\nlearning_rate = inf", "training.learning_rate: found inf"),
        ("[training]\nclip = nan", "training.clip: found nan"),
        ("[training]\ncheckpoint_minutes = -1.0", "training.checkpoint_minutes: found -1.0"),
        ("[loss.weights]\nlight = nan", "loss.weights.light: found nan"),
        ("[loss.weights]\nlight = true", "loss.weights.light: found True"),
        ("a" * 100_000, "not TOML"),
        ("x = " + "[" * 100_000, "not TOML"),
    ],
)
def test_wrong_configurations_are_refused_by_name_of_what_is_wrong(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"run\.toml: ") as refused:
        read_config(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value).strip()


@pytest.mark.parametrize("device", ["cuda:99", "gpu of mine", "meta", "-1", "cpu:7:7", "", "mps"])
def test_devices_that_are_not_there_are_refused_before_anything_is_drawn(device: str, tmp_path: Path) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("is there")
    with pytest.raises(InputError, match="device") as refused:
        train({**small(), "training": {**small()["training"], "device": device}}, tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("*.safetensors"))


def test_absent_configurations_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"expected one of compact, frontal, paper, photographs, quick, restore, restore-adversary,"
        r" or a \.toml file",
    ):
        read_config("huge")
    with pytest.raises(InputError, match="cannot be read"):
        read_config("absent.toml")


def test_a_configuration_may_be_a_mapping() -> None:
    config = read_config({"name": "own", "training": {"steps": 5, "learning_rate": 1}})
    assert isinstance(config, Config)
    assert (config.training.steps, config.training.learning_rate) == (5, 1)
