"""Huber's loss by iteratively reweighted least squares around the exact solver."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from msfit.skin.registry import Skin
from msfit.solve.loss import Loss
from msfit.solve.newton import Descent, descend
from msfit.solve.objective import Point, evaluate
from msfit.solve.shading import shading
from msfit.solve.solver import Solver

_MOST_ROUNDS = 200
# A pixel has settled when a round lowers its loss by less than this share of it.
_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
_EASIEST = 1e-3
# The search for other basins: nodes an axis, rounds of reweighting at each, basins followed, samples at a time.
_NODES = 13
_ROUNDS_AT_A_NODE = 4
_MOST_BASINS = 3
_AT_A_TIME = 1024


def solve_robustly(solver: Solver, pixels: Tensor, loss: Loss) -> Descent:
    """Minimise Huber's loss over the box of a solver: the ends for pixels (n, band), `steps` being rounds.

    Outlying bands may have pulled the least-squares fit into another basin than the loss's own. So rounds start from it
    and from the local minima of the loss itself on a grid over the box, and the least end wins.
    """
    squares = loss.squares(pixels)
    starts = [(torch.arange(pixels.shape[0], device=pixels.device), solver(pixels, squares).point)]
    starts.extend(_basins(solver, pixels, loss))
    owner = torch.cat([index for index, _ in starts])
    points = (vars(point).values() for _, point in starts)
    start = Point(*(torch.cat(parts) for parts in zip(*points, strict=True)))
    ended, value = _settle(solver, start, pixels[owner], loss.take(owner))
    rank = torch.repeat_interleave(
        torch.arange(len(starts), device=owner.device), torch.tensor([len(i) for i, _ in starts], device=owner.device)
    )
    place = torch.full((pixels.shape[0], len(starts)), -1, device=owner.device)
    place[owner, rank] = torch.arange(owner.numel(), device=owner.device)
    values = torch.where(place >= 0, value[place], torch.inf)
    best = place.gather(1, values.argmin(1, keepdim=True)).squeeze(1)
    return Descent(ended.point.take(best), ended.converged[best], ended.steps[best])


def residuals(skin: Skin, point: Point, pixels: Tensor) -> Tensor:
    """What of pixels (n, band) is left, y - i_d r - i_s."""
    reflectance = skin.reflectance(point.fractions)
    return pixels - point.i_d.unsqueeze(1) * reflectance - point.i_s.unsqueeze(1)


def _settle(solver: Solver, point: Point, pixels: Tensor, loss: Loss) -> tuple[Descent, Tensor]:
    """Rounds from a point of each pixel (n, band) until its loss settles: where, and the loss there (n,).

    A round minimises the sum of squares that touches the loss at the last residual and is nowhere below it (Huber,
    Robust Statistics, 1981, section 7.8), which lowers the loss surely but, with many outlying bands, slowly: beyond
    the threshold those squares bend far more than the loss, which is straight. So `ease` takes a share of that bend
    away, slope kept, as long as rounds still lower the loss.
    """
    skin, lower, upper = solver.skin, solver.lower, solver.upper
    residual = residuals(skin, point, pixels)
    value = loss.value(residual)
    ended = Descent(
        Point(*(part.clone() for part in vars(point).values())),
        torch.zeros_like(value, dtype=torch.bool),
        torch.zeros_like(value, dtype=torch.int16),
    )
    least = value.clone()
    active = torch.arange(value.numel(), device=value.device)
    ease = torch.ones_like(value)
    for count in range(1, _MOST_ROUNDS + 1):
        share = torch.where(loss.beyond(residual), ease.unsqueeze(1), 1)
        target = pixels + residual * (1 / share - 1)
        trial = descend(skin, point.fractions, target, loss.touching(residual) * share, lower, upper).point
        left = residuals(skin, trial, pixels)
        reached = loss.value(left)
        better = reached < value
        # easing may overshoot: only a round that took nothing away says that no lower loss is near
        done = (value - reached <= _TOLERANCE[pixels.dtype] * value) & (better | (ease == 1))
        point, value = trial.where(better, point), torch.where(better, reached, value)
        residual = torch.where(better.unsqueeze(1), left, residual)
        ease = torch.where(better, (0.5 * ease).clamp_min(_EASIEST), (8 * ease).clamp_max(1))
        for name, parts in vars(ended.point).items():
            parts[active] = getattr(point, name)
        ended.converged[active], ended.steps[active], least[active] = done, count, value
        if bool(done.any()):
            going = (~done).nonzero().squeeze(1)
            if going.numel() == 0:
                break
            active, point, residual, value = active[going], point.take(going), residual[going], value[going]
            pixels, loss, ease = pixels[going], loss.take(going), ease[going]
    return ended, least


def _basins(solver: Solver, pixels: Tensor, loss: Loss) -> list[tuple[Tensor, Point]]:
    """Local minima of the loss on a grid over the box, best first: (index, point) of pixels that have so many."""
    axes = [
        low + (high - low) * torch.linspace(0, 1, _NODES if high > low else 1, dtype=low.dtype, device=low.device) ** 2
        for low, high in zip(solver.lower, solver.upper, strict=True)
    ]
    nodes = torch.cartesian_prod(*axes)
    shape = (axes[0].numel(), axes[1].numel())
    spectra = solver.skin.reflectance(nodes)
    most = min(_MOST_BASINS, nodes.shape[0])  # where both pigments are held there is one node
    found: list[list[tuple[Tensor, Point]]] = [[] for _ in range(most)]
    for index in torch.arange(pixels.shape[0], device=pixels.device).split(max(1, _AT_A_TIME // pixels.shape[1])):
        some, its_loss = pixels[index], loss.take(index)
        height, weights = _on_nodes(spectra, some, its_loss)
        grid = -height.view(-1, 1, *shape)
        top = (grid >= max_pool2d(grid, 3, 1, 1)).flatten(1)
        heights, node = torch.where(top, height, torch.inf).topk(most, 1, largest=False)
        for rank, (level, at) in enumerate(zip(heights.T, node.T, strict=True)):
            own = level.isfinite().nonzero().squeeze(1)
            point = evaluate(solver.skin, nodes[at[own]], some[own], weights[own, at[own]])
            found[rank].append((index[own], point))
    merged = []
    for parts in found:
        points = zip(*(vars(point).values() for _, point in parts), strict=True)
        merged.append((torch.cat([index for index, _ in parts]), Point(*(torch.cat(values) for values in points))))
    return merged


def _on_nodes(spectra: Tensor, pixels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Loss (n, node) of each pixel at each of some spectra (node, band), and the weights (n, node, band) it ends with.

    The shadings are those that a few rounds of reweighting lead to.
    """
    count, many = pixels.shape[0], spectra.shape[0]
    owner = torch.arange(count, device=pixels.device).repeat_interleave(many)
    y, r, loss = pixels[owner], spectra.repeat(count, 1), loss.take(owner)
    weights = loss.touching(torch.zeros_like(y))
    for _ in range(_ROUNDS_AT_A_NODE):
        i_d, i_s = shading(r, y, weights)
        residual = y - i_d.unsqueeze(1) * r - i_s.unsqueeze(1)
        weights = loss.touching(residual)
    return loss.value(residual).view(count, many), weights.view(count, many, -1)
