"""Cut-outs of real photographs that come with scikit-image: texture that rendered faces lack.

Trained on renderings alone, a network takes the texture of hair, cloth and foliage for noise. Only pictures that their
makers gave to the public (CC0, or no known restriction) are drawn from; none shows a face that could be known.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError
from msfit.io.extras import need

#: Functions of `skimage.data`: pictures that are trained on, and others on which what was trained is looked at.
PICTURES = ("coffee", "brick", "grass", "gravel", "camera", "coins", "retina")
HELD_BACK = ("chelsea", "rocket")
# Pictures without colour are given one: standard deviation of the logarithm of its gains.
_TINT = 0.25
# Coarser than this is no texture [pixels]; the range of its logarithm that counts.
_COARSE, _MOST = 9, 3.0


def natural(side: int, generator: torch.Generator) -> Tensor:
    """A square cut-out (1, 3, side, side) of a photograph, linear RGB: between the whole picture and its own pixels."""
    name = PICTURES[int(torch.randint(len(PICTURES), (), generator=generator))]
    whole = _linear(name)
    shorter = min(whole.shape[-2:])
    if shorter < side:
        raise InputError(f"data.crop: found {side}; expected at most {shorter}, or data.textures = 0")
    wanted = round(shorter * (side / shorter) ** float(torch.rand((), generator=generator)))
    top, left = (int(torch.randint(length - wanted + 1, (), generator=generator)) for length in whole.shape[-2:])
    cut = F.interpolate(whole[..., top : top + wanted, left : left + wanted], (side, side), mode="area")
    turns = int(torch.randint(4, (), generator=generator))
    tint = torch.exp(_TINT * torch.randn(3, generator=generator))
    grey = bool((cut[:, 0] == cut[:, 1]).all())
    return cut.rot90(turns, (-2, -1)) * (tint[:, None, None] if grey else 1.0)


def detail(side: int, generator: torch.Generator) -> Tensor:
    """Texture (1, 1, side, side) of a photograph: the logarithm of its fine luminance, of mean 0 and deviation 1."""
    log = (natural(side, generator).mean(1, keepdim=True) + 0.01).log()
    reach = _COARSE // 2
    fine = log - F.avg_pool2d(F.pad(log, (reach, reach, reach, reach), mode="reflect"), _COARSE, stride=1)
    return (fine / fine.std().clamp(min=1e-3)).clamp(-_MOST, _MOST)


@functools.cache
def _linear(name: str) -> Tensor:
    values = np.asarray(getattr(need("skimage.data", "mask"), name)())
    rgb = np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values[..., :3]
    return decode_srgb(torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None])
