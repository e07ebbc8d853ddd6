"""Noise and the blocks of JPEG taken away before the network looks: shrinkage in a sliding cosine transform.

Every 8 x 8 patch is brought into the cosine transform, coefficients that are small beside the noise are dropped, and
overlapping patches are averaged. Noise is as strong as the median of the highest frequencies says, in the patches that
are flattest by their lowest ones. For JPEG the same transform, shifted, averages its blocks away.

G. Yu, G. Sapiro, "DCT image denoising: a simple and effective image denoising algorithm", IPOL 1, 2011; A. Nosratinia,
"Enhancement of JPEG-compressed images by re-application of JPEG", J. VLSI Signal Processing 27, 2001; N. N. Ponomarenko
et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007 (noise from flat blocks).
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.restoration.degradation import Degradation

_SIDE, _STEP = 8, 2
# Patterns (row * 8 + column) by which level and texture of a patch are told, and its noise.
_LOW, _HIGH = (0, 1, 2, 3, 8, 9, 10, 16, 17, 18, 24), (63, 62, 55, 54)
# The same where noise has lost its highest frequencies.
_BROAD, _MIDDLE = (0, 1, 8, 9), (11, 18, 19, 25, 26)
# Coefficients below so many standard deviations are dropped.
_THRESHOLD = 2.7
# Median of the magnitude of a normal variable of standard deviation 1.
_MEDIAN = 0.6745
# Standard deviation that stands for one step of JPEG quality [display values of 255].
_BY_JPEG = 0.12
# JPEG of a quality below this takes the highest frequencies away, by which noise is measured: so much of what the
# network says counts then.
_PACKED, _BELIEVED = 95.0, 0.8
# What is measured counts up to so many times what the network says, and this more; texture is seldom as strong as the
# second of these in the flattest patches, so that there it counts by itself [display values of 255].
_MOST_BELIEVED, _UNSEEN = 3.0, 0.5
_DOUBTED, _CERTAIN = 3.5, 5.0
# In an enlarged picture the share of what is measured that is taken away, up to so many times what the network says.
_BELIEVED_COARSE, _MOST_COARSE = 0.9, 2.5
# From this noise on JPEG is believed of an enlarged picture [display values of 255].
_WITH_JPEG = 3.0
# Of the flattest share of patches, of an enlarged picture less, as few of its patches are flat; what is nearly black or
# white clips and does not count.
_FLATTEST, _FLATTEST_COARSE, _FEWEST, _CLIPPED = 0.25, 0.05, 25, 0.04
# Noise below this stays [display values of 255], and coarser sampling than this is undone first.
_LEAST, _COARSE = 0.7, 1.5


def calmed(display: Tensor, degradation: Degradation) -> tuple[Tensor, float]:
    """A picture (1, 3, y, x) without its noise and blocks, and the noise's standard deviation, display values of 255.

    A picture that was enlarged is looked at in its own pixels, and enlarged again.
    """
    factor = degradation.factor if degradation.factor > _COARSE else 1.0
    shape = display.shape[-2:]
    small = display
    if factor > 1:
        size = [max(_SIDE, round(length / factor)) for length in shape]
        small = F.interpolate(display, size, mode="area")
    # texture is measured as noise: so only as far as the network sees noise at all, unless it is plain
    if factor > 1:
        # enlarging and JPEG take the highest frequencies of noise away, and leave its middle ones
        measured = measured_noise(small, _BROAD, _MIDDLE, _FLATTEST_COARSE)
        noise = _BELIEVED_COARSE * min(measured, _MOST_COARSE * degradation.noise)
    else:
        measured = measured_noise(small)
        plain = min(1.0, max(0.0, (measured - _DOUBTED) / (_CERTAIN - _DOUBTED)))
        noise = plain * measured + (1 - plain) * min(measured, _MOST_BELIEVED * degradation.noise + _UNSEEN)
        if degradation.quality < _PACKED:
            noise = max(noise, _BELIEVED * degradation.noise)
    # of an enlarged picture the network takes blur for JPEG: it is believed as far as there is noise, too
    believed = min(1.0, noise / _WITH_JPEG) if factor > 1 else 1.0
    sigma = math.hypot(noise, _BY_JPEG * believed * (100 - degradation.quality))
    if sigma < _LEAST:
        return display, noise
    calm = shrunk(small, sigma / 255)
    if factor > 1:
        # what goes is enlarged, and not the picture: the rest keeps its own pixels
        gone = F.interpolate(small - calm, shape, mode="bicubic", align_corners=False)
        # noise of the picture itself is coarser than its pixels, but for what is left of it
        return (display - gone).clamp(0, 1), noise
    return calm.clamp(0, 1), noise


def measured_noise(
    display: Tensor, low: tuple[int, ...] = _LOW, high: tuple[int, ...] = _HIGH, share: float = _FLATTEST
) -> float:
    """Standard deviation of white noise [display values of 255], from the luminance of a picture's flattest patches.

    Patches are flat by the patterns `low`, the first of them their level; noise is told by the patterns `high`.
    """
    grey = _opponent(display)[:, :1] / math.sqrt(3)
    found = F.conv2d(grey, _basis().to(grey)[[*low, *high]], stride=2).flatten(2)[0]
    level = found[0] / _SIDE
    texture = found[1 : len(low)].square().sum(0)
    texture = torch.where((level > _CLIPPED) & (level < 1 - _CLIPPED), texture, torch.inf)
    count = max(_FEWEST, int(share * float(torch.isfinite(texture).sum())))
    flat = found[len(low) :, texture.argsort()[:count]]
    # luminance is a mean of three channels: its noise is that of one over the root of three
    return 255 * math.sqrt(3) * float(flat.abs().flatten().median()) / _MEDIAN


def shrunk(display: Tensor, sigma: float) -> Tensor:
    """A picture (1, 3, y, x) whose small coefficients, against noise of `sigma` [display values of 1], are dropped."""
    basis = _basis().to(display)
    planes = _opponent(display).transpose(0, 1)
    height, width = planes.shape[-2:]
    margin = _SIDE - _STEP
    padded = F.pad(planes, (margin, margin + width % _STEP, margin, margin + height % _STEP), mode="reflect")
    coefficients = F.conv2d(padded, basis, stride=_STEP)
    kept = coefficients * (coefficients.abs() > _THRESHOLD * sigma)
    kept[:, :1] = coefficients[:, :1]
    # patches that few coefficients describe say more of their pixels (Yu & Sapiro do without)
    weight = 1 / (kept != 0).sum(1, keepdim=True).clamp(min=1)
    back = F.conv_transpose2d(kept * weight, basis, stride=_STEP)
    share = F.conv_transpose2d(weight, torch.ones(1, 1, _SIDE, _SIDE).to(display), stride=_STEP)
    inner = (..., slice(margin, margin + height), slice(margin, margin + width))
    made = (back / share.clamp(min=1e-6))[inner].transpose(0, 1)
    return torch.einsum("kc,nkyx->ncyx", _axes().to(made), made)


def _opponent(display: Tensor) -> Tensor:
    return torch.einsum("kc,ncyx->nkyx", _axes().to(display), display)


def _axes() -> Tensor:
    """Orthonormal axes of colour (3, 3): the sum of channels, red against blue, green against both."""
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    return rows / rows.norm(dim=1, keepdim=True)


@functools.cache
def _basis() -> Tensor:
    """The cosine transform's patches, (64, 1, 8, 8), orthonormal; the first is the mean."""
    index = torch.arange(_SIDE, dtype=torch.float32)
    lines = torch.cos(math.pi / _SIDE * index[:, None] * (index[None] + 0.5)) * math.sqrt(2 / _SIDE)
    lines[0] /= math.sqrt(2)
    return torch.einsum("iy,jx->ijyx", lines, lines).reshape(_SIDE**2, 1, _SIDE, _SIDE)
