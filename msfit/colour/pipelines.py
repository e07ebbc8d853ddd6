"""From reflectance through a camera to linear RGB: raw values, white balance, raw to XYZ, XYZ to RGB."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from msfit.colour.transforms import d65_white, xyz_to_srgb_matrix
from msfit.errors import InputError


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What turns a white-balanced camera image into linear RGB.

    Attributes
    ----------
    name : str
    white_xyz : float64 tensor (3,)
        XYZ that a white surface gets: the sums of the rows of the raw-to-XYZ matrix.
    xyz_to_rgb : float64 tensor (3, 3)
    """

    name: str
    white_xyz: Tensor
    xyz_to_rgb: Tensor


def pipeline(name: str = "neutral") -> Pipeline:
    """A named camera pipeline.

    Parameters
    ----------
    name : {"neutral", "authors"}
        "neutral": white becomes the XYZ of (0.3127, 0.3290) with Y = 1, and the sRGB matrix is derived from its
        primaries and that white in full precision, so that white is (1, 1, 1) under any light and camera.
        "authors": the numbers of the code that Alotaibi & Smith released with BioFaceNet (BMVC 2019): rows that sum to
        0.3253, 0.3425 and 0.3723, and the rounded sRGB matrix. White is about 0.342 there, and 0.3 % off neutral.

    Raises
    ------
    InputError
        An unknown name.
    """
    if name == "neutral":
        return Pipeline(name, d65_white(), xyz_to_srgb_matrix())
    if name == "authors":
        white = torch.tensor([0.3253, 0.3425, 0.3723], dtype=torch.float64)
        matrix = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
        return Pipeline(name, white, torch.tensor(matrix, dtype=torch.float64))
    raise InputError(f"pipeline: found {name!r}; expected 'neutral' or 'authors'")


def light_colour(illuminant: Tensor, sensitivities: Tensor) -> Tensor:
    """Raw values of a white surface, S^T e: tensor (..., 3) of the light (..., band) and the camera (..., band, 3)."""
    return (illuminant[..., None, :] @ sensitivities)[..., 0, :]


def raw_to_xyz_matrix(sensitivities: Tensor, observer: Tensor, through: Pipeline) -> Tensor:
    """Matrix from white-balanced raw values to XYZ.

    T = (S^+ C)^T, the least-squares match of the observer C by the camera S, its rows rescaled to sum to the XYZ that
    the pipeline gives to white. Each channel of S is first brought to unit sum: white balance makes an image
    independent of the channels' gains, so T must be as well.

    Parameters
    ----------
    sensitivities : tensor (..., band, 3)
    observer : tensor (band, 3)
        Colour matching functions on the same bands.
    through : Pipeline

    Returns
    -------
    tensor (..., 3, 3)
        XYZ = T raw.
    """
    unit = sensitivities / sensitivities.sum(dim=-2, keepdim=True)
    transposed = unit.mT
    # S has full column rank, so S^+ = (S^T S)^-1 S^T; the 3 x 3 system is small and its gradient simple.
    matrix = torch.linalg.solve(transposed @ unit, transposed @ observer.to(unit)).mT
    return matrix * (through.white_xyz.to(unit) / matrix.sum(dim=-1))[..., None]


def rgb_weights(illuminant: Tensor, sensitivities: Tensor, observer: Tensor, through: Pipeline) -> Tensor:
    """The whole way as one matrix a light and camera: linear RGB = reflectance @ weights.

    Parameters
    ----------
    illuminant : tensor (..., band)
    sensitivities : tensor (..., band, 3)
    observer : tensor (band, 3)
    through : Pipeline

    Returns
    -------
    tensor (..., band, 3)
        Not clipped: saturated colours can be negative. The weights of a channel sum to that of white.
    """
    balanced = illuminant[..., None] * sensitivities / light_colour(illuminant, sensitivities)[..., None, :]
    to_rgb = through.xyz_to_rgb.to(balanced) @ raw_to_xyz_matrix(sensitivities, observer, through)
    return balanced @ to_rgb.mT
