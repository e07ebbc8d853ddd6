"""The exact fit of pigments and extra parameters together, pixel by pixel.

With the shadings projected out, the problem has two pigments and one to three further parameters. It is not convex:
the two-pigment solver searches globally at every node of a lattice over the extra parameters, and from each local
minimum of what it finds there a descent in all of them follows. Everything is computed in float64, because extra
parameters are far less well determined than pigments.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msfit.skin.registry import Skin, SkinModel
from msfit.solve.descent import Local, descend_in_box
from msfit.solve.newton import Descent
from msfit.solve.objective import Point
from msfit.solve.selection import best_of
from msfit.solve.shading import shading
from msfit.solve.solver import Solver

# Where the lattice has its nodes, as shares of the box, by the number of extra parameters.
_LATTICE = {1: (0.0, 0.17, 0.33, 0.5, 0.67, 0.83, 1.0), 2: (0.0, 0.25, 0.5, 0.75, 1.0), 3: (0.0, 0.33, 0.67, 1.0)}
_MOST_STARTS = 4


class JointSolver:
    """Minimises sum_b w_b (y_b - i_d r_b(x) - i_s)^2 over a box of x = (f_mel, f_blood, extras...) and i_d, i_s >= 0.

    Parameters
    ----------
    skin : Skin
        With all the parameters, in float64.
    held_at : callable
        Values of the extras -> skin of the pigments alone, in float64.
    lower, upper : tensor (2 + extras,)
        The box, float64. Equal ends hold a pigment fixed; those of an extra differ.
    """

    def __init__(self, skin: Skin, held_at: Callable[[list[float]], Skin], lower: Tensor, upper: Tensor) -> None:
        self.skin, self.lower, self.upper = skin, lower, upper
        # an extra that cannot be zero is a factor: what it multiplies trades with its reciprocal along a straight line
        self.factor = (lower > 0) & (torch.arange(lower.numel(), device=lower.device) >= 2)
        self.nodes, self.shape = lattice(torch.stack((lower[2:], upper[2:]), 1))
        # its corners are nodes, so a box in which the model does not hold is refused
        self.solvers = [Solver(held_at(node), lower[:2], upper[:2]) for node in self.nodes.tolist()]

    def __call__(self, pixels: Tensor, weights: Tensor | None = None) -> Descent:
        """Fit pixels (n, band) with weights (n, band) >= 0, or None for ones. Each pixel's mean must be positive."""
        pixels = pixels.double()
        weights = None if weights is None else weights.double()
        owner, start = self._starts(pixels, weights)

        def evaluate(z: Tensor, index: Tensor) -> Local:
            of = owner[index]
            x = self._turned(z)
            local = project(self.skin, x, pixels[of], None if weights is None else weights[of]).local()
            slope = torch.where(self.factor, -x * x, 1)
            local.gradient = local.gradient * slope
            local.hessian = local.hessian * slope.unsqueeze(1) * slope.unsqueeze(2)
            return local

        ends = torch.stack((self._turned(self.lower), self._turned(self.upper)))
        found = descend_in_box(evaluate, self._turned(start), ends.amin(0), ends.amax(0))
        best = best_of(owner, found.cost, pixels.shape[0])
        x = self._turned(found.x[best]).maximum(self.lower).minimum(self.upper)
        for bound in (self.lower, self.upper):  # what lies on a bound lies there to the bit
            x = torch.where((x - bound).abs() <= 1e-14 * bound, bound, x)
        end = project(self.skin, x, pixels, weights)
        local = end.local()
        point = Point(x, end.i_d, end.i_s, local.cost, local.gradient, local.hessian)
        return Descent(point, found.converged[best], found.steps[best])

    def _turned(self, x: Tensor) -> Tensor:
        """Factors as their reciprocals, and back."""
        return torch.where(self.factor, 1 / x, x)

    def _starts(self, pixels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pixel index (start,), sorted, and points (start, parameter): the lattice's local minima, four at most."""
        ends = [solver(pixels, weights).point for solver in self.solvers]
        pixel, chosen = local_minima(torch.stack([end.cost for end in ends], 1), self.shape, _MOST_STARTS)
        fractions = torch.stack([end.fractions for end in ends], 1)
        return pixel, torch.cat((fractions[pixel, chosen], self.nodes[chosen]), 1)


def lattice(spans: Tensor) -> tuple[Tensor, list[int]]:
    """Nodes (node, k) in a box of k spans (k, 2), its corners among them, and the number of nodes along each axis."""
    levels = _LATTICE[len(spans)]
    axes = []
    for low, high in spans.tolist():  # a factor, which is never zero, by equal ratios
        axes.append([low * (high / low) ** u if low > 0 else low + u * (high - low) for u in levels])
    return spans.new_tensor(list(itertools.product(*axes))), [len(levels)] * len(axes)


def local_minima(cost: Tensor, shape: list[int], most: int) -> tuple[Tensor, Tensor]:
    """Pixel and node, (found,) each, of the nodes that are no higher than their neighbours along the axes.

    `cost` (n, node) on a lattice of that shape; the lowest `most` of each pixel, which is the order of the result.
    """
    grid = cost.view(-1, *shape)
    lowest = torch.ones_like(grid, dtype=torch.bool)
    for axis, size in enumerate(shape, 1):
        ahead, behind = grid.narrow(axis, 1, size - 1), grid.narrow(axis, 0, size - 1)
        lowest.narrow(axis, 0, size - 1).logical_and_(behind <= ahead)
        lowest.narrow(axis, 1, size - 1).logical_and_(ahead <= behind)
    height, node = torch.where(lowest.view_as(cost), cost, torch.inf).sort(dim=1, stable=True)
    pixel, rank = torch.isfinite(height[:, :most]).nonzero(as_tuple=True)
    return pixel, node[pixel, rank]


def solver_over(
    model: SkinModel,
    box: Mapping[str, tuple[float, float]],
    wavelengths: np.ndarray,
    dtype: torch.dtype,
    device: torch.device,
) -> Solver | JointSolver:
    """The solver of a model over a box {parameter: (lower, upper)}, f_mel and f_blood first.

    Extras whose ends are equal are held; with others it is a `JointSolver`, in float64 whatever `dtype` says.
    """
    spans = dict(list(box.items())[2:])
    held = {name: low for name, (low, high) in spans.items() if low == high}
    free = [name for name in spans if name not in held]
    dtype = torch.float64 if free else dtype
    ends = [span for name, span in box.items() if name not in held]
    lower, upper = (torch.tensor(end, dtype=dtype, device=device) for end in zip(*ends, strict=True))
    skin = model.at(wavelengths, dtype, device, free=free, held=held)
    if not free:
        return Solver(skin, lower, upper)

    def held_at(values: list[float]) -> Skin:
        return model.at(wavelengths, dtype, device, held=held | dict(zip(free, values, strict=True)))

    return JointSolver(skin, held_at, lower, upper)


@dataclass(eq=False)
class Projected:
    """The objective with its shadings projected out, at one point a pixel.

    i_d, i_s (n,); `residual` (n, band), and `slopes`: for each parameter (n, band), how the model changes with it
    beyond what the shadings could take over (Kaufman 1975). `weights` (n, band) or None.
    """

    i_d: Tensor
    i_s: Tensor
    residual: Tensor
    slopes: list[Tensor]
    weights: Tensor | None
    energy: Tensor

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Weighted inner product (n,)."""
        return (a * b if self.weights is None else self.weights * a * b).sum(1)

    def local(self) -> Local:
        """Cost, gradient (exact) and Gauss-Newton Hessian, the latter two halved."""
        cost = self.dot(self.residual, self.residual)
        gradient = torch.stack([-self.dot(slope, self.residual) for slope in self.slopes], 1)
        count = len(self.slopes)
        hessian = gradient.new_empty(cost.numel(), count, count)
        for k, j in itertools.combinations_with_replacement(range(count), 2):
            hessian[:, k, j] = hessian[:, j, k] = self.dot(self.slopes[k], self.slopes[j])
        eps = torch.finfo(cost.dtype).eps
        return Local(cost, gradient, hessian, 4 * eps * ((cost * self.energy).sqrt() + eps * self.energy))


def project(skin: Skin, x: Tensor, pixels: Tensor, weights: Tensor | None) -> Projected:
    """Variable projection (Golub & Pereyra 1973) in any number of parameters, x (n, parameter)."""
    reflectance, derivatives = skin.jacobian(x)
    i_d, i_s = shading(reflectance, pixels, weights)
    residual = pixels - i_d.unsqueeze(1) * reflectance - i_s.unsqueeze(1)
    energy = (pixels * pixels if weights is None else weights * pixels * pixels).sum(1)
    found = Projected(i_d, i_s, residual, [], weights, energy)
    white = (i_s > 0).to(pixels.dtype).unsqueeze(1).expand_as(pixels)
    taken = [white]
    taken.append(without(reflectance, taken, found.dot))
    found.slopes = [i_d.unsqueeze(1) * without(slope, taken, found.dot) for slope in derivatives]
    return found


def without(spectra: Tensor, others: list[Tensor], dot: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Spectra (n, band) less their parts along others, which are orthogonal to each other or zero."""
    for other in others:
        length = dot(other, other)
        share = torch.where(length > 0, dot(other, spectra) / torch.where(length > 0, length, 1), 0)
        spectra = spectra - share.unsqueeze(1) * other
    return spectra
