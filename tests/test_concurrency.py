"""Fits beside each other, after a fork, pickled and copied: right maps, and nothing changed for the process."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import msfit

ROOT = Path(__file__).parents[1]
NM = np.arange(400.0, 701.0, 10.0)
MAPS = ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status")


def scene(dtype: Any = np.float64, missing: bool = False) -> np.ndarray:
    rng = np.random.default_rng(5)
    skin = (
        0.8 * msfit.reflectance(rng.uniform(0.02, 0.3, 3000), 0.02, NM) + 0.04 + 0.003 * rng.standard_normal((3000, 31))
    )
    if missing:
        skin[::7, 3] = np.nan
    return skin.astype(dtype)


KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "float32": (scene(np.float32), {}),
    "float64": (scene(), {}),
    "missing bands": (scene(np.float32, missing=True), {}),
    "standard deviations": (scene()[:200], {"std": True}),
    "huber": (scene()[:20], {"huber": 0.01}),
    "extra": (scene()[:10], {"free": ("f_mel", "f_blood", "saturation")}),
    "shared": (scene()[:40], {"shared": ("saturation",)}),
    "certified": (scene(np.float32)[:40], {"certify": True}),
}


def assert_same(result: msfit.FitResult, expected: msfit.FitResult) -> None:
    for name in MAPS:
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """What a user may have chosen, for the time of a test."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_eight_threads_at_once_change_nothing() -> None:
    import torch

    expected = {kind: msfit.fit(pixels, NM, **options) for kind, (pixels, options) in KINDS.items()}

    def fit(kind: str) -> tuple[str, msfit.FitResult, int]:
        pixels, options = KINDS[kind]
        return kind, msfit.fit(pixels, NM, **options), torch.get_num_threads()

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(fit, 3 * list(KINDS)))
    for kind, result, seen in results:
        assert_same(result, expected[kind])
        assert seen == 2
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 2


FORKED = """
import multiprocessing, sys
import numpy as np
from tests.test_concurrency import KINDS, MAPS, NM
import msfit

def fit(kind):
    pixels, options = KINDS[kind]
    result = msfit.fit(pixels, NM, **options)
    return [getattr(result, name) for name in MAPS]

if sys.argv[1] == "torch":
    import torch
    torch.set_num_threads(2)
    (torch.ones(1500, 1500) @ torch.ones(1500, 1500)).exp().sum()  # its threads have begun
kinds = list(KINDS) if sys.argv[1] == "torch" else ["float32", "float64", "missing bands"]
expected = [fit(kind) for kind in kinds]
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = pool.map_async(fit, kinds, chunksize=1).get(timeout=100)
for mine, theirs in zip(expected, results, strict=True):
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("beside", ["torch", "nothing"])
def test_a_pool_that_is_forked_after_a_fit_fits(beside: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, beside]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_what_is_plain_runs_without_torch() -> None:
    script = """
import sys
import numpy as np, msfit
nm = np.arange(400.0, 701.0, 10.0)
for model in ("alotaibi-smith-2019", "msfit-issa-2026"):
    skin = 0.8 * msfit.reflectance(np.linspace(0.02, 0.3, 40), 0.02, nm, model=model) + 0.04
    for dtype in ("float32", "float64"):
        result = msfit.fit(skin.astype(dtype), nm, model=model)
        assert result.f_mel.dtype == dtype
        np.testing.assert_allclose(result.f_mel, np.linspace(0.02, 0.3, 40), rtol=2e-3)
no_light = msfit.fit(np.linspace(0.5, 0.3, 31), nm, model="alotaibi-smith-2019")
assert no_light.i_d.item() == 0
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["float32", "standard deviations"])
def test_a_pickled_result_is_the_same(kind: str) -> None:
    pixels, options = KINDS[kind]
    result = msfit.fit(pixels, NM, **options)
    again = pickle.loads(pickle.dumps(result))
    assert_same(again, result)
    assert again.summary() == result.summary()
    if result.std is not None:
        np.testing.assert_array_equal(again.std["f_mel"], result.std["f_mel"])


def test_a_copied_cube_has_the_same_fit() -> None:
    cube = msfit.Cube(scene(np.float32), NM)
    copied = copy.deepcopy(cube)
    assert copied.values is not cube.values
    assert_same(msfit.fit(copied), msfit.fit(cube))
