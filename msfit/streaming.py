"""`msfit.fit_file`: from a file on disk to a file on disk, within a budget of memory, taken up again after a kill."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msfit.blocks import pool
from msfit.chunks import MARGIN, reading_bytes, reads_a_chunk, row_blocks
from msfit.cluster import check_address, connected
from msfit.cube import precision
from msfit.errors import InputError
from msfit.fitting import CHUNK
from msfit.io.extras import need
from msfit.io.output import check_output, part_of
from msfit.io.results import load_result, save
from msfit.memory import parse_size, resident, told
from msfit.part import Part, discard
from msfit.preparation import Prepared, Progress, assemble, fit_rows
from msfit.recipe import Recipe, about
from msfit.result import FitResult

# What fitting a pixel takes beside its samples: its maps, indices and statuses, twice.
_BYTES_A_PIXEL = 256
_MANY_READS = 3
_USUAL_BUDGET = 2**30

Tell = Callable[[str], None]
Item = tuple[int, int, np.ndarray | None]  # first row, row after the last, mask of these
Run = Callable[[Iterator[Item]], Iterator[tuple[Item, dict[str, np.ndarray]]]]


def fit_file(
    path: str | Path,
    output: str | Path,
    *,
    memory: int | str | None = None,
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
    memory : int or str, optional
        What the process may occupy in all, such as "1GiB": of it, Python with its libraries takes some 450 MiB. With a
        `scheduler` that of each worker. Default: 1 GiB, or half a GiB beyond what a larger process holds already.
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
    budget = max(_USUAL_BUDGET, resident() + _USUAL_BUDGET // 2) if memory is None else parse_size(memory)
    say = tell or (lambda _: None)
    if scheduler is not None:
        check_address(scheduler)
    target = check_output(output, (".h5", ".nc"))
    recipe = Recipe.of(path, {**(loading or {}), "memory": budget}, fitting)
    prepared = recipe.prepare(mask)
    unfinished = part_of(target)
    if not resume:
        discard(unfinished)
    with _here(prepared) if scheduler is None else _there(recipe, prepared, scheduler) as (run, at_once):
        with about(recipe.path):
            blocks = _plan(prepared, budget, at_once, say)
        part = Part(unfinished, recipe.settings(prepared), _kinds(prepared), prepared.cube.shape)
        resumed = part.rows_done > 0
        try:
            _fit_missing(run, part, blocks, prepared.cube.mask, progress, say)
            save(_assembled(prepared, part, recipe.path), target)
        finally:
            part.close()
    part.remove()
    stored = load_result(target, lazy=True)
    taken = {} if resumed else {"seconds": time.perf_counter() - began}  # of part of the work they would mislead
    return replace(stored, attrs={**stored.attrs, **taken}, cube=prepared.cube)


def _assembled(prepared: Prepared, part: Part, path: Path) -> FitResult:
    try:
        with about(path):
            return assemble(prepared, part.lazy(), {})
    except InputError:  # nothing to fit: nothing to go on with either
        part.remove()
        raise


def _plan(prepared: Prepared, budget: int, at_once: int, say: Tell) -> list[slice]:
    """Blocks of rows that fit into memory, `at_once` of them in one process."""
    cube, worker = prepared.cube, prepared.worker
    # Compilers and libraries take their share at the first fit.
    worker(np.full((1, cube.wavelengths.size), 0.5, np.float32), None)
    arrays = [a for a in (cube.values, cube.illuminant, cube.dark) if a is not None and a.ndim > 1]
    number = 8 if worker.dtype == torch.float64 else precision(cube.values.dtype).itemsize
    # Samples as they are stored; as reflectance, before and after division; as blocks; scales of residuals, likewise;
    # which are usable, twice.
    scales = 0 if worker.criterion.plain else 2
    sample = sum(a.dtype.itemsize for a in arrays) + number * (2 + scales + len(arrays)) + 2
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
            return fit_rows(prepared, slice(*item[:2]), threads, item[2])

        yield lambda items: ((item, fitted(item)) for item in items), 1


@contextmanager
def _there(recipe: Recipe, prepared: Prepared, scheduler: str) -> Iterator[tuple[Run, int]]:
    """The same on a cluster; the recipe is told what was settled here, so that every worker settles it alike."""
    settled: dict[str, Any] = {
        "device": prepared.worker.device.type,
        "dtype": str(prepared.worker.dtype).removeprefix("torch."),
    }
    if prepared.shared:  # estimated here, from all pixels
        settled |= {"free": (*prepared.free, *prepared.shared), "shared": (), "bounds": dict(prepared.worker.box)}
    known = replace(recipe, fitting={**recipe.fitting, **settled, "model": prepared.model})
    with connected(scheduler) as cluster:
        settings = json.loads(json.dumps(recipe.settings(prepared)))
        task = partial(fit_remotely, known, settings)
        yield partial(cluster.map, task), max(cluster.threads(), default=1)


def fit_remotely(recipe: Recipe, settings: dict[str, Any], item: Item) -> dict[str, np.ndarray]:
    """Maps of a block of rows, in a worker, which reads the file itself.

    Raises
    ------
    InputError
        The worker does not see the same file, or settles the fit in another way.
    """
    torch.set_num_threads(1)
    with need("dask").config.set(scheduler="synchronous"):
        prepared = _prepared_once(recipe, settings)
        with pool(prepared.worker.device) as threads:
            return fit_rows(prepared, slice(*item[:2]), threads, item[2])


_READY: dict[str, Prepared] = {}  # in a worker: the fit that it is at, by its settings
_MAKING_READY = threading.Lock()


def _prepared_once(recipe: Recipe, settings: dict[str, Any]) -> Prepared:
    key = json.dumps([str(recipe.path), settings], sort_keys=True)
    with _MAKING_READY:
        if key not in _READY:
            if not recipe.path.exists():
                raise InputError(
                    f"{recipe.path}: no such file there; expected one that all workers see under this path"
                )
            prepared = recipe.prepare("none")
            here = json.loads(json.dumps(recipe.settings(prepared)))
            other = [name for name in ("version", "source", "bands", "bounds") if here[name] != settings[name]]
            if other:
                raise InputError(f"{recipe.path}: has another {', '.join(other)} there; expected the same everywhere")
            _READY.clear()
            _READY[key] = prepared
        return _READY[key]


def _kinds(prepared: Prepared) -> dict[str, np.dtype]:
    number = np.dtype(np.float64 if prepared.worker.dtype == torch.float64 else np.float32)
    return {**dict.fromkeys(prepared.worker.maps(), number), "status": np.dtype(np.uint8)}
