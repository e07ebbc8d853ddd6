"""Lower bounds by branch and bound over the cells of `patches`, compiled, a pixel at a time, for CPUs.

The mathematics stands in `certificate`. All is in one file: numba looks only there for whether machine code is stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_STEPS = 3  # of the descent inside a cell
_DEEP, _DEEPEST = 6, 14  # halvings beyond the finest level, and where the remainder is below half the tolerance
# Share of a pixel's length by which all sums, of at most some hundreds of terms, may be wrong together.
_ROUNDING = 1e-12


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use and keep the machine code on disk, where there is a place for it."""
    # sums may be reordered, which the stated rounding covers; nothing may be assumed finite
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return njit(**options)(function)


@_compiled
def bound(  # type: ignore[no-untyped-def]
    pixels, weights, best, tolerance, basis, white, outside, coefficients, remainder, products, bends, shapes, most
):
    """Bound from below how far pixels are from the model's cone, until that is within `tolerance` of the `best` known.

    pixels (n, band) float64; weights (n, band), or (0, band) for ones; best, tolerance (n,): distances; basis to shapes
    as in `Patches`, the basis (0, 0) where coordinates are bands, in which case pixels and weights have k of them;
    most: cells that are visited before a pixel is given up. Returns bounds (n,), distances (n,) of better points that
    were met, inf where there was none, their positions (n, 2) in [0, 1], and the cells visited (n,).
    """
    count, size = pixels.shape[0], white.size
    bounds, distances, places, visited = np.zeros(count), np.full(count, np.inf), np.zeros((count, 2)), np.zeros(count)
    weighted, levels = weights.shape[0] > 0, shapes.shape[0]
    rows, columns = shapes[-1, 0], shapes[-1, 1]
    starts = np.zeros(levels, np.int64)
    for level in range(1, levels):
        starts[level] = starts[level - 1] + shapes[level - 1, 0] * shapes[level - 1, 1]
    w, z = np.ones(size), np.empty(size)
    moved, direction, dual = np.empty((10, size)), np.empty(size), np.empty(size)
    seen, part, gram = np.empty((10, 1)), np.empty((10, 1)), np.empty(9)
    stack = np.empty((4 * (levels + _DEEPEST), 3), np.int64)
    inherited = np.empty(stack.shape[0])
    for pixel in range(count):
        beyond, widest = _project(pixels[pixel], basis, z) if basis.size > 0 else 0.0, 1.0
        if basis.size == 0:
            z[:] = pixels[pixel]
        if weighted:
            w[:] = weights[pixel]
            widest = np.sqrt(w.max())
        zw, zz, ww = _product(w, z, white), _product(w, z, z), _product(w, white, white)
        length = np.sqrt(zz + beyond * beyond)
        slack = _ROUNDING * length
        # what of a pixel lies outside the basis the model cannot reach
        past = max(beyond - outside * length, 0.0)
        wanted = _inside(best[pixel] - tolerance[pixel], past, slack)
        least, height = np.inf, 1
        stack[0], inherited[0] = 0, 0.0
        while height > 0:
            height -= 1
            level, i, j = stack[height, 0], stack[height, 1], stack[height, 2]
            known = inherited[height]
            if visited[pixel] >= most:
                least = min(least, known)
                continue
            visited[pixel] += 1
            fold = 1 << max(level - levels + 1, 0)
            if fold == 1:
                cell = starts[level] + i * shapes[level, 1] + j
                c = coefficients[cell]
            else:  # a part of a cell of the finest level
                row, column = (i // fold if rows > 1 else 0), (j // fold if columns > 1 else 0)
                cell = starts[-1] + row * columns + column
                x = (2 * (i - row * fold) + 1) / fold - 1 if rows > 1 else 0.0
                y = (2 * (j - column * fold) + 1) / fold - 1 if columns > 1 else 0.0
                _part(coefficients[cell], x, y, 1 / fold, moved)
                c = moved
            rho = widest * remainder[cell]
            if weighted or fold > 1:
                _products(c, w, white, gram)
            else:
                gram[:] = products[cell]
            reach = length
            if weighted:  # a direction may be short in the bands that count
                short = np.sqrt(gram[0]) - np.sqrt(gram[3]) - np.sqrt(gram[5]) - widest * bends[cell] / fold**2 - rho
                reach = length / short if short > 0 else np.inf
            z0, z1, z2 = _product(w, z, c[0]), _product(w, z, c[1]), _product(w, z, c[2])
            x, y = _nearest(gram, z0, z1, z2, zw, ww)
            # the residual at that point of the cell is the dual vector
            norm, product = _residual(c, x, y, z, w, white, zw, ww, direction, dual)
            distance = np.sqrt((norm + reach * rho) ** 2 + (beyond + outside * length) ** 2) + slack
            if distance < min(best[pixel] - 0.1 * tolerance[pixel], distances[pixel]):
                distances[pixel] = distance
                wanted = _inside(distance - tolerance[pixel], past, slack)
                places[pixel, 0] = (i + (x + 1) / 2) / (1 << level if rows > 1 else 1)
                places[pixel, 1] = (j + (y + 1) / 2) / (1 << level if columns > 1 else 1)
            for m in range(10):
                seen[m, 0] = _product(w, dual, c[m])
            norm = max(norm, 1e-300)
            # what i_s >= 0 could gain where rounding leaves the dual vector a trace of white
            product -= max(_product(w, dual, white), 0.0) * length / np.sqrt(ww)
            found = max(known, _separated(product, reach, _highest(seen) + rho * norm, norm))
            if found >= wanted:
                least = min(least, found)
                continue
            deepest = levels - 1 + (_DEEPEST if 2 * reach * rho <= tolerance[pixel] else _DEEP)
            for half_i in range(2 if rows > 1 else 1):
                for half_j in range(2 if columns > 1 else 1):
                    x, y = (half_i - 0.5 if rows > 1 else 0.0), (half_j - 0.5 if columns > 1 else 0.0)
                    _part(seen, x, y, 0.5, part)
                    again = max(found, _separated(product, reach, _highest(part) + rho * norm, norm))
                    if again >= wanted or level >= deepest:
                        least = min(least, again)
                        continue
                    stack[height, 0], inherited[height] = level + 1, again
                    stack[height, 1] = 2 * i + half_i if rows > 1 else 0
                    stack[height, 2] = 2 * j + half_j if columns > 1 else 0
                    height += 1
        least = max(least - slack, 0.0)
        bounds[pixel] = np.sqrt(least * least + past * past)
    return bounds, distances, places, visited


@_compiled
def _project(pixel, basis, z):  # type: ignore[no-untyped-def]
    """Coordinates of a pixel in the basis, into z, and the length of what stays outside."""
    z[:] = 0.0
    for band in range(pixel.size):
        for k in range(z.size):
            z[k] += pixel[band] * basis[band, k]
    square = 0.0
    for band in range(pixel.size):
        rest = pixel[band]
        for k in range(z.size):
            rest -= z[k] * basis[band, k]
        square += rest * rest
    return np.sqrt(square)


@_compiled
def _inside(distance, past, slack):  # type: ignore[no-untyped-def]
    """How long the part inside the basis must be for a distance of which `past` is outside."""
    return np.sqrt(distance * distance - past * past) + slack if distance > past else 0.0


@_compiled
def _separated(product, reach, highest, norm):  # type: ignore[no-untyped-def]
    """The bound of a cell from a dual vector u: (u.z - reach max(0, highest)) / |u|, where u.g <= highest on it."""
    if highest <= 0:
        return product / norm
    return (product - reach * highest) / norm if reach < np.inf else 0.0


@_compiled
def _product(w, a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(w.size):
        total += w[k] * a[k] * b[k]
    return total


@_compiled
def _products(c, w, white, gram):  # type: ignore[no-untyped-def]
    """Products of a cell's centre and slopes with each other (00, 01, 02, 11, 12, 22) and with white, into gram."""
    place = 0
    for m in range(3):
        for n in range(m, 3):
            gram[place] = _product(w, c[m], c[n])
            place += 1
        gram[6 + m] = _product(w, c[m], white)


@_compiled
def _shadings(rr, rw, rz, wz, ww):  # type: ignore[no-untyped-def]
    """Least squares a, s >= 0 of z on a r + s white, from the inner products."""
    determinant = rr * ww - rw * rw
    a = (rz * ww - wz * rw) / determinant if determinant > 1e-14 * rr * ww else 0.0
    if a <= 0:
        return 0.0, max(wz / ww, 0.0)
    s = (wz - a * rw) / ww
    if s < 0:
        return max(rz / rr, 0.0), 0.0
    return a, s


@_compiled
def _nearest(gram, z0, z1, z2, wz, ww):  # type: ignore[no-untyped-def]
    """About where on the cell's tangent plane the objective is least: x, y in [-1, 1]."""
    g00, g01, g02, g11, g12, g22 = gram[0], gram[1], gram[2], gram[3], gram[4], gram[5]
    w0, w1, w2 = gram[6], gram[7], gram[8]
    x = y = 0.0
    if _shadings(g00, w0, z0, wz, ww)[0] <= 0:  # a plateau: start where the cell explains most
        x, y = np.sign(z1 - w1 * wz / ww), np.sign(z2 - w2 * wz / ww)
    for _ in range(_STEPS):
        r1, r2 = g01 + x * g11 + y * g12, g02 + x * g12 + y * g22
        rr = g00 + x * g01 + y * g02 + x * r1 + y * r2
        rw = w0 + x * w1 + y * w2
        a, s = _shadings(rr, rw, z0 + x * z1 + y * z2, wz, ww)
        if a <= 0:
            break
        d1, d2 = -(z1 - a * r1 - s * w1) / a, -(z2 - a * r2 - s * w2) / a
        h11, h12, h22 = g11, g12, g22
        if s > 0:  # white takes over its share
            h11, h12, h22 = h11 - w1 * w1 / ww, h12 - w1 * w2 / ww, h22 - w2 * w2 / ww
            rr, r1, r2 = rr - rw * rw / ww, r1 - rw * w1 / ww, r2 - rw * w2 / ww
        rr, least = max(rr, 1e-20 * g00), 1e-20 * g00
        # so does the direction itself; a trace of the diagonal keeps the step finite
        h11 = max((h11 - r1 * r1 / rr) * (1 + 1e-9), least)
        h12 -= r1 * r2 / rr
        h22 = max((h22 - r2 * r2 / rr) * (1 + 1e-9), least)
        determinant = max(h11 * h22 - h12 * h12, 1e-9 * h11 * h22)
        u = min(max((h12 * d2 - h22 * d1) / determinant, -1 - x), 1 - x)
        v = min(max((h12 * d1 - h11 * d2) / determinant, -1 - y), 1 - y)
        v_given_u = min(max(-(d2 + h12 * u) / h22, -1 - y), 1 - y)
        u_given_v = min(max(-(d1 + h12 * v) / h11, -1 - x), 1 - x)
        one = d1 * u + d2 * v_given_u + 0.5 * (h11 * u * u + h22 * v_given_u * v_given_u) + h12 * u * v_given_u
        two = d1 * u_given_v + d2 * v + 0.5 * (h11 * u_given_v * u_given_v + h22 * v * v) + h12 * u_given_v * v
        if one <= two:
            v = v_given_u
        else:
            u = u_given_v
        x, y = x + u, y + v
        if abs(u) + abs(v) < 1e-3:
            break
    return x, y


@_compiled
def _residual(c, x, y, z, w, white, wz, ww, direction, dual):  # type: ignore[no-untyped-def]
    """Residual z - a g(x, y) - s white at the best a, s >= 0, into dual: its length, and its product with z."""
    xx, xy, yy = x * x, x * y, y * y
    xxx, xxy, xyy, yyy = xx * x, xx * y, xy * y, yy * y
    for k in range(z.size):
        direction[k] = c[0, k] + x * c[1, k] + y * c[2, k] + xx * c[3, k] + xy * c[4, k] + yy * c[5, k]
        direction[k] += xxx * c[6, k] + xxy * c[7, k] + xyy * c[8, k] + yyy * c[9, k]
    rr, rz = _product(w, direction, direction), _product(w, direction, z)
    a, s = _shadings(rr, _product(w, direction, white), rz, wz, ww)
    for k in range(z.size):
        dual[k] = z[k] - a * direction[k] - s * white[k]
    return np.sqrt(_product(w, dual, dual)), _product(w, dual, z)


@_compiled
def _part(c, x, y, scale, out):  # type: ignore[no-untyped-def]
    """Coefficients (10, k) of the same polynomials on the part of a cell with centre (x, y) and half-width scale."""
    two, three = scale * scale, scale * scale * scale
    for k in range(c.shape[1]):
        c20, c11, c02 = c[3, k], c[4, k], c[5, k]
        c30, c21, c12, c03 = c[6, k], c[7, k], c[8, k], c[9, k]
        by_x = c[1, k] + x * (2 * c20 + 3 * c30 * x) + y * (c11 + 2 * c21 * x + c12 * y)
        by_y = c[2, k] + y * (2 * c02 + 3 * c03 * y) + x * (c11 + 2 * c12 * y + c21 * x)
        value = c[0, k] + x * (c[1, k] + x * (c20 + x * c30)) + y * (c[2, k] + y * (c02 + y * c03))
        out[0, k] = value + x * y * (c11 + x * c21 + y * c12)
        out[1, k] = scale * by_x
        out[2, k] = scale * by_y
        out[3, k] = two * (c20 + 3 * x * c30 + y * c21)
        out[4, k] = two * (c11 + 2 * x * c21 + 2 * y * c12)
        out[5, k] = two * (c02 + 3 * y * c03 + x * c12)
        out[6, k] = three * c30
        out[7, k] = three * c21
        out[8, k] = three * c12
        out[9, k] = three * c03


@_compiled
def _highest(m):  # type: ignore[no-untyped-def]
    """Upper bound of a cubic (10, 1) on the cell: its quadratic part exactly, what is left of the cubes at their most.

    x^3 = (T_3 + 3x) / 4 and x^2 y = (y + T_2 y) / 2 with |T| <= 1.
    """
    top = m[0, 0]
    b1 = m[1, 0] + 0.75 * m[6, 0] + 0.5 * m[8, 0]
    b2 = m[2, 0] + 0.75 * m[9, 0] + 0.5 * m[7, 0]
    rest = 0.25 * (abs(m[6, 0]) + abs(m[9, 0])) + 0.5 * (abs(m[7, 0]) + abs(m[8, 0]))
    q11, q12, q22 = m[3, 0], m[4, 0], m[5, 0]
    best = max(_along(q11 + b1, b2 + q12, q22), _along(q11 - b1, b2 - q12, q22))
    best = max(best, max(_along(q22 + b2, b1 + q12, q11), _along(q22 - b2, b1 - q12, q11)))
    determinant = 4 * q11 * q22 - q12 * q12
    if q11 < 0 and determinant > 0:
        x, y = (q12 * b2 - 2 * q22 * b1) / determinant, (q12 * b1 - 2 * q11 * b2) / determinant
        if abs(x) <= 1 and abs(y) <= 1:
            best = max(best, 0.5 * (b1 * x + b2 * y))
    return top + best + rest


@_compiled
def _along(value, slope, bend):  # type: ignore[no-untyped-def]
    """Greatest of value + slope t + bend t^2 for t in [-1, 1]."""
    if bend < 0 and abs(slope) < -2 * bend:
        return value - 0.25 * slope * slope / bend
    return value + abs(slope) + bend
