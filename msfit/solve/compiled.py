"""The global search as one compiled pass a pixel, for CPUs: no temporaries, everything stays in a core's cache.

A pixel is first projected to the few coordinates that hold nearly all of the model. There it is compared with every
coarse node of the table; from each local minimum a damped Gauss-Newton descent follows, on the table interpolated
bicubically. Scalars are written out and loops kept plain so that the compiler turns them into vector instructions.

All of it is in one file, because numba looks only at a function's own file to see whether its machine code is stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# Coordinates in which a pixel is compared with the table: a constant, so that loops over them become straight code.
RANK = 16
_MOST_STARTS = 4
_STEPS = 8
# A descent ends when a step is shorter than this share of the table; the exact descent goes on from there.
_SHORT = np.float32(1e-4)
# Where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own.
_PLATEAU = np.float32(1 + 1e-6)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use and keep the machine code on disk, where there is a place for it."""
    fast = {"contract", "reassoc", "nsz", "arcp"}
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fast}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return njit(**options)(function)


@_compiled
def search(pixels, basis, coarse, rows, columns, stride, patches):  # type: ignore[no-untyped-def]
    """Starts for the exact descent: table coordinates (n, 4, 2) in [0, 1], best first, and how many of them, (n,).

    pixels (n, band) float32; basis (band, RANK), orthonormal, its first column white; coarse (RANK, rows columns), the
    projected table at every `stride`-th node; patches (node row, node column, 4 RANK): value, slope along rows, along
    columns and twist at every node, a step of the grid being the unit.
    """
    count = pixels.shape[0]
    starts = np.zeros((count, _MOST_STARTS, 2), np.float32)
    numbers = np.zeros(count, np.uint8)
    z = np.empty(RANK, np.float32)
    padded = np.full((rows + 2) * (columns + 2), -np.inf, np.float32)
    wide = np.full_like(padded, -np.inf)
    cross = np.empty(rows * columns, np.float32)
    norms = np.zeros(rows * columns, np.float32)
    for j in range(1, RANK):
        for node in range(norms.size):
            norms[node] += coarse[j, node] * coarse[j, node]
    work = np.empty(3 * RANK, np.float32)
    summits = np.empty(_MOST_STARTS, np.int64)
    costs = np.empty(_MOST_STARTS, np.float32)
    for pixel in range(count):
        outside = _project(pixels[pixel], basis, z)
        white = z[0]
        z[0] = 0
        _explain(white, z, coarse, norms, cross, padded, rows, columns)
        found = _local_maxima(padded, wide, white * white * _PLATEAU, columns, summits)
        for index in range(found):
            row, column = divmod(summits[index], columns + 2)
            u = np.float32(stride * (row - 1))
            v = np.float32(stride * (column - 1))
            costs[index], starts[pixel, index, 0], starts[pixel, index, 1] = _descend(white, z, patches, u, v, work)
        numbers[pixel] = _keep_the_best(starts[pixel], costs, found, outside, white)
    starts[..., 0] /= max(patches.shape[0] - 1, 1)
    starts[..., 1] /= max(patches.shape[1] - 1, 1)
    return starts, numbers


@_compiled
def _project(pixel, basis, z):  # type: ignore[no-untyped-def]
    """Coordinates of a pixel in the basis, and the energy that stays outside."""
    z[:] = 0
    energy = np.float32(0)
    for band in range(pixel.size):
        value = pixel[band]
        energy += value * value
        for j in range(RANK):
            z[j] += value * basis[band, j]
    inside = np.float32(0)
    for j in range(RANK):
        inside += z[j] * z[j]
    return max(energy - inside, np.float32(0))


@_compiled
def _explain(white, z, coarse, norms, cross, padded, rows, columns):  # type: ignore[no-untyped-def]
    """What of |z|^2 each coarse node explains with its best shadings, into a grid padded by one node of -inf."""
    cross[:] = 0
    for j in range(1, RANK, 5):  # five coordinates a pass: sums are loaded and stored a fifth as often
        c0, c1, c2, c3, c4 = coarse[j], coarse[j + 1], coarse[j + 2], coarse[j + 3], coarse[j + 4]
        z0, z1, z2, z3, z4 = z[j], z[j + 1], z[j + 2], z[j + 3], z[j + 4]
        for node in range(cross.size):
            cross[node] += z0 * c0[node] + z1 * c1[node] + z2 * c2[node] + z3 * c3[node] + z4 * c4[node]
    flat = white * white
    for row in range(rows):
        for column in range(columns):
            node = row * columns + column
            lit = max(cross[node], np.float32(0))
            bright = coarse[0, node]
            overlap = max(cross[node] + white * bright, np.float32(0))
            glossy = flat + lit * lit / norms[node]
            matte = overlap * overlap / (norms[node] + bright * bright)
            value = glossy if white * norms[node] >= lit * bright else matte
            padded[(row + 1) * (columns + 2) + column + 1] = value


@_compiled
def _local_maxima(padded, wide, plateau, columns, summits):  # type: ignore[no-untyped-def]
    """Up to four nodes that are as high as their eight neighbours, the highest first."""
    width = columns + 2
    # without branches, so that it is done for many nodes at once: along rows, then across
    for node in range(1, padded.size - 1):
        left, here, right = padded[node - 1], padded[node], padded[node + 1]
        side = left if left > right else right
        wide[node] = here if here > side else side
    found = 0
    best = width + 1
    for node in range(width + 1, padded.size - width - 1):
        above, level, below = wide[node - width], wide[node], wide[node + width]
        ends = above if above > below else below
        if padded[node] < (level if level > ends else ends) or padded[node] == -np.inf:
            continue
        value = padded[node]
        if value > padded[best]:
            best = node
        if value <= plateau:
            continue
        place = found
        while place > 0 and padded[summits[place - 1]] < value:
            place -= 1
        for later in range(min(found, summits.size - 1), place, -1):
            summits[later] = summits[later - 1]
        if place < summits.size:
            summits[place] = node
            found = min(found + 1, summits.size)
    if found == 0:
        summits[0] = best
        found = 1
    return found


@_compiled
def _interpolate(patches, u, v, work):  # type: ignore[no-untyped-def]
    """Bicubic Hermite interpolation at (u, v) in steps of the grid: value, slope along u and along v, into work.

    Patches and work are flat in their last axis, with constant offsets: only then are the loads known not to overlap.
    """
    i = min(int(u), max(patches.shape[0] - 2, 0))
    j = min(int(v), max(patches.shape[1] - 2, 0))
    s, t = u - np.float32(i), v - np.float32(j)
    # an axis of one node has no second end: its own node stands in with weight zero
    below, right = min(i + 1, patches.shape[0] - 1), min(j + 1, patches.shape[1] - 1)
    p00, p01, p10, p11 = patches[i, j], patches[i, right], patches[below, j], patches[below, right]
    a0, b0, da0, db0 = _hermite(s, 0)
    a1, b1, da1, db1 = _hermite(s, 1)
    c0, d0, dc0, dd0 = _hermite(t, 0)
    c1, d1, dc1, dd1 = _hermite(t, 1)
    for m in range(RANK):
        # first along u: value and slope along v at the left and right end, and how they change with u
        m_u, m_v, m_uv = m + RANK, m + 2 * RANK, m + 3 * RANK
        left = a0 * p00[m] + b0 * p00[m_u] + a1 * p10[m] + b1 * p10[m_u]
        left_v = a0 * p00[m_v] + b0 * p00[m_uv] + a1 * p10[m_v] + b1 * p10[m_uv]
        right_ = a0 * p01[m] + b0 * p01[m_u] + a1 * p11[m] + b1 * p11[m_u]
        right_v = a0 * p01[m_v] + b0 * p01[m_uv] + a1 * p11[m_v] + b1 * p11[m_uv]
        left_u = da0 * p00[m] + db0 * p00[m_u] + da1 * p10[m] + db1 * p10[m_u]
        left_uv = da0 * p00[m_v] + db0 * p00[m_uv] + da1 * p10[m_v] + db1 * p10[m_uv]
        right_u = da0 * p01[m] + db0 * p01[m_u] + da1 * p11[m] + db1 * p11[m_u]
        right_uv = da0 * p01[m_v] + db0 * p01[m_uv] + da1 * p11[m_v] + db1 * p11[m_uv]
        work[m] = c0 * left + d0 * left_v + c1 * right_ + d1 * right_v
        work[m_u] = c0 * left_u + d0 * left_uv + c1 * right_u + d1 * right_uv
        work[m_v] = dc0 * left + dd0 * left_v + dc1 * right_ + dd1 * right_v


@_compiled
def _hermite(s, end):  # type: ignore[no-untyped-def]
    """Cubic Hermite weights of a node's value and slope at s in [0, 1] from its left end, and their derivatives."""
    one, two, three, six = np.float32(1), np.float32(2), np.float32(3), np.float32(6)
    rest = one - s
    if end == 0:
        return (one + two * s) * rest * rest, s * rest * rest, -six * s * rest, rest * (one - three * s)
    return s * s * (three - two * s), -s * s * rest, six * s * rest, s * (three * s - two)


@_compiled
def _evaluate(white, z, patches, u, v, work):  # type: ignore[no-untyped-def]
    """Projected cost with gradient and Gauss-Newton Hessian, both halved, as in `objective.evaluate`.

    The pixel's coordinate along white stands apart, z[0] is zero: while i_s is free, it takes that coordinate over.
    """
    _interpolate(patches, u, v, work)
    bright, bright_u, bright_v = work[0], work[RANK], work[2 * RANK]
    work[0] = work[RANK] = work[2 * RANK] = np.float32(0)
    rr = rz = np.float32(0)
    for m in range(RANK):
        rr += work[m] * work[m]
        rz += work[m] * z[m]
    i_d = rz / rr
    matte = white < i_d * bright
    if matte:
        rr += bright * bright
        i_d = (rz + bright * white) / rr
    i_d = max(i_d, np.float32(0))
    cost = g0 = g1 = np.float32(0)
    h00 = h01 = h11 = np.float32(0)
    r0 = r1 = np.float32(0)
    for m in range(RANK):
        r, by_u, by_v = work[m], work[m + RANK], work[m + 2 * RANK]
        e = z[m] - i_d * r
        cost += e * e
        g0 -= by_u * e
        g1 -= by_v * e
        h00 += by_u * by_u
        h01 += by_u * by_v
        h11 += by_v * by_v
        r0 += by_u * r
        r1 += by_v * r
    if matte:
        e = white - i_d * bright
        cost += e * e
        g0 -= bright_u * e
        g1 -= bright_v * e
        h00 += bright_u * bright_u
        h01 += bright_u * bright_v
        h11 += bright_v * bright_v
        r0 += bright_u * bright
        r1 += bright_v * bright
    square = i_d * i_d
    return (
        cost,
        i_d * g0,
        i_d * g1,
        square * max(h00 - r0 * r0 / rr, np.float32(0)),
        square * (h01 - r0 * r1 / rr),
        square * max(h11 - r1 * r1 / rr, np.float32(0)),
    )


@_compiled
def _descend(white, z, patches, u, v, work):  # type: ignore[no-untyped-def]
    """Damped Gauss-Newton from (u, v) inside the table: cost, u, v."""
    top_u, top_v = np.float32(patches.shape[0] - 1), np.float32(patches.shape[1] - 1)
    damping = np.float32(1e-3)
    cost, g0, g1, h00, h01, h11 = _evaluate(white, z, patches, u, v, work)
    for _ in range(_STEPS):
        if (u <= 0 and g0 > 0) or (u >= top_u and g0 < 0):
            h01 = np.float32(0)
        if (v <= 0 and g1 > 0) or (v >= top_v and g1 < 0):
            h01 = np.float32(0)
        d00 = h00 * (1 + damping) + np.float32(1e-30)
        d11 = h11 * (1 + damping) + np.float32(1e-30)
        determinant = max(d00 * d11 - h01 * h01, np.float32(1e-6) * d00 * d11)
        new_u = min(max(u + (h01 * g1 - d11 * g0) / determinant, np.float32(0)), top_u)
        new_v = min(max(v + (h01 * g0 - d00 * g1) / determinant, np.float32(0)), top_v)
        if abs(new_u - u) + abs(new_v - v) < _SHORT * (top_u + top_v):
            break
        trial = _evaluate(white, z, patches, new_u, new_v, work)
        if trial[0] <= cost:
            u, v = new_u, new_v
            cost, g0, g1, h00, h01, h11 = trial
            damping *= np.float32(0.1)
        else:
            damping = max(8 * damping, np.float32(0.05))
    return cost, u, v


@_compiled
def _keep_the_best(starts, costs, found, outside, white):  # type: ignore[no-untyped-def]
    """Sort the ends of the descents, best first; drop those that cannot win, or that met another: the number kept."""
    for index in range(1, found):
        cost, u, v = costs[index], starts[index, 0], starts[index, 1]
        place = index
        while place > 0 and costs[place - 1] > cost:
            costs[place] = costs[place - 1]
            starts[place] = starts[place - 1]
            place -= 1
        costs[place] = cost
        starts[place, 0], starts[place, 1] = u, v
    # what projection and interpolation may hide, about a thousandth of the pixel
    limit = np.sqrt(costs[0] + outside) + np.float32(1e-3) * white
    kept = 1
    for index in range(1, found):
        if np.sqrt(costs[index] + outside) > limit:
            break
        apart = True
        for other in range(kept):
            if abs(starts[index, 0] - starts[other, 0]) + abs(starts[index, 1] - starts[other, 1]) < 0.5:
                apart = False
        if apart:
            starts[kept] = starts[index]
            kept += 1
    return kept
