"""SfSNet, reimplemented from its paper: normals, albedo and spherical-harmonic light from a picture.

S. Sengupta, A. Kanazawa, C. D. Castillo, D. W. Jacobs, "SfSNet: Learning shape, reflectance and illuminance of faces in
the wild", CVPR 2018, arXiv:1712.01261. Built as described there, with two changes that a run on two cores asks for: the
number of filters is a setting (there 64 and 128), and pictures are 64 x 64 and linear RGB, as for all methods here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Weights of the losses on reconstruction, normals, albedo (L1) and light (L2), as in the paper's section 4.
_RECONSTRUCTION, _NORMALS, _ALBEDO, _LIGHT = 0.5, 0.5, 0.5, 0.1
_BLOCKS = 5


class Faces(NamedTuple):
    """normals (n, 3, y, x) of unit length; albedo (n, 3, y, x); light (n, 27); shading and picture (n, 3, y, x)."""

    normals: Tensor
    albedo: Tensor
    light: Tensor
    shading: Tensor
    picture: Tensor


class SfSNet(nn.Module):
    """Two branches of residual blocks for normals and albedo, from whose features the light is read.

    Parameters
    ----------
    filters : int
        Of the residual blocks: 128 in the paper.
    """

    def __init__(self, filters: int = 128) -> None:
        super().__init__()
        half = filters // 2
        self.stem = nn.Sequential(
            _layer(3, half, 7), _layer(half, filters, 3), nn.Conv2d(filters, filters, 3, stride=2, padding=1)
        )
        self.branches = nn.ModuleList(
            nn.Sequential(*(_Residual(filters) for _ in range(_BLOCKS)), nn.BatchNorm2d(filters), nn.ReLU())
            for _ in range(2)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                _layer(filters, filters, 1),
                _layer(filters, half, 3),
                nn.Conv2d(half, 3, 1),
            )
            for _ in range(2)
        )
        self.light = nn.Sequential(_layer(3 * filters, filters, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.light_out = nn.Linear(filters, 27)
        # white light from the front, so that training starts from a lit face
        nn.init.zeros_(self.light_out.weight)
        with torch.no_grad():
            self.light_out.bias.copy_(torch.tensor([0.8, 0, 0, 0.3, 0, 0, 0, 0, 0]).repeat(3))

    def forward(self, rgb: Tensor) -> Faces:
        """Decompose linear RGB pictures (n, 3, y, x), sides even."""
        features = self.stem(rgb)
        shape, colour = (branch(features) for branch in self.branches)
        normals = F.normalize(self.heads[0](shape), dim=1)
        albedo = torch.sigmoid(self.heads[1](colour))
        light = self.light_out(self.light(torch.cat([features, shape, colour], 1)))
        shading = shade(normals, light)
        return Faces(normals, albedo, light, shading, albedo * shading)


def shade(normals: Tensor, light: Tensor) -> Tensor:
    """Lambertian shading (n, 3, y, x) of normals (n, 3, y, x) by light (n, 27): nine harmonics for each channel."""
    return torch.einsum("nkc,ncyx->nkyx", light.reshape(-1, 3, 9), harmonics(normals))


def harmonics(normals: Tensor) -> Tensor:
    """Irradiance of the first nine spherical harmonics (n, 9, y, x) (Basri & Jacobs, PAMI 25, 2003)."""
    x, y, z = normals.unbind(1)
    a, b, c = math.pi / math.sqrt(4 * math.pi), 2 * math.pi / 3 * math.sqrt(3 / (4 * math.pi)), math.pi / 4
    d, e = 3 * math.sqrt(5 / (12 * math.pi)), 0.5 * math.sqrt(5 / (4 * math.pi))
    terms = (
        a * torch.ones_like(x),
        b * x,
        b * y,
        b * z,
        c * d * x * y,
        c * d * x * z,
        c * d * y * z,
        c * d / 2 * (x * x - y * y),
        c * e * (3 * z * z - 1),
    )
    return torch.stack(terms, 1)


def true_light(normals: Tensor, i_d: Tensor, mask: Tensor) -> Tensor:
    """White light (n, 27) that explains diffuse shading over the mask, both (n, 1, y, x), in least squares."""
    basis = (harmonics(normals) * mask).flatten(2)
    normal = basis @ basis.mT + 1e-3 * torch.eye(9, dtype=basis.dtype)
    nine = torch.linalg.solve(normal, basis @ (i_d * mask).flatten(2).mT)[..., 0]
    return nine.repeat(1, 3)


def loss(prediction: Faces, rgb: Tensor, normals: Tensor, albedo: Tensor, light: Tensor, mask: Tensor) -> Tensor:
    """The paper's loss over the face, with known normals, albedo and light."""
    pixels = mask.sum().clamp(min=1)

    def l1(first: Tensor, second: Tensor) -> Tensor:
        return ((first - second).abs() * mask).sum() / (3 * pixels)

    return (
        _RECONSTRUCTION * l1(prediction.picture, rgb)
        + _NORMALS * l1(prediction.normals, normals)
        + _ALBEDO * l1(prediction.albedo, albedo)
        + _LIGHT * ((prediction.light - light) ** 2).mean()
    )


class _Residual(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _layer(inside: int, outside: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, kernel, padding=kernel // 2), nn.BatchNorm2d(outside), nn.ReLU())
