"""Where the parts run and at which size: on a GPU in full, or in a rehearsal on the CPU at a thousandth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.interpreter import hasten
from msfit.errors import InputError
from msfit.skin import DEFAULT_MODEL
from msfit.skin.models import get_model
from msfit.skin.registry import Skin, SkinModel
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.solution import Solution

MODEL = DEFAULT_MODEL
NM = np.arange(400.0, 701.0, 10.0)
_REHEARSED = 1e-3
_FEWEST = 48  # pixels

Fit = Callable[..., Solution]


@dataclass(frozen=True)
class Site:
    """A GPU, or the CPU that stands in for it in a rehearsal.

    Attributes
    ----------
    device : str
        "cuda", or "cpu" in a rehearsal.
    deadline : float
        Of the part that is under way, by `time.monotonic`.
    """

    device: str
    deadline: float = float("inf")

    @property
    def rehearsed(self) -> bool:
        """Whether this is a rehearsal."""
        return self.device == "cpu"

    @property
    def left(self) -> float:
        """Seconds that the part has left."""
        return self.deadline - time.monotonic()

    def size(self, count: int, fewest: int = _FEWEST) -> int:
        """So many pixels, samples or steps: all, or in a rehearsal a thousandth."""
        return count if not self.rehearsed else max(fewest, round(count * _REHEARSED))

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if not self.rehearsed:
            torch.cuda.synchronize()

    def rate(self, work: Callable[[], Any], count: int, runs: int = 9) -> dict[str, float]:
        """Of `count` things a run, those a second: median and quartiles of some runs after one that is not counted.

        Fewer runs where the part's time is nearly over, at least one.
        """
        work()
        self.wait()
        rates: list[float] = []
        while len(rates) < (1 if self.rehearsed else runs) and (not rates or self.left > 0):
            began = time.perf_counter()
            work()
            self.wait()
            rates.append(count / (time.perf_counter() - began))
        low, middle, high = np.quantile(rates, (0.25, 0.5, 0.75)).tolist()
        return {"count": count, "runs": len(rates), "per_second": middle, "lower_quartile": low, "upper_quartile": high}

    def fused(self, skin: Skin, lower: np.ndarray, upper: np.ndarray, *, interpreted: bool = False) -> Fit:
        """The kernel from pixels to solutions.

        In a rehearsal the CPU's kernels stand in for it, but for where it is `interpreted`: each launch takes Triton's
        interpreter some seconds, however few pixels it has.
        """
        if not self.rehearsed or interpreted:
            if find_spec("triton") is None:
                raise ModuleNotFoundError("No module named 'triton'", name="triton")
            if interpreted and self.rehearsed:
                hasten()
            kernel = GpuSolver.over(skin, lower, upper, self.device)
            assert kernel is not None
            return kernel
        stand_in = CpuSolver.over(skin, lower, upper, np.float32)
        assert stand_in is not None

        def fit(pixels: Tensor, weights: Tensor | None = None) -> Solution:
            """By the CPU."""
            return stand_in(pixels.numpy(), None if weights is None else weights.numpy()).torch()

        return fit


@lru_cache
def skin_of(model: str | SkinModel = MODEL, bands: int = 0) -> tuple[Skin, np.ndarray, np.ndarray]:
    """A model's skin in numpy with its wide box; on so many bands over 410-700 nm, or on `NM`."""
    chosen = get_model(model) if isinstance(model, str) else model
    skin = chosen.in_numpy(NM if not bands else np.linspace(410, 700, bands))
    assert skin is not None
    lower, upper = np.array([parameter.wide for parameter in chosen.parameters[:2]]).T
    return skin, lower, upper


def missing(error: BaseException) -> str:
    """One line on what a part lacks, or on what broke it."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"missing: {error.name}"
    lines = str(error).splitlines() or [""]
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return f"failed: {kind}{lines[0]}"[:300]
