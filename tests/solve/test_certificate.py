"""The certificate: its bounds hold, are tight enough to prove minima global, and find what a solver missed."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

import msfit
from msfit.cli.app import app
from msfit.data.result import Status, flagged, uncertified
from msfit.skin.models import get_model, model_names
from msfit.skin.registry import Skin
from msfit.solve.certificate.certificate import GLOBAL_GAP, Certificate
from msfit.solve.certificate.certificate import _bound as on_cpu
from msfit.solve.certificate.patches import POWERS, Patches
from msfit.solve.certificate.torch_bound import bound as batched_bound
from msfit.solve.problem import Problem, shadings
from msfit.solve.solution import Solution

NM = np.arange(400.0, 701.0, 10.0)
BOX = torch.tensor([[0.0, 0.0], [0.43, 0.07]], dtype=torch.float64)
SKINS = {name: get_model(name).at(NM) for name in model_names()}
CERTIFICATES = {name: Certificate(skin, *BOX) for name, skin in SKINS.items()}


def spectra(skin: Skin, count: int, seed: int) -> torch.Tensor:
    """Skin with noise of many sizes, smooth spectra that are no skin, and plain noise: (n, band)."""
    rng = np.random.default_rng(seed)
    fractions = torch.from_numpy(rng.random((count, 2)) ** rng.choice([1, 3], (count, 1))) * BOX[1]
    clean = skin.reflectance(fractions).numpy() * rng.uniform(0, 2, (count, 1)) + rng.uniform(0, 0.3, (count, 1))
    smooth = 0.4 + 0.2 * np.cumsum(rng.standard_normal((count, NM.size)), 1) / NM.size**0.5
    kind = rng.integers(0, 4, (count, 1))
    noise = rng.standard_normal((count, NM.size)) * 10 ** rng.uniform(-5, -1, (count, 1))
    found = np.where(kind == 0, smooth, clean) + np.where(kind == 1, 0, noise)
    return torch.from_numpy(found[found.mean(1) > 0.01])


def anywhere(skin: Skin, pixels: torch.Tensor, weights: torch.Tensor | None, fractions: torch.Tensor) -> Solution:
    """As if a solver had ended at these fractions (n, 2)."""
    point = Problem(skin, pixels, weights).evaluate(fractions)
    ended = torch.ones(len(pixels), dtype=torch.bool), torch.zeros(len(pixels), dtype=torch.int16)
    return Solution(point.x, point.i_d, point.i_s, point.cost, *ended)


def least_on_grid(skin: Skin, pixels: torch.Tensor, weights: torch.Tensor | None, nodes: int = 60) -> np.ndarray:
    """RMSE at the best of a grid's nodes, (n,)."""
    axes = [torch.linspace(0, 1, nodes, dtype=torch.float64) ** 1.5 * end for end in BOX[1]]
    grid = skin.reflectance(torch.cartesian_prod(*axes))
    least = []
    for index, y in enumerate(pixels):
        w = None if weights is None else weights[index].expand_as(grid)
        i_d, i_s = shadings(grid, y.expand_as(grid), w)
        square = (y - i_d[:, None] * grid - i_s[:, None]).square()
        mean = square.mean(1) if w is None else (w * square).sum(1) / w.sum(1)
        least.append(float(mean.min().sqrt()))
    return np.array(least)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("model", model_names())
def test_the_remainder_of_every_cell_holds_between_the_nodes(model: str, compressed: bool) -> None:
    patches = Patches.over(SKINS[model], *BOX)
    assert_remainders_hold(patches if compressed else patches.by_band(), SKINS[model])


def assert_remainders_hold(patches: Patches, skin: Skin) -> None:
    positions = torch.from_numpy(np.random.default_rng(0).random((4000, 2)))
    directions = torch.nn.functional.normalize(skin.reflectance(patches.fractions(positions)))
    seen = patches.padded(directions) if patches.basis is None else directions @ patches.basis
    if patches.basis is not None:
        assert float((directions - seen @ patches.basis.T).norm(dim=1).max()) <= patches.outside
    start = 0
    for rows, columns in patches.shapes:
        scaled = positions * torch.tensor([rows, columns])
        index = scaled.long()
        x, y = (2 * (scaled - index) - 1).unbind(1)
        cells = start + index[:, 0] * columns + index[:, 1]
        powers = torch.stack([x**i * y**j for i, j in POWERS], 1)
        cubic = torch.einsum("nm,nmk->nk", powers, patches.coefficients[cells])
        assert bool(((seen - cubic).norm(dim=1) <= patches.remainder[cells]).all())
        assert float((seen - cubic).norm(dim=1).max()) > 0.1 * float(patches.remainder[cells].min())
        start += rows * columns


def test_hundreds_of_bands_take_bounded_memory_and_their_remainders_hold() -> None:
    skin = get_model("msfit-issa-2026").at(np.linspace(400, 700, 400))
    tracemalloc.start()
    patches = Patches.over(skin, *BOX)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
    by_band = patches.by_band()
    assert by_band.coefficients.nbytes <= 2**27
    assert by_band.shapes[-1] == (32, 32)
    assert_remainders_hold(by_band, skin)


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("weighted", [False, True])
def test_no_node_of_a_grid_is_below_a_bound(model: str, weighted: bool) -> None:
    skin, pixels = SKINS[model], spectra(SKINS[model], 120, seed=1)
    rng = np.random.default_rng(2)
    weights = torch.from_numpy(rng.choice([0.0, 1.0, 2.5], pixels.shape, p=(0.3, 0.5, 0.2))) if weighted else None
    # from a bad start: the certificate has to find the minimum itself
    solution, gap = CERTIFICATES[model](pixels, weights, anywhere(skin, pixels, weights, BOX[1].expand(len(pixels), 2)))
    total = NM.size if weights is None else weights.sum(1)
    best = (solution.cost / total).sqrt().numpy()
    assert float(gap.max()) <= GLOBAL_GAP
    least = least_on_grid(skin, pixels, weights)
    assert (best - gap.numpy() <= least + 1e-12).all()
    assert (best <= least + GLOBAL_GAP).all()


@given(seed=st.integers(0, 10**6), model=st.sampled_from(model_names()))
def test_the_bound_is_below_the_objective_everywhere(seed: int, model: str) -> None:
    rng = np.random.default_rng(seed)
    pixels = spectra(SKINS[model], 6, seed)
    assume(len(pixels) > 0)
    somewhere = torch.from_numpy(rng.random((len(pixels), 2))) * BOX[1]
    weights = torch.from_numpy(rng.integers(0, 2, pixels.shape).astype(float)) if rng.random() < 0.5 else None
    if weights is not None:
        weights[:, :8] = 1
    start = anywhere(SKINS[model], pixels, weights, somewhere)
    solution, gap = CERTIFICATES[model](pixels, weights, start)
    total = NM.size if weights is None else weights.sum(1)
    rmse = (solution.cost / total).sqrt()
    assert bool((solution.cost <= start.cost * (1 + 1e-9) + 1e-20).all())
    # any shadings that are not negative, anywhere in the box
    for _ in range(20):
        fractions = torch.from_numpy(rng.random((len(pixels), 2)) ** 2) * BOX[1]
        i_d, i_s = (torch.from_numpy(rng.uniform(0, high, (len(pixels), 1))) for high in (2.0, 0.5))
        square = (pixels - i_d * SKINS[model].reflectance(fractions) - i_s).square()
        other = (square.mean(1) if weights is None else (weights * square).sum(1) / total).sqrt()
        assert bool((rmse - gap <= other + 1e-12).all())


@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "msfit-issa-2026"])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_pixels_at_once_as_one_by_one(model: str, weighted: bool) -> None:
    skin, pixels = SKINS[model], spectra(SKINS[model], 150, seed=8)
    rng = np.random.default_rng(9)
    weights = torch.from_numpy(rng.choice([0.0, 1.0, 2.5], pixels.shape, p=(0.2, 0.6, 0.2))) if weighted else None
    start = Problem(skin, pixels, weights).evaluate(torch.from_numpy(rng.random((len(pixels), 2))) * BOX[1])
    best, tolerance = start.cost.sqrt(), torch.full_like(start.cost, 5e-5)
    patches = Patches.over(skin, *BOX)
    patches = patches.by_band() if weighted else patches
    bounds, distances, positions = batched_bound(patches, pixels, weights, best, tolerance, 10_000)
    others, other_distances, _ = on_cpu(patches, pixels, weights, best, tolerance)
    least, other_least = torch.minimum(best, distances), torch.minimum(best, other_distances)
    assert bool((bounds <= other_least + 1e-12).all())
    assert bool((others <= least + 1e-12).all())
    assert float((least - bounds).max()) <= 5.1e-5
    torch.testing.assert_close(least, other_least, rtol=0, atol=5.1e-5)
    met = torch.isfinite(distances)
    problem = Problem(skin, pixels, weights).take(met)
    there = problem.evaluate(patches.fractions(positions[met]))
    assert bool((there.cost.sqrt() <= distances[met] + 1e-12).all())


@pytest.mark.parametrize("search", [on_cpu, partial(batched_bound, most=100_000)])
def test_bright_pixels_with_hardly_any_pigment_are_proved(search: Callable[..., tuple[torch.Tensor, ...]]) -> None:
    # residuals just too long to be within the gap by themselves, whose directions turn fast from place to place
    skin, count = SKINS["alotaibi-smith-2019"], 500
    rng = np.random.default_rng(5)
    f_mel = np.where(rng.random(count) < 0.5, 0, 10 ** rng.uniform(-6, -3, count))
    f_blood = 10 ** rng.uniform(-6, -3.5, count)
    clean = skin.reflectance(torch.from_numpy(np.stack([f_mel, f_blood], 1))).numpy() * rng.uniform(1.7, 2, (count, 1))
    pixels = torch.from_numpy(clean + 1.25e-5 * rng.standard_normal(clean.shape))
    best = torch.from_numpy(msfit.fit(pixels.numpy(), NM, model="alotaibi-smith-2019").rmse) * NM.size**0.5
    tolerance = torch.full_like(best, 0.95 * GLOBAL_GAP * NM.size**0.5)
    bounds = search(Patches.over(skin, *BOX), pixels, None, best, tolerance)[0]
    assert float((best - bounds).max()) <= GLOBAL_GAP * NM.size**0.5
    assert bool((bounds <= best).all())


def test_what_the_polynomials_leave_out_ends_the_search_and_is_told() -> None:
    # so bright that the remainder alone is as long as the gap: nothing to be gained by ever smaller cells
    skin = SKINS["alotaibi-smith-2019"]
    patches = Patches.over(skin, *BOX)
    clean = 2e3 * skin.reflectance(torch.tensor([[0.0, 1e-5], [0.1, 0.02]], dtype=torch.float64))
    pixels = clean + 1e-4 * torch.from_numpy(np.random.default_rng(4).standard_normal(clean.shape))
    best = Problem(skin, pixels).evaluate(torch.tensor([[0.0, 1e-5], [0.1, 0.02]], dtype=torch.float64)).cost.sqrt()
    tolerance = torch.full_like(best, 0.95 * GLOBAL_GAP * NM.size**0.5)
    for bounds in (
        on_cpu(patches, pixels, None, best, tolerance)[0],
        batched_bound(patches, pixels, None, best, tolerance, 100_000)[0],
    ):
        assert bool((best - bounds > tolerance).any())


def test_a_smaller_box_has_no_lower_bound() -> None:
    skin, pixels = SKINS["msfit-issa-2026"], spectra(SKINS["msfit-issa-2026"], 60, seed=3)
    bounds = []
    for share in (1.0, 0.5, 0.25, 0.0):
        lower = 0.3 * BOX[1] * (1 - share)
        upper = lower + share * (BOX[1] - lower)
        middle = ((lower + upper) / 2).expand(len(pixels), 2)
        solution, gap = Certificate(skin, lower, upper)(pixels, None, anywhere(skin, pixels, None, middle))
        bounds.append((solution.cost / NM.size).sqrt() - gap)
        assert float(gap.max()) <= GLOBAL_GAP
    for wide, narrow in itertools.pairwise(bounds):
        assert bool((narrow >= wide - GLOBAL_GAP).all())


def test_weights_of_one_change_nothing() -> None:
    skin, pixels = SKINS["alotaibi-smith-2019"], spectra(SKINS["alotaibi-smith-2019"], 80, seed=4)
    start = anywhere(skin, pixels, None, BOX[1].expand(len(pixels), 2) / 2)
    plain, gap = CERTIFICATES["alotaibi-smith-2019"](pixels, None, start)
    weighted, weighted_gap = CERTIFICATES["alotaibi-smith-2019"](pixels, torch.ones_like(pixels), start)
    torch.testing.assert_close(plain.cost, weighted.cost, rtol=0, atol=31 * 1e-6**2 + 1e-7)
    assert float(torch.maximum(gap, weighted_gap).max()) <= GLOBAL_GAP


def test_a_pixel_is_proved_alone_as_in_any_batch() -> None:
    pixels = spectra(SKINS["msfit-issa-2026"], 40, seed=5)
    found = msfit.fit(pixels.numpy(), NM, certify=True)
    for index in (0, 7, len(pixels) - 1):
        alone = msfit.fit(pixels[index : index + 1].numpy(), NM, certify=True)
        assert alone.gap is not None
        assert found.gap is not None
        assert alone.gap[0] == found.gap[index]
        assert alone.rmse[0] == found.rmse[index]


def test_fit_says_what_is_proved() -> None:
    skin = msfit.reflectance([0.05, 0.2, 0.43], 0.03, NM, model="alotaibi-smith-2019")
    falling = np.linspace(0.5, 0.3, NM.size)
    pixels = np.vstack([0.8 * skin + 0.02, falling[None], np.full((1, NM.size), np.nan)])
    pixels[0, 3] = np.nan
    plain, found = (msfit.fit(pixels, NM, model="alotaibi-smith-2019", certify=c) for c in (False, True))
    assert plain.gap is None
    assert found.gap is not None
    np.testing.assert_array_equal(uncertified(found.status), plain.status)
    assert flagged(found.status[:4], Status.GLOBAL).all()
    assert found.status[0] == Status.GLOBAL_CONVERGED
    assert found.status[3] == Status.GLOBAL_NO_DIFFUSE
    assert found.fitted.tolist() == [True] * 4 + [False]
    assert np.isnan(found.gap[4])
    assert (found.gap[:4] <= GLOBAL_GAP).all()
    assert "100 % certified global" in found.summary()
    assert Status.GLOBAL_F_MEL_UPPER.meaning == "converged with f_mel on its upper bound; certified global"


def test_held_parameters_and_single_points_are_proved_too() -> None:
    pixels = spectra(SKINS["jacques-km"], 40, seed=6).numpy()
    for bounds in ({"f_mel": (0.1, 0.1)}, {"f_blood": (0.03, 0.03)}, {"f_mel": (0.1, 0.1), "f_blood": (0.03, 0.03)}):
        found = msfit.fit(pixels, NM, model="jacques-km", bounds=bounds, certify=True)
        assert found.gap is not None
        assert float(found.gap.max()) <= GLOBAL_GAP


def test_a_gap_is_saved_and_loaded(tmp_path: Path) -> None:
    found = msfit.fit(spectra(SKINS["msfit-issa-2026"], 20, seed=7).numpy(), NM, certify=True)
    found.save(tmp_path / "found.h5")
    again = msfit.load_result(tmp_path / "found.h5")
    np.testing.assert_array_equal(again.gap, found.gap)
    np.testing.assert_array_equal(again.status, found.status)
    assert again.summary() == found.summary()
    assert replace(found, gap=None).to_xarray().get("gap") is None
    assert "gap" in found.to_xarray()


def test_weights_and_radiance_are_proved_and_huber_is_refused() -> None:
    pixels = spectra(SKINS["msfit-issa-2026"], 40, seed=10).numpy()
    light = np.linspace(0.3, 1.2, NM.size)
    for found in (
        msfit.fit(pixels, NM, weights={(400, 450): 0.2}, certify=True),
        msfit.fit(msfit.Cube(pixels * light, NM, light), residual="radiance", certify=True),
    ):
        assert found.gap is not None
        assert float(found.gap.max()) <= GLOBAL_GAP
    with pytest.raises(msfit.InputError, match="certify"):
        msfit.fit(pixels, NM, huber=0.01, certify=True)


def test_a_file_is_proved_from_disk_to_disk(tmp_path: Path) -> None:
    pixels = spectra(SKINS["msfit-issa-2026"], 12, seed=12).numpy()[:6].reshape(2, 3, NM.size)
    np.savez(tmp_path / "scene.npz", reflectance=pixels, wavelengths=NM)
    assert (
        CliRunner().invoke(app, ["fit", str(tmp_path / "scene.npz"), "-o", str(tmp_path), "--certify"]).exit_code == 0
    )
    streamed = msfit.fit_file(tmp_path / "scene.npz", tmp_path / "streamed.h5", certify=True)
    whole = msfit.load_result(tmp_path / "scene.h5")
    for found in (whole, streamed):
        np.testing.assert_array_equal(np.asarray(found.gap), msfit.fit(pixels, NM, certify=True).gap)
        assert "100 % certified global" in found.summary()
