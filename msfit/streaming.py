"""`msfit.fit_file`: from a file on disk to a file on disk, within a budget of memory, taken up again after a kill."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msfit import __version__
from msfit.blocks import pool
from msfit.chunks import MARGIN, reading_bytes, reads_a_chunk, row_blocks
from msfit.cluster import connected
from msfit.cube import Cube, precision
from msfit.errors import InputError
from msfit.fitting import CHUNK, Prepared, Progress, assemble, fit_rows, prepare
from msfit.io import files_of, load
from msfit.io.extras import need
from msfit.io.large import read_large
from msfit.io.output import check_output
from msfit.io.results import save
from msfit.memory import parse_size, resident, told
from msfit.part import Part, discard
from msfit.result import FitResult

# What fitting a pixel takes beside its samples: its maps, indices and statuses, twice.
_BYTES_A_PIXEL = 256
_MANY_READS = 3

Tell = Callable[[str], None]
Item = tuple[int, int, np.ndarray | None]  # first row, row after the last, mask of these
Run = Callable[[Iterator[Item]], Iterator[tuple[Item, dict[str, np.ndarray]]]]


def fit_file(
    path: str | Path,
    output: str | Path,
    *,
    memory: int | str = "1GiB",
    resume: bool = True,
    scheduler: str | None = None,
    mask: np.ndarray | str | None = None,
    loading: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    **fitting: Any,
) -> FitResult:
    """Fit a file that may be larger than memory; the maps go to disk as they are found.

    Rows are read, fitted and written block by block. Until all are done the maps lie in ``OUTPUT.part``, beside the
    output: after a kill, a power failure or a full disk the same call goes on from there, and its result is the same
    to the bit as without the interruption.

    Parameters
    ----------
    path : str or Path
        ENVI, HDF5, NetCDF, Zarr or MATLAB 7.3, which are read block by block; other formats that `load` knows are read
        whole, if the budget allows it.
    output : str or Path
        Ends in .h5 or .nc; written as by `FitResult.save`, whole or not at all.
    memory : int or str
        What the process may occupy in all, such as "1GiB": of it, Python with its libraries takes some 450 MiB. With a
        `scheduler` that of each worker.
    resume : bool
        Go on with ``OUTPUT.part``. False: give up what it holds.
    scheduler : str, optional
        Address of a running dask.distributed scheduler, such as "tcp://host:8786", whose workers fit the blocks. They
        read the file themselves, under the same path.
    mask : bool array (y, x) or (pixel,), "auto" or "none", optional
        Pixels to fit: those that are True and inside the file's own mask, skin, or all. Default: the file's own mask.
    loading : mapping, optional
        Further arguments of `load`, such as {"white": "0:10,0:10"}.
    progress : callable (done, total), optional
        Called with numbers of pixels as the work goes on.
    tell : callable (str), optional
        Called with lines that a user wants to read: that an unfinished fit is taken up, that the layout of the file
        makes reading slow.
    **fitting
        `model`, `bounds`, `bands`, `device`, `dtype`, `free`, `std` and the others, as `msfit.fit` takes them.

    Returns
    -------
    FitResult
        Its maps are dask arrays that read `output` when computed.

    Raises
    ------
    InputError
        What `load` and `fit` refuse; a budget that is too small for the file's chunks; an unfinished fit of other
        settings in ``OUTPUT.part``; a scheduler that cannot be reached; a full disk.
    """
    began = time.perf_counter()
    budget, say = parse_size(memory), tell or (lambda _: None)
    target = check_output(output, (".h5", ".nc"))
    source = _Source(Path(path).absolute(), {**(loading or {}), "memory": budget}, fitting)
    prepared = source.prepare(mask)
    unfinished = target.with_name(target.name + ".part")
    if not resume:
        discard(unfinished)
    with _here(prepared) if scheduler is None else _there(source, prepared, scheduler) as (run, at_once):
        with _about(source.path):
            blocks = _plan(prepared, budget, at_once, say)
        part = Part(unfinished, _settings(source, prepared), _kinds(prepared), prepared.cube.shape)
        try:
            _fit_missing(run, part, blocks, prepared.cube.mask, progress, say)
            with _about(source.path):
                result = assemble(prepared, part.lazy(), {})
            save(result, target)
        finally:
            part.close()
    part.remove()
    return assemble(prepared, read_large(target, list(part.maps)), {"seconds": time.perf_counter() - began})


@dataclass(frozen=True)
class _Source:
    """A file and how it is to be fitted: all that another process needs to do the same."""

    path: Path
    loading: Mapping[str, Any]
    fitting: Mapping[str, Any]

    def prepare(self, mask: np.ndarray | str | None) -> Prepared:
        cube = load(self.path, **self.loading)
        with _about(self.path):
            try:
                return prepare(_masked(cube, mask), **self.fitting)
            except TypeError as error:
                raise InputError(f"fit_file: {error}; expected arguments of msfit.fit") from None

    def fingerprint(self) -> list[Any]:
        """Sizes and dates of the files: as long as they agree, so do the samples."""
        files = [self.path, *(Path(v) for v in self.loading.values() if isinstance(v, str | Path) and Path(v).exists())]
        return [[file.stat().st_size, file.stat().st_mtime_ns] for path in files for file in files_of(path)]


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file in an error that does not."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _masked(cube: Cube, mask: np.ndarray | str | None) -> Cube:
    if mask is None:
        return cube
    if isinstance(mask, str):
        if mask not in ("auto", "none"):
            raise InputError(f"mask: found {mask!r}; expected auto, none or an array of truth values")
        if mask == "none":
            return cube.with_mask(None)
        from msfit.mask import skin_mask

        return cube.with_mask(skin_mask(cube))
    given = cube.with_mask(mask)
    return given if cube.mask is None else cube.with_mask(cube.mask & np.asarray(given.mask))


def _plan(prepared: Prepared, budget: int, at_once: int, say: Tell) -> list[slice]:
    """Blocks of rows that fit into memory, `at_once` of them in one process."""
    cube, worker = prepared.cube, prepared.worker
    # Compilers and libraries take their share at the first fit.
    worker(np.full((1, cube.wavelengths.size), 0.5, np.float32), None)
    arrays = [a for a in (cube.values, cube.illuminant, cube.dark) if a is not None and a.ndim > 1]
    number = 8 if worker.dtype == torch.float64 else precision(cube.values.dtype).itemsize
    # Samples as they are stored; as reflectance, before and after division; as blocks; which are usable, twice.
    sample = sum(a.dtype.itemsize for a in arrays) + number * (2 + len(arrays)) + 2
    width = math.prod(cube.shape[1:])
    row = width * (cube.wavelengths.size * sample + _BYTES_A_PIXEL)
    used = resident()
    left = (budget - used - MARGIN) / at_once - max(reading_bytes(a) for a in arrays)
    if left < row:
        needed = used + MARGIN + at_once * (row + max(reading_bytes(a) for a in arrays))
        rows = "a row" if at_once == 1 else f"each of {at_once} rows at once"
        raise InputError(
            f"memory: {told(budget)} is too little: {told(used)} are in use before the first pixel, and to read and fit"
            f" {rows} takes {told((needed - used) / at_once)}; expected at least {told(1.05 * needed)}"
        )
    blocks = row_blocks(cube.values, max(1, CHUNK // width), int(left // row))
    if (reads := reads_a_chunk(cube.values, blocks)) >= _MANY_READS:
        say(
            f"its chunks span more rows than {told(budget)} hold: each is read up to {reads} times; a larger --memory,"
            " or a file in chunks of fewer rows, is faster"
        )
    return blocks


def _fit_missing(
    run: Run, part: Part, blocks: list[slice], mask: np.ndarray | None, progress: Progress | None, say: Tell
) -> None:
    width, height = math.prod(part.shape[1:]), part.shape[0]
    if part.rows_done:
        say(f"going on with {part.path.name}: {part.rows_done:,} of {height:,} rows were done")
    items = ((rows.start, rows.stop, None if mask is None else mask[rows]) for rows in part.missing(blocks))
    for (start, stop, _), maps in run(items):
        part.append(slice(start, stop), maps)
        if progress is not None:
            progress(part.rows_done * width, height * width)


@contextmanager
def _here(prepared: Prepared) -> Iterator[tuple[Run, int]]:
    """How blocks are worked off in this process, and how many of them at once."""
    with pool(prepared.worker.device) as threads, need("dask").config.set(scheduler="threads"):

        def fitted(item: Item) -> dict[str, np.ndarray]:
            return fit_rows(prepared, slice(*item[:2]), threads, None, item[2])

        yield lambda items: ((item, fitted(item)) for item in items), 1


@contextmanager
def _there(source: _Source, prepared: Prepared, scheduler: str) -> Iterator[tuple[Run, int]]:
    """The same on a cluster; `source` is told what was settled here, so that every worker settles it alike."""
    settled = {"device": prepared.worker.device.type, "dtype": str(prepared.worker.dtype).removeprefix("torch.")}
    known = replace(source, fitting={**source.fitting, **settled, "model": prepared.model})
    with connected(scheduler) as cluster:
        settings = json.loads(json.dumps(_settings(source, prepared)))
        task = partial(fit_remotely, known, settings)
        yield partial(cluster.map, task), max(cluster.threads(), default=1)


def fit_remotely(source: _Source, settings: dict[str, Any], item: Item) -> dict[str, np.ndarray]:
    """Maps of a block of rows, in a worker, which reads the file itself.

    Raises
    ------
    InputError
        The worker does not see the same file, or settles the fit in another way.
    """
    torch.set_num_threads(1)
    with need("dask").config.set(scheduler="synchronous"):
        prepared = _prepared_once(source, settings)
        with pool(prepared.worker.device) as threads:
            return fit_rows(prepared, slice(*item[:2]), threads, None, item[2])


_READY: dict[str, Prepared] = {}  # in a worker: the fit that it is at, by its settings
_MAKING_READY = threading.Lock()


def _prepared_once(source: _Source, settings: dict[str, Any]) -> Prepared:
    key = json.dumps([str(source.path), settings], sort_keys=True)
    with _MAKING_READY:
        if key not in _READY:
            if not source.path.exists():
                raise InputError(
                    f"{source.path}: no such file there; expected one that all workers see under this path"
                )
            prepared = source.prepare("none")
            here = json.loads(json.dumps(_settings(source, prepared)))
            other = [name for name in ("version", "source", "bands", "bounds") if here[name] != settings[name]]
            if other:
                raise InputError(f"{source.path}: has another {', '.join(other)} there; expected the same everywhere")
            _READY.clear()
            _READY[key] = prepared
        return _READY[key]


def _kinds(prepared: Prepared) -> dict[str, np.dtype]:
    number = np.dtype(np.float64 if prepared.worker.dtype == torch.float64 else np.float32)
    return {**dict.fromkeys(prepared.worker.maps(), number), "status": np.dtype(np.uint8)}


def _settings(source: _Source, prepared: Prepared) -> dict[str, Any]:
    """All that the maps depend on, by names that a user knows, as plain JSON."""
    settled = ("model", "bounds", "bands", "dtype", "device")
    model, cube = prepared.model, prepared.cube
    ends = np.array([parameter.wide for parameter in model.parameters])
    points = ends[:, 0] + np.random.default_rng(0).uniform(size=(16, len(ends))) * (ends[:, 1] - ends[:, 0])
    return {
        "version": __version__,
        "source": source.fingerprint(),
        "model": [model.name, _digest(model.at(cube.wavelengths).reflectance(torch.from_numpy(points)).numpy())],
        "bounds": {name: list(ends) for name, ends in prepared.bounds.items()},
        "bands": _digest(cube.wavelengths),
        "mask": None if cube.mask is None else _digest(cube.mask),
        "dtype": str(prepared.worker.dtype),
        "device": prepared.worker.device.type,
        **{name: _plain(value) for name, value in source.loading.items() if name != "memory"},
        **{name: _plain(value) for name, value in source.fitting.items() if name not in settled},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _digest(value)
    return json.loads(json.dumps(sorted(value) if isinstance(value, set) else value, default=repr))


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
