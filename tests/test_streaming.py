"""From disk to disk: the maps of `msfit.fit`, whatever the format, the blocks, and what happens in between."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import h5py
import numpy as np
import pytest
import spectral.io.envi
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import msfit
from msfit.cli import main
from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.fitting.options import FitOptions
from msfit.fitting.plan import prepare
from msfit.fitting.worker import ROOM, pool
from msfit.io.output import _beside
from msfit.streaming import budget as planning
from msfit.streaming import fit_file as streaming
from msfit.streaming.checkpoint import Part

NM = np.arange(400.0, 701.0, 10.0)
H, W = 24, 20
ROWS_A_BLOCK = 5
MODEL = "alotaibi-smith-2019"
MAPS = ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status")


def skin() -> np.ndarray:
    """Shaded skin with noise, some of it hard: dead bands, no signal, saturation's absence."""
    rng = np.random.default_rng(3)
    fractions = rng.uniform(0.02, 0.4, (H, W)), rng.uniform(0.004, 0.06, (H, W))
    values = rng.uniform(0.4, 1.0, (H, W, 1)) * msfit.reflectance(*fractions, NM, model="alotaibi-smith-2019") + 0.02
    values += 0.002 * rng.standard_normal(values.shape)
    values[3, 4:7, ::2] = np.nan
    values[10, :5] = -1
    return values.astype(np.float32)


VALUES = skin()


def hdf5(path: Path, chunks: tuple[int, ...] | None = (6, W, 31), values: np.ndarray = VALUES) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("reflectance", data=values, chunks=chunks)
        file["wavelength"] = NM
    return path


def envi(path: Path, interleave: str) -> Path:
    metadata = {"wavelength": NM.tolist(), "wavelength units": "Nanometers"}
    spectral.io.envi.save_image(str(path), VALUES, interleave=interleave, metadata=metadata, dtype=VALUES.dtype)
    return path


def zarr(path: Path) -> Path:
    data = xarray.Dataset({"reflectance": (("y", "x", "wavelength"), VALUES)}, {"wavelength": NM})
    data.chunk(y=7, x=9, wavelength=31).to_zarr(path, zarr_format=2)
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "HDF5 in tiles": lambda folder: hdf5(folder / "tiles.h5", (7, 9, 31)),
    "HDF5 without chunks": lambda folder: hdf5(folder / "flat.h5", None),
    "HDF5 with a chunk a band": lambda folder: hdf5(folder / "bands.h5", (H, W, 1)),
    "Zarr": lambda folder: zarr(folder / "tiles.zarr"),
    **{f"ENVI {order}": lambda folder, order=order: envi(folder / "a.hdr", order) for order in ("bsq", "bil", "bip")},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHUNK", ROWS_A_BLOCK * W)


@pytest.fixture(scope="module")
def whole() -> FitResult:
    return msfit.fit(VALUES, NM, model=MODEL)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return hdf5(tmp_path / "scene.h5")


def fitted(scene: Path, output: Path, **options: Any) -> FitResult:
    return msfit.fit_file(scene, output, **{"memory": "4GiB", "model": MODEL, **options})


def assert_same(one: Any, other: Any, names: tuple[str, ...] = MAPS) -> None:
    for name in names:
        a, b = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes(), name


def stop_after(pixels: int, how: Callable[[], Any]) -> Callable[[int, int], None]:
    """To be told of progress: stops the fit when so many pixels are done."""

    def told(done: int, total: int) -> None:
        assert total == H * W
        if done >= pixels:
            how()

    return told


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", FILES)
def test_every_format_streamed_is_the_fit_in_memory_to_the_bit(tmp_path: Path, whole: FitResult, kind: str) -> None:
    told: list[int] = []
    result = fitted(FILES[kind](tmp_path), tmp_path / "maps.h5", progress=lambda done, total: told.append(done))
    assert_same(result, whole)
    assert_same(msfit.load_result(tmp_path / "maps.h5"), whole)
    assert told == sorted(told)
    assert told[-1] == H * W
    assert not (tmp_path / "maps.h5.part").exists()


def test_the_file_is_that_of_a_result_saved_from_memory(scene: Path, tmp_path: Path) -> None:
    streamed = fitted(scene, tmp_path / "streamed.h5", std=True)
    msfit.fit(msfit.load(scene), model=MODEL, std=True).save(tmp_path / "saved.h5")
    with (
        xarray.open_dataset(tmp_path / "streamed.h5", engine="h5netcdf") as one,
        xarray.open_dataset(tmp_path / "saved.h5", engine="h5netcdf") as other,
    ):
        del other.attrs["seconds"]  # a stream says it, but its file is the same each time
        xarray.testing.assert_identical(one, other)
    assert "std_f_mel" in streamed.to_xarray()
    assert (
        streamed.summary().split("median")[1] == msfit.load_result(tmp_path / "saved.h5").summary().split("median")[1]
    )


@pytest.mark.parametrize("rows", [1, 4, 24])
def test_blocks_do_not_change_a_bit(
    scene: Path, tmp_path: Path, whole: FitResult, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(streaming, "CHUNK", rows * W)
    assert_same(fitted(scene, tmp_path / "maps.h5"), whole)


def test_a_pixel_alone_is_that_pixel_of_the_stream(scene: Path, tmp_path: Path) -> None:
    result = fitted(scene, tmp_path / "maps.h5")
    for y, x in ((0, 0), (3, 4), (11, 13), (23, 19)):
        alone = msfit.fit(VALUES[y : y + 1, x], NM, model=MODEL)
        for name in MAPS:
            assert np.asarray(getattr(result, name)[y, x]).tobytes() == getattr(alone, name)[0].tobytes()


def test_resampled_bands_and_masks_are_streamed(scene: Path, tmp_path: Path) -> None:
    mask = np.zeros((H, W), bool)
    mask[2:20, 3:9] = True
    options = {"bands": "420:700:7", "bounds": "paper", "dtype": "float64"}
    result = fitted(scene, tmp_path / "maps.h5", mask=mask, **options)
    assert_same(result, msfit.fit(VALUES, NM, model=MODEL, mask=mask, **options))
    assert result.wavelengths.size == 41


def test_percent_with_light_and_mask_in_the_file(tmp_path: Path) -> None:
    light = np.linspace(1, 3, 31) * np.linspace(0.5, 1, H)[:, None, None] * np.ones((1, W, 1))
    mask = np.random.default_rng(0).random((H, W)) > 0.3
    dims = ("y", "x", "wavelength")
    content = {"radiance": (dims, VALUES * light), "illuminant": (dims, light), "mask": (dims[:2], mask)}
    xarray.Dataset(content, {"wavelength": NM}).to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
    result = fitted(tmp_path / "scene.nc", tmp_path / "maps.nc")
    assert_same(result, msfit.fit(msfit.Cube(VALUES * light, NM, light, mask), model=MODEL))
    everywhere = fitted(tmp_path / "scene.nc", tmp_path / "all.nc", mask="none")
    assert everywhere.fitted.sum().compute() > result.fitted.sum().compute()


@pytest.mark.parametrize("seconds", [0, 30])
def test_a_file_that_changes_while_it_is_fitted_gives_no_result(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr("msfit.streaming.job._LOOK", seconds)
    seen: list[int] = []

    def touch(done: int, total: int) -> None:
        seen.append(done)
        os.utime(scene, (1, 1))

    with pytest.raises(InputError, match=r"scene.h5: was changed while it was being fitted"):
        fitted(scene, tmp_path / "maps.h5", progress=touch)
    assert len(seen) == (1 if seconds == 0 else 3)  # at the next block, or when all are done
    assert [path.name for path in tmp_path.iterdir()] == ["scene.h5"]


def test_the_source_is_named_as_it_was_given(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    streamed = fitted(Path("scene.h5"), Path("maps.h5"))
    assert streamed.attrs["source"] == msfit.fit(msfit.load("scene.h5"), model=MODEL).attrs["source"] == "scene.h5"


KILLED = """
import os, signal, sys, msfit
from msfit.streaming import fit_file as streaming
streaming.CHUNK = {chunk}
def told(done, total):
    if done >= total / 2:
        os.kill(os.getpid(), signal.SIGKILL)
msfit.fit_file(sys.argv[1], sys.argv[2], memory="4GiB", model={model!r}, progress=told)
"""


def test_killed_in_the_middle_and_resumed_it_is_as_if_nothing_had_happened(
    scene: Path, tmp_path: Path, whole: FitResult
) -> None:
    output, said = tmp_path / "maps.h5", list[str]()
    script = KILLED.format(chunk=ROWS_A_BLOCK * W, model=MODEL)
    killed = subprocess.run([sys.executable, "-c", script, str(scene), str(output)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    assert_same(fitted(scene, output, tell=said.append), whole)
    assert said == ["going on with maps.h5.part: 12 of 24 rows were done"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.h5", "scene.h5"]


def test_interrupted_again_and_again_with_other_blocks(
    scene: Path, tmp_path: Path, whole: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows, pixels in ((6, 100), (1, 200), (5, 400)):
        monkeypatch.setattr(streaming, "CHUNK", rows * W)
        with pytest.raises(KeyboardInterrupt):
            fitted(scene, tmp_path / "maps.h5", progress=stop_after(pixels, interrupt))
    assert_same(fitted(scene, tmp_path / "maps.h5"), whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bounds": "paper"}, "bounds"),
        ({"model": "jacques-km"}, "model"),
        ({"bands": "420:700"}, "bands"),
        ({"dtype": "float64"}, "dtype"),
        ({"mask": np.eye(H, W) > 0}, "mask"),
        ({"std": True}, "std"),
    ],
)
def test_other_settings_do_not_mix(scene: Path, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    output = tmp_path / "maps.h5"
    with pytest.raises(KeyboardInterrupt):
        fitted(scene, output, progress=stop_after(200, interrupt))
    before = output.with_name("maps.h5.part").read_bytes()
    with pytest.raises(InputError, match=rf"maps\.h5\.part: an unfinished fit with another {named}; .*--no-resume"):
        fitted(scene, output, **change)
    assert output.with_name("maps.h5.part").read_bytes() == before
    if named == "bounds":
        result = fitted(scene, output, resume=False, **change)
        assert_same(result, msfit.fit(VALUES, NM, model=MODEL, **change))


def test_a_file_that_has_changed_is_noticed(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(scene, tmp_path / "maps.h5", progress=stop_after(200, interrupt))
    hdf5(scene, values=VALUES[::-1])
    os.utime(scene, ns=(1, 1))
    with pytest.raises(InputError, match="with another source"):
        fitted(scene, tmp_path / "maps.h5")


@pytest.mark.parametrize("content", [b"", b"my notes\n", b"{}", bytes(range(256)) * 40])
@pytest.mark.parametrize("resume", [True, False])
def test_a_foreign_part_is_left_alone(scene: Path, tmp_path: Path, content: bytes, resume: bool) -> None:
    part = tmp_path / "maps.h5.part"
    part.write_bytes(content)
    if content or not resume:
        with pytest.raises(InputError, match=r"maps\.h5\.part: is no unfinished result of msfit"):
            fitted(scene, tmp_path / "maps.h5", resume=resume)
        assert part.read_bytes() == content
    else:  # killed before the first byte
        fitted(scene, tmp_path / "maps.h5")


def a_part(path: Path) -> Part:
    return Part(path, {"model": "mine"}, {"a": np.dtype("f4"), "status": np.dtype("u1")}, (9, 4))


def rows_of_part(rows: slice) -> dict[str, np.ndarray]:
    numbers = np.arange(36).reshape(9, 4)[rows]
    return {"a": numbers.astype("f4"), "status": numbers.astype("u1")}


@settings(max_examples=25)
@given(cut=st.integers(0, 400), flipped=st.one_of(st.none(), st.integers(0, 400)))
def test_of_a_damaged_part_the_sound_rows_remain(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flipped: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.part"
    path.unlink(missing_ok=True)
    part = a_part(path)
    head = path.stat().st_size
    blocks = [slice(4, 7), slice(0, 3), slice(7, 9), slice(3, 4)]
    for rows in blocks:
        part.append(rows, rows_of_part(rows))
    part.close()
    content = bytearray(path.read_bytes())
    if flipped is not None and head + flipped < len(content):
        content[head + flipped] ^= 0x40
    path.write_bytes(content[: max(head, len(content) - cut)])
    part = a_part(path)
    for rows in part.missing([slice(0, 9)]):
        part.append(rows, rows_of_part(rows))
    part.close()
    part = a_part(path)
    assert part.rows_done == 9
    for name, values in rows_of_part(slice(0, 9)).items():
        np.testing.assert_array_equal(part.read(name, slice(0, 9)), values)
        np.testing.assert_array_equal(np.asarray(part.lazy()[name][2:8, 1:]), values[2:8, 1:])
    part.close()


def test_two_processes_do_not_write_one_part(tmp_path: Path) -> None:
    part = a_part(tmp_path / "one.part")
    with pytest.raises(InputError, match="another process is writing it"):
        a_part(tmp_path / "one.part")
    part.close()


@pytest.mark.parametrize("room", [6000, 1_000_000])
def test_a_disk_that_fills_up_costs_nothing_that_was_done(
    scene: Path, tmp_path: Path, whole: FitResult, room: int
) -> None:
    """Of 6 kB of room half of the maps fill all; 1 MB holds them, but not the result file as it is made."""
    said = list[str]()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(InputError, match=r"maps\.h5.*: cannot be written \(file too large\)"):
            fitted(scene, tmp_path / "maps.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.h5.part", "scene.h5"]
    assert_same(fitted(scene, tmp_path / "maps.h5", tell=said.append), whole)
    assert said[0].startswith("going on with maps.h5.part: ")


def test_a_budget_that_cannot_be_kept_is_refused(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"memory: 95.4 MiB is less than Python with its libraries takes"):
        fitted(scene, tmp_path / "maps.h5", memory="100MB")
    huge = tmp_path / "huge.h5"
    with h5py.File(huge, "w") as file:  # of samples that are nowhere
        file.create_dataset("reflectance", (6000, 5000, 31), "f4", chunks=(6000, 5000, 31))
        file["wavelength"] = NM
    with pytest.raises(InputError, match=r"huge.h5: memory: 3 GiB cannot hold a chunk of 6000 x 5000 x 31 samples"):
        fitted(huge, tmp_path / "maps.h5", memory="3GiB")
    np.savez(tmp_path / "scene.npz", reflectance=np.zeros((1000, 400, 31)), wavelength=NM)
    with pytest.raises(InputError, match="numpy files are read whole"):
        fitted(tmp_path / "scene.npz", tmp_path / "maps.h5", memory="64MiB")
    assert not (tmp_path / "maps.h5.part").exists()


def test_chunks_across_all_rows_are_read_in_few_turns_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, said = hdf5(tmp_path / "bands.h5", (H, W, 1)), list[str]()
    monkeypatch.setattr(planning, "_COPIES_OF_MAPS", 2**30 / 2 / W / 32)  # so that 4 GiB are little
    fitted(scene, tmp_path / "maps.h5", tell=said.append)
    assert said[0].startswith("its chunks span more rows than 4 GiB hold: each is read up to ")
    for number, flat in enumerate((envi(tmp_path / "a.hdr", "bsq"), hdf5(tmp_path / "flat.h5", None))):
        fitted(flat, tmp_path / f"{number}.h5", tell=said.append, bands="420:700")
    assert len(said) == 1


def test_files_without_chunks_are_cut_anywhere(tmp_path: Path) -> None:
    counts: dict[str, list[int]] = {}
    for kind in ("ENVI bil", "ENVI bsq", "HDF5 without chunks"):
        told = counts[kind] = []
        (folder := tmp_path / kind).mkdir()
        fitted(FILES[kind](folder), folder / "maps.h5", progress=lambda done, _, told=told: told.append(done))
    assert list(counts.values()) == [[W * rows for rows in (5, 10, 15, 20, 24)]] * 3


def test_arguments_are_checked(scene: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"tv": 1}, "tv: joins the pixels of a picture, which msfit.fit_file does not do"),
        ({"mask": "skin"}, "mask: found 'skin'"),
        ({"mask": np.ones((2, 2), bool)}, "mask: found shape"),
        ({"mask": np.zeros((H, W), bool)}, "no pixel is left to fit"),
        ({"memory": "plenty"}, "memory: found 'plenty'"),
        ({"scheduler": " "}, "scheduler: found ' '; expected the address"),
    ):
        with pytest.raises(InputError, match=message):
            fitted(scene, tmp_path / "maps.h5", **options)
    with pytest.raises(InputError, match="expected a file name that ends in"):
        fitted(scene, tmp_path / "maps.mat")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.h5"]


def test_the_command_line_streams(
    scene: Path, tmp_path: Path, whole: FitResult, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", str(scene), "-o", str(tmp_path / "maps.h5"), "--model", MODEL]
    assert main([*arguments, "--memory", "4GiB"]) == 0
    assert_same(msfit.load_result(tmp_path / "maps.h5"), whole)
    assert "median RMSE" in capsys.readouterr().out
    assert main([*arguments, "--skip-existing"]) == 0
    assert "exists" in capsys.readouterr().err
    assert main([*arguments, "--memory", "4GiB", "--overwrite", "--plot", str(tmp_path / "a.png")]) == 2
    assert "plot: takes the whole scene in memory" in capsys.readouterr().err


def test_lazy_maps_are_those_of_the_fit_to_the_bit(whole: FitResult) -> None:
    for chunks in ((7, W, 31), (H, W, 1), (5, 6, 31)):
        lazy = dask.array.from_array(VALUES, chunks=chunks)
        data = xarray.DataArray(lazy, dims=("y", "x", "wavelength"), coords={"wavelength": NM})
        maps = msfit.fit_lazy(data, model=MODEL)
        assert all(hasattr(maps[name].data, "dask") for name in MAPS)
        assert_same(maps.compute(), whole)
        assert_same(msfit.fit(data, model=MODEL), whole)


def test_lazy_maps_of_pixels_under_light_with_a_mask() -> None:
    light = np.linspace(1, 2, 31) * np.linspace(0.5, 1, H * W)[:, None]
    mask = np.arange(H * W) % 3 > 0
    values = (VALUES.reshape(-1, 31) * light).astype(np.float32)
    for spectrum in (light, light[7]):
        lazy = msfit.Cube(dask.array.from_array(values, chunks=(100, 31)), NM, spectrum, mask)
        expected = msfit.fit(msfit.Cube(values, NM, spectrum, mask), model=MODEL, std=True).to_xarray()
        found = msfit.fit_lazy(lazy, model=MODEL, std=True).compute()
        assert_same(found, expected, tuple(map(str, expected.data_vars)))


def test_lazy_maps_take_a_mask_and_name_what_they_do_not_take(whole: FitResult) -> None:
    lazy = dask.array.from_array(VALUES, chunks=(7, W, 31))
    mask = np.arange(H * W).reshape(H, W) % 3 > 0
    expected = msfit.fit(VALUES, NM, model=MODEL, mask=mask)
    for same in (mask, mask * 1.0, dask.array.from_array(mask, chunks=5)):
        assert_same(msfit.fit_lazy(lazy, NM, model=MODEL, mask=same).compute(), expected)
    with pytest.raises(InputError, match=r"^progress: tells of work that is done at once"):
        msfit.fit_lazy(lazy, NM, progress=print)  # type: ignore[call-arg]


LARGE = """
import sys, msfit
msfit.fit_file(sys.argv[1], sys.argv[2], memory="640MiB", model="alotaibi-smith-2019")
# not ru_maxrss, in which the process that started this one has its part
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its peak")
@pytest.mark.parametrize("chunks", [None, (64, 512, 31), (1024, 2048, 1)])
def test_memory_stays_under_the_budget(tmp_path: Path, chunks: tuple[int, ...] | None) -> None:
    scene = tmp_path / "large.h5"
    values = np.tile(VALUES[11:12, :16], (1024, 128, 1))
    with h5py.File(scene, "w") as file:
        file.create_dataset("reflectance", data=values, chunks=chunks)
        file["wavelength"] = NM
    assert scene.stat().st_size > 250_000_000
    command = [sys.executable, "-c", LARGE, str(scene), str(tmp_path / "maps.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 640 * 2**10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its peak")
@pytest.mark.parametrize("options", [{"certify": True, "weights": {(400, 450): 0.5}}, {"huber": 0.01, "std": True}])
def test_slow_options_on_many_bands_stay_under_it_too(tmp_path: Path, options: dict[str, Any]) -> None:
    nm = np.linspace(400, 700, 300)
    values = np.tile(0.6 * msfit.reflectance(0.1, 0.03, nm, model="alotaibi-smith-2019"), (30, 100, 1)).astype(
        np.float32
    )
    values += 0.004 * np.random.default_rng(0).standard_normal(values.shape).astype(np.float32)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file["reflectance"], file["wavelength"] = values, nm
    script = LARGE.replace('memory="640MiB"', f"memory=int(sys.argv[3]), **{options}")
    command = [sys.executable, "-c", script, str(tmp_path / "many.h5"), str(tmp_path / "maps.h5")]
    refused = subprocess.run([*command, str(2**29)], capture_output=True, text=True, check=False)
    least = re.search(r"is too little: .*expected at least ([0-9.]+) MiB", refused.stderr)
    assert least is not None
    budget = int(1.1 * float(least[1]) * 2**20)
    done = subprocess.run([*command, str(budget)], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 2**10 < budget


@pytest.mark.parametrize("options", [{}, {"huber": 0.01}, {"certify": True, "std": True}])
def test_what_options_take_is_known_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(planning, "resident", lambda: 2**29)
    wide = np.broadcast_to(VALUES[:1, :1], (400, 1000, 31))
    prepared = prepare(msfit.Cube(wide, NM), FitOptions(model=MODEL, **options))

    def planned(budget: float, threads: int = 2) -> planning.Plan:
        return planning.plan(prepared, int(budget), 1, threads, 2**18, lambda _: None)

    with pytest.raises(InputError, match="is too little: 512 MiB are in use before the first pixel"):
        planned(2**29 + 2**25)
    tight, ample, many = planned(2**29 + 2**28), planned(2**34), planned(2**29 + 2**28, 32)
    assert tight.room < ample.room == ROOM
    assert many.room < tight.room
    assert len(tight.blocks) >= len(ample.blocks)
    assert sum(rows.stop - rows.start for rows in tight.blocks) == 400
    # a block of what takes long is done within seconds
    assert ample.blocks[0].stop * 1000 <= (2**18 if not options else 8 * 4096)


def test_no_call_takes_more_pixels_than_it_has_room_for() -> None:
    worker = prepare(msfit.Cube(VALUES, NM), FitOptions(model=MODEL, huber=0.01)).worker
    pixels = VALUES[:2].reshape(-1, 31)
    block = np.arange(len(pixels)), pixels, None
    with pool("cpu", 7 * 31 * worker.takes(weighted=True)) as run:
        index, maps, statuses = zip(*run(worker, iter([block])), strict=True)
    assert {len(part) for part in index} == {7, len(pixels) % 7}
    whole = worker(pixels, None)
    np.testing.assert_array_equal(np.concatenate(maps, 1), whole[0])
    np.testing.assert_array_equal(np.concatenate(statuses), whole[1])


def test_what_a_notebook_holds_already_leaves_room_unless_told(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (streaming, planning, msfit.data.lazy_arrays, msfit.io):
        monkeypatch.setattr(module, "resident", lambda: 3 * 2**30)
    assert_same(msfit.fit_file(scene, tmp_path / "maps.h5", model=MODEL), msfit.fit(msfit.load(scene), model=MODEL))
    with pytest.raises(InputError, match="less than Python with its libraries takes"):
        fitted(scene, tmp_path / "again.h5", memory="1GiB")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("resume", [True, False])
def test_a_part_that_was_torn_in_its_first_line_is_begun_anew(
    scene: Path, tmp_path: Path, whole: FitResult, share: float, resume: bool
) -> None:
    part = tmp_path / "maps.h5.part"
    with pytest.raises(KeyboardInterrupt):
        fitted(scene, tmp_path / "maps.h5", progress=stop_after(1, interrupt))
    head = part.read_bytes().partition(b"\n")[0]
    part.write_bytes(head[: int(share * len(head))] if share else bytes(100))
    assert_same(fitted(scene, tmp_path / "maps.h5", resume=resume), whole)
    assert not part.exists()


def test_no_resume_does_not_take_the_part_of_a_running_process(scene: Path, tmp_path: Path) -> None:
    part = Part(tmp_path / "maps.h5.part", {"a": 1}, {"f_mel": np.dtype("f4")}, (8, 3))
    try:
        with pytest.raises(InputError, match="another process is writing it"):
            fitted(scene, tmp_path / "maps.h5", resume=False)
        assert (tmp_path / "maps.h5.part").exists()
    finally:
        part.close()


def test_rows_that_are_missing_are_never_made_up(tmp_path: Path) -> None:
    part = Part(tmp_path / "maps.h5.part", {"a": 1}, {"f_mel": np.dtype("f4")}, (8, 3))
    part.append(slice(0, 5), {"f_mel": np.ones((5, 3), np.float32)})
    with pytest.raises(InputError, match="5 of 8 rows are there"):
        part.lazy()
    with pytest.raises(InputError, match="not all there"):
        part.read("f_mel", slice(4, 6))
    np.testing.assert_array_equal(part.read("f_mel", slice(1, 5)), 1)
    part.close()


def test_what_a_kill_in_the_final_write_left_is_removed(scene: Path, tmp_path: Path, whole: FitResult) -> None:
    output = tmp_path / "maps.h5"
    left = _beside(output)
    left.write_bytes(b"half a file")
    assert_same(fitted(scene, output), whole)
    assert not left.exists()
