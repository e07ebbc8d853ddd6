"""Metrics against plain formulas, and their care with masks, NaN, black pixels and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msfit import metrics
from msfit.errors import InputError

RNG = np.random.default_rng(0)
TRUTH = RNG.random((6, 5))
ESTIMATE = TRUTH + 0.1 * RNG.standard_normal((6, 5))


def with_holes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    estimate, truth = ESTIMATE.copy(), TRUTH.copy()
    estimate[0, 0], estimate[1, 1], truth[2, 2] = np.nan, np.inf, np.nan
    mask = np.ones((6, 5), bool)
    mask[3] = False
    kept = mask & np.isfinite(estimate) & np.isfinite(truth)
    return estimate, truth, mask, kept


def test_rmse_is_the_plain_formula() -> None:
    assert metrics.rmse(ESTIMATE, TRUTH) == pytest.approx(np.sqrt(((ESTIMATE - TRUTH) ** 2).mean()), rel=1e-12)


def test_masked_and_missing_samples_are_left_out_and_counted() -> None:
    estimate, truth, mask, kept = with_holes()
    np.testing.assert_array_equal(metrics.compared(estimate, truth, mask), kept)
    expected = np.sqrt(((estimate - truth)[kept] ** 2).mean())
    assert metrics.rmse(estimate, truth, mask) == pytest.approx(expected, rel=1e-12)


def test_a_mask_of_pixels_serves_pictures() -> None:
    picture = np.stack([TRUTH] * 3, axis=-1)
    mask = np.zeros((6, 5), bool)
    mask[0, 0] = True
    assert metrics.rmse(picture + 0.25, picture, mask) == pytest.approx(0.25)
    assert metrics.compared(picture, picture, mask).sum() == 3


def test_scale_aligned_rmse_is_the_least_squares_one() -> None:
    estimate, truth, mask, kept = with_holes()
    (scale,), (squares,), *_ = np.linalg.lstsq(estimate[kept][:, None], truth[kept], rcond=None)
    assert metrics.best_scale(estimate, truth, mask) == pytest.approx(scale, rel=1e-12)
    assert metrics.scale_aligned_rmse(estimate, truth, mask) == pytest.approx(np.sqrt(squares / kept.sum()), rel=1e-12)
    assert metrics.scale_aligned_rmse(7 * TRUTH, TRUTH) == pytest.approx(0, abs=1e-15)


def test_the_scale_of_nothing_is_zero() -> None:
    assert metrics.best_scale(np.zeros(4), np.ones(4)) == 0
    assert metrics.scale_aligned_rmse(np.zeros(4), np.ones(4)) == 1


def test_spectral_angle_is_the_arc_cosine() -> None:
    first, second = RNG.random((7, 4, 31)), RNG.random((7, 4, 31))
    cosine = (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)
    np.testing.assert_allclose(metrics.spectral_angle(first, second), np.arccos(cosine), rtol=1e-9)
    np.testing.assert_allclose(metrics.spectral_angle(first, 3 * second), np.arccos(cosine), rtol=1e-9)
    assert metrics.sam(first, second) == pytest.approx(np.arccos(cosine).mean())


def test_small_spectral_angles_keep_their_digits() -> None:
    assert metrics.sam(np.array([[1.0, 0.0]]), np.array([[1.0, 1e-10]])) == pytest.approx(1e-10, rel=1e-9)
    assert metrics.sam(np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])) == pytest.approx(np.pi)


def test_spectral_angle_passes_over_black_pixels_and_missing_bands() -> None:
    first = np.array([[0.0, 0.0, 0.0], [1.0, np.nan, 0.0], [1.0, 1.0, 0.0], [np.nan] * 3])
    second = np.array([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    angles = metrics.spectral_angle(first, second)
    np.testing.assert_allclose(angles, [np.nan, np.pi / 4, 0, np.nan], atol=1e-15)
    assert metrics.sam(first, second) == pytest.approx(np.pi / 8)
    assert metrics.sam(first, second, np.array([False, True, False, False])) == pytest.approx(np.pi / 4)


def test_colour_difference_is_ciede2000_of_linear_srgb() -> None:
    colour = pytest.importorskip("colour")
    first, second = RNG.random((5, 4, 3)), RNG.random((5, 4, 3))
    white = (0.3127, 0.3290)
    matrix = colour.normalised_primary_matrix([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]], white)
    labs = [colour.XYZ_to_Lab(picture @ matrix.T, white) for picture in (first, second)]
    reference = colour.delta_E(*labs, method="CIE 2000")
    np.testing.assert_allclose(metrics.colour_difference(first, second), reference, rtol=1e-8)
    first[1, 1, 2] = np.nan
    assert np.isnan(metrics.colour_difference(first, second)).sum() == 1


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.scale_aligned_rmse, metrics.best_scale, metrics.sam])
def test_metrics_are_differentiable_around_masked_and_missing_samples(metric) -> None:
    estimate, truth, mask, kept = with_holes()
    first = torch.from_numpy(estimate).requires_grad_()
    per_sample = mask if metric is not metrics.sam else mask.any(1)
    value = metric(first, torch.from_numpy(truth), torch.from_numpy(per_sample))
    assert isinstance(value, torch.Tensor)
    value.backward()
    assert first.grad is not None
    assert first.grad.isfinite().all()
    assert not first.grad[~kept].any()
    whole = torch.from_numpy(ESTIMATE).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: metric(e, torch.from_numpy(TRUTH)), (whole,))


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.scale_aligned_rmse, metrics.sam])
def test_gradients_of_a_perfect_estimate_are_zero_not_nan(metric) -> None:
    perfect = torch.from_numpy(TRUTH).float().requires_grad_()
    value = metric(perfect, torch.from_numpy(TRUTH).float())
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert perfect.grad is not None
    assert perfect.grad.isfinite().all()


def test_integers_and_mixed_kinds_are_taken() -> None:
    assert metrics.rmse(np.array([0, 3], np.uint16), np.array([0, 0], np.uint16)) == pytest.approx(np.sqrt(4.5))
    assert metrics.rmse(torch.tensor([1.0]), np.array([3.0])).item() == pytest.approx(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.rmse(np.zeros((2, 3)), np.zeros((3, 2))), "expected that of truth"),
        (lambda: metrics.rmse(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(3, bool)), "mask: shape"),
        (lambda: metrics.rmse(np.full(3, np.nan), np.zeros(3)), "no finite sample"),
        (lambda: metrics.sam(np.zeros((2, 3)), np.zeros((2, 3))), "no finite sample"),
        (lambda: metrics.colour_difference(np.zeros((2, 4)), np.zeros((2, 4))), "linear RGB"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
