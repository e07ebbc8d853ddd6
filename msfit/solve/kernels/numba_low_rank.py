"""Pixels from few coefficients each, as compiled code for CPUs: what is fitted is made where it is used, in the cache.

Pixels are worked on side by side as in `numba_search`.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.kernels.numba_options import LANES, aligned, compiled

_ZERO, _ONE, _INFINITE = np.float32(0), np.float32(1), np.float32(np.inf)
# Terms may be so large [reflectance], and beyond that so many times their sum, for rounding not to show.
_LARGE, _TIMES = np.float32(4), np.float32(16)
# Rows of the state: a product, the least of some, the least of all, a sum of squares; from _U on the coefficients.
_LINE, _LEAST, _LEAST_OF_ALL, _SQUARES, _U = (LANES * k for k in range(5))


@compiled
def project(coefficients, spectra, some, slack, level, sizes, outside, few, fine, signal, most):  # type: ignore[no-untyped-def]
    """Coordinates of those pixels u @ spectra.T that may be fitted by them, without the pixels.

    coefficients (n, k + 1): of the k spectra and, last, the light l at the pixel; u is (coefficients, 1) / l. All else
    is float32, with a column a term, filled up with zeros to a multiple of four: spectra (band, term), their means
    `level` (term,) and root mean squares `sizes` (term,); few and fine (coordinate, term), whose products with u come
    out; and outside (row, term), of whose product the sum of squares does. `some` (row, term) of the spectra tell that
    a pixel is nowhere below zero: others differ from means of these by no more than `slack` (term,). `signal`, `most`:
    least and largest mean of a pixel.

    Returns whether a pixel may be fitted so (n,): finite, nowhere below zero, not dark, and not a difference of much
    larger terms. Of the m that may, one after the other: few @ u (block, coordinate, LANES), fine @ u (m, coordinate)
    and |outside @ u|^2 (m,), all float32.
    """
    count, terms = len(coefficients), spectra.shape[1]
    usable, m = np.empty(count, np.bool_), 0
    of_fine, squares = np.empty((count, len(fine)), np.float32), np.empty(count, np.float32)
    of_few = aligned(-(-count // LANES) * len(few) * LANES, spectra).reshape(-1, len(few), LANES)
    state, at = aligned(_U + terms * LANES, spectra), np.empty(LANES, np.int64)
    for first in range(0, count, LANES):
        here = min(LANES, count - first)
        _coefficients(coefficients, first, here, state)
        state[_LEAST : _LEAST + LANES] = state[_LEAST_OF_ALL : _LEAST_OF_ALL + LANES] = _INFINITE
        for row in range(len(some)):
            _product(some[row], state)
            _lower(state, _LEAST)
        _take_slack(slack, state)
        if state[_LEAST : _LEAST + here].min() < _ZERO or not np.isfinite(state[_LEAST : _LEAST + here]).all():
            for band in range(len(spectra)):
                _product(spectra[band], state)
                _lower(state, _LEAST_OF_ALL)
        else:
            state[_LEAST_OF_ALL : _LEAST_OF_ALL + LANES] = _ZERO
        _product(level, state)
        before = m
        for lane in range(here):
            size, mean = _ZERO, state[_LINE + lane]
            for k in range(terms):
                size += abs(state[_U + k * LANES + lane]) * sizes[k]
            sound = (size <= _LARGE + _TIMES * mean) & (size < _INFINITE) & (mean > signal) & (mean < most)
            sound = sound & (state[_LEAST_OF_ALL + lane] >= _ZERO)
            usable[first + lane], at[lane] = sound, m if sound else -1
            m += 1 if sound else 0
        if m == before:
            continue
        state[_SQUARES : _SQUARES + LANES] = _ZERO
        for row in range(len(outside)):
            _product(outside[row], state)
            _add_square(state)
        for lane in range(here):
            if at[lane] >= 0:
                squares[at[lane]] = state[_SQUARES + lane]
        for row in range(len(few)):
            _product(few[row], state)
            for lane in range(here):
                if at[lane] >= 0:
                    of_few[at[lane] // LANES, row, at[lane] % LANES] = state[_LINE + lane]
        for row in range(len(fine)):
            _product(fine[row], state)
            for lane in range(here):
                if at[lane] >= 0:
                    of_fine[at[lane], row] = state[_LINE + lane]
    return usable, of_few[: -(-m // LANES)], of_fine[:m], squares[:m]


@compiled
def _coefficients(coefficients, first, here, state):  # type: ignore[no-untyped-def]
    """The coefficients u of a block of pixels into the state."""
    number = coefficients.shape[1] - 1
    for lane in range(here):
        scale = _ONE / np.float32(coefficients[first + lane, number])
        for k in range(number):
            state[_U + k * LANES + lane] = np.float32(coefficients[first + lane, k]) * scale
        state[_U + number * LANES + lane] = scale


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
def _lower(state, least):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        value, lowest = state[_LINE + lane], state[least + lane]
        state[least + lane] = value if value < lowest else lowest


@compiled
def _take_slack(slack, state):  # type: ignore[no-untyped-def]
    for k in range(slack.size):
        for lane in range(LANES):
            state[_LEAST + lane] -= slack[k] * abs(state[_U + k * LANES + lane])


@compiled
def _add_square(state):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        state[_SQUARES + lane] += state[_LINE + lane] * state[_LINE + lane]
