"""The command line: what it does, what it refuses, and that a refusal or an interruption leaves nothing behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import msfit
from msfit.cli import console, main
from msfit.cli.arguments import check_apart, parse_bounds
from msfit.data.result import Status
from msfit.errors import InputError
from msfit.io.masks import read_mask
from msfit.io.results import load_result

BANDS = np.arange(400.0, 721.0, 10.0)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Skin of 6 x 5 pixels, two bands more than the models hold on."""
    rng = np.random.default_rng(4)
    f_mel, f_blood = rng.uniform(0.03, 0.2, (6, 5)), rng.uniform(0.005, 0.05, (6, 5))
    skin = msfit.reflectance(f_mel, f_blood, BANDS, model="alotaibi-smith-2019") * 0.8 + 0.05
    bands = np.concatenate([BANDS, [730.0, 740.0]])
    values = np.concatenate([skin, skin[..., -2:]], axis=-1) + 0.002 * rng.standard_normal((6, 5, 35))
    path = tmp_path / "scene.mat"
    savemat(path, {"reflectance": values.astype(np.float32), "wavelength": bands})
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a refusal."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("msfit: error: ")
    return said.err


def test_fit_writes_result_and_panel_and_says_one_line(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5", "--plot", f"{out}/panel.png", "--std"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(f"{out}/maps.h5: 30 pixels fitted in ")
    assert "2 of 35 bands not used" in said.out
    assert said.out.count("\n") == 1
    result = load_result(out / "maps.h5")
    assert result.shape == (6, 5)
    assert result.std is not None
    assert result.wavelengths[[0, -1]].tolist() == [400.0, 720.0]
    assert result.attrs["source"] == str(scene)
    with Image.open(out / "panel.png") as panel:
        assert panel.width > 1000
    assert sorted(path.name for path in out.iterdir()) == ["maps.h5", "panel.png"]


def test_quiet_says_nothing(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(scene), "-o", f"{out}/maps.nc", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_bounds_and_bands_reach_the_fit(scene: Path, out: Path) -> None:
    options = ["--bounds", "f_mel=0.05:0.1,f_blood=0.02:0.07", "--bands", "420:700:20", "--model", "jacques-km"]
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5", "--quiet", *options]) == 0
    result = load_result(out / "maps.h5")
    assert dict(result.bounds) == {"f_mel": (0.05, 0.1), "f_blood": (0.02, 0.07)}
    assert result.wavelengths.tolist() == list(range(420, 701, 20))
    assert result.model == "jacques-km"


def test_weights_loss_and_noise_reach_the_fit(scene: Path, out: Path) -> None:
    options = ["--weights", "400:420=0.5,700:720=0", "--huber", "0.004", "--std", "--noise", "0.002"]
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5", "--quiet", *options]) == 0
    result = load_result(out / "maps.h5")
    assert result.wavelengths.tolist() == list(range(400, 700, 10))
    assert result.attrs["huber"] == 0.004
    assert "0.002" in result.attrs["noise"]
    assert result.correlation is not None
    assert len(result.correlation) == 6
    weights = np.where(np.arange(35) < 3, 0.5, 1) * (np.arange(35) < 30)
    np.savetxt(out / "weights.csv", weights)
    np.save(out / "noise.npy", np.full(35, 0.002))
    options[1], options[-1] = f"{out}/weights.csv", f"{out}/noise.npy"
    assert main(["fit", str(scene), "-o", f"{out}/same.h5", "--quiet", *options]) == 0
    np.testing.assert_array_equal(load_result(out / "same.h5").f_mel, result.f_mel)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--weights", "400:450"], "no file"),
        (["--weights", "400-450=2"], "A:B=NUMBER"),
        (["--weights", "400:450=-2"], "found -2"),
        (["--noise", "0.01"], "without std"),
        (["--std", "--noise", "loud"], "no file"),
        (["--residual", "radiance"], "illuminant"),
        (["--residual", "counts"], "reflectance or radiance"),
        (["--huber", "-1"], "positive threshold"),
    ],
)
def test_criteria_that_are_refused(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str], options: list[str], word: str
) -> None:
    assert word in refused(capsys, "fit", scene, "-o", out / "maps.h5", *options)
    assert list(out.iterdir()) == []


def test_a_mask_is_a_picture_or_an_array(scene: Path, out: Path) -> None:
    wanted = np.zeros((6, 5), bool)
    wanted[2:4, 1:3] = True
    Image.fromarray((wanted * 255).astype(np.uint8)).save(out / "mask.png")
    np.save(out / "mask.npy", wanted)
    for name in ("mask.png", "mask.npy"):
        assert main(["fit", str(scene), "-o", f"{out}/maps.h5", "-q", "--overwrite", "--mask", f"{out}/{name}"]) == 0
        np.testing.assert_array_equal(load_result(out / "maps.h5").fitted, wanted)


def test_results_that_exist_are_skipped_and_other_files_refused(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("maps.h5", "maps.nc", "maps.mat", "maps.npz"):
        fit = ["fit", str(scene), "-o", f"{out}/{name}", "--skip-existing"]
        assert main([*fit, "-q"]) == 0
        capsys.readouterr()
        assert main(fit) == 0
        assert capsys.readouterr().err == f"msfit: {out}/{name}: exists; {scene} is skipped\n"
        (out / name).write_text("hi")
        assert f"{name}: exists, but is no result of msfit" in refused(capsys, *fit)
        assert (out / name).read_text() == "hi"


def test_an_unfinished_fit_of_another_kind_is_mentioned(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / "maps.h5.part").write_text("rows")
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5"]) == 0
    assert f"{out}/maps.h5.part: an unfinished fit, left as it is; finish it" in capsys.readouterr().err
    assert (out / "maps.h5.part").read_text() == "rows"


def test_several_inputs_go_to_a_folder(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = scene.with_name("second.mat")
    second.write_bytes(scene.read_bytes())
    assert main(["fit", str(scene), str(second), "-o", str(out), "--plot", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["scene.h5", "scene.png", "second.h5", "second.png"]
    assert capsys.readouterr().out.count("\n") == 2


def test_one_bad_input_does_not_stop_the_others(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = scene.with_name("bad.mat")
    bad.write_text("not at all")
    good = scene.with_name("good.mat")
    good.write_bytes(scene.read_bytes())
    assert main(["fit", str(scene), str(bad), str(good), "-o", str(out)]) == 2
    assert sorted(path.name for path in out.iterdir()) == ["good.h5", "scene.h5"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"msfit: error: {bad}: is no MATLAB file")
    assert lines[1:] == [f"msfit: error: 1 of 3 inputs could not be fitted: {bad}; the others are done"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "nosuch"], "model: found 'nosuch'; expected one of"),
        (["--bounds", "tight"], "bounds: found 'tight'"),
        (["--bounds", "f_mel=0.1"], "--bounds: found 'f_mel=0.1'; expected NAME=LOW:HIGH"),
        (["--bounds", "f_mel=0.4:0.1"], "bounds: found f_mel"),
        (["--bands", "380:700"], "model msfit-issa-2026 holds on 400-720 nm"),
        (["--bands", "420:450"], "expected at least 8"),
        (["--bands", "red"], "bands: found 'red'"),
        (["--mask", "nosuch.png"], "mask: found 'nosuch.png', which is no file"),
        (["--device", "abacus"], "device: 'abacus' cannot be used"),
        (["--nosuch"], "See 'msfit fit --help'"),
        (["--free", ""], "--free: found ''; expected names"),
        (["--shared", " , "], "--shared: found ' , '; expected names"),
        (["--scheduler", ""], "scheduler: found ''; expected the address"),
        (["--memory", ""], "memory: found ''"),
    ],
)
def test_wrong_arguments_are_refused(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in refused(capsys, "fit", scene, "-o", out / "maps.h5", *options)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["-o", "maps.bmp"], "expected a file name that ends in .csv, .h5, .hdr, .mat, .nc, .npz, .tif"),
        (["-o", "absent/maps.h5"], "there is no folder"),
        (["-o", "../scene.mat"], "is an input"),
        (["-o", "maps.h5", "--plot", "panel.h5"], "expected a file name that ends in .jpg, .pdf, .png, .svg"),
        (["-o", "maps.h5", "--plot", "absent/panel.png"], "there is no folder"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    scene: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    targets: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(msfit, "fit", None)
    before = scene.read_bytes()
    monkeypatch.chdir(out)
    assert message in refused(capsys, "fit", scene, *targets)
    assert scene.read_bytes() == before
    assert list(out.iterdir()) == []


_WAVES = np.arange(400.0, 701.0, 10.0)


@pytest.mark.parametrize(
    ("wavelengths", "scale", "message"),
    [
        (_WAVES / 1000, 1.0, "look like micrometres"),
        (np.roll(_WAVES, 3), 1.0, "neither increasing nor decreasing"),
        (np.where(_WAVES == 500, 490, _WAVES), 1.0, "some are repeated"),
        (_WAVES[:-2], 1.0, "29"),
        (_WAVES, 100.0, "divide percent by 100"),
    ],
)
def test_spectra_that_cannot_be_used_are_refused(
    out: Path, capsys: pytest.CaptureFixture[str], wavelengths: np.ndarray, scale: float, message: str
) -> None:
    path = out / "odd.mat"
    savemat(path, {"reflectance": scale * np.linspace(0.2, 0.6, 31) * np.ones((4, 5, 1)), "wavelength": wavelengths})
    line = refused(capsys, "fit", path, "-o", out / "maps.h5", "--plot", out / "panel.png")
    assert str(path) in line
    assert message in line
    assert list(out.iterdir()) == [path]


def test_bands_in_descending_order_are_noted(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.linspace(0.6, 0.2, 31) * np.ones((4, 5, 1))
    savemat(out / "turned.mat", {"reflectance": values, "wavelength": _WAVES[::-1]})
    assert main(["fit", f"{out}/turned.mat", "-o", f"{out}/maps.h5"]) == 0
    assert "note: bands were in descending order" in capsys.readouterr().err


def test_inputs_of_one_name_are_refused(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "scene.mat").write_bytes(scene.read_bytes())
    assert "would be written twice" in refused(capsys, "fit", scene, out / "scene.mat", "-o", scene.parent)


def test_all_pixels_masked_is_refused(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(scene.with_name("none.npy"), np.zeros((6, 5)))
    line = refused(capsys, "fit", scene, "-o", out / "maps.h5", "--mask", scene.with_name("none.npy"))
    assert "no pixel is left to fit" in line
    assert list(out.iterdir()) == []


def test_masks_that_do_not_fit_are_refused(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "small.npy", np.ones((2, 2)))
    line = refused(capsys, "fit", scene, "-o", tmp_path / "maps.h5", "--mask", tmp_path / "small.npy")
    assert "has 2 x 2 pixels; expected 6 x 5" in line
    np.save(tmp_path / "labels.npy", np.arange(30).reshape(6, 5))
    line = refused(capsys, "fit", scene, "-o", tmp_path / "maps.h5", "--mask", tmp_path / "labels.npy")
    assert "labels.npy: mask: found 2; expected True and False" in line
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read as a mask"):
        read_mask(tmp_path / "text.png")


def test_no_command_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    for command in ("fit", "info", "render", "synth", "fetch", "models", "demo"):
        assert f"\n  {command} " in said


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["fit"], ["fit", "a.mat"], ["fetch", "nosuch"], ["info", "nosuch.mat"]]
)
def test_usage_errors_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, *arguments)


def test_info_on_a_scene_and_on_its_result(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(scene)]) == 0
    said = capsys.readouterr().out
    for expected in (
        "6 x 5",
        "35, 400-740 nm, every 10 nm",
        "float32, reflectance",
        "no samples",
        "jacques-km 35 bands",
    ):
        assert expected in said
    main(["fit", str(scene), "-o", f"{out}/maps.h5", "-q", "--model", "alotaibi-smith-2019"])
    assert main(["info", f"{out}/maps.h5"]) == 0
    said = capsys.readouterr().out
    for expected in ("alotaibi-smith-2019", "f_mel 0-0.43", "f_blood", Status.CONVERGED.meaning):
        assert expected in said


def test_info_counts_saturated_and_missing_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = np.full((4, 5, 10), 1000, np.uint16)
    counts[0, 0, :2] = 65535
    savemat(tmp_path / "counts.mat", {"counts": counts, "wave": np.arange(400.0, 500.0, 10.0)})
    assert main(["info", str(tmp_path / "counts.mat"), "--white", "1:3,1:3"]) == 0
    assert "1 % of the samples, at or above 65535" in capsys.readouterr().out


def test_render_a_scene_and_a_result(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", str(scene), "-o", f"{out}/maps.h5", "-q", "--model", "alotaibi-smith-2019"])
    pictures = {}
    for name, source, options in (
        ("scene", scene, []),
        ("fit", out / "maps.h5", []),
        ("albedo", out / "maps.h5", ["--what", "albedo"]),
    ):
        assert main(["render", str(source), "-o", f"{out}/{name}.png", *options]) == 0
        with Image.open(out / f"{name}.png") as picture:
            pictures[name] = np.asarray(picture).astype(int)
    assert capsys.readouterr().out.count("5 x 6 pixels") == len(pictures)
    assert pictures["scene"].shape == (6, 5, 3)
    assert np.abs(pictures["scene"] - pictures["fit"]).max() <= 6
    assert np.abs(pictures["scene"] - pictures["albedo"]).max() > 6
    assert "expected 'appearance' or 'albedo'" in refused(
        capsys, "render", scene, "-o", out / "x.png", "--what", "soul"
    )
    assert "expected a file name that ends in" in refused(capsys, "render", scene, "-o", out / "x.h5")


def test_panels_of_saved_results_share_their_colours(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5", "-q", "--std"]) == 0
    saved, picture = f"{out}/maps.h5", f"{out}/panel.png"
    assert main(["render", saved, "-o", picture, "--what", "panel", "--range", "f_mel=0:0.4"]) == 0
    assert "panel of msfit-issa-2026" in capsys.readouterr().out
    drawn = msfit.load_result(saved).plot(std=True, ranges={"f_mel": (0, 0.4)})._repr_png_()
    assert drawn.startswith(b"\x89PNG")
    assert Image.open(picture).size[0] == pytest.approx(1.5 * Image.open(io.BytesIO(drawn)).size[0], abs=2)
    assert "say --what panel" in refused(capsys, "render", saved, "-o", out / "x.png", "--range", "f_mel=0:0.4")
    assert "is no result" in refused(capsys, "render", scene, "-o", out / "x.png", "--what", "panel")
    assert not (out / "x.png").exists()


def test_synth_passes_its_options_on(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import msfit.synth

    calls: list[tuple[object, ...]] = []

    def write_scenes(folder: Path, count: int, **options: object) -> list[Path]:
        calls.append((folder, count, {name: value for name, value in options.items() if name != "progress"}))
        return [folder / "a.mat"] * count

    def write_standins(folder: Path, progress: object = None, *, overwrite: bool = True) -> list[Path]:
        return [folder / "a.mat"] * 25

    monkeypatch.setattr(msfit.synth, "write_scenes", write_scenes)
    monkeypatch.setattr(msfit.synth, "write_standins", write_standins)
    assert main(["synth", "-o", str(out), "--count", "3", "--seed", "7", "--size", "64", "--mode", "model"]) == 0
    options = {"seed": 7, "size": 64, "mode": "model", "model": "msfit-issa-2026", "split": "train", "overwrite": False}
    assert calls == [(out, 3, options)]
    assert capsys.readouterr().out == f"{out}: 3 scenes, each with its truth beside it\n"
    assert main(["synth", "-o", str(out), "--stand-ins"]) == 0
    assert "25 scenes" in capsys.readouterr().out


def test_models_lists_each_with_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    for expected in (
        "msfit-issa-2026  (400-720 nm, the default)",
        "on held-out skin: RMSE median 0.0031, 95 % 0.0077",
        "msfit-issa-2025  (400-720 nm)",
        "alotaibi-smith-2019  (400-720 nm)",
        "biofacenet-lut",
        "jacques-km",
        "paper 0.013-0.43",
        "saturation [1]  wide 0-1",
        "oxygen saturation of the blood; default 0.8019",
    ):
        assert expected in said


def test_a_fault_of_the_program_asks_for_a_report(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("two\nlines")

    monkeypatch.setattr(msfit, "fit", broken)
    arguments = ["fit", str(scene), "-o", f"{out}/maps.h5"]
    monkeypatch.delenv("MSFIT_DEBUG", raising=False)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "please report it: KeyError" in said
    monkeypatch.setenv("MSFIT_DEBUG", "1")
    assert main(arguments) == 1
    assert "Traceback" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_an_interruption_is_one_line(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(msfit, "fit", interrupted)
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5"]) == 130
    assert capsys.readouterr().err == "msfit: interrupted\n"
    assert list(out.iterdir()) == []


def process(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(msfit.__file__).parents[1])}
    return subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True, env=environment, **options
    )


_STUCK_WHILE_WRITING = """
import os, sys, time
from msfit.cli import main
rename = os.replace

def replace(source, target):
    if not str(target).endswith("maps.h5"):
        return rename(source, target)
    print("writing", flush=True)
    time.sleep(60)

os.replace = replace
sys.exit(main())
"""


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_half_file(scene: Path, out: Path, sent: signal.Signals, status: int) -> None:
    running = process(_STUCK_WHILE_WRITING, "fit", str(scene), "-o", str(out / "maps.h5"), stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == "writing\n"
    assert len(list(out.iterdir())) == 1
    running.send_signal(sent)
    _, said = running.communicate(timeout=60)
    assert running.returncode == status
    assert said == ("msfit: interrupted\n" if sent == signal.SIGINT else "")
    assert list(out.iterdir()) == []


_INTERRUPTED_WHILE_LOADING = """
import os, signal, sys
from msfit.cli import main

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["msfit.cli.console", "typer", "msfit.cli.app", "msfit.cli.fit"])
def test_an_interruption_while_the_program_loads_is_one_line(module: str) -> None:
    running = process(_INTERRUPTED_WHILE_LOADING, module, stdout=subprocess.PIPE)
    assert running.communicate(timeout=60) == ("", "msfit: interrupted\n")
    assert running.returncode == 130


@pytest.mark.parametrize("arguments", [["--help"], ["models"]])
def test_a_reader_that_goes_away_is_no_fault(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    running = process("import sys; from msfit.cli import main; sys.exit(main())", *arguments, stdout=write)
    os.close(write)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (0, "")


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from msfit.cli import console, main
main(["fit", "--help"])
heavy = {"torch", "numpy", "matplotlib", "xarray", "scipy", "rich", "h5py", "numba"} & set(sys.modules)
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    running = process(code, stdout=subprocess.DEVNULL)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (0, "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_shows_only_on_a_terminal_and_only_for_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.progress_bar("short") as advance:
        assert advance is not None
        advance(1, 2)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(console, "_PATIENCE", -1.0)
    with console.progress_bar("long [work]") as advance:
        assert advance is not None
        advance(1, 2)
        advance(2, 2)
    assert "long [work]" in terminal.getvalue()
    with console.progress_bar("quiet", quiet=True) as advance:
        assert advance is None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with console.progress_bar("a file") as advance:
        assert advance is None


def test_bounds_are_parsed() -> None:
    assert parse_bounds("wide") == "wide"
    assert parse_bounds("f_mel=0:0.4, f_blood=0.02:0.07") == {"f_mel": (0.0, 0.4), "f_blood": (0.02, 0.07)}
    for wrong in ("f_mel=a:b", "f_mel=0:1:2", "f_mel=nan:1"):
        with pytest.raises(InputError, match="--bounds"):
            parse_bounds(wrong)


def test_outputs_stay_apart_from_inputs(tmp_path: Path) -> None:
    check_apart([tmp_path / "a.h5", tmp_path / "b.h5"], [tmp_path / "a.mat"])
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="is an input"):
        check_apart([tmp_path / "link" / "a.mat"], [tmp_path / "a.mat"])


def test_extra_parameters_are_fitted_by_name(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free = ("--free", "f_mel,f_blood,saturation", "--shared", "scattering", "--bounds", "saturation=0.4:0.9")
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5", *free]) == 0
    said = capsys.readouterr().out
    assert "saturation median" in said
    assert "for all" in said
    found = load_result(out / "maps.h5")
    assert set(found.extra) == {"saturation", "scattering"}
    assert found.bounds["saturation"] == (0.4, 0.9)
    refusal = refused(capsys, "fit", scene, "-o", f"{out}/none.h5", "--free", "f_mel,oxygen")
    assert "saturation, scattering, epidermis" in refusal
    assert not (out / "none.h5").exists()


def test_info_and_render_read_results_of_every_format(
    scene: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = set()
    for ending in ("h5", "nc", "mat", "npz"):
        assert main(["fit", str(scene), "-o", f"{out}/maps.{ending}", "-q"]) == 0
        assert main(["info", f"{out}/maps.{ending}"]) == 0
        said |= {line for line in capsys.readouterr().out.splitlines() if line.startswith("  f_")}
        assert main(["render", f"{out}/maps.{ending}", "-o", f"{out}/{ending}.png", "--what", "albedo"]) == 0
        assert (out / f"{ending}.png").read_bytes() == (out / "h5.png").read_bytes()
    assert len(said) == 2  # of f_mel and f_blood, the same for all


def test_ranges_of_a_panel(scene: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = ["--plot", f"{out}/panel.png"]
    assert main(["fit", str(scene), "-o", f"{out}/maps.h5", "-q", *plot, "--range", "f_mel=0:0.4,i_d=0:1"]) == 0
    assert "range: is of the figure" in refused(capsys, "fit", scene, "-o", out / "b.h5", "--range", "f_mel=0:1")
    plot = ["--plot", f"{out}/other.png"]
    assert "--range: found 'f_mel=1'" in refused(capsys, "fit", scene, "-o", out / "b.h5", *plot, "--range", "f_mel=1")
    assert "found 'red'" in refused(capsys, "fit", scene, "-o", out / "b.h5", *plot, "--range", "red=0:1")
    assert not (out / "b.h5").exists()


@pytest.mark.slow
def test_that_numba_compiles_is_said_once(scene: Path, out: Path, tmp_path: Path) -> None:
    """In an empty cache, as after an installation; then no more."""
    code = f"from msfit.cli import main; main(['fit', {str(scene)!r}, '-o', {str(out / 'maps.h5')!r}])"
    for compiles in (True, False):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stderr.count("compiling for this processor, once") == compiles
