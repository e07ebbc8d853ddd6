"""Three channels of a pixel under a Gaussian prior that is a sum over bands of spatial frequency, compiled.

The model of a pixel is ``f = exp(d) (C(m, b) + o w) + s w``, C a table of colours over the pigments' coordinates m and
b in [-1, 1], w the colour of white, o what the skin model lacks of measured skin; unknowns x = (m, b, d, s). The data
are ``ln(y + floor)``. Formulas stand in `msfit.solve.spatial.bands`.
"""

from __future__ import annotations

import math

import numpy as np

from msfit.solve.kernels.numba_options import compiled, inlined


@compiled
def linearised(x, mean, seen, table, misfit, white, floor, out, slopes):  # type: ignore[no-untyped-def]
    """Residual plus ``A (x - mean)`` into `out` (n, 3) and the slopes A into `slopes` (n, 3, 4).

    x, mean (n, 4); seen (n, 3); table (b, m, 3); misfit (n,); white (3,); all of one floating type.
    """
    rows, columns = table.shape[0] - 1, table.shape[1] - 1
    for i in range(x.shape[0]):
        at_m, at_b = 0.5 * (x[i, 0] + 1) * columns, 0.5 * (x[i, 1] + 1) * rows
        c, r = min(max(int(at_m), 0), columns - 1), min(max(int(at_b), 0), rows - 1)
        u, v = at_m - c, at_b - r
        level, gloss = math.exp(x[i, 2]), x[i, 3]
        for k in range(3):
            a, b = table[r, c, k], table[r, c + 1, k]
            e, f = table[r + 1, c, k], table[r + 1, c + 1, k]
            colour = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * e + u * f)
            by_m = ((1 - v) * (b - a) + v * (f - e)) * (0.5 * columns)
            by_b = ((1 - u) * (e - a) + u * (f - b)) * (0.5 * rows)
            diffuse = level * (colour + misfit[i] * white[k])
            model = max(diffuse + gloss * white[k] + floor, 0.1 * floor)
            slopes[i, k, 0] = level * by_m / model
            slopes[i, k, 1] = level * by_b / model
            slopes[i, k, 2] = diffuse / model
            slopes[i, k, 3] = white[k] / model
            value = math.log(max(seen[i, k] + floor, 0.1 * floor) / model)
            for j in range(4):
                value += slopes[i, k, j] * (x[i, j] - mean[i, j])
            out[i, k] = value


@inlined
def _deviation(i, wide, half, inverse, bands, more, shares, noise, moved, spread, wanted):  # type: ignore[no-untyped-def]
    """The most probable deviation of a pixel in units of the prior's root, into `moved` (4,).

    Where it is `wanted`, its covariance into the lower triangle of `spread` (4, 4).
    """
    moved[:] = 0
    if wanted:
        spread[:] = 0
    for band in range(shares.shape[0]):
        for j in range(4):
            for k in range(3):
                total = 0.0
                for q in range(4):
                    total += shares[band, j, q] * wide[k, q]
                half[j, k] = total
        a = b = c = d = e = f = 0.0
        for j in range(4):
            a += wide[0, j] * half[j, 0]
            b += wide[0, j] * half[j, 1]
            c += wide[0, j] * half[j, 2]
            d += wide[1, j] * half[j, 1]
            e += wide[1, j] * half[j, 2]
            f += wide[2, j] * half[j, 2]
        a += noise[band, 0, 0] + more
        b += noise[band, 0, 1]
        c += noise[band, 0, 2]
        d += noise[band, 1, 1] + more
        e += noise[band, 1, 2]
        f += noise[band, 2, 2] + more
        m00, m01, m02 = d * f - e * e, c * e - b * f, b * e - c * d
        scale = 1 / (a * m00 + b * m01 + c * m02)
        inverse[0, 0], inverse[0, 1], inverse[0, 2] = m00 * scale, m01 * scale, m02 * scale
        inverse[1, 0], inverse[1, 1], inverse[1, 2] = m01 * scale, (a * f - c * c) * scale, (b * c - a * e) * scale
        inverse[2, 0], inverse[2, 1], inverse[2, 2] = m02 * scale, (b * c - a * e) * scale, (a * d - b * b) * scale
        for k in range(3):
            total = 0.0
            for q in range(3):
                total += inverse[k, q] * bands[band, i, q]
            for j in range(4):
                moved[j] += half[j, k] * total
        if wanted:
            for j in range(4):
                for q in range(j + 1):
                    total = shares[band, j, q]
                    for k in range(3):
                        for n in range(3):
                            total -= half[j, k] * inverse[k, n] * half[q, n]
                    spread[j, q] += total


@inlined
def _in_units(lead, spread, covariance):  # type: ignore[no-untyped-def]
    """L S L' of a covariance S whose lower triangle is given."""
    for j in range(4):
        for n in range(j + 1):
            total = 0.0
            for p in range(j + 1):
                for q in range(n + 1):
                    total += lead[j, p] * (spread[p, q] if p >= q else spread[q, p]) * lead[n, q]
            covariance[j, n] = covariance[n, j] = total


@compiled
def step(x, mean, root, slopes, bands, doubted, shares, noise, doubt, lower, upper, longest, std):  # type: ignore[no-untyped-def]
    """Put the most probable x of the linearised problem into `x`; its standard deviations into `std`, if it has rows.

    root (n or 1, 4, 4), lower triangular; slopes (n, 3, 4); bands (band, n, 3): the linearised residual in bands;
    doubted (n,) bool: `doubt` is added to the variances of these; shares (band, 4, 4); noise (band, 3, 3); lower,
    upper, longest (4,): ends of x and of a step. Unknowns beyond an end are held there one after another, the farthest
    first, and the others follow by their covariance. Returns the largest step in standard deviations of the prior.
    """
    own = root.shape[0] > 1
    wide, half, inverse = np.empty((3, 4)), np.empty((4, 3)), np.empty((3, 3))
    moved, new = np.empty(4), np.empty(4)
    spread, covariance = np.empty((4, 4)), np.empty((4, 4))
    wanted = std.shape[0] > 0
    largest = 0.0
    for i in range(x.shape[0]):
        lead = root[i] if own else root[0]
        more = doubt if doubted[i] else 0.0
        for k in range(3):
            for j in range(4):
                total = 0.0
                for q in range(j, 4):
                    total += slopes[i, k, q] * lead[q, j]
                wide[k, j] = total
        _deviation(i, wide, half, inverse, bands, more, shares, noise, moved, spread, wanted)
        outside = False
        for j in range(4):
            total = mean[i, j]
            for q in range(j + 1):
                total += lead[j, q] * moved[q]
            new[j] = total
            outside |= total < lower[j] or total > upper[j]
        if wanted or outside:
            if not wanted:
                _deviation(i, wide, half, inverse, bands, more, shares, noise, moved, spread, True)
            _in_units(lead, spread, covariance)
            if wanted:
                for j in range(4):
                    std[i, j] = math.sqrt(max(covariance[j, j], 0.0))
            for _ in range(4):
                worst, excess = -1, 0.0
                for j in range(4):
                    beyond = max(lower[j] - new[j], new[j] - upper[j])
                    if beyond > 1e-7 and beyond / lead[j, j] > excess:
                        worst, excess = j, beyond / lead[j, j]
                if worst < 0 or covariance[worst, worst] <= 0:
                    break
                end = lower[worst] if new[worst] < lower[worst] else upper[worst]
                share = (end - new[worst]) / covariance[worst, worst]
                for j in range(4):
                    moved[j] = covariance[j, worst]
                pivot = covariance[worst, worst]
                for j in range(4):
                    new[j] += moved[j] * share
                    for q in range(4):
                        covariance[j, q] -= moved[j] * moved[q] / pivot
                new[worst] = end
        for j in range(4):
            change = min(max(new[j] - x[i, j], -longest[j]), longest[j])
            value = min(max(x[i, j] + change, lower[j]), upper[j])
            size = abs(value - x[i, j]) / lead[j, j]
            if size > largest:
                largest = size
            x[i, j] = value
    return largest
