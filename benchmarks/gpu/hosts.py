"""Pixels a second that come from the host's memory or from a file, against what the link carries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import msfit
from benchmarks.gpu.pixels import measured
from benchmarks.gpu.site import MODEL, NM, Site

_PIXELS, _DRAWN = 2**24, 2**20
_WIDTH = 1024


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """`msfit.fit` on arrays of two types and on a memory-mapped one; `msfit.fit_file` on HDF5."""
    rows = max(1, site.size(_PIXELS) // _WIDTH)
    scene = tiled(measured(site.size(_DRAWN)), rows * _WIDTH).reshape(rows, _WIDTH, len(NM))
    options: dict[str, Any] = {"model": MODEL, "device": site.device}
    count = scene[..., 0].size
    yield "array, float32", partial(_rate, site, partial(msfit.fit, scene, NM, **options), count, 4)
    yield "array, uint16", partial(_counts, site, scene, options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.npy"
        np.save(path, scene)
        mapped = np.load(path, mmap_mode="r")
        yield "memory-mapped file", partial(_rate, site, partial(msfit.fit, mapped, NM, **options), count, 4)
        yield "fit_file, HDF5", partial(_file, site, scene, Path(folder), options)


def _counts(site: Site, scene: np.ndarray, options: dict[str, Any]) -> dict[str, float]:
    """As a camera gives them, with the light."""
    counts = (50_000 * np.clip(scene, 0, 1.3)).astype(np.uint16)
    cube = msfit.Cube(counts, NM, np.full(len(NM), 50_000.0))
    return _rate(site, partial(msfit.fit, cube, **options), scene[..., 0].size, 2)


def _file(site: Site, scene: np.ndarray, folder: Path, options: dict[str, Any]) -> dict[str, float]:
    """From disk to disk, block by block."""
    path, output = folder / "scene.h5", folder / "maps.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("reflectance", data=scene, chunks=(min(64, len(scene)), _WIDTH, len(NM)))
        file["wavelengths"] = NM
    work = partial(msfit.fit_file, path, output, resume=False, memory="8GiB", **options)
    return _rate(site, work, scene[..., 0].size, 4, 3)


def _rate(site: Site, work: Callable[[], Any], count: int, number: int, runs: int = 5) -> dict[str, float]:
    figure = site.rate(work, count, runs)
    return figure | {"bytes_per_second": figure["per_second"] * number * len(NM)}


def tiled(pixels: np.ndarray, count: int) -> np.ndarray:
    """So many pixels, of fewer, again and again."""
    return np.resize(pixels, (count, pixels.shape[1]))
