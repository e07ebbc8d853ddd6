"""Files that are small and unpack to much: refused by their own word, within the budget that the system counts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

import msfit
from msfit.data._checks import check_mask
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
# Loads a file in a process of its own and says what became of it, and its largest resident size [bytes].
LOAD = """
import sys, msfit
from msfit.errors import InputError
try:
    msfit.load(sys.argv[1], memory="700MiB")
    print("loaded", end=" ")
except InputError as error:
    print("refused", error, end=" ")
# VmHWM and not ru_maxrss, which begins with the size of the process that started this one
print([1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def loaded(path: Path) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    *words, size = done.stdout.split()
    return " ".join(words), int(size)


@pytest.mark.parametrize("end", ["npz", "mat"])
def test_a_packed_file_counts_with_what_it_unpacks_to(tmp_path: Path, end: str) -> None:
    held = {"reflectance": np.full((500, 800, NM.size), 0.5, np.float32), "wave": NM}  # 47 MiB, packed to below 1
    path = tmp_path / f"scene.{end}"
    if end == "npz":
        np.savez_compressed(path, **held)
    else:
        savemat(path, held, do_compression=True)
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match="are read whole, which takes at least"):
        msfit.load(path, memory="80MiB")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's own count of memory")
@pytest.mark.parametrize("side", [pytest.param(10**5, marks=pytest.mark.slow), 10**6])
def test_a_sparse_hdf5_that_claims_a_huge_picture_stays_within_the_budget(tmp_path: Path, side: int) -> None:
    path = tmp_path / "scene.h5"
    with h5py.File(path, "w") as file:
        file["wavelength"] = NM
        file.create_dataset("reflectance", (side, side, NM.size), "f4", chunks=(64, 512, NM.size))
        file.create_dataset("mask", (side, side), "f8", chunks=(64, 512))
    words, size = loaded(path)
    assert words.startswith("refused")
    assert size < 700 * 2**20


@pytest.mark.parametrize("kind", ["f8", "i2", "u1", "?"])
def test_a_mask_is_read_row_by_row(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msfit.data._checks._MASK_AT_ONCE", 4)
    wanted = np.random.default_rng(0).uniform(size=(9, 3)) > 0.5
    np.testing.assert_array_equal(check_mask(wanted.astype(kind), wanted.shape), wanted)
    if kind == "?":
        return
    mixed = wanted.astype(kind)
    mixed[8, 2], mixed[0, 0] = 3, 1
    with pytest.raises(InputError, match="mask: found 3"):
        check_mask(mixed, wanted.shape)


def test_a_mask_of_ones_above_and_255_below_is_refused() -> None:
    mask = np.array([[1], [255]], np.uint8)
    with pytest.raises(InputError, match="expected True and False, 0 and 1, or 0 and 255"):
        check_mask(mask, mask.shape)


def test_references_that_lead_to_each_other_are_followed_so_far(tmp_path: Path) -> None:
    """60^20 cells in a file of 40 kB."""
    path = tmp_path / "graph.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        group, last = file.create_group("#refs#"), None
        for depth in range(20):
            cell = group.create_dataset(f"n{depth}", (60,), dtype=h5py.ref_dtype)
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
            if last is not None:
                cell[:] = [last.ref] * 60
            last = cell
        file["v"] = cell
    began = time.process_time()
    with pytest.raises(InputError, match="more than 10,000 values in cells and structs"):
        msfit.load(path)
    assert time.process_time() - began < 20
