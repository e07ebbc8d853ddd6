"""Between CIE XYZ, linear sRGB, display sRGB and CIE L*a*b*: differentiable, over any leading dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from msfit.errors import InputError

#: Chromaticity of sRGB's white, D65, and of its primaries (IEC 61966-2-1).
D65_CHROMATICITY = (0.3127, 0.3290)
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))

# Cone responses of the Bradford transform (K. M. Lam, thesis, University of Bradford, 1985; as in CIECAM97s).
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))

# Below this a pure power is replaced by a straight line to the origin, so that its slope stays finite.
_SMALLEST_POWER_ARGUMENT = 1e-10


def _xyz(chromaticity: tuple[float, float]) -> Tensor:
    x, y = chromaticity
    return torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64)


def d65_white() -> Tensor:
    """XYZ of sRGB's white, (0.3127, 0.3290) with Y = 1: float64 tensor (3,)."""
    return _xyz(D65_CHROMATICITY)


def srgb_to_xyz_matrix() -> Tensor:
    """Matrix from linear sRGB to XYZ, float64 (3, 3), derived from primaries and white, not rounded.

    References
    ----------
    IEC 61966-2-1:1999, which prints its inverse rounded to four decimals.
    """
    primaries = torch.stack([_xyz(primary) for primary in SRGB_PRIMARIES], dim=1)
    return primaries * torch.linalg.solve(primaries, d65_white())


def xyz_to_srgb_matrix() -> Tensor:
    """Matrix from XYZ to linear sRGB, float64 (3, 3): the inverse of `srgb_to_xyz_matrix`."""
    return torch.linalg.inv(srgb_to_xyz_matrix())


def apply_matrix(matrix: Tensor, colours: Tensor) -> Tensor:
    """Multiply colours (..., 3) by a matrix (..., 3, 3), in the type of the colours."""
    return (matrix.to(colours) @ colours[..., None])[..., 0]


def xyz_to_linear_srgb(xyz: Tensor) -> Tensor:
    """Linear sRGB (..., 3), white = 1, from XYZ (..., 3) under D65 with Y = 1 for white. Nothing is clipped."""
    return apply_matrix(xyz_to_srgb_matrix(), xyz)


def linear_srgb_to_xyz(linear: Tensor) -> Tensor:
    """XYZ (..., 3) under D65 with Y = 1 for white, from linear sRGB (..., 3)."""
    return apply_matrix(srgb_to_xyz_matrix(), linear)


def encode_srgb(linear: Tensor, curve: str = "srgb") -> Tensor:
    """Display values from linear ones.

    Parameters
    ----------
    linear : tensor (...)
        Linear light, white = 1. Clipped to 0..1.
    curve : {"srgb", "gamma-2.2"}
        "srgb": 12.92 v up to 0.0031308, above it 1.055 v^(1/2.4) - 0.055 (IEC 61966-2-1; Alotaibi & Smith 2019, eq 7).
        "gamma-2.2": v^(1/2.2), the plain power of the released code.

    Returns
    -------
    tensor (...)
        0..1. NaN stays NaN. The gradient is finite everywhere.

    Raises
    ------
    InputError
        An unknown curve.
    """
    _check_curve(curve)
    light = linear.clamp(0, 1)
    if curve == "gamma-2.2":
        knee = _SMALLEST_POWER_ARGUMENT
        return torch.where(light <= knee, light * knee ** (1 / 2.2 - 1), light.clamp(min=knee) ** (1 / 2.2))
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def decode_srgb(display: Tensor, curve: str = "srgb") -> Tensor:
    """Linear light from display values: the inverse of `encode_srgb`.

    Parameters
    ----------
    display : tensor (...)
        0..1; clipped to it.
    curve : {"srgb", "gamma-2.2"}

    Returns
    -------
    tensor (...)
        0..1, white = 1.

    Raises
    ------
    InputError
        An unknown curve.
    """
    _check_curve(curve)
    value = display.clamp(0, 1)
    if curve == "gamma-2.2":
        return value**2.2
    return torch.where(value <= 0.04045, value / 12.92, ((value.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def _check_curve(curve: str) -> None:
    if curve not in ("srgb", "gamma-2.2"):
        raise InputError(f"curve: found {curve!r}; expected 'srgb' or 'gamma-2.2'")


def adaptation_matrix(from_white: Tensor, to_white: Tensor, method: str = "xyz-scaling") -> Tensor:
    """Matrix that takes colours seen under one white to those seen under another.

    Parameters
    ----------
    from_white, to_white : tensor (..., 3)
        XYZ of the two whites.
    method : {"xyz-scaling", "bradford"}
        Von Kries scaling of X, Y and Z themselves, or of the cone responses of the Bradford transform. Both take
        `from_white` to `to_white`.

    Returns
    -------
    tensor (..., 3, 3)

    Raises
    ------
    InputError
        An unknown method.
    """
    if method == "xyz-scaling":
        return torch.diag_embed(to_white / from_white)
    if method == "bradford":
        cones = torch.tensor(_BRADFORD, dtype=from_white.dtype, device=from_white.device)
        gain = apply_matrix(cones, to_white) / apply_matrix(cones, from_white)
        return torch.linalg.solve(cones, gain[..., None] * cones)
    raise InputError(f"adaptation: found {method!r}; expected 'xyz-scaling' or 'bradford'")


def xyz_to_lab(xyz: Tensor, white: Tensor | None = None) -> Tensor:
    """CIE 1976 L*a*b*.

    Parameters
    ----------
    xyz : tensor (..., 3)
    white : tensor (3,), optional
        XYZ of white; `d65_white` if absent.

    Returns
    -------
    tensor (..., 3)
        L* 0..100, a*, b*. Differentiable everywhere.

    References
    ----------
    CIE 15:2004, Colorimetry, section 8.2.1.
    """
    ratio = xyz / (d65_white() if white is None else white).to(xyz)
    knee = (6 / 29) ** 3
    f = torch.where(ratio > knee, ratio.clamp(min=knee) ** (1 / 3), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    fx, fy, fz = f.unbind(-1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-1)
