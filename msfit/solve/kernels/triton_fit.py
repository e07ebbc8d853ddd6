"""The whole fit of two-layer skin as one kernel for GPUs: pixels are read once, solutions written once.

A program takes a block of pixels, one a lane, through what the CPU does in several kernels, and shares their constants
and tables: coordinates and the search of a grid (`numba_search`), expansions about the best nodes
(`numba_polynomials`), bounded Newton steps on the exact objective (`numba_descent`). Between these nothing leaves the
chip. The spectra of a block (32 pixels of 31 channels: 4 KB) stay in the first-level cache, so that reading them again
costs no traffic. A block is a warp: its lanes wait for each other and for nobody else, and a lane holds a row of the
grid in registers. Pixels that need more steps than most, or descents from several nodes, are launched again by
themselves (`Round`).

A channel is a weighted sum of the model at a few wavelengths, a band the model at one. With weights, where a channel
is missing, shadings are bounded or there is a prior, the search compares channels one by one instead of coordinates,
and descents begin at the nodes.

With TRITON_INTERPRET=1 in the environment before Triton is imported, the kernel runs on a CPU, slowly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from msfit.skin.layers import Constants
from msfit.solve.kernels.numba_polynomials import TERMS
from msfit.solve.kernels.triton_objective import clip, evaluate
from msfit.solve.kernels.triton_search import LOWEST, fraction, refine, search
from msfit.solve.kernels.triton_tables import Channels, Grid
from msfit.solve.problem import NON_NEGATIVE, Prior, ShadingBounds
from msfit.solve.tolerances import PLATEAU

# Pixels of a program, and channels of which the exact model is evaluated at once: on a GPU, one by one; in the
# interpreter, where an operation on many numbers takes hardly longer than one on few, as many as keep this number.
_BLOCK, _WIDE, _INTERPRETED = 32, 1, 2**16
# Columns of a solution: f_mel, f_blood, i_d, i_s, cost, whether it converged, and the number of steps.
RESULTS, _CONVERGED = 7, 5
_TINY, _EPS = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


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
    prior: Prior | None = None,
    wide: int | None = None,
    rounds: bool | None = None,
) -> Tensor:
    """Solutions (n, RESULTS) of pixels (n, channel) float32, with weights (n, channel) >= 0 or None for ones.

    `form` are the constants of the skin, `spectra` (wavelength, 8) the same on the device; `grid` its tables;
    `channels` None where a channel is the model at one wavelength; `shadings` bounds of i_d and i_s; `prior` on
    all four numbers, in tensors like the pixels. `wide`, a power of two: channels of which the model is evaluated at
    once, by default as many as suit the device. `rounds`: whether slow pixels are launched again by themselves, which
    changes nothing but the time; by default on a GPU.
    """
    number, count = pixels.shape
    if number == 0:
        return torch.empty((0, RESULTS), dtype=torch.float32, device=pixels.device)
    # a channel's pixels lie side by side, as the lanes read them
    seen = [None if values is None else values.T.contiguous() for values in (pixels, weights)]
    known = None if prior is None else _filled(prior)
    on_gpu = pixels.is_cuda
    usual = (_BLOCK, _WIDE) if on_gpu else _interpreted(number, count)
    arguments = form, spectra, grid, channels, tolerance, shadings, (usual[0], wide or usual[1])
    plain = weights is None and prior is None and shadings == NON_NEGATIVE
    rounds = on_gpu if rounds is None else rounds
    launches = [*(_FROM_MINIMA if plain else _FROM_NODES)] if rounds else []
    first, *others = [*launches, Round(most_steps, last=True)]
    results = _launch(seen, known, first, *arguments)
    for each in others:
        open_ones = (results[_CONVERGED] < 0).nonzero()[:, 0]
        if not len(open_ones):
            break
        some = [None if values is None else values[:, open_ones] for values in seen]
        own = known if known is None or len(known[0]) == 1 else (known[0][open_ones], known[1][open_ones])
        results[:, open_ones] = _launch(some, own, each, *arguments)
    return results.T


class Round(NamedTuple):
    """A launch: at most so many steps, from the first node alone or all, and whether no other follows."""

    steps: int
    single: bool = False
    last: bool = False


# All lanes of a warp take as long as the slowest: what needs more steps than most is done again by itself. Of spectra
# of skin 98 in 100 have ended after one step from the minima of expansions, and 9 in 10 after four from nodes.
_FROM_MINIMA = (Round(1, single=True), Round(8))
_FROM_NODES = (Round(4, single=True), Round(16))


def _launch(
    seen: list[Tensor | None],
    known: tuple[Tensor, Tensor] | None,
    this: Round,
    form: Constants,
    spectra: Tensor,
    grid: Grid,
    channels: Channels | None,
    tolerance: float,
    shadings: ShadingBounds,
    sizes: tuple[int, int],
) -> Tensor:
    """Solutions (RESULTS, n) of pixels and weights (channel, n); where descents have not ended, converged is -1."""
    pixels, weights = seen
    assert pixels is not None
    count, number = pixels.shape
    results = torch.empty((RESULTS, number), dtype=torch.float32, device=pixels.device)
    unused = pixels  # where a kernel reads nothing
    first, length, share = (unused,) * 3 if channels is None else (channels.first, channels.length, channels.share)
    means, roots = (unused, unused) if known is None else known
    with torch.cuda.device_of(pixels):  # Triton launches on the current one
        _fit[(triton.cdiv(number, sizes[0]),)](
            pixels,
            unused if weights is None else weights,
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
            this.steps,
            _TINY,
            _EPS,
            means,
            roots,
            int(known is not None and len(means) > 1),
            int(this.single),
            int(this.last),
            WEIGHTED=weights is not None,
            BOUNDED=known is not None or shadings != NON_NEGATIVE,
            PRIOR=known is not None,
            MIXED=channels is not None,
            BLOCK=sizes[0],
            WIDE=sizes[1],
            COLUMNS=grid.columns,
            TERMS=TERMS,
            PLATEAU=PLATEAU,
            num_warps=1,
        )
    return results


def _filled(prior: Prior) -> tuple[Tensor, Tensor]:
    """Means (m, 4) and roots (m, 4, 4) of a prior, m the number of pixels where each has its own."""
    rows, count = prior.root.shape[1], max(len(prior.mean), len(prior.root))
    roots = prior.root.new_zeros(len(prior.root), 4, 4)
    roots[:, :rows] = prior.root
    return prior.mean.expand(count, 4).contiguous(), roots.expand(count, 4, 4).contiguous()


def _interpreted(number: int, count: int) -> tuple[int, int]:
    """Pixels of a block and channels at once, both powers of two, for so many in the interpreter."""
    block = min(2**13, max(_BLOCK, triton.next_power_of_2(number)))
    return block, min(triton.next_power_of_2(count), max(1, _INTERPRETED // block))


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
    a_0 = clip((h_01 * g_1 - h_11 * g_0) / determinant, low_0 - x_0, high_0 - x_0)
    b_1 = clip((h_01 * g_0 - h_00 * g_1) / determinant, low_1 - x_1, high_1 - x_1)
    a_1 = clip(-(g_1 + h_01 * a_0) / h_11, low_1 - x_1, high_1 - x_1)
    b_0 = clip(-(g_0 + h_01 * b_1) / h_00, low_0 - x_0, high_0 - x_0)
    value_a = g_0 * a_0 + g_1 * a_1 + 0.5 * (h_00 * a_0 * a_0 + h_11 * a_1 * a_1) + h_01 * a_0 * a_1
    value_b = g_0 * b_0 + g_1 * b_1 + 0.5 * (h_00 * b_0 * b_0 + h_11 * b_1 * b_1) + h_01 * b_0 * b_1
    first = value_a <= value_b
    return tl.where(first, a_0, b_0), tl.where(first, a_1, b_1), -tl.where(first, value_a, value_b)


# One machine code for all counts and slices: by default others are compiled for counts that sixteen divides.
@triton.jit(
    do_not_specialize=["number", "count", "widest", "rows", "columns", "most_steps", "own", "single", "last"],
    do_not_specialize_on_alignment=["pixels", "weights", "results"],
)
def _fit(  # type: ignore[no-untyped-def]
    pixels, weights, spectra, first, length, share, basis, directions, ratios, on_grid, expansions, limits, fractions,
    results, number, count, widest, rows, columns, thickness, low_d, high_d, low_s, high_s, low_0, low_1, high_0,
    high_1, tolerance, most_steps, tiny, eps, means, roots, own, single, last, WEIGHTED: tl.constexpr,
    BOUNDED: tl.constexpr, PRIOR: tl.constexpr, MIXED: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
    COLUMNS: tl.constexpr, TERMS: tl.constexpr, PLATEAU: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = lane < number
    which = tl.minimum(lane, number - 1) * own  # of the priors
    at, stride = lane.to(tl.int64), tl.cast(number, tl.int64)
    k = tl.arange(0, 16)
    zero = at.to(tl.float32) * 0.0
    z = zero[None, :] + k[:, None].to(tl.float32) * 0.0
    y_mean, energy, total = zero, zero, zero
    for c in range(count):
        y = tl.load(pixels + at + c * stride, mask=here, other=0.0)
        w = tl.load(weights + at + c * stride, mask=here, other=0.0) if WEIGHTED else 1.0
        y_mean += w * y
        energy += w * y * y
        total += w
        if not (WEIGHTED or BOUNDED):
            z += y[None, :] * tl.load(basis + c * 16 + k)[:, None]
    total = tl.maximum(total, tiny)
    y_mean = y_mean / total
    white = y_mean * tl.sqrt(total)
    floor = white * white * PLATEAU
    if PRIOR:
        floor = zero + LOWEST
    elif BOUNDED:
        dark = clip(y_mean, low_s, high_s)
        floor = tl.where(low_d > 0.0, LOWEST, total * dark * (2.0 * y_mean - dark) * PLATEAU)
    n_0, n_1, n_2, n_3 = search(
        pixels, weights, at, stride, here, z, white, floor, directions, ratios, on_grid, rows, columns, count, y_mean,
        total, low_d, high_d, low_s, high_s, tiny, means, roots, which, fractions, WEIGHTED, BOUNDED, PRIOR, COLUMNS,
    )  # fmt: skip
    b_0, b_1, b_d, b_s, b_cost = zero, zero, zero, zero, zero
    b_converged, b_steps, deepest = zero, zero, zero + float("inf")
    late = tl.where(here & (n_1 >= 0) & (single > 0), 1, 0)
    for start in range(4):
        node = tl.where(start == 0, n_0, tl.where(start == 1, n_1, tl.where(start == 2, n_2, n_3)))
        used = here & (node >= 0) & (late == 0)
        if tl.max(used.to(tl.int32), axis=0) > 0:
            node = tl.maximum(node, 0)
            u, v = zero, zero
            if not (WEIGHTED or BOUNDED):
                u, v = refine(z, white, node, expansions, limits, TERMS)
            x_0 = fraction(fractions, node, 0, u, low_0, high_0)
            x_1 = fraction(fractions, node, 1, v, low_1, high_1)
            i_d, i_s, cost, g_0, g_1, h_00, h_01, h_11, free, more = evaluate(
                pixels, weights, at, stride, here, spectra, first, length, share, widest, count, thickness, x_0, x_1,
                y_mean, total, tiny, eps, low_d, high_d, low_s, high_s, means, roots, which, WEIGHTED, BOUNDED, PRIOR,
                MIXED, WIDE,
            )  # fmt: skip
            c_00, c_01, c_11, damping = zero, zero, zero, zero
            converged, steps = zero, zero
            active = tl.where(used, 1, 0)
            turned = active * 0
            taken = 0
            while tl.max(active, axis=0) > 0:
                s_0, s_1, decrease = _box_step(
                    x_0, x_1, g_0, g_1, h_00, h_01, h_11, c_00, c_01, c_11, damping, low_0, low_1, high_0, high_1,
                    tiny, eps,
                )  # fmt: skip
                # what rounding of the residuals, of the pixel's size, may do to the sum of squares
                rounding = 4.0 * eps * (tl.sqrt(cost * (energy + more)) + eps * (energy + more))
                # damping shortens the step: a damped one must not look like a converged one
                little = 2.0 * decrease * (1.0 + damping) <= tolerance * cost + rounding
                t_0, t_1 = clip(x_0 + s_0, low_0, high_0), clip(x_1 + s_1, low_1, high_1)
                # one that meets a bound or leaves it is not the last, but for the third, as in `numba_descent`
                turns = ((t_0 <= low_0) != (x_0 <= low_0)) | ((t_0 >= high_0) != (x_0 >= high_0))
                turns = turns | ((t_1 <= low_1) != (x_1 <= low_1)) | ((t_1 >= high_1) != (x_1 >= high_1))
                turned = tl.where(little, turned + 1, 0)
                done = little & ((turns == 0) | (turned > 2))
                converged = tl.where((active > 0) & done, 1.0, converged)
                stood, active = active, tl.where(done | (taken >= most_steps), 0, active)
                n_d, n_s, n_cost, n_g0, n_g1, n_h00, n_h01, n_h11, n_free, n_more = evaluate(
                    pixels, weights, at, stride, here, spectra, first, length, share, widest, count, thickness, t_0,
                    t_1, y_mean, total, tiny, eps, low_d, high_d, low_s, high_s, means, roots, which, WEIGHTED, BOUNDED,
                    PRIOR, MIXED, WIDE,
                )  # fmt: skip
                # the last step of a lane is taken too: it is evaluated anyhow
                better = (n_cost <= cost + rounding) & (stood > 0)
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
                # the Hessian jumps where a shading meets its bound: what was learnt on the other side is void
                same = n_free == free
                free, more = tl.where(better, n_free, free), tl.where(better, n_more, more)
                c_00, c_01 = tl.where(same, c_00, 0.0), tl.where(same, c_01, 0.0)
                c_11 = tl.where(same, c_11, 0.0)
                known = (size > tiny) & same
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
            late = tl.where(used & (converged == 0.0) & (last == 0), 1, late)
            # of ends whose sums of squares are rounding alone the first, as in `numba_descent`
            rounding = 4.0 * eps * eps * (energy + more)
            depth = tl.where(cost < rounding, rounding, cost)
            least = used & (depth < deepest)
            deepest = tl.where(least, depth, deepest)
            b_0, b_1, b_cost = tl.where(least, x_0, b_0), tl.where(least, x_1, b_1), tl.where(least, cost, b_cost)
            b_d, b_s = tl.where(least, i_d, b_d), tl.where(least, i_s, b_s)
            b_converged, b_steps = tl.where(least, converged, b_converged), tl.where(least, steps, b_steps)
    b_converged = tl.where(late > 0, -1.0, b_converged)
    row, whole = results + lane, stride
    tl.store(row, b_0, mask=here)
    tl.store(row + whole, b_1, mask=here)
    tl.store(row + 2 * whole, b_d, mask=here)
    tl.store(row + 3 * whole, b_s, mask=here)
    tl.store(row + 4 * whole, b_cost, mask=here)
    tl.store(row + 5 * whole, b_converged, mask=here)
    tl.store(row + 6 * whole, b_steps, mask=here)
