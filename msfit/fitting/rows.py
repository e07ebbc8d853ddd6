"""Maps of some rows of a settled fit, or of all; and the result that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import row_blocks
from msfit.data.result import STATUS_TYPE, FitResult, Status
from msfit.errors import InputError, warn
from msfit.fitting.options import Progress
from msfit.fitting.plan import Prepared
from msfit.fitting.remarks import remarks
from msfit.fitting.worker import (
    CORRELATION,
    FEW,
    PARAMETERS,
    SHARE,
    STD,
    FittedBlock,
    Run,
    Worker,
    blocks,
    pool,
    screen,
)

CHUNK, CHUNK_GPU = 262_144, 1_048_576  # pixels that are read and screened together
_MOST_SAMPLES = 2**26  # of a block of rows, where a file's chunks span many of them


def fit_rows(prepared: Prepared, rows: slice, run: Run, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Maps (row, ...) and `status` of some rows; `run` comes from `worker.pool`, `mask` is that of these rows."""
    return begin_rows(prepared, rows, run, mask)(None)


def begin_rows(
    prepared: Prepared, rows: slice, run: Run, mask: np.ndarray | None = None
) -> Callable[[Progress | None], dict[str, np.ndarray]]:
    """Read and screen some rows and begin their fit; what comes back waits for its end, and returns as `fit_rows`."""
    cube, worker = prepared.cube, prepared.worker.of_rows(rows)
    height, *others = cube.values.shape[:-1]
    shape = (len(range(*rows.indices(height))), *others)
    count, names = int(np.prod(shape)), worker.maps
    status = np.full(count, Status.MASKED_BY_USER, STATUS_TYPE)
    wanted = np.ones(count, bool) if mask is None else mask.ravel()
    if worker.prior is not None:
        wanted = wanted & worker.prior.known()
    status[wanted] = Status.CONVERGED
    begin = partial(_begin_samples, worker) if prepared.mixtures is None else prepared.mixtures.begin
    if not worker.device.startswith("cpu"):
        from msfit.fitting import on_device  # torch's alone

        if on_device.takes(cube, worker):
            begin = partial(_begin_there, worker)
    fitted = begin(cube, rows, status, run) if wanted.any() else iter(())

    def end(progress: Progress | None) -> dict[str, np.ndarray]:
        maps, done = np.empty((len(names), 0), worker.dtype), 0
        for index, values, found in fitted:
            if index.size == count:  # all at once
                maps, status[:] = values.astype(worker.dtype, copy=False), found
            else:
                maps = maps if done else np.full((len(names), count), np.nan, worker.dtype)
                together = index.size and index[-1] - index[0] == index.size - 1
                place = slice(index[0], index[-1] + 1) if together else index  # a slice is written much faster
                status[place], maps[:, place] = found, values
            done += index.size
            if progress is not None and done < count:
                progress(done, count)
        if progress is not None:
            progress(count, count)
        if not done:
            maps = np.full((len(names), count), np.nan, worker.dtype)
        return {name: values.reshape(shape) for name, values in zip((*names, "status"), (*maps, status), strict=True)}

    return end


def _begin_samples(worker: Worker, cube: Cube, rows: slice, status: np.ndarray, run: Run) -> Iterator[FittedBlock]:
    """Blocks of some rows' pixels, fitted; `status` (n,) before is that they are wanted, then that of masked ones."""
    reflectance, usable = cube.rows(rows)
    scale = worker.criterion.scale(cube, rows, usable)
    pixels, usable, scale = (a.reshape(-1, a.shape[-1]) for a in (reflectance, usable, scale))
    status[:] = screen(pixels, usable, status == Status.CONVERGED, worker.fewest)
    return run(worker, blocks(pixels, scale, status, worker.device))


def _begin_there(worker: Worker, cube: Cube, rows: slice, status: np.ndarray, _: Run) -> Iterator[FittedBlock]:
    """The same on a GPU, where pixels are screened too; statuses come back with the block."""
    from msfit.fitting import on_device

    return on_device.begin(worker, cube, rows, status)


def collect(prepared: Prepared, maps: Mapping[str, Any], attrs: Mapping[str, Any]) -> FitResult:
    """A result of maps, numpy or dask arrays (y, x) or (pixel,) by the names of `fit_rows`; none of them is read."""
    return FitResult(
        **{name: maps[name] for name in (*PARAMETERS, "rmse")},
        status=maps["status"],
        model=prepared.model.name,
        bounds=prepared.bounds,
        wavelengths=prepared.cube.wavelengths,
        std=_named(maps, STD),
        correlation=_named(maps, CORRELATION),
        prior_share=_named(maps, SHARE),
        attrs=attrs,
        extra={name: maps[name] for name in prepared.worker.extras},
        gap=maps.get("gap"),
        cube=prepared.cube,
        axes=prepared.cube.axes,
    )


def assemble(prepared: Prepared, maps: Mapping[str, Any], attrs: Mapping[str, Any]) -> FitResult:
    """A result as `collect` makes it, with remarks on what the maps show, which are warned of.

    Raises
    ------
    InputError
        Every pixel is masked.
    """
    found = collect(prepared, maps, {})
    if not found.fitted.any():
        reasons = ", ".join(f"{count:,} {status.meaning}" for status, count in found.counts().items())
        raise InputError(f"mask: no pixel is left to fit: {reasons}; check the data, the mask and the bands")
    notes = (*prepared.notes, *remarks(found))
    for note in (prepared.cube.provenance.get("note"), *notes):
        if note:
            warn(str(note))
    return replace(found, attrs={**prepared.attributes(notes), **attrs})


def _named(maps: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """Those of the maps whose name begins so, by the rest of it; None where there are none."""
    return {name.removeprefix(prefix): values for name, values in maps.items() if name.startswith(prefix)} or None


def fit_all(prepared: Prepared, progress: Progress | None) -> dict[str, np.ndarray]:
    """Maps of all pixels, by the names of `fit_rows`: while one chunk of rows is fitted the next is read."""
    shape = tuple(prepared.cube.values.shape[:-1])
    total = int(np.prod(shape))
    width = total // shape[0]
    most = max(1, _MOST_SAMPLES // (width * prepared.cube.wavelengths.size))
    maps: dict[str, np.ndarray] = {}
    few = total <= FEW and prepared.worker.compiled
    usual = CHUNK if prepared.worker.device.startswith("cpu") else CHUNK_GPU
    once = total <= usual and isinstance(prepared.cube.values, np.ndarray)
    chunks = [slice(0, shape[0])] if once else row_blocks(prepared.cube.values, max(1, usual // width), most)
    with pool(prepared.worker.device, threads=0 if few else None) as run:
        masks = (None if prepared.cube.mask is None else prepared.cube.mask[rows] for rows in chunks)
        begun = (begin_rows(prepared, rows, run, mask) for rows, mask in zip(chunks, masks, strict=True))
        following = next(begun, None)
        for rows in chunks:
            end, following = following, next(begun, None)
            assert end is not None
            told = None if progress is None else _shifted(progress, rows.start * width, total)
            for name, values in end(told).items():
                maps.setdefault(name, np.empty(shape, values.dtype))[rows] = values
    return maps


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
