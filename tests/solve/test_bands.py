"""Three channels under a prior in bands of frequency: against a general optimiser, and where spots go."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

import msfit
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.errors import InputError
from msfit.solve.spatial.bands import FLOOR, BandPrior, _smoother, solve_in_bands, white_noise

BANDS = np.arange(400.0, 701.0, 10.0)
NOISE = 0.02


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    """Colours over (b, m), whose coordinates run evenly over cube roots of the fractions."""
    u = np.linspace(0.01, 1, 200) ** 3
    spectra = msfit.reflectance(0.43 * u[None, :], 0.07 * u[:, None], BANDS)
    return spectra @ rgb_weights(BANDS, "D65", mean_camera())


def _colour(x: np.ndarray, table: np.ndarray, misfit: float) -> np.ndarray:
    where = [(x[..., k].ravel() + 1) / 2 * (len(table) - 1) for k in (1, 0)]
    skin = np.stack([map_coordinates(table[..., c], where, order=1) for c in range(3)], -1)
    return np.exp(x[..., 2:3]) * (skin.reshape(*x.shape[:-1], 3) + misfit) + x[..., 3:]


def test_one_band_is_the_most_probable_of_every_pixel_as_a_general_optimiser_finds_it(table: np.ndarray) -> None:
    """Objective within 0.1 % of L-BFGS-B's from the same and from the true point, gloss at its lower end included."""
    rng = np.random.default_rng(0)
    mean = np.stack([rng.uniform(low, high, (3, 8)) for low, high in ((-0.3, 0.5), (-0.5, 0.5), (-0.5, 0.5))], -1)
    mean = np.concatenate([mean, rng.uniform(0, 0.1, (3, 8, 1))], -1)
    mixing = rng.normal(size=(4, 4))
    root = np.linalg.cholesky(0.02 * (mixing @ mixing.T / 4 + np.eye(4)))
    true = mean + rng.normal(size=mean.shape) @ root.T
    true[..., 3] = np.maximum(true[..., 3], 0)
    seen = _colour(true, table, 0.03)
    prior = BandPrior((), np.eye(4)[None], NOISE**2 * np.eye(3)[None])
    found = solve_in_bands(
        seen, np.ones((3, 8), bool), mean, root, table, np.ones(3), np.full((3, 8), 0.03), prior, 8.0
    ).x.astype(float)

    def cost(x: np.ndarray, at: tuple[int, int]) -> float:
        off = (np.log(seen[at] + FLOOR) - np.log(_colour(x, table, 0.03) + FLOOR)) / NOISE
        far = np.linalg.solve(root, x - mean[at])
        return float(off @ off + far @ far)

    ends = [(-1, 1), (-1, 1), (-8, 3), (0, 10)]
    for at in np.ndindex(3, 8):
        best = min(
            minimize(cost, start, args=(at,), method="L-BFGS-B", bounds=ends, options={"ftol": 1e-14}).fun
            for start in (found[at], true[at])
        )
        assert cost(found[at], at) <= best * 1.001 + 0.05


def test_a_spot_is_pigment_where_only_light_is_smooth(table: np.ndarray) -> None:
    """At least 90 % of a spot's melanin is found with light in the coarse band alone, and a quarter as much of it in
    i_d as with light as free as pigment."""
    y, x = np.mgrid[:48, :48]
    spot = (np.hypot(y - 24, x - 24) < 3).astype(float)
    true = np.zeros((48, 48, 4))
    true[..., 0] = 0.1 + 0.2 * spot
    true[..., 2] = 0.4 * (x - 24) / 24
    true[..., 1] = 0.2
    seen = _colour(true, table, 0.0)
    mean = np.broadcast_to([0.1, 0.2, 0.0, 0.0], true.shape)
    root = np.diag([0.1, 0.4, 0.6, 0.05])
    light, pigment = np.diag([0.0, 0.0, 1.0, 0.5]), np.diag([1.0, 1.0, 0.01, 0.5])
    noise = np.tile(1.6e-3 * np.eye(3), (2, 1, 1))
    split = BandPrior((0.2,), np.stack([light + 0.2 * pigment, pigment]), noise)

    def contrast(prior: BandPrior) -> np.ndarray:
        found = solve_in_bands(seen, spot >= 0, mean, root, table, np.ones(3), np.zeros(spot.shape), prior, 48.0)
        inside, around = spot > 0, (np.hypot(y - 24, x - 24) > 5) & (np.hypot(y - 24, x - 24) < 8)
        return found.x[inside].mean(0) - found.x[around].mean(0)

    in_bands, alone = contrast(split), contrast(split.together())
    assert in_bands[0] > 0.9 * 0.2
    assert abs(in_bands[2]) < 0.25 * abs(alone[2])


def test_white_noise_is_told_from_what_varies_smoothly() -> None:
    """Each channel's variance within 5 %, on a slope ten times as high; none from too few pixels."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:200, :200] / 200
    deviations = np.array([0.02, 0.05, 0.1])
    logs = np.stack([-1 + 0.6 * x, -1 + 0.6 * y, -1 - 0.6 * x * y], -1) + deviations * rng.normal(size=(200, 200, 3))
    mask = np.hypot(x - 0.5, y - 0.5) < 0.4
    seen = np.where(mask[..., None], np.exp(logs) - FLOOR, rng.uniform(size=(200, 200, 3)))
    np.testing.assert_allclose(white_noise(seen, mask), deviations**2, rtol=0.05)
    np.testing.assert_array_equal(white_noise(seen, np.zeros_like(mask)), 0)
    np.testing.assert_array_equal(white_noise(seen[:7], np.ones((7, 200), bool)[:, :200] & (x[:7] < 0.05)), 0)


def test_white_noise_has_its_share_of_each_band() -> None:
    """As Gaussian filters split it, within 3 % of the whole."""
    noise = np.random.default_rng(3).normal(size=(1, 256, 256)).astype(np.float32)
    scales, width = (0.1, 0.03, 0.01), 200.0
    prior = BandPrior(scales, np.zeros((4, 4, 4)), np.zeros((4, 3, 3))).noisy(np.ones(3), width)
    low = [_smoother(np.ones((256, 256), bool), scale * width)(noise) for scale in scales]
    parts = [low[0], low[1] - low[0], low[2] - low[1], noise - low[2]]
    np.testing.assert_allclose(prior.noise[:, 0, 0], [part.var() for part in parts], atol=0.03)
    np.testing.assert_array_equal(prior.together().noise, prior.noise.sum(0, keepdims=True))


def test_noise_of_a_picture_is_not_taken_for_skin(table: np.ndarray) -> None:
    """Where noise hides everything but the mean, maps stay nearer to the prior's than the noise says."""
    rng = np.random.default_rng(4)
    mean = np.broadcast_to([0.1, 0.2, 0.0, 0.02], (40, 40, 4))
    prior = BandPrior((0.3,), np.tile(0.5 * np.eye(4), (2, 1, 1)), np.tile(1e-4 * np.eye(3), (2, 1, 1)))
    clean = _colour(mean, table, 0.0)
    seen = np.maximum(clean * np.exp(0.2 * rng.normal(size=clean.shape)), 0)
    found = solve_in_bands(
        seen, np.ones((40, 40), bool), mean, np.diag([0.1] * 4), table, np.ones(3), np.zeros((40, 40)), prior, 40.0
    )
    assert np.abs(found.x[..., 0] - 0.1).std() < 0.02
    assert found.std[..., 0].mean() > 0.05


def test_pixels_outside_the_mask_say_nothing(table: np.ndarray) -> None:
    """Whatever they are, the maps inside keep every bit, and are NaN outside."""
    rng = np.random.default_rng(1)
    mask = np.zeros((20, 20), bool)
    mask[4:16, 3:15] = True
    mean = np.broadcast_to([0.1, 0.2, 0.0, 0.02], (20, 20, 4))
    prior = BandPrior((0.3,), np.tile(0.5 * np.eye(4), (2, 1, 1)), np.tile(1e-4 * np.eye(3), (2, 1, 1)))
    seen = _colour(mean, table, 0.0) * rng.uniform(0.8, 1.2, (20, 20, 1))
    other = np.where(mask[..., None], seen, 5.0)
    first, second = (
        solve_in_bands(one, mask, mean, np.diag([0.1] * 4), table, np.ones(3), np.zeros((20, 20)), prior, 12.0)
        for one in (seen, other)
    )
    np.testing.assert_array_equal(first.x, second.x)
    assert np.isnan(first.x[~mask]).all()
    assert np.isfinite(first.x[mask]).all()
    assert (first.std[mask] > 0).all()


def test_a_prior_of_other_numbers_of_bands_is_refused() -> None:
    """One line that says what was found and expected."""
    with pytest.raises(InputError, match="shares, noise: found shapes"):
        BandPrior((0.1,), np.eye(4)[None], np.eye(3)[None])
