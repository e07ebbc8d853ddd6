"""The small timings: `pytest benchmarks/test_small.py --benchmark-only`. Not part of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import msfit
from benchmarks.quality_peers import MODEL, NM
from benchmarks.scenes import measured_scene
from benchmarks.spatial import denoising_problem, small_scene
from msfit.skin.models import get_model
from msfit.solve.problem import shadings
from msfit.solve.spatial.convex import Forces

SCENE = measured_scene(10_000)
FRACTIONS = np.random.default_rng(0).uniform(0, (0.43, 0.07), (10_000, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_of_ten_thousand_pixels(benchmark: Any, dtype: str) -> None:
    benchmark(msfit.fit, SCENE, model=MODEL, dtype=dtype)


def test_fit_of_one_pixel(benchmark: Any) -> None:
    benchmark(msfit.fit, SCENE.values[0, :1], NM, model=MODEL)


def test_reflectance_and_derivatives(benchmark: Any) -> None:
    benchmark(get_model(MODEL).at(NM).jacobian, torch.from_numpy(FRACTIONS))


def test_shading(benchmark: Any) -> None:
    reflectance = torch.from_numpy(msfit.reflectance(FRACTIONS[:, 0], FRACTIONS[:, 1], NM, model=MODEL))
    benchmark(shadings, reflectance, torch.from_numpy(SCENE.values.reshape(-1, 31).astype(np.float64)), None)


def test_denoising(benchmark: Any) -> None:
    maps = torch.rand(2, 128, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inside, strength = torch.ones(128, 128, dtype=torch.bool), torch.full((2,), 0.1, dtype=torch.float64)
    benchmark(denoising_problem(maps, inside, strength).minimise, Forces.none(maps), share=0, gap=0, steps=30)


def test_spatial_fit_of_a_small_picture(benchmark: Any) -> None:
    pixels, _ = small_scene()
    benchmark.pedantic(msfit.fit_spatial, (pixels, NM), {"model": MODEL, "tv": 0.02}, rounds=3)
