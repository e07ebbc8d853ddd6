"""What a first hour meets: odd words on the command line, names that a terminal would obey, Ctrl-C, words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

import msfit
from msfit.cli import main
from msfit.cli.app import app
from msfit.cli.console import printable
from msfit.data.result import FitResult, _duration
from msfit.data.status import Status
from msfit.io.extras import need

NM = np.arange(400.0, 701, 10)
# Words that are no files, no numbers in range, or too much of either.
ODD = (
    "", "nan", "inf", "-1", "0", "1e400", "1e300", "1e-320", "99999999999999999999999", "a" * 300, "a" * 5000,
    "\x1b[31mred", "loop", "loop/x", "folder", "empty", "deep.json", "bytes", "f_mel=1:0", "f_mel=nan:nan", "400:700:0",
    "::", "cuda:99", "mps", "[1]", "0:0,0:0", "0,0,0,0", "1e9,1,1,1", "2:1", "\udcff", "/dev/null",
    "scene.npz", "maps.h5", "face.png", "x0", "=", "melanin=0:1:99999999", "f_mel=0:1,f_mel=0:2", "tcp://[::1",
    "-5GiB", "1e99GiB", ".h5",
)  # fmt: skip
# Commands of which every option is tried, with what else they need; those of biofacenet after a stroke.
COMMANDS = {
    "fetch": ["iset-faces", "--mirror", "https://127.0.0.1:1/", "-q"],
    "info": ["scene.npz"],
    "render": ["scene.npz", "-o", "picture.png", "--overwrite"],
    "view": ["scene.npz", "-o", "page.html"],
    "check": ["scene.npz"],
    "design": ["--channels", "2", "-q"],
    "report": ["maps.h5", "-o", "report.html"],
    "fit": ["scene.npz", "-o", "other.h5", "--overwrite", "-q"],
    "synth": ["--count", "1", "--size", "16", "--mode", "model", "-o", "scenes", "--overwrite", "-q"],
    "demo": ["-o", "demo", "-q"],
    "biofacenet/predict": ["face.png", "-o", "b.h5", "--whole", "--mask", "none", "--overwrite", "-q"],
    "biofacenet/edit": ["face.png", "-o", "e.png", "--whole", "--melanin", "+0.01", "--overwrite", "-q"],
    "biofacenet/evaluate": ["folder"],
    "biofacenet/prepare": ["face.png", "-o", "prepared", "-q"],
    "biofacenet/train": ["--config", "run.toml", "-o", "trained", "-q"],
}
FILES = ("scene.npz", "maps.h5", "face.png", "folder")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    values = np.tile(msfit.reflectance(np.full((4, 3), 0.05), np.full((4, 3), 0.03), NM), 1)
    np.savez(tmp_path / "scene.npz", reflectance=values, wave=NM)
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bytes").write_bytes(np.random.default_rng(0).bytes(3000))
    (tmp_path / "run.toml").write_text("steps = [")
    picture = np.random.default_rng(0).integers(60, 200, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "face.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [("fetch", ODD[::4]), *(pytest.param(name, ODD, marks=pytest.mark.slow) for name in COMMANDS)],
    ids=["a few of fetch", *COMMANDS],
)
def test_no_odd_word_is_a_fault_of_the_program(
    name: str,
    words: tuple[str, ...],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("msfit.io.datasets.download.time.sleep", lambda _: None)
    program, _, command_name = f"msfit/{name}".rpartition("/")
    if program.endswith("biofacenet"):
        pytest.importorskip("torch")
        from biofacenet.cli import main as run
        from biofacenet.cli.app import app as commands
    else:
        run, commands = main, app
    if name == "report":
        assert main(["fit", "scene.npz", "-o", "maps.h5", "-q"]) == 0
    command = typer.main.get_command(commands).commands[command_name]  # type: ignore[attr-defined]
    options = [
        p.opts[-1] if p.opts[-1].startswith("--") else p.opts[0]
        for p in command.params
        if p.param_type_name == "option" and not getattr(p, "is_flag", False)
    ]
    assert len(options) >= 1

    def tried(*given: str) -> None:
        try:
            status = run([command_name, *given])
        except UnicodeEncodeError:
            pytest.fail(f"{given}: raised")
        said = capsys.readouterr()
        assert status in (0, 2), (given, said.err)
        assert said.err.count("\n") <= 2, (given, said.err)
        assert "\x1b" not in said.out + said.err

    given = COMMANDS[name]
    spellings = {p.opts[0]: set(p.opts) for p in command.params} | {p.opts[-1]: set(p.opts) for p in command.params}
    for option in options:
        others = list(given)
        for spelling in spellings[option] & set(others):
            others[others.index(spelling) : others.index(spelling) + 2] = []
        for word in words:
            tried(*others, *([f"{option}={word}"] if option.startswith("--") else [option, word]))
    for word in words:
        tried(*[one for one in given if one not in FILES], "--", word)


def test_a_fit_after_a_plot_that_cannot_be_made_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written where the figure fails, whatever is wrong with it."""
    for figure in (
        "absent/p.png",
        "p.txt",
        "loop",
        "loop/p.png",
        "a" * 300 + ".png",
        "scene.npz",
        "folder/x/p.png",
        ".png",
    ):
        assert main(["fit", "scene.npz", "-o", "maps.h5", "-q", "--plot", figure]) in (0, 2), figure
        said = capsys.readouterr()
        assert said.err.count("\n") <= 1, figure
        if figure != "folder":
            assert not Path("maps.h5").exists() or figure == ".png"
    assert main(["fit", "scene.npz", "-o", "maps.h5", "-q", "--plot", "panel.png", "--range", "f_mel=1:0"]) == 2
    assert not Path("panel.png").exists()


def test_what_a_terminal_would_obey_is_written_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b]0;title\x07\u202eb.npz"
    Path("scene.npz").rename(name)
    assert main(["info", name]) == 0
    assert capsys.readouterr().out.startswith(r"a\x1b]0;title\x07\u202eb.npz")
    assert printable("é\tß\n漢字") == "é\tß\n漢字"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1234, "0.12 s"), (8.04, "8 s"), (59.7, "1 min 0 s"), (187, "3 min 7 s")],
)
def test_durations(seconds: float, words: str) -> None:
    assert _duration(seconds) == words


def result(**attrs: object) -> FitResult:
    skin = np.tile(msfit.reflectance(np.full((4, 5), 0.05), np.full((4, 5), 0.03), NM), 1)
    found = msfit.fit(skin, NM, mask=np.arange(20).reshape(4, 5) < 10)
    return FitResult(**{**vars(found), "attrs": {**found.attrs, **attrs}})


def test_a_photograph_is_estimated_not_fitted() -> None:
    assert "10 pixels fitted" in result().summary()
    assert "10 pixels estimated" in result(network="compact").summary()


def test_masks_have_no_giver(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Status.MASKED_BY_USER.meaning == "left out by the mask"
    from msfit.fitting.inputs import masked

    cube = msfit.load("scene.npz")
    assert masked(cube, "auto").provenance["mask"].startswith("auto")
    assert main(["fit", "scene.npz", "-o", "maps.h5", "--mask", "auto", "-q"]) == 0
    assert msfit.load_result("maps.h5").attrs["mask"].startswith("auto")


def test_shares_are_of_what_the_mask_leaves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.full((4, 5, NM.size), 0.3, np.float32)
    values[0] = np.nan
    np.savez("scene.npz", reflectance=values, wave=NM, mask=np.repeat([[False], [True], [True], [True]], 5, 1))
    assert main(["info", "scene.npz"]) == 0
    assert re.search(r"not finite +no samples", capsys.readouterr().out)
    figure = result().plot()
    labels = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert "inside the bounds: 100.0 %" in labels
    assert "masked: 50.0 %" in labels


def test_a_folder_for_several_results_is_made(folder: Path) -> None:
    Path("other.npz").write_bytes(Path("scene.npz").read_bytes())
    assert main(["fit", "scene.npz", "other.npz", "-o", "new/results", "-q"]) == 0
    assert sorted(path.name for path in Path("new/results").iterdir()) == ["other.h5", "scene.h5"]
    assert main(["fit", "scene.npz", "other.npz", "-o", "one.h5", "-q"]) == 2


@pytest.mark.parametrize(("module", "extra", "words"), [
    ("PIL.Nothing", "photo", "pip install pillow"),
    ("dlib_of_nobody", "photo", "pip install 'msfit\\[photo\\]'"),
])  # fmt: skip
def test_the_package_that_is_missing_is_named(module: str, extra: str, words: str) -> None:
    with pytest.raises(msfit.InputError, match=words):
        need(module, extra)


def test_every_extra_that_is_named_has_the_package() -> None:
    """In the code `need(MODULE, EXTRA)`; in pyproject.toml what the extra installs."""
    import tomllib

    from msfit.io.extras import _NAMES, _REQUIRED

    root = Path(msfit.__file__).parents[1]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("needs the project's folder")
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    of = {name: " ".join(lines) for name, lines in extras.items()}
    of["train"] += of["photo"] + of["synth"]
    required = " ".join(project["dependencies"])
    for file in [*root.glob("msfit/**/*.py"), *root.glob("biofacenet/**/*.py")]:
        for module, extra in re.findall(r'\bneed\("([\w.]+)"(?:, "(\w+)")?\)', file.read_text()):
            package = module.split(".")[0]
            name = _NAMES.get(package, package)
            assert name in (required if package in _REQUIRED else of[extra or "formats"]), (file, module)


INTERRUPTED = """
import gc, os, signal, sys, time, weakref
import msfit.cli

class Thing: pass

def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # Ctrl-C is raised here, where it is swallowed

def info(**_):
    thing = Thing()
    kept = weakref.ref(thing, interrupt)
    del thing
    time.sleep(20)

def commands():
    import typer
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("info")(lambda: info())
    app.command("other")(lambda: None)
    return app

sys.argv = ["msfit", "info"]
sys.exit(msfit.cli.run("msfit", commands))
"""


def test_ctrl_c_in_a_callback_of_a_weak_reference_is_not_lost() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "msfit: interrupted\n")
    assert time.monotonic() - began < 15


def test_after_a_streamed_interruption_it_says_how_to_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, output: Path, **__: object) -> None:
        Path(f"{output}.part").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(msfit, "fit_file", interrupted)
    assert main(["fit", "scene.npz", "-o", "maps.h5", "--memory", "8GiB"]) == 130
    assert "what is done is kept in maps.h5.part: the same command goes on from there" in capsys.readouterr().err


def test_workers_end_with_a_parent_that_is_killed() -> None:
    code = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from msfit.synth.bank import end_with_parent
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{worker}/stat").exists():
        if Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # ended, and nobody has asked how
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.slow
def test_scenes_of_other_settings_are_not_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synth = ["synth", "-o", "scenes", "--size", "16", "--mode", "model", "-q"]
    assert main(synth) == 0
    written = Path("scenes/train-000000.mat")
    before = written.read_bytes()
    assert main(synth) == 0  # the same again: left alone
    other = [*synth[:4], "24", *synth[5:]]
    assert main(other) == 2
    assert "exists; choose another output, or write over it: --overwrite" in capsys.readouterr().err
    assert written.read_bytes() == before
    assert main([*other, "--overwrite"]) == 0
    assert written.read_bytes() != before
