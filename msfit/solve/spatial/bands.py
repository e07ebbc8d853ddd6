"""Three channels a pixel under a Gaussian prior whose covariance is split over bands of spatial frequency.

One pixel of a photograph has three numbers for four unknowns x = (m, b, d, s), with the model

    f = exp(d) (C(m, b) + o w) + s w

so that a prior decides. Light varies slowly over a face and pigment does not have to: the deviation of x from the
prior's mean is a sum over bands of frequency, ``x - mean = sum_k L u_k``, u_k independent with covariance P_k
(`shares`) and L L' the prior's covariance of the pixel; the logarithms of the channels have noise of covariance N_k in
band k. For slopes A that vary slowly the residual r = A (x - mean) + noise can be split like the picture, and the most
probable x is the sum of the bands' (a Wiener filter, N. Wiener, "Extrapolation, interpolation, and smoothing of
stationary time series", 1949, whose gain follows the slopes of each pixel):

    x = mean + sum_k L P_k B' (B P_k B' + N_k)^-1 r_k,   B = A L

Noise of the picture beyond N_k is measured and counted: it is taken to be white (`white_noise`), so that each band has
its share of the variance, and the fine bands of a noisy picture say little.

Slopes are taken anew at each x (Gauss-Newton). With one band this is the maximum a posteriori of each pixel alone.
Bands are differences of Gaussians inside the mask: smoothing counts pixels of the mask alone (H. Knutsson, C.-F.
Westin, "Normalized and differential convolution", CVPR 1993).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from msfit.errors import InputError

#: Added to the channels before logarithms are taken [1].
FLOOR = 0.01
_STEPS = 6
# Steps end where no pixel moves farther, in standard deviations of its prior.
_SMALL = 0.01
# Of the logarithms' variance where a pixel is clipped or in deep shadow.
_DOUBT = 1.0
_LOWER, _UPPER = (-1.0, -1.0, -8.0, 0.0), (1.0, 1.0, 3.0, 10.0)
_LONGEST = (0.5, 0.7, 1.0, 1.0)
# Wider Gaussians than this are made of moving averages [pixels].
_NARROW = 3.0
_AVERAGES = 3
# Of noise: the median size of a normal number, the fewest differences that tell it, and the narrowest Gaussian for
# which the sum over pixels is the integral [pixels].
_OF_MEDIAN, _FEWEST, _LEAST_SIGMA = 0.6745, 64, 0.5


@dataclass(frozen=True, eq=False)
class BandPrior:
    """How the deviations from a prior's mean are spread over bands of frequency.

    Attributes
    ----------
    scales : tuple of float
        Standard deviations of the Gaussians between the bands, widest first, as shares of the face's width; empty: one
        band, in which every pixel stands alone.
    shares : float64 array (band, 4, 4)
        P_k, coarsest band first, of deviations in units of the prior's root L; their sum is about one.
    noise : float64 array (band, 3, 3)
        N_k, of the logarithms of the channels.
    """

    scales: tuple[float, ...]
    shares: np.ndarray
    noise: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.scales) + 1
        if self.shares.shape != (count, 4, 4) or self.noise.shape != (count, 3, 3):
            raise InputError(
                f"shares, noise: found shapes {self.shares.shape}, {self.noise.shape}; expected ({count}, 4, 4) and"
                f" ({count}, 3, 3), one band more than scales"
            )

    def together(self) -> BandPrior:
        """The same in one band: every pixel alone."""
        return BandPrior((), self.shares.sum(0, keepdims=True), self.noise.sum(0, keepdims=True))

    def noisy(self, variances: np.ndarray, width: float) -> BandPrior:
        """The same where the logarithms of the channels have white noise of at least these variances (3,)."""
        noise, channel = self.noise.copy(), np.arange(3)
        for number, share in enumerate(_shares_of_white([scale * width for scale in self.scales])):
            noise[number, channel, channel] = np.maximum(noise[number, channel, channel], share * variances)
        return replace(self, noise=noise)


@dataclass(frozen=True, eq=False)
class BandSolution:
    """Unknowns and standard deviations (y, x, 4), NaN outside the mask."""

    x: np.ndarray
    std: np.ndarray


def solve_in_bands(
    seen: np.ndarray,
    mask: np.ndarray,
    mean: np.ndarray,
    root: np.ndarray,
    table: np.ndarray,
    white: np.ndarray,
    misfit: np.ndarray,
    prior: BandPrior,
    width: float,
    doubted: np.ndarray | None = None,
) -> BandSolution:
    """The most probable unknowns of a picture's pixels.

    Parameters
    ----------
    seen : array (y, x, 3)
        The picture, linear [1].
    mask : bool array (y, x)
        Pixels to solve.
    mean : array (y, x, 4)
        Of the prior: m and b in [-1, 1], the logarithm of i_d, and s >= 0.
    root : array (4, 4) or (y, x, 4, 4)
        L, lower triangular with a positive diagonal.
    table : array (b, m, 3)
        Colours C on even grids over [-1, 1].
    white : array (3,)
        w.
    misfit : array (y, x)
        o.
    prior : BandPrior
    width : float
        Of the face [pixels].
    doubted : bool array (y, x), optional
        Pixels that say little: clipped, in deep shadow. Their neighbours speak for them in coarse bands.

    Returns
    -------
    BandSolution
        float32.
    """
    from msfit.solve.kernels.numba_colours import linearised, step

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    shape = (*mask.shape, 4)
    x, std = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    if not rows.size:
        return BandSolution(x, std)
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = mask[box]
    doubt = np.zeros(inside.shape, bool) if doubted is None else doubted[box]
    sigmas = [scale * width for scale in prior.scales]
    filters = [_smoother(inside & ~doubt if (inside & ~doubt).any() else inside, sigma) for sigma in sigmas]

    def pixels(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values[box][inside], np.float32)

    start = pixels(mean)
    lower, upper = np.array(_LOWER, np.float32), np.array(_UPPER, np.float32)
    start = np.clip(start, lower, upper)
    own = root[None] if root.ndim == 2 else root[box][inside]
    lead = np.ascontiguousarray(own, np.float32)
    light, lack, told = pixels(seen), pixels(misfit), doubt[inside]
    colours, grey = np.ascontiguousarray(table, np.float32), np.asarray(white, np.float32)
    noisy = prior.noisy(white_noise(seen, mask if doubted is None else mask & ~doubted), width)
    shares, noise = np.ascontiguousarray(noisy.shares), np.ascontiguousarray(noisy.noise)
    found = start.copy()
    residual, slopes = np.empty((len(found), 3), np.float32), np.empty((len(found), 3, 4), np.float32)
    bands = np.empty((len(shares), len(found), 3), np.float32)
    spread = np.empty_like(found)
    longest = np.array(_LONGEST, np.float32)
    ends = lower, upper, longest
    for number in range(_STEPS):
        linearised(found, start, light, colours, lack, grey, np.float32(FLOOR), residual, slopes)
        _split(residual, inside, filters, bands)
        last = number == _STEPS - 1
        deviations = spread if last else spread[:0]
        moved = step(found, start, lead, slopes, bands, told, shares, noise, _DOUBT, *ends, deviations)
        if moved < _SMALL and not last:
            step(found, start, lead, slopes, bands, told, shares, noise, _DOUBT, *ends, spread)
            break
    x[box][inside], std[box][inside] = found, spread
    return BandSolution(x, std)


def white_noise(seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Variances (3,) of white noise in the logarithms of a picture's channels (y, x, 3), inside a mask (y, x).

    From the median size of the diagonal differences of two by two pixels, in which what varies smoothly cancels
    (D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 425, 1994). Zero
    where the mask holds fewer than `_FEWEST` of them.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return np.zeros(3)
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside, logs = mask[box], np.log(np.maximum(seen[box], 0) + np.float32(FLOOR))
    whole = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
    if whole.sum() < _FEWEST:
        return np.zeros(3)
    differences = (logs[:-1, :-1] - logs[1:, :-1] - logs[:-1, 1:] + logs[1:, 1:])[whole] / 2
    return np.asarray(np.square(np.median(np.abs(differences), axis=0) / _OF_MEDIAN), np.float64)


def _shares_of_white(sigmas: list[float]) -> list[float]:
    """Shares of the variance of white noise in the bands between Gaussians of these deviations [pixels], widest first.

    A Gaussian of deviation a leaves 1 / (4 pi a^2), and what Gaussians a and b leave has the covariance
    1 / (2 pi (a^2 + b^2)).
    """
    squares = [max(sigma, _LEAST_SIGMA) ** 2 for sigma in sigmas]
    left = [1 / (4 * np.pi * square) for square in squares]
    if not left:
        return [1.0]
    pairs = zip(squares, squares[1:], left, left[1:], strict=False)
    between = [one + other - 1 / (np.pi * (a + b)) for a, b, one, other in pairs]
    return [left[0], *(max(0.0, share) for share in between), max(0.0, 1 + left[-1] - 1 / (np.pi * squares[-1]))]


def _split(residual: np.ndarray, inside: np.ndarray, filters: list[Callable[..., Any]], bands: np.ndarray) -> None:
    """Residuals (n, 3) of the pixels `inside` into bands (band, n, 3), coarsest first."""
    if not filters:
        bands[0] = residual
        return
    sheet = np.zeros((3, *inside.shape), np.float32)
    sheet[:, inside] = residual.T
    before = np.zeros_like(residual)
    for number, smooth in enumerate(filters):
        low = smooth(sheet)[:, inside].T
        bands[number] = low - before
        before = low
    bands[len(filters)] = residual - before


def _smoother(inside: np.ndarray, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """A Gaussian of standard deviation `sigma` [pixels] over (channel, y, x), that counts pixels `inside` alone."""
    weight = inside.astype(np.float32)
    total = np.maximum(_blurred(weight[None], sigma)[0], 1e-6)

    def smooth(sheet: np.ndarray) -> np.ndarray:
        return np.asarray(_blurred(sheet * weight, sigma) / total)

    return smooth


def _blurred(sheet: np.ndarray, sigma: float) -> np.ndarray:
    if sigma <= _NARROW:
        return np.asarray(ndimage.gaussian_filter(sheet, (0, sigma, sigma), mode="constant"))
    # variance of a moving average over n pixels: (n^2 - 1) / 12
    size = max(3, round((12 * sigma**2 / _AVERAGES + 1) ** 0.5)) | 1
    for _ in range(_AVERAGES):
        for axis in (1, 2):
            sheet = ndimage.uniform_filter1d(sheet, size, axis, mode="constant")
    return sheet
