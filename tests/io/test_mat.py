"""MATLAB files of every version become the same plain dicts."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from scipy.io import loadmat, savemat

import msfit
from msfit.errors import InputError
from msfit.io.matlab.mat import mat_variables, read_mat

NM = np.arange(400.0, 701, 10)


def save73(path: Path, variables: dict[str, Any]) -> None:
    """Write variables as MATLAB -v7.3 does: 512 bytes of header, axes turned round, text as uint16, references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put(file, file, name, value)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
    with path.open("r+b") as raw:
        raw.write(head.ljust(124) + b"\x00\x02IM")


def _put(file: h5py.File, group: h5py.Group, name: str, value: Any) -> h5py.Dataset | h5py.Group:
    if isinstance(value, dict):
        item = group.create_group(name)
        for field, inner in value.items():
            _put(file, item, field, inner)
        item.attrs["MATLAB_class"] = np.bytes_("struct")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        item = group.create_group(name)
        for field in value[0]:
            item.create_dataset(field, data=_references(file, [entry[field] for entry in value]), dtype=h5py.ref_dtype)
        item.attrs["MATLAB_class"] = np.bytes_("struct")
    elif isinstance(value, list):
        item = group.create_dataset(name, data=_references(file, value), dtype=h5py.ref_dtype)
        item.attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str) and value:
        item = group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))
        item.attrs["MATLAB_class"] = np.bytes_("char")
        item.attrs["MATLAB_int_decode"] = np.int32(2)
    else:
        array = np.zeros((0, 0)) if isinstance(value, str) else np.atleast_2d(value)
        kind = "char" if isinstance(value, str) else {"float64": "double", "float32": "single"}.get(str(array.dtype))
        if array.size == 0:
            item = group.create_dataset(name, data=np.array(array.shape, np.uint64))
            item.attrs["MATLAB_empty"] = np.uint8(1)
        elif array.dtype.kind == "c":
            parts = np.dtype([("real", array.real.dtype), ("imag", array.real.dtype)])
            item = group.create_dataset(name, data=np.rec.fromarrays([array.T.real, array.T.imag], dtype=parts))
        else:
            item = group.create_dataset(name, data=array.T, compression="gzip" if array.size > 100 else None)
        item.attrs["MATLAB_class"] = np.bytes_(kind or str(array.dtype))
    return item


def _references(file: h5py.File, values: list[Any]) -> np.ndarray:
    store = file.require_group("#refs#")
    names = [f"{len(store) + k}" for k in range(len(values))]
    items = [_put(file, store, name, value) for name, value in zip(names, values, strict=True)]
    return np.array([[item.ref] for item in items], dtype=h5py.ref_dtype)


def cells(*values: Any) -> np.ndarray:
    found = np.empty((1, len(values)), object)
    found[0, :] = values
    return found


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert sorted(one) == sorted(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, strict=True)
    else:
        assert one == other


@pytest.fixture
def variables() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "cube": rng.normal(size=(3, 4, 5)),
        "flat": rng.normal(size=(3, 4)).astype(np.float32),
        "counts": rng.integers(0, 65535, (2, 3), np.uint16),
        "number": np.float64(3.5),
        "waves": rng.normal(-1, 1, (1, 2)) + 1j * rng.normal(size=(1, 2)),
        "text": "Scene: Müller",
        "no_text": "",
        "empty": np.zeros((0, 0)),
        "nothing": np.zeros((0, 3)),
        "nested": {"data": {"photons": rng.normal(size=(5, 1))}, "name": "D65", "empty": np.zeros((0, 0))},
    }


def test_v7_and_its_v73_twin_are_the_same(tmp_path: Path, variables: dict[str, Any]) -> None:
    cell, structs = (
        [np.ones((2, 3)), "text", {"a": np.ones((1, 1))}],
        [{"a": np.ones((1, 1)), "b": "x"}, {"a": np.zeros((1, 2)), "b": "y"}],
    )
    record = np.zeros((1, 2), dtype=[("a", object), ("b", object)])
    for k, entry in enumerate(structs):
        record[0, k] = entry["a"], entry["b"]
    for compressed in (True, False):
        savemat(tmp_path / "v7.mat", {**variables, "cell": cells(*cell), "structs": record}, do_compression=compressed)
        save73(tmp_path / "v73.mat", {**variables, "cell": cell, "structs": structs})
        v7, v73 = read_mat(tmp_path / "v7.mat"), read_mat(tmp_path / "v73.mat")
        assert_same(v7, v73)
        assert v7["text"] == "Scene: Müller"
        assert v7["nested"]["name"] == "D65"
        assert v7["structs"][1]["b"] == "y"
        np.testing.assert_array_equal(v7["cube"], variables["cube"])


SAMPLES = sorted((Path(scipy.io.__file__).parent / "matlab" / "tests" / "data").glob("*.mat"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_files_that_matlab_wrote_are_read_as_scipy_reads_them(path: Path) -> None:
    """scipy's own samples: versions 4 to 7.4, of both byte orders, and some that are damaged on purpose."""
    try:
        expected = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    except NotImplementedError:
        assert mat_variables(path)  # version 7.3, which scipy does not read
        return
    except Exception:
        with contextlib.suppress(InputError):
            read_mat(path)
        return
    found = read_mat(path)
    assert expected.keys() <= found.keys()
    for name, value in expected.items():
        if not isinstance(value, np.ndarray) or value.dtype.names:
            continue
        if value.dtype.kind in "uifc":
            np.testing.assert_array_equal(found[name], value)
        elif value.dtype.kind == "U":
            assert found[name].rstrip() == "\n".join(value.ravel()).rstrip()


def test_v4_is_read(tmp_path: Path) -> None:
    savemat(tmp_path / "v4.mat", {"data": np.full((3, NM.size), 0.5), "wave": NM}, format="4")
    assert msfit.load(tmp_path / "v4.mat").shape == (3,)


def test_only_the_named_variables_are_read(tmp_path: Path, variables: dict[str, Any]) -> None:
    savemat(tmp_path / "v7.mat", variables)
    assert set(read_mat(tmp_path / "v7.mat", ["text", "absent", "cube"])) == {"text", "cube"}
    assert set(mat_variables(tmp_path / "v7.mat")) == set(variables)


def test_a_v73_variable_that_claims_more_than_the_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "huge.mat"
    save73(path, {"wave": NM})
    with h5py.File(path, "r+") as file:
        file.create_dataset("photons", shape=(31, 100_000, 100_000), dtype="f8", chunks=(1, 100, 100))
    with pytest.raises(InputError, match=r"claims an array of shape \(31, 100000, 100000\)"):
        msfit.load(path)


def test_references_that_run_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "circle.mat"
    save73(path, {"wave": NM})
    with h5py.File(path, "r+") as file:
        cell = file.create_dataset("photons", shape=(1, 1), dtype=h5py.ref_dtype)
        cell[0, 0] = cell.ref
    with pytest.raises(InputError, match="structs inside structs without end"):
        msfit.load(path)


def _scenes() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(1)
    light = np.linspace(1e15, 4e15, NM.size)[:, None]
    photons = rng.uniform(0, 0.8, (6, 5, NM.size)) * light.ravel()
    spatial = np.ones((6, 5, 1)) * light.ravel()
    modern = {"name": "D65", "type": "illuminant", "spectrum": {"wave": NM[:, None]}, "data": {"photons": light}}
    return {
        "uniform": {"photons": photons, "wave": NM, "illuminant": modern, "comment": "a scene"},
        "spatial": {"data": photons, "wavelength": NM, "illuminant": {**modern, "data": {"photons": spatial}}},
        "energy": {"photons": photons, "wave": NM, "illuminant": {"data": light * 1e-18, "wavelength": NM}},
        "linear": {
            "mcCOEF": rng.normal(1e15, 1e15, (6, 5, 3)),
            "basis": {"basis": rng.uniform(0, 1, (NM.size, 3)), "wave": NM},
            "imgMean": np.full((NM.size, 1), 1e14),
            "illuminant": modern,
        },
        "whole": {
            "scene": {
                "type": "scene",
                "spectrum": {"wave": NM},
                "data": {"photons": photons, "luminance": np.zeros((0, 0))},
                "illuminant": modern,
            }
        },
        "reflectance": {"reflectance": rng.uniform(0, 1, (7, NM.size)), "wave": NM},
    }


@pytest.mark.parametrize("form", list(_scenes()))
def test_a_v73_scene_loads_as_its_v7_twin(tmp_path: Path, form: str) -> None:
    savemat(tmp_path / "v7.mat", _scenes()[form])
    save73(tmp_path / "v73.mat", _scenes()[form])
    v7, v73 = msfit.load(tmp_path / "v7.mat"), msfit.load(tmp_path / "v73.mat")
    np.testing.assert_array_equal(v7.values, v73.values, strict=True)
    np.testing.assert_array_equal(v7.wavelengths, v73.wavelengths)
    np.testing.assert_array_equal(v7.reflectance, v73.reflectance)
    if v7.illuminant is not None:
        np.testing.assert_array_equal(v7.illuminant, v73.illuminant, strict=True)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_v73_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "v73.mat"
    save73(path, _scenes()["uniform"])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"v73\.mat: .*(cut short|no MAT)"):
        msfit.load(path)


@pytest.mark.parametrize("chunks", [None, (4, 3, 2)])
def test_large_arrays_of_7_3_stay_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, ...] | None
) -> None:
    monkeypatch.setattr("msfit.io.matlab.mat73._LARGE", 1000)
    values = np.random.default_rng(0).uniform(0.1, 0.6, (7, 5, 31))
    with h5py.File(tmp_path / "large.mat", "w", userblock_size=512) as file:
        file.create_dataset("reflectance", data=values.T, chunks=chunks)
        file["wavelength"] = np.arange(400.0, 701, 10)[None]
    cube = msfit.load(tmp_path / "large.mat")
    assert hasattr(cube.values, "dask")
    np.testing.assert_array_equal(cube.rows(slice(2, 6))[0], values[2:6])
    np.testing.assert_array_equal(cube.reflectance, values)
