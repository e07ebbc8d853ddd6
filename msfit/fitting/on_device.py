"""Rows of pixels on a GPU from end to end: samples go there as they are stored, maps come back, and nothing else.

Samples are copied to page-locked memory, from there to the device, and made into reflectance, screened, fitted and
turned into maps there. All of that is queued on a stream of its own for each chunk of rows, so that the copies of one
chunk run beside the fit of another, and the processor reads the next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import read_rows
from msfit.data.status import STATUS_TYPE, Status
from msfit.fitting.maps import screened
from msfit.fitting.worker import FittedBlock, Worker
from msfit.solve.faint import FAINT

_LATER = np.iinfo(np.int16).max  # the status, no combination of flags, of pixels that lack bands and are fitted last
#: Types of samples that are sent as they are.
_SENT = ("float32", "float16", "uint8", "int8", "int16", "uint16")


def takes(cube: Cube, worker: Worker) -> bool:
    """Whether rows of a cube are fitted this way: one kernel on a GPU does it all, and light is the same everywhere."""
    alike = all(part is None or part.ndim < 2 for part in (cube.illuminant, cube.dark))
    kind = np.dtype(cube.values.dtype)
    return alike and not worker.by_samples and kind.isnative and kind.name in _SENT


@dataclass(eq=False)
class _Chunk:
    """Pixels on their way: what `_screened` says of them, their solutions there, maps and statuses here."""

    pixels: Tensor
    usable: Tensor
    maps: Tensor
    status: Tensor
    done: torch.cuda.Event | None


def begin(worker: Worker, cube: Cube, rows: slice, status: np.ndarray) -> Iterator[FittedBlock]:
    """Send some rows to the device and queue their fit; what comes back waits for it.

    `status` (n,) says which pixels are wanted; the others are sent, but not fitted.
    """
    raw = read_rows(cube.values, rows)
    wanted = status == Status.CONVERGED
    chunk = _queued(worker, cube, raw.reshape(len(status), -1), None if wanted.all() else wanted)
    return _arriving(worker, chunk, len(status))


def _arriving(worker: Worker, chunk: _Chunk, count: int) -> Iterator[FittedBlock]:
    """One block: all of the rows' pixels, once they are there."""
    if chunk.done is not None:
        chunk.done.synchronize()
    maps, status = chunk.maps.clone().numpy(), chunk.status.numpy().astype(STATUS_TYPE)
    _, _, i_d, i_s, rmse = maps[:5]
    with np.errstate(invalid="ignore"):
        faint = (status < _LATER) & ~(i_d > FAINT * i_s) & (rmse <= FAINT * i_s)
    for some, weighted in ((faint, False), (status == _LATER, True)):
        if some.any():
            place = np.flatnonzero(some)
            found, flags = _once_more(worker, chunk, torch.from_numpy(place).to(chunk.pixels.device), weighted)
            maps[:, place], status[place] = found.cpu().numpy(), flags.cpu().numpy()
    yield np.arange(count), maps, status


def _once_more(worker: Worker, chunk: _Chunk, index: Tensor, weighted: bool) -> tuple[Tensor, Tensor]:
    """Maps and statuses of pixels that lack bands, or whose spectra are nearly constant."""
    usable = chunk.usable[index]
    pixels = torch.where(usable, chunk.pixels[index], 0)
    weights = usable.to(pixels.dtype) if weighted else None
    solution = worker.finished(worker.solver(pixels, weights), pixels, weights, usable.cpu().numpy())
    return worker.to_maps(solution, (solution.cost / usable.sum(1)).sqrt())


def _queued(worker: Worker, cube: Cube, raw: np.ndarray, wanted: np.ndarray | None) -> _Chunk:
    device = torch.device(worker.device)
    stream = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else contextlib.nullcontext()
    with stream:
        samples = _sent(raw, device)
        pixels, usable = _reflectance(samples, cube)
        bands = usable.sum(1)
        status = screened(torch.where(usable, pixels, 0).sum(1) / bands.clamp_min(1), bands, worker.fewest)
        if wanted is not None:
            status = torch.where(_sent(wanted, device), status, int(Status.MASKED_BY_USER))
        fittable = status == Status.CONVERGED
        complete = fittable & usable.all(1)
        # zeros are fitted in no time
        solution = worker.solver(torch.where(complete[:, None], pixels, 0))
        maps, flags = worker.to_maps(solution, (solution.cost / pixels.shape[1]).sqrt())
        maps = torch.where(complete, maps, torch.nan)
        incomplete = fittable & ~complete
        status = torch.where(complete, flags, torch.where(incomplete, _LATER, status))
        here = _received(maps), _received(status.short())
        done = None if device.type != "cuda" else torch.cuda.current_stream(device).record_event()
    return _Chunk(pixels, usable, *here, done)


def _sent(values: np.ndarray, device: torch.device) -> Tensor:
    """To the device, by way of page-locked memory, which alone is copied while the processor goes on."""
    if values.dtype == np.uint16:
        values = values.view(np.int16)  # torch does little with the other
    if device.type != "cuda":
        return torch.from_numpy(np.array(values))
    locked = torch.empty(values.shape, dtype=_torch_type(values.dtype), pin_memory=True)
    if values.flags.writeable and values.flags.c_contiguous:
        locked.copy_(torch.from_numpy(values))  # by all cores
    else:
        np.copyto(locked.numpy(), values)
    return locked.to(device, non_blocking=True)


def _received(values: Tensor) -> Tensor:
    """From the device to page-locked memory, when the stream gets there."""
    if values.device.type != "cuda":
        return values
    locked = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return locked.copy_(values, non_blocking=True)


def _torch_type(kind: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, kind)).dtype


def _reflectance(samples: Tensor, cube: Cube) -> tuple[Tensor, Tensor]:
    """Reflectance (n, band) and which of it is usable, as `Cube.rows` has them."""
    raw = samples.float()
    if cube.values.dtype == np.uint16:
        raw = torch.where(raw < 0, raw + 65536, raw)
    pixels = raw
    if cube.dark is not None:
        pixels = pixels - _number(cube.dark, samples)
    if cube.illuminant is not None:
        light = _number(cube.illuminant, samples)
        pixels = pixels / torch.where(light > 0, light, torch.nan)
    usable = torch.isfinite(pixels)
    if cube.saturation is not None:
        usable &= raw < cube.saturation
    return pixels, usable


def _number(values: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32)).to(like.device)
