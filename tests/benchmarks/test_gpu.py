"""The command that a GPU is measured with, rehearsed: every part runs, and what it lacks is said in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import floor
from benchmarks.gpu.networks import TRAINED
from benchmarks.gpu.pieces import cut, join
from benchmarks.gpu.report import Report
from msfit.errors import InputError

ROOT = Path(__file__).parents[2]
# What the machine that a GPU is lent with has not: they must not be needed, but by the parts that say so.
ABSENT = (
    "dask",
    "distributed",
    "zarr",
    "h5netcdf",
    "spectral",
    "pooch",
    "dlib",
    "embreex",
    "trimesh",
    "lmfit",
    "cvxpy",
)
SCRIPT = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))  # not to be imported
sys.argv[1:] = sys.argv[2:]
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""


def rehearse(folder: Path, absent: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, ",".join(absent), *arguments, "--out", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MSFIT_CACHE": str(folder / "cache")}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_is_rehearsed(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    pytest.importorskip("embreex")
    done = rehearse(tmp_path, ("nothing",), "--rehearse", "--train", "--minutes", "60")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    figures: dict[str, Any] = record["figures"]
    assert [*figures] == [*(name for name, _, _ in command.PARTS), "train"]
    assert "failed" not in done.stdout
    assert "missing" not in done.stdout
    for part in figures.values():
        assert not [name for name in part if name.endswith(("cut", "ended", "left out"))]
    alike = figures["equality"]["all kinds"]
    assert max(alike["rmse above"], alike["rmse below"]) < 2e-6
    assert alike["relative, worst of sharp"] < 1e-4
    # a third is noise, of which two minima may be equally deep
    assert alike["other status"] <= 0.002 * alike["pixels"]
    assert alike["rmse where it is another"] < 2e-7
    assert figures["equality"]["alone and in a batch"]["the same to the bit"]
    assert figures["growth"]["1e+09 pixels, streamed"]["count"] > 900_000
    for network in TRAINED:
        whole = join(tmp_path / f"{network}.safetensors.json")
        assert whole.read_bytes() == (tmp_path / "training" / network / "best.safetensors").read_bytes()
        scores = figures["train"][f"{network}, stand-ins"]
        assert scores["network, model terms, shading scene"]["melanin"] > 0


@pytest.mark.parametrize(
    "parts", [["hosts"], pytest.param(["card", "hosts", "networks"], marks=pytest.mark.slow)], ids=len
)
def test_what_is_missing_is_said_and_the_rest_goes_on(parts: list[str], tmp_path: Path) -> None:
    done = rehearse(tmp_path, ABSENT, "--rehearse", "--parts", *parts)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "gpu.json").read_text())["figures"]
    assert figures["hosts"]["array, float32"]["per_second"] > 0
    assert figures["hosts"]["memory-mapped file"]["per_second"] > 0
    assert "dask" in figures["hosts"]["fit_file, HDF5"]
    assert "\nTraceback" not in done.stderr
    if "networks" in parts:
        assert figures["networks"]["paper, batch 64"]["per_second"] > 0
        assert "embreex" in figures["networks"]["samples"]


def test_without_a_gpu_it_says_so_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert command.main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "--rehearse" in said.err
    assert not [*tmp_path.iterdir()]


def test_a_part_that_hangs_is_ended_and_one_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    def hang() -> None:
        while True:
            pass

    def measure(site: Any) -> Any:
        yield "first", 1
        yield "second", lambda: 1 / 0
        yield "third", hang
        yield "fourth", 4

    monkeypatch.setattr(command, "_GRACE", 0.2)
    monkeypatch.setitem(sys.modules, "benchmarks.gpu.hangs", types.SimpleNamespace(measure=measure))
    report = Report(tmp_path)
    command._part(report, "hangs", "hangs", 0.5, "cpu")
    figures = json.loads((tmp_path / "gpu.json").read_text())["figures"]["hangs"]
    assert figures["first"] == 1
    assert figures["second"] == "failed: ZeroDivisionError: division by zero"
    assert figures["cut"] == "ended after its 0 s were over"
    assert "fourth" not in figures


def test_weights_come_in_pieces(tmp_path: Path) -> None:
    whole = tmp_path / "weights.bin"
    whole.write_bytes(bytes(range(256)) * 10)
    there = tmp_path / "there"
    there.mkdir()
    files = cut(whole, there, 1000)
    assert [file.stat().st_size for file in files[:-1]] == [1000, 1000, 560]
    assert join(files[-1]).read_bytes() == whole.read_bytes()
    files[1].write_bytes(b"another")
    with pytest.raises(InputError, match=r"the pieces are not those of weights\.bin"):
        join(files[-1])
    files[1].unlink()
    assert command.main(["--join", str(files[-1])]) == 2


def test_the_floor_is_that_of_the_data_sheets() -> None:
    cost = floor.count(31)
    assert cost["bytes"] == 4 * 31 + 4 * 7
    assert cost["operations"] == sum(cost[name] for name in ("coordinates", "search", "polynomials", "evaluations"))
    rates = floor.pixels_per_second(31)
    assert rates["H200"]["by_bytes"] == pytest.approx(4.8e12 / 152)
    # arithmetic is the floor on both, and more bands cost more
    for card in rates.values():
        assert card["by_operations"] < card["by_bytes"]
    assert 2 * cost["operations"] < floor.count(148)["operations"] < 148 / 31 * cost["operations"]
