"""The table search of `table.py` as one compiled pass a pixel, for CPUs: no temporaries, everything stays in cache."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def summits(pixels, weights, spectra, squares, shape, most, plateau):  # type: ignore[no-untyped-def]
    """Nodes that are local minima of the objective on the grid (8 neighbours): int16 (n, most), best first, then -1.

    pixels (n, band) float32, weights the same or None; spectra and squares (band, node) float32, a grid of `shape`;
    plateau: how many times what white explains a second minimum must explain.
    """
    count, bands = pixels.shape
    nodes = spectra.shape[1]
    found = np.full((count, most), -1, np.int16)
    cross = np.empty(nodes, np.float32)
    sums = np.zeros(nodes, np.float32)
    norms = np.zeros(nodes, np.float32)
    explained = np.empty(nodes, np.float32)
    total = np.float32(bands)
    if weights is None:
        for band in range(bands):
            for node in range(nodes):
                sums[node] += spectra[band, node]
                norms[node] += squares[band, node]
    for pixel in range(count):
        cross[:] = 0
        pixel_sum = np.float32(0)
        if weights is None:
            for band in range(bands):
                value = pixels[pixel, band]
                pixel_sum += value
                for node in range(nodes):
                    cross[node] += value * spectra[band, node]
        else:
            sums[:] = 0
            norms[:] = 0
            total = np.float32(0)
            for band in range(bands):
                weight = weights[pixel, band]
                value = weight * pixels[pixel, band]
                pixel_sum += value
                total += weight
                for node in range(nodes):
                    cross[node] += value * spectra[band, node]
                    sums[node] += weight * spectra[band, node]
                    norms[node] += weight * squares[band, node]
        flat = _explain(cross, sums, norms, pixel_sum, total, explained)
        _local_maxima(explained, flat * np.float32(plateau), shape, found[pixel])
    return found


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _explain(cross, sums, norms, pixel_sum, total, explained):  # type: ignore[no-untyped-def]
    mean = pixel_sum / total
    flat = pixel_sum * mean
    inverse = np.float32(1) / total
    for node in range(cross.size):
        spread = norms[node] - sums[node] * sums[node] * inverse
        contrast = cross[node] - mean * sums[node]
        lit = max(contrast, np.float32(0))
        overlap = max(cross[node], np.float32(0))
        glossy = flat + lit * lit / spread
        matte = overlap * overlap / norms[node]
        explained[node] = glossy if pixel_sum * spread >= contrast * sums[node] else matte
    return flat


@njit(nogil=True, cache=True)
def _local_maxima(values, plateau, shape, found):  # type: ignore[no-untyped-def]
    rows, columns = shape
    best = np.argmax(values)
    found[0] = best
    filled = 1
    for row in range(rows):
        for column in range(columns):
            node = row * columns + column
            value = values[node]
            if value <= plateau or value == values[best]:
                continue
            top = True
            for r in range(max(row - 1, 0), min(row + 2, rows)):
                for c in range(max(column - 1, 0), min(column + 2, columns)):
                    if values[r * columns + c] > value:
                        top = False
                        break
                if not top:
                    break
            if top:
                filled = _insert(found, filled, node, values)


@njit(nogil=True, cache=True)
def _insert(found, filled, node, values):  # type: ignore[no-untyped-def]
    """Put a node into the list, which is kept best first and drops its worst when full."""
    place = filled
    while place > 1 and values[found[place - 1]] < values[node]:
        place -= 1
    if place >= found.size:
        return filled
    last = min(filled, found.size - 1)
    for index in range(last, place, -1):
        found[index] = found[index - 1]
    found[place] = node
    return min(filled + 1, found.size)
