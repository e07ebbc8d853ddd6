"""Pictures and their truth moved, turned, scaled and mirrored together."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.training.losses import Batch
from biofacenet.training.processes import Processes

_LARGEST_TURN = math.radians(15)
_LARGEST_SHIFT, _LARGEST_ZOOM = 0.15, 1.4


def move(batch: Batch, generator: torch.Generator, share: float, here: Processes | None = None) -> Batch:
    """Mirror half of the pictures; turn, shift and zoom a share of them, each in its own way.

    Up to 15 degrees, 15 % of half the frame, and a factor of 1.4 either way. What enters from beyond the frame repeats
    its edge and is not part of the face. The batch may be one process's share of a larger one, `here`: each picture is
    then moved as it would be in the whole.
    """
    count = len(batch.picture)
    here = here or Processes()
    u = here.share((2 * torch.rand(5, here.count * count, generator=generator) - 1).T).T
    moved = here.share((torch.rand(here.count * count, generator=generator) < share).float())
    turn, zoom = moved * _LARGEST_TURN * u[0], torch.exp(moved * math.log(_LARGEST_ZOOM) * u[1])
    shift = moved * _LARGEST_SHIFT * u[2:4]
    mirror = torch.where(u[4] < 0, -1.0, 1.0)
    cos, sin = turn.cos() * zoom, turn.sin() * zoom
    way = torch.stack(
        [torch.stack([mirror * cos, -sin, shift[0]], 1), torch.stack([mirror * sin, cos, shift[1]], 1)], 1
    )
    grid = F.affine_grid(way, [count, 1, *batch.picture.shape[-2:]], align_corners=False).to(batch.picture)

    def resampled(values: Tensor, beyond: str = "border") -> Tensor:
        return F.grid_sample(values, grid, "bilinear", beyond, align_corners=False)

    # a pixel is on the face where all that it is interpolated from is
    mask = (resampled(batch.mask, "zeros") > 0.999).to(batch.mask)
    maps = {
        name: resampled(values)
        for name, values in vars(batch).items()
        if values is not None and values.ndim == 4 and name != "mask"
    }
    return replace(batch, mask=mask, **maps)
