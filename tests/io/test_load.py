"""`load` meets files that are missing, damaged or something else with one line that names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import msfit
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)


@pytest.fixture(params=[True, False], ids=["compressed", "plain"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    light = np.linspace(1e15, 4e15, NM.size)
    photons = np.random.default_rng(0).uniform(0, 0.8, (9, 8, NM.size)) * light
    illuminant = {"type": "illuminant", "data": {"photons": light}, "spectrum": {"wave": NM}}
    path = tmp_path / "scene.mat"
    savemat(path, {"illuminant": illuminant, "wave": NM, "photons": photons}, do_compression=request.param)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        msfit.load(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.mat")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mat").touch()
    assert "is empty" in refusal(tmp_path / "empty.mat")


def test_text_named_mat(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("wavelength,reflectance\n400,0.1\n" * 50)
    assert "no MAT" in refusal(tmp_path / "text.mat")


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_truncated_mat(scene: Path, share: float) -> None:
    whole = scene.read_bytes()
    scene.write_bytes(whole[: max(1, int(share * len(whole)))])
    refusal(scene)


def test_cut_short_says_so(scene: Path) -> None:
    scene.write_bytes(scene.read_bytes()[:-100])
    assert "cut short" in refusal(scene)


def test_a_variable_cut_off_whole_is_missed(scene: Path) -> None:
    savemat(scene, {"wave": NM})
    assert "holds wave; expected one of" in refusal(scene)


def test_file_that_may_not_be_read(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", deny)
    assert "cannot be read: Permission denied" in refusal(scene)
