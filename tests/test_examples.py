"""What the documentation shows works: examples of docstrings, Python of README and docs, options of commands."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import skimage.data
import spectral.io.envi
import typer
import xarray

import biofacenet.cli.app
import msfit
import msfit.cli.app
from msfit.skin import registry
from msfit.synth import make_scene, write_scene

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What pages leave out.
NAMES = """
import imageio.v3, msfit, xarray
cube, crop = msfit.load("scene.mat"), imageio.v3.imread("face.jpg")[60:190, 70:200]
"""
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for package in ("msfit", "biofacenet")
    for path in (ROOT / package).rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)
COMMANDS = {
    name: typer.main.get_command(app)
    for name, app in (("msfit", msfit.cli.app.app), ("biofacenet", biofacenet.cli.app.app))
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small face as an ISET file, in ENVI's format and as a Zarr store."""
    folder = tmp_path_factory.mktemp("given")
    write_scene(make_scene(1, size=24), folder / "scene.mat")
    cube = msfit.load(folder / "scene.mat")
    reflectance = np.ascontiguousarray(cube.reflectance)
    metadata = {"wavelength": [f"{nm:g}" for nm in cube.wavelengths], "wavelength units": "nm"}
    spectral.io.envi.save_image(str(folder / "scene.hdr"), reflectance, metadata=metadata, dtype=np.float32)
    coordinates = {"wavelength": ("wavelength", cube.wavelengths, {"units": "nm"})}
    scene = xarray.DataArray(reflectance, dims=("y", "x", "wavelength"), coords=coordinates, attrs={"units": "1"})
    scene.to_dataset(name="reflectance").chunk({"y": 8}).to_zarr(folder / "scene.zarr", consolidated=False)
    return folder


def blocks(page: Path, language: str) -> Iterator[str]:
    """Code of a page's blocks in one language, "" for those that name none."""
    for found, code in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
        if found == language:
            yield code


def command_lines(page: Path) -> Iterator[list[str]]:
    """Words of every command of ours that a page shows in a block or in its text."""
    text = page.read_text(encoding="utf-8")
    shown = [
        line
        for language in ("", "sh", "bash", "console")
        for code in blocks(page, language)
        for line in code.splitlines()
    ]
    shown += re.findall(r"`((?:msfit|biofacenet) [^`\n]+)`", text)
    for line in shown:
        for part in re.split(r"\s{3,}|&&|\|", line):
            words = shlex.split(part.partition(" # ")[0].removeprefix("$ ").strip(), comments=True)
            if words and words[0].rpartition("/")[2] in COMMANDS:
                yield [words[0].rpartition("/")[2], *words[1:]]


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with np.printoptions(legacy=False):  # colour-science, which other tests import, sets numpy 1.13's for the process
        ran = doctest.testmod(importlib.import_module(module), optionflags=flags)
    assert ran.failed == 0


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python"))], ids=lambda page: page.name)
def test_python_of_a_page_runs(page: Path, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, where a scene and a photograph have the names of pages.

    In this process, which has the libraries already; in one of its own where the page limits the process's memory.
    """
    here = shutil.copytree(given, tmp_path / "here")
    imageio.imwrite(here / "face.jpg", skimage.data.astronaut()[:280, 90:370])
    monkeypatch.chdir(here)
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))  # a page registers a model of its own
    script = "\n".join((NAMES, *blocks(page, "python")))
    if "memory=" not in script:
        exec(compile(script, page.name, "exec"), {"__name__": "__main__"})
        return
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_have_their_options(page: Path) -> None:
    for words in command_lines(page):
        group: Any = COMMANDS[words[0]]
        named = words[1] if len(words) > 1 and not words[1].startswith("-") else None
        assert named is None or named in group.commands, f"{page.name}: {' '.join(words)}"
        command = group if named is None else group.commands[named]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
        assert set(used) <= known | {"--help"}, f"{page.name}: {' '.join(words)}"
