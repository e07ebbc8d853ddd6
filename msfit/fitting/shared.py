"""Extra parameters with one number for the whole picture, estimated from all its pixels.

They minimise the total of all pixels' least sums of squares, each over its own pigments and shadings: variable
projection once more. The derivative of the total is partial, by the envelope theorem, and its Hessian is Gauss-Newton's
with each pixel's own parameters eliminated. The descent starts on a sample of the pixels, from every local minimum on a
lattice, and ends on all of them, which are read block by block at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import row_blocks
from msfit.data.result import STATUS_TYPE, Status
from msfit.fitting.criterion import Criterion
from msfit.fitting.devices import Device
from msfit.fitting.worker import Block, blocks, pool, screen
from msfit.skin.registry import Skin, SkinModel
from msfit.solve.descent import descend
from msfit.solve.extras import ExtrasSolver, extras_lattice, lattice_minima
from msfit.solve.problem import Problem, without
from msfit.solve.solution import Local
from msfit.solve.solver import PigmentSolver, solver_for
from msfit.solve.threads import one_thread

_CHUNK = 32_768  # pixels that are read together
_MOST_SAMPLES = 2**24  # of a block of rows, where a file's chunks span many of them
_SAMPLE = 4_096  # pixels on which the search begins
_SEED = 2025
_MOST_STARTS = 3
# Share of the total that the solver's own tolerance leaves open.
_ROUNDING = 1e-10

# Blocks of pixels, those of one chunk of rows together.
_Source = Callable[[], Iterator[Iterator[Block]]]


def settle_shared(
    model: SkinModel,
    box: Mapping[str, tuple[float, float]],
    shared: tuple[str, ...],
    cube: Cube,
    criterion: Criterion,
    device: Device,
) -> dict[str, tuple[float, float]]:
    """The box {parameter: (lower, upper)} with the shared parameters held at their estimates.

    `cube` is on the bands that are fitted; pixels outside its mask, and those that cannot be fitted, do not count.
    Where none is left, the shared parameters are held at their defaults.
    """
    spans = {name: box[name] for name in box if name in shared and box[name][0] < box[name][1]}
    if not spans:
        return dict(box)

    def whole() -> Iterator[Iterator[Block]]:
        for pixels, scale, status in _chunks(cube, criterion):
            yield blocks(pixels, scale, status, device)

    drawn = _sample(cube, criterion)
    if drawn is None:
        return {**box, **{extra.name: (extra.default,) * 2 for extra in model.extra_parameters(list(spans))}}
    pixels, scale, all_of_them = drawn
    status = np.full(len(pixels), Status.CONVERGED, STATUS_TYPE)

    def sample() -> Iterator[Iterator[Block]]:
        yield blocks(pixels, scale, status, device)

    total = _Total(model, box, tuple(spans), cube.wavelengths, criterion, device)
    nodes, shape = extras_lattice(torch.tensor(list(spans.values()), dtype=torch.float64))
    cost = total.over(sample)(nodes, torch.arange(len(nodes))).cost
    starts = nodes[lattice_minima(cost.unsqueeze(0), shape, _MOST_STARTS)[1]]
    lower, upper = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*spans.values(), strict=True))
    descents = descend(total.over(sample), starts, lower, upper, _ROUNDING)
    best = descents.x[descents.point.cost.argmin()]
    if not all_of_them:
        best = descend(total.over(whole), best.unsqueeze(0), lower, upper, _ROUNDING).x[0]
    return {**box, **{name: (value, value) for name, value in zip(spans, best.tolist(), strict=True)}}


def _chunks(cube: Cube, criterion: Criterion) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pixels (n, band), scales (n, band) and statuses (n,) of the whole cube, some rows at a time."""
    width = int(np.prod(cube.shape[1:]))
    most = max(1, _MOST_SAMPLES // (width * cube.wavelengths.size))
    for rows in row_blocks(cube.values, max(1, _CHUNK // width), most):
        reflectance, usable = cube.rows(rows)
        wanted = np.ones(usable.shape[:-1], bool) if cube.mask is None else cube.mask[rows]
        scale = criterion.scale(cube, rows, usable)
        pixels, usable, scale = (a.reshape(-1, a.shape[-1]) for a in (reflectance, usable, scale))
        yield pixels, scale, screen(pixels, usable, wanted.ravel())


def _sample(cube: Cube, criterion: Criterion) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Pixels and scales of a random sample, the same however the rows are read; whether it is everything.

    None where no pixel can be fitted.
    """
    width = int(np.prod(cube.shape[1:]))
    wanted = int(np.prod(cube.shape)) if cube.mask is None else int(np.count_nonzero(cube.mask))
    share = _SAMPLE / max(wanted, 1)
    pixels, scales, row, everything = [], [], 0, True
    for values, scale, status in _chunks(cube, criterion):
        count = len(values) // width
        # a generator a row: the same pixels, wherever chunks end
        chance = np.concatenate([np.random.default_rng((_SEED, row + k)).random(width) for k in range(count)])
        fittable = status == Status.CONVERGED
        chosen = fittable & (chance < share)
        everything &= bool((chosen == fittable).all())
        pixels.append(values[chosen])
        scales.append(scale[chosen])
        row += count
    sample = np.concatenate(pixels)
    return (sample, np.concatenate(scales), everything) if len(sample) else None


@dataclass(frozen=True)
class _Total:
    """The total of the pixels' least sums of squares as a function of the shared parameters."""

    model: SkinModel
    box: Mapping[str, tuple[float, float]]
    shared: tuple[str, ...]
    wavelengths: np.ndarray
    criterion: Criterion
    device: Device

    def over(self, source: _Source) -> Callable[[Tensor, Tensor], Local]:
        """That function on some pixels, as `descend` takes it."""

        def evaluate(values: Tensor, _: Tensor) -> Local:
            return Local(
                *(torch.stack(parts) for parts in zip(*(self._at(v.tolist(), source) for v in values), strict=True))
            )

        return evaluate

    def _at(self, values: list[float], source: _Source) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cost, half its gradient and Hessian, and what rounding may do to the cost."""
        held = {name: (value, value) for name, value in zip(self.shared, values, strict=True)}
        solver = solver_for(self.model, {**self.box, **held}, self.wavelengths, np.float64, self.device)
        own = [name for name, (low, high) in list(self.box.items())[2:] if name not in held and low < high]
        fixed = {name: low for name, (low, high) in list(self.box.items())[2:] if name not in held and low == high}
        skin = self.model.at(self.wavelengths, torch.float64, self.device, free=(*own, *self.shared), held=fixed)
        work = _Sums(solver, skin, torch.tensor(values, dtype=torch.float64, device=self.device), self.criterion)
        count = len(values)
        sums = np.zeros(1 + count + count * count)
        with pool(self.device) as run:
            for chunk in source():
                for _, block, _ in run(work, chunk):
                    sums += block
        cost, gradient, hessian = np.split(sums, (1, 1 + count))
        return (
            torch.tensor(cost[0]),
            torch.from_numpy(gradient),
            torch.from_numpy(hessian.reshape(count, count)),
            torch.tensor(_ROUNDING * cost[0]),
        )


@dataclass(frozen=True)
class _Sums:
    """Sums over a block of pixels: cost, half its gradient and its Hessian in the shared parameters."""

    solver: PigmentSolver | ExtrasSolver
    skin: Skin  # with the shared parameters behind those of the solver
    values: Tensor
    criterion: Criterion

    def __call__(
        self, pixels: np.ndarray, scale: np.ndarray | None, index: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        with one_thread():
            return self._sums(pixels, scale), np.empty(0)

    def _sums(self, pixels: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
        y = torch.from_numpy(pixels).to(self.values)
        loss = self.criterion.loss(scale, y)
        weights = loss.squares(y)
        own = self.solver(y, weights).x
        at = Problem(self.skin, y, weights).project(torch.cat((own, self.values.expand(len(y), -1)), 1))
        inside = (own > self.solver.lower) & (own < self.solver.upper)
        count = own.shape[1]
        taken: list[Tensor] = []
        for index in range(count):  # what the pixel's own parameters take over
            taken.append(torch.where(inside[:, index : index + 1], without(at.slopes[index], taken, at.dot), 0))
        slopes = [without(slope, taken, at.dot) for slope in at.slopes[count:]]
        cost = at.dot(at.residual, at.residual)
        gradient = [-at.dot(slope, at.residual) for slope in at.slopes[count:]]
        hessian = [at.dot(a, b) for a in slopes for b in slopes]
        return torch.stack([cost, *gradient, *hessian]).sum(1).cpu().numpy()
