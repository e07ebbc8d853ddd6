"""What is known of pixels under a prior, from the ends of descents, as compiled code for CPUs.

The reference is `msfit.solve.uncertainty` and, for mixtures, `msfit.solve.posterior.together`. All is in double
precision, pixel by pixel: matrices have four rows.
"""

from __future__ import annotations

import numpy as np

from msfit.solve.kernels.numba_options import compiled

# Columns of an end, see `numba_descent`.
_X0, _X1, _I_D, _I_S, _COST = range(5)
_W, _R, _BY_MEL, _BY_BLOOD, _RR, _R0, _R1, _S00, _S01, _S11, _G = range(7, 18)


@compiled
def certainty(ends, roots, constants, variance, lower, upper, shadings):  # type: ignore[no-untyped-def]
    """Of each pixel the least component, its standard deviations and correlations: (n,), (n, 4), (n, 6), float64.

    ends (component, n, column) of `numba_descent.descend`; roots (component, n or 1, 4, 4) of the priors, in the unit
    of a residual of `variance`; constants (component, n or 1), of -2 log density; lower, upper (2,); shadings (4,).
    """
    components, count = ends.shape[:2]
    best = np.zeros(count, np.int64)
    std, correlation = np.empty((count, 4)), np.empty((count, 6))
    hessian, inverse, spread, total = np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4))
    free, bound, reach = np.empty(4, np.bool_), np.empty(4, np.bool_), np.empty(4)
    share, away, lower_root = np.empty(components), np.empty(4), np.empty((4, 4))
    for n in range(count):
        least = np.inf
        for k in range(components):
            cost = ends[k, n, _COST] + variance * constants[k, n if constants.shape[1] > 1 else 0]
            share[k] = cost
            if cost < least:
                least, best[n] = cost, k
        chosen = best[n]
        total[:] = 0.0
        # the chosen one last, so that what is held and free is as it has it
        for turn in range(components):
            k = (chosen + 1 + turn) % components
            # of so little evidence that it does not show
            if k != chosen and not share[k] - least < FAR * variance:
                share[k] = 0.0
                continue
            end = ends[k, n]
            root = roots[k, n if roots.shape[1] > 1 else 0]
            _curvature(end, root, hessian)
            _kinds(end, lower, upper, shadings, free, bound)
            solved = _inverse(hessian, free, inverse, lower_root)
            _reaches(end, hessian, inverse, free, bound, variance, reach)
            for i in range(4):
                for j in range(4):
                    spread[i, j] = variance * inverse[i, j] if free[i] and free[j] else 0.0
                if bound[i]:
                    spread[i, i] = reach[i] * reach[i]
            if not solved:  # the last, the chosen one, leaves nothing known
                share[k] = 0.0
                total[:] = np.nan
                continue
            if components == 1:
                _copy(spread, total)
                continue
            share[k] = np.exp(0.5 * (least - share[k]) / variance) * np.sqrt(_volume(spread, hessian))
            for i in range(4):
                away[i] = end[i] - ends[chosen, n, i]
            for i in range(4):
                for j in range(4):
                    total[i, j] += share[k] * (spread[i, j] + away[i] * away[j])
        whole = share.sum() if components > 1 else 1.0
        for i in range(4):
            std[n, i] = np.sqrt(total[i, i] / whole) if free[i] or bound[i] else np.nan
        at = 0
        for i in range(4):
            for j in range(i + 1, 4):
                value = total[i, j] / whole / (std[n, i] * std[n, j])
                known = free[i] and free[j]
                correlation[n, at] = min(max(value, -1.0), 1.0) if known else np.nan
                at += 1
    return best, std, correlation


@compiled
def roots(covariance):  # type: ignore[no-untyped-def]
    """Inverses of the lower Cholesky factors of covariances (n, k, k), and log determinants (n,), float64.

    NaN where a covariance is not positive definite.
    """
    count, k = covariance.shape[:2]
    root, size = np.zeros((count, k, k)), np.zeros(count)
    for n in range(count):
        lower = root[n]
        for i in range(k):
            for j in range(i + 1):
                value = covariance[n, i, j]
                for m in range(j):
                    value -= lower[i, m] * lower[j, m]
                lower[i, j] = np.sqrt(value) if i == j else value / lower[j, j]
        for i in range(k):  # inverted in place, row by row
            size[n] += 2 * np.log(lower[i, i])
            scale = 1.0 / lower[i, i]
            for j in range(i):
                value = 0.0
                for m in range(j, i):
                    value -= lower[i, m] * lower[m, j]
                lower[i, j] = value * scale
            lower[i, i] = scale
    return root, size


#: Differences of -2 log density beyond which a component has less than 1e-8 of the posterior.
FAR = 50.0


@compiled
def _curvature(end, root, hessian):  # type: ignore[no-untyped-def]
    """J' J and the prior's precision, in (f_mel, f_blood, i_d, i_s)."""
    w, r, i_d = end[_W], np.float64(end[_R]), np.float64(end[_I_D])
    a, b = i_d * end[_BY_MEL], i_d * end[_BY_BLOOD]
    hessian[0, 0], hessian[0, 1] = i_d * i_d * end[_S00] + w * a * a, i_d * i_d * end[_S01] + w * a * b
    hessian[1, 1], hessian[2, 2] = i_d * i_d * end[_S11] + w * b * b, end[_RR] + w * r * r
    hessian[0, 2], hessian[1, 2] = i_d * end[_R0] + w * a * r, i_d * end[_R1] + w * b * r
    hessian[0, 3], hessian[1, 3], hessian[2, 3], hessian[3, 3] = w * a, w * b, w * r, w
    for i in range(4):
        for j in range(i, 4):
            for row in range(4):
                hessian[i, j] += np.float64(root[row, i]) * root[row, j]
            hessian[j, i] = hessian[i, j]


@compiled
def _kinds(end, lower, upper, shadings, free, bound):  # type: ignore[no-untyped-def]
    """Which numbers are free at an end, and which lie on a bound that they could leave."""
    diffuse = end[_I_D] > 0
    for i in range(2):
        inside = end[i] > lower[i] and end[i] < upper[i]
        free[i], bound[i] = inside and diffuse, diffuse and not inside and lower[i] < upper[i]
        low, high, value = shadings[2 * i], shadings[2 * i + 1], end[_I_D + i]
        free[2 + i] = value > low and value < high
        bound[2 + i] = not free[2 + i] and low < high and (diffuse or i == 1)


@compiled
def _inverse(hessian, free, inverse, lower):  # type: ignore[no-untyped-def]
    """Inverse of the part of the free numbers, zero elsewhere, by Cholesky (`lower`); says whether there is one."""
    lower[:] = 0.0
    for i in range(4):
        if not free[i]:
            continue
        for j in range(i + 1):
            if not free[j]:
                continue
            value = hessian[i, j]
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            if i == j:
                if not value > 1e-14 * hessian[i, i]:
                    return False
                lower[i, i] = np.sqrt(value)
            else:
                lower[i, j] = value / lower[j, j]
    for i in range(4):  # of the lower triangle, in place
        if not free[i]:
            continue
        lower[i, i] = 1.0 / lower[i, i]
        for j in range(i):
            value = 0.0
            for k in range(j, i):
                value -= lower[i, k] * lower[k, j]
            lower[i, j] = value * lower[i, i]
    for i in range(4):
        for j in range(4):
            inverse[i, j] = 0.0
            for k in range(max(i, j), 4):
                inverse[i, j] += lower[k, i] * lower[k, j]
    return True


@compiled
def _reaches(end, hessian, inverse, free, bound, variance, reach):  # type: ignore[no-untyped-def]
    """How far numbers on a bound may go, the free ones following, until the loss has risen by `variance`."""
    for i in range(4):
        if not bound[i]:
            continue
        h = hessian[i, i]
        for j in range(4):
            for k in range(4):
                if free[j] and free[k]:
                    h -= hessian[i, j] * inverse[j, k] * hessian[k, i]
        g = abs(np.float64(end[_G + i]))
        reach[i] = variance / (np.sqrt(g * g + max(h, 0.0) * variance) + g)


@compiled
def _volume(spread, matrix):  # type: ignore[no-untyped-def]
    """Determinant of a covariance, without those numbers that do not vary; `matrix` is scratch space."""
    _copy(spread, matrix)
    value = 1.0
    for i in range(4):
        pivot = matrix[i, i]
        if not pivot > 0:
            continue
        value *= pivot
        for j in range(i + 1, 4):
            factor = matrix[j, i] / pivot
            for k in range(i + 1, 4):
                matrix[j, k] -= factor * matrix[i, k]
    return value


@compiled
def _copy(values, to):  # type: ignore[no-untyped-def]
    """Copy numbers (4, 4)."""
    for i in range(4):
        for j in range(4):
            to[i, j] = values[i, j]
