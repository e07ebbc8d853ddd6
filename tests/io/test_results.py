"""Results on disk: what is written is read back, others can read it, and nothing is left half done."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from msfit.data.result import MAPS, FitResult, Status
from msfit.data.status import flag_table
from msfit.errors import InputError
from msfit.io.results import load_result, save


def a_result(shape: tuple[int, ...] = (4, 5), dtype: str = "float32", std: bool = True, **attrs: Any) -> FitResult:
    rng = np.random.default_rng(7)
    status = rng.choice([0, 1, 6, 16, 32, 33, 41, 64, 66, 80, 256, 512, 1024], shape).astype(np.uint16)
    maps = {name: rng.uniform(0, 1, shape).astype(dtype) for name in MAPS}
    for values in maps.values():
        values[status >= Status.MASKED_BY_USER] = np.nan
    return FitResult(
        **maps,
        status=status,
        model="alotaibi-smith-2019",
        bounds={"f_mel": (0.013, 0.43), "f_blood": (0.02, 0.07)},
        wavelengths=np.arange(400.0, 701.0, 10.0),
        std={name: rng.uniform(0, 1, shape).astype(dtype) for name in MAPS[:4]} if std else None,
        correlation={"f_mel,f_blood": rng.uniform(-1, 1, shape).astype(dtype)} if std else None,
        attrs=attrs or {"source": "face.mat", "seconds": 0.25, "bands_dropped": 3},
    )


def assert_equal(one: FitResult, other: FitResult) -> None:
    for name in (*MAPS, "status", "wavelengths"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    assert (one.std or {}).keys() == (other.std or {}).keys()
    for name, values in (one.std or {}).items():
        np.testing.assert_array_equal(values, (other.std or {})[name], strict=True)
    assert (one.correlation or {}).keys() == (other.correlation or {}).keys()
    for pair, values in (one.correlation or {}).items():
        np.testing.assert_array_equal(values, (other.correlation or {})[pair], strict=True)
    assert (one.model, dict(one.bounds)) == (other.model, dict(other.bounds))


_attributes = st.dictionaries(
    st.text(string.ascii_lowercase + "_", min_size=1, max_size=12),
    st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans()),
    max_size=4,
)


@settings(max_examples=10)
@given(
    shape=st.one_of(hnp.array_shapes(min_dims=1, max_dims=2, max_side=9)),
    dtype=st.sampled_from(["float32", "float64"]),
    std=st.booleans(),
    attrs=_attributes,
    extension=st.sampled_from([".h5", ".nc", ".H5"]),
)
def test_what_is_saved_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, ...],
    dtype: str,
    std: bool,
    attrs: dict[str, Any],
    extension: str,
) -> None:
    path = tmp_path_factory.mktemp("results") / f"result{extension}"
    result = a_result(shape, dtype, std, **attrs)
    result.save(path)
    back = load_result(path)
    assert_equal(result, back)
    own = {"model", "bounds", "bands", "counts"}
    for name in attrs.keys() - own:
        value = attrs[name]
        if value.isprintable() if isinstance(value, str) else abs(value) < 2**63:
            assert back.attrs[name] == value


def test_xarray_opens_it_with_units_flags_and_bounds(tmp_path: Path) -> None:
    result = a_result()
    result.save(tmp_path / "out.h5")
    with xarray.open_dataset(tmp_path / "out.h5", engine="h5netcdf") as found:
        assert found["f_mel"].dims == ("y", "x")
        assert found["status"].dtype == np.uint16
        assert all(found[name].attrs["units"] == "1" for name in MAPS)
        assert found["wavelength"].attrs["units"] == "nm"
        assert (found["f_blood"].attrs["lower_bound"], found["f_blood"].attrs["upper_bound"]) == (0.02, 0.07)
        assert found["correlation_f_mel_f_blood"].attrs["parameters"] == "f_mel,f_blood"
        assert found["correlation_f_mel_f_blood"].attrs["units"] == found["std_f_mel"].attrs["units"] == "1"
        assert found["f_mel"].encoding["zlib"]
        meanings = found["status"].attrs["flag_meanings"].split()
        masks = found["status"].attrs["flag_masks"]
        assert masks.dtype == found["status"].dtype  # as CF demands
        assert dict(zip(meanings, masks.tolist(), strict=True)) == flag_table()
        assert "global" in meanings
        counts = json.loads(found.attrs["counts"])
        assert sum(counts.values()) == result.status.size
        assert found.attrs["model"] == "alotaibi-smith-2019"
        assert found.attrs["bands"] == "31 bands, 400-700 nm"
        xarray.testing.assert_equal(found.load(), result.to_xarray())


def test_spectra_have_the_dimension_pixel() -> None:
    assert a_result((6,)).to_xarray()["i_d"].dims == ("pixel",)


@pytest.mark.parametrize("shape", [(4, 5), (6,)])
def test_matlab_and_numpy_read_the_exports(tmp_path: Path, shape: tuple[int, ...]) -> None:
    result = a_result(shape, **{"source": "gesicht_ä.mat", "2 odd-name": 1})
    result.save(tmp_path / "out.mat")
    result.save(tmp_path / "out.npz")
    matlab = loadmat(tmp_path / "out.mat", simplify_cells=True)
    with np.load(tmp_path / "out.npz") as archive:
        for name in (*MAPS, "std_f_mel"):
            values = result.std["f_mel"] if result.std and name == "std_f_mel" else getattr(result, name)
            np.testing.assert_array_equal(matlab[name], values)
            np.testing.assert_array_equal(archive[name], values)
        assert json.loads(str(archive["attributes"]))["model"] == result.model
    assert matlab["model"] == result.model
    np.testing.assert_array_equal(matlab["bounds"]["f_mel"], [0.013, 0.43])
    assert matlab["info"]["source"] == "gesicht_ä.mat"
    assert matlab["info"]["x2_odd_name"] == 1
    assert matlab["status_meanings"][0] == "1: converged with f_mel on its lower bound"


def test_a_status_is_read_by_its_name_not_its_number(tmp_path: Path) -> None:
    result = a_result(std=False)
    dataset = result.to_xarray().copy(deep=True)
    dataset["status"].values[...] = dataset["status"].values << 2
    dataset["status"].attrs["flag_masks"] = dataset["status"].attrs["flag_masks"] << 2
    dataset.to_netcdf(tmp_path / "later.h5", engine="h5netcdf")
    assert_equal(load_result(tmp_path / "later.h5"), result)


@pytest.mark.parametrize("name", ["out.bmp", "out", "out.h5.txt"])
def test_an_unknown_extension_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"expected a file name that ends in \.csv, \.h5, \.hdr, \.mat, \.nc, \.npz, "):
        a_result().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        a_result().save(tmp_path / "absent" / "out.h5")


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.h5").mkdir()
    with pytest.raises(InputError, match="found a folder"):
        a_result().save(tmp_path / "out.h5")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="permission denied"):
        a_result().save(tmp_path / "out.h5")


@pytest.mark.parametrize("extension", [".h5", ".mat", ".npz"])
def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            a_result().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InputError, "the disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), InputError, "read-only file system"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_nothing_is_left_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    expected: type[BaseException],
    message: str,
) -> None:
    def fail(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(expected, match=message):
        save(a_result(), tmp_path / "out.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "out.h5", tmp_path / "link.h5"
    target.write_text("old")
    link.symlink_to(target)
    a_result().save(link)
    assert link.is_symlink()
    assert_equal(load_result(target), a_result())


def test_foreign_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "empty.h5").touch()
    xarray.Dataset({"f_mel": ("x", [1.0])}).to_netcdf(tmp_path / "other.h5", engine="h5netcdf")
    savemat(tmp_path / "other.mat", {"f_mel": 1.0})
    for name in ("text.h5", "empty.h5", "other.h5", "other.mat", "absent.h5"):
        with pytest.raises(InputError, match="expected a result written by msfit") as caught:
            load_result(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="it holds no f_blood, i_d"):
        load_result(tmp_path / "other.h5")


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    a_result().save(tmp_path / "good.h5")
    good = (tmp_path / "good.h5").read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(40):
        damaged = bytearray(good[: rng.integers(1, len(good))] if rng.random() < 0.3 else good)
        for at in rng.integers(0, len(damaged), 4):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / "bad.h5").write_bytes(damaged)
        with contextlib.suppress(InputError):
            load_result(tmp_path / "bad.h5")


def test_maps_of_another_shape_are_refused() -> None:
    result = a_result()
    with pytest.raises(ValueError, match=r"i_d: found shape \(3,\)"):
        FitResult(
            f_mel=result.f_mel,
            f_blood=result.f_blood,
            i_d=np.zeros(3),
            i_s=result.i_s,
            rmse=result.rmse,
            status=result.status,
            model="m",
            bounds={},
            wavelengths=result.wavelengths,
        )


def test_the_summary_counts_what_became_of_the_pixels() -> None:
    status = np.array([0, 0, 1, 10, 16, 32, 256, 1024], np.uint16)
    values = np.where(status < Status.MASKED_BY_USER, 0.0074, np.nan)
    result = FitResult(
        *[values] * 5,
        status=status,
        model="m",
        bounds={},
        wavelengths=np.arange(400.0, 500.0, 10.0),
        attrs={"bands_dropped": 5},
    )
    assert result.summary() == (
        "6 spectra fitted, median RMSE 0.0074; 2 at a bound, 1 without diffuse light, 1 not converged, 2 masked; "
        "5 of 15 bands not used"
    )
    assert "alotaibi" not in repr(result)


OLD = Path(__file__).parent / "data" / "result_0_1_0.h5"


def test_a_file_of_version_0_1_0_is_read_with_its_statuses_as_flags() -> None:
    """Its statuses are numbers 0 to 13 and, where certified, 32 to 41."""
    old = load_result(OLD)
    assert old.attrs["msfit_version"] == "0.1.0"
    with xarray.open_dataset(OLD, engine="h5netcdf") as file:
        assert file["status"].dtype == np.uint8
        numbers = dict(zip(file["status"].flag_meanings.split(), file["status"].flag_values.tolist(), strict=True))
        counts = {status.label: count for status, count in old.counts().items()}
        assert counts == json.loads(file.attrs["counts"])
        assert counts == {name: n for name, k in numbers.items() if (n := (file["status"].values == k).sum())}
    assert old.counts()[Status.GLOBAL_CONVERGED] > 5
    np.testing.assert_array_equal(old.fitted, np.isfinite(old.rmse))
    assert np.asarray(load_result(OLD, lazy=True).status).dtype == old.status.dtype
    assert "certified global" in old.summary()
