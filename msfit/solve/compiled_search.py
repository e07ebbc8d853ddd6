"""The global search as compiled code for CPUs: every pixel against every node of a coarse table.

Pixels are worked on side by side, `LANES` at a time: the innermost loop always runs over them and does the same to all,
so the compiler turns it into vector instructions, and a pixel's result cannot depend on its neighbours. What belongs
to one quantity lies in one stretch of `LANES` numbers.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.compilation import LANES, compiled

# Coordinates besides white in which pixels and nodes are compared: a constant, so that sums over them are
# straight code.
RANK = 8
MOST_STARTS = 4
# What a node holds: its direction in these coordinates, of length one; then its part along white, its length across,
# and one over the square of both.
_WHITE, _ACROSS, _SHARE = RANK, RANK + 1, RANK + 2
NODE = RANK + 3

_ZERO, _ONE = np.float32(0), np.float32(1)
_LOWEST = np.float32(-1e30)
# Where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own.
_PLATEAU = np.float32(1 + 1e-6)


@compiled
def coordinates(pixels, basis):  # type: ignore[no-untyped-def]
    """Coordinates of pixels (n, band) in a basis (band, coordinate), all float32: (block, coordinate, LANES).

    Written out, because how a library multiplies matrices, and rounds, may depend on their sizes.
    """
    count, bands = pixels.shape
    found = np.zeros((-(-count // LANES), basis.shape[1], LANES), np.float32)
    values = np.zeros(bands * LANES, np.float32)
    for block in range(len(found)):
        first = block * LANES
        for lane in range(min(LANES, count - first)):
            for band in range(bands):
                values[band * LANES + lane] = pixels[first + lane, band]
        _project(values, basis, found[block])
    return found


@compiled
def _project(values, basis, z):  # type: ignore[no-untyped-def]
    """Coordinates of the pixels in the basis, added to z (coordinate, LANES)."""
    whole = basis.shape[0] // 4
    for four in range(whole):  # four bands a pass: sums are loaded and stored a fourth as often
        at = 4 * four * LANES
        for j in range(basis.shape[1]):
            b0, b1, b2, b3 = basis[4 * four, j], basis[4 * four + 1, j], basis[4 * four + 2, j], basis[4 * four + 3, j]
            for lane in range(LANES):
                z[j, lane] += (b0 * values[at + lane] + b1 * values[at + LANES + lane]) + (
                    b2 * values[at + 2 * LANES + lane] + b3 * values[at + 3 * LANES + lane]
                )
    for band in range(4 * whole, basis.shape[0]):
        for j in range(basis.shape[1]):
            b0 = basis[band, j]
            for lane in range(LANES):
                z[j, lane] += b0 * values[band * LANES + lane]


@compiled
def search(z, count, table):  # type: ignore[no-untyped-def]
    """Nodes that are local minima of the objective: pixel (start,), sorted, node (start,), at most four a pixel.

    z (block, coordinate, LANES) float32 of `count` pixels, of whose coordinates the first 1 + RANK are looked at; table
    (row, column, NODE).
    """
    owner, node = np.empty(MOST_STARTS * count, np.int64), np.empty(MOST_STARTS * count, np.int64)
    # surrounded by nodes that explain nothing
    explained = np.full((table.shape[0] + 2, table.shape[1] + 2, LANES), _LOWEST)
    along = np.full_like(explained, _LOWEST)
    best, where, tops = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    found = 0
    for block in range(len(z)):
        first, near = block * LANES, z[block]
        _explain(near, table, explained)
        _summits(explained, along, near[0], best, where, tops)
        for lane in range(min(LANES, count - first)):
            if tops[lane] > 1:
                number = _several(explained, along, near[0, lane], lane, node[found:])
            else:
                number = 1
                node[found] = int(where[lane])
            owner[found : found + number] = first + lane
            found += number
    return owner[:found], node[:found]


@compiled
def _explain(z, table, explained):  # type: ignore[no-untyped-def]
    """What of a pixel's square each node explains with its best shadings."""
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            node = table[i, j]
            n1, n2, n3, n4, n5, n6, n7, n8 = node[0], node[1], node[2], node[3], node[4], node[5], node[6], node[7]
            bright, across, share = node[_WHITE], node[_ACROSS], node[_SHARE]
            for lane in range(LANES):
                white = z[0, lane]
                lit = (
                    n1 * z[1, lane]
                    + n2 * z[2, lane]
                    + n3 * z[3, lane]
                    + n4 * z[4, lane]
                    + n5 * z[5, lane]
                    + n6 * z[6, lane]
                    + n7 * z[7, lane]
                    + n8 * z[8, lane]
                )
                overlap = lit * across + white * bright
                matte = overlap * overlap * share if overlap > _ZERO else _ZERO
                glossy = white * white + (lit * lit if lit > _ZERO else _ZERO)
                explained[i + 1, j + 1, lane] = glossy if white * across >= lit * bright else matte


@compiled
def _summits(explained, along, white, best, where, tops):  # type: ignore[no-untyped-def]
    """The node that explains most, and how many explain as much as their eight neighbours and more than white does."""
    best[:] = _LOWEST
    where[:] = _ZERO
    tops[:] = _ZERO
    columns = explained.shape[1] - 2
    for i in range(explained.shape[0] - 2):
        for j in range(columns):
            for lane in range(LANES):
                before, value, after = (
                    explained[i + 1, j, lane],
                    explained[i + 1, j + 1, lane],
                    explained[i + 1, j + 2, lane],
                )
                side = before if before > after else after
                along[i + 1, j + 1, lane] = value if value > side else side
    for i in range(explained.shape[0] - 2):
        for j in range(columns):
            node = np.float32(i * columns + j)
            for lane in range(LANES):
                value = explained[i + 1, j + 1, lane]
                above, level, below = along[i, j + 1, lane], along[i + 1, j + 1, lane], along[i + 2, j + 1, lane]
                highest = above if above > below else below
                highest = highest if highest > level else level
                plateau = white[lane] * white[lane] * _PLATEAU
                highest = highest if highest > plateau else plateau
                tops[lane] += _ONE if value >= highest else _ZERO
                higher = value > best[lane]
                best[lane] = value if higher else best[lane]
                where[lane] = node if higher else where[lane]


@compiled
def _several(explained, along, white, lane, node):  # type: ignore[no-untyped-def]
    """The summits of one pixel into `node`, the highest first; their number, at most four."""
    heights = np.empty(MOST_STARTS, np.float32)
    plateau = white * white * _PLATEAU
    columns = explained.shape[1] - 2
    found = 0
    for i in range(explained.shape[0] - 2):
        for j in range(columns):
            value = explained[i + 1, j + 1, lane]
            if value < max(along[i, j + 1, lane], along[i + 1, j + 1, lane], along[i + 2, j + 1, lane], plateau):
                continue
            place = found
            while place > 0 and heights[place - 1] < value:
                place -= 1
            for later in range(min(found, MOST_STARTS - 1), place, -1):
                heights[later], node[later] = heights[later - 1], node[later - 1]
            if place < MOST_STARTS:
                heights[place], node[place] = value, i * columns + j
                found = min(found + 1, MOST_STARTS)
    return found
