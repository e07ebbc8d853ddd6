"""No output is an input, under any of its names; results that exist are written over when that is asked for alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray

import msfit
from msfit.cli import main
from msfit.errors import InputError
from msfit.io.output import tidy, written_whole

NM = np.arange(400.0, 701, 10)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene that fits, as HDF5."""
    values = np.tile(msfit.reflectance(np.full((4, 3), 0.05), np.full((4, 3), 0.03), NM), 1)
    array = xarray.DataArray(values, dims=("y", "x", "wavelength"), coords={"wavelength": NM})
    array.to_dataset(name="reflectance").to_netcdf(tmp_path / "scene.h5", engine="h5netcdf")
    return tmp_path / "scene.h5"


@pytest.mark.parametrize("way", ["itself", "hard link", "symbolic link", "its folder's link"])
def test_fit_file_does_not_write_over_its_scene(scene: Path, way: str) -> None:
    before, output = scene.read_bytes(), scene.parent / "other.h5"
    if way == "itself":
        output = scene
    elif way == "hard link":
        os.link(scene, output)
    elif way == "symbolic link":
        output.symlink_to(scene)
    else:
        (scene.parent / "folder").symlink_to(scene.parent)
        output = scene.parent / "folder" / scene.name
    with pytest.raises(InputError, match="is an input"):
        msfit.fit_file(scene, output)
    assert scene.read_bytes() == before


@pytest.mark.parametrize("option", ["--white", "--mask", "--weights", "--wavelengths"])
def test_no_other_input_is_written_over(scene: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = scene.parent / "other.h5"
    other.write_bytes(scene.read_bytes())
    assert main(["fit", str(scene), option, str(other), "-o", str(other), "--overwrite"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert other.read_bytes() == scene.read_bytes()


def test_a_result_is_written_over_when_asked_and_keeps_its_permissions(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = scene.parent / "maps.h5"
    fit = ["fit", str(scene), "-o", str(output), "-q"]
    assert main(fit) == 0
    output.chmod(0o640)
    first = output.read_bytes()
    assert main(fit) == 2
    assert "exists; choose another output, or write over it: --overwrite" in capsys.readouterr().err
    assert output.read_bytes() == first
    assert main([*fit, "--overwrite"]) == 0
    assert output.stat().st_mode & 0o777 == 0o640
    assert main([*fit, "--skip-existing"]) == 0
    assert main([*fit, "--skip-existing", "--overwrite"]) == 2


def test_render_writes_over_a_picture_when_asked(scene: Path) -> None:
    render = ["render", str(scene), "-o", str(scene.parent / "a.png")]
    assert [main(render), main(render), main([*render, "--overwrite"])] == [0, 2, 0]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / ("long" * 60 + ".h5")
    with written_whole(target) as part:
        part.write_bytes(b"x")
    left, kept = part, part.with_suffix(".kept")
    kept.write_bytes(b"x")
    left.write_bytes(b"x")
    (other := tmp_path / ".msfit-other.h5").write_bytes(b"x")
    tidy(target)
    assert not left.exists()
    assert other.exists()
    assert kept.exists()


def envi_scene(folder: Path) -> Path:
    values = np.tile(msfit.reflectance(np.full((4, 3), 0.05), np.full((4, 3), 0.03), NM), 1).astype("<f4")
    (folder / "e.img").write_bytes(values.tobytes())
    (folder / "e.hdr").write_text(
        "ENVI\nlines = 4\nsamples = 3\nbands = 31\ndata type = 4\ninterleave = bip\nbyte order = 0\n"
        f"wavelength = {{{', '.join(map(str, NM))}}}\n"
    )
    return folder / "e.hdr"


@pytest.mark.parametrize("given", ["e.hdr", "e.img"])
def test_an_envi_result_replaces_neither_header_nor_data_of_its_scene(
    tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    header = envi_scene(tmp_path)
    before = {path: path.read_bytes() for path in (header, header.with_suffix(".img"))}
    assert main(["fit", str(tmp_path / given), "-o", str(header), "--overwrite"]) == 2
    assert "is an input" in capsys.readouterr().err
    other = tmp_path / "x.hdr"  # its data would be those of another scene, under another header
    os.link(tmp_path / "e.img", tmp_path / "x.img")
    assert main(["fit", str(header), "-o", str(other), "--overwrite"]) == 2
    assert {path: path.read_bytes() for path in before} == before


def test_the_data_of_an_envi_result_are_not_written_over_unasked(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = scene.parent / "maps.img"
    foreign.write_text("foreign")
    assert main(["fit", str(scene), "-o", str(scene.parent / "maps.hdr")]) == 2
    assert "maps.img: exists" in capsys.readouterr().err
    assert foreign.read_text() == "foreign"


def test_a_page_is_written_over_when_asked(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps, page = scene.parent / "maps.h5", scene.parent / "page.html"
    assert main(["fit", str(scene), "-o", str(maps), "-q"]) == 0
    page.write_text("mine")
    assert main(["view", str(maps), "-o", str(page)]) == 2
    assert page.read_text() == "mine"
    assert main(["view", str(maps), "-o", str(page), "--overwrite"]) == 0
    assert page.read_text() != "mine"


def test_figures_of_a_network_do_not_replace_its_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from biofacenet.cli import main as biofacenet

    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    weights.with_suffix(".json").write_text("{}")
    arguments = ["evaluate", str(tmp_path), "--weights", str(weights), "-o", str(tmp_path / "w.json")]
    assert biofacenet(arguments) == 2
    assert "w.json: is an input" in capsys.readouterr().err
    assert weights.with_suffix(".json").read_text() == "{}"
