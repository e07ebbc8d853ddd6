"""A camera step by step, as printed in Alotaibi & Smith, BMVC 2019: what `pipelines.rgb_weights` does in one matrix."""

from __future__ import annotations

from torch import Tensor

from msfit.colour.pipelines import Pipeline, light_colour, raw_to_xyz_matrix
from msfit.colour.transforms import apply_matrix


def raw_response(reflectance: Tensor, illuminant: Tensor, sensitivities: Tensor) -> Tensor:
    """Raw camera values S^T diag(e) r, (..., 3) (eq 2)."""
    return ((reflectance * illuminant)[..., None, :] @ sensitivities)[..., 0, :]


def linear_rgb(
    reflectance: Tensor, illuminant: Tensor, sensitivities: Tensor, observer: Tensor, through: Pipeline
) -> Tensor:
    """Linear RGB (..., 3) of a reflectance (..., band): raw, white balance (eq 4), XYZ (eq 5), RGB; not clipped."""
    raw = raw_response(reflectance, illuminant, sensitivities)
    balanced = raw / light_colour(illuminant, sensitivities)
    xyz = apply_matrix(raw_to_xyz_matrix(sensitivities, observer, through), balanced)
    return apply_matrix(through.xyz_to_rgb, xyz)
