"""What a restoration network is trained to keep small: pixels, structure, pigments, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biofacenet.restoration.faces import RestorationBatch, linear
from biofacenet.restoration.network import Estimate
from biofacenet.restoration.pigments import skin_coordinates
from msfit.errors import InputError

#: Factors of the terms; a configuration may give others.
FACTORS: Mapping[str, float] = {
    "pixels": 1.0,
    "structure": 0.25,
    "pigments": 0.1,
    "estimate": 0.02,
    "doubt": 0.004,
    "adversary": 0.0,
}
# Pigments are compared over areas of these sides [pixels]: level, patches, spots.
_AREAS = (16, 4)


def terms(estimate: Estimate, batch: RestorationBatch, factors: Mapping[str, float]) -> dict[str, Tensor]:
    """Terms of the loss by name, each times its factor; those without a factor are left out.

    pixels: mean absolute difference of display values. structure: of their differences between neighbours. pigments: of
    melanin and blood over areas of the face (`skin_coordinates`). estimate: squared, of the degradation's numbers.
    doubt: the negative log likelihood of the errors under Laplace distributions of the scale that the network tells.
    """
    found, clean = estimate.display, batch.clean
    made: dict[str, Tensor] = {}

    def wanted(name: str) -> bool:
        return factors.get(name, 0) > 0

    if wanted("pixels"):
        made["pixels"] = (found - clean).abs().mean()
    if wanted("structure"):
        steps = [(found.diff(dim=axis) - clean.diff(dim=axis)).abs().mean() for axis in (-1, -2)]
        made["structure"] = torch.stack(steps).sum()
    if wanted("pigments"):
        made["pigments"] = _pigments(found, clean, batch.face)
    if wanted("estimate"):
        apart = (estimate.numbers - batch.numbers).square().mean(1)
        made["estimate"] = (batch.told * apart).sum() / batch.told.sum().clamp(min=1)
    if wanted("doubt"):
        error = (found - clean).abs().mean(1, keepdim=True).detach()
        made["doubt"] = (error / estimate.scale + estimate.scale.log()).mean()
    return {name: factors[name] * value for name, value in made.items()}


def _pigments(found: Tensor, clean: Tensor, face: Tensor) -> Tensor:
    total = found.new_zeros(())
    for area in _AREAS:
        share = F.avg_pool2d(face, area)
        means = [F.avg_pool2d(face * linear(one), area) / share.clamp(min=1e-3) for one in (found, clean)]
        inside = (share > 0.5).float()
        apart = (skin_coordinates(means[0]) - skin_coordinates(means[1]))[:, 1:].abs()
        total = total + (inside * apart).sum() / (2 * inside.sum()).clamp(min=1)
    return total


class Adversary(nn.Sequential):
    """A discriminator of patches: logits (n, 1, y / 8, x / 8) of display values, above 0 for a photograph.

    P. Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017 (PatchGAN), with
    spectral normalisation (T. Miyato et al., ICLR 2018).
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96)) -> None:
        layers: list[nn.Module] = []
        for before, width in zip((3, *widths), widths, strict=False):
            layers += [_normed(before, width, 4, 2), nn.LeakyReLU(0.2)]
        super().__init__(*layers, _normed(widths[-1], 1, 3, 1))


def _normed(before: int, width: int, side: int, stride: int) -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Conv2d(before, width, side, stride, padding=1))


def adversarial(adversary: nn.Module, found: Tensor) -> Tensor:
    """What the adversary makes a generator pay: the hinge loss (J. H. Lim, J. C. Ye, arXiv:1705.02894, 2017)."""
    return -adversary(2 * found - 1).mean()


def told_apart(adversary: nn.Module, found: Tensor, clean: Tensor) -> Tensor:
    """What the adversary itself pays: the hinge loss."""
    return F.relu(1 - adversary(2 * clean - 1)).mean() + F.relu(1 + adversary(2 * found.detach() - 1)).mean()


def checked_factors(given: Mapping[str, float]) -> dict[str, float]:
    """All factors, those given in place of `FACTORS`."""
    for name, value in given.items():
        if name not in FACTORS:
            raise InputError(f"loss.weights: found {name!r}; expected some of {', '.join(FACTORS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise InputError(f"loss.weights.{name}: found {value!r}; expected a number, at least 0")
    return {**FACTORS, **given}
