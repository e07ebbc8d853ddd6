"""The command line of biofacenet: what it does, and that it refuses in one line, leaving nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import msfit
from biofacenet.cli import main
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.networks.weights import save_weights
from biofacenet.photo.reading import read_photo
from msfit.synth import write_scenes


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def done(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a refusal."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("biofacenet: error: ")
    return said.err


def test_predict_writes_maps_and_panel(
    face_file: Path, weights: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = done(capsys, "predict", face_file, "-o", out / "maps.h5", "--plot", out / "panel.png", "--weights", weights)
    assert said.startswith(f"{out / 'maps.h5'}: ")
    assert said.count("\n") == 1
    result = msfit.load_result(out / "maps.h5")
    assert result.attrs["box"] in said
    assert Image.open(out / "panel.png").width > 500


def test_predict_takes_several_and_goes_on_after_one_that_is_none(
    face_file: Path, weights: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)).save(other)
    assert main(["predict", str(other), str(face_file), "-o", str(out), "--weights", str(weights)]) == 2
    said = capsys.readouterr()
    assert [path.name for path in out.iterdir()] == ["face.h5"]
    assert "noise.png: no face found" in said.err
    assert "1 of 2 photographs" in said.err


def test_box_and_whole_override_the_search(
    face_file: Path, weights: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done(capsys, "predict", face_file, "-o", out / "b.h5", "--box", "60,30,100,120", "--weights", weights, "-q")
    done(capsys, "predict", face_file, "-o", out / "w.h5", "--whole", "--mask", "none", "--weights", weights, "-q")
    assert msfit.load_result(out / "b.h5").shape == (120, 100)
    assert msfit.load_result(out / "w.h5").shape == (260, 300)
    assert "both are given" in refused(
        capsys, "predict", face_file, "-o", out / "x.h5", "--whole", "--box", "1,2,3,4", "--weights", weights
    )


def test_edit_changes_a_photograph_or_shows_a_range(
    face_file: Path, weights: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit = ("edit", face_file, "--weights", weights)
    said = done(capsys, *edit, "--melanin", "+0.05", "--blood", "x1.5", "--specular", "0", "-o", out / "edited.png")
    assert "melanin +0.05, blood x1.5, specular 0" in said
    before, after = read_photo(face_file).rgb, read_photo(out / "edited.png").rgb
    assert (before != after).any()
    np.testing.assert_array_equal(before[:30], after[:30])
    done(capsys, *edit, "--range", "melanin=-0.05:0.2:5", "--range", "diffuse=x0.5:x2:2", "-o", out / "sheet.png")
    assert Image.open(out / "sheet.png").width > 5 * 100
    assert main([str(a) for a in (*edit, "--melanin", "-1", "-o", out / "least.png")]) == 0
    assert "note: melanin -1: held at its range" in capsys.readouterr().err
    for wrong, named in (
        ((), "--"),
        (("--blood", "more"), "blood: found 'more'"),
        (("--range", "melanin=1"), "--range"),
    ):
        assert named in refused(capsys, *edit, *wrong, "-o", out / "none.png")
    assert "input" in refused(capsys, *edit, "--blood", "x2", "-o", face_file)
    assert not (out / "none.png").exists()


def test_evaluate_prints_figures_and_writes_them(
    weights: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = tmp_path / "scenes"
    write_scenes(scenes, 1, size=64, split="validation", model="alotaibi-smith-2019")
    said = done(capsys, "evaluate", scenes, "--weights", weights, "--degrade", "jpeg", "-o", out / "report.json")
    assert "training mean" in said
    assert "haemoglobin" in said
    report = json.loads((out / "report.json").read_text())
    assert report["degradation"] == "jpeg"
    assert report["network"] == "small"
    with h5py.File(next(scenes.glob("*_truth.nc")), "a") as file:
        del file["i_d"]
    assert "not the truth of a scene" in refused(capsys, "evaluate", scenes, "--weights", weights)


def test_prepare_reports_what_it_rejects(
    face_file: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    face_file.rename(tmp_path / "photos" / "face.png")
    (tmp_path / "photos" / "empty.jpg").touch()
    prepare = ("prepare", tmp_path / "photos", "-o", out)
    said = done(capsys, *prepare, "--skin", 0.1, "--size", 64)
    assert "1 kept, 1 rejected" in said
    assert "the file is empty" in (out / "report.csv").read_text()
    assert "other settings" in refused(capsys, *prepare, "--preset", "imdb")
    none = refused(capsys, "prepare", tmp_path / "photos", "-o", tmp_path / "strict", "--skin", 1)
    assert "none of 2 photographs was kept" in none
    assert "--preset" in refused(capsys, *prepare, "--preset", "faces")


def photograph(folder: Path, what: str) -> Path:
    path = folder / "photo.png"
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    if what == "not a picture":
        path.write_text("hello")
    elif what == "the file is empty":
        path.touch()
    elif what == "greyscale":
        Image.fromarray(noise[..., 0]).save(path)
    elif what == "no face found":
        Image.fromarray(noise).save(path)
    elif what == "3 x 80 pixels":
        Image.fromarray(np.ascontiguousarray(noise[:, :3])).save(path)
    elif what == "cannot be read as a picture":
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    return path


@pytest.mark.parametrize(
    "what",
    [
        "not a picture",
        "the file is empty",
        "greyscale",
        "no face found",
        "3 x 80 pixels",
        "cannot be read as a picture",
        "no such file",
    ],
)
@pytest.mark.parametrize("command", ["predict", "edit"])
def test_what_is_no_photograph_of_a_face_is_refused(
    tmp_path: Path, out: Path, weights: Path, what: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photograph(tmp_path, what)
    output = ("-o", out / "maps.h5") if command == "predict" else ("-o", out / "new.png", "--blood", "x2")
    line = refused(capsys, command, path, *output, "--weights", weights)
    assert what in line
    assert str(path) in line
    assert not list(out.iterdir())


@pytest.mark.parametrize("command", ["predict", "edit"])
def test_a_transparent_face_is_refused(
    face_file: Path, weights: Path, out: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Image.open(face_file)
    picture.putalpha(0)
    picture.save(face_file)
    output = ("-o", out / "maps.h5") if command == "predict" else ("-o", out / "new.png", "--blood", "x2")
    assert "the face is transparent" in refused(capsys, command, face_file, *output, "--weights", weights)
    assert not list(out.iterdir())


def damaged(folder: Path, what: str) -> Path:
    path = folder / "net.safetensors"
    network = BioFaceNet(NetworkConfig("compact", (4, 4)))
    save_weights(network, path, {"skin_model": "alotaibi-smith-2019"})
    if what == "not finite":
        tensors = safetensors.torch.load_file(path)
        tensors["body.heads.bias"][0] = torch.nan
        safetensors.torch.save_file(tensors, path)
    elif what == "configuration":
        content = json.loads(path.with_suffix(".json").read_text())
        content["network"]["architecture"] = "transformer"
        path.with_suffix(".json").write_text(json.dumps(content))
    elif what == "not weights of":
        other = folder / "other.safetensors"
        save_weights(BioFaceNet(NetworkConfig("paper", (4, 4))), other, {})
        path.write_bytes(other.read_bytes())
    elif what == "not a whole safetensors file":
        path.write_bytes(path.read_bytes()[:100])
    elif what == "not JSON":
        path.with_suffix(".json").write_text("{")
    elif what == "no such file":
        path.unlink()
    return path


@pytest.mark.parametrize(
    "what",
    ["not finite", "configuration", "not weights of", "not a whole safetensors file", "not JSON", "no such file"],
)
def test_weights_that_cannot_be_used_are_refused(
    face_file: Path, tmp_path: Path, out: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "predict", face_file, "-o", out / "maps.h5", "--weights", damaged(tmp_path, what))
    assert what in line
    assert not list(out.iterdir())


def test_arguments_that_make_no_sense_are_refused(
    face_file: Path, weights: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = ("predict", face_file, "--weights", weights, "-o")
    assert "'biofacenet predict --help'" in refused(capsys, "predict")
    assert "extension" in refused(capsys, *predict, out / "maps.txt")
    assert "--mask" in refused(capsys, *predict, out / "maps.h5", "--mask", "skin")
    assert "device" in refused(capsys, *predict, out / "maps.h5", "--device", "abacus")
    assert "expected one of" in refused(capsys, "predict", face_file, "--weights", "best", "-o", out / "maps.h5")


@pytest.mark.parametrize("module", ["biofacenet", "biofacenet.cli.app"])
def test_help_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "matplotlib", "xarray", "scipy", "h5py", "numpy", "PIL", "dlib"} & set(loaded)


def test_every_public_name_is_there() -> None:
    import biofacenet

    assert all(callable(getattr(biofacenet, name)) for name in biofacenet.__all__)
    assert set(biofacenet.__all__) <= set(dir(biofacenet))
    with pytest.raises(AttributeError):
        _ = biofacenet.nothing


def test_version_and_help_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert done(capsys, "--version") == f"biofacenet {msfit.__version__}\n"
    for command in ("predict", "edit", "evaluate", "prepare"):
        assert command in done(capsys)
        assert "--output" in done(capsys, command, "--help")
