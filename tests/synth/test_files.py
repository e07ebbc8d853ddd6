"""Scenes on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

import msfit
from msfit.errors import InputError
from msfit.synth import make_scene, read_truth, write_scene, write_scenes
from msfit.synth.files import digest, linear_model, truth_path

SIZE = 32


@pytest.fixture(scope="module")
def scene():
    return make_scene(2, size=SIZE, split="test", name="two")


@pytest.fixture
def written(tmp_path, scene):
    path = tmp_path / "two.mat"
    write_scene(scene, path)
    return path


def test_msfit_loads_what_is_written(written, scene):
    cube = msfit.load(written)
    assert cube.values.shape == (SIZE, SIZE, 31)
    np.testing.assert_array_equal(cube.wavelengths, np.arange(400, 701, 10))
    np.testing.assert_allclose(cube.illuminant, scene.illuminant, rtol=1e-6)
    error = (cube.reflectance - scene.cube.reflectance)[scene.truth.mask]
    assert np.sqrt((error**2).mean()) < 0.01  # six basis functions


def test_the_file_has_the_form_of_iset(written):
    held = scipy.io.loadmat(written)
    assert held["mcCOEF"].shape == (SIZE, SIZE, 6)
    assert held["basis"][0, 0]["basis"].shape == (31, 6)
    assert held["basis"][0, 0]["wave"].shape == (31, 1)
    assert held["imgMean"].shape == (1, 31)
    light = held["illuminant"][0, 0]
    assert light["type"][0] == "illuminant"
    assert light["data"][0, 0]["photons"].shape == (SIZE, SIZE, 31)
    assert "Stand-in" in held["comment"][0]


def test_every_band_can_be_written(tmp_path, scene):
    path = tmp_path / "all.mat"
    write_scene(scene, path, basis=None)
    np.testing.assert_allclose(msfit.load(path).values, scene.radiance, rtol=1e-6)


def test_truth_comes_back_as_it_was(written, scene):
    truth = read_truth(written)
    assert read_truth(truth_path(written)).attrs == truth.attrs
    for field in dataclasses.fields(truth):
        if field.name != "attrs":
            found, expected = getattr(truth, field.name), getattr(scene.truth, field.name)
            assert found.dtype == expected.dtype, field.name
            np.testing.assert_array_equal(found, expected)
    assert {name: truth.attrs[name] for name in scene.truth.attrs} == dict(scene.truth.attrs)


def test_equal_scenes_are_equal_files(tmp_path, written, scene):
    again = tmp_path / "again"
    again.mkdir()
    write_scene(scene, again / "two.mat")
    assert (again / "two.mat").read_bytes() == written.read_bytes()
    assert digest(again / "two.mat") == digest(written)


def test_the_digest_sees_a_changed_truth(written):
    before = digest(written)
    with h5py.File(truth_path(written), "r+") as file:
        file["i_d"][0, 0] += 0.001
    assert digest(written) != before


def test_a_run_goes_on_where_it_stopped(tmp_path):
    settings = {"seed": 5, "size": 24, "split": "validation", "mode": "model"}
    calls = []
    first = write_scenes(tmp_path / "new" / "folder", 2, **settings, progress=lambda *at: calls.append(at))
    assert calls == [(1, 2), (2, 2)]
    assert [path.name for path in first] == ["validation-000005.mat", "validation-000006.mat"]
    kept = first[0].stat().st_mtime_ns
    content = first[1].read_bytes()
    first[1].unlink()
    assert write_scenes(first[0].parent, 2, **settings) == first
    assert first[0].stat().st_mtime_ns == kept
    assert first[1].read_bytes() == content
    write_scenes(first[0].parent, 1, **{**settings, "mode": "measured"})
    assert read_truth(first[0]).attrs["mode"] == "measured"


def test_six_basis_functions_hold_what_lies_in_them():
    rng = np.random.default_rng(0)
    spectra = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 31)) + 3
    coefficients, basis, mean = linear_model(spectra, 6)
    np.testing.assert_allclose(coefficients @ basis.T + mean, spectra, atol=1e-9)
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-9)


def test_what_cannot_be_read_or_written_is_refused(tmp_path, scene):
    with pytest.raises(InputError, match="no such file"):
        read_truth(tmp_path / "absent.mat")
    (tmp_path / "bad_truth.nc").write_text("no")
    with pytest.raises(InputError, match="not the truth"):
        read_truth(tmp_path / "bad.mat")
    with pytest.raises(InputError, match="count"):
        write_scenes(tmp_path, 0)
    with pytest.raises(InputError, match="basis"):
        write_scene(scene, tmp_path / "x.mat", basis=40)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        write_scenes(tmp_path / "file" / "inside", 1, size=24)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "soul"},
        {"size": 3},
        {"split": "none"},
        {"model": "none"},
        {"seed": -1},
        {"seed": 2**64},
        {"size": 10**7},
    ],
)
def test_wrong_settings_make_no_folder(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(InputError):
        write_scenes(tmp_path / "scenes", 1, **wrong)
    assert not (tmp_path / "scenes").exists()
