"""The whole fit of two-layer skin as one kernel for GPUs: pixels are read once, solutions written once.

A program takes a block of pixels, one a lane, through what the CPU does in several kernels, and shares their constants
and tables: coordinates and the search of a grid (`numba_search`), expansions about the best nodes
(`numba_polynomials`), bounded Newton steps on the exact objective (`numba_descent`). Between these nothing leaves the
chip. The spectra of a block (64 pixels of 31 channels: 8 KB) stay in the first-level cache, so that reading them again
costs no traffic.

A channel is a weighted sum of the model at a few wavelengths, a band the model at one. With weights, where a channel
is missing or shadings are bounded, the search compares channels one by one instead of coordinates, and descents begin
at the nodes.

With TRITON_INTERPRET=1 in the environment before Triton is imported, the kernel runs on a CPU, slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from msfit.skin.layers import Constants
from msfit.solve.kernels.numba_polynomials import ACROSS, TERMS
from msfit.solve.kernels.numba_search import RANK
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.problem import NON_NEGATIVE, ShadingBounds
from msfit.solve.search import Grid as SearchGrid
from msfit.solve.tolerances import PLATEAU

# Pixels of a program, and channels of which the exact model is evaluated at once: on a GPU, one by one; in the
# interpreter, where an operation on many numbers takes hardly longer than one on few, as many as keep this number.
_BLOCK, _WIDE, _INTERPRETED = 64, 1, 2**16
# Columns of a solution: f_mel, f_blood, i_d, i_s, cost, whether it converged, and the number of steps.
RESULTS = 7
_LOWEST: tl.constexpr = tl.constexpr(-1e30)
_TINY, _EPS = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


@dataclass(frozen=True, eq=False)
class Grid:
    """The tables of a skin over a box on the device, as the kernel reads them; all float32.

    Columns are filled up to a power of two. `basis` (channel, 16): directions of the coordinates. `directions`
    (row, 16, column): of each node, by coordinate; `ratios` (row, 3, column): see `numba_search.NODE`. `spectra` (row,
    channel, column): reflectance at the nodes.
    `expansions` (node, 18, 24), `limits` (node, 4), `fractions` (node, 2, 3): see `numba_polynomials.refine`.
    `lower` and `upper` (2,), the box.
    """

    shape: tuple[int, int]
    basis: Tensor
    directions: Tensor
    ratios: Tensor
    spectra: Tensor
    expansions: Tensor
    limits: Tensor
    fractions: Tensor
    lower: tuple[float, float]
    upper: tuple[float, float]

    @classmethod
    def of(cls, table: SearchTable, spectra: np.ndarray, device: torch.device | str) -> Grid:
        """From the tables of the CPU, and the reflectance (node, channel) at their nodes."""
        rows, columns = table.nodes.shape[:2]
        wide = _filled(columns)
        directions = np.zeros((rows, 1 + ACROSS, wide), np.float32)
        directions[:, 1 : 1 + RANK, :columns] = table.nodes[..., :RANK].transpose(0, 2, 1)
        ratios = np.ones((rows, 3, wide), np.float32)
        ratios[..., :columns] = table.nodes[..., RANK:].transpose(0, 2, 1)
        arrays = (
            table.basis,
            directions,
            ratios,
            _on_grid(spectra, rows, columns),
            table.expansions,
            table.limits,
            table.fractions,
        )
        basis, *others = (torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in arrays)
        names = ("directions", "ratios", "spectra", "expansions", "limits", "fractions")
        low, high = ((float(end[0]), float(end[1])) for end in (table.lower, table.upper))
        return cls((rows, columns), basis, **dict(zip(names, others, strict=True)), lower=low, upper=high)

    @classmethod
    def of_nodes(cls, grid: SearchGrid, lower: np.ndarray, upper: np.ndarray, device: torch.device | str) -> Grid:
        """For the search by channels alone: from the nodes of a grid, without coordinates and expansions."""
        rows, columns = grid.shape
        fractions = np.zeros((rows * columns, 2, 3), np.float32)
        fractions[:, :, 0] = grid.x
        spectra, ends, none = (
            torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
            for values in (_on_grid(grid.spectra, rows, columns), fractions, np.zeros(1))
        )
        low, high = ((float(end[0]), float(end[1])) for end in (lower, upper))
        return cls((rows, columns), none, none, none, spectra, none, none, ends, low, high)

    @property
    def columns(self) -> int:
        """Columns as the kernel reads them."""
        return self.spectra.shape[2]


def _filled(columns: int) -> int:
    """Columns filled up to a power of two, at least one of them empty."""
    return max(16, triton.next_power_of_2(columns + 1))


def _on_grid(spectra: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Reflectance (node, channel) by row, channel and filled-up column."""
    filled = np.ones((rows, spectra.shape[1], _filled(columns)), np.float32)
    filled[..., :columns] = spectra.reshape(rows, columns, -1).transpose(0, 2, 1)
    return filled


@dataclass(frozen=True, eq=False)
class Channels:
    """How channels follow from the model at wavelengths: channel c is sum_k share[c, k] r(first[c] + k), k < length[c].

    `first` and `length` (channel,) int32; `share` (channel, widest) float32. Bands have one wavelength each.
    """

    first: Tensor
    length: Tensor
    share: Tensor

    @classmethod
    def of(cls, mixing: np.ndarray, device: torch.device | str) -> Channels:
        """From the matrix (channel, wavelength) of a camera; what lies between a channel's ends counts."""
        inside = mixing != 0
        first = inside.argmax(1)
        length = mixing.shape[1] - inside[:, ::-1].argmax(1) - first
        share = np.zeros((len(mixing), int(length.max())), np.float32)
        for row, start, count, values in zip(share, first, length, mixing, strict=True):
            row[:count] = values[start : start + count]
        return cls(*(torch.from_numpy(a).to(device) for a in (first.astype(np.int32), length.astype(np.int32), share)))


def fit(
    pixels: Tensor,
    weights: Tensor | None,
    form: Constants,
    spectra: Tensor,
    grid: Grid,
    channels: Channels | None,
    tolerance: float,
    most_steps: int,
    shadings: ShadingBounds = NON_NEGATIVE,
    wide: int | None = None,
) -> Tensor:
    """Solutions (n, RESULTS) of pixels (n, channel) float32, with weights (n, channel) >= 0 or None for ones.

    `form` are the constants of the skin, `spectra` (wavelength, 8) the same on the device; `grid` its tables;
    `channels` None where a channel is the model at one wavelength; `shadings` bounds of i_d and i_s. `wide`, a power
    of two: channels of which the model is evaluated at once, by default as many as suit the device.
    """
    number, count = pixels.shape
    results = torch.empty((RESULTS, number), dtype=torch.float32, device=pixels.device)
    if number == 0:
        return results.T
    pixels = pixels.contiguous()
    block, usual = (_BLOCK, _WIDE) if pixels.is_cuda else _interpreted(number, count)
    unused = pixels  # where a kernel reads nothing
    first, length, share = (unused,) * 3 if channels is None else (channels.first, channels.length, channels.share)
    with torch.cuda.device_of(pixels):  # Triton launches on the current one
        _fit[(triton.cdiv(number, block),)](
            pixels,
            unused if weights is None else weights.contiguous(),
            spectra,
            first,
            length,
            share,
            *(grid.basis, grid.directions, grid.ratios, grid.spectra, grid.expansions, grid.limits, grid.fractions),
            results,
            number,
            count,
            1 if channels is None else share.shape[1],
            *grid.shape,
            float(form.thickness),
            *(float(end) for bounds in shadings for end in bounds),
            *(grid.lower[0], grid.lower[1], grid.upper[0], grid.upper[1]),
            tolerance,
            most_steps,
            _TINY,
            _EPS,
            WEIGHTED=weights is not None,
            BOUNDED=shadings != NON_NEGATIVE,
            MIXED=channels is not None,
            BLOCK=block,
            WIDE=wide or usual,
            COLUMNS=grid.columns,
            TERMS=TERMS,
            PLATEAU=PLATEAU,
            num_warps=2,
        )
    return results.T


def _interpreted(number: int, count: int) -> tuple[int, int]:
    """Pixels of a block and channels at once, both powers of two, for so many in the interpreter."""
    block = min(2**13, max(_BLOCK, triton.next_power_of_2(number)))
    return block, min(triton.next_power_of_2(count), max(1, _INTERPRETED // block))


@triton.jit
def _clip(x, low, high):  # type: ignore[no-untyped-def]
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
def _bounded_pair(rr, ry, mean, y_mean, total, low_d, high_d, low_s, high_s, tiny):  # type: ignore[no-untyped-def]
    """Least squares in both shadings within bounds, and by how much they lower the square: see `problem.bounded_pair`.

    From the square rr of a reflectance about its mean and its product ry with the pixel, weighted sums of `total`.
    """
    free_d = ry / tl.maximum(rr, tiny)
    free_s = y_mean - free_d * mean
    d_first, s_second = _clip(free_d, low_d, high_d), _clip(free_s, low_s, high_s)
    s_first = _clip(y_mean - d_first * mean, low_s, high_s)
    whole = tl.maximum(rr + total * mean * mean, tiny)
    d_second = _clip((ry + total * mean * (y_mean - s_second)) / whole, low_d, high_d)
    miss_first, miss_second = s_first - (y_mean - d_first * mean), s_second - (y_mean - d_second * mean)
    first = d_first * (2.0 * ry - rr * d_first) - total * miss_first * miss_first
    second = d_second * (2.0 * ry - rr * d_second) - total * miss_second * miss_second
    out_d, out_s = free_d != d_first, free_s != s_second
    other = out_s & ((out_d == 0) | (second > first))
    decrease = tl.where(other, second, first) + total * y_mean * y_mean
    return tl.where(other, d_second, d_first), tl.where(other, s_second, s_first), decrease


@triton.jit
def _evaluate(  # type: ignore[no-untyped-def]
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
        i_d, i_s, _ = _bounded_pair(rr, ry, mean, y_mean, total, low_d, high_d, low_s, high_s, tiny)
        # while a shading is free it takes over what follows it
        specular = tl.where((i_s > low_s) & (i_s < high_s), 1.0, 0.0)
        diffuse = tl.where((i_d > low_d) & (i_d < high_d), 1.0, 0.0)
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
    return i_d, i_s, cost, g_0, g_1, h_00, i_d * i_d * (c_01 - c_0 * c_1 / square), h_11


@triton.jit
def _box_step(  # type: ignore[no-untyped-def]
    x_0, x_1, g_0, g_1, h_00, h_01, h_11, c_00, c_01, c_11, damping, low_0, low_1, high_0, high_1, tiny, eps
):
    """The step inside the box, and the decrease of the objective that its quadratic model predicts."""
    bound_0 = ((x_0 <= low_0) & (g_0 > 0.0)) | ((x_0 >= high_0) & (g_0 < 0.0))
    bound_1 = ((x_1 <= low_1) & (g_1 > 0.0)) | ((x_1 >= high_1) & (g_1 < 0.0))
    h_01 = tl.where(bound_0 | bound_1, 0.0, h_01)
    b_00, b_11 = h_00 + tl.where(bound_0, 0.0, c_00), h_11 + tl.where(bound_1, 0.0, c_11)
    b_01 = h_01 + tl.where(bound_0 | bound_1, 0.0, c_01)
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
def _coordinate(z, number):  # type: ignore[no-untyped-def]
    """One of the coordinates (lane, 16) of pixels: (lane,)."""
    return tl.sum(tl.where(tl.arange(0, 16)[None, :] == number, z, 0.0), axis=1)


@triton.jit
def _explained(  # type: ignore[no-untyped-def]
    z_1, z_2, z_3, z_4, z_5, z_6, z_7, z_8, z_9, z_10, z_11, z_12, white, directions, ratios, row, column, columns,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """What of the squares of pixels, by their coordinates z (lane,), each node of a row explains: (lane, column)."""
    across = white[:, None] * 0.0 + tl.zeros_like(column)[None, :].to(tl.float32)
    at = directions + row * 16 * COLUMNS + column
    across += z_1[:, None] * tl.load(at + 1 * COLUMNS)[None, :]
    across += z_2[:, None] * tl.load(at + 2 * COLUMNS)[None, :]
    across += z_3[:, None] * tl.load(at + 3 * COLUMNS)[None, :]
    across += z_4[:, None] * tl.load(at + 4 * COLUMNS)[None, :]
    across += z_5[:, None] * tl.load(at + 5 * COLUMNS)[None, :]
    across += z_6[:, None] * tl.load(at + 6 * COLUMNS)[None, :]
    across += z_7[:, None] * tl.load(at + 7 * COLUMNS)[None, :]
    across += z_8[:, None] * tl.load(at + 8 * COLUMNS)[None, :]
    across += z_9[:, None] * tl.load(at + 9 * COLUMNS)[None, :]
    across += z_10[:, None] * tl.load(at + 10 * COLUMNS)[None, :]
    across += z_11[:, None] * tl.load(at + 11 * COLUMNS)[None, :]
    across += z_12[:, None] * tl.load(at + 12 * COLUMNS)[None, :]
    at = ratios + row * 3 * COLUMNS + column
    specular = white[:, None] * tl.load(at)[None, :] >= across
    whole = across * tl.load(at + COLUMNS)[None, :] + white[:, None] * tl.load(at + 2 * COLUMNS)[None, :]
    alone, beside = tl.maximum(whole, 0.0), tl.maximum(across, 0.0)
    value = tl.where(specular, white[:, None] * white[:, None] + beside * beside, alone * alone)
    return tl.where(column[None, :] < columns, value, _LOWEST)


@triton.jit
def _explained_by_channels(  # type: ignore[no-untyped-def]
    pixels, weights, at, here, on_grid, row, column, columns, count, y_mean, total, low_d, high_d, low_s, high_s, tiny,
    WEIGHTED: tl.constexpr, BOUNDED: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The same from the channels themselves, with their weights."""
    zero = y_mean[:, None] * 0.0 + tl.zeros_like(column)[None, :].to(tl.float32)
    cross, sums, squares = zero, zero, zero
    for c in range(count):
        y = tl.load(pixels + at + c, mask=here, other=0.0)
        w = tl.load(weights + at + c, mask=here, other=0.0) if WEIGHTED else y * 0.0 + 1.0
        r = tl.load(on_grid + (row * count + c) * COLUMNS + column)[None, :]
        wr = w[:, None] * r
        cross, sums, squares = cross + wr * y[:, None], sums + wr, squares + wr * r
    flat = (y_mean * y_mean * total)[:, None]
    spread = squares - sums * sums / total[:, None]
    contrast = cross - y_mean[:, None] * sums
    if BOUNDED:
        mean, whole = sums / total[:, None], total[:, None] + zero
        _, _, value = _bounded_pair(
            spread, contrast, mean, y_mean[:, None] + zero, whole, low_d, high_d, low_s, high_s, tiny
        )
    else:
        beside, alone = tl.maximum(contrast, 0.0), tl.maximum(cross, 0.0)
        specular = (y_mean * total)[:, None] * spread >= contrast * sums
        value = tl.where(specular, flat + beside * beside / spread, alone * alone / squares)
    return tl.where(column[None, :] < columns, value, _LOWEST)


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
def _search(  # type: ignore[no-untyped-def]
    pixels, weights, at, here, z, white, floor, directions, ratios, on_grid, rows, columns, count, y_mean, total,
    low_d, high_d, low_s, high_s, tiny, WEIGHTED: tl.constexpr, BOUNDED: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The nodes (lane,) of up to four local maxima of what is explained, the highest first; -1 where there are none."""
    column = tl.arange(0, COLUMNS)
    before = tl.zeros_like(y_mean).to(tl.int32)[:, None] + ((column + COLUMNS - 1) % COLUMNS)[None, :]
    after = tl.zeros_like(y_mean).to(tl.int32)[:, None] + ((column + 1) % COLUMNS)[None, :]
    # where no diffuse light helps, the objective is a plateau up to rounding: a node on it is no minimum of its own
    plateau = floor[:, None]
    nothing = plateau * 0.0 + tl.zeros_like(column)[None, :].to(tl.float32) + _LOWEST
    value, along, along_before = nothing, nothing, nothing
    h_0 = white * 0.0 + _LOWEST
    h_1, h_2, h_3, highest = h_0, h_0, h_0, h_0
    n_0 = tl.zeros_like(white).to(tl.int32) - 1
    n_1, n_2, n_3, best = n_0, n_0, n_0, n_0
    # taken out of z once: sums over its columns cost more than a row's products
    z_1, z_2, z_3, z_4 = _coordinate(z, 1), _coordinate(z, 2), _coordinate(z, 3), _coordinate(z, 4)
    z_5, z_6, z_7, z_8 = _coordinate(z, 5), _coordinate(z, 6), _coordinate(z, 7), _coordinate(z, 8)
    z_9, z_10, z_11, z_12 = _coordinate(z, 9), _coordinate(z, 10), _coordinate(z, 11), _coordinate(z, 12)
    for row in range(rows + 1):
        value_next, along_next = nothing, nothing
        if row < rows:
            if WEIGHTED or BOUNDED:
                value_next = _explained_by_channels(
                    pixels, weights, at, here, on_grid, row, column, columns, count, y_mean, total, low_d, high_d,
                    low_s, high_s, tiny, WEIGHTED, BOUNDED, COLUMNS,
                )  # fmt: skip
            else:
                value_next = _explained(
                    z_1, z_2, z_3, z_4, z_5, z_6, z_7, z_8, z_9, z_10, z_11, z_12, white, directions, ratios, row,
                    column, columns, COLUMNS,
                )  # fmt: skip
            side = tl.maximum(tl.gather(value_next, before, 1), tl.gather(value_next, after, 1))
            along_next = tl.maximum(tl.maximum(value_next, side), plateau)
        around = tl.maximum(tl.maximum(along_before, along), along_next)
        inside = column[None, :] < columns
        tops = tl.where((value >= around) & inside & (row > 0), value, _LOWEST)
        top = tl.max(tops, axis=1)
        while tl.max(top, axis=0) > _LOWEST:
            place = tl.argmax(tops, axis=1)
            node = tl.where(top > _LOWEST, (row - 1) * columns + place, -1).to(tl.int32)
            h_0, h_1, h_2, h_3, n_0, n_1, n_2, n_3 = _insert(top, node, h_0, h_1, h_2, h_3, n_0, n_1, n_2, n_3)
            tops = tl.where(column[None, :] == place[:, None], _LOWEST, tops)
            top = tl.max(tops, axis=1)
        most = tl.max(value_next, axis=1)
        higher = most > highest
        best = tl.where(higher, (row * columns + tl.argmax(value_next, axis=1)).to(tl.int32), best)
        highest = tl.where(higher, most, highest)
        along_before, along, value = along, along_next, value_next
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
def _refine(z, white, node, expansions, limits, TERMS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where near its node a pixel's objective is least by its expansions: distances (u, v), see `numba_polynomials`.

    The numerator's coefficients n_ab are sums over coordinates, in the order of `numba_polynomials.terms`.
    """
    own = expansions + node * 18 * TERMS
    zero = white * 0.0
    n00, n01, n02, n03, n04, n05, n10 = zero, zero, zero, zero, zero, zero, zero
    n11, n12, n13, n14, n20, n21, n22 = zero, zero, zero, zero, zero, zero, zero
    n23, n30, n31, n32, n40, n41, n50 = zero, zero, zero, zero, zero, zero, zero
    for k in range(1, 16):  # not unrolled, which took minutes to compile
        c, at = _coordinate(z, k), own + k * TERMS
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
        s_u = _clip(_clip((h_vv * g_u - h_uv * g_v) / determinant, -reach, reach), least_u - u, most_u - u)
        s_v = _clip(_clip((g_v - h_uv * s_u) / h_vv, -reach, reach), least_v - v, most_v - v)
        s_u = _clip(_clip((g_u - h_uv * s_v) / h_uu, -reach, reach), least_u - u, most_u - u)
        # from a point that was not worth going to, half the way back
        u, v = tl.where(better, u + s_u, 0.5 * (best_u + u)), tl.where(better, v + s_v, 0.5 * (best_v + v))
    return best_u, best_v


@triton.jit
def _fraction(fractions, node, axis, far, low, high):  # type: ignore[no-untyped-def]
    """A pigment's fraction at a distance from its node along its axis; on a bound where it is next to it."""
    at = fractions + node * 6 + axis * 3
    x = tl.load(at) + far * (tl.load(at + 1) + far * tl.load(at + 2))
    close = 1e-6 * (high - low)
    x = tl.where(x > high - close, high, x)
    return tl.where(x < low + close, low, x)


# One machine code for all counts and slices: by default others are compiled for counts that sixteen divides.
@triton.jit(
    do_not_specialize=["number", "count", "widest", "rows", "columns", "most_steps"],
    do_not_specialize_on_alignment=["pixels", "weights", "results"],
)
def _fit(  # type: ignore[no-untyped-def]
    pixels, weights, spectra, first, length, share, basis, directions, ratios, on_grid, expansions, limits, fractions,
    results, number, count, widest, rows, columns, thickness, low_d, high_d, low_s, high_s, low_0, low_1, high_0,
    high_1, tolerance, most_steps, tiny, eps, WEIGHTED: tl.constexpr, BOUNDED: tl.constexpr, MIXED: tl.constexpr,
    BLOCK: tl.constexpr, WIDE: tl.constexpr, COLUMNS: tl.constexpr, TERMS: tl.constexpr, PLATEAU: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = lane < number
    at = lane.to(tl.int64) * count
    k = tl.arange(0, 16)
    zero = at.to(tl.float32) * 0.0
    z = zero[:, None] + k[None, :].to(tl.float32) * 0.0
    y_mean, energy, total = zero, zero, zero
    for c in range(count):
        y = tl.load(pixels + at + c, mask=here, other=0.0)
        w = tl.load(weights + at + c, mask=here, other=0.0) if WEIGHTED else 1.0
        y_mean += w * y
        energy += w * y * y
        total += w
        if not (WEIGHTED or BOUNDED):
            z += y[:, None] * tl.load(basis + c * 16 + k)[None, :]
    total = tl.maximum(total, tiny)
    y_mean = y_mean / total
    white = y_mean * tl.sqrt(total)
    floor = white * white * PLATEAU
    if BOUNDED:
        dark = _clip(y_mean, low_s, high_s)
        floor = tl.where(low_d > 0.0, _LOWEST, total * dark * (2.0 * y_mean - dark) * PLATEAU)
    n_0, n_1, n_2, n_3 = _search(
        pixels, weights, at, here, z, white, floor, directions, ratios, on_grid, rows, columns, count, y_mean, total,
        low_d, high_d, low_s, high_s, tiny, WEIGHTED, BOUNDED, COLUMNS,
    )  # fmt: skip
    b_0, b_1, b_d, b_s, b_cost = zero, zero, zero, zero, zero + float("inf")
    b_converged, b_steps = zero, zero
    for start in range(4):
        node = tl.where(start == 0, n_0, tl.where(start == 1, n_1, tl.where(start == 2, n_2, n_3)))
        used = here & (node >= 0)
        if tl.max(used.to(tl.int32), axis=0) > 0:
            node = tl.maximum(node, 0)
            u, v = zero, zero
            if not (WEIGHTED or BOUNDED):
                u, v = _refine(z, white, node, expansions, limits, TERMS)
            x_0 = _fraction(fractions, node, 0, u, low_0, high_0)
            x_1 = _fraction(fractions, node, 1, v, low_1, high_1)
            i_d, i_s, cost, g_0, g_1, h_00, h_01, h_11 = _evaluate(
                pixels, weights, at, here, spectra, first, length, share, widest, count, thickness, x_0, x_1, y_mean,
                total, tiny, low_d, high_d, low_s, high_s, WEIGHTED, BOUNDED, MIXED, WIDE,
            )  # fmt: skip
            c_00, c_01, c_11, damping = zero, zero, zero, zero
            converged, steps = zero, zero
            active = tl.where(used, 1, 0)
            taken = 0
            while tl.max(active, axis=0) > 0:
                s_0, s_1, decrease = _box_step(
                    x_0, x_1, g_0, g_1, h_00, h_01, h_11, c_00, c_01, c_11, damping, low_0, low_1, high_0, high_1,
                    tiny, eps,
                )  # fmt: skip
                # what rounding of the residuals, of the pixel's size, may do to the sum of squares
                rounding = 4.0 * eps * (tl.sqrt(cost * energy) + eps * energy)
                # damping shortens the step: a damped one must not look like a converged one
                done = 2.0 * decrease * (1.0 + damping) <= tolerance * cost + rounding
                converged = tl.where((active > 0) & done, 1.0, converged)
                last, active = active, tl.where(done | (taken >= most_steps), 0, active)
                t_0, t_1 = _clip(x_0 + s_0, low_0, high_0), _clip(x_1 + s_1, low_1, high_1)
                n_d, n_s, n_cost, n_g0, n_g1, n_h00, n_h01, n_h11 = _evaluate(
                    pixels, weights, at, here, spectra, first, length, share, widest, count, thickness, t_0, t_1,
                    y_mean, total, tiny, low_d, high_d, low_s, high_s, WEIGHTED, BOUNDED, MIXED, WIDE,
                )  # fmt: skip
                # the last step of a lane is taken too: it is evaluated anyhow
                better = (n_cost <= cost + rounding) & (last > 0)
                s_0, s_1, y_0, y_1 = t_0 - x_0, t_1 - x_1, n_g0 - g_0, n_g1 - g_1
                x_0, x_1 = tl.where(better, t_0, x_0), tl.where(better, t_1, x_1)
                i_d, i_s, cost = tl.where(better, n_d, i_d), tl.where(better, n_s, i_s), tl.where(better, n_cost, cost)
                g_0, g_1 = tl.where(better, n_g0, g_0), tl.where(better, n_g1, g_1)
                h_00, h_01 = tl.where(better, n_h00, h_00), tl.where(better, n_h01, h_01)
                h_11 = tl.where(better, n_h11, h_11)
                # symmetric secant update of what Gauss-Newton leaves out (Dennis, Gay & Welsch 1981)
                z_0 = y_0 - (h_00 + c_00) * s_0 - (h_01 + c_01) * s_1
                z_1 = y_1 - (h_01 + c_01) * s_0 - (h_11 + c_11) * s_1
                size = h_00 * s_0 * s_0 + h_11 * s_1 * s_1
                known = size > tiny
                d_0, d_1 = tl.where(known, h_00 * s_0 / size, 0.0), tl.where(known, h_11 * s_1 / size, 0.0)
                z_0, z_1 = tl.where(known, z_0, 0.0), tl.where(known, z_1, 0.0)
                miss = z_0 * s_0 + z_1 * s_1
                c_00 += 2.0 * z_0 * d_0 - miss * d_0 * d_0
                c_01 += z_0 * d_1 + z_1 * d_0 - miss * d_0 * d_1
                c_11 += 2.0 * z_1 * d_1 - miss * d_1 * d_1
                relaxed = tl.where(damping < 1e-3, 0.0, 0.1 * damping)
                damping = tl.where(better, relaxed, tl.maximum(8.0 * damping, 1e-2))
                steps += tl.where(active > 0, 1.0, 0.0)
                taken += 1
            least = used & (cost < b_cost)
            b_0, b_1, b_cost = tl.where(least, x_0, b_0), tl.where(least, x_1, b_1), tl.where(least, cost, b_cost)
            b_d, b_s = tl.where(least, i_d, b_d), tl.where(least, i_s, b_s)
            b_converged, b_steps = tl.where(least, converged, b_converged), tl.where(least, steps, b_steps)
    row, whole = results + lane, tl.cast(number, tl.int64)  # seven times which may be more than 32 bits hold
    tl.store(row, b_0, mask=here)
    tl.store(row + whole, b_1, mask=here)
    tl.store(row + 2 * whole, b_d, mask=here)
    tl.store(row + 3 * whole, b_s, mask=here)
    tl.store(row + 4 * whole, b_cost, mask=here)
    tl.store(row + 5 * whole, b_converged, mask=here)
    tl.store(row + 6 * whole, b_steps, mask=here)
