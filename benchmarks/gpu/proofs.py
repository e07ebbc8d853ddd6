"""Certificates on the device: how many pixels a second are proved to have their global minimum, and how many at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import msfit
from benchmarks.gpu.pixels import KINDS
from benchmarks.gpu.site import MODEL, NM, Site
from msfit.data.result import Status, flagged

_PIXELS = 100_000


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """`msfit.fit(certify=True)` and `std=True` on skin, certificates on spectra that are none."""
    for kind in ("measured", "uniform"):
        yield f"certificate, {kind}", partial(_certified, site, KINDS[kind](site.size(_PIXELS)))
    pixels = KINDS["measured"](site.size(_PIXELS))
    work = partial(msfit.fit, pixels, NM, model=MODEL, device=site.device, std=True)
    yield "std", partial(site.rate, work, len(pixels), 3)


def _certified(site: Site, pixels: np.ndarray) -> dict[str, float]:
    fits: list[msfit.FitResult] = []
    figure = site.rate(
        lambda: fits.append(msfit.fit(pixels, NM, model=MODEL, device=site.device, certify=True)), len(pixels), 1
    )
    certified = float(flagged(fits[-1].status, Status.GLOBAL).mean())
    return figure | {"certified": certified, "largest gap": float(np.nanmax(np.asarray(fits[-1].gap)))}
