"""Larger than memory: a scene on disk fitted within a budget, killed and resumed, and on a cluster that loses a worker.

Usage: python -m benchmarks.streaming [--rows 4096] [--memory 1GiB] [--folder DIR] [--only ENVI ...]

A picture of rows x 4096 pixels and 31 bands (2.08 GB at 4096 rows) of measured facial spectra under random shading,
with noise, is written as flat ENVI, as HDF5 and Zarr in compressed tiles, and as HDF5 with one chunk a band, the layout
that suits row blocks least. Each is fitted by `msfit fit --memory` in a process of its own, of which the operating
system reports the largest resident size (ru_maxrss: every page counts, shared libraries and mapped files too; and what
the process held that started it, so that this one keeps itself small and says how small). The ENVI file is fitted
again, killed by SIGKILL when a third of its rows are there, and resumed; and again by two dask workers, of which one is
killed at a third. All maps are compared bit by bit with those of the first run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks import record
from msfit.io.datasets.issa import load_faces
from msfit.io.flat import FlatArray

WIDTH, BANDS, STRIP = 4096, 31, 64
FORMATS = ("ENVI", "HDF5", "Zarr", "HDF5 a chunk a band")
MODEL = "msfit-issa-2025"


def strips(rows: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The scene in strips of rows: measured spectra, shaded between 0.4 and 1.2 of full light, noise 0.002."""
    faces = load_faces().cube
    spectra = faces.reflectance.astype(np.float32)
    rng = np.random.default_rng(11)
    for first in range(0, rows, STRIP):
        count = min(STRIP, rows - first)
        shading = rng.uniform(0.4, 1.2, (count, WIDTH, 1)).astype(np.float32)
        strip = spectra[rng.integers(0, len(spectra), (count, WIDTH))] * shading
        strip += np.float32(0.002) * rng.standard_normal(strip.shape, dtype=np.float32)
        yield slice(first, first + count), strip


def write_envi(path: Path, rows: int) -> Path:
    """Flat, band interleaved by line."""
    nm = ", ".join(f"{band:g}" for band in load_faces().cube.wavelengths)
    header = {"samples": WIDTH, "lines": rows, "bands": BANDS, "header offset": 0, "data type": 4, "interleave": "bil"}
    lines = [f"{name} = {value}" for name, value in {**header, "byte order": 0, "wavelength": f"{{{nm}}}"}.items()]
    path.with_suffix(".hdr").write_text("\n".join(["ENVI", *lines, "wavelength units = Nanometers", ""]))
    with path.open("wb") as file:
        for _, strip in strips(rows):
            file.write(np.ascontiguousarray(strip.transpose(0, 2, 1)).tobytes())
    return path


def write_hdf5(path: Path, rows: int, chunks: tuple[int, int, int]) -> Path:
    """Compressed, in chunks."""
    with h5py.File(path, "w") as file:
        file["wavelength"] = load_faces().cube.wavelengths
        stored = file.create_dataset("reflectance", (rows, WIDTH, BANDS), "f4", chunks=chunks, compression="lzf")
        if chunks[2] == BANDS:
            for position, strip in strips(rows):
                stored[position] = strip
            return path
        # A chunk a band: band by band from a file on disk, as a chunk that is written twice is compressed twice.
        flat = FlatArray(path.with_suffix(".img"), (rows, BANDS, WIDTH), np.dtype("f4"))
        for band in range(BANDS):
            stored[..., band] = flat[:, band]
    return path


def write_zarr(path: Path, rows: int) -> Path:
    """Compressed, in tiles."""
    import zarr

    group = zarr.open_group(path, mode="w")
    group.create_array("wavelength", data=load_faces().cube.wavelengths, dimension_names=["wavelength"])
    names = ["y", "x", "wavelength"]
    shape, chunks = (rows, WIDTH, BANDS), (STRIP, 512, BANDS)
    stored = group.create_array("reflectance", shape=shape, chunks=chunks, dtype="f4", dimension_names=names)
    for position, strip in strips(rows):
        stored[position] = strip
    return path


def command(scene: Path, output: Path, memory: str, *further: str) -> list[str]:
    """The command line that fits a scene."""
    options = ["--memory", memory, "--model", MODEL, *further]
    return [sys.executable, "-m", "msfit", "fit", str(scene), "-o", str(output), *options]


def run(arguments: list[str], watch: Callable[[], bool] | None = None) -> dict[str, Any]:
    """Seconds, largest resident size [bytes] and exit status of a process; killed when `watch` says so."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(arguments, stderr=words, stdout=subprocess.DEVNULL)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if watch is not None and watch():
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        words.seek(0)
        message = re.sub(r"\S*/", "", words.read().strip())  # names, not places of the machine
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "ru_maxrss": ended[2].ru_maxrss * 1024, "exit": process.returncode, "said": message}


def grown(part: Path, pixels: int, share: float = 1 / 3) -> Callable[[], bool]:
    """Whether an unfinished result holds that share of the pixels: five maps in single precision and a status each."""
    return lambda: part.exists() and part.stat().st_size > share * pixels * 21


def same(one: Path, other: Path) -> bool:
    """Whether two results hold the same maps, bit by bit."""
    with h5py.File(one) as a, h5py.File(other) as b:
        maps = [name for name in a if a[name].ndim == 2]
        strips = [slice(first, first + STRIP) for first in range(0, len(a["rmse"]), STRIP)]
        equal = (a[name][rows].tobytes() == b[name][rows].tobytes() for name in maps for rows in strips)
        return set(a) == set(b) and all(equal)


@contextlib.contextmanager
def dask_cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers with a thread each, as processes: address and workers."""
    root = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    contact = folder / "scheduler.json"

    def start(what: str, *options: str) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard"]
        quiet = subprocess.DEVNULL
        environment = {**os.environ, "PYTHONPATH": root}
        return subprocess.Popen([*arguments, *options], cwd=folder, env=environment, stdout=quiet, stderr=quiet)

    processes = [start("scheduler", "--port", "0", "--scheduler-file", str(contact))]
    try:
        processes += [start("worker", "--scheduler-file", str(contact), "--nthreads", "1", "--no-nanny") for _ in "ab"]
        while not contact.exists() or not (text := contact.read_text()):
            time.sleep(0.1)
        yield json.loads(text)["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(folder: Path, rows: int, memory: str, formats: list[str]) -> dict[str, Any]:
    """All figures."""
    pixels = rows * WIDTH
    scene = write_envi(folder / "envi.img", rows)
    writers: dict[str, Callable[[], Path]] = {
        "ENVI": lambda: scene,
        "HDF5": lambda: write_hdf5(folder / "tiles.h5", rows, (STRIP, 512, BANDS)),
        "Zarr": lambda: write_zarr(folder / "tiles.zarr", rows),
        "HDF5 a chunk a band": lambda: write_hdf5(folder / "envi.h5", rows, (rows, WIDTH, 1)),
    }
    first = folder / "ENVI maps.h5"
    figures: dict[str, Any] = {"pixels": pixels, "bands": BANDS, "bytes": pixels * BANDS * 4, "memory": memory}
    for name in formats:
        path, output = writers[name](), folder / f"{name} maps.h5"
        figures[name] = measurement = run(command(path, output, memory))
        measurement["pixels_per_second"] = pixels / measurement["seconds"]
        measurement["same_maps_as_first"] = same(first, output)
        print(name, measurement, flush=True)
        if path != scene:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    output = folder / "killed.h5"
    part = folder / "killed.h5.part"
    killed = run(command(scene, output, memory), grown(part, pixels))
    left = {"part_bytes": part.stat().st_size, "output_exists": output.exists()}
    resumed = run(command(scene, output, memory))
    figures["killed_and_resumed"] = {"killed": killed, **left, "resumed": resumed, "same_maps": same(first, output)}
    print("killed_and_resumed", figures["killed_and_resumed"], flush=True)

    output = folder / "cluster.h5"
    with dask_cluster(folder) as (address, workers):
        reached = grown(folder / "cluster.h5.part", pixels)

        def lose_a_worker() -> bool:
            if workers[0].poll() is None and reached():
                workers[0].kill()
            return False

        measurement = run(command(scene, output, memory, "--scheduler", address), lose_a_worker)
        lost = workers[0].poll() is not None
    figures["two_workers_one_killed"] = {**measurement, "worker_killed": lost, "same_maps": same(first, output)}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures["ru_maxrss_of_this_process"] = own
    print("two_workers_one_killed", figures["two_workers_one_killed"], flush=True)
    return figures


def main() -> None:
    """Measure, print and write results/streaming.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--folder", type=Path, help="where to write some 6 GB; default: the system's temporary folder")
    parser.add_argument("--only", nargs="+", choices=FORMATS, default=list(FORMATS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        needed = 3.5 * arguments.rows * WIDTH * BANDS * 4
        if shutil.disk_usage(folder).free < needed:
            raise SystemExit(f"{folder}: needs {needed / 1e9:.1f} GB; give another folder with --folder")
        formats = [name for name in FORMATS if name in {"ENVI", *arguments.only}]
        figures = measure(Path(folder), arguments.rows, arguments.memory, formats)
    print(record.write("streaming", figures))


if __name__ == "__main__":
    main()
