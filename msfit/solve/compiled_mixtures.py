"""Pixels from few coefficients each, as compiled code for CPUs: what is fitted is made where it is used, in the cache.

Pixels are worked on side by side as in `compiled_search`, whose words on that hold here.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.compilation import compiled

LANES = 64
_ZERO, _ONE, _INFINITE = np.float32(0), np.float32(1), np.float32(np.inf)
# Terms may be so large [reflectance], and beyond that so many times their sum, for rounding not to show.
_LARGE, _TIMES = np.float32(4), np.float32(16)
# Rows of the state: a product, the least of those so far, a sum of squares; from _U on the coefficients.
_LINE, _LEAST, _SQUARES, _U = 0, LANES, 2 * LANES, 3 * LANES


@compiled
def mixtures(coefficients, spectra, level, sizes, outside, few, fine, signal):  # type: ignore[no-untyped-def]
    """What a fit needs to know of pixels u @ spectra.T, without the pixels.

    coefficients (n, k + 1): of the k spectra and, last, the light l at the pixel; u is (coefficients, 1) / l. All else
    is float32, with a column a term, filled up with zeros to a multiple of four: spectra (band, term), their means
    `level` (term,) and root mean squares `sizes` (term,); few and fine (coordinate, term), whose products with u come
    out, where there are no fine ones those of spectra; and outside (row, term), of whose product the sum of squares
    does. `signal`: least mean of a pixel.

    Returns few @ u and fine @ u (n, coordinate), |outside @ u|^2 (n,), all float32, and whether the pixel may be fitted
    so (n,): finite, nowhere below zero, not dark, and not a difference of much larger terms.
    """
    count, number, terms = len(coefficients), coefficients.shape[1] - 1, spectra.shape[1]
    whole = len(fine) == 0
    of_fine = np.empty((count, len(spectra) if whole else len(fine)), np.float32)
    of_few = np.empty((count, len(few)), np.float32)
    squares, sound = np.empty(count, np.float32), np.empty(count, np.bool_)
    state = np.zeros((3 + terms) * LANES, np.float32)
    for first in range(0, count, LANES):
        here = min(LANES, count - first)
        for lane in range(here):
            scale = _ONE / np.float32(coefficients[first + lane, number])
            for k in range(number):
                state[_U + k * LANES + lane] = np.float32(coefficients[first + lane, k]) * scale
            state[_U + number * LANES + lane] = scale
        _reset(state)
        for band in range(len(spectra)):
            _product(spectra[band], state)
            _lower(state)
            if whole:
                _put(state, of_fine[first : first + here, band])
        for row in range(len(outside)):
            _product(outside[row], state)
            _add_square(state)
        for row in range(len(few)):
            _product(few[row], state)
            _put(state, of_few[first : first + here, row])
        for row in range(len(fine)):
            _product(fine[row], state)
            _put(state, of_fine[first : first + here, row])
        _product(level, state)
        for lane in range(here):
            size, mean = _ZERO, state[_LINE + lane]
            for k in range(terms):
                size += abs(state[_U + k * LANES + lane]) * sizes[k]
            squares[first + lane] = state[_SQUARES + lane]
            kept = (size <= _LARGE + _TIMES * mean) & (size < _INFINITE)
            sound[first + lane] = kept & (mean > signal) & (state[_LEAST + lane] >= _ZERO)
    return of_few, of_fine, squares, sound


@compiled
def _reset(state):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        state[_LEAST + lane] = _INFINITE
        state[_SQUARES + lane] = _ZERO


@compiled
def _product(row, state):  # type: ignore[no-untyped-def]
    """The product of the coefficients with a row, four terms at a time."""
    a, b, c, d = row[0], row[1], row[2], row[3]
    for lane in range(LANES):
        state[_LINE + lane] = (a * state[_U + lane] + b * state[_U + LANES + lane]) + (
            c * state[_U + 2 * LANES + lane] + d * state[_U + 3 * LANES + lane]
        )
    for four in range(1, row.size // 4):
        a, b, c, d = row[4 * four], row[4 * four + 1], row[4 * four + 2], row[4 * four + 3]
        at = _U + 4 * four * LANES
        for lane in range(LANES):
            state[_LINE + lane] += (a * state[at + lane] + b * state[at + LANES + lane]) + (
                c * state[at + 2 * LANES + lane] + d * state[at + 3 * LANES + lane]
            )


@compiled
def _lower(state):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        value, least = state[_LINE + lane], state[_LEAST + lane]
        state[_LEAST + lane] = value if value < least else least


@compiled
def _add_square(state):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        state[_SQUARES + lane] += state[_LINE + lane] * state[_LINE + lane]


@compiled
def _put(state, column):  # type: ignore[no-untyped-def]
    for lane in range(column.size):
        column[lane] = state[_LINE + lane]
