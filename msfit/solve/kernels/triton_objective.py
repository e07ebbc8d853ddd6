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
def _sample(pixels, weights, at, here, c, count, WEIGHTED: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Pixels at channels and their weights: (lane,) or (lane, WIDE), without weight behind the last."""
    if WIDE == 1:
        y = tl.load(pixels + at + c, mask=here, other=0.0)
        w = tl.load(weights + at + c, mask=here, other=0.0) if WEIGHTED else 1.0
        return y, w
    else:
        channel = (c + tl.arange(0, WIDE))[None, :]
        known = here[:, None] & (channel < count)
        y = tl.load(pixels + at[:, None] + channel, mask=known, other=0.0)
        if WEIGHTED:
            return y, tl.load(weights + at[:, None] + channel, mask=known, other=0.0)
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
def evaluate(  # type: ignore[no-untyped-def]
    pixels, weights, at, here, spectra, first, length, share, widest, count, thickness, x_0, x_1, y_mean, total, tiny,
    low_d, high_d, low_s, high_s, WEIGHTED: tl.constexpr, BOUNDED: tl.constexpr, MIXED: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """The projected objective with its shadings, its gradient and Gauss-Newton Hessian, both halved.

    The model is evaluated anew in each of three passes over the channels, because that costs less than to store it.
    """
    m, b = _beside(x_0, WIDE), _beside(x_1, WIDE)
    mean, mean_0, mean_1 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    for c in range(0, count, WIDE):
        _, w = _sample(pixels, weights, at, here, c, count, WEIGHTED, WIDE)
        own = _channels(c, count, WIDE)
        r, r_0, r_1 = _channel(spectra, first, length, share, widest, own, m, b, thickness, MIXED, WIDE)
        mean, mean_0, mean_1 = mean + _sum(w * r, WIDE), mean_0 + _sum(w * r_0, WIDE), mean_1 + _sum(w * r_1, WIDE)
    mean, mean_0, mean_1 = mean / total, mean_0 / total, mean_1 / total
    rr, ry, level = x_0 * 0.0, x_0 * 0.0, _beside(mean, WIDE)
    for c in range(0, count, WIDE):
        y, w = _sample(pixels, weights, at, here, c, count, WEIGHTED, WIDE)
        own = _channels(c, count, WIDE)
        r, _, _ = _channel(spectra, first, length, share, widest, own, m, b, thickness, MIXED, WIDE)
        rr += _sum(w * (r - level) * (r - level), WIDE)
        ry += _sum(w * (r - level) * y, WIDE)
    whole = rr + total * mean * mean
    if BOUNDED:
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
    level, level_0 = _beside(mean * specular, WIDE), _beside(mean_0 * specular, WIDE)
    level_1, d, g = _beside(mean_1 * specular, WIDE), _beside(i_d, WIDE), _beside(i_s, WIDE)
    cost, re, e_0, e_1 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    c_0, c_1, c_00, c_01, c_11 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    for c in range(0, count, WIDE):
        y, w = _sample(pixels, weights, at, here, c, count, WEIGHTED, WIDE)
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
    if BOUNDED:
        c_0, c_1 = c_0 * diffuse, c_1 * diffuse
    g_0, g_1 = i_d * (c_0 * re / square - e_0), i_d * (c_1 * re / square - e_1)
    h_00 = i_d * i_d * tl.maximum(c_00 - c_0 * c_0 / square, 0.0)
    h_11 = i_d * i_d * tl.maximum(c_11 - c_1 * c_1 / square, 0.0)
    return i_d, i_s, cost, g_0, g_1, h_00, i_d * i_d * (c_01 - c_0 * c_1 / square), h_11, free
