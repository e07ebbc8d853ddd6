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
