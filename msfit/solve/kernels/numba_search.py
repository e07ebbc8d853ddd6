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
#: The same of six channels and fewer, which have no more.
FEW = 5
MOST_STARTS = 4
# What a node holds: its direction in these coordinates, of length one; and, at these places from the end, its length in
# them over its part along white, and both over the length of the whole.
_GLOSS, _OF_DIFFUSE, _OF_WHITE = -3, -2, -1
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

    z (block, coordinate, LANES) float32 of `count` pixels, of whose coordinates the first 1 + RANK are looked at, or
    1 + FEW; table (row, column, RANK + 3), or FEW + 3.
    """
    owner, node = np.empty(MOST_STARTS * count, np.int64), np.empty(MOST_STARTS * count, np.int64)
    rows, columns = table.shape[:2]
    # between columns that explain nothing
    explained = aligned(rows * (columns + 2) * LANES, table).reshape(rows, columns + 2, LANES)
    explained[:] = _LOWEST
    # the largest of each node and its two neighbours in a row, in three rows at a time
    along, maxima = aligned(3 * columns * LANES, table).reshape(3, columns, LANES), aligned(LANES, table)
    plateau, starts = aligned(LANES, table), 0
    for block in range(len(z)):
        first = block * LANES
        along[2], maxima[:] = _LOWEST, _ZERO
        for lane in range(LANES):
            plateau[lane] = z[block, 0, lane] * z[block, 0, lane] * _PLATEAU
        for row in range(rows):
            if table.shape[2] == FEW + 3:
                _explain_few(z[block], table[row], explained[row])
            else:
                _explain(z[block], table[row], explained[row])
            _spread(plateau, explained[row], along[row % 3])
            if row > 0:
                _count(explained[row - 1], along, np.float32(_COUNT + (row - 1) * columns), maxima)
        along[rows % 3] = _LOWEST
        _count(explained[rows - 1], along, np.float32(_COUNT + (rows - 1) * columns), maxima)
        for lane in range(min(LANES, count - first)):
            if _COUNT <= maxima[lane] < 2 * _COUNT:
                number = 1
                node[starts] = int(maxima[lane]) - _COUNT
            else:
                number = _several(explained, plateau[lane], lane, node[starts:], True)
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
    white, plateau = aligned(LANES, spectra), aligned(LANES, spectra)
    sums = aligned(5 * LANES, spectra).reshape(5, LANES)
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
            white[lane] = level / np.sqrt(sums[0, lane])
            plateau[lane] = white[lane] * white[lane] * _PLATEAU
        along[2], maxima[:] = _LOWEST, _ZERO
        for row in range(rows):
            for column in range(columns):
                at = row * columns + column
                _explain_weighted(w, wy, sums, white, spectra[at], levels[at], explained[row, column + 1])
            _spread(plateau, explained[row], along[row % 3])
            if row > 0:
                _count(explained[row - 1], along, np.float32(_COUNT + (row - 1) * columns), maxima)
        along[rows % 3] = _LOWEST
        _count(explained[rows - 1], along, np.float32(_COUNT + (rows - 1) * columns), maxima)
        for lane in range(here):
            if _COUNT <= maxima[lane] < 2 * _COUNT:
                number = 1
                node[starts] = int(maxima[lane]) - _COUNT
            else:
                number = _several(explained, plateau[lane], lane, node[starts:], True)
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


# Rows of what `search_bounded` knows of a block of pixels: sums of weights and of weighted values; precision of a prior
# (upper triangle, by rows) and its mean; 1 / (sum of weights + precision of i_s); and, for a row of nodes, the prior's
# part that does not depend on f_blood: of the objective, of what i_d and what i_s have to explain, and its slope.
_W, _WY = 0, 1
_P00, _P01, _P0D, _P0S, _P11, _P1D, _P1S, _PDD, _PDS, _PSS = range(2, 12)
_M0, _M1, _MD, _MS, _SHARE, _HEIGHT, _TO_D, _TO_S, _SLOPE, _ABOUT = range(12, 22)


@compiled
def search_shared(pixels, spectra, levels, axis_0, axis_1, ends, means, roots):  # type: ignore[no-untyped-def]
    """As `search_bounded`, where all bands count alike and pixels have their priors in common, one a component.

    What of a node and a component does not depend on the pixel is computed once. Starts are sorted by component, then
    pixel: pixel (start,), component (start,), node (start,).
    """
    (count, bands), lines, components = pixels.shape, spectra.shape[1], len(means)
    rows, columns = axis_0.size, axis_1.size
    owner = np.empty((components, MOST_STARTS * count), np.int64)
    node, starts = np.empty_like(owner), np.zeros(components, np.int64)
    explained = aligned(components * rows * (columns + 2) * LANES, spectra).reshape(
        components, rows, columns + 2, LANES
    )
    explained[:] = _LOWEST
    edge, maxima = aligned((columns + 2) * LANES, spectra).reshape(columns + 2, LANES), aligned(LANES, spectra)
    edge[:] = _LOWEST
    y, total = aligned(lines * LANES, spectra).reshape(lines, LANES), aligned(LANES, spectra)
    products, plateau = aligned(columns * LANES, spectra).reshape(columns, LANES), aligned(LANES, spectra)
    known = np.empty((components, rows * columns, _SHARED), spectra.dtype)
    for k in range(components):
        _know(bands, spectra, levels, axis_0, axis_1, means[k], roots[k], known[k])
    flat = ends[0] == 0 and not roots.any()
    for first in range(0, count, LANES):
        here = min(LANES, count - first)
        total[:] = _ZERO
        for lane in range(here):
            for band in range(bands):
                y[band, lane] = pixels[first + lane, band]
                total[lane] += y[band, lane]
            level = total[lane] / np.float32(bands)
            level = ends[2] if level < ends[2] else (ends[3] if level > ends[3] else level)
            white = level * (np.float32(2) * total[lane] - np.float32(bands) * level)
            plateau[lane] = white * _PLATEAU if flat else _LOWEST
        for row in range(rows):
            line = slice(row * columns, (row + 1) * columns)
            _products(y, spectra[line], products)
            for k in range(components):
                _explain_shared(products, total, known[k, line], ends, explained[k, row])
        for k in range(components):
            maxima[:] = _ZERO
            for row in range(rows):
                before = explained[k, row - 1] if row > 0 else edge
                after = explained[k, row + 1] if row < rows - 1 else edge
                _count_four(before, explained[k, row], after, plateau, np.float32(_COUNT + row * columns), maxima)
            for lane in range(here):
                if _COUNT <= maxima[lane] < 2 * _COUNT:
                    number = 1
                    node[k, starts[k]] = int(maxima[lane]) - _COUNT
                else:
                    number = _several(explained[k], plateau[lane], lane, node[k, starts[k] :], False)
                owner[k, starts[k] : starts[k] + number] = first + lane
                starts[k] += number
    owners = np.empty(starts.sum(), np.int64)
    of, nodes, done = np.empty_like(owners), np.empty_like(owners), 0
    for k in range(components):
        for at in range(starts[k]):
            owners[done], nodes[done], of[done] = owner[k, at], node[k, at], k
            done += 1
    return owners, of, nodes


# Columns of what `search_shared` knows of a node and a component.
_OF_TOTAL, _OF_ONE, _TO_S_ALL, _PER_SPREAD, _SPREAD, _DS, _PER_WHOLE, _PER_SS, _SS, _CONSTANT, _SHARED = range(11)


@compiled
def _know(count, spectra, levels, axis_0, axis_1, mean, root, known):  # type: ignore[no-untyped-def]
    """What of the objective under a prior depends on the node alone."""
    bands, p = np.float64(count), np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for row in range(4):
                p[i, j] += np.float64(root[row, i]) * root[row, j]
    for at in range(levels.size):
        spectrum, r = spectra[at], np.float64(levels[at])
        m_0, m_1 = mean[0] - np.float64(axis_0[at // axis_1.size]), mean[1] - np.float64(axis_1[at % axis_1.size])
        m_d, m_s = np.float64(mean[2]), np.float64(mean[3])
        b_d = p[2, 0] * m_0 + p[2, 1] * m_1 + p[2, 2] * m_d + p[2, 3] * m_s
        b_s = p[3, 0] * m_0 + p[3, 1] * m_1 + p[3, 2] * m_d + p[3, 3] * m_s
        constant = m_0 * (p[0, 0] * m_0 + 2 * (p[0, 1] * m_1 + p[0, 2] * m_d + p[0, 3] * m_s))
        constant += m_1 * (p[1, 1] * m_1 + 2 * (p[1, 2] * m_d + p[1, 3] * m_s))
        constant += p[2, 2] * m_d * m_d + p[3, 3] * m_s * m_s + 2 * p[2, 3] * m_d * m_s
        share, ds, square = 1 / (bands + p[3, 3]), bands * r + p[2, 3], 0.0
        for band in range(spectrum.size):
            square += np.float64(spectrum[band]) * spectrum[band]
        spread = square + p[2, 2] + (bands * r * (p[3, 3] * r - 2 * p[2, 3]) - p[2, 3] * p[2, 3]) * share
        spread = max(spread, 1e-30)
        known[at, _OF_TOTAL], known[at, _OF_ONE] = (p[3, 3] * r - p[2, 3]) * share, b_d - b_s * ds * share
        known[at, _TO_S_ALL], known[at, _PER_SPREAD], known[at, _SPREAD] = b_s, 1 / spread, spread
        known[at, _DS], known[at, _PER_WHOLE] = ds, 1 / (spread + ds * ds * share)
        known[at, _PER_SS], known[at, _SS], known[at, _CONSTANT] = share, bands + p[3, 3], constant


@compiled
def _products(y, spectra, products):  # type: ignore[no-untyped-def]
    """Sums over bands of the pixels times the spectra of a row of nodes; four bands at a time, as in `_project`."""
    for j in range(spectra.shape[0]):
        a, b, c, d = spectra[j, 0], spectra[j, 1], spectra[j, 2], spectra[j, 3]
        for lane in range(LANES):
            products[j, lane] = (a * y[0, lane] + b * y[1, lane]) + (c * y[2, lane] + d * y[3, lane])
        for four in range(4, spectra.shape[1], 4):
            a, b, c, d = spectra[j, four], spectra[j, four + 1], spectra[j, four + 2], spectra[j, four + 3]
            for lane in range(LANES):
                products[j, lane] += (a * y[four, lane] + b * y[four + 1, lane]) + (
                    c * y[four + 2, lane] + d * y[four + 3, lane]
                )


@compiled
def _explain_shared(products, total, known, ends, explained):  # type: ignore[no-untyped-def]
    """As `_explain_bounded` for a row of nodes, from what is known of them."""
    low_d, high_d, low_s, high_s, two = ends[0], ends[1], ends[2], ends[3], np.float32(2)
    for j in range(products.shape[0]):
        of_total, of_one, to_s, per_spread = (
            known[j, _OF_TOTAL],
            known[j, _OF_ONE],
            known[j, _TO_S_ALL],
            known[j, _PER_SPREAD],
        )
        spread, ds, per_whole, share = known[j, _SPREAD], known[j, _DS], known[j, _PER_WHOLE], known[j, _PER_SS]
        ss, constant = known[j, _SS], known[j, _CONSTANT]
        for lane in range(LANES):
            contrast, hs = products[j, lane] + of_total * total[lane] + of_one, total[lane] + to_s
            free_d = contrast * per_spread
            free_s = (hs - free_d * ds) * share
            d_1 = low_d if free_d < low_d else (high_d if free_d > high_d else free_d)
            s_2 = low_s if free_s < low_s else (high_s if free_s > high_s else free_s)
            s_free = (hs - d_1 * ds) * share
            s_1 = low_s if s_free < low_s else (high_s if s_free > high_s else s_free)
            d_free = (contrast + ds * (hs * share - s_2)) * per_whole
            d_2 = low_d if d_free < low_d else (high_d if d_free > high_d else d_free)
            miss_1, miss_2 = s_1 - s_free, s_2 - (hs - d_2 * ds) * share
            height_1 = d_1 * (two * contrast - spread * d_1) - ss * miss_1 * miss_1
            height_2 = d_2 * (two * contrast - spread * d_2) - ss * miss_2 * miss_2
            height = height_1 if height_1 > height_2 else height_2
            explained[j + 1, lane] = hs * hs * share + height - constant


@compiled
def search_bounded(pixels, weights, spectra, levels, axis_0, axis_1, ends, means, roots):  # type: ignore[no-untyped-def]
    """As `search`, with shadings between other bounds than [0, inf) and a Gaussian prior, in any type.

    Local minima are those among four neighbours: less follows the pigments there, valleys are narrow, and one that lies
    across the grid has its minimum between nodes of which each has a better one at a corner.

    pixels (n, band), weights (n, band) or empty for ones; spectra (row * column, band), each less its mean over the
    bands, filled up with zeros to a multiple of four; levels (row * column,), these means; axis_0 (row,) and axis_1
    (column,), the pigments of the nodes; ends, means and roots as in `numba_descent.descend`.
    """
    count, bands = pixels.shape
    rows, columns = axis_0.size, axis_1.size
    owner, node = np.empty(MOST_STARTS * count, np.int64), np.empty(MOST_STARTS * count, np.int64)
    explained = aligned(rows * (columns + 2) * LANES, spectra).reshape(rows, columns + 2, LANES)
    explained[:] = _LOWEST
    edge, maxima = aligned((columns + 2) * LANES, spectra).reshape(columns + 2, LANES), aligned(LANES, spectra)
    edge[:] = _LOWEST
    about, plateau = aligned(_ABOUT * LANES, spectra).reshape(_ABOUT, LANES), aligned(LANES, spectra)
    lines, weighted = spectra.shape[1], weights.size > 0
    sums = aligned(3 * columns * LANES, spectra).reshape(3, columns, LANES)
    wy = aligned(lines * LANES, spectra).reshape(lines, LANES)
    w = aligned(lines * LANES, spectra).reshape(lines, LANES) if weighted else wy
    squares = np.empty(levels.size, spectra.dtype)
    for at in range(levels.size):
        squares[at] = (spectra[at] * spectra[at]).sum()
    flat = ends[0] == 0 and not roots.any()  # where no diffuse light helps there is a plateau
    starts = 0
    for first in range(0, count, LANES):
        here = min(LANES, count - first)
        about[_W], about[_WY] = np.float32(bands), _ZERO
        for lane in range(here):
            load = _ZERO
            for band in range(bands):
                value = pixels[first + lane, band]
                if weighted:
                    w[band, lane] = weights[first + lane, band]
                    value *= weights[first + lane, band]
                    load += weights[first + lane, band]
                wy[band, lane] = value
                about[_WY, lane] += value
            if weighted:
                about[_W, lane] = load if load > _SMALL else _SMALL
            _prior_of(
                means[first + lane if len(means) > 1 else 0], roots[first + lane if len(roots) > 1 else 0], about, lane
            )
            share = np.float32(1) / (about[_W, lane] + about[_PSS, lane])
            about[_SHARE, lane] = share
            level = about[_WY, lane] * share
            level = ends[2] if level < ends[2] else (ends[3] if level > ends[3] else level)
            white = level * (np.float32(2) * about[_WY, lane] - about[_W, lane] * level)
            plateau[lane] = white * _PLATEAU if flat else _LOWEST
        maxima[:] = _ZERO
        for row in range(rows):
            _prior_along(about, axis_0[row])
            line = slice(row * columns, (row + 1) * columns)
            if weighted:
                _products_weighted(w, wy, spectra[line], sums)
            else:
                _products(wy, spectra[line], sums[0])
                sums[1] = _ZERO
                for j in range(columns):
                    sums[2, j] = squares[row * columns + j]
            _explain_bounded(sums, about, levels[line], axis_1, ends, explained[row])
        for row in range(rows):
            before, after = explained[row - 1] if row > 0 else edge, explained[row + 1] if row < rows - 1 else edge
            _count_four(before, explained[row], after, plateau, np.float32(_COUNT + row * columns), maxima)
        for lane in range(here):
            if _COUNT <= maxima[lane] < 2 * _COUNT:
                number = 1
                node[starts] = int(maxima[lane]) - _COUNT
            else:
                number = _several(explained, plateau[lane], lane, node[starts:], False)
            owner[starts : starts + number] = first + lane
            starts += number
    return owner[:starts], node[:starts]


@compiled
def _count_four(before, here, after, plateau, first, maxima):  # type: ignore[no-untyped-def]
    """Add up the numbers, from `first` on, of a row's nodes that explain as much as their four neighbours."""
    for j in range(here.shape[0] - 2):
        number = first + np.float32(j)
        for lane in range(LANES):
            value, left, right = here[j + 1, lane], here[j, lane], here[j + 2, lane]
            above, below, floor = before[j + 1, lane], after[j + 1, lane], plateau[lane]
            side, other = left if left > right else right, above if above > below else below
            highest = side if side > other else other
            highest = highest if highest > floor else floor
            maxima[lane] += number if value >= highest else _ZERO


@compiled
def _prior_of(mean, root, about, lane):  # type: ignore[no-untyped-def]
    """A prior's mean and precision."""
    at = _P00
    for i in range(4):
        about[_M0 + i, lane] = mean[i]
        for j in range(i, 4):
            about[at, lane] = (
                root[0, i] * root[0, j] + root[1, i] * root[1, j] + root[2, i] * root[2, j] + root[3, i] * root[3, j]
            )
            at += 1


@compiled
def _prior_along(about, melanin):  # type: ignore[no-untyped-def]
    """The prior's parts for a row of nodes."""
    two = np.float32(2)
    for lane in range(LANES):
        m, m_d, m_s = about[_M0, lane] - melanin, about[_MD, lane], about[_MS, lane]
        to_d = about[_P0D, lane] * m + about[_PDD, lane] * m_d + about[_PDS, lane] * m_s
        to_s = about[_P0S, lane] * m + about[_PDS, lane] * m_d + about[_PSS, lane] * m_s
        about[_TO_D, lane], about[_TO_S, lane] = to_d, to_s
        about[_HEIGHT, lane] = (
            (about[_P00, lane] * m + about[_P0D, lane] * m_d + about[_P0S, lane] * m_s) * m + to_d * m_d + to_s * m_s
        )
        about[_SLOPE, lane] = two * (about[_P01, lane] * m + about[_P1D, lane] * m_d + about[_P1S, lane] * m_s)


@compiled
def _products_weighted(w, wy, spectra, sums):  # type: ignore[no-untyped-def]
    """Weighted sums over bands of the pixels times the spectra of a row of nodes, of these, and of their squares."""
    _products(wy, spectra, sums[0])
    _products(w, spectra, sums[1])
    _products(w, spectra * spectra, sums[2])


@compiled
def _explain_bounded(sums, about, levels, axis, ends, explained):  # type: ignore[no-untyped-def]
    """By how much the best shadings of a row of nodes lower the objective: `bounded_pair`, from sums about means."""
    low_d, high_d, low_s, high_s, two = ends[0], ends[1], ends[2], ends[3], np.float32(2)
    for j in range(axis.size):
        level, blood = levels[j], axis[j]
        for lane in range(LANES):
            w, wy, share, p_ss = about[_W, lane], about[_WY, lane], about[_SHARE, lane], about[_PSS, lane]
            m = about[_M1, lane] - blood
            b_d, b_s = about[_TO_D, lane] + about[_P1D, lane] * m, about[_TO_S, lane] + about[_P1S, lane] * m
            constant = about[_HEIGHT, lane] + m * (about[_SLOPE, lane] + about[_P11, lane] * m)
            mean = sums[1, j, lane] / w
            r, p_ds = level + mean, about[_PDS, lane]
            ds, hs = w * r + p_ds, wy + b_s
            # about the mean, to which the prior's terms are added in closed form: nothing is lost where it says little
            spread = (
                sums[2, j, lane]
                - sums[1, j, lane] * mean
                + about[_PDD, lane]
                + (w * r * (p_ss * r - two * p_ds) - p_ds * p_ds) * share
            )
            contrast = sums[0, j, lane] - wy * mean + b_d + (wy * (p_ss * r - p_ds) - b_s * (w * r + p_ds)) * share
            spread = spread if spread > _SMALL else _SMALL
            free_d = contrast / spread
            free_s = (hs - free_d * ds) * share
            d_1 = low_d if free_d < low_d else (high_d if free_d > high_d else free_d)
            s_2 = low_s if free_s < low_s else (high_s if free_s > high_s else free_s)
            s_free = (hs - d_1 * ds) * share
            s_1 = low_s if s_free < low_s else (high_s if s_free > high_s else s_free)
            d_free = (contrast + ds * (hs * share - s_2)) / (spread + ds * ds * share)
            d_2 = low_d if d_free < low_d else (high_d if d_free > high_d else d_free)
            miss_1, miss_2 = s_1 - s_free, s_2 - (hs - d_2 * ds) * share
            height_1 = d_1 * (two * contrast - spread * d_1) - (w + p_ss) * miss_1 * miss_1
            height_2 = d_2 * (two * contrast - spread * d_2) - (w + p_ss) * miss_2 * miss_2
            height = height_1 if height_1 > height_2 else height_2
            explained[j + 1, lane] = hs * hs * share + height - constant


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
def _explain_few(z, nodes, explained):  # type: ignore[no-untyped-def]
    """The same in few coordinates."""
    for j in range(nodes.shape[0]):
        node = nodes[j]
        n1, n2, n3, n4, n5 = node[0], node[1], node[2], node[3], node[4]
        gloss, of_diffuse, of_white = node[_GLOSS], node[_OF_DIFFUSE], node[_OF_WHITE]
        for lane in range(LANES):
            white = z[0, lane]
            diffuse = (n1 * z[1, lane] + n2 * z[2, lane]) + (n3 * z[3, lane] + n4 * z[4, lane]) + n5 * z[5, lane]
            total = diffuse * of_diffuse + white * of_white
            diffuse_only, across = total if total > _ZERO else _ZERO, diffuse if diffuse > _ZERO else _ZERO
            explained[j + 1, lane] = (
                white * white + across * across if white * gloss >= diffuse else diffuse_only * diffuse_only
            )


@compiled
def _spread(plateau, explained, along):  # type: ignore[no-untyped-def]
    """The largest among each node and its neighbours in a row, and a little more than what white explains."""
    for j in range(along.shape[0]):
        for lane in range(LANES):
            before, value, after = explained[j, lane], explained[j + 1, lane], explained[j + 2, lane]
            side = before if before > after else after
            highest = value if value > side else side
            along[j, lane] = highest if highest > plateau[lane] else plateau[lane]


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
def _several(explained, plateau, lane, node, diagonal):  # type: ignore[no-untyped-def]
    """The local maxima of one pixel into `node`, the highest first; their number, at most four.

    Where there is none, because nothing explains more than white does, the first of the highest nodes is taken.
    """
    heights = np.empty(MOST_STARTS, explained.dtype)
    rows, columns = explained.shape[0], explained.shape[1] - 2
    starts, best, node[0] = 0, _LOWEST, 0
    for i in range(rows):
        for j in range(columns):
            value = explained[i, j + 1, lane]
            if starts == 0 and value > best:
                best, node[0] = value, i * columns + j
            if not value >= plateau or _is_below_neighbour(explained, i, j, lane, diagonal):
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
def _is_below_neighbour(explained, i, j, lane, diagonal):  # type: ignore[no-untyped-def]
    """Whether one of a node's neighbours, of eight or of four, explains more."""
    value = explained[i, j + 1, lane]
    for row in range(max(i - 1, 0), min(i + 2, explained.shape[0])):
        for column in range(j, j + 3):
            if explained[row, column, lane] > value and (diagonal or row == i or column == j + 1):
                return True
    return False
