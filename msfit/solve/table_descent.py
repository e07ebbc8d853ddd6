"""A damped Gauss-Newton descent on the table interpolated bicubically, compiled for CPUs: near the minimum in no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# Coordinates in which a pixel is compared with the table: a constant, so that loops over them become straight code.
RANK = 16
_STEPS = 8
# A descent ends when a step is shorter than this share of the table; the exact descent goes on from there.
_SHORT = np.float32(1e-4)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use and keep the machine code on disk, where there is a place for it."""
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    }
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return njit(**options)(function)


@compiled
def _interpolate(patches, u, v, work):  # type: ignore[no-untyped-def]
    """Bicubic Hermite interpolation at (u, v) in steps of the grid: value, slope along u and along v, into work.

    Patches and work are flat in their last axis, with constant offsets: only then are the loads known not to overlap.
    """
    i = min(int(u), max(patches.shape[0] - 2, 0))
    j = min(int(v), max(patches.shape[1] - 2, 0))
    s, t = u - np.float32(i), v - np.float32(j)
    # an axis of one node has no second end: its own node stands in with weight zero
    below, right = min(i + 1, patches.shape[0] - 1), min(j + 1, patches.shape[1] - 1)
    p00, p01, p10, p11 = patches[i, j], patches[i, right], patches[below, j], patches[below, right]
    a0, b0, da0, db0 = _hermite(s, 0)
    a1, b1, da1, db1 = _hermite(s, 1)
    c0, d0, dc0, dd0 = _hermite(t, 0)
    c1, d1, dc1, dd1 = _hermite(t, 1)
    for m in range(RANK):
        # first along u: value and slope along v at the left and right end, and how they change with u
        m_u, m_v, m_uv = m + RANK, m + 2 * RANK, m + 3 * RANK
        left = a0 * p00[m] + b0 * p00[m_u] + a1 * p10[m] + b1 * p10[m_u]
        left_v = a0 * p00[m_v] + b0 * p00[m_uv] + a1 * p10[m_v] + b1 * p10[m_uv]
        right_ = a0 * p01[m] + b0 * p01[m_u] + a1 * p11[m] + b1 * p11[m_u]
        right_v = a0 * p01[m_v] + b0 * p01[m_uv] + a1 * p11[m_v] + b1 * p11[m_uv]
        left_u = da0 * p00[m] + db0 * p00[m_u] + da1 * p10[m] + db1 * p10[m_u]
        left_uv = da0 * p00[m_v] + db0 * p00[m_uv] + da1 * p10[m_v] + db1 * p10[m_uv]
        right_u = da0 * p01[m] + db0 * p01[m_u] + da1 * p11[m] + db1 * p11[m_u]
        right_uv = da0 * p01[m_v] + db0 * p01[m_uv] + da1 * p11[m_v] + db1 * p11[m_uv]
        work[m] = c0 * left + d0 * left_v + c1 * right_ + d1 * right_v
        work[m_u] = c0 * left_u + d0 * left_uv + c1 * right_u + d1 * right_uv
        work[m_v] = dc0 * left + dd0 * left_v + dc1 * right_ + dd1 * right_v


@compiled
def _hermite(s, end):  # type: ignore[no-untyped-def]
    """Cubic Hermite weights of a node's value and slope at s in [0, 1] from its left end, and their derivatives."""
    one, two, three, six = np.float32(1), np.float32(2), np.float32(3), np.float32(6)
    rest = one - s
    if end == 0:
        return (one + two * s) * rest * rest, s * rest * rest, -six * s * rest, rest * (one - three * s)
    return s * s * (three - two * s), -s * s * rest, six * s * rest, s * (three * s - two)


@compiled
def _evaluate(white, z, patches, u, v, work):  # type: ignore[no-untyped-def]
    """Projected cost with gradient and Gauss-Newton Hessian, both halved, as in `objective.evaluate`.

    The pixel's coordinate along white stands apart, z[0] is zero: while i_s is free, it takes that coordinate over.
    """
    _interpolate(patches, u, v, work)
    bright, bright_u, bright_v = work[0], work[RANK], work[2 * RANK]
    work[0] = work[RANK] = work[2 * RANK] = np.float32(0)
    rr = np.float32(0)
    rz = np.float32(0)
    for m in range(RANK):
        rr += work[m] * work[m]
        rz += work[m] * z[m]
    i_d = rz / rr
    matte = white < i_d * bright
    if matte:
        rr += bright * bright
        i_d = (rz + bright * white) / rr
    i_d = max(i_d, np.float32(0))
    cost = np.float32(0)
    g0 = np.float32(0)
    g1 = np.float32(0)
    h00 = np.float32(0)
    h01 = np.float32(0)
    h11 = np.float32(0)
    r0 = np.float32(0)
    r1 = np.float32(0)
    for m in range(RANK):
        r, by_u, by_v = work[m], work[m + RANK], work[m + 2 * RANK]
        e = z[m] - i_d * r
        cost += e * e
        g0 -= by_u * e
        g1 -= by_v * e
        h00 += by_u * by_u
        h01 += by_u * by_v
        h11 += by_v * by_v
        r0 += by_u * r
        r1 += by_v * r
    if matte:
        e = white - i_d * bright
        cost += e * e
        g0 -= bright_u * e
        g1 -= bright_v * e
        h00 += bright_u * bright_u
        h01 += bright_u * bright_v
        h11 += bright_v * bright_v
        r0 += bright_u * bright
        r1 += bright_v * bright
    square = i_d * i_d
    return (
        cost,
        i_d * g0,
        i_d * g1,
        square * max(h00 - r0 * r0 / rr, np.float32(0)),
        square * (h01 - r0 * r1 / rr),
        square * max(h11 - r1 * r1 / rr, np.float32(0)),
    )


@compiled
def descend(white, z, patches, u, v, work):  # type: ignore[no-untyped-def]
    """Damped Gauss-Newton from (u, v) inside the table: cost, u, v."""
    top_u, top_v = np.float32(patches.shape[0] - 1), np.float32(patches.shape[1] - 1)
    damping = np.float32(1e-3)
    cost, g0, g1, h00, h01, h11 = _evaluate(white, z, patches, u, v, work)
    for _ in range(_STEPS):
        if (u <= 0 and g0 > 0) or (u >= top_u and g0 < 0):
            h01 = np.float32(0)
        if (v <= 0 and g1 > 0) or (v >= top_v and g1 < 0):
            h01 = np.float32(0)
        d00 = h00 * (1 + damping) + np.float32(1e-30)
        d11 = h11 * (1 + damping) + np.float32(1e-30)
        determinant = max(d00 * d11 - h01 * h01, np.float32(1e-6) * d00 * d11)
        new_u = min(max(u + (h01 * g1 - d11 * g0) / determinant, np.float32(0)), top_u)
        new_v = min(max(v + (h01 * g0 - d00 * g1) / determinant, np.float32(0)), top_v)
        if abs(new_u - u) + abs(new_v - v) < _SHORT * (top_u + top_v):
            break
        trial = _evaluate(white, z, patches, new_u, new_v, work)
        if trial[0] <= cost:
            u, v = new_u, new_v
            cost, g0, g1, h00, h01, h11 = trial
            damping *= np.float32(0.1)
        else:
            damping = max(8 * damping, np.float32(0.05))
    return cost, u, v
