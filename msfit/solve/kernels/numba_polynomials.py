"""Between the nodes of a coarse table, as compiled code for CPUs: where near its node a pixel's objective is least.

What of a pixel's square skin explains is N^2 / D, with N its product with the reflectance and D the square of the
reflectance; both about their means while there is gloss. Near a node these are polynomials of the distance to it, N
with coefficients that are sums over the pixel's coordinates. Starts are worked on side by side, as pixels are in
`numba_search`.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.kernels.numba_options import LANES, aligned, compiled, inlined

# Terms u^a v^b of the expansions: a + b <= DEGREE, in the order of `terms`, filled up to a multiple of eight.
DEGREE, TERMS = 5, 24
# Coordinates besides white; `_numerator` is written out for so many, or for few.
ACROSS = 15
FEW = 5
_STEPS = 3
# So much less a point may explain and still be taken for as good: single precision does not tell.
_ALIKE = np.float32(1 - 1e-5)
# Where the curvature tells nothing, a step goes no further than this.
_CAUTIOUS = np.float32(0.5)
# Nearer a bound than this share of the box, a start lies on it.
_CLOSE = np.float32(1e-6)
# Rows of the state: the point that is tried, the best so far and what it explains; where the box and the table end.
_U, _V, _BEST_U, _BEST_V, _BEST, _LEAST_U, _MOST_U, _LEAST_V, _MOST_V = (LANES * k for k in range(9))
_N, _D, _ROWS = LANES * 9, LANES * (9 + TERMS), 9 + 2 * TERMS  # the polynomials
# Of `refine_bounded` besides: the polynomial of the reflectance's sum over the bands; the pigments as polynomials; the
# pixel's sum over the bands; the prior's mean and precision (upper triangle, by rows); 1 / (bands + precision of i_s).
_W = LANES * (9 + 2 * TERMS)
_A0, _A1, _A2, _B0, _B1, _B2, _SUM, _M0, _M1, _MD, _MS = (_W + LANES * (TERMS + k) for k in range(11))
_P00, _P01, _P0D, _P0S, _P11, _P1D, _P1S, _PDD, _PDS, _PSS = (_W + LANES * (TERMS + 11 + k) for k in range(10))
_SHARE, _MORE, _ROWS_BOUNDED = _W + LANES * (TERMS + 21), _W + LANES * (TERMS + 22), 9 + 3 * TERMS + 23
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_TINY, _LARGE = np.float32(1e-30), np.float32(1e30)


def terms() -> list[tuple[int, int]]:
    """Exponents (a, b) of the terms, b running first."""
    return [(a, b) for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)]


@compiled
def refine(z, owner, node, expansions, limits, fractions, lower, upper):  # type: ignore[no-untyped-def]
    """Fractions (start, 2) near their nodes where the objective is least, float32.

    z (block, 1 + ACROSS, LANES), the coordinates of pixels, white first (1 + FEW where there are no more); owner and
    node (start,), as from `numba_search.search`; of each node: expansions (node, 1 + ACROSS + 2, TERMS) of a
    reflectance's coordinates, of its square without white and of its whole square, limits (node, 4), how far a start
    may go back and forth along both axes, and fractions (node, 2, 3), the pigments as quadratic polynomials of the
    distance along their axis; lower, upper (2,), the box.
    """
    starts = np.empty((owner.size, 2), np.float32)
    state, lines = aligned(_ROWS * LANES, expansions), aligned(LANES * TERMS, expansions).reshape(LANES, TERMS)
    for first in range(0, owner.size, LANES):
        here = min(LANES, owner.size - first)
        for lane in range(here):
            at = node[first + lane]
            pixel = owner[first + lane]
            if expansions.shape[1] == 1 + FEW + 2:
                denominator = _numerator_few(z[pixel // LANES], pixel % LANES, expansions[at], lines[lane])
            else:
                denominator = _numerator(z[pixel // LANES], pixel % LANES, expansions[at], lines[lane])
            for term in range(TERMS):
                state[_D + term * LANES + lane] = expansions[at, denominator, term]
            state[_LEAST_U + lane], state[_MOST_U + lane] = limits[at, 0], limits[at, 1]
            state[_LEAST_V + lane], state[_MOST_V + lane] = limits[at, 2], limits[at, 3]
        for term in range(TERMS):
            for lane in range(LANES):
                state[_N + term * LANES + lane] = lines[lane, term]
        state[:_LEAST_U] = _ZERO
        for _ in range(1 + _STEPS):  # the last only looks where the one before has led
            _step(state)
        for lane in range(here):
            at = fractions[node[first + lane]]
            for axis in range(2):
                far = state[(_BEST_U if axis == 0 else _BEST_V) + lane]
                value = at[axis, 0] + far * (at[axis, 1] + far * at[axis, 2])
                close = _CLOSE * (upper[axis] - lower[axis])
                value = upper[axis] if value > upper[axis] - close else value
                starts[first + lane, axis] = lower[axis] if value < lower[axis] + close else value
    return starts


@compiled
def refine_bounded(z, owner, of, node, expansions, limits, fractions, lower, upper, bands, ends, means, roots):  # type: ignore[no-untyped-def]
    """As `refine`, under bounds of the shadings and priors: `ends`, `means`, `roots` and `of` are those of the descent.

    The objective is that of `msfit.solve.problem` with polynomials for what it needs of the reflectance: its product
    with the pixel, its square and its sum over `bands`. Besides, by how much it is lowered there (start,), and by how
    much more the next step would have lowered it.
    """
    starts, gained = np.empty((owner.size, 2), np.float32), np.empty((2, owner.size), np.float32)
    state, line = aligned(_ROWS_BOUNDED * LANES, expansions), aligned(TERMS, expansions)
    across, root_of_bands = expansions.shape[1] - 3, np.sqrt(np.float32(bands))
    for first in range(0, owner.size, LANES):
        here = min(LANES, owner.size - first)
        for lane in range(here):
            at, pixel = node[first + lane], owner[first + lane]
            expansion, block, column = expansions[at], z[pixel // LANES], pixel % LANES
            line[:] = _ZERO
            for j in range(across + 1):
                value = block[j, column]
                for k in range(TERMS):
                    line[k] += value * expansion[j, k]
            for k in range(TERMS):
                state[_N + k * LANES + lane], state[_D + k * LANES + lane] = line[k], expansion[across + 2, k]
                state[_W + k * LANES + lane] = root_of_bands * expansion[0, k]
            state[_LEAST_U + lane], state[_MOST_U + lane] = limits[at, 0], limits[at, 1]
            state[_LEAST_V + lane], state[_MOST_V + lane] = limits[at, 2], limits[at, 3]
            for k in range(3):
                state[_A0 + k * LANES + lane], state[_B0 + k * LANES + lane] = fractions[at, 0, k], fractions[at, 1, k]
            state[_SUM + lane] = root_of_bands * block[0, column]
            prior, put = of[first + lane], _P00 + lane
            for i in range(4):
                state[_M0 + i * LANES + lane] = means[prior, i]
                for j in range(i, 4):
                    value = _ZERO
                    for row in range(4):
                        value += roots[prior, row, i] * roots[prior, row, j]
                    state[put] = value
                    put += LANES
            state[_SHARE + lane] = _ONE / (np.float32(bands) + state[_PSS + lane])
        state[:_LEAST_U] = _ZERO
        state[_BEST : _BEST + LANES] = -_LARGE
        for _ in range(1 + _STEPS):
            _step_bounded(state, np.float32(bands), ends[0], ends[1], ends[2], ends[3])
        for lane in range(here):
            for axis in range(2):
                far, at = state[(_BEST_U if axis == 0 else _BEST_V) + lane], (_A0 if axis == 0 else _B0) + lane
                value = state[at] + far * (state[at + LANES] + far * state[at + 2 * LANES])
                close = _CLOSE * (upper[axis] - lower[axis])
                value = upper[axis] if value > upper[axis] - close else value
                starts[first + lane, axis] = lower[axis] if value < lower[axis] + close else value
            gained[0, first + lane], gained[1, first + lane] = state[_BEST + lane], state[_MORE + lane]
    return starts, gained


@compiled
def worthwhile(owner, of, gained, constants, margin):  # type: ignore[no-untyped-def]
    """Which starts (start,) may end within `margin` of the lowest end of their pixel, all components together.

    constants (component, n or 1) are added to the objective. What a step would still gain counts ten times.
    """
    count = owner.max() + 1 if owner.size > 0 else 0
    lowest, kept = np.full(count, np.inf), np.empty(owner.size, np.bool_)
    for k in range(owner.size):
        n = owner[k]
        value = constants[of[k], n if constants.shape[1] > 1 else 0] - gained[0, k]
        lowest[n] = min(lowest[n], value)
    for k in range(owner.size):
        n = owner[k]
        value = constants[of[k], n if constants.shape[1] > 1 else 0] - gained[0, k] - 10 * gained[1, k]
        kept[k] = not value > lowest[n] + margin
    return kept


@compiled
def _step_bounded(state, bands, low_d, high_d, low_s, high_s):  # type: ignore[no-untyped-def]
    """Newton's step for the objective with the shadings eliminated, from a point that was worth going to."""
    for lane in range(LANES):
        u, v, best_u, best_v = state[_U + lane], state[_V + lane], state[_BEST_U + lane], state[_BEST_V + lane]
        n, n_u, n_v, n_uu, n_uv, n_vv = _polynomial(state, _N + lane, u, v)
        d, d_u, d_v, d_uu, d_uv, d_vv = _polynomial(state, _D + lane, u, v)
        w, w_u, w_v, w_uu, w_uv, w_vv = _polynomial(state, _W + lane, u, v)
        a_1, a_2, b_1, b_2 = state[_A1 + lane], state[_A2 + lane], state[_B1 + lane], state[_B2 + lane]
        m_0 = state[_M0 + lane] - (state[_A0 + lane] + u * (a_1 + u * a_2))
        m_1 = state[_M1 + lane] - (state[_B0 + lane] + v * (b_1 + v * b_2))
        x_u, x_v = a_1 + _TWO * u * a_2, b_1 + _TWO * v * b_2
        m_d, m_s, share, ss = state[_MD + lane], state[_MS + lane], state[_SHARE + lane], bands + state[_PSS + lane]
        p_00, p_01, p_0d, p_0s = state[_P00 + lane], state[_P01 + lane], state[_P0D + lane], state[_P0S + lane]
        p_11, p_1d, p_1s = state[_P11 + lane], state[_P1D + lane], state[_P1S + lane]
        p_dd, p_ds, p_ss = state[_PDD + lane], state[_PDS + lane], state[_PSS + lane]
        to_0, to_1 = (
            p_00 * m_0 + p_01 * m_1 + p_0d * m_d + p_0s * m_s,
            p_01 * m_0 + p_11 * m_1 + p_1d * m_d + p_1s * m_s,
        )
        to_d, to_s = (
            p_0d * m_0 + p_1d * m_1 + p_dd * m_d + p_ds * m_s,
            p_0s * m_0 + p_1s * m_1 + p_ds * m_d + p_ss * m_s,
        )
        constant = m_0 * to_0 + m_1 * to_1 + m_d * to_d + m_s * to_s
        # the best shadings, as in `numba_search`
        dd, ds, hd, hs = d + p_dd, w + p_ds, n + to_d, state[_SUM + lane] + to_s
        spread, contrast = dd - ds * ds * share, hd - hs * ds * share
        spread = spread if spread > _TINY else _TINY
        dd = dd if dd > _TINY else _TINY
        free_d = contrast / spread
        free_s = (hs - free_d * ds) * share
        d_1, s_2 = _clip(free_d, low_d, high_d), _clip(free_s, low_s, high_s)
        s_1, d_2 = _clip((hs - d_1 * ds) * share, low_s, high_s), _clip((hd - s_2 * ds) / dd, low_d, high_d)
        miss_1, miss_2 = s_1 - (hs - d_1 * ds) * share, s_2 - (hs - d_2 * ds) * share
        height_1 = d_1 * (_TWO * contrast - spread * d_1) - ss * miss_1 * miss_1
        height_2 = d_2 * (_TWO * contrast - spread * d_2) - ss * miss_2 * miss_2
        i_d, i_s = d_1 if height_1 >= height_2 else d_2, s_1 if height_1 >= height_2 else s_2
        level = hs * hs * share
        explained = level + (height_1 if height_1 >= height_2 else height_2) - constant
        better = explained >= state[_BEST + lane] - (_ONE - _ALIKE) * level
        state[_BEST + lane] = explained if better else state[_BEST + lane]
        state[_BEST_U + lane], state[_BEST_V + lane] = u if better else best_u, v if better else best_v
        # half the gradient and the Hessian in (u, v), then what the free shadings take away of them
        q_0 = p_0d * i_d + p_0s * i_s - to_0
        q_1 = p_1d * i_d + p_1s * i_s - to_1
        half, both = _HALF * i_d * i_d, i_d * i_s
        g_u, g_v = half * d_u + both * w_u - i_d * n_u + q_0 * x_u, half * d_v + both * w_v - i_d * n_v + q_1 * x_v
        h_uu = i_d * i_d * d_uu + _TWO * (both * w_uu - i_d * n_uu + q_0 * a_2) + p_00 * x_u * x_u
        h_vv = i_d * i_d * d_vv + _TWO * (both * w_vv - i_d * n_vv + q_1 * b_2) + p_11 * x_v * x_v
        h_uv = half * d_uv + both * w_uv - i_d * n_uv + p_01 * x_u * x_v
        h_us, h_vs = i_d * w_u + p_0s * x_u, i_d * w_v + p_1s * x_v
        h_ud, h_vd = i_d * d_u + i_s * w_u - n_u + p_0d * x_u, i_d * d_v + i_s * w_v - n_v + p_1d * x_v
        part = share if (i_s > low_s) & (i_s < high_s) else _ZERO
        h_uu, h_vv, h_uv = h_uu - h_us * h_us * part, h_vv - h_vs * h_vs * part, h_uv - h_us * h_vs * part
        h_ud, h_vd, h_dd = h_ud - h_us * ds * part, h_vd - h_vs * ds * part, dd - ds * ds * part
        part = _ONE / (h_dd if h_dd > _TINY else _TINY) if (i_d > low_d) & (i_d < high_d) else _ZERO
        h_uu, h_vv, h_uv = h_uu - h_ud * h_ud * part, h_vv - h_vd * h_vd * part, h_uv - h_ud * h_vd * part
        g_u, g_v = -g_u, -g_v
        determinant = h_uu * h_vv - h_uv * h_uv
        bowl = (h_uu > _TINY) & (h_vv > _TINY) & (determinant > np.float32(1e-6) * h_uu * h_vv)
        reach = np.float32(4) if bowl else _CAUTIOUS
        h_uv = h_uv if bowl else _ZERO
        h_uu = h_uu if bowl else abs(h_uu) + _TINY
        h_vv = h_vv if bowl else abs(h_vv) + _TINY
        determinant = determinant if bowl else h_uu * h_vv + _TINY
        least_u, most_u = state[_LEAST_U + lane] - u, state[_MOST_U + lane] - u
        least_v, most_v = state[_LEAST_V + lane] - v, state[_MOST_V + lane] - v
        s_u = _clip(_clip((h_vv * g_u - h_uv * g_v) / determinant, -reach, reach), least_u, most_u)
        s_v = _clip(_clip((g_v - h_uv * s_u) / h_vv, -reach, reach), least_v, most_v)
        s_u = _clip(_clip((g_u - h_uv * s_v) / h_uu, -reach, reach), least_u, most_u)
        state[_U + lane] = u + s_u if better else _HALF * (best_u + u)
        state[_V + lane] = v + s_v if better else _HALF * (best_v + v)
        # a start that is held at the end of its stretch may gain more than this step
        at_end = (abs(u + s_u) >= _ONE) | (abs(v + s_v) >= _ONE)
        more = _LARGE if at_end else abs(s_u * g_u) + abs(s_v * g_v)
        state[_MORE + lane] = more if better else state[_MORE + lane]


@inlined
def _numerator(z, at, expansion, line):  # type: ignore[no-untyped-def]
    """The polynomial N of a pixel, that in lane `at` of z, into a line; says which row of the expansion is its D."""
    z1, z2, z3, z4, z5, z6, z7 = z[1, at], z[2, at], z[3, at], z[4, at], z[5, at], z[6, at], z[7, at]
    z8, z9, z10, z11, z12, z13 = z[8, at], z[9, at], z[10, at], z[11, at], z[12, at], z[13, at]
    z14, z15 = z[14, at], z[15, at]
    for k in range(TERMS):
        line[k] = (
            ((z1 * expansion[1, k] + z2 * expansion[2, k]) + (z3 * expansion[3, k] + z4 * expansion[4, k]))
            + ((z5 * expansion[5, k] + z6 * expansion[6, k]) + (z7 * expansion[7, k] + z8 * expansion[8, k]))
            + ((z9 * expansion[9, k] + z10 * expansion[10, k]) + (z11 * expansion[11, k] + z12 * expansion[12, k]))
            + (z13 * expansion[13, k] + z14 * expansion[14, k] + z15 * expansion[15, k])
        )
    white = z[0, at]
    if white * expansion[ACROSS + 1, 0] >= line[0] * expansion[0, 0]:
        return ACROSS + 1
    for term in range(TERMS):
        line[term] += white * expansion[0, term]
    return ACROSS + 2


@inlined
def _numerator_few(z, at, expansion, line):  # type: ignore[no-untyped-def]
    """The same in few coordinates."""
    z1, z2, z3, z4, z5 = z[1, at], z[2, at], z[3, at], z[4, at], z[5, at]
    for k in range(TERMS):
        line[k] = (
            (z1 * expansion[1, k] + z2 * expansion[2, k]) + (z3 * expansion[3, k] + z4 * expansion[4, k])
        ) + z5 * expansion[5, k]
    white = z[0, at]
    if white * expansion[FEW + 1, 0] >= line[0] * expansion[0, 0]:
        return FEW + 1
    for term in range(TERMS):
        line[term] += white * expansion[0, term]
    return FEW + 2


@inlined
def _polynomial(state, c, u, v):  # type: ignore[no-untyped-def]
    """The polynomial whose first term stands at `c`, its first and its halved second derivatives, by Horner's rule."""
    L = LANES
    # along v, for each power of u: value, slope, half the curvature
    a5 = state[c + 20 * L]
    a4, b4 = state[c + 18 * L], state[c + 19 * L]
    a3, b3, c3 = state[c + 15 * L], state[c + 16 * L], state[c + 17 * L]
    a2, b2, c2, d2 = state[c + 11 * L], state[c + 12 * L], state[c + 13 * L], state[c + 14 * L]
    a1, b1, c1, d1, e1 = state[c + 6 * L], state[c + 7 * L], state[c + 8 * L], state[c + 9 * L], state[c + 10 * L]
    a0, b0, c0, d0, e0, f0 = (
        state[c],
        state[c + L],
        state[c + 2 * L],
        state[c + 3 * L],
        state[c + 4 * L],
        state[c + 5 * L],
    )
    three, six, ten = np.float32(3), np.float32(6), np.float32(10)
    four, five = np.float32(4), np.float32(5)
    q4, p4 = a4 + v * b4, b4
    q3, p3, h3 = a3 + v * (b3 + v * c3), b3 + v * _TWO * c3, c3
    q2 = a2 + v * (b2 + v * (c2 + v * d2))
    p2, h2 = b2 + v * (_TWO * c2 + v * three * d2), c2 + v * three * d2
    q1 = a1 + v * (b1 + v * (c1 + v * (d1 + v * e1)))
    p1, h1 = b1 + v * (_TWO * c1 + v * (three * d1 + v * four * e1)), c1 + v * (three * d1 + v * six * e1)
    q0 = a0 + v * (b0 + v * (c0 + v * (d0 + v * (e0 + v * f0))))
    p0 = b0 + v * (_TWO * c0 + v * (three * d0 + v * (four * e0 + v * five * f0)))
    h0 = c0 + v * (three * d0 + v * (six * e0 + v * ten * f0))
    value = q0 + u * (q1 + u * (q2 + u * (q3 + u * (q4 + u * a5))))
    by_u = q1 + u * (_TWO * q2 + u * (three * q3 + u * (four * q4 + u * five * a5)))
    by_uu = q2 + u * (three * q3 + u * (six * q4 + u * ten * a5))
    by_v = p0 + u * (p1 + u * (p2 + u * (p3 + u * p4)))
    by_uv = p1 + u * (_TWO * p2 + u * (three * p3 + u * four * p4))
    by_vv = h0 + u * (h1 + u * (h2 + u * h3))
    return value, by_u, by_v, by_uu, by_uv, by_vv


@compiled
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    return low if x < low else (high if x > high else x)


@compiled
def _step(state):  # type: ignore[no-untyped-def]
    """Newton's step for half the logarithm of N^2 / D, inside the box, from a point that was worth going to."""
    for lane in range(LANES):
        u, v, best_u, best_v = state[_U + lane], state[_V + lane], state[_BEST_U + lane], state[_BEST_V + lane]
        n, n_u, n_v, n_uu, n_uv, n_vv = _polynomial(state, _N + lane, u, v)
        d, d_u, d_v, d_uu, d_uv, d_vv = _polynomial(state, _D + lane, u, v)
        explained, best = n * n / d, state[_BEST + lane]
        better = (n > _ZERO) & (d > _ZERO) & (explained >= best * _ALIKE)
        state[_BEST + lane] = explained if better else best
        state[_BEST_U + lane], state[_BEST_V + lane] = u if better else best_u, v if better else best_v
        share, part = _ONE / (n if better else _ONE), _ONE / (d if better else _ONE)
        n_u, n_v, d_u, d_v = n_u * share, n_v * share, d_u * part, d_v * part
        g_u, g_v = n_u - _HALF * d_u, n_v - _HALF * d_v
        h_uu = n_u * n_u - _TWO * n_uu * share + d_uu * part - _HALF * d_u * d_u
        h_vv = n_v * n_v - _TWO * n_vv * share + d_vv * part - _HALF * d_v * d_v
        h_uv = n_u * n_v - n_uv * share + _HALF * (d_uv * part - d_u * d_v)
        determinant = h_uu * h_vv - h_uv * h_uv
        bowl = (h_uu > _TINY) & (h_vv > _TINY) & (determinant > np.float32(1e-6) * h_uu * h_vv)
        reach = np.float32(4) if bowl else _CAUTIOUS
        h_uv = h_uv if bowl else _ZERO
        h_uu = h_uu if bowl else abs(h_uu) + _TINY
        h_vv = h_vv if bowl else abs(h_vv) + _TINY
        determinant = determinant if bowl else h_uu * h_vv + _TINY
        least_u, most_u = state[_LEAST_U + lane] - u, state[_MOST_U + lane] - u
        least_v, most_v = state[_LEAST_V + lane] - v, state[_MOST_V + lane] - v
        s_u = _clip(_clip((h_vv * g_u - h_uv * g_v) / determinant, -reach, reach), least_u, most_u)
        s_v = _clip(_clip((g_v - h_uv * s_u) / h_vv, -reach, reach), least_v, most_v)
        s_u = _clip(_clip((g_u - h_uv * s_v) / h_uu, -reach, reach), least_u, most_u)
        # from a point that was not, half the way back
        state[_U + lane] = u + s_u if better else _HALF * (best_u + u)
        state[_V + lane] = v + s_v if better else _HALF * (best_v + v)
