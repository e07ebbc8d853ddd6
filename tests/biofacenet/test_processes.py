"""Training by two processes, as `torchrun` starts them, against one."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from biofacenet.networks.network import BioFaceNet
from biofacenet.networks.weights import load_weights
from biofacenet.training.config import read_config
from biofacenet.training.processes import Processes, SharedNorm
from biofacenet.training.run import train
from msfit.errors import InputError

CONFIG = """
[network]
widths = [4, 6]
[data]
samples = 16
heads = 2
size = 32
validation = 2
workers = 0
degraded = 0.0
moved = 0.5
[training]
batch = 4
steps = 6
epoch = 3
warmup = 2
panels = 0
threads = 1
device = "cpu"
"""


# Two processes of one that has loaded everything, with the environment that torchrun gives them.
FORKED = """
import multiprocessing, os, sys
from pathlib import Path
from biofacenet.training.config import read_config
from biofacenet.training.run import train

def descend(number):
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number))
    train(read_config(Path(sys.argv[1])), Path(sys.argv[2]))

both = [multiprocessing.get_context("fork").Process(target=descend, args=(number,)) for number in range(2)]
for process in both:
    process.start()
for process in both:
    process.join()
sys.exit(any(process.exitcode for process in both))
"""


def run(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **more}
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=root, capture_output=True, text=True, check=False, timeout=240
    )


def forked(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """Training by two processes that were forked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return run(["-c", FORKED, str(config), str(folder)], **where)


def torchrun(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """`biofacenet train` by two processes on this machine."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return run([*start, "-m", "biofacenet", "train", "--config", str(config), "--output", str(folder), "--quiet"])


def curve(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


@pytest.mark.usefixtures("small_bank")
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
@pytest.mark.parametrize("begin", [forked, pytest.param(torchrun, marks=pytest.mark.slow)])
def test_two_processes_descend_as_one(begin: Callable[..., Any], tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(CONFIG)
    one = train(read_config(config), tmp_path / "one").network
    done = begin(tmp_path / "two", config)
    assert done.returncode == 0, done.stderr
    for expected, found in zip(curve(tmp_path / "one"), curve(tmp_path / "two"), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    # the score of an epoch decides which weights are kept; both kept those of the same step
    two, made = load_weights(tmp_path / "two" / "best.safetensors")
    assert made["steps"] in (3, 6)
    same = load_weights(tmp_path / "one" / "best.safetensors").network
    for name, value in same.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert {name for name, _ in one.named_parameters()} == {name for name, _ in two.named_parameters()}


def test_a_batch_that_cannot_be_shared_out_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biofacenet.training.run.processes", lambda device: nullcontext(Processes(0, 2)))
    with pytest.raises(InputError, match=r"training\.batch: found 5 for 2 processes; expected a multiple"):
        train({"training": {"batch": 5, "device": "cpu"}}, tmp_path)


def test_one_process_is_left_as_it_is() -> None:
    network = BioFaceNet()
    assert Processes().spread(network) is network
    assert any(type(module) is nn.BatchNorm2d for module in network.modules())
    assert Processes().agreed(3) == 3
    assert Processes(1, 2).share(torch.arange(5)).tolist() == [1, 3]


def test_shared_normalisation_alone_is_that_of_torch() -> None:
    torch.manual_seed(0)
    own, theirs = SharedNorm(3), nn.BatchNorm2d(3)
    for values in torch.randn(2, 4, 3, 5, 5):
        torch.testing.assert_close(own(values), theirs(values))


@pytest.mark.usefixtures("small_bank")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_descends_too(precision: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "network": {"widths": [4, 6]},
        "data": {"samples": 8, "heads": 2, "size": 32, "validation": 2, "workers": 0},
        "training": {"batch": 4, "steps": 6, "epoch": 3, "warmup": 2, "panels": 0, "threads": 1, "device": "cpu"},
    }
    settings["training"]["precision"] = "float32"
    train(settings, tmp_path / "full")
    settings["training"]["precision"] = precision
    train(settings, tmp_path / "mixed")
    curves = curve(tmp_path / "full"), curve(tmp_path / "mixed")
    assert curves[0] != curves[1]
    for full, mixed in zip(*curves, strict=True):
        # in half precision the first steps find out how far the loss can be scaled up, and are left out
        for name, value in full.items():
            assert mixed[name] == pytest.approx(value, rel=0.25, abs=0.02), name
