"""The objective on a GPU: the exact model of a block of pixels, its best shadings, gradient and Hessian.

A channel is a weighted sum of the model at a few wavelengths, a band the model at one. Channels are evaluated one by
one, or, in the interpreter, WIDE at once.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def clip(x, low, high):  # type: ignore[no-untyped-def]
    return tl.minimum(tl.maximum(x, low), high)


@triton.jit
def _skin(spectra, at, x_0, x_1, thickness):  # type: ignore[no-untyped-def]
    """Reflectance at a wavelength and its derivatives by melanin and blood: see `skin.layers.Constants`."""
    row = spectra + 8 * at
    depth, by_mel, by_blood = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    a_blood, s_blood, rho = tl.load(row + 4), tl.load(row + 6), tl.load(row + 7)
    a, s = tl.load(row + 3) + x_1 * a_blood, tl.load(row + 5) + x_1 * s_blood
    extinction = a + s
    k = tl.sqrt(a * (extinction + s))
    decay = tl.exp(-2.0 * thickness * k)
    coth = (1.0 + decay) / (1.0 - decay)
    share = 1.0 / (extinction + k * coth)
    growth = 1.0 + extinction * (coth / k - thickness * (coth * coth - 1.0))
    slope = share * share * growth * (s_blood * a - a_blood * s)
    transmittance = tl.exp(depth + x_0 * by_mel + x_1 * by_blood)
    inside = transmittance * s * share
    bounces = 1.0 / (1.0 - rho * inside)
    out = (1.0 - rho) * bounces
    return out * inside, out * bounces * inside * by_mel, out * bounces * (inside * by_blood + transmittance * slope)


@triton.jit
def _beside(values, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Values (lane,) as they meet those of channels: (lane, 1) where there are several at once."""
    if WIDE == 1:
        return values
    else:
        return values[:, None]


@triton.jit
def _channels(c, count, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The channels from c on that are evaluated at once, the last of all instead of those behind it: c or (1, WIDE)."""
    if WIDE == 1:
        return c
    else:
        return tl.minimum(c + tl.arange(0, WIDE), count - 1)[None, :]


@triton.jit
def _sample(pixels, weights, at, stride, here, c, count, WEIGHTED: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Pixels at channels and their weights: (lane,) or (lane, WIDE), without weight behind the last."""
    if WIDE == 1:
        y = tl.load(pixels + at + c * stride, mask=here, other=0.0)
        w = tl.load(weights + at + c * stride, mask=here, other=0.0) if WEIGHTED else 1.0
        return y, w
    else:
        channel = (c + tl.arange(0, WIDE))[None, :]
        known = here[:, None] & (channel < count)
        y = tl.load(pixels + at[:, None] + channel * stride, mask=known, other=0.0)
        if WEIGHTED:
            return y, tl.load(weights + at[:, None] + channel * stride, mask=known, other=0.0)
        else:
            return y, known.to(tl.float32)


@triton.jit
def _sum(values, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Over the channels at once: (lane,)."""
    if WIDE == 1:
        return values
    else:
        return tl.sum(values, axis=1)


@triton.jit
def _channel(  # type: ignore[no-untyped-def]
    spectra, first, length, share, widest, c, x_0, x_1, thickness, MIXED: tl.constexpr, WIDE: tl.constexpr
):
    """Reflectance of channels and its derivatives by melanin and blood."""
    if MIXED:
        start, many = tl.load(first + c), tl.load(length + c)
        zero = x_0 * 0.0 if WIDE == 1 else x_0 * 0.0 + start.to(tl.float32) * 0.0
        r, r_0, r_1 = zero, zero, zero
        for k in range(many if WIDE == 1 else widest):
            part = tl.load(share + c * widest + k)  # 0 behind a channel's last wavelength
            own = start + k if WIDE == 1 else start + tl.minimum(k, many - 1)
            q, q_0, q_1 = _skin(spectra, own, x_0, x_1, thickness)
            r, r_0, r_1 = r + part * q, r_0 + part * q_0, r_1 + part * q_1
    else:
        r, r_0, r_1 = _skin(spectra, c, x_0, x_1, thickness)
    return r, r_0, r_1


@triton.jit
def bounded_pair(rr, ry, mean, y_mean, total, low_d, high_d, low_s, high_s, tiny):  # type: ignore[no-untyped-def]
    """Least squares in both shadings within bounds, and by how much they lower the square: see `problem.bounded_pair`.

    From the square rr of a reflectance about its mean and its product ry with the pixel, weighted sums of `total`.
    """
    free_d = ry / tl.maximum(rr, tiny)
    free_s = y_mean - free_d * mean
    d_first, s_second = clip(free_d, low_d, high_d), clip(free_s, low_s, high_s)
    s_first = clip(y_mean - d_first * mean, low_s, high_s)
    whole = tl.maximum(rr + total * mean * mean, tiny)
    d_second = clip((ry + total * mean * (y_mean - s_second)) / whole, low_d, high_d)
    miss_first, miss_second = s_first - (y_mean - d_first * mean), s_second - (y_mean - d_second * mean)
    first = d_first * (2.0 * ry - rr * d_first) - total * miss_first * miss_first
    second = d_second * (2.0 * ry - rr * d_second) - total * miss_second * miss_second
    out_d, out_s = free_d != d_first, free_s != s_second
    other = out_s & ((out_d == 0) | (second > first))
    decrease = tl.where(other, second, first) + total * y_mean * y_mean
    return tl.where(other, d_second, d_first), tl.where(other, s_second, s_first), decrease


@triton.jit
def root_of(roots, which):  # type: ignore[no-untyped-def]
    """The root R of priors' precision, by rows."""
    at = roots + 16 * which
    a, b, c, d = tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3)
    e, f, g, h = tl.load(at + 4), tl.load(at + 5), tl.load(at + 6), tl.load(at + 7)
    i, j, k, m = tl.load(at + 8), tl.load(at + 9), tl.load(at + 10), tl.load(at + 11)
    return a, b, c, d, e, f, g, h, i, j, k, m, tl.load(at + 12), tl.load(at + 13), tl.load(at + 14), tl.load(at + 15)


@triton.jit
def precision_of(roots, which):  # type: ignore[no-untyped-def]
    """Priors' precision R' R of (f_mel, f_blood, i_d, i_s): its upper triangle, by rows."""
    a_0, a_1, a_d, a_s, b_0, b_1, b_d, b_s, c_0, c_1, c_d, c_s, d_0, d_1, d_d, d_s = root_of(roots, which)
    p_00, p_01 = a_0 * a_0 + b_0 * b_0 + c_0 * c_0 + d_0 * d_0, a_0 * a_1 + b_0 * b_1 + c_0 * c_1 + d_0 * d_1
    p_0d, p_0s = a_0 * a_d + b_0 * b_d + c_0 * c_d + d_0 * d_d, a_0 * a_s + b_0 * b_s + c_0 * c_s + d_0 * d_s
    p_11, p_1d = a_1 * a_1 + b_1 * b_1 + c_1 * c_1 + d_1 * d_1, a_1 * a_d + b_1 * b_d + c_1 * c_d + d_1 * d_d
    p_1s, p_dd = a_1 * a_s + b_1 * b_s + c_1 * c_s + d_1 * d_s, a_d * a_d + b_d * b_d + c_d * c_d + d_d * d_d
    p_ds, p_ss = a_d * a_s + b_d * b_s + c_d * c_s + d_d * d_s, a_s * a_s + b_s * b_s + c_s * c_s + d_s * d_s
    return p_00, p_01, p_0d, p_0s, p_11, p_1d, p_1s, p_dd, p_ds, p_ss


@triton.jit
def with_prior(rr, ry, mean, y_mean, total, b_d, b_s, p_dd, p_ds, p_ss):  # type: ignore[no-untyped-def]
    """What `bounded_pair` takes where the shadings have a prior, which asks for b = P_ds (m_d, m_s) + ... of them.

    Sums stay about the means, and the prior's terms are added in closed form: nothing is lost where it says little.
    """
    share = 1.0 / (total + p_ss)
    spread = rr + p_dd + (total * mean * (p_ss * mean - 2.0 * p_ds) - p_ds * p_ds) * share
    contrast = ry + b_d + (total * (y_mean * (p_ss * mean - p_ds) - b_s * mean) - b_s * p_ds) * share
    return spread, contrast, (total * mean + p_ds) * share, (total * y_mean + b_s) * share, total + p_ss


@triton.jit
def _prior_at(  # type: ignore[no-untyped-def]
    means, roots, which, x_0, x_1, i_d, i_s, mean, mean_0, mean_1, y_mean, total, re, e_0, e_1, rr, c_0, c_1, c_00,
    c_01, c_11, free_d, free_s, tiny, eps,
):  # fmt: skip
    """The prior's part of the cost and of what rounding is of; gradient and Hessian of both: `numba_descent`."""
    p_00, p_01, p_0d, p_0s, p_11, p_1d, p_1s, p_dd, p_ds, p_ss = precision_of(roots, which)
    m = means + 4 * which
    a_0, a_1 = x_0 - tl.load(m), x_1 - tl.load(m + 1)
    a_d, a_s = i_d - tl.load(m + 2), i_s - tl.load(m + 3)
    b_0, b_1, b_d, b_s, o_0, o_1, o_d, o_s, d_0, d_1, d_d, d_s, f_0, f_1, f_d, f_s = root_of(roots, which)
    away_0, away_1 = b_0 * a_0 + b_1 * a_1 + b_d * a_d + b_s * a_s, o_0 * a_0 + o_1 * a_1 + o_d * a_d + o_s * a_s
    away_2, away_3 = d_0 * a_0 + d_1 * a_1 + d_d * a_d + d_s * a_s, f_0 * a_0 + f_1 * a_1 + f_d * a_d + f_s * a_s
    part = away_0 * away_0 + away_1 * away_1 + away_2 * away_2 + away_3 * away_3
    more = p_00 * x_0 * x_0 + p_11 * x_1 * x_1 + p_dd * i_d * i_d + p_ss * i_s * i_s
    q_0, q_1 = p_00 * a_0 + p_01 * a_1 + p_0d * a_d + p_0s * a_s, p_01 * a_0 + p_11 * a_1 + p_1d * a_d + p_1s * a_s
    q_d, q_s = p_0d * a_0 + p_1d * a_1 + p_dd * a_d + p_ds * a_s, p_0s * a_0 + p_1s * a_1 + p_ds * a_d + p_ss * a_s
    r, r_0, r_1, e = mean, i_d * mean_0, i_d * mean_1, total * (y_mean - (i_d * mean + i_s))
    e_0, e_1 = i_d * e_0, i_d * e_1
    # i_s and then i_d are eliminated (Schur complements), where they are inside their bounds
    share = free_s / (total + p_ss)
    ss, times = tl.where(free_s > 0.0, p_ss, 1.0), tl.where(free_s > 0.0, total * share, total)
    t_0, t_1, t_d = free_s * p_0s, free_s * p_1s, free_s * p_ds
    h_dd = rr + p_dd + times * (ss * r * r - 2.0 * r * t_d) - t_d * t_d * share
    h_0d = i_d * c_0 + p_0d + times * (ss * r * r_0 - r * t_0 - r_0 * t_d) - t_0 * t_d * share
    h_1d = i_d * c_1 + p_1d + times * (ss * r * r_1 - r * t_1 - r_1 * t_d) - t_1 * t_d * share
    h_00 = i_d * i_d * c_00 + p_00 + times * (ss * r_0 * r_0 - 2.0 * r_0 * t_0) - t_0 * t_0 * share
    h_11 = i_d * i_d * c_11 + p_11 + times * (ss * r_1 * r_1 - 2.0 * r_1 * t_1) - t_1 * t_1 * share
    h_01 = i_d * i_d * c_01 + p_01 + times * (ss * r_0 * r_1 - r_0 * t_1 - r_1 * t_0) - t_0 * t_1 * share
    w_0, w_1, w_d = total * r_0 + p_0s, total * r_1 + p_1s, total * r + p_ds
    g_0 = q_0 - e_0 + tl.where(free_s > 0.0, ((p_0s - r_0 * p_ss) * e - w_0 * q_s) * share, -r_0 * e)
    g_1 = q_1 - e_1 + tl.where(free_s > 0.0, ((p_1s - r_1 * p_ss) * e - w_1 * q_s) * share, -r_1 * e)
    g_d = q_d - re + tl.where(free_s > 0.0, ((p_ds - r * p_ss) * e - w_d * q_s) * share, -r * e)
    by = free_d / tl.maximum(h_dd, tiny)
    g_0, g_1 = g_0 - h_0d * by * g_d, g_1 - h_1d * by * g_d
    h_00, h_11 = tl.maximum(h_00 - h_0d * h_0d * by, eps * h_00), tl.maximum(h_11 - h_1d * h_1d * by, eps * h_11)
    return part, more, g_0, g_1, h_00, h_01 - h_0d * h_1d * by, h_11


@triton.jit
def evaluate(  # type: ignore[no-untyped-def]
    pixels, weights, at, stride, here, spectra, first, length, share, widest, count, thickness, x_0, x_1, y_mean,
    total, tiny, eps, low_d, high_d, low_s, high_s, means, roots, which, WEIGHTED: tl.constexpr, BOUNDED: tl.constexpr,
    PRIOR: tl.constexpr, MIXED: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The projected objective with its shadings, its gradient and Gauss-Newton Hessian, both halved.

    Last, which shadings are free, and what a prior adds to the squares that rounding is of. The model is evaluated anew
    in each of three passes over the channels, because that costs less than to store it.
    """
    m, b = _beside(x_0, WIDE), _beside(x_1, WIDE)
    mean, mean_0, mean_1 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    for c in range(0, count, WIDE):
        _, w = _sample(pixels, weights, at, stride, here, c, count, WEIGHTED, WIDE)
        own = _channels(c, count, WIDE)
        r, r_0, r_1 = _channel(spectra, first, length, share, widest, own, m, b, thickness, MIXED, WIDE)
        mean, mean_0, mean_1 = mean + _sum(w * r, WIDE), mean_0 + _sum(w * r_0, WIDE), mean_1 + _sum(w * r_1, WIDE)
    mean, mean_0, mean_1 = mean / total, mean_0 / total, mean_1 / total
    rr, ry, level = x_0 * 0.0, x_0 * 0.0, _beside(mean, WIDE)
    for c in range(0, count, WIDE):
        y, w = _sample(pixels, weights, at, stride, here, c, count, WEIGHTED, WIDE)
        own = _channels(c, count, WIDE)
        r, _, _ = _channel(spectra, first, length, share, widest, own, m, b, thickness, MIXED, WIDE)
        rr += _sum(w * (r - level) * (r - level), WIDE)
        ry += _sum(w * (r - level) * y, WIDE)
    whole = rr + total * mean * mean
    if BOUNDED:
        if PRIOR:
            _, _, p_0d, p_0s, _, p_1d, p_1s, p_dd, p_ds, p_ss = precision_of(roots, which)
            prior = means + 4 * which
            m_0, m_1, m_d, m_s = tl.load(prior) - x_0, tl.load(prior + 1) - x_1, tl.load(prior + 2), tl.load(prior + 3)
            b_d = p_0d * m_0 + p_1d * m_1 + p_dd * m_d + p_ds * m_s
            b_s = p_0s * m_0 + p_1s * m_1 + p_ds * m_d + p_ss * m_s
            s_rr, s_ry, s_mean, s_y, s_total = with_prior(rr, ry, mean, y_mean, total, b_d, b_s, p_dd, p_ds, p_ss)
            i_d, i_s, _ = bounded_pair(s_rr, s_ry, s_mean, s_y, s_total, low_d, high_d, low_s, high_s, tiny)
        else:
            i_d, i_s, _ = bounded_pair(rr, ry, mean, y_mean, total, low_d, high_d, low_s, high_s, tiny)
        # while a shading is free it takes over what follows it
        specular = tl.where((i_s > low_s) & (i_s < high_s), 1.0, 0.0)
        diffuse = tl.where((i_d > low_d) & (i_d < high_d), 1.0, 0.0)
        free = specular + 2.0 * diffuse
    else:
        i_d = ry / tl.maximum(rr, tiny)
        i_s = y_mean - i_d * mean
        diffuse_only = i_s < 0.0
        i_d = tl.where(diffuse_only, (ry + total * mean * y_mean) / tl.maximum(whole, tiny), i_d)
        lit = i_d > 0.0
        i_s = tl.where(lit, tl.where(diffuse_only, 0.0, i_s), tl.maximum(y_mean, 0.0))
        i_d = tl.where(lit, i_d, 0.0)
        # while i_s is free it takes over what is common to all channels
        specular = tl.where(i_s > 0.0, 1.0, 0.0)
        free = specular + 2.0 * tl.where(lit, 1.0, 0.0)
    square = tl.maximum(tl.where(specular > 0.0, rr, whole), tiny)
    about = specular * 0.0 + 1.0 if PRIOR else specular
    level, level_0 = _beside(mean * about, WIDE), _beside(mean_0 * about, WIDE)
    level_1, d, g = _beside(mean_1 * about, WIDE), _beside(i_d, WIDE), _beside(i_s, WIDE)
    cost, re, e_0, e_1 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    c_0, c_1, c_00, c_01, c_11 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    for c in range(0, count, WIDE):
        y, w = _sample(pixels, weights, at, stride, here, c, count, WEIGHTED, WIDE)
        own = _channels(c, count, WIDE)
        r, r_0, r_1 = _channel(spectra, first, length, share, widest, own, m, b, thickness, MIXED, WIDE)
        e = y - d * r - g
        r, r_0, r_1 = r - level, r_0 - level_0, r_1 - level_1
        we, wr, w0, w1 = w * e, w * r, w * r_0, w * r_1
        cost, re = cost + _sum(we * e, WIDE), re + _sum(we * r, WIDE)
        e_0, e_1 = e_0 + _sum(we * r_0, WIDE), e_1 + _sum(we * r_1, WIDE)
        c_0, c_1 = c_0 + _sum(wr * r_0, WIDE), c_1 + _sum(wr * r_1, WIDE)
        c_00, c_01 = c_00 + _sum(w0 * r_0, WIDE), c_01 + _sum(w0 * r_1, WIDE)
        c_11 = c_11 + _sum(w1 * r_1, WIDE)
    more = x_0 * 0.0
    if PRIOR:
        part, more, g_0, g_1, h_00, h_01, h_11 = _prior_at(
            means, roots, which, x_0, x_1, i_d, i_s, mean, mean_0, mean_1, y_mean, total, re, e_0, e_1, rr, c_0, c_1,
            c_00, c_01, c_11, diffuse, specular, tiny, eps,
        )  # fmt: skip
        cost += part
    else:
        if BOUNDED:
            c_0, c_1 = c_0 * diffuse, c_1 * diffuse
        g_0, g_1 = i_d * (c_0 * re / square - e_0), i_d * (c_1 * re / square - e_1)
        # never less than rounding of the whole, as in `numba_descent`
        h_00 = i_d * i_d * tl.maximum(c_00 - c_0 * c_0 / square, eps * c_00)
        h_11 = i_d * i_d * tl.maximum(c_11 - c_1 * c_1 / square, eps * c_11)
        h_01 = i_d * i_d * (c_01 - c_0 * c_1 / square)
    return i_d, i_s, cost, g_0, g_1, h_00, h_01, h_11, free, more
