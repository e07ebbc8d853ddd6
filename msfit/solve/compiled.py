"""The global search as one compiled pass a pixel, for CPUs: no temporaries, everything stays in a core's cache.

A pixel is first projected to the few coordinates that hold nearly all of the model. There it is compared with every
coarse node of the table; from each local minimum a damped Gauss-Newton descent follows, on the table interpolated
bicubically. Scalars are written out and loops kept plain so that the compiler turns them into vector instructions.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.table_descent import RANK, compiled, descend

_MOST_STARTS = 4
# Where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own.
_PLATEAU = np.float32(1 + 1e-6)


@compiled
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
            costs[index], starts[pixel, index, 0], starts[pixel, index, 1] = descend(white, z, patches, u, v, work)
        numbers[pixel] = _keep_the_best(starts[pixel], costs, found, outside, white)
    starts[..., 0] /= max(patches.shape[0] - 1, 1)
    starts[..., 1] /= max(patches.shape[1] - 1, 1)
    return starts, numbers


@compiled
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


@compiled
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


@compiled
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


@compiled
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
