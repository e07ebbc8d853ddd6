"""How a streamed fit keeps to its budget of memory: what it takes, in blocks of rows that fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.data.cube import precision
from msfit.data.lazy_arrays import MARGIN, reading_bytes, reads_a_chunk, row_blocks
from msfit.data.memory import resident, told
from msfit.errors import InputError
from msfit.fitting.plan import Prepared
from msfit.fitting.worker import ROOM, Worker, pixels_at_once

_MANY_READS = 3
# Times that the maps of a block are in memory: as they are found, in one array, as they are written.
_COPIES_OF_MAPS = 8
# Pixels that one thread is given at least, and calls of the solver in a block: after a kill as many are done again.
_FEWEST, _CALLS = 32, 4


@dataclass(frozen=True)
class Plan:
    """Blocks of rows, and bytes of temporary arrays that each thread may have."""

    blocks: list[slice]
    room: int


def plan(prepared: Prepared, budget: int, tasks: int, threads: int, chunk: int, tell: Callable[[str], None]) -> Plan:
    """Blocks of rows that fit into memory, `tasks` of them at once in one process with so many threads in all.

    They have `chunk` pixels where there is room, fewer where a pixel takes long. `tell` is told of slow reading.

    Raises
    ------
    InputError
        The budget is too small for what the options take.
    """
    cube, worker, proof = prepared.cube, prepared.worker, prepared.worker.certificate
    bands, width = cube.wavelengths.size, math.prod(cube.values.shape[1:-1])
    arrays = [a for a in (cube.values, cube.illuminant, cube.dark) if a is not None and a.ndim > 1]
    row = width * (bands * _bytes_a_sample(worker, arrays) + _COPIES_OF_MAPS * _bytes_of_maps(worker))
    least = threads * _FEWEST * bands * worker.takes(weighted=True)
    table = 0 if proof is None else proof.table_bytes(bands)
    fixed = MARGIN + table + least + tasks * (row + max(reading_bytes(a) for a in arrays))
    if proof is not None:
        _check(budget, resident(), fixed + proof.set_up_bytes, tasks)
    # Compilers and libraries take their share at the first fit.
    sample = np.linspace(0.3, 0.6, bands, dtype=np.float32)[None]
    for scale in (None, sample):  # with all bands and without
        worker(sample, scale)
    used = resident()
    _check(budget, used, fixed, tasks)
    left = budget - used - fixed
    room = min(ROOM, (least + left // 2) // threads)
    left -= threads * room - least
    if worker.by_samples and worker.device.type == "cpu":
        chunk = min(chunk, _CALLS * threads // tasks * pixels_at_once(worker, bands, room))
    blocks = row_blocks(cube.values, max(1, chunk // width), 1 + int(left / tasks // row))
    if (reads := reads_a_chunk(cube.values, blocks)) >= _MANY_READS:
        tell(
            f"its chunks span more rows than {told(budget)} hold: each is read up to {reads} times; a larger memory,"
            " or a file in chunks of fewer rows, is faster"
        )
    return Plan(blocks, room)


def _check(budget: int, used: int, more: int, tasks: int) -> None:
    if used + more > budget:
        rows = "a row" if tasks == 1 else f"each of {tasks} rows at once"
        raise InputError(
            f"memory: {told(budget)} is too little: {told(used)} are in use before the first pixel, and to read and fit"
            f" {rows} takes {told(more / tasks)}; expected at least {told(1.1 * (used + more))}"
        )


def _bytes_a_sample(worker: Worker, arrays: list[Any]) -> int:
    """Samples as they are stored; as reflectance, before and after division; as blocks; scales of residuals, likewise;
    which are usable, twice."""
    number = 8 if worker.dtype == np.float64 else precision(arrays[0].dtype).itemsize
    scales = 0 if worker.criterion.plain else 2
    return sum(a.dtype.itemsize for a in arrays) + number * (2 + scales + len(arrays)) + 2


def _bytes_of_maps(worker: Worker) -> int:
    """Of a pixel."""
    return (1 + len(worker.maps)) * worker.dtype.itemsize
