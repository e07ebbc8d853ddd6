"""`msfit.fit_file`: from a file on disk to a file on disk, within a budget of memory, taken up again after a kill."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from msfit.data.memory import parse_size, resident
from msfit.data.result import STATUS_TYPE, FitResult
from msfit.errors import InputError
from msfit.fitting.devices import cores
from msfit.fitting.options import FileKeywords, FitOptions, door
from msfit.fitting.plan import Prepared
from msfit.fitting.rows import CHUNK, CHUNK_GPU, assemble, begin_rows, fit_rows
from msfit.fitting.worker import pool
from msfit.io.extras import need
from msfit.io.output import check_no_input, check_output, part_of, tidy
from msfit.io.results import load_result, save
from msfit.streaming.budget import plan
from msfit.streaming.checkpoint import Part, discard
from msfit.streaming.cluster import check_address, connected
from msfit.streaming.job import Recipe, Watch, about

_USUAL_BUDGET = 2**30

Tell = Callable[[str], None]
Item = tuple[int, int, np.ndarray | None]  # first row, row after the last, mask of these
Found = Generator[tuple[Item, dict[str, np.ndarray]], None, None]
Run = Callable[[Iterator[Item]], Found]


@dataclass(frozen=True)
class _Place:
    """Where blocks are fitted: `tasks` of them at once in one process, with so many threads in all; `run` of a room."""

    tasks: int
    threads: int
    run: Callable[[int], Run]


@door
def fit_file(path: str | Path, output: str | Path, **options: Unpack[FileKeywords]) -> FitResult:
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
    progress : callable (done, total), optional
        Called with numbers of pixels as the work goes on.
    tell : callable (str), optional
        Called with lines that a user wants to read: that an unfinished fit is taken up, that the layout of the file
        makes reading slow.
    **options
        `model`, `bounds`, `bands`, `mask`, `loading`, `device`, `dtype`, `free`, `std` and the others, as `msfit.fit`
        takes them.

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
    chosen = FitOptions.of("fit_file", options)
    memory, scheduler, progress = chosen.memory, chosen.scheduler, chosen.progress
    budget = max(_USUAL_BUDGET, resident() + _USUAL_BUDGET // 2) if memory is None else parse_size(memory)
    say = chosen.tell or (lambda _: None)
    if scheduler is not None:
        check_address(scheduler)
    if not isinstance(path, str | Path):
        raise InputError(f"path: found {type(path).__name__}; expected the name of a file: use msfit.fit")
    path = Path(path).expanduser()
    target = check_output(output, (".h5", ".nc"))
    read = (path, chosen.mask, *(chosen.loading or {}).values())
    for file in (target, part_of(target)):
        check_no_input(file, read)
    recipe = Recipe.of(path, {**(chosen.loading or {}), "memory": budget}, chosen)
    watch = Watch(recipe)
    prepared = recipe.prepare(chosen.mask)
    unfinished = part_of(target)
    if not chosen.resume:
        discard(unfinished)
    with _here(prepared) if scheduler is None else _there(recipe, prepared, scheduler) as place:
        with about(recipe.path):
            usual = CHUNK if prepared.worker.device.startswith("cpu") else CHUNK_GPU
            planned = plan(prepared, budget, place.tasks, place.threads, usual, say)
        part = Part(unfinished, recipe.settings(prepared), _kinds(prepared), tuple(prepared.cube.values.shape[:-1]))
        resumed = part.rows_done > 0
        try:
            _tell_of(part, say)
            for rows_done in _fit_missing(place.run(planned.room), part, planned.blocks, prepared.cube.mask):
                watch.look(part.remove, at_once=rows_done == part.shape[0])
                if progress is not None:
                    progress(rows_done * part.width, part.shape[0] * part.width)
            part.check_complete()
            tidy(target)  # no other process is at it: the part is locked
            save(_assembled(prepared, part, Path(path)), target)
        finally:
            part.close()
    part.remove()
    stored = load_result(target, lazy=True)
    taken = {} if resumed else {"seconds": time.perf_counter() - began}  # of part of the work they would mislead
    return replace(stored, attrs={**stored.attrs, **taken}, cube=prepared.cube)


def _assembled(prepared: Prepared, part: Part, path: Path) -> FitResult:
    try:
        with about(path.absolute()):
            found = assemble(prepared, part.lazy(), {})
    except InputError:  # nothing to fit: nothing to go on with either
        part.remove()
        raise
    made_absolute = found.attrs["source"] == str(path.absolute())
    return replace(found, attrs={**found.attrs, "source": str(path)}) if made_absolute else found


def _tell_of(part: Part, say: Tell) -> None:
    if part.rows_done:
        say(f"going on with {part.path.name}: {part.rows_done:,} of {part.shape[0]:,} rows were done")


def _fit_missing(run: Run, part: Part, blocks: list[slice], mask: np.ndarray | None) -> Iterator[int]:
    """Fit and append what is missing, and tell after each block how many rows are done."""
    items = ((rows.start, rows.stop, None if mask is None else mask[rows]) for rows in part.missing(blocks))
    with closing(run(items)) as results:
        for (start, stop, _), maps in results:
            part.append(slice(start, stop), maps)
            yield part.rows_done


@contextmanager
def _here(prepared: Prepared) -> Iterator[_Place]:
    """In this process."""

    ahead = 0 if prepared.worker.device.startswith("cpu") else 1  # blocks that are read beside the fit of another

    def run(room: int, items: Iterator[Item]) -> Found:
        with pool(prepared.worker.device, room) as threads:
            begun: deque[tuple[Item, Callable[[None], dict[str, np.ndarray]]]] = deque()
            for item in items:
                begun.append((item, begin_rows(prepared, slice(*item[:2]), threads, item[2])))
                if len(begun) > ahead:
                    first, end = begun.popleft()
                    yield first, end(None)
            for last, end in begun:
                yield last, end(None)

    with need("dask").config.set(scheduler="threads"):
        yield _Place(1 + ahead, cores(), lambda room: partial(run, room))


@contextmanager
def _there(recipe: Recipe, prepared: Prepared, scheduler: str) -> Iterator[_Place]:
    """On a cluster; the recipe is told what was settled here, so that every worker settles it alike."""
    settled: dict[str, Any] = {
        "device": prepared.worker.device.type,
        "dtype": prepared.worker.dtype.name,
    }
    if prepared.shared:  # estimated here, from all pixels
        settled |= {
            "free": (*prepared.options.free, *prepared.shared),
            "shared": (),
            "bounds": dict(prepared.worker.box),
        }
    known = replace(recipe, options=replace(recipe.options, **settled, model=prepared.model))
    with connected(scheduler) as cluster:
        settings = json.loads(json.dumps(recipe.settings(prepared)))
        threads = max(cluster.threads(), default=1)
        yield _Place(threads, threads, lambda room: partial(cluster.map, partial(fit_remotely, known, settings, room)))


def fit_remotely(recipe: Recipe, settings: dict[str, Any], room: int, item: Item) -> dict[str, np.ndarray]:
    """Maps of a block of rows, in a worker, which reads the file itself.

    Raises
    ------
    InputError
        The worker does not see the same file, or settles the fit in another way.
    """
    with need("dask").config.set(scheduler="synchronous"):
        prepared = _prepared_once(recipe, settings)
        with pool(prepared.worker.device, room, 1) as threads:
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
    return {**dict.fromkeys(prepared.worker.maps, prepared.worker.dtype), "status": np.dtype(STATUS_TYPE)}
