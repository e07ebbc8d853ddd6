"""What stands in a hole before a network looks: its surroundings, ever coarser (pull and push), or continued smoothly.

S. J. Gortler et al., "The lumigraph", SIGGRAPH 1996, section 3.4.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import label
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

# Of the Laplacian, five points, and of its square, thirteen.
_PLAIN_STENCIL = {(0, 0): 4, **dict.fromkeys([(0, 1), (1, 0), (0, -1), (-1, 0)], -1)}
_STENCIL = {
    **dict.fromkeys([(0, 0)], 20),
    **dict.fromkeys([(0, 1), (1, 0), (0, -1), (-1, 0)], -8),
    **dict.fromkeys([(1, 1), (1, -1), (-1, 1), (-1, -1)], 2),
    **dict.fromkeys([(0, 2), (2, 0), (0, -2), (-2, 0)], 1),
}


def surrounded(pictures: Tensor, hole: Tensor) -> Tensor:
    """Pictures (n, channel, y, x) whose holes (n, 1, y, x), 1 inside, hold a smooth continuation; all hole: 0."""
    if not bool((hole > 0).any()):
        return pictures
    weight = 1 - hole
    return (weight * pictures + hole * _pulled(weight * pictures, weight)).to(pictures)


def _pulled(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted means, with gaps filled from means over twice as many pixels."""
    if min(values.shape[-2:]) == 1 or bool((weight > 0.99).all()):
        return values / weight.clamp(min=1e-6) * (weight > 0)
    even = (values.shape[-1] % 2, values.shape[-2] % 2)
    padded, padded_weight = (F.pad(one, (0, even[0], 0, even[1])) for one in (values, weight))
    coarse = _pulled(F.avg_pool2d(padded, 2), F.avg_pool2d(padded_weight, 2))
    size = (values.shape[-2], values.shape[-1])
    below = F.interpolate(coarse, padded.shape[-2:], mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    known = weight.clamp(max=1)
    return known * (values / weight.clamp(min=1e-6)) + (1 - known) * below


def hemmed(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A picture (y, x, channel) whose hole (y, x) is `continued`: with slopes where its surroundings hem it in.

    Parts that reach the edge of the picture go on without: a slope that nothing meets on the other side leads anywhere.
    """
    parts, _ = label(hole)
    edge = np.concatenate([parts[[0, -1]].ravel(), parts[:, [0, -1]].ravel()])
    outer = hole & np.isin(parts, edge[edge > 0])
    for part, slopes in ((outer, False), (hole & ~outer, True)):
        picture = continued(picture, part, slopes=slopes) if part.any() else picture
    return picture


def continued(picture: np.ndarray, hole: np.ndarray, most: int = 3000, *, slopes: bool = True) -> np.ndarray:
    """A picture (y, x, channel) whose hole (y, x) continues its surroundings with their slopes: ``laplacian^2 u = 0``.

    Without `slopes`, ``laplacian u = 0``: between the extremes of what surrounds the hole.

    M. Chui, H. N. Mhaskar, "MRA contextual-recovery extension of smooth functions on manifolds", Appl. Comput. Harmon.
    Anal. 28, 2010. A large hole, of more than `most` pixels, is solved on fewer: the solution is smooth.
    """
    step = max(1, math.ceil(math.sqrt(hole.sum() / most)))
    if step > 1:
        shape = [max(2, length // step) for length in hole.shape]
        tensor = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
        inside = torch.from_numpy(hole.astype(np.float32))[None, None]
        known = F.interpolate(1 - inside, shape, mode="area")
        small = F.interpolate(tensor * (1 - inside), shape, mode="area") / known.clamp(min=1e-3)
        coarse = continued(small[0].permute(1, 2, 0).numpy(), known[0, 0].numpy() < 0.999, most * 4, slopes=slopes)
        wide = torch.from_numpy(coarse).permute(2, 0, 1)[None]
        filled = F.interpolate(wide, hole.shape, mode="bicubic", align_corners=False)[0].permute(1, 2, 0).numpy()
        return np.asarray(np.where(hole[..., None], filled, picture))
    # the frame is mirrored: where a hole reaches the picture's edge it is held to its surroundings there
    if hole[[0, -1]].any() or hole[:, [0, -1]].any():
        tensors = (torch.from_numpy(np.ascontiguousarray(one, np.float32)) for one in (picture, hole[..., None]))
        own = surrounded(*(one.permute(2, 0, 1)[None] for one in tensors))
        picture = np.where(hole[..., None], own[0].permute(1, 2, 0).numpy(), picture)
    padded, there = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="symmetric"), np.pad(hole, 2)
    places = np.argwhere(there)
    number = np.full(there.shape, -1)
    number[there] = np.arange(len(places))
    rows, columns, weights = [], [], []
    right = np.zeros((len(places), picture.shape[2]))
    for (down, across), weight in (_STENCIL if slopes else _PLAIN_STENCIL).items():
        y, x = places[:, 0] + down, places[:, 1] + across
        other = number[y, x]
        unknown = other >= 0
        rows.append(np.flatnonzero(unknown))
        columns.append(other[unknown])
        weights.append(np.full(int(unknown.sum()), float(weight)))
        right[~unknown] -= weight * padded[y[~unknown], x[~unknown]]
    size = (len(places), len(places))
    matrix = csc_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), size)
    made = picture.copy()
    made[hole] = splu(matrix).solve(right)
    return made
