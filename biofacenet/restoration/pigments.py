"""Coordinates of skin in a picture: shading, melanin and blood, linear in the logarithms of red, green and blue.

Absorption multiplies, so that ``-ln rgb`` of diffuse skin is shading plus melanin plus blood, each along a direction of
its own; gloss adds light and does not fit, which the offset dampens. The directions are those of the skin model under
D65, from light skin to dark and from pale to flushed.

N. Tsumura, H. Haneishi, Y. Miyake, "Independent-component analysis of skin color image", JOSA A 16(9), 1999.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from biofacenet.networks.decoder import HIGHEST_FRACTIONS, Decoder, head_units, lighting_of_daylight
from msfit.skin.models import REFERENCE_MODEL

#: Added to linear values before their logarithm: what lies far below it is noise [1].
OFFSET = 0.02
# Pairs of (f_mel, f_blood) that a direction leads between.
_MELANIN, _BLOOD = ((0.03, 0.03), (0.2, 0.03)), ((0.08, 0.01), (0.08, 0.06))
_KELVIN = 6504.0


@functools.cache
def directions(model: str = REFERENCE_MODEL) -> Tensor:
    """Columns (3, 3): what shading, melanin and blood add to ``ln rgb``, each of unit length."""
    decoder = Decoder(model)
    weights = decoder.weights(lighting_of_daylight(_KELVIN)[None], torch.zeros(1, 2))
    columns = [torch.ones(3)]
    for pair in (_MELANIN, _BLOOD):
        ends = []
        for fractions in pair:
            pair_of = zip(fractions, HIGHEST_FRACTIONS, strict=True)
            m = [head_units(torch.full((1, 1, 1, 1), fraction), most) for fraction, most in pair_of]
            ends.append(decoder.colour(m[0], m[1], weights)[0, :, 0, 0].log())
        columns.append(ends[0] - ends[1])
    return torch.stack([column / column.norm() for column in columns], dim=1)


def skin_coordinates(linear: Tensor) -> Tensor:
    """Shading, melanin and blood (n, 3, y, x) of linear RGB, in units of ``ln rgb``; melanin and blood: more is darker.

    Examples
    --------
    >>> import torch
    >>> skin_coordinates(torch.full((1, 3, 2, 2), 0.5))[0, 1:].abs().max() < 1e-5
    tensor(True)
    """
    signs = torch.tensor([1.0, -1.0, -1.0])[:, None]
    matrix = signs * torch.linalg.inv(directions())
    return torch.einsum("kc,ncyx->nkyx", matrix.to(linear), (linear.clamp(min=0) + OFFSET).log())
