"""Rows that are screened, fitted and made into maps on a device, against the same on the processor."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import msfit
from msfit.data.result import STATUS_TYPE, Status
from msfit.fitting import on_device
from msfit.fitting.options import FitOptions
from msfit.fitting.plan import prepare
from msfit.fitting.rows import fit_rows
from msfit.fitting.worker import pool

NM = np.arange(400.0, 701.0, 10.0)


def scene(kind: str, rng: np.random.Generator) -> msfit.Cube:
    """Skin with dark, dead, clipped and few-banded pixels, as a type of samples."""
    x = rng.random((24, 9, 2)) * (0.3, 0.06)
    values = rng.uniform(0.2, 1.1, (24, 9, 1)) * msfit.reflectance(x[..., 0], x[..., 1], NM) + 0.02
    values += 0.003 * rng.standard_normal(values.shape)
    values[0, 0] = 0
    values[2] = 0.2 * rng.random((9, 31))
    if kind == "reflectance":
        values[1, 0, :3], values[1, 1, :28], values[1, 2, 5] = np.nan, np.nan, np.inf
        return msfit.Cube(values.astype(np.float32), NM)
    light = np.linspace(30_000, 50_000, 31)
    if kind == "counts":
        counts = np.clip(np.rint(values * light + 200), 0, 65_535).astype(np.uint16)
        counts[1, 0, 3:6], counts[1, 1] = 65_535, 65_535
        return msfit.Cube(counts, NM, light, dark=200.0)
    light[4] = 0
    return msfit.Cube((values * light).astype(np.float32), NM, light, dark=np.full(31, 1.0))


@pytest.mark.parametrize("kind", ["reflectance", "counts", "radiance"])
@pytest.mark.parametrize(
    "options", [{}, {"model": "alotaibi-smith-2019", "bounds": "paper"}, {"hold": {"f_blood": 0.03}}], ids=str
)
def test_maps_and_statuses_are_those_of_the_processor(kind: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((24, 9)) < 0.8
    prepared = prepare(scene(kind, rng).with_mask(mask), FitOptions(dtype="float32", device="cpu", **options))
    assert on_device.takes(prepared.cube, prepared.worker)
    rows = slice(0, 24)
    with pool(prepared.worker.device) as run:
        expected = fit_rows(prepared, rows, run, mask)
    status = np.where(mask.ravel(), Status.CONVERGED, Status.MASKED_BY_USER).astype(STATUS_TYPE)
    ((index, maps, flags),) = on_device.begin(prepared.worker, prepared.cube, rows, status)
    np.testing.assert_array_equal(index, np.arange(24 * 9))
    np.testing.assert_array_equal(flags, expected["status"].ravel())
    assert {Status.CONVERGED, Status.MASKED_BY_USER, Status.MASKED_NO_SIGNAL} <= set(map(Status, flags.tolist()))
    for name, values in zip(prepared.worker.maps, maps, strict=True):
        np.testing.assert_allclose(values, expected[name].ravel(), rtol=2e-5, atol=1e-6, err_msg=name)


def test_what_needs_more_than_a_kernel_goes_another_way() -> None:
    cube = scene("reflectance", np.random.default_rng(0))
    for options in ({"std": True}, {"dtype": "float64"}, {"huber": 0.01}, {"weights": {(400, 450): 0.5}}):
        prepared = prepare(cube, FitOptions(**{"dtype": "float32", "device": "cpu", **options}))
        assert not on_device.takes(prepared.cube, prepared.worker)
    everywhere = np.ones((24, 9, 31), np.float32)
    prepared = prepare(cube.changed(illuminant=everywhere), FitOptions(dtype="float32", device="cpu"))
    assert not on_device.takes(prepared.cube, prepared.worker)
    swapped = replace(prepared, cube=cube.changed(values=cube.values.astype(">f4")))
    assert not on_device.takes(swapped.cube, prepared.worker)


class AsOnGpu:
    """The solver that a GPU has, single precision alone, by the CPU."""

    def __init__(self, solver: Any) -> None:
        self.solver = solver

    def __call__(self, pixels: Any, weights: Any = None, prior: Any = None) -> Any:
        assert prior is None
        found = self.solver.least(
            self.solver.form,
            pixels.numpy(),
            *self.solver.grid.starts(pixels.numpy(), None if weights is None else weights.numpy()),
            None if weights is None else weights.numpy(),
        )
        return found.torch()


def test_constant_and_nearly_constant_spectra_end_as_on_the_processor() -> None:
    rng = np.random.default_rng(0)
    values = np.full((6, 40, 31), 0.4, np.float32)
    values[1] = rng.uniform(0.1, 0.9, (40, 1))
    values[2] = 0.5 + 1e-3 * rng.standard_normal((40, 31))
    values[3] = 0.5 + 1e-2 * msfit.reflectance(0.1, 0.03, NM)
    values[4] = 0.5 + 1e-3 * msfit.reflectance(rng.random((40, 1)) * 0.3, 0.03, NM)[:, 0]
    values[5] = 0.5 * msfit.reflectance(0.1, 0.03, NM)
    values[:, ::5, 7] = np.nan
    prepared = prepare(msfit.Cube(values, NM), FitOptions(dtype="float32", device="cpu"))
    rows = slice(0, 6)
    with pool(prepared.worker.device) as run:
        expected = fit_rows(prepared, rows, run)
    solver = copy(prepared.worker.solver)
    solver.kernel = AsOnGpu(solver.kernel)
    worker = replace(prepared.worker, solver=solver)
    ((_, maps, flags),) = on_device.begin(worker, prepared.cube, rows, np.zeros(240, STATUS_TYPE))
    noise = np.arange(240) // 40 == 2  # of flat minima, on which an end may lie anywhere, and of several
    np.testing.assert_array_equal(flags[~noise], expected["status"].ravel()[~noise])
    assert (flags[:80] == Status.NO_DIFFUSE).all()
    for name, found in zip(prepared.worker.maps, maps, strict=True):
        some = slice(None) if name == "rmse" else ~noise
        np.testing.assert_allclose(found[some], expected[name].ravel()[some], rtol=2e-4, atol=1e-6, err_msg=name)
