"""Colour difference: CIEDE2000, differentiable."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_25_TO_7 = 25.0**7


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 between colours in CIE L*a*b*, with kL = kC = kH = 1.

    Parameters
    ----------
    first, second : tensor (..., 3)
        L*, a*, b*.

    Returns
    -------
    tensor (...)
        0 for equal colours; about 1 is just noticeable. The gradient is finite everywhere, zero where the colours are
        equal. Where hues are opposite the formula itself jumps.

    References
    ----------
    CIE 142:2001; G. Sharma, W. Wu, E. N. Dalal, "The CIEDE2000 color-difference formula: implementation notes,
    supplementary test data, and mathematical observations", Color Res. Appl. 30, 2005, whose numbering is kept.

    Examples
    --------
    >>> lab = torch.tensor([[50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485]], dtype=torch.float64)
    >>> round(ciede2000(lab[0], lab[1]).item(), 4)
    2.0425
    """
    l1, a1, b1 = first.unbind(-1)
    l2, a2, b2 = second.unbind(-1)
    # 1: a' and h', eq 2-7
    mean_chroma = (_norm(a1, b1) + _norm(a2, b2)) / 2
    g = 0.5 * (1 - _sqrt(_chroma_share(mean_chroma)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = _norm(a1, b1), _norm(a2, b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)
    # 2: differences, eq 8-11
    coloured = c1 * c2 > 0
    turn = h2 - h1
    turn = turn - 360 * (turn > 180).to(turn) + 360 * (turn < -180).to(turn)
    dh = torch.where(coloured, turn, 0)
    d_lightness, d_chroma = l2 - l1, c2 - c1
    d_hue = 2 * _sqrt(c1 * c2) * torch.sin(torch.deg2rad(dh / 2))
    # 3: means and weights, eq 12-22
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    total = h1 + h2
    wrapped = torch.where(total < 360, total + 360, total - 360)
    hue = torch.where(coloured, torch.where((h1 - h2).abs() <= 180, total, wrapped) / 2, total)
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    rotation = 30 * torch.exp(-(((hue - 275) / 25) ** 2))
    off_middle = (lightness - 50) ** 2
    s_lightness = 1 + 0.015 * off_middle / torch.sqrt(20 + off_middle)
    s_chroma, s_hue = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    r_t = -2 * _sqrt(_chroma_share(chroma)) * torch.sin(torch.deg2rad(2 * rotation))
    x, y, z = d_lightness / s_lightness, d_chroma / s_chroma, d_hue / s_hue
    return _sqrt(x**2 + y**2 + z**2 + r_t * y * z)


def _sqrt(value: Tensor) -> Tensor:
    """Square root whose gradient at zero is zero instead of infinite."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, 1).sqrt(), value.clamp(max=0) * 0)


def _norm(a: Tensor, b: Tensor) -> Tensor:
    return _sqrt(a**2 + b**2)


def _hue(a: Tensor, b: Tensor) -> Tensor:
    """Hue angle in 0..360 degrees, 0 for grey."""
    coloured = (a != 0) | (b != 0)
    angle = torch.atan2(torch.where(coloured, b, 0), torch.where(coloured, a, 1))
    return torch.rad2deg(torch.where(angle < 0, angle + 2 * math.pi, angle))


def _chroma_share(chroma: Tensor) -> Tensor:
    return chroma**7 / (chroma**7 + _25_TO_7)


def _cos(degrees: Tensor) -> Tensor:
    return torch.cos(torch.deg2rad(degrees))
