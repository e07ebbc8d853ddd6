"""Where a pixel's descent starts: expansions of skin about the nodes of the table, and the refinement on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msfit.skin.models import get_model, model_names
from msfit.solve.kernels.numba_polynomials import ACROSS, terms
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.search import Grid
from msfit.solve.solver import PigmentSolver

NM = np.arange(400.0, 701.0, 10.0)
BOX = torch.tensor([0.0, 0.0]), torch.tensor([0.43, 0.07])


def skin(model: str, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pigments (n, 2) and shaded skin (n, band), float32."""
    rng = np.random.default_rng(seed)
    fractions = torch.from_numpy(rng.random((count, 2))).float() * BOX[1]
    shading = torch.from_numpy(rng.uniform((0.3, 0.0), (1.2, 0.3), (count, 2))).float()
    return fractions, shading[:, :1] * get_model(model).at(NM, torch.float32).reflectance(fractions) + shading[:, 1:]


def table_of(model: str, nm: np.ndarray = NM, box: tuple[torch.Tensor, torch.Tensor] = BOX) -> SearchTable:
    model_skin = get_model(model).in_numpy(nm)
    assert model_skin is not None
    ends = [end.double().numpy() for end in box]
    return SearchTable.over(model_skin, Grid.over(model_skin, *ends), *ends)


def starts(
    model: str, pixels: torch.Tensor, box: tuple[torch.Tensor, torch.Tensor] = BOX
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where descents of pixels begin: pixel index and pigments."""
    table = table_of(model, box=box)
    owner, start = table.starts(pixels.numpy())
    return torch.from_numpy(owner), torch.from_numpy(start)


@pytest.mark.parametrize("model", model_names())
def test_expansions_are_the_model_about_their_nodes(model: str) -> None:
    known = table_of(model)
    rng = np.random.default_rng(0)
    node = rng.integers(len(known.expansions), size=500)
    limits = known.limits[node].reshape(-1, 2, 2)
    away = rng.uniform(np.maximum(limits[..., 0], -0.7), np.minimum(limits[..., 1], 0.7))
    quadratic = known.fractions[node]
    fractions = (quadratic * (away[..., None] ** np.arange(3))).sum(-1)
    powers = np.stack([away[:, 0] ** a * away[:, 1] ** b for a, b in terms()], 1)
    found = np.einsum("nkt,nt->nk", known.expansions[node, :, : len(terms())], powers)
    spectra = get_model(model).at(NM).reflectance(torch.from_numpy(fractions)).numpy()
    expected = spectra @ known.basis
    np.testing.assert_allclose(found[:, : 1 + ACROSS], expected, atol=3e-4)
    np.testing.assert_allclose(found[:, 1 + ACROSS], (expected[:, 1:] ** 2).sum(1), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(found[:, 2 + ACROSS], (spectra**2).sum(1), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("bands", [8, 12, 31])
def test_the_basis_is_orthonormal_with_white_first(bands: int) -> None:
    nm = np.linspace(400, 700, bands)
    known = table_of("alotaibi-smith-2019", nm)
    count = min(bands, 1 + ACROSS)
    np.testing.assert_allclose(known.basis[:, 0], bands**-0.5, rtol=1e-6)
    expected = np.diag(np.arange(1 + ACROSS) < count).astype(float)
    np.testing.assert_allclose(known.basis.T @ known.basis, expected, atol=1e-5)


@pytest.mark.parametrize("model", model_names())
def test_skin_starts_where_it_is(model: str) -> None:
    fractions, pixels = skin(model, 2000, seed=1)
    solver = PigmentSolver(get_model(model).at(NM, torch.float32), *BOX)
    owner, start = starts(model, pixels)
    assert bool(((start >= BOX[0]) & (start <= BOX[1])).all())
    miss = (start - fractions[owner]).abs().div(BOX[1]).amax(1)
    first = torch.from_numpy(np.unique(owner.numpy(), return_index=True)[1])
    assert miss[first].median() < 1e-3
    assert (miss[first] < 2e-2).float().mean() > 0.8  # along a flat valley the minimum may be nodes away
    noisy = solver(pixels + 0.003 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)))
    assert noisy.steps.float().mean() < 0.5


def test_what_is_no_skin_starts_in_the_box() -> None:
    """White, black beside, nothing finite: no polynomial leads out of the box, and no node is invented."""
    ramp = torch.from_numpy((NM - 400) / 300).float()
    pixels = torch.stack(
        [torch.ones(31), 1e-6 * torch.ones(31), ramp, 1 - ramp, ramp * torch.nan, ramp * torch.inf, 1e30 * ramp]
    )
    owner, start = starts("alotaibi-smith-2019", pixels)
    assert set(owner.tolist()) == set(range(7))
    assert bool(((start >= BOX[0]) & (start <= BOX[1])).all())


def test_a_held_parameter_stays_where_it_is_held() -> None:
    lower, upper = torch.tensor([0.1, 0.0]), torch.tensor([0.1, 0.07])
    _, pixels = skin("alotaibi-smith-2019", 300, seed=2)
    _, start = starts("alotaibi-smith-2019", pixels, (lower, upper))
    assert bool((start[:, 0] == lower[0]).all())
    assert start[:, 1].unique().numel() > 100
