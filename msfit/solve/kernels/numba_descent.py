"""The bounded descent as compiled code for CPUs, on two layers of skin: the exact model, residual and Jacobian.

The reference is `msfit.solve.descent` on `msfit.solve.problem`; here p = 2, and after a step that fails the next is
damped instead of kept in a trust region. Single and double precision are compiled from the same code.

Shadings between other bounds than [0, inf), and Gaussian priors, which add (v - m)' R' R (v - m) for v = (x, i_d, i_s),
take the functions that end in `_bounded`. There the sums over bands stay about their means, to which the prior's terms
are added in closed form: nothing is lost in single precision where a prior says little.

Descents run side by side, one a lane: the innermost loop always goes over the lanes and does the same to all, so the
compiler turns it into vector instructions, and a descent cannot depend on its neighbours. A lane whose descent has
ended takes the next one at once. Spectra lie in `rows`, four rows of `LANES` numbers a band, and some space, lest bands
compete for places of the cache; all else in `state`: constant offsets tell the compiler that rows do not overlap.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from msfit.solve.kernels.numba_options import EXACT, aligned, compiled, inlined
from msfit.solve.kernels.pieces import ABREAST as _ABREAST
from msfit.solve.kernels.pieces import BEND, TERMS

LANES = 32
# Rows of a band: the pixel, the model's reflectance and its derivatives by melanin and by blood.
_Y, _R, _BY_MEL, _BY_BLOOD = (LANES * k for k in range(4))
_WIDTH = 4 * LANES + 16
# Rows of the state: the best point so far, which is what comes out; the objective there and what was learnt on the way;
RESULTS = 7
_X0, _X1, _I_D, _I_S, _COST, _CONVERGED, _STEPS = (LANES * k for k in range(RESULTS))
_G0, _G1, _H00, _H01, _H11, _T0, _T1, _C00, _C01, _C11, _DAMPING = (LANES * k for k in range(7, 18))
# the shadings of the point that is tried, T; whether a lane is done; and what is summed up over the bands.
_TRIED_D, _TRIED_S, _DONE, _WEIGHT, _MEAN, _ENERGY = (LANES * k for k in range(18, 24))
_MEAN_R, _MEAN_0, _MEAN_1, _RR, _RY, _EE, _RE, _E0, _E1, _R0, _R1, _S00, _S01, _S11 = (LANES * k for k in range(24, 38))
_KEPT = ((_X0, _T0), (_X1, _T1), (_I_D, _TRIED_D), (_I_S, _TRIED_S), (_COST, _EE))  # where a point is better
# Gradient and Gauss-Newton Hessian at the point that is tried; a reflectance with its derivatives, and four of them.
_NEW_G0, _NEW_G1, _NEW_H00, _NEW_H01, _NEW_H11 = (LANES * k for k in range(38, 43))
_MIXED, _WIDE, _ROWS = LANES * 43, LANES * 3, 43 + 4 * 3
# Of bounded shadings and priors: the prior's mean, root R (by rows) and precision R' R (upper triangle, by rows), how
# the shadings follow x to first order, and what of the best point so far its uncertainty follows from.
_M, _ROOT, _PRECISION, _D_BY, _S_BY = (LANES * k for k in (_ROWS, _ROWS + 4, _ROWS + 20, _ROWS + 30, _ROWS + 32))
_P00, _P01, _P0D, _P0S, _P11, _P1D, _P1S, _PDD, _PDS, _PSS = (_PRECISION + LANES * k for k in range(10))
#: Columns of an end besides: the sum of weights; weighted means of r, r_0, r_1; sums about these of r r, r r_0, r r_1,
#: r_0 r_0, r_0 r_1, r_1 r_1; and half the gradient in f_mel, f_blood, i_d, i_s. Behind them, the residual of each band.
FURTHER = 14
_FURTHER, _NOW = LANES * (_ROWS + 34), LANES * (_ROWS + 34 + FURTHER)
_ROWS_BOUNDED = _ROWS + 34 + 2 * FURTHER
_SUMS = (_WEIGHT, _MEAN_R, _MEAN_0, _MEAN_1, _RR, _R0, _R1, _S00, _S01, _S11)
# Polynomials of eight channels, before which their values and slopes stand.
_LINE, _COEFFICIENTS = 3 * _ABREAST, TERMS * _ABREAST
# Columns of a skin's constants, see `skin.layers.Constants`.
_DEPTH, _DEPTH_MEL, _DEPTH_BLOOD, _A, _A_BLOOD, _S, _S_BLOOD, _RHO = range(8)

# Numbers that are exact in both types, or need not be, in the narrower: so each type is computed in alone.
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_TINY, _INFINITE = np.finfo(np.float32).tiny, np.float32(np.inf)


def _exp(x):  # type: ignore[no-untyped-def]
    """e^x to about a unit in the last place, 0 far below: Cephes' expf and exp (S. Moshier), without branches."""
    return np.exp(x)


def _exp_single(x):  # type: ignore[no-untyped-def]
    x = x if x > np.float32(-87) else np.float32(-87)
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    x = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    series = np.float32(1.9875691500e-4) * x + np.float32(1.3981999507e-3)
    series = ((series * x + np.float32(8.3334519073e-3)) * x + np.float32(4.1665795894e-2)) * x
    series = (series + np.float32(1.6666665459e-1)) * x + np.float32(5.0000001201e-1)
    return (series * x * x + x + np.float32(1)) * np.int32((np.int32(n) + np.int32(127)) << 23).view(np.float32)


def _exp_double(x):  # type: ignore[no-untyped-def]
    x = x if x > -700.0 else -700.0
    n = np.floor(x * 1.4426950408889634 + 0.5)
    x = x - n * 6.93145751953125e-1
    x = x - n * 1.42860682030941723212e-6
    square = x * x
    odd = x * ((1.26177193074810590878e-4 * square + 3.02994407707441961300e-2) * square + 1.0)
    even = (3.00198505138664455042e-6 * square + 2.52448340349684104192e-3) * square + 2.27265548208155028766e-1
    even = even * square + 2.0
    # n in the lowest bits of a number: 1.5 * 2^52 is added
    power = (np.float64(n + 6755399441055744.0).view(np.int64) + 1023) << 52
    return (1.0 + 2.0 * odd / (even - odd)) * np.int64(power).view(np.float64)


@overload(_exp, jit_options=EXACT)
def _exp_of(x):  # type: ignore[no-untyped-def]
    return _exp_single if x == types.float32 else _exp_double


@compiled
def descend(  # type: ignore[no-untyped-def]
    pixels, weights, owner, start, group, groups, skin, thickness, mixing, pieces, lower, upper, limits, most_steps,
    ends, means, roots, of,
):  # fmt: skip
    """Ends of descents, of each of the groups the lowest and of equals the first: (group, RESULTS).

    Ends whose sums of squares are rounding alone are equals: which is lower, chance would tell.

    pixels and weights (n, band), these empty for ones; owner and group (start,), the pixel and the group of each start,
    groups numbered from 0; start (start, 2); skin, thickness and mixing, see `skin.layers.Constants`; pieces, see
    `pieces.interpolated`, which takes the model's place where it is not empty; lower, upper (2,); limits (2,): the
    tolerance and the rounding unit of the type, in which all else is too.

    ends (4,): bounds of i_d and of i_s; means (m, 4) and roots (m, 4, 4) of priors; of (start,), which of these. Where
    means are empty, bounds are [0, inf) and there is no prior; else results are (group, RESULTS + FURTHER + band).
    """
    bands, bounded = pixels.shape[1], means.size > 0
    columns = RESULTS + FURTHER + bands if bounded else RESULTS
    results, best = np.empty((groups, columns), pixels.dtype), np.full(groups, -1)
    depth = np.empty(groups, pixels.dtype)
    if bounded:  # of a group without a start
        results[:, _COST // LANES] = _INFINITE
    lines = mixing.shape[0] if mixing.size > 0 else bands
    rows = aligned(lines * _WIDTH, pixels).reshape(lines, _WIDTH)
    state = aligned((_ROWS_BOUNDED if bounded else _ROWS) * LANES, pixels)
    raw = aligned(mixing.shape[1] * _WIDTH, pixels).reshape(-1, _WIDTH) if mixing.size > 0 else rows
    weighted = weights.size > 0
    line = aligned(_LINE + _COEFFICIENTS, pixels)
    made = aligned(pieces.shape[2] * LANES * _LINE, pixels).reshape(pieces.shape[2], LANES, _LINE)
    loads = aligned(bands * LANES, pixels).reshape(bands, LANES) if weighted else rows
    descent = np.full(LANES, -1)
    state[_DONE : _DONE + LANES] = _ONE
    begun = ended = 0
    while ended < owner.size:
        for lane in range(LANES):
            if state[_DONE + lane] == _ZERO:
                continue
            if descent[lane] >= 0:
                ended += 1
                cost, least = state[_COST + lane], _rounding(_ZERO, state[_ENERGY + lane], limits[1])
                place, end = group[descent[lane]], (least if cost < least else cost, descent[lane])
                if best[place] < 0 or end < (depth[place], best[place]):
                    depth[place], best[place] = end
                    for column in range(RESULTS):
                        results[place, column] = state[column * LANES + lane]
                    if bounded:
                        for column in range(FURTHER):
                            results[place, RESULTS + column] = state[_FURTHER + column * LANES + lane]
                        _residuals(rows, state, lane, results[place, RESULTS + FURTHER :])
            descent[lane] = begun if begun < owner.size else -1
            if begun < owner.size:
                _begin(pixels[owner[begun]], start[begun], rows, state, lane)
                if weighted:
                    for band in range(bands):
                        loads[band, lane] = weights[owner[begun], band]
                if bounded:
                    _begin_bounded(means[of[begun]], roots[of[begun]], state, lane)
                begun += 1
        if pieces.size > 0:
            _interpolate(pieces, lower, upper, bands, line, made, rows, state)
        else:
            _model(skin, thickness, mixing, raw, rows, state)
        _evaluate(rows, loads, weighted, bands, state, ends, bounded)
        if bounded:
            _derive_bounded(state, ends[0], ends[1], ends[2], ends[3], limits[1])
        else:
            _derive(state, limits[1])
        _judge(state, limits[1])
        if bounded:
            _keep(state)
        _step(state, lower[0], lower[1], upper[0], upper[1], limits[0], limits[1], most_steps)
        if bounded:
            _follow_bounded(state, ends[0], ends[1], ends[2], ends[3])
        else:
            _follow(state)
    return results


@inlined
def _begin(pixel, start, rows, state, lane):  # type: ignore[no-untyped-def]
    """Put a pixel and a start into a lane."""
    for band in range(pixel.size):
        rows[band, _Y + lane] = pixel[band]
    state[_X0 + lane] = state[_T0 + lane] = start[0]
    state[_X1 + lane] = state[_T1 + lane] = start[1]
    state[_COST + lane], state[_STEPS + lane], state[_CONVERGED + lane] = _INFINITE, -_ONE, _ZERO
    state[_C00 + lane] = state[_C01 + lane] = state[_C11 + lane] = state[_DAMPING + lane] = _ZERO


@inlined
def _begin_bounded(mean, root, state, lane):  # type: ignore[no-untyped-def]
    """Put a prior into a lane."""
    at = _PRECISION + lane
    for i in range(4):
        state[_M + i * LANES + lane] = mean[i]
        for j in range(4):
            state[_ROOT + (4 * i + j) * LANES + lane] = root[i, j]
        for j in range(i, 4):
            state[at] = (
                root[0, i] * root[0, j] + root[1, i] * root[1, j] + root[2, i] * root[2, j] + root[3, i] * root[3, j]
            )
            at += LANES


@inlined
def _residuals(rows, state, lane, residual):  # type: ignore[no-untyped-def]
    """What an end leaves of its pixel: to first order from the last point that was tried, which is as good as there."""
    s_0, s_1 = state[_NEW_H00 + lane], state[_NEW_H11 + lane]
    for band in range(residual.size):
        r = rows[band, _R + lane] + rows[band, _BY_MEL + lane] * s_0 + rows[band, _BY_BLOOD + lane] * s_1
        residual[band] = rows[band, _Y + lane] - state[_I_D + lane] * r - state[_I_S + lane]


@compiled
def _model(skin, thickness, mixing, raw, rows, state):  # type: ignore[no-untyped-def]
    """Reflectances and derivatives at the points that are tried into their rows, summed up."""
    state[_MEAN:_NEW_G0] = _ZERO
    for band in range(skin.shape[0]):
        _skin(skin[band], thickness, raw[band], state)
    if mixing.size > 0:
        state[_MEAN_R : _MEAN_R + 3 * LANES] = _ZERO
        for four in range(rows.shape[0] // 4):
            _mix(mixing[4 * four : 4 * four + 4], raw, rows[4 * four : 4 * four + 4], state)


@compiled
def _interpolate(pieces, lower, upper, bands, line, made, rows, state):  # type: ignore[no-untyped-def]
    """The same from the polynomials of the cells in which the points lie, one after another, eight channels at once."""
    state[_MEAN:_NEW_G0] = _ZERO
    bend = np.float32(BEND)
    for axis in range(2):
        low, width, at = lower[axis], upper[axis] - lower[axis], axis * LANES
        cells = np.float32(pieces.shape[axis])
        for lane in range(LANES):
            share = (state[_T0 + at + lane] - low) / width
            share = share if share > _ZERO else _ZERO  # what is no number too
            # the inverse of the bend of the cells' ends, and its slope
            root = np.sqrt(bend * bend + np.float32(4) * (_ONE + bend) * share)
            place = cells * _HALF * (root - bend)
            state[_NEW_G0 + at + lane] = place
            state[_NEW_H00 + at + lane] = _TWO * cells * (_ONE + bend) / (root * width)
            cell = np.floor(place)
            cell = cell if cell < cells - _ONE else cells - _ONE
            state[_MIXED + at + lane] = cell
            state[_NEW_G0 + at + lane] = _TWO * (place - cell) - _ONE
    for lane in range(LANES):
        u, v = state[_NEW_G0 + lane], state[_NEW_G0 + LANES + lane]
        i, j = int(state[_MIXED + lane]), int(state[_MIXED + LANES + lane])
        for group in range(pieces.shape[2]):
            for k in range(_COEFFICIENTS):
                line[_LINE + k] = pieces[i, j, group, k]
            _piece(line, u, v)
            for k in range(_LINE):
                made[group, lane, k] = line[k]
    for band in range(bands):
        _lay(made[band // _ABREAST], band % _ABREAST, rows[band], state)


@compiled
def _lay(made, k, row, state):  # type: ignore[no-untyped-def]
    """A channel of what was made for each lane, (lane, value and slopes of eight), into its row, summed up."""
    for lane in range(LANES):
        r = made[lane, k]
        r_0 = made[lane, _ABREAST + k] * state[_NEW_H00 + lane]
        r_1 = made[lane, 2 * _ABREAST + k] * state[_NEW_H01 + lane]
        row[_R + lane], row[_BY_MEL + lane], row[_BY_BLOOD + lane] = r, r_0, r_1
        state[_MEAN_R + lane] += r
        state[_MEAN_0 + lane] += r_0
        state[_MEAN_1 + lane] += r_1


@compiled
def _piece(line, u, v):  # type: ignore[no-untyped-def]
    """Eight polynomials, of degree 7, with their slopes along u and along v, by Horner's rule.

    line: eight values, slopes and slopes, which are written, then as many coefficients of each term.
    """
    for k in range(_ABREAST):
        at = _LINE + k
        by_u = line[at + 35 * _ABREAST]
        q, by_v = _row(line, at + 33 * _ABREAST, 2, v)
        value = by_u * u + q
        q, p = _row(line, at + 30 * _ABREAST, 3, v)
        value, by_u, by_v = value * u + q, by_u * u + value, by_v * u + p
        q, p = _row(line, at + 26 * _ABREAST, 4, v)
        value, by_u, by_v = value * u + q, by_u * u + value, by_v * u + p
        q, p = _row(line, at + 21 * _ABREAST, 5, v)
        value, by_u, by_v = value * u + q, by_u * u + value, by_v * u + p
        q, p = _row(line, at + 15 * _ABREAST, 6, v)
        value, by_u, by_v = value * u + q, by_u * u + value, by_v * u + p
        q, p = _row(line, at + 8 * _ABREAST, 7, v)
        value, by_u, by_v = value * u + q, by_u * u + value, by_v * u + p
        q, p = _row(line, at, 8, v)
        value, by_u, by_v = value * u + q, by_u * u + value, by_v * u + p
        line[k], line[_ABREAST + k], line[2 * _ABREAST + k] = value, by_u, by_v


@inlined
def _row(line, at, terms, v):  # type: ignore[no-untyped-def]
    """A polynomial of v and its slope; its terms begin at `at`. Their number is known when this is compiled."""
    slope = line[at + (terms - 1) * _ABREAST]
    value = slope * v + line[at + (terms - 2) * _ABREAST]
    for term in range(terms - 3, -1, -1):
        slope = slope * v + value
        value = value * v + line[at + term * _ABREAST]
    return value, slope


@compiled
def _evaluate(rows, loads, weighted, bands, state, ends, bounded):  # type: ignore[no-untyped-def]
    """The objective at the points that are tried: `Problem.evaluate` up to what `_judge` does with the sums."""
    state[_WEIGHT : _WEIGHT + LANES] = np.float32(bands)
    if weighted:
        state[_WEIGHT : _WEIGHT + LANES] = _ZERO
        state[_MEAN_R : _MEAN_R + 3 * LANES] = _ZERO
        for band in range(bands):
            _weigh(rows[band], loads[band], state)
    _divide(state)
    for band in range(bands):
        if weighted:
            _spread_weighted(rows[band], loads[band], state)
        else:
            _spread(rows[band], state)
    if bounded:
        _shade_bounded(state, ends[0], ends[1], ends[2], ends[3])
    else:
        _shade(state)
    for band in range(bands):
        if weighted:
            _residual_weighted(rows[band], loads[band], state)
        else:
            _residual(rows[band], state)


@compiled
def _skin(skin, thickness, line, state):  # type: ignore[no-untyped-def]
    """Reflectance of a band and its derivatives into its rows, summed up: epidermis over a Kubelka-Munk dermis."""
    depth, by_mel, by_blood, rho = skin[_DEPTH], skin[_DEPTH_MEL], skin[_DEPTH_BLOOD], skin[_RHO]
    absorption, absorption_blood, scattering, scattering_blood = skin[_A], skin[_A_BLOOD], skin[_S], skin[_S_BLOOD]
    for lane in range(LANES):
        melanin, blood = state[_T0 + lane], state[_T1 + lane]
        a, s = absorption + blood * absorption_blood, scattering + blood * scattering_blood
        extinction = a + s
        k = np.sqrt(a * (extinction + s))
        decay = _exp(-_TWO * thickness * k)
        coth = (_ONE + decay) / (_ONE - decay)
        share = _ONE / (extinction + k * coth)
        growth = _ONE + extinction * (coth / k - thickness * (coth * coth - _ONE))
        # only an infinitely thick dermis scatters less with more blood: there but the ratio of both counts
        slope = share * share * growth * (scattering_blood * a - absorption_blood * s)
        transmittance = _exp(depth + melanin * by_mel + blood * by_blood)
        inside = transmittance * s * share
        bounces = _ONE / (_ONE - rho * inside)
        out = (_ONE - rho) * bounces
        r, r_0 = out * inside, out * bounces * inside * by_mel
        r_1 = out * bounces * (inside * by_blood + transmittance * slope)
        line[_R + lane], line[_BY_MEL + lane], line[_BY_BLOOD + lane] = r, r_0, r_1
        state[_MEAN_R + lane] += r
        state[_MEAN_0 + lane] += r_0
        state[_MEAN_1 + lane] += r_1


@compiled
def _mix(weights, raw, lines, state):  # type: ignore[no-untyped-def]
    """Four bands as weighted sums of others, four at a time: what is loaded serves four times."""
    state[_MIXED : _MIXED + 4 * _WIDE] = _ZERO
    for first in range(0, weights.shape[1], 4):
        a, b, c, d = raw[first], raw[first + 1], raw[first + 2], raw[first + 3]
        m = weights[:, first : first + 4]
        p0, p1, p2, p3, q0, q1, q2, q3 = m[0, 0], m[0, 1], m[0, 2], m[0, 3], m[1, 0], m[1, 1], m[1, 2], m[1, 3]
        s0, s1, s2, s3, t0, t1, t2, t3 = m[2, 0], m[2, 1], m[2, 2], m[2, 3], m[3, 0], m[3, 1], m[3, 2], m[3, 3]
        for at in range(_WIDE):
            w, x, y, z = a[_R + at], b[_R + at], c[_R + at], d[_R + at]
            state[_MIXED + at] += (p0 * w + p1 * x) + (p2 * y + p3 * z)
            state[_MIXED + _WIDE + at] += (q0 * w + q1 * x) + (q2 * y + q3 * z)
            state[_MIXED + 2 * _WIDE + at] += (s0 * w + s1 * x) + (s2 * y + s3 * z)
            state[_MIXED + 3 * _WIDE + at] += (t0 * w + t1 * x) + (t2 * y + t3 * z)
    for k in range(4):
        for at in range(_WIDE):
            lines[k, _R + at] = state[_MIXED + k * _WIDE + at]
            state[_MEAN_R + at] += state[_MIXED + k * _WIDE + at]


@compiled
def _weigh(line, load, state):  # type: ignore[no-untyped-def]
    """A band's weight, and its reflectance and derivatives by that, summed up."""
    for lane in range(LANES):
        w = load[lane]
        state[_WEIGHT + lane] += w
        state[_MEAN_R + lane] += w * line[_R + lane]
        state[_MEAN_0 + lane] += w * line[_BY_MEL + lane]
        state[_MEAN_1 + lane] += w * line[_BY_BLOOD + lane]


@compiled
def _divide(state):  # type: ignore[no-untyped-def]
    """Means of the reflectance and its derivatives from their sums. A lane without weight has none to fit."""
    for lane in range(LANES):
        whole = state[_WEIGHT + lane]
        share = _ONE / (whole if whole > _TINY else _TINY)
        state[_MEAN_R + lane] *= share
        state[_MEAN_0 + lane] *= share
        state[_MEAN_1 + lane] *= share


@compiled
def _spread(line, state):  # type: ignore[no-untyped-def]
    """A band's square of the reflectance and its product with the pixel, both about the mean; the pixel's sums."""
    for lane in range(LANES):
        y, centred = line[_Y + lane], line[_R + lane] - state[_MEAN_R + lane]
        state[_RR + lane] += centred * centred
        state[_RY + lane] += centred * y
        state[_MEAN + lane] += y
        state[_ENERGY + lane] += y * y


@compiled
def _spread_weighted(line, load, state):  # type: ignore[no-untyped-def]
    """The same with the band's weights."""
    for lane in range(LANES):
        y, centred = line[_Y + lane], line[_R + lane] - state[_MEAN_R + lane]
        w_y = load[lane] * y
        state[_RR + lane] += load[lane] * centred * centred
        state[_RY + lane] += centred * w_y
        state[_MEAN + lane] += w_y
        state[_ENERGY + lane] += y * w_y


@compiled
def _shade(state):  # type: ignore[no-untyped-def]
    """The best shadings, as `problem.bounded_pair` has them; while i_s is free spectra are about their means hence."""
    for lane in range(LANES):
        bands = state[_WEIGHT + lane] if state[_WEIGHT + lane] > _TINY else _TINY
        r, y, rr, ry = state[_MEAN_R + lane], state[_MEAN + lane] / bands, state[_RR + lane], state[_RY + lane]
        i_d = ry / (rr if rr > _TINY else _TINY)
        i_s = y - i_d * r
        diffuse_only = i_s < _ZERO
        whole = rr + bands * r * r
        i_d = (ry + bands * r * y) / (whole if whole > _TINY else _TINY) if diffuse_only else i_d
        diffuse = i_d > _ZERO
        i_s = (_ZERO if diffuse_only else i_s) if diffuse else (y if y > _ZERO else _ZERO)
        specular, length = _ONE if i_s > _ZERO else _ZERO, rr if i_s > _ZERO else whole
        state[_TRIED_D + lane], state[_TRIED_S + lane] = i_d if diffuse else _ZERO, i_s
        state[_RR + lane] = length if length > _TINY else _TINY
        for row in (_MEAN_R, _MEAN_0, _MEAN_1):
            state[row + lane] *= specular


@compiled
def _shade_bounded(state, low_d, high_d, low_s, high_s):  # type: ignore[no-untyped-def]
    """The best shadings within bounds and under a prior, as `problem.bounded_pair` has them."""
    for lane in range(LANES):
        bands = state[_WEIGHT + lane] if state[_WEIGHT + lane] > _TINY else _TINY
        r, y = state[_MEAN_R + lane], state[_MEAN + lane] / bands
        p_dd, p_ds, p_ss = state[_PDD + lane], state[_PDS + lane], state[_PSS + lane]
        m_0, m_1 = state[_M + lane] - state[_T0 + lane], state[_M + LANES + lane] - state[_T1 + lane]
        m_d, m_s = state[_M + 2 * LANES + lane], state[_M + 3 * LANES + lane]
        b_d = state[_P0D + lane] * m_0 + state[_P1D + lane] * m_1 + p_dd * m_d + p_ds * m_s
        b_s = state[_P0S + lane] * m_0 + state[_P1S + lane] * m_1 + p_ds * m_d + p_ss * m_s
        ds, hs, share = bands * r + p_ds, bands * y + b_s, _ONE / (bands + p_ss)
        spread = state[_RR + lane] + p_dd + (bands * r * (p_ss * r - _TWO * p_ds) - p_ds * p_ds) * share
        contrast = state[_RY + lane] + b_d + (bands * (y * (p_ss * r - p_ds) - b_s * r) - b_s * p_ds) * share
        spread = spread if spread > _TINY else _TINY
        whole = spread + ds * ds * share
        free_d = contrast / spread
        free_s = (hs - free_d * ds) * share
        d_first, s_second = _clip(free_d, low_d, high_d), _clip(free_s, low_s, high_s)
        s_first = _clip((hs - d_first * ds) * share, low_s, high_s)
        d_second = _clip((contrast + hs * ds * share - s_second * ds) / whole, low_d, high_d)
        miss_1, miss_2 = s_first - (hs - d_first * ds) * share, s_second - (hs - d_second * ds) * share
        ss = bands + p_ss
        height_1 = d_first * (_TWO * contrast - spread * d_first) - ss * miss_1 * miss_1
        height_2 = d_second * (_TWO * contrast - spread * d_second) - ss * miss_2 * miss_2
        out_d, out_s = free_d != d_first, free_s != s_second
        second = out_s & ((not out_d) | (height_2 > height_1))
        state[_TRIED_D + lane] = d_second if second else d_first
        state[_TRIED_S + lane] = s_second if second else s_first


@compiled
def _residual(line, state):  # type: ignore[no-untyped-def]
    """Products of residual, reflectance and derivatives of a band, summed up."""
    for lane in range(LANES):
        e = line[_Y + lane] - state[_TRIED_D + lane] * line[_R + lane] - state[_TRIED_S + lane]
        r = line[_R + lane] - state[_MEAN_R + lane]
        r_0, r_1 = line[_BY_MEL + lane] - state[_MEAN_0 + lane], line[_BY_BLOOD + lane] - state[_MEAN_1 + lane]
        products = (e * e, e * r, e * r_0, e * r_1, r * r_0, r * r_1, r_0 * r_0, r_0 * r_1, r_1 * r_1)
        for k in range(9):
            state[_EE + k * LANES + lane] += products[k]


@compiled
def _residual_weighted(line, load, state):  # type: ignore[no-untyped-def]
    """The same with the band's weights."""
    for lane in range(LANES):
        w = load[lane]
        e = line[_Y + lane] - state[_TRIED_D + lane] * line[_R + lane] - state[_TRIED_S + lane]
        r = line[_R + lane] - state[_MEAN_R + lane]
        r_0, r_1 = line[_BY_MEL + lane] - state[_MEAN_0 + lane], line[_BY_BLOOD + lane] - state[_MEAN_1 + lane]
        w_e, w_r, w_0, w_1 = w * e, w * r, w * r_0, w * r_1
        products = (w_e * e, w_e * r, w_e * r_0, w_e * r_1, w_r * r_0, w_r * r_1, w_0 * r_0, w_0 * r_1, w_1 * r_1)
        for k in range(9):
            state[_EE + k * LANES + lane] += products[k]


@compiled
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    return low if x < low else (high if x > high else x)


@compiled
def _derive(state, eps):  # type: ignore[no-untyped-def]
    """The projected objective's gradient and Gauss-Newton Hessian at the point that was tried, both halved.

    What the shadings leave of a square is known to rounding of the whole: less is never taken for the curvature, else
    damping, which multiplies it, could not shorten a step where a pigment acts as the shadings do.
    """
    for lane in range(LANES):
        i_d, rr, re = state[_TRIED_D + lane], state[_RR + lane], state[_RE + lane]
        r_0, r_1, square = state[_R0 + lane], state[_R1 + lane], i_d * i_d
        state[_NEW_G0 + lane] = i_d * (r_0 * re / rr - state[_E0 + lane])
        state[_NEW_G1 + lane] = i_d * (r_1 * re / rr - state[_E1 + lane])
        s_00, s_11 = state[_S00 + lane], state[_S11 + lane]
        state[_NEW_H00 + lane] = square * _clip(s_00 - r_0 * r_0 / rr, eps * s_00, _INFINITE)
        state[_NEW_H11 + lane] = square * _clip(s_11 - r_1 * r_1 / rr, eps * s_11, _INFINITE)
        state[_NEW_H01 + lane] = square * (state[_S01 + lane] - r_0 * r_1 / rr)


@compiled
def _derive_bounded(state, low_d, high_d, low_s, high_s, eps):  # type: ignore[no-untyped-def]
    """The same: i_s and then i_d are eliminated (Schur complements), where they are inside their bounds.

    The sum of squares becomes the objective, the prior's part being added.
    """
    for lane in range(LANES):
        i_d, i_s, bands = state[_TRIED_D + lane], state[_TRIED_S + lane], state[_WEIGHT + lane]
        r, r_0, r_1 = state[_MEAN_R + lane], i_d * state[_MEAN_0 + lane], i_d * state[_MEAN_1 + lane]
        p_00, p_01, p_0d, p_0s = state[_P00 + lane], state[_P01 + lane], state[_P0D + lane], state[_P0S + lane]
        p_11, p_1d, p_1s = state[_P11 + lane], state[_P1D + lane], state[_P1S + lane]
        p_dd, p_ds, p_ss = state[_PDD + lane], state[_PDS + lane], state[_PSS + lane]
        a_0, a_1 = state[_T0 + lane] - state[_M + lane], state[_T1 + lane] - state[_M + LANES + lane]
        a_d, a_s = i_d - state[_M + 2 * LANES + lane], i_s - state[_M + 3 * LANES + lane]
        for row in range(4):
            at = _ROOT + row * 4 * LANES + lane
            away = state[at] * a_0 + state[at + LANES] * a_1 + state[at + 2 * LANES] * a_d + state[at + 3 * LANES] * a_s
            state[_EE + lane] += away * away
        x_0, x_1 = state[_T0 + lane], state[_T1 + lane]
        state[_ENERGY + lane] += p_00 * x_0 * x_0 + p_11 * x_1 * x_1 + p_dd * i_d * i_d + p_ss * i_s * i_s
        # the prior's part of the gradient, and the sum of the residual
        q_0, q_1 = p_00 * a_0 + p_01 * a_1 + p_0d * a_d + p_0s * a_s, p_01 * a_0 + p_11 * a_1 + p_1d * a_d + p_1s * a_s
        q_d, q_s = p_0d * a_0 + p_1d * a_1 + p_dd * a_d + p_ds * a_s, p_0s * a_0 + p_1s * a_1 + p_ds * a_d + p_ss * a_s
        e, e_r = state[_MEAN + lane] - bands * (i_d * r + i_s), state[_RE + lane]
        e_0, e_1 = i_d * state[_E0 + lane], i_d * state[_E1 + lane]
        at = _NOW + lane
        state[at + 10 * LANES], state[at + 11 * LANES] = q_0 - e_0 - r_0 * e, q_1 - e_1 - r_1 * e
        state[at + 12 * LANES], state[at + 13 * LANES] = q_d - e_r - r * e, q_s - e
        free_d = (i_d > low_d) & (i_d < high_d)
        free_s = (i_s > low_s) & (i_s < high_s)
        share = _ONE / (bands + p_ss) if free_s else _ZERO
        ss = p_ss if free_s else _ONE  # what a product of means counts
        mean = bands * share if free_s else bands
        t_0, t_1, t_d = (p_0s, p_1s, p_ds) if free_s else (_ZERO, _ZERO, _ZERO)
        h_dd = state[_RR + lane] + p_dd + mean * (ss * r * r - _TWO * r * t_d) - t_d * t_d * share
        h_0d = i_d * state[_R0 + lane] + p_0d + mean * (ss * r * r_0 - r * t_0 - r_0 * t_d) - t_0 * t_d * share
        h_1d = i_d * state[_R1 + lane] + p_1d + mean * (ss * r * r_1 - r * t_1 - r_1 * t_d) - t_1 * t_d * share
        square = i_d * i_d
        h_00 = square * state[_S00 + lane] + p_00 + mean * (ss * r_0 * r_0 - _TWO * r_0 * t_0) - t_0 * t_0 * share
        h_11 = square * state[_S11 + lane] + p_11 + mean * (ss * r_1 * r_1 - _TWO * r_1 * t_1) - t_1 * t_1 * share
        h_01 = square * state[_S01 + lane] + p_01
        h_01 += mean * (ss * r_0 * r_1 - r_0 * t_1 - r_1 * t_0) - t_0 * t_1 * share
        w_0, w_1, w_d = bands * r_0 + p_0s, bands * r_1 + p_1s, bands * r + p_ds
        g_0 = q_0 - e_0 + (((p_0s - r_0 * p_ss) * e - w_0 * q_s) * share if free_s else -r_0 * e)
        g_1 = q_1 - e_1 + (((p_1s - r_1 * p_ss) * e - w_1 * q_s) * share if free_s else -r_1 * e)
        g_d = q_d - e_r + (((p_ds - r * p_ss) * e - w_d * q_s) * share if free_s else -r * e)
        h_dd = h_dd if h_dd > _TINY else _TINY
        part = _ONE / h_dd if free_d else _ZERO
        state[_NEW_G0 + lane], state[_NEW_G1 + lane] = g_0 - h_0d * part * g_d, g_1 - h_1d * part * g_d
        state[_NEW_H00 + lane] = _clip(h_00 - h_0d * h_0d * part, eps * h_00, _INFINITE)
        state[_NEW_H11 + lane] = _clip(h_11 - h_1d * h_1d * part, eps * h_11, _INFINITE)
        state[_NEW_H01 + lane] = h_01 - h_0d * h_1d * part
        d_0 = -part * (h_0d - state[_E0 + lane] - state[_MEAN_0 + lane] * e)
        d_1 = -part * (h_1d - state[_E1 + lane] - state[_MEAN_1 + lane] * e)
        state[_D_BY + lane], state[_D_BY + LANES + lane] = d_0, d_1
        state[_S_BY + lane], state[_S_BY + LANES + lane] = -share * (w_0 + w_d * d_0), -share * (w_1 + w_d * d_1)
        for k in range(10):
            state[at + k * LANES] = state[_SUMS[k] + lane]


@compiled
def _judge(state, eps):  # type: ignore[no-untyped-def]
    """Accept or refuse the point that was tried, and learn from it what Gauss-Newton leaves out of the curvature."""
    for lane in range(LANES):
        g_0, g_1 = state[_NEW_G0 + lane], state[_NEW_G1 + lane]
        h_00, h_01, h_11 = state[_NEW_H00 + lane], state[_NEW_H01 + lane], state[_NEW_H11 + lane]
        better = state[_EE + lane] <= state[_COST + lane] + _rounding(state[_COST + lane], state[_ENERGY + lane], eps)
        s_0, s_1 = state[_T0 + lane] - state[_X0 + lane], state[_T1 + lane] - state[_X1 + lane]
        y_0, y_1 = g_0 - state[_G0 + lane], g_1 - state[_G1 + lane]
        for kept, tried in _KEPT:
            state[kept + lane] = state[tried + lane] if better else state[kept + lane]
        state[_G0 + lane] = g_0 if better else state[_G0 + lane]
        state[_G1 + lane] = g_1 if better else state[_G1 + lane]
        h_00, h_01 = h_00 if better else state[_H00 + lane], h_01 if better else state[_H01 + lane]
        h_11 = h_11 if better else state[_H11 + lane]
        state[_H00 + lane], state[_H01 + lane], state[_H11 + lane] = h_00, h_01, h_11
        # the symmetric secant update, as in `descent`
        c_00, c_01, c_11 = state[_C00 + lane], state[_C01 + lane], state[_C11 + lane]
        z_0 = y_0 - (h_00 + c_00) * s_0 - (h_01 + c_01) * s_1
        z_1 = y_1 - (h_01 + c_01) * s_0 - (h_11 + c_11) * s_1
        length = h_00 * s_0 * s_0 + h_11 * s_1 * s_1
        usable = length > _TINY
        z_0, z_1 = z_0 if usable else _ZERO, z_1 if usable else _ZERO
        u_0, u_1 = h_00 * s_0 / length if usable else _ZERO, h_11 * s_1 / length if usable else _ZERO
        miss = z_0 * s_0 + z_1 * s_1
        state[_C00 + lane] = c_00 + _TWO * z_0 * u_0 - miss * u_0 * u_0
        state[_C01 + lane] = c_01 + z_0 * u_1 + z_1 * u_0 - miss * u_0 * u_1
        state[_C11 + lane] = c_11 + _TWO * z_1 * u_1 - miss * u_1 * u_1
        damping = state[_DAMPING + lane]
        relaxed = _ZERO if damping < np.float32(1e-3) else np.float32(0.1) * damping
        state[_DAMPING + lane] = relaxed if better else _clip(np.float32(8) * damping, np.float32(1e-2), _INFINITE)
        state[_STEPS + lane] += _ONE


@compiled
def _keep(state):  # type: ignore[no-untyped-def]
    """What uncertainty follows from, of the points that were better."""
    for k in range(FURTHER):
        for lane in range(LANES):
            better = (state[_T0 + lane] == state[_X0 + lane]) & (state[_T1 + lane] == state[_X1 + lane])
            at = _FURTHER + k * LANES + lane
            state[at] = state[at + _NOW - _FURTHER] if better else state[at]


@compiled
def _rounding(cost, energy, eps):  # type: ignore[no-untyped-def]
    """What rounding of the residuals, of the pixel's size, may do to the sum of squares."""
    return np.float32(4) * eps * (np.sqrt(cost * energy) + eps * energy)


@compiled
def _step(state, low_0, low_1, high_0, high_1, tolerance, eps, most_steps):  # type: ignore[no-untyped-def]
    """What to try next: the minimum of the quadratic model in the box; or that the descent has converged."""
    for lane in range(LANES):
        x_0, x_1, g_0, g_1 = state[_X0 + lane], state[_X1 + lane], state[_G0 + lane], state[_G1 + lane]
        h_00, h_01, h_11 = state[_H00 + lane], state[_H01 + lane], state[_H11 + lane]
        held_0 = ((x_0 <= low_0) & (g_0 > _ZERO)) | ((x_0 >= high_0) & (g_0 < _ZERO))
        held_1 = ((x_1 <= low_1) & (g_1 > _ZERO)) | ((x_1 >= high_1) & (g_1 < _ZERO))
        h_01 = _ZERO if held_0 | held_1 else h_01
        b_00 = h_00 + (_ZERO if held_0 else state[_C00 + lane])
        b_11 = h_11 + (_ZERO if held_1 else state[_C11 + lane])
        b_01 = h_01 + (_ZERO if held_0 | held_1 else state[_C01 + lane])
        safe = (b_00 > np.float32(0.02) * h_00) & (b_11 > np.float32(0.02) * h_11)
        safe = safe & (b_00 * b_11 - b_01 * b_01 > np.float32(1e-3) * (h_00 * h_11 - h_01 * h_01))
        damped = _ONE + state[_DAMPING + lane]
        h_00, h_11 = damped * (b_00 if safe else h_00), damped * (b_11 if safe else h_11)
        h_01 = b_01 if safe else h_01
        h_00, h_11 = h_00 if h_00 > _TINY else _TINY, h_11 if h_11 > _TINY else _TINY
        # the free minimum, with one coordinate held to the box and the other solved for it, both ways
        determinant = h_00 * h_11 - h_01 * h_01
        determinant = _INFINITE if determinant <= np.float32(8) * eps * h_00 * h_11 else determinant
        least_0, most_0, least_1, most_1 = low_0 - x_0, high_0 - x_0, low_1 - x_1, high_1 - x_1
        a_0 = _clip((h_01 * g_1 - h_11 * g_0) / determinant, least_0, most_0)
        b_1 = _clip((h_01 * g_0 - h_00 * g_1) / determinant, least_1, most_1)
        a_1 = _clip(-(g_1 + h_01 * a_0) / h_11, least_1, most_1)
        b_0 = _clip(-(g_0 + h_01 * b_1) / h_00, least_0, most_0)
        value_a = g_0 * a_0 + g_1 * a_1 + _HALF * (h_00 * a_0 * a_0 + h_11 * a_1 * a_1) + h_01 * a_0 * a_1
        value_b = g_0 * b_0 + g_1 * b_1 + _HALF * (h_00 * b_0 * b_0 + h_11 * b_1 * b_1) + h_01 * b_0 * b_1
        s_0, s_1 = a_0 if value_a <= value_b else b_0, a_1 if value_a <= value_b else b_1
        predicted = -(value_a if value_a <= value_b else value_b)
        at_0, at_1 = _clip(x_0 + s_0, low_0, high_0), _clip(x_1 + s_1, low_1, high_1)
        # damping lowers the predicted decrease by at most 1 + damping: a damped step must not look like a converged one
        cost = state[_COST + lane]
        little = _TWO * predicted * damped <= tolerance * cost + _rounding(cost, state[_ENERGY + lane], eps)
        # one that meets a bound or leaves it is tried first, twice at most: no status rests on a prediction
        turns = ((at_0 <= low_0) != (x_0 <= low_0)) | ((at_0 >= high_0) != (x_0 >= high_0))
        turns = turns | ((at_1 <= low_1) != (x_1 <= low_1)) | ((at_1 >= high_1) != (x_1 >= high_1))
        times = state[_CONVERGED + lane] + _ONE if little else _ZERO
        done = little & (~turns | (times > _TWO))
        # from the point of the sums the last step is taken untried; the shadings follow in first order
        untried = done & ~turns & (state[_T0 + lane] == x_0) & (state[_T1 + lane] == x_1)
        taken = _ONE if untried else _ZERO
        state[_NEW_G0 + lane], state[_NEW_G1 + lane] = taken * (at_0 - x_0), taken * (at_1 - x_1)
        x_0, x_1 = at_0 if taken > _ZERO else x_0, at_1 if taken > _ZERO else x_1
        state[_X0 + lane], state[_X1 + lane] = x_0, x_1
        # from the point that was tried
        state[_NEW_H00 + lane], state[_NEW_H11 + lane] = x_0 - state[_T0 + lane], x_1 - state[_T1 + lane]
        state[_T0 + lane], state[_T1 + lane], state[_CONVERGED + lane] = at_0, at_1, times
        state[_DONE + lane] = _ONE if done | (state[_STEPS + lane] >= most_steps) else _ZERO


@compiled
def _follow(state):  # type: ignore[no-untyped-def]
    """The shadings after a step that is taken untried."""
    for lane in range(LANES):
        s_0, s_1, i_d, i_s = state[_NEW_G0 + lane], state[_NEW_G1 + lane], state[_I_D + lane], state[_I_S + lane]
        e_r = (state[_E0 + lane] - i_d * state[_R0 + lane]) * s_0 + (state[_E1 + lane] - i_d * state[_R1 + lane]) * s_1
        more = e_r / state[_RR + lane]
        i_s -= more * state[_MEAN_R + lane] + i_d * (state[_MEAN_0 + lane] * s_0 + state[_MEAN_1 + lane] * s_1)
        i_s, i_d = i_s if i_s > _ZERO else _ZERO, i_d + more
        # where no diffuse light is left, gloss is the mean of the spectrum
        bands = state[_WEIGHT + lane] if state[_WEIGHT + lane] > _TINY else _TINY
        level = state[_MEAN + lane] / bands
        state[_I_D + lane] = i_d if i_d > _ZERO else _ZERO
        state[_I_S + lane] = i_s if i_d > _ZERO else (level if level > _ZERO else _ZERO)


@compiled
def _follow_bounded(state, low_d, high_d, low_s, high_s):  # type: ignore[no-untyped-def]
    """The same within bounds."""
    for lane in range(LANES):
        s_0, s_1, i_d, i_s = state[_NEW_G0 + lane], state[_NEW_G1 + lane], state[_I_D + lane], state[_I_S + lane]
        i_d += state[_D_BY + lane] * s_0 + state[_D_BY + LANES + lane] * s_1
        i_s += state[_S_BY + lane] * s_0 + state[_S_BY + LANES + lane] * s_1
        state[_I_D + lane], state[_I_S + lane] = _clip(i_d, low_d, high_d), _clip(i_s, low_s, high_s)
