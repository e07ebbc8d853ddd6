"""The search of a grid on a GPU, and from its best nodes to the minimum near them on polynomials.

See `numba_search` and `numba_polynomials`, whose tables these are.
"""

from __future__ import annotations

import triton
import triton.language as tl

from msfit.solve.kernels.triton_objective import bounded_pair, clip, precision_of, with_prior

LOWEST: tl.constexpr = tl.constexpr(-1e30)


@triton.jit
def coordinate(z, number):  # type: ignore[no-untyped-def]
    """One of the coordinates (16, lane) of pixels: (lane,)."""
    return tl.sum(tl.where(tl.arange(0, 16)[:, None] == number, z, 0.0), axis=0)


@triton.jit
def _explained(  # type: ignore[no-untyped-def]
    z_1, z_2, z_3, z_4, z_5, z_6, z_7, z_8, z_9, z_10, z_11, z_12, white, directions, ratios, row, column, columns,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """What of the squares of pixels, by their coordinates z (lane,), each node of a row explains: (lane, column)."""
    across = white[None, :] * 0.0 + tl.zeros_like(column)[:, None].to(tl.float32)
    at = directions + row * 16 * COLUMNS + column
    across += z_1[None, :] * tl.load(at + 1 * COLUMNS)[:, None]
    across += z_2[None, :] * tl.load(at + 2 * COLUMNS)[:, None]
    across += z_3[None, :] * tl.load(at + 3 * COLUMNS)[:, None]
    across += z_4[None, :] * tl.load(at + 4 * COLUMNS)[:, None]
    across += z_5[None, :] * tl.load(at + 5 * COLUMNS)[:, None]
    across += z_6[None, :] * tl.load(at + 6 * COLUMNS)[:, None]
    across += z_7[None, :] * tl.load(at + 7 * COLUMNS)[:, None]
    across += z_8[None, :] * tl.load(at + 8 * COLUMNS)[:, None]
    across += z_9[None, :] * tl.load(at + 9 * COLUMNS)[:, None]
    across += z_10[None, :] * tl.load(at + 10 * COLUMNS)[:, None]
    across += z_11[None, :] * tl.load(at + 11 * COLUMNS)[:, None]
    across += z_12[None, :] * tl.load(at + 12 * COLUMNS)[:, None]
    at = ratios + row * 3 * COLUMNS + column
    specular = white[None, :] * tl.load(at)[:, None] >= across
    whole = across * tl.load(at + COLUMNS)[:, None] + white[None, :] * tl.load(at + 2 * COLUMNS)[:, None]
    alone, beside = tl.maximum(whole, 0.0), tl.maximum(across, 0.0)
    value = tl.where(specular, white[None, :] * white[None, :] + beside * beside, alone * alone)
    return tl.where(column[:, None] < columns, value, LOWEST)


@triton.jit
def _explained_by_channels(  # type: ignore[no-untyped-def]
    pixels, weights, at, stride, here, on_grid, row, column, columns, count, y_mean, total, low_d, high_d, low_s,
    high_s, tiny, means, roots, which, fractions, WEIGHTED: tl.constexpr, BOUNDED: tl.constexpr, PRIOR: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """The same from the channels themselves, with their weights, and with a prior less what that costs at a node."""
    zero = y_mean[None, :] * 0.0 + tl.zeros_like(column)[:, None].to(tl.float32)
    cross, sums, squares = zero, zero, zero
    for c in range(count):
        y = tl.load(pixels + at + c * stride, mask=here, other=0.0)
        w = tl.load(weights + at + c * stride, mask=here, other=0.0) if WEIGHTED else y * 0.0 + 1.0
        r = tl.load(on_grid + (row * count + c) * COLUMNS + column)[:, None]
        wr = w[None, :] * r
        cross, sums, squares = cross + wr * y[None, :], sums + wr, squares + wr * r
    flat = (y_mean * y_mean * total)[None, :]
    spread = squares - sums * sums / total[None, :]
    contrast = cross - y_mean[None, :] * sums
    if PRIOR:
        p_00, p_01, p_0d, p_0s, p_11, p_1d, p_1s, p_dd, p_ds, p_ss = precision_of(roots, which)
        prior = means + 4 * which
        m_0, m_d, m_s = tl.load(prior) - tl.load(fractions + row * columns * 6), tl.load(prior + 2), tl.load(prior + 3)
        m_1 = tl.load(prior + 1)[None, :] - tl.load(fractions + tl.minimum(column, columns - 1) * 6 + 3)[:, None]
        to_d, to_s = p_0d * m_0 + p_dd * m_d + p_ds * m_s, p_0s * m_0 + p_ds * m_d + p_ss * m_s
        height = (p_00 * m_0 + p_0d * m_d + p_0s * m_s) * m_0 + to_d * m_d + to_s * m_s
        slope = 2.0 * (p_01 * m_0 + p_1d * m_d + p_1s * m_s)
        b_d, b_s = to_d[None, :] + p_1d[None, :] * m_1, to_s[None, :] + p_1s[None, :] * m_1
        s_rr, s_ry, s_mean, s_y, s_total = with_prior(
            spread, contrast, sums / total[None, :], y_mean[None, :] + zero, total[None, :] + zero, b_d, b_s,
            p_dd[None, :], p_ds[None, :], p_ss[None, :],
        )  # fmt: skip
        _, _, value = bounded_pair(s_rr, s_ry, s_mean, s_y, s_total, low_d, high_d, low_s, high_s, tiny)
        value -= height[None, :] + m_1 * (slope[None, :] + p_11[None, :] * m_1)
    elif BOUNDED:
        mean, whole = sums / total[None, :], total[None, :] + zero
        _, _, value = bounded_pair(
            spread, contrast, mean, y_mean[None, :] + zero, whole, low_d, high_d, low_s, high_s, tiny
        )
    else:
        beside, alone = tl.maximum(contrast, 0.0), tl.maximum(cross, 0.0)
        specular = (y_mean * total)[None, :] * spread >= contrast * sums
        value = tl.where(specular, flat + beside * beside / spread, alone * alone / squares)
    return tl.where(column[:, None] < columns, value, LOWEST)


@triton.jit
def _insert(value, node, h_0, h_1, h_2, h_3, n_0, n_1, n_2, n_3):  # type: ignore[no-untyped-def]
    """Put a local maximum among the four highest, behind those as high."""
    a, b, c, d = value > h_0, value > h_1, value > h_2, value > h_3
    n_3, h_3 = tl.where(c, n_2, tl.where(d, node, n_3)), tl.where(c, h_2, tl.where(d, value, h_3))
    n_2, h_2 = tl.where(b, n_1, tl.where(c, node, n_2)), tl.where(b, h_1, tl.where(c, value, h_2))
    n_1, h_1 = tl.where(a, n_0, tl.where(b, node, n_1)), tl.where(a, h_0, tl.where(b, value, h_1))
    n_0, h_0 = tl.where(a, node, n_0), tl.where(a, value, h_0)
    return h_0, h_1, h_2, h_3, n_0, n_1, n_2, n_3


@triton.jit
def _beside(value, column, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The larger of the two beside each node (column, lane) in its row, in which the first follows the last.

    A lane holds its whole row in registers, of which the compiler knows which is which: all this becomes renaming.
    """
    before, after = value, value
    for j in tl.static_range(COLUMNS):
        one = tl.sum(tl.where(column[:, None] == j, value, -0.0), axis=0)[None, :]
        before = tl.where(column[:, None] == (j + 1) % COLUMNS, one, before)
        after = tl.where(column[:, None] == (j + COLUMNS - 1) % COLUMNS, one, after)
    return tl.maximum(before, after)


@triton.jit
def search(  # type: ignore[no-untyped-def]
    pixels, weights, at, stride, here, z, white, floor, directions, ratios, on_grid, rows, columns, count, y_mean,
    total, low_d, high_d, low_s, high_s, tiny, means, roots, which, fractions, WEIGHTED: tl.constexpr,
    BOUNDED: tl.constexpr, PRIOR: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The nodes (lane,) of up to four local maxima of what is explained, the highest first; -1 where there are none.

    Among eight neighbours; with bounds or a prior among four, see `numba_search.search_bounded`.
    """
    column = tl.arange(0, COLUMNS)
    # where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own
    plateau = floor[None, :]
    nothing = plateau * 0.0 + tl.zeros_like(column)[:, None].to(tl.float32) + LOWEST
    # a loop carries only what ends a turn as another object than it began with: those before need objects of their own
    value, value_before, along, along_before = nothing, nothing + 0.0, nothing, nothing + 0.0
    h_0 = white * 0.0 + LOWEST
    h_1, h_2, h_3, highest = h_0, h_0, h_0, h_0
    n_0 = tl.zeros_like(white).to(tl.int32) - 1
    n_1, n_2, n_3, best = n_0, n_0, n_0, n_0
    # taken out of z once: sums over its columns cost more than a row's products
    z_1, z_2, z_3, z_4 = coordinate(z, 1), coordinate(z, 2), coordinate(z, 3), coordinate(z, 4)
    z_5, z_6, z_7, z_8 = coordinate(z, 5), coordinate(z, 6), coordinate(z, 7), coordinate(z, 8)
    z_9, z_10, z_11, z_12 = coordinate(z, 9), coordinate(z, 10), coordinate(z, 11), coordinate(z, 12)
    for row in range(rows + 1):
        value_next, along_next = nothing, nothing
        if row < rows:
            if WEIGHTED or BOUNDED:
                value_next = _explained_by_channels(
                    pixels, weights, at, stride, here, on_grid, row, column, columns, count, y_mean, total, low_d,
                    high_d, low_s, high_s, tiny, means, roots, which, fractions, WEIGHTED, BOUNDED, PRIOR, COLUMNS,
                )  # fmt: skip
            else:
                value_next = _explained(
                    z_1, z_2, z_3, z_4, z_5, z_6, z_7, z_8, z_9, z_10, z_11, z_12, white, directions, ratios, row,
                    column, columns, COLUMNS,
                )  # fmt: skip
            side = _beside(value_next, column, COLUMNS)
            along_next = tl.maximum(tl.maximum(value_next, side), plateau)
        if BOUNDED:
            around = tl.maximum(tl.maximum(value_before, along), value_next)
        else:
            around = tl.maximum(tl.maximum(along_before, along), along_next)
        inside = column[:, None] < columns
        tops = tl.where((value >= around) & inside & (row > 0), value, LOWEST)
        top = tl.max(tops, axis=0)
        while tl.max(top, axis=0) > LOWEST:
            place = tl.argmax(tops, axis=0)
            node = tl.where(top > LOWEST, (row - 1) * columns + place, -1).to(tl.int32)
            h_0, h_1, h_2, h_3, n_0, n_1, n_2, n_3 = _insert(top, node, h_0, h_1, h_2, h_3, n_0, n_1, n_2, n_3)
            tops = tl.where(column[:, None] == place[None, :], LOWEST, tops)
            top = tl.max(tops, axis=0)
        most = tl.max(value_next, axis=0)
        higher = most > highest
        best = tl.where(higher, (row * columns + tl.argmax(value_next, axis=0)).to(tl.int32), best)
        highest = tl.where(higher, most, highest)
        along_before, along = along, along_next
        value_before, value = value, value_next
    # where nothing explains more than white alone, the first of the highest nodes
    return tl.where(n_0 < 0, best, n_0), n_1, n_2, n_3


@triton.jit
def _polynomial(  # type: ignore[no-untyped-def]
    p00, p01, p02, p03, p04, p05, p10, p11, p12, p13, p14, p20, p21, p22, p23, p30, p31, p32, p40, p41, p50, u,
    v,
):  # fmt: skip
    """A polynomial, p_ab standing before u^a v^b, its first and its halved second derivatives, by Horner's rule."""
    q4, s4 = p40 + v * p41, p41
    q3, s3, h3 = p30 + v * (p31 + v * p32), p31 + 2.0 * v * p32, p32
    q2 = p20 + v * (p21 + v * (p22 + v * p23))
    s2, h2 = p21 + v * (2.0 * p22 + v * 3.0 * p23), p22 + v * 3.0 * p23
    q1 = p10 + v * (p11 + v * (p12 + v * (p13 + v * p14)))
    s1, h1 = p11 + v * (2.0 * p12 + v * (3.0 * p13 + v * 4.0 * p14)), p12 + v * (3.0 * p13 + v * 6.0 * p14)
    q0 = p00 + v * (p01 + v * (p02 + v * (p03 + v * (p04 + v * p05))))
    s0 = p01 + v * (2.0 * p02 + v * (3.0 * p03 + v * (4.0 * p04 + v * 5.0 * p05)))
    h0 = p02 + v * (3.0 * p03 + v * (6.0 * p04 + v * 10.0 * p05))
    value = q0 + u * (q1 + u * (q2 + u * (q3 + u * (q4 + u * p50))))
    by_u = q1 + u * (2.0 * q2 + u * (3.0 * q3 + u * (4.0 * q4 + u * 5.0 * p50)))
    by_uu = q2 + u * (3.0 * q3 + u * (6.0 * q4 + u * 10.0 * p50))
    by_v = s0 + u * (s1 + u * (s2 + u * (s3 + u * s4)))
    by_uv = s1 + u * (2.0 * s2 + u * (3.0 * s3 + u * 4.0 * s4))
    by_vv = h0 + u * (h1 + u * (h2 + u * h3))
    return value, by_u, by_v, by_uu, by_uv, by_vv


@triton.jit
def refine(z, white, node, expansions, limits, TERMS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where near its node a pixel's objective is least by its expansions: distances (u, v), see `numba_polynomials`.

    The numerator's coefficients n_ab are sums over coordinates, in the order of `numba_polynomials.terms`.
    """
    own = expansions + node * 18 * TERMS
    zero = white * 0.0
    n00, n01, n02, n03, n04, n05, n10 = zero, zero, zero, zero, zero, zero, zero
    n11, n12, n13, n14, n20, n21, n22 = zero, zero, zero, zero, zero, zero, zero
    n23, n30, n31, n32, n40, n41, n50 = zero, zero, zero, zero, zero, zero, zero
    for k in range(1, 16):  # not unrolled, which took minutes to compile
        c, at = coordinate(z, k), own + k * TERMS
        n00, n01, n02 = n00 + c * tl.load(at + 0), n01 + c * tl.load(at + 1), n02 + c * tl.load(at + 2)
        n03, n04, n05 = n03 + c * tl.load(at + 3), n04 + c * tl.load(at + 4), n05 + c * tl.load(at + 5)
        n10, n11, n12 = n10 + c * tl.load(at + 6), n11 + c * tl.load(at + 7), n12 + c * tl.load(at + 8)
        n13, n14, n20 = n13 + c * tl.load(at + 9), n14 + c * tl.load(at + 10), n20 + c * tl.load(at + 11)
        n21, n22, n23 = n21 + c * tl.load(at + 12), n22 + c * tl.load(at + 13), n23 + c * tl.load(at + 14)
        n30, n31, n32 = n30 + c * tl.load(at + 15), n31 + c * tl.load(at + 16), n32 + c * tl.load(at + 17)
        n40, n41, n50 = n40 + c * tl.load(at + 18), n41 + c * tl.load(at + 19), n50 + c * tl.load(at + 20)
    specular = white * tl.load(own + 16 * TERMS) >= n00 * tl.load(own)
    c = tl.where(specular, 0.0, white)
    n00, n01, n02 = n00 + c * tl.load(own + 0), n01 + c * tl.load(own + 1), n02 + c * tl.load(own + 2)
    n03, n04, n05 = n03 + c * tl.load(own + 3), n04 + c * tl.load(own + 4), n05 + c * tl.load(own + 5)
    n10, n11, n12 = n10 + c * tl.load(own + 6), n11 + c * tl.load(own + 7), n12 + c * tl.load(own + 8)
    n13, n14, n20 = n13 + c * tl.load(own + 9), n14 + c * tl.load(own + 10), n20 + c * tl.load(own + 11)
    n21, n22, n23 = n21 + c * tl.load(own + 12), n22 + c * tl.load(own + 13), n23 + c * tl.load(own + 14)
    n30, n31, n32 = n30 + c * tl.load(own + 15), n31 + c * tl.load(own + 16), n32 + c * tl.load(own + 17)
    n40, n41, n50 = n40 + c * tl.load(own + 18), n41 + c * tl.load(own + 19), n50 + c * tl.load(own + 20)
    at = own + tl.where(specular, 16, 17) * TERMS
    d00, d01, d02, d03, d04 = tl.load(at + 0), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3), tl.load(at + 4)
    d05, d10, d11, d12, d13 = tl.load(at + 5), tl.load(at + 6), tl.load(at + 7), tl.load(at + 8), tl.load(at + 9)
    d14, d20, d21, d22, d23 = tl.load(at + 10), tl.load(at + 11), tl.load(at + 12), tl.load(at + 13), tl.load(at + 14)
    d30, d31, d32, d40, d41 = tl.load(at + 15), tl.load(at + 16), tl.load(at + 17), tl.load(at + 18), tl.load(at + 19)
    d50 = tl.load(at + 20)
    least_u, most_u = tl.load(limits + 4 * node), tl.load(limits + 4 * node + 1)
    least_v, most_v = tl.load(limits + 4 * node + 2), tl.load(limits + 4 * node + 3)
    u, v, best_u, best_v, best = white * 0.0, white * 0.0, white * 0.0, white * 0.0, white * 0.0
    for _ in range(4):  # three steps; the last pass only looks where the one before has led
        n, n_u, n_v, n_uu, n_uv, n_vv = _polynomial(
            n00, n01, n02, n03, n04, n05, n10, n11, n12, n13, n14, n20, n21, n22, n23, n30, n31, n32, n40, n41,
            n50, u, v,
        )  # fmt: skip
        d, d_u, d_v, d_uu, d_uv, d_vv = _polynomial(
            d00, d01, d02, d03, d04, d05, d10, d11, d12, d13, d14, d20, d21, d22, d23, d30, d31, d32, d40, d41,
            d50, u, v,
        )  # fmt: skip
        explained = n * n / d
        better = (n > 0.0) & (d > 0.0) & (explained >= best * (1.0 - 1e-5))
        best = tl.where(better, explained, best)
        best_u, best_v = tl.where(better, u, best_u), tl.where(better, v, best_v)
        by_n, by_d = 1.0 / tl.where(better, n, 1.0), 1.0 / tl.where(better, d, 1.0)
        n_u, n_v, d_u, d_v = n_u * by_n, n_v * by_n, d_u * by_d, d_v * by_d
        g_u, g_v = n_u - 0.5 * d_u, n_v - 0.5 * d_v
        h_uu = n_u * n_u - 2.0 * n_uu * by_n + d_uu * by_d - 0.5 * d_u * d_u
        h_vv = n_v * n_v - 2.0 * n_vv * by_n + d_vv * by_d - 0.5 * d_v * d_v
        h_uv = n_u * n_v - n_uv * by_n + 0.5 * (d_uv * by_d - d_u * d_v)
        determinant = h_uu * h_vv - h_uv * h_uv
        bowl = (h_uu > 1e-30) & (h_vv > 1e-30) & (determinant > 1e-6 * h_uu * h_vv)
        reach = tl.where(bowl, 4.0, 0.5)
        h_uv = tl.where(bowl, h_uv, 0.0)
        h_uu = tl.where(bowl, h_uu, tl.abs(h_uu) + 1e-30)
        h_vv = tl.where(bowl, h_vv, tl.abs(h_vv) + 1e-30)
        determinant = tl.where(bowl, determinant, h_uu * h_vv + 1e-30)
        s_u = clip(clip((h_vv * g_u - h_uv * g_v) / determinant, -reach, reach), least_u - u, most_u - u)
        s_v = clip(clip((g_v - h_uv * s_u) / h_vv, -reach, reach), least_v - v, most_v - v)
        s_u = clip(clip((g_u - h_uv * s_v) / h_uu, -reach, reach), least_u - u, most_u - u)
        # from a point that was not worth going to, half the way back
        u, v = tl.where(better, u + s_u, 0.5 * (best_u + u)), tl.where(better, v + s_v, 0.5 * (best_v + v))
    return best_u, best_v


@triton.jit
def fraction(fractions, node, axis, far, low, high):  # type: ignore[no-untyped-def]
    """A pigment's fraction at a distance from its node along its axis; on a bound where it is next to it."""
    at = fractions + node * 6 + axis * 3
    x = tl.load(at) + far * (tl.load(at + 1) + far * tl.load(at + 2))
    close = 1e-6 * (high - low)
    x = tl.where(x > high - close, high, x)
    return tl.where(x < low + close, low, x)
