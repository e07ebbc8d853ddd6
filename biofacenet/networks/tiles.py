"""Pictures of any size through a network: in tiles that overlap, so that nothing shows where they meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.networks.network import BioFaceNet, Prediction

#: Side of a tile without its margin [pixels]; pictures of fewer pixels than its square are not cut.
TILE = 1024
# Margin of a tile in steps of the network's lowest level. A result reaches 109 pixels around in `compact` and 155 in
# `paper`, whose steps are 16; 12 of them are enough for both.
_MARGIN_STEPS = 12

_Rows = tuple[slice, slice]


@torch.inference_mode()
def overview(network: BioFaceNet, rgb: Tensor, side: int) -> Tensor | None:
    """What a network says of whole pictures (n, 3, y, x), seen with a shorter side of `side` pixels.

    Light and skin tone are judged from means over the picture. Those of features at another scale than that of training
    mislead: on faces of 256 pixels melanin was off by three times as much as on those of 64. None, for the network to
    look itself, where pictures are not larger than `side`.
    """
    height, width = rgb.shape[-2:]
    if min(height, width) <= side:
        return None
    seen = [max(1, round(length * side / min(height, width))) for length in (height, width)]
    small = F.interpolate(rgb.clamp(0, 1), seen, mode="bilinear", antialias=True, align_corners=False)
    return network.body.overview(network.body.lowest(_padded(small, network.body.step)))


@torch.inference_mode()
def predict_tiled(network: BioFaceNet, rgb: Tensor, tile: int = TILE, overview: Tensor | None = None) -> Prediction:
    """What a network says of a picture, tile by tile where it is large.

    What the network judges from the whole picture, light, camera and all that steers its decoder, is `overview`, or
    taken from the whole picture once. Maps therefore equal those of the picture in one piece, up to rounding.

    Parameters
    ----------
    network : BioFaceNet
        In evaluation mode.
    rgb : tensor (1, 3, y, x)
        Linear sRGB, white = 1.
    tile : int
        Side of a tile without its margin [pixels].
    overview : tensor (1, number), optional
        Of the function of that name.

    Returns
    -------
    Prediction
    """
    height, width = rgb.shape[-2:]
    if height * width <= tile**2:
        return network(rgb, overview)
    body, step = network.body, network.body.step
    light = _padded(rgb.clamp(0, 1), step)
    side, margin = max(1, tile // step) * step, _MARGIN_STEPS * step
    grid = _tiles(light.shape[-2], light.shape[-1], side, margin)
    if overview is None:
        pieces = [
            [body.lowest(light[(..., *outer)])[(..., *_divided(_within(inner, outer), step))] for inner, outer in row]
            for row in grid
        ]
        overview = body.overview(_stitched(pieces))
    parts = [
        [_cut(network(light[(..., *outer)], overview), _within(inner, outer)) for inner, outer in row] for row in grid
    ]
    stitched = Prediction(*(_stitched(pieces) for pieces in _by_field(parts)))
    return _cut(stitched, (slice(0, height), slice(0, width)))


def _padded(light: Tensor, step: int) -> Tensor:
    height, width = light.shape[-2:]
    return F.pad(light, (0, -width % step, 0, -height % step), mode="replicate")


def _tiles(height: int, width: int, side: int, margin: int) -> list[list[tuple[_Rows, _Rows]]]:
    """Tiles that cover a picture, row by row: without and with their margin."""
    rows, columns = (
        [
            (slice(start, min(length, start + side)), slice(max(0, start - margin), min(length, start + side + margin)))
            for start in range(0, length, side)
        ]
        for length in (height, width)
    )
    return [[((y, x), (wide_y, wide_x)) for x, wide_x in columns] for y, wide_y in rows]


def _by_field(parts: list[list[Prediction]]) -> Iterator[list[list[Any]]]:
    for name in Prediction._fields:
        yield [[getattr(part, name) for part in row] for row in parts]


def _stitched(pieces: list[list[Any]]) -> Any:
    """Maps put together; numbers of the whole picture, and what a network lacks, as in any of its parts."""
    first = pieces[0][0]
    if first is None or first.ndim < 4:
        return first
    return torch.cat([torch.cat(row, dim=-1) for row in pieces], dim=-2)


def _cut(part: Any, where: _Rows) -> Prediction:
    return Prediction(*(v if v is None or v.ndim < 4 else v[(..., *where)] for v in part))


def _within(inner: _Rows, outer: _Rows) -> _Rows:
    """Where a tile lies in itself with its margin."""
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
    return rows, columns


def _divided(where: _Rows, step: int) -> _Rows:
    rows, columns = (slice(part.start // step, part.stop // step) for part in where)
    return rows, columns
