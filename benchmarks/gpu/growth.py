"""How the rate changes with pixels, from ten thousand to a thousand million, with bands and with channels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

import msfit
from benchmarks.gpu.hosts import tiled
from benchmarks.gpu.pixels import measured
from benchmarks.gpu.rates import spread
from benchmarks.gpu.site import MODEL, NM, Site, skin_of
from msfit.data.cube import Cube
from msfit.data.status import STATUS_TYPE
from msfit.fitting import on_device
from msfit.fitting.options import FitOptions
from msfit.fitting.plan import prepare
from msfit.skin.channels import through
from msfit.skin.models import get_model

_PIXELS = (10**4, 10**5, 10**6, 10**7, 10**8)
_STREAMED, _CHUNK = 10**9, 2**20
_BANDS, _CHANNELS = (8, 16, 31, 64, 100, 148), (3, 4, 6, 8, 16)
_EACH = 2**21
_OF_MEMORY = 0.4  # that a scene may take


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """`msfit.fit` on more and more pixels; a thousand million in chunks; the kernel over bands and channels."""
    few = measured(site.size(2**20))
    for count in _PIXELS:
        pixels = site.size(count)
        if 4 * pixels * len(NM) > _OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            yield f"{count:.0e} pixels", "left out: the host's memory does not hold them"
            continue
        yield f"{count:.0e} pixels", partial(_whole, site, few, pixels)
    yield f"{_STREAMED:.0e} pixels, streamed", partial(_streamed, site, few)
    for bands in _BANDS:
        yield f"{bands} bands", partial(_on_bands, site, bands)
    for channels in _CHANNELS:
        yield f"{channels} channels", partial(_in_channels, site, channels)


def _whole(site: Site, few: np.ndarray, count: int) -> dict[str, float]:
    scene = tiled(few, count)
    return site.rate(partial(msfit.fit, scene, NM, model=MODEL, device=site.device), count, 3)


def _on_bands(site: Site, bands: int) -> dict[str, float]:
    pixels = measured(site.size(_EACH // 8), nm=np.linspace(410, 700, bands))
    there = spread(torch.from_numpy(pixels).to(site.device), site.size(_EACH))
    return site.rate(partial(site.fused(*skin_of(MODEL, bands)), there), len(there), 5)


def _in_channels(site: Site, channels: int) -> dict[str, float]:
    camera = msfit.Channels.gaussian(np.linspace(450, 670, channels).tolist(), 20)
    skin, (_, lower, upper) = through(get_model(MODEL), camera).in_numpy(camera.centres), skin_of()
    assert skin is not None
    x = np.random.default_rng(channels).random((site.size(_EACH // 8), 2)) * upper
    pixels = torch.from_numpy((0.8 * skin.reflectance(x) + 0.03).astype(np.float32)).to(site.device)
    there = spread(pixels, site.size(_EACH))
    return site.rate(partial(site.fused(skin, lower, upper), there), len(there), 5)


def _streamed(site: Site, few: np.ndarray) -> dict[str, Any]:
    """The way that `fit` and `fit_file` take on a GPU, over more than the host holds: one chunk of pixels, ever again.

    As many chunks as the part has time for; maps come back and are added up.
    """
    chunk = tiled(few, site.size(_CHUNK))
    cube = Cube(chunk, NM)
    prepared = prepare(cube, FitOptions(model=MODEL, device=site.device, dtype="float32"))
    wanted = site.size(_STREAMED) // len(chunk)
    done, total = 0, 0.0
    pending: list[Any] = []
    until = time.monotonic() + max(5.0, 0.4 * min(site.left, 300.0))
    began = time.perf_counter()
    while done + len(pending) < wanted and (time.monotonic() < until or not done):
        status = np.zeros(len(chunk), STATUS_TYPE)
        pending.append(on_device.begin(prepared.worker, cube, slice(0, len(chunk)), status))
        if len(pending) > 2:
            total, done = total + _mean(pending.pop(0)), done + 1
    for block in pending:
        total, done = total + _mean(block), done + 1
    seconds = time.perf_counter() - began
    count = done * len(chunk)
    return {
        "count": count,
        "per_second": count / seconds,
        "bytes_per_second": 4 * len(NM) * count / seconds,
        "mean f_mel": total / done,
    }


def _mean(block: Any) -> float:
    ((_, maps, _),) = block
    return float(np.nanmean(maps[0][:: max(1, maps.shape[1] // 1000)]))
