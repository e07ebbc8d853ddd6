"""The card itself: its name and driver, how fast it copies, and how fast it multiplies and adds."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.gpu import floor
from benchmarks.gpu.site import Site

_COPIED = 2**30  # bytes
_SIDE = 8192  # of matrices


def measure(site: Site) -> Iterator[tuple[str, Any]]:
    """Name, driver, versions; bytes a second on the device and over its link; operations a second."""
    yield "versions", {"python": platform.python_version(), "torch": torch.__version__, "triton": _triton()}
    yield "card", _card(site)
    yield "floor, 31 bands", floor.count(31)
    yield "data sheets, 31 bands", floor.pixels_per_second(31)
    count = site.size(_COPIED // 4)
    source = torch.rand(count, device=site.device)
    target = torch.empty_like(source)
    # read once and written once
    yield "copy on device, bytes", partial(site.rate, partial(target.copy_, source), 8 * count)
    host = torch.rand(count)
    pinned = host if site.rehearsed else host.pin_memory()
    yield "pinned to device, bytes", partial(site.rate, partial(target.copy_, pinned, non_blocking=True), 4 * count)
    yield "device to pinned, bytes", partial(site.rate, partial(pinned.copy_, target, non_blocking=True), 4 * count)
    yield "pageable to device, bytes", partial(site.rate, partial(target.copy_, host), 4 * count)
    side = max(64, round(_SIDE * (count / (_COPIED / 4)) ** (1 / 3)))
    a, b = torch.rand(2, side, side, device=site.device)
    yield "float32 products, operations", partial(site.rate, partial(torch.matmul, a, b), 2 * side**3)


def _card(site: Site) -> str:
    if site.rehearsed:
        return "none: rehearsal on the CPU"
    query = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem", "--format=csv,noheader")
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    return answer or torch.cuda.get_device_name()


def _triton() -> str:
    try:
        import triton
    except ImportError:
        return "absent"
    return str(triton.__version__)
