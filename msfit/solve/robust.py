"""Huber's loss by iteratively reweighted least squares around the exact solver."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.solve.backends.reference import index_of_cheapest
from msfit.solve.loss import Loss
from msfit.solve.problem import Problem, shadings
from msfit.solve.search import local_maxima
from msfit.solve.solution import Point, Solution
from msfit.solve.solver import PigmentSolver

_MOST_ROUNDS = 200
# A pixel has converged when a round lowers its loss by less than this share of it.
_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
_EASIEST = 1e-3
# The search for other basins: rounds of reweighting at each node, and again at one node in so many, where the loss is
# lowest; basins followed, samples at a time. With four rounds alone three of 3,000 spectra ended in the wrong basin;
# again at one node in eight one, in four none.
_ROUNDS_AT_A_NODE = 4
_SHARE = 3
_MOST_BASINS = 3
_AT_A_TIME = 1024


def solve_robustly(
    solver: PigmentSolver, least_squares: Solution, pixels: Tensor, loss: Loss, most_rounds: int = _MOST_ROUNDS
) -> Solution:
    """Minimise Huber's loss over the box of a solver: the ends for pixels (n, band), `steps` being rounds.

    Outlying bands may have pulled the fit by `least_squares`, with the loss's own weights, into another basin than the
    loss's. So rounds start from it and from the local minima of the loss itself on the grid, and the least end wins.
    """
    everyone = torch.arange(pixels.shape[0], device=pixels.device)
    others, start = _basins(solver, pixels, loss)
    owner = torch.cat((everyone, others))
    at = least_squares
    both = (at.x, at.i_d, at.i_s), (start.x, start.i_d, start.i_s)
    x, i_d, i_s = (torch.cat(pair) for pair in zip(*both, strict=True))
    ended = _reweight(solver, Solution(x, i_d, i_s, *(owner,) * 3), pixels[owner], loss.take(owner), most_rounds)
    return ended.take(index_of_cheapest(owner, ended.cost, len(pixels)))


def _reweight(solver: PigmentSolver, at: Solution, pixels: Tensor, loss: Loss, most_rounds: int) -> Solution:
    """Rounds from a point of each pixel (n, band) until its loss converges; `cost` is the loss.

    A round minimises the sum of squares that touches the loss at the last residual and is nowhere below it (Huber,
    Robust Statistics, 1981, section 7.8), which lowers the loss surely but, with many outlying bands, slowly: beyond
    the threshold those squares bend far more than the loss, which is straight. So `ease` takes a share of that bend
    away, slope kept, as long as rounds still lower the loss.
    """
    skin = solver.skin
    residual = Problem(skin, pixels).residual(at)
    value = loss.value(residual)
    ended = Solution(
        at.x.clone(), at.i_d.clone(), at.i_s.clone(), value.clone(), value < 0, torch.zeros_like(value).short()
    )
    active = torch.arange(value.numel(), device=value.device)
    ease = torch.ones_like(value)
    for count in range(1, most_rounds + 1):
        share = torch.where(loss.beyond(residual), ease.unsqueeze(1), 1)
        target = pixels + residual * (1 / share - 1)
        weights = loss.touching(residual) * share
        trial = solver.descend(at.x, target, weights)
        trial_residual = Problem(skin, pixels).residual(trial)
        trial_value = loss.value(trial_residual)
        better = trial_value < value
        # easing may overshoot: only a round that took nothing away says that no lower loss is near
        done = (value - trial_value <= _TOLERANCE[pixels.dtype] * value) & (better | (ease == 1))
        value = torch.where(better, trial_value, value)
        at = Solution(
            torch.where(better.unsqueeze(1), trial.x, at.x),
            torch.where(better, trial.i_d, at.i_d),
            torch.where(better, trial.i_s, at.i_s),
            value,
            done,
            torch.full_like(trial.steps, count),
        )
        residual = torch.where(better.unsqueeze(1), trial_residual, residual)
        ease = torch.where(better, (0.5 * ease).clamp_min(_EASIEST), (8 * ease).clamp_max(1))
        for name, parts in vars(ended).items():
            parts[active] = getattr(at, name)
        if bool(done.any()):
            going = (~done).nonzero().squeeze(1)
            if going.numel() == 0:
                break
            active, at, residual, value = active[going], at.take(going), residual[going], value[going]
            pixels, loss, ease = pixels[going], loss.take(going), ease[going]
    return ended


def _basins(solver: PigmentSolver, pixels: Tensor, loss: Loss) -> tuple[Tensor, Point]:
    """Local minima of the loss on the grid, three a pixel at most: whose they are (start,), and the points."""
    grid = solver.reference.grid
    owners, points = [], []
    for index in torch.arange(pixels.shape[0], device=pixels.device).split(max(1, _AT_A_TIME // pixels.shape[1])):
        some = pixels[index]
        value, weights = _on_nodes(grid.spectra, some, loss.take(index))
        everywhere = torch.full_like(value[:, :1], -torch.inf)
        node = local_maxima(-value, everywhere, grid.shape, _MOST_BASINS)
        pixel, rank = torch.where(node >= 0)
        node = node[pixel, rank]
        problem = Problem(solver.skin, some[pixel], weights[pixel, node], solver.shadings)
        owners.append(index[pixel])
        points.append(problem.evaluate(grid.x[node]))
    merged = zip(*(vars(point).values() for point in points), strict=True)
    return torch.cat(owners), Point(*(torch.cat(parts) for parts in merged))


def _on_nodes(spectra: Tensor, pixels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Loss (n, node) of each pixel at each of some spectra (node, band), and the weights (n, node, band) it ends with.

    The shadings are those that rounds of reweighting lead to, more of them where the loss is among a pixel's lowest.
    """
    (count, bands), many = pixels.shape, len(spectra)
    every = torch.arange(many, device=pixels.device).expand(count, many)
    value, weights = _reweighted(spectra, every, pixels, loss, loss.touching(torch.zeros_like(pixels))[:, None])
    lowest = value.topk(max(1, many // _SHARE), 1, largest=False).indices
    beside = lowest[:, :, None].expand(-1, -1, bands)
    again, loads = _reweighted(spectra, lowest, pixels, loss, weights.gather(1, beside))
    return value.scatter(1, lowest, again), weights.scatter(1, beside, loads)


def _reweighted(spectra: Tensor, node: Tensor, pixels: Tensor, loss: Loss, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Loss (n, k) and weights (n, k, band) at nodes (n, k) after some rounds from weights (n, k or 1, band)."""
    shape = *node.shape, pixels.shape[1]
    owner = torch.arange(len(node), device=node.device).repeat_interleave(node.shape[1])
    y, r, loss, weights = pixels[owner], spectra[node.flatten()], loss.take(owner), weights.expand(shape).flatten(0, 1)
    for _ in range(_ROUNDS_AT_A_NODE):
        i_d, i_s = shadings(r, y, weights)
        residual = y - i_d.unsqueeze(1) * r - i_s.unsqueeze(1)
        weights = loss.touching(residual)
    return loss.value(residual).view(node.shape), weights.view(shape)
