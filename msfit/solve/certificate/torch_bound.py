"""Lower bounds by branch and bound over the cells of `patches`, all pixels at once, level by level, for GPUs.

The mathematics stands in `certificate`; `numba_bound` does the same a pixel at a time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from msfit.solve.certificate.patches import POWERS, Patches, products
from msfit.solve.descent import box_step

_STEPS = 3  # of the descent inside a cell
_DEEP, _DEEPEST = 6, 14  # halvings beyond the finest level, and where the remainder is below half the tolerance
_ROUNDING = 1e-12  # share of a pixel's length by which all sums may be wrong together
_COORDINATES = 2**21  # of a pixel and a cell, that are worked on at once

Frontier = tuple[Tensor, ...]  # pixel, row and column of its cell, bound that is known of it


def bound(
    patches: Patches, pixels: Tensor, weights: Tensor | None, best: Tensor, tolerance: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Bound from below how far pixels are from the model's cone, until that is within `tolerance` of the `best` known.

    Parameters
    ----------
    patches : Patches
        Compressed where there are no weights, else by band.
    pixels, weights : tensor (n, band) float64
    best, tolerance : tensor (n,)
        Distances.
    most : int
        Cells that are visited before a pixel is given up.

    Returns
    -------
    bounds, distances : tensor (n,)
        Lower bounds, and the distances of better points that were met, inf where there was none.
    positions : tensor (n, 2)
        Of these points, in [0, 1].
    """
    search = _Search(patches.to(pixels.device), pixels, weights, best, tolerance, most)
    everyone = torch.arange(pixels.shape[0], device=pixels.device)
    frontier: Frontier = (everyone, torch.zeros_like(everyone), torch.zeros_like(everyone), torch.zeros_like(best))
    pairs = max(1, _COORDINATES // patches.white.numel())
    for level in range(len(patches.shapes) + _DEEPEST):
        slices = zip(*(part.split(pairs) for part in frontier), strict=True)
        children = [search.visit(level, *part) for part in slices]
        frontier = _joined(children)
        if frontier[0].numel() == 0:
            break
    inside = (search.least - search.slack).clamp_min(0)
    return (inside.square() + search.past.square()).sqrt(), search.distances, search.positions


class _Search:
    def __init__(
        self, patches: Patches, pixels: Tensor, weights: Tensor | None, best: Tensor, tolerance: Tensor, most: int
    ) -> None:
        self.patches, self.best, self.tolerance, self.most = patches, best, tolerance, most
        self.free = [count > 1 for count in patches.shapes[-1]]
        self.starts = [0]
        for rows, columns in patches.shapes[:-1]:
            self.starts.append(self.starts[-1] + rows * columns)
        self.weighted = weights is not None
        if patches.basis is None:
            self.z, beyond = patches.padded(pixels), torch.zeros_like(best)
        else:
            self.z = pixels @ patches.basis
            beyond = (pixels - self.z @ patches.basis.T).norm(dim=1)
        self.w = torch.ones_like(self.z) if weights is None else patches.padded(weights)
        self.widest = self.w.max(1).values.sqrt() if self.weighted else torch.ones_like(best)
        self.wz = self.w * self.z
        self.zw, self.ww = self.wz @ patches.white, self.w @ patches.white.square()
        self.length = ((self.wz * self.z).sum(1) + beyond.square()).sqrt()
        self.slack = _ROUNDING * self.length
        # what of a pixel lies outside the basis the model cannot reach
        self.past = (beyond - patches.outside * self.length).clamp_min(0)
        self.far = beyond + patches.outside * self.length
        self.wanted = self._inside(best - tolerance)
        self.least, self.distances = torch.full_like(best, torch.inf), torch.full_like(best, torch.inf)
        self.positions = best.new_zeros((best.numel(), 2))
        self.visited = torch.zeros_like(best, dtype=torch.int64)

    def _inside(self, distance: Tensor) -> Tensor:
        """How long the part inside the basis must be for a distance of which `past` is outside."""
        inside = (distance.square() - self.past.square()).clamp_min(0).sqrt() + self.slack
        return torch.where(distance > self.past, inside, 0)

    def record(self, owner: Tensor, bounds: Tensor) -> None:
        """Take the bounds of cells that are not looked into any further."""
        self.least.scatter_reduce_(0, owner, bounds, "amin")

    def visit(self, level: int, owner: Tensor, i: Tensor, j: Tensor, known: Tensor) -> Frontier:
        """Bound cells (i, j) of a level for the pixels that own them; the quarters that are not proved."""
        over = self.visited[owner] >= self.most
        self.record(owner[over], known[over])
        owner, i, j, known = (part[~over] for part in (owner, i, j, known))
        self.visited.scatter_add_(0, owner, torch.ones_like(owner))
        cell, c, gram = self._cells(level, owner, i, j)
        z, w, zw, ww, length = (part[owner] for part in (self.z, self.w, self.zw, self.ww, self.length))
        rho = self.widest[owner] * self.patches.remainder[cell]
        reach = self._reach(level, owner, cell, gram, rho)
        x, y = _nearest(gram, (c[:, :3] @ self.wz[owner].unsqueeze(2)).squeeze(2), zw, ww)
        powers = torch.stack([x**a * y**b for a, b in POWERS], 1)
        direction = (powers.unsqueeze(1) @ c).squeeze(1)
        white = self.patches.white
        dual = z - self._fitted(direction, owner)
        weighted = w * dual
        norm = (weighted * dual).sum(1).sqrt().clamp_min(1e-300)
        distance = ((norm + reach * rho).square() + self.far[owner].square()).sqrt() + self.slack[owner]
        self._remember(level, owner, i, j, x, y, distance)
        # what i_s >= 0 could gain where rounding leaves the dual vector a trace of white
        product = (weighted * z).sum(1) - (weighted @ white).clamp_min(0) * length / ww.sqrt()
        seen = (c @ weighted.unsqueeze(2)).squeeze(2)

        def separated(polynomial: Tensor) -> Tensor:
            highest = (_highest(polynomial) + rho * norm).clamp_min(0)
            return torch.where(highest > 0, (product - reach * highest) / norm, product / norm)

        beyond = level - len(self.starts) + 1
        last = (2 * reach * rho > self.tolerance[owner]) & (beyond >= _DEEP) | (beyond >= _DEEPEST)
        return self._quarters(owner, i, j, seen, torch.maximum(known, separated(seen)), separated, last)

    def _cells(self, level: int, owner: Tensor, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        patches, last = self.patches, len(self.starts) - 1
        fold = 1 << max(level - last, 0)
        columns = patches.shapes[min(level, last)][1]
        cell = self.starts[min(level, last)] + i // fold * columns + j // fold
        c = patches.coefficients[cell]
        if fold > 1:  # a part of a cell of the finest level
            offsets = torch.stack((i % fold, j % fold)).double()
            x, y = ((2 * offsets + 1) / fold - 1) * offsets.new_tensor(self.free).unsqueeze(1)
            c = _moved(x, y, 1 / fold) @ c
        if self.weighted or fold > 1:
            return cell, c, products(c, patches.white, self.w[owner])
        return cell, c, patches.products[cell]

    def _reach(self, level: int, owner: Tensor, cell: Tensor, gram: Tensor, rho: Tensor) -> Tensor:
        """The most that a can be on a cell."""
        if not self.weighted:
            return self.length[owner]
        fold = 1 << max(level - len(self.starts) + 1, 0)
        # a direction may be short in the bands that count
        root = gram[:, [0, 3, 5]].clamp_min(0).sqrt()
        short = root[:, 0] - root[:, 1] - root[:, 2] - self.widest[owner] * self.patches.bends[cell] / fold**2 - rho
        return torch.where(short > 0, self.length[owner] / short, torch.inf)

    def _fitted(self, direction: Tensor, owner: Tensor) -> Tensor:
        """a g + s white at the best a, s >= 0."""
        w, white = self.w[owner], self.patches.white
        weighted = w * direction
        rr, rw, rz = (weighted * direction).sum(1), weighted @ white, (weighted * self.z[owner]).sum(1)
        a, s = _shadings(rr, rw, rz, self.zw[owner], self.ww[owner])
        return a.unsqueeze(1) * direction + s.unsqueeze(1) * white

    def _remember(
        self, level: int, owner: Tensor, i: Tensor, j: Tensor, x: Tensor, y: Tensor, distance: Tensor
    ) -> None:
        """Keep the best point that each pixel has met, where it is better than the solver's."""
        limit = torch.minimum(self.best - 0.1 * self.tolerance, self.distances)
        nearest = self.distances.scatter_reduce(0, owner, distance, "amin")
        mine = (distance < limit[owner]) & (distance == nearest[owner])
        index = owner[mine]
        self.distances[index] = distance[mine]
        size = [1 << level if free else 1 for free in self.free]
        spots = torch.stack(((i + (x + 1) / 2) / size[0], (j + (y + 1) / 2) / size[1]), 1)
        self.positions[index] = spots[mine]
        better = self._inside(torch.minimum(self.best, self.distances) - self.tolerance)
        self.wanted = torch.minimum(self.wanted, better)

    def _quarters(
        self,
        owner: Tensor,
        i: Tensor,
        j: Tensor,
        seen: Tensor,
        bounds: Tensor,
        separated: Callable[[Tensor], Tensor],
        last: Tensor,
    ) -> Frontier:
        """Those quarters of open cells that the same dual vectors do not settle either; none of the `last` cells."""
        open_ = bounds < self.wanted[owner]
        self.record(owner[~open_], bounds[~open_])
        children = []
        halves = [((0, -0.5), (1, 0.5)) if free else ((0, 0.0),) for free in self.free]
        for (below, x), (right, y) in itertools.product(*halves):
            moved = _moved(seen.new_tensor([x]), seen.new_tensor([y]), 0.5)[0]
            part = seen @ moved.T
            again = torch.maximum(bounds, separated(part))
            done = (again >= self.wanted[owner]) | last
            self.record(owner[open_ & done], again[open_ & done])
            row = 2 * i + below if self.free[0] else i
            column = 2 * j + right if self.free[1] else j
            children.append(tuple(values[open_ & ~done] for values in (owner, row, column, again)))
        return _joined(children)


def _joined(frontiers: list[Frontier]) -> Frontier:
    return tuple(torch.cat(parts) for parts in zip(*frontiers, strict=True))


def _shadings(rr: Tensor, rw: Tensor, rz: Tensor, wz: Tensor, ww: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares a, s >= 0 of z on a r + s white, from the inner products."""
    determinant = rr * ww - rw * rw
    a = torch.where(determinant > 1e-14 * rr * ww, (rz * ww - wz * rw) / determinant, 0)
    s = (wz - a * rw) / ww
    diffuse_only = s < 0
    a, s = torch.where(diffuse_only, (rz / rr).clamp_min(0), a), s.clamp_min(0)
    unlit = a <= 0
    return torch.where(unlit, 0, a), torch.where(unlit, (wz / ww).clamp_min(0), s)


def _nearest(gram: Tensor, z: Tensor, wz: Tensor, ww: Tensor) -> tuple[Tensor, Tensor]:
    """About where on the cells' tangent planes the objective is least: x, y in [-1, 1], (n,) each.

    From the products of the planes, (n, 9), and of centre and slopes with the pixels, (n, 3).
    """
    g00, g01, g02, g11, g12, g22, w0, w1, w2 = gram.unbind(1)
    z0, z1, z2 = z.unbind(1)
    # from the centre; where that is on a plateau, from where the cell explains most
    flat = _shadings(g00, w0, z0, wz, ww)[0] <= 0
    x, y = (torch.where(flat, (zk - wk * wz / ww).sign(), 0) for zk, wk in ((z1, w1), (z2, w2)))
    for _ in range(_STEPS):
        r1, r2 = g01 + x * g11 + y * g12, g02 + x * g12 + y * g22
        rr = g00 + x * g01 + y * g02 + x * r1 + y * r2
        rw = w0 + x * w1 + y * w2
        a, s = _shadings(rr, rw, z0 + x * z1 + y * z2, wz, ww)
        diffuse = a > 0
        slopes = [-(zk - a * rk - s * wk) / torch.where(diffuse, a, 1) for zk, rk, wk in ((z1, r1, w1), (z2, r2, w2))]
        # white takes over its share where it is free, and so does the direction itself
        share = torch.where(s > 0, 1 / ww, 0)
        least = 1e-20 * g00
        along = torch.maximum(rr - rw * rw * share, least)
        r1, r2 = r1 - rw * w1 * share, r2 - rw * w2 * share
        h11 = torch.maximum((g11 - w1 * w1 * share - r1 * r1 / along) * (1 + 1e-9), least)
        h12 = g12 - w1 * w2 * share - r1 * r2 / along
        h22 = torch.maximum((g22 - w2 * w2 * share - r2 * r2 / along) * (1 + 1e-9), least)
        here = torch.stack((x, y), 1)
        hessian = torch.stack((torch.stack((h11, h12), 1), torch.stack((h12, h22), 1)), 1)
        step = box_step(torch.stack(slopes, 1), hessian, -1 - here, 1 - here)
        x, y = torch.where(diffuse.unsqueeze(1), here + step, here).clamp(-1, 1).unbind(1)
    return x, y


def _moved(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Matrices (n, 10, 10): coefficients to those on the part of a cell with centre (x, y) and half-width scale."""
    rows = []
    for a, b in POWERS:
        row = []
        for i, j in POWERS:
            if a > i or b > j:
                row.append(torch.zeros_like(x))
            else:
                row.append(math.comb(i, a) * math.comb(j, b) * scale ** (a + b) * x ** (i - a) * y ** (j - b))
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def _highest(m: Tensor) -> Tensor:
    """Upper bounds (n,) of cubics (n, 10) on a cell: quadratic parts exactly, what is left of the cubes at its most.

    x^3 = (T_3 + 3x) / 4 and x^2 y = (y + T_2 y) / 2 with |T| <= 1.
    """
    top, b1, b2, q11, q12, q22, c30, c21, c12, c03 = m.unbind(1)
    b1, b2 = b1 + 0.75 * c30 + 0.5 * c12, b2 + 0.75 * c03 + 0.5 * c21
    rest = 0.25 * (c30.abs() + c03.abs()) + 0.5 * (c21.abs() + c12.abs())
    edges = (
        _along(q11 + b1, b2 + q12, q22),
        _along(q11 - b1, b2 - q12, q22),
        _along(q22 + b2, b1 + q12, q11),
        _along(q22 - b2, b1 - q12, q11),
    )
    determinant = 4 * q11 * q22 - q12 * q12
    x, y = (q12 * b2 - 2 * q22 * b1) / determinant, (q12 * b1 - 2 * q11 * b2) / determinant
    summit = (q11 < 0) & (determinant > 0) & (x.abs() <= 1) & (y.abs() <= 1)
    inner = torch.where(summit, 0.5 * (b1 * x + b2 * y), -torch.inf)
    return top + torch.stack((*edges, inner)).amax(0) + rest


def _along(value: Tensor, slope: Tensor, bend: Tensor) -> Tensor:
    """Greatest of value + slope t + bend t^2 for t in [-1, 1]."""
    summit = (bend < 0) & (slope.abs() < -2 * bend)
    return torch.where(summit, value - 0.25 * slope * slope / bend, value + slope.abs() + bend)
