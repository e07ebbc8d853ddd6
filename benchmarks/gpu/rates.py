"""Pixels a second that lie on the device, beside the card's limits, torch's path and batched Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.adam import adam
from benchmarks.gpu import floor
from benchmarks.gpu.pixels import KINDS, measured
from benchmarks.gpu.site import MODEL, NM, Fit, Site, skin_of
from msfit.skin.models import get_model
from msfit.solve.backends.reference import ReferenceSolver

_PIXELS, _DRAWN, _PEERS = 2**24, 2**20, 2**18
_STEPS = 500


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """The kernel on pixels of each kind and with weights; torch's path and Adam on fewer."""
    fused = site.fused(*skin_of())
    for kind, draw in KINDS.items():
        yield kind, partial(_kernel, site, fused, draw)
    few = torch.from_numpy(measured(site.size(_PEERS))).to(site.device)
    weights = torch.ones_like(few)
    weights[:, ::5] = 0
    yield "weights", partial(site.rate, partial(fused, few, weights), len(few))
    skin, lower, upper = skin_of()
    low, high = (torch.from_numpy(end).to(few) for end in (lower, upper))
    reference = ReferenceSolver(skin.to(few.dtype, few.device), low, high)
    yield "torch", partial(site.rate, partial(reference, few), len(few), 3)
    yield f"Adam, {_STEPS} steps", partial(site.rate, partial(_adam, few, site), len(few), 1)


def _kernel(site: Site, fused: Fit, draw: Callable[[int], np.ndarray]) -> dict[str, float]:
    """On pixels of a kind, beside what was counted for each."""
    pixels = spread(torch.from_numpy(draw(site.size(_DRAWN))).to(site.device), site.size(_PIXELS))
    figure, cost = site.rate(partial(fused, pixels), len(pixels)), floor.count(len(NM))
    return figure | {
        "bytes_per_second": figure["per_second"] * cost["bytes"],
        "operations_per_second": figure["per_second"] * cost["operations"],
    }


def _adam(pixels: Tensor, site: Site) -> Tensor:
    _, _, upper = skin_of()
    own = get_model(MODEL).at(NM, pixels.dtype, pixels.device)
    return adam(own, pixels, torch.from_numpy(upper).to(pixels), site.size(_STEPS, 5))


def spread(pixels: Tensor, count: int) -> Tensor:
    """So many pixels from fewer, each with a factor of its own, so that none is fitted twice."""
    order = torch.arange(count, device=pixels.device) % len(pixels)
    return pixels[order] * torch.empty(count, 1, device=pixels.device).uniform_(0.8, 1.2)
