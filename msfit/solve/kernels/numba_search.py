"""The global search as compiled code for CPUs: every pixel against every node of a coarse table.

Pixels are worked on side by side, `LANES` at a time: the innermost loop always runs over them and does the same to all,
so the compiler turns it into vector instructions, and a pixel's result cannot depend on its neighbours. What belongs
to one quantity lies in one stretch of `LANES` numbers.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.kernels.numba_options import LANES, aligned, compiled

# Coordinates besides white in which pixels and nodes are compared, a constant, so that sums over them are straight
# code. With 8, 9 in 40,000 noisy spectra ended in the wrong basin under msfit-issa-2026; with 12 none.
RANK = 12
MOST_STARTS = 4
# What a node holds: its direction in these coordinates, of length one; its length in them over its part along white;
# and both over the length of the whole.
_GLOSS, _OF_DIFFUSE, _OF_WHITE = RANK, RANK + 1, RANK + 2
NODE = RANK + 3
# Encode (number of local maxima, index of the last one) in one float: each maximum adds this and its index.
_COUNT = 4096

_ZERO, _SMALL, _LOWEST = np.float32(0), np.float32(1e-30), np.float32(-1e30)
# Where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own.
_PLATEAU = np.float32(1 + 1e-6)


@compiled
def coordinates(pixels, basis):  # type: ignore[no-untyped-def]
    """Coordinates of pixels (n, band) in a basis (band, coordinate), all float32: (block, coordinate, LANES).

    Written out, because how a library multiplies matrices, and rounds, may depend on their sizes.
    """
    count, bands = pixels.shape
    z = aligned(-(-count // LANES) * basis.shape[1] * LANES, pixels).reshape(-1, basis.shape[1], LANES)
    values = aligned(bands * LANES, pixels)
    for block in range(len(z)):
        first = block * LANES
        for lane in range(min(LANES, count - first)):
            for band in range(bands):
                values[band * LANES + lane] = pixels[first + lane, band]
        _project(values, basis, z[block])
    return z


@compiled
def _project(values, basis, z):  # type: ignore[no-untyped-def]
    """Coordinates of the pixels in the basis, added to z (coordinate, LANES)."""
    fours = basis.shape[0] // 4
    for four in range(fours):  # four bands a pass: sums are loaded and stored a fourth as often
        at = 4 * four * LANES
        for j in range(basis.shape[1]):
            b0, b1, b2, b3 = basis[4 * four, j], basis[4 * four + 1, j], basis[4 * four + 2, j], basis[4 * four + 3, j]
            for lane in range(LANES):
                z[j, lane] += (b0 * values[at + lane] + b1 * values[at + LANES + lane]) + (
                    b2 * values[at + 2 * LANES + lane] + b3 * values[at + 3 * LANES + lane]
                )
    for band in range(4 * fours, basis.shape[0]):
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
    rows, columns = table.shape[:2]
    # between columns that explain nothing
    explained = aligned(rows * (columns + 2) * LANES, table).reshape(rows, columns + 2, LANES)
    explained[:] = _LOWEST
    # the largest of each node and its two neighbours in a row, in three rows at a time
    along, maxima = aligned(3 * columns * LANES, table).reshape(3, columns, LANES), aligned(LANES, table)
    starts = 0
    for block in range(len(z)):
        first = block * LANES
        along[2], maxima[:] = _LOWEST, _ZERO
        for row in range(rows):
            _explain(z[block], table[row], explained[row])
            _spread(z[block], explained[row], along[row % 3])
            if row > 0:
                _count(explained[row - 1], along, np.float32(_COUNT + (row - 1) * columns), maxima)
        along[rows % 3] = _LOWEST
        _count(explained[rows - 1], along, np.float32(_COUNT + (rows - 1) * columns), maxima)
        for lane in range(min(LANES, count - first)):
            if _COUNT <= maxima[lane] < 2 * _COUNT:
                number = 1
                node[starts] = int(maxima[lane]) - _COUNT
            else:
                number = _several(explained, z[block, 0, lane], lane, node[starts:])
            owner[starts : starts + number] = first + lane
            starts += number
    return owner[:starts], node[:starts]


@compiled
def search_weighted(pixels, weights, spectra, levels, rows, columns):  # type: ignore[no-untyped-def]
    """As `search`, with a weight for each sample: nodes that are local minima of the weighted objective.

    pixels and weights (n, band); spectra (row * column, band), each less its mean over the bands, levels (row *
    column,), these means; all float32.
    """
    count, bands = pixels.shape
    owner, node = np.empty(MOST_STARTS * count, np.int64), np.empty(MOST_STARTS * count, np.int64)
    explained = aligned(rows * (columns + 2) * LANES, spectra).reshape(rows, columns + 2, LANES)
    explained[:] = _LOWEST
    along, maxima = aligned(3 * columns * LANES, spectra).reshape(3, columns, LANES), aligned(LANES, spectra)
    w = aligned(bands * LANES, spectra).reshape(bands, LANES)
    wy = aligned(bands * LANES, spectra).reshape(bands, LANES)
    white, sums = aligned(LANES, spectra).reshape(1, LANES), aligned(5 * LANES, spectra).reshape(5, LANES)
    starts = 0
    for first in range(0, count, LANES):
        here = min(LANES, count - first)
        sums[:2] = _ZERO
        for lane in range(here):
            for band in range(bands):
                w[band, lane] = weights[first + lane, band]
                wy[band, lane] = w[band, lane] * pixels[first + lane, band]
                sums[0, lane] += w[band, lane]
                sums[1, lane] += wy[band, lane]
            level = sums[1, lane] if sums[1, lane] > _ZERO else _ZERO
            sums[0, lane] = sums[0, lane] if sums[0, lane] > _SMALL else _SMALL
            white[0, lane] = level / np.sqrt(sums[0, lane])
        along[2], maxima[:] = _LOWEST, _ZERO
        for row in range(rows):
            for column in range(columns):
                at = row * columns + column
                _explain_weighted(w, wy, sums, white[0], spectra[at], levels[at], explained[row, column + 1])
            _spread(white, explained[row], along[row % 3])
            if row > 0:
                _count(explained[row - 1], along, np.float32(_COUNT + (row - 1) * columns), maxima)
        along[rows % 3] = _LOWEST
        _count(explained[rows - 1], along, np.float32(_COUNT + (rows - 1) * columns), maxima)
        for lane in range(here):
            if _COUNT <= maxima[lane] < 2 * _COUNT:
                number = 1
                node[starts] = int(maxima[lane]) - _COUNT
            else:
                number = _several(explained, white[0, lane], lane, node[starts:])
            owner[starts : starts + number] = first + lane
            starts += number
    return owner[:starts], node[:starts]


@compiled
def _explain_weighted(w, wy, sums, white, spectrum, level, explained):  # type: ignore[no-untyped-def]
    """What of a pixel's weighted square a node explains: `bounded_pair`, from sums over bands less the node's mean."""
    sums[2:] = _ZERO
    for band in range(spectrum.size):
        s = spectrum[band]
        for lane in range(LANES):
            ws = w[band, lane] * s
            sums[2, lane] += wy[band, lane] * s
            sums[3, lane] += ws
            sums[4, lane] += ws * s
    for lane in range(LANES):
        ss, hs, hd, ds, dd = sums[0, lane], sums[1, lane], sums[2, lane], sums[3, lane], sums[4, lane]
        mean = ds / ss
        spread, contrast = dd - ds * mean, hd - hs * mean
        spread = spread if spread > _SMALL else _SMALL
        i_d = contrast / spread if contrast > _ZERO else _ZERO
        both = white[lane] * white[lane] + contrast * i_d
        whole, alone = dd + level * (np.float32(2) * ds + level * ss), hd + level * hs
        alone = alone if alone > _ZERO else _ZERO
        only = alone * alone / (whole if whole > _SMALL else _SMALL)
        explained[lane] = both if hs >= i_d * (ds + level * ss) else only


@compiled
def _explain(z, nodes, explained):  # type: ignore[no-untyped-def]
    """What of a pixel's square each node of a row explains with its best shadings."""
    for j in range(nodes.shape[0]):
        node = nodes[j]
        n1, n2, n3, n4, n5, n6, n7, n8 = node[0], node[1], node[2], node[3], node[4], node[5], node[6], node[7]
        n9, n10, n11, n12 = node[8], node[9], node[10], node[11]
        gloss, of_diffuse, of_white = node[_GLOSS], node[_OF_DIFFUSE], node[_OF_WHITE]
        for lane in range(LANES):
            white = z[0, lane]
            diffuse = (
                ((n1 * z[1, lane] + n2 * z[2, lane]) + (n3 * z[3, lane] + n4 * z[4, lane]))
                + ((n5 * z[5, lane] + n6 * z[6, lane]) + (n7 * z[7, lane] + n8 * z[8, lane]))
                + ((n9 * z[9, lane] + n10 * z[10, lane]) + (n11 * z[11, lane] + n12 * z[12, lane]))
            )
            total = diffuse * of_diffuse + white * of_white
            diffuse_only, across = total if total > _ZERO else _ZERO, diffuse if diffuse > _ZERO else _ZERO
            explained[j + 1, lane] = (
                white * white + across * across if white * gloss >= diffuse else diffuse_only * diffuse_only
            )


@compiled
def _spread(z, explained, along):  # type: ignore[no-untyped-def]
    """The largest among each node and its neighbours in a row, and a little more than what white explains."""
    for j in range(along.shape[0]):
        for lane in range(LANES):
            before, value, after = explained[j, lane], explained[j + 1, lane], explained[j + 2, lane]
            side, plateau = before if before > after else after, z[0, lane] * z[0, lane] * _PLATEAU
            highest = value if value > side else side
            along[j, lane] = highest if highest > plateau else plateau


@compiled
def _count(explained, along, first, maxima):  # type: ignore[no-untyped-def]
    """Add up the numbers, from `first` on, of a row's nodes that explain as much as their eight neighbours."""
    for j in range(along.shape[1]):
        number = first + np.float32(j)
        for lane in range(LANES):
            value, one, two, three = explained[j + 1, lane], along[0, j, lane], along[1, j, lane], along[2, j, lane]
            highest = one if one > two else two
            highest = highest if highest > three else three
            maxima[lane] += number if value >= highest else _ZERO


@compiled
def _several(explained, white, lane, node):  # type: ignore[no-untyped-def]
    """The local maxima of one pixel into `node`, the highest first; their number, at most four.

    Where there is none, because nothing explains more than white does, the first of the highest nodes is taken.
    """
    heights = np.empty(MOST_STARTS, np.float32)
    plateau = white * white * _PLATEAU
    rows, columns = explained.shape[0], explained.shape[1] - 2
    starts, best, node[0] = 0, _LOWEST, 0
    for i in range(rows):
        for j in range(columns):
            value = explained[i, j + 1, lane]
            if starts == 0 and value > best:
                best, node[0] = value, i * columns + j
            if not value >= plateau or _is_below_neighbour(explained, i, j, lane):
                continue
            place = starts
            while place > 0 and heights[place - 1] < value:
                place -= 1
            for later in range(min(starts, MOST_STARTS - 1), place, -1):
                heights[later], node[later] = heights[later - 1], node[later - 1]
            if place < MOST_STARTS:
                heights[place], node[place] = value, i * columns + j
                starts = min(starts + 1, MOST_STARTS)
    return max(starts, 1)


@compiled
def _is_below_neighbour(explained, i, j, lane):  # type: ignore[no-untyped-def]
    """Whether one of a node's neighbours explains more."""
    value = explained[i, j + 1, lane]
    for row in range(max(i - 1, 0), min(i + 2, explained.shape[0])):
        for column in range(j, j + 3):
            if explained[row, column, lane] > value:
                return True
    return False
