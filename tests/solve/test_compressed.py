"""Spectra in few coordinates: they lose little, and keep white, means and sums of squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msfit.skin.models import get_model, model_names
from msfit.solve.kernels.low_rank_basis import compress
from msfit.solve.kernels.numba_search import coordinates
from msfit.solve.search import Grid, directions

NM = np.linspace(400, 700, 148)


@pytest.mark.parametrize("model", model_names())
def test_reflectance_follows_from_few_bands(model: str) -> None:
    ends = [torch.tensor(end, dtype=torch.float64) for end in ((0.0, 0.0), (0.43, 0.07))]
    skin = get_model(model).at(NM)
    spectra = Grid.over(skin, *ends, 25).spectra.numpy()
    few, more = (compress(spectra, directions(spectra, count)) for count in (16, 32))
    assert few.error < 1e-3
    assert more.error < 1e-5
    shares = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 2
    others = skin.reflectance(shares * ends[1]).numpy()
    found = others[:, more.bands] @ more.mixing.T
    np.testing.assert_allclose(found @ more.basis.T * (148 / 32), others, atol=1e-4)
    np.testing.assert_allclose(found, others @ more.basis, atol=1e-4)


def test_white_means_and_sums_of_squares_are_kept() -> None:
    ends = [torch.tensor(end, dtype=torch.float64) for end in ((0.0, 0.0), (0.43, 0.07))]
    spectra = Grid.over(get_model("jacques-km").at(NM), *ends, 25).spectra.numpy()
    basis = compress(spectra, directions(spectra, 24)).basis
    np.testing.assert_allclose(np.ones(148) @ basis, 1, atol=1e-12)
    np.testing.assert_allclose((spectra @ basis).mean(1), spectra.mean(1), atol=1e-5)
    np.testing.assert_allclose(((spectra @ basis) ** 2).mean(1), (spectra**2).mean(1), atol=1e-5)


def test_coordinates_are_a_product_of_matrices() -> None:
    rng = np.random.default_rng(0)
    for bands, count, number in ((148, 16, 1), (85, 9, 200), (8, 9, 65)):
        pixels, basis = rng.normal(size=(number, bands)), rng.normal(size=(bands, count))
        side_by_side = coordinates(pixels.astype(np.float32), basis.astype(np.float32))
        found = side_by_side.transpose(0, 2, 1).reshape(-1, count)[:number]
        np.testing.assert_allclose(found, pixels @ basis, atol=1e-4)
        alone = coordinates(pixels[:1].astype(np.float32), basis.astype(np.float32))
        np.testing.assert_array_equal(alone[0, :, 0], found[0])
