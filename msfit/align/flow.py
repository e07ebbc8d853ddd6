"""How a band has to be moved to lie on what other bands predict of it, while its contrast is its own.

A band's detail d (its logarithm less its surroundings) is sampled at p + u(p), where u is a sum of cosines over the
picture, and has to be a mixture of pictures A_k that are in register already:

    min over theta, alpha of  sum_p w (d(p + u) + grad d . B theta - sum_k alpha_k A_k(p))^2 + theta' R theta

Displacement and contrast are thus told apart in one linear least squares a step (Gauss and Newton's; S. Baker, R.
Gross, I. Matthews, "Lucas-Kanade 20 years on: part 3", CMU-RI-TR-03-35, 2003). Optical flow between two bands, as
scikit-image has it (TV-L1, iterative Lucas-Kanade), takes a change of contrast for displacement: of half a pixel
between 550 and 700 nm on synthetic faces.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from msfit.io.extras import need

_EXTRA = "mask"
# Standard deviations of the surroundings, and of the neighbourhood over which contrast is levelled [pixel], at a side
# of 256 pixels.
_SURROUNDINGS, _LEVELLED, _SIDE = 4.0, 12.0, 256.0
# Numbers of cosines a side, from coarse to fine, and steps with each. The first is a plane: shift, rotation, scale.
_ORDERS: tuple[tuple[int, int], ...] = ((2, 5), (4, 4), (8, 5))
# Pixels that are looked at: those whose slopes tell most.
_MOST_PIXELS = 15_000
# A cosine of n half waves may move a pixel by so many pixels over n: what is beyond is noise.
_EXPECTED = 4.0
# Left over is alike over so many pixels, which count once; and its share of the detail's square.
_ALIKE, _LEFT = 25.0, 0.02
# What is left over counts less from so many robust standard deviations on: edges at which things differ in colour.
_ROBUST = 1.5


def detail(picture: np.ndarray) -> np.ndarray:
    """Logarithm of a picture (y, x) less its surroundings; NaN where nothing is known."""
    scale = scale_of(picture.shape)
    known = np.isfinite(picture)
    floor = 0.03 * float(np.quantile(picture[known], 0.95))
    logs = np.where(known, np.log(np.maximum(np.nan_to_num(picture), floor)), 0.0)
    weight = known.astype(np.float64)
    soft = _blurred(logs, weight, 0.5)
    found: np.ndarray = np.where(known, soft - _blurred(logs, weight, _SURROUNDINGS * scale), np.nan)
    return found


def levelling(found: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Weights (y, x) that make the detail of a band count alike everywhere: the sharpest edges would outweigh skin."""
    scale = scale_of(found.shape)
    known = np.isfinite(found)
    square = _blurred(np.nan_to_num(found) ** 2, known.astype(np.float64), _LEVELLED * scale)
    whole = float(np.average(square, weights=inside * known))
    weight: np.ndarray = inside * known / (square + 0.1 * whole)
    return weight / float(weight.max())


def shift_between(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """(y, x) by which the content of `moving` lies beyond that of `fixed` [pixel]."""
    correlate = need("skimage.registration", _EXTRA).phase_cross_correlation
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in fixed.shape))
    one, other = (np.nan_to_num(part) * window for part in (fixed, moving))
    return -np.asarray(correlate(one, other, upsample_factor=10, normalization=None)[0])


def laid_on(
    band: np.ndarray, components: np.ndarray, weight: np.ndarray, field: np.ndarray, *, orders: slice = slice(None)
) -> tuple[np.ndarray, float]:
    """The field that lays a band's detail on a mixture of components.

    Parameters
    ----------
    band : array (y, x)
        Detail of the band, where it was taken.
    components : array (k, y, x)
        Details that are in register.
    weight : array (y, x)
        Of each pixel.
    field : array (2, y, x)
        To begin with.
    orders : slice
        Of the steps from coarse to fine.

    Returns
    -------
    field : array (2, y, x)
    correlation : float
        Of the band, sampled through the field, with the mixture.
    """
    shape = band.shape
    bad = ~np.isfinite(band)
    filled = np.nan_to_num(band)
    slopes = np.gradient(filled)
    mixed = np.nan_to_num(components)
    usable = weight * np.isfinite(components).all(0)
    telling = weight * sum(slope**2 for slope in np.gradient(mixed[0]))
    correlation = 0.0
    for order, steps in _ORDERS[orders]:
        waves, stiffness = _cosines(shape, order)
        left = np.zeros(0)
        for _ in range(steps):
            here = usable * (np.nan_to_num(warped(bad.astype(np.float64), field, 1), nan=1.0) < 0.01)
            pixels = np.flatnonzero(here > 1e-4)
            if pixels.size > _MOST_PIXELS:
                pixels = pixels[np.argpartition(telling.ravel()[pixels], -_MOST_PIXELS)[-_MOST_PIXELS:]]
            if pixels.size < 20 * order**2:
                return field, 0.0
            robust = np.ones(pixels.size)
            if left.size:
                small = left[pixels] / (_ROBUST * 1.4826 * np.median(np.abs(left[pixels])) + 1e-12)
                robust = 1 / np.sqrt(1 + small**2)
            root = np.sqrt(here.ravel()[pixels]) * robust
            seen = warped(filled, field, 3).ravel()[pixels] * root
            down, across = (np.nan_to_num(warped(slope, field, 1)).ravel()[pixels] * root for slope in slopes)
            basis = waves[:, pixels]
            columns = np.concatenate([basis * down, basis * across, mixed.reshape(len(mixed), -1)[:, pixels] * root])
            gram, right = columns @ columns.T, -columns @ seen
            # what is left over is alike over some pixels: that many of them count once
            noise = _ALIKE * max(_LEFT * float(seen @ seen) / pixels.size, 1e-12)
            solution = np.linalg.solve(gram + np.diag(np.r_[stiffness, stiffness, [1e-9] * len(mixed)]) * noise, right)
            count = len(basis)
            field = field + (solution[: 2 * count].reshape(2, count) @ waves).reshape(2, *shape)
            mixture = -solution[2 * count :] @ columns[2 * count :] / robust
            left = np.zeros(here.size)
            left[pixels] = (seen + solution @ columns) / np.maximum(root, 1e-9)
            seen = seen / robust
            below = float(np.sqrt((seen @ seen) * (mixture @ mixture)))
            correlation = float(seen @ mixture) / below if below > 0 else 0.0
    return field, correlation


def warped(picture: np.ndarray, field: np.ndarray, order: int) -> np.ndarray:
    """A picture (y, x) sampled at p + field(p); NaN outside of it."""
    warp = need("skimage.transform", _EXTRA).warp
    at = np.mgrid[: picture.shape[0], : picture.shape[1]] + field
    last = np.array(picture.shape)[:, None, None] - 1
    outside = ((at < -0.5) | (at > last + 0.5)).any(0)
    return np.where(outside, np.nan, warp(picture, at, order=order, mode="edge"))


def composed(field: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The field that samples through `more` first: p + more(p), then `field` there."""
    warp = need("skimage.transform", _EXTRA).warp
    at = np.mgrid[: field.shape[1], : field.shape[2]] + more
    return np.stack([warp(part, at, order=1, mode="edge") for part in field]) + more


def inverted(field: np.ndarray) -> np.ndarray:
    """The field v of which p + v(p) leads back to p: v(p) = -field(p + v(p)), by fixed-point steps."""
    back = -field
    for _ in range(8):
        back = back - composed(field, back)
    return back


def scale_of(shape: tuple[int, ...]) -> float:
    """Size of a picture, which sizes of windows go by."""
    return max(0.3, min(shape) / _SIDE)


def _blurred(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    gaussian = need("skimage.filters", _EXTRA).gaussian
    return np.asarray(gaussian(values * weight, sigma) / np.maximum(gaussian(weight, sigma), 1e-3))


@lru_cache(maxsize=4)
def _cosines(shape: tuple[int, ...], order: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (order^2, pixel) over the picture, and the inverse variance of each one's amplitude [1 / pixel^2]."""
    down, across = (np.cos(np.pi * (np.arange(n) + 0.5) / n * np.arange(order)[:, None]) for n in shape)
    waves = np.einsum("iy,jx->ijyx", down, across).reshape(order**2, -1)
    number = np.add.outer(np.arange(order) ** 2, np.arange(order) ** 2).ravel()
    return waves, np.where(number > 1, number, 1e-3) / _EXPECTED**2
