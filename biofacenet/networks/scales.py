"""Pictures larger than those a network was trained on: judged at the trained size, detail added from their own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.networks.network import BioFaceNet, Prediction
from biofacenet.networks.tiles import overview, predict_tiled

# Shadings are compared as ratios, with this added so that dark pixels stay quiet.
_DARK = 0.01


@torch.inference_mode()
def predict_at_scales(network: BioFaceNet, light: Tensor, coarse: int, fine: int) -> Prediction:
    """What a network says of a picture, seen twice.

    Light, camera and the level of every map come from the picture reduced to `coarse`, the size that the network knows
    faces in. What finer structure there is comes from the picture at `fine`: of pigments, scale and offset what the
    fine map has beyond its own reduction to `coarse`, of shadings the ratio of the two.

    Parameters
    ----------
    network : BioFaceNet
        In evaluation mode.
    light : tensor (1, 3, y, x)
        Linear sRGB, white = 1.
    coarse, fine : int
        Shorter side of the picture when it is seen [pixels]. Where `fine` is not larger it adds nothing.

    Returns
    -------
    Prediction
        Maps (1, 1, y, x).
    """
    full = (int(light.shape[-2]), int(light.shape[-1]))
    small = _scaled(full, coarse)
    judged = predict_tiled(network, _resized(light.clamp(0, 1), small))
    if fine <= coarse:
        return Prediction(*(_resized(values, full) for values in judged))
    large = _resized(light.clamp(0, 1), _scaled(full, fine))
    seen = predict_tiled(network, large, overview=overview(network, large, coarse))
    joined = {}
    for name, level in judged._asdict().items():
        if level is None or level.ndim < 4:
            joined[name] = level
            continue
        if name == "precision":  # what is unsure is the level more than the detail
            joined[name] = _resized(level, full)
            continue
        base, detail = (_resized(values, full) for values in (level, getattr(seen, name)))
        smooth = _resized(_resized(getattr(seen, name), small), full)
        if name in ("i_d", "i_s"):
            joined[name] = base * (detail + _DARK) / (smooth + _DARK)
        else:
            joined[name] = (base + detail - smooth).clamp(-1 if name in ("m_mel", "m_blood") else 0, 1)
    return Prediction(**joined)


def _scaled(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    scale = shorter / min(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(values: Tensor | None, size: tuple[int, int]) -> Any:
    if values is None or values.ndim < 4 or values.shape[-2:] == size:
        return values
    return F.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)
