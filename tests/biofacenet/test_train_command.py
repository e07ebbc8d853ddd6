"""`biofacenet train` from the command line."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from biofacenet.cli import main
from biofacenet.training.journal import Journal

_SETTINGS = """
[network]
widths = [4, 6]
[data]
samples = 8
heads = 2
size = 32
validation = 2
workers = 0
[training]
batch = 4
steps = 2
epoch = 2
panels = 0
threads = 1
"""


@pytest.mark.usefixtures("small_bank")
def test_a_run_leaves_weights_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text(_SETTINGS)
    command = ["train", "--config", str(tmp_path / "own.toml"), "-o", str(tmp_path / "run")]
    assert main(command) == 0
    assert "2 steps" in capsys.readouterr().out
    assert (tmp_path / "run" / "best.safetensors").is_file()
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*command, "--afresh", "--quiet"]) == 0


@pytest.mark.usefixtures("small_bank")
def test_ctrl_c_says_that_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text(_SETTINGS.replace("steps = 2", "steps = 4"))
    command = ["train", "--config", str(tmp_path / "own.toml"), "-o", str(tmp_path / "run")]
    with monkeypatch.context() as pressed:
        pressed.setattr(Journal, "write", lambda *_: signal.raise_signal(signal.SIGINT))
        assert main(command) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "biofacenet: interrupted; step 2 is saved; the same command without --afresh goes on\n"
    assert main(command) == 0
    assert "4 steps" in capsys.readouterr().out


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("[training]\nsteps = -3")
    named = ("huge", "expected one of compact, frontal, paper, photographs, quick, restore")
    for config, message in (named, (str(tmp_path / "bad.toml"), "steps")):
        assert main(["train", "--config", config, "-o", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err.strip()
        assert message in said
        assert "\n" not in said
    assert not (tmp_path / "run").exists()
