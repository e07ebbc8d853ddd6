"""The descent of `newton` as one kernel for GPUs, on two layers of skin: the exact model, residual and Jacobian.

A program takes a block of descents, one a lane, and goes on until the last of them has ended; nothing but the pixels is
read and nothing but the ends is written. The model is evaluated anew in each of three passes over the bands, because
that costs less than to store it: its mean; the shadings; the residuals with their products. With TRITON_INTERPRET=1 in
the environment before Triton is imported, it runs on a CPU, slowly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 128
RESULTS = 12
_TINY, _EPS = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


def descend(
    pixels: Tensor,
    owner: Tensor,
    start: Tensor,
    skin: Tensor,
    thickness: float,
    lower: Tensor,
    upper: Tensor,
    tolerance: float,
    most_steps: int,
) -> Tensor:
    """Ends of the descents (start, RESULTS): point, whether converged, steps; see `newton.descend`.

    pixels (n, band) float32; owner (start,), the pixel of each start; start (start, 2) float32; skin (band, 8) float32
    and thickness, see `two_layers.Constants`; lower, upper (2,).
    """
    number = owner.numel()
    # bands first: neighbouring lanes read neighbouring numbers
    spectra = (pixels if number == len(pixels) else pixels[owner]).T.contiguous()
    results = torch.empty((RESULTS, number), dtype=torch.float32, device=pixels.device)
    places = start.T.contiguous()
    box = [float(end) for end in (*lower.tolist(), *upper.tolist())]
    grid = (triton.cdiv(number, _BLOCK),)
    bands = pixels.shape[1]
    _descend[grid](
        spectra, places, skin, results, number, bands, thickness, *box, tolerance, most_steps, _TINY, _EPS, BLOCK=_BLOCK
    )
    return results.T


@triton.jit
def _skin(skin, band, x_0, x_1, thickness):  # type: ignore[no-untyped-def]
    """Reflectance of a band and its derivatives by melanin and blood."""
    at = skin + 8 * band
    depth, by_mel, by_blood = tl.load(at), tl.load(at + 1), tl.load(at + 2)
    a_blood, s_blood, rho = tl.load(at + 4), tl.load(at + 6), tl.load(at + 7)
    a, s = tl.load(at + 3) + x_1 * a_blood, tl.load(at + 5) + x_1 * s_blood
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
def _evaluate(spectra, number, lane, here, skin, bands, thickness, x_0, x_1, y_mean, tiny):  # type: ignore[no-untyped-def]
    """The projected objective, its gradient and Gauss-Newton Hessian, both halved: `objective.evaluate`."""
    mean, mean_0, mean_1 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    for band in range(bands):
        r, r_0, r_1 = _skin(skin, band, x_0, x_1, thickness)
        mean, mean_0, mean_1 = mean + r, mean_0 + r_0, mean_1 + r_1
    mean, mean_0, mean_1 = mean / bands, mean_0 / bands, mean_1 / bands
    rr, ry = x_0 * 0.0, x_0 * 0.0
    for band in range(bands):
        y = tl.load(spectra + band * number + lane, mask=here, other=0.0)
        r, _, _ = _skin(skin, band, x_0, x_1, thickness)
        rr += (r - mean) * (r - mean)
        ry += (r - mean) * y
    i_d = ry / tl.maximum(rr, tiny)
    i_s = y_mean - i_d * mean
    whole = rr + bands * mean * mean
    matte = i_s < 0.0
    i_d = tl.where(matte, (ry + bands * mean * y_mean) / tl.maximum(whole, tiny), i_d)
    lit = i_d > 0.0
    i_s = tl.where(lit, tl.where(matte, 0.0, i_s), tl.maximum(y_mean, 0.0))
    i_d = tl.where(lit, i_d, 0.0)
    glossy = tl.where(i_s > 0.0, 1.0, 0.0)
    length = tl.maximum(tl.where(i_s > 0.0, rr, whole), tiny)
    mean, mean_0, mean_1 = mean * glossy, mean_0 * glossy, mean_1 * glossy
    cost, re, e_0, e_1 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    c_0, c_1, c_00, c_01, c_11 = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    for band in range(bands):
        y = tl.load(spectra + band * number + lane, mask=here, other=0.0)
        r, r_0, r_1 = _skin(skin, band, x_0, x_1, thickness)
        e = y - i_d * r - i_s
        r, r_0, r_1 = r - mean, r_0 - mean_0, r_1 - mean_1
        cost, re, e_0, e_1 = cost + e * e, re + e * r, e_0 + e * r_0, e_1 + e * r_1
        c_0, c_1 = c_0 + r * r_0, c_1 + r * r_1
        c_00, c_01, c_11 = c_00 + r_0 * r_0, c_01 + r_0 * r_1, c_11 + r_1 * r_1
    g_0, g_1 = i_d * (c_0 * re / length - e_0), i_d * (c_1 * re / length - e_1)
    h_00 = i_d * i_d * tl.maximum(c_00 - c_0 * c_0 / length, 0.0)
    h_11 = i_d * i_d * tl.maximum(c_11 - c_1 * c_1 / length, 0.0)
    return i_d, i_s, cost, g_0, g_1, h_00, i_d * i_d * (c_01 - c_0 * c_1 / length), h_11


@triton.jit
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    return tl.minimum(tl.maximum(x, low), high)


@triton.jit
def _step(x_0, x_1, g_0, g_1, h_00, h_01, h_11, c_00, c_01, c_11, damping, low_0, low_1, high_0, high_1, tiny, eps):  # type: ignore[no-untyped-def]
    """The step inside the box and what it promises: `newton._safe_hessian` and `box_step`."""
    held_0 = ((x_0 <= low_0) & (g_0 > 0.0)) | ((x_0 >= high_0) & (g_0 < 0.0))
    held_1 = ((x_1 <= low_1) & (g_1 > 0.0)) | ((x_1 >= high_1) & (g_1 < 0.0))
    h_01 = tl.where(held_0 | held_1, 0.0, h_01)
    b_00, b_11 = h_00 + tl.where(held_0, 0.0, c_00), h_11 + tl.where(held_1, 0.0, c_11)
    b_01 = h_01 + tl.where(held_0 | held_1, 0.0, c_01)
    safe = (b_00 > 0.02 * h_00) & (b_11 > 0.02 * h_11)
    safe = safe & (b_00 * b_11 - b_01 * b_01 > 1e-3 * (h_00 * h_11 - h_01 * h_01))
    h_00 = tl.maximum((1.0 + damping) * tl.where(safe, b_00, h_00), tiny)
    h_11 = tl.maximum((1.0 + damping) * tl.where(safe, b_11, h_11), tiny)
    h_01 = tl.where(safe, b_01, h_01)
    determinant = h_00 * h_11 - h_01 * h_01
    determinant = tl.where(determinant <= 8.0 * eps * h_00 * h_11, float("inf"), determinant)
    a_0 = _clip((h_01 * g_1 - h_11 * g_0) / determinant, low_0 - x_0, high_0 - x_0)
    b_1 = _clip((h_01 * g_0 - h_00 * g_1) / determinant, low_1 - x_1, high_1 - x_1)
    a_1 = _clip(-(g_1 + h_01 * a_0) / h_11, low_1 - x_1, high_1 - x_1)
    b_0 = _clip(-(g_0 + h_01 * b_1) / h_00, low_0 - x_0, high_0 - x_0)
    value_a = g_0 * a_0 + g_1 * a_1 + 0.5 * (h_00 * a_0 * a_0 + h_11 * a_1 * a_1) + h_01 * a_0 * a_1
    value_b = g_0 * b_0 + g_1 * b_1 + 0.5 * (h_00 * b_0 * b_0 + h_11 * b_1 * b_1) + h_01 * b_0 * b_1
    first = value_a <= value_b
    return tl.where(first, a_0, b_0), tl.where(first, a_1, b_1), -tl.where(first, value_a, value_b)


@triton.jit
def _descend(  # type: ignore[no-untyped-def]
    spectra,
    places,
    skin,
    results,
    number,
    bands,
    thickness,
    low_0,
    low_1,
    high_0,
    high_1,
    tolerance,
    most_steps,
    tiny,
    eps,
    BLOCK: tl.constexpr,
):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = lane < number
    x_0 = tl.load(places + lane, mask=here, other=0.0)
    x_1 = tl.load(places + number + lane, mask=here, other=0.0)
    mean, energy = x_0 * 0.0, x_0 * 0.0
    for band in range(bands):
        y = tl.load(spectra + band * number + lane, mask=here, other=0.0)
        mean += y
        energy += y * y
    mean = mean / bands
    i_d, i_s, cost, g_0, g_1, h_00, h_01, h_11 = _evaluate(
        spectra, number, lane, here, skin, bands, thickness, x_0, x_1, mean, tiny
    )
    c_00, c_01, c_11, damping = x_0 * 0.0, x_0 * 0.0, x_0 * 0.0, x_0 * 0.0
    converged, steps = x_0 * 0.0, x_0 * 0.0
    going = tl.where(here, 1, 0)
    count = 0
    while tl.max(going, axis=0) > 0:
        s_0, s_1, promise = _step(
            x_0, x_1, g_0, g_1, h_00, h_01, h_11, c_00, c_01, c_11, damping, low_0, low_1, high_0, high_1, tiny, eps
        )
        rounding = 4.0 * eps * (tl.sqrt(cost * energy) + eps * energy)
        done = 2.0 * promise * (1.0 + damping) <= tolerance * cost + rounding
        converged = tl.where((going > 0) & done, 1.0, converged)
        last, going = going, tl.where(done | (count >= most_steps), 0, going)
        t_0, t_1 = _clip(x_0 + s_0, low_0, high_0), _clip(x_1 + s_1, low_1, high_1)
        n_d, n_s, n_cost, n_g0, n_g1, n_h00, n_h01, n_h11 = _evaluate(
            spectra, number, lane, here, skin, bands, thickness, t_0, t_1, mean, tiny
        )
        # the last step of a lane is taken too: it is evaluated anyhow
        better = (n_cost <= cost + rounding) & (last > 0)
        s_0, s_1, y_0, y_1 = t_0 - x_0, t_1 - x_1, n_g0 - g_0, n_g1 - g_1
        x_0, x_1 = tl.where(better, t_0, x_0), tl.where(better, t_1, x_1)
        i_d, i_s, cost = tl.where(better, n_d, i_d), tl.where(better, n_s, i_s), tl.where(better, n_cost, cost)
        g_0, g_1 = tl.where(better, n_g0, g_0), tl.where(better, n_g1, g_1)
        h_00, h_01, h_11 = tl.where(better, n_h00, h_00), tl.where(better, n_h01, h_01), tl.where(better, n_h11, h_11)
        # the symmetric secant update, as in newton
        z_0 = y_0 - (h_00 + c_00) * s_0 - (h_01 + c_01) * s_1
        z_1 = y_1 - (h_01 + c_01) * s_0 - (h_11 + c_11) * s_1
        length = h_00 * s_0 * s_0 + h_11 * s_1 * s_1
        known = length > tiny
        u_0, u_1 = tl.where(known, h_00 * s_0 / length, 0.0), tl.where(known, h_11 * s_1 / length, 0.0)
        z_0, z_1 = tl.where(known, z_0, 0.0), tl.where(known, z_1, 0.0)
        miss = z_0 * s_0 + z_1 * s_1
        c_00 += 2.0 * z_0 * u_0 - miss * u_0 * u_0
        c_01 += z_0 * u_1 + z_1 * u_0 - miss * u_0 * u_1
        c_11 += 2.0 * z_1 * u_1 - miss * u_1 * u_1
        damping = tl.where(better, tl.where(damping < 1e-3, 0.0, 0.1 * damping), tl.maximum(8.0 * damping, 1e-2))
        steps += tl.where(going > 0, 1.0, 0.0)
        count += 1
    row = results + lane
    tl.store(row, x_0, mask=here)
    tl.store(row + number, x_1, mask=here)
    tl.store(row + 2 * number, i_d, mask=here)
    tl.store(row + 3 * number, i_s, mask=here)
    tl.store(row + 4 * number, cost, mask=here)
    tl.store(row + 5 * number, g_0, mask=here)
    tl.store(row + 6 * number, g_1, mask=here)
    tl.store(row + 7 * number, h_00, mask=here)
    tl.store(row + 8 * number, h_01, mask=here)
    tl.store(row + 9 * number, h_11, mask=here)
    tl.store(row + 10 * number, converged, mask=here)
    tl.store(row + 11 * number, steps, mask=here)
