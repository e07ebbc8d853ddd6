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
# Coordinates besides white; `_numerator` is written out for so many.
ACROSS = 15
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
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_TINY = np.float32(1e-30)


def terms() -> list[tuple[int, int]]:
    """Exponents (a, b) of the terms, b running first."""
    return [(a, b) for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)]


@compiled
def refine(z, owner, node, expansions, limits, fractions, lower, upper):  # type: ignore[no-untyped-def]
    """Fractions (start, 2) near their nodes where the objective is least, float32.

    z (block, 1 + ACROSS, LANES), the coordinates of pixels, white first; owner and node (start,), as from
    `numba_search.search`; of each node: expansions (node, 1 + ACROSS + 2, TERMS) of a reflectance's coordinates, of
    its square without white and of its whole square, limits (node, 4), how far a start may go back and forth along
    both axes, and fractions (node, 2, 3), the pigments as quadratic polynomials of the distance along their axis;
    lower, upper (2,), the box.
    """
    starts = np.empty((owner.size, 2), np.float32)
    state, lines = aligned(_ROWS * LANES, expansions), aligned(LANES * TERMS, expansions).reshape(LANES, TERMS)
    for first in range(0, owner.size, LANES):
        here = min(LANES, owner.size - first)
        for lane in range(here):
            at = node[first + lane]
            pixel = owner[first + lane]
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
