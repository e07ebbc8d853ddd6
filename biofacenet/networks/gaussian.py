"""The network that says how sure it is: `compact` without a weave, and a covariance of the four numbers of each pixel.

Maps grow by resizing and convolving, as pixels that are shuffled into place leave a pattern of their period (A. Odena,
V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biofacenet.networks.compact import Compact, seen
from msfit.errors import InputError

#: Numbers a pixel that tell its covariance: four logarithms of a diagonal, six below it.
PRECISION = 10
#: What is told of the whole picture besides light and camera: the cast of red and of blue, the logarithms of their
#: standard deviations, and those of the means of the four maps.
WHOLE = 8
# Logarithms of the diagonal as training begins: deviations of 0.14, 0.2, 0.14 and 0.05.
_START = (2.0, 1.6, 2.0, 3.0)
_LEAST, _MOST = -2.0, 7.0


class Gaussian(Compact):
    """`Compact`, resizing where that shuffles, with heads for covariances and for what white balance left."""

    def __init__(self, widths: tuple[int, ...] = Compact.WIDTHS) -> None:
        super().__init__(widths)
        fine = self.heads.in_channels
        self.widen = nn.Conv2d(widths[0], fine, 1)
        self.spread = nn.Conv2d(fine, PRECISION, 1)
        self.whole = nn.Linear(self.numbers.in_features, WHOLE)
        for layer, start in ((self.spread, (*_START, *[0.0] * 6)), (self.whole, (0.0, 0.0, *[-2.0] * 6))):
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias = nn.Parameter(torch.tensor(start))

    def forward(self, light: Tensor, overview: Tensor | None = None) -> tuple[Tensor, Tensor]:
        picture = seen(light)
        levels = self._encoded(picture)
        features = levels[-1]
        context = self.overview(features) if overview is None else overview
        for up, steer, level, beside in zip(self.up, self.steer, self.decoder, levels[-2::-1], strict=True):
            above = _twice(up(features))
            gain, shift = steer(context)[..., None, None].chunk(2, dim=1)
            features = level((1 + gain) * (above + beside) + shift)
        fine = self.refine(_twice(self.widen(features)) + self.detail(picture))
        with torch.autocast(light.device.type, enabled=False):
            fine = fine.to(light.dtype)
            maps = self.headed(self.heads(fine), light)
            # a deviation is told from the mean's features, which its likelihood is not to bend
            spread = self.spread(fine.detach())
        numbers = torch.cat([self.numbers(context), self.whole(context)], dim=1)
        return torch.cat([maps, spread], dim=1), numbers

    def adopt(self, other: Compact) -> None:
        """Begin from the weights of a `Compact` of the same widths; shuffled pixels become their mean.

        Raises
        ------
        InputError
            Other widths.
        """
        theirs, mine = other.state_dict(), self.state_dict()
        for name in ("weight", "bias"):
            values = theirs[f"widen.{name}"]
            theirs[f"widen.{name}"] = values.reshape(-1, 4, *values.shape[1:]).mean(1)
        if any(name in theirs and theirs[name].shape != values.shape for name, values in mine.items()):
            raise InputError("training.start: found another architecture or other widths; expected compact of the same")
        self.load_state_dict({name: theirs.get(name, values) for name, values in mine.items()})


def whitened(precision: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """``L^T r`` (n, 4, y, x) and the sum of the logarithms of L's diagonal (n, y, x), the precision being ``L L^T``.

    Parameters
    ----------
    precision : tensor (n, 10, y, x)
    residual : tensor (n, 4, y, x)
        Of m_mel, m_blood, and of i_d and i_s over the estimate of i_d.
    """
    log = precision[:, :4].clamp(_LEAST, _MOST)
    rows = lower(precision)
    parts = [sum(rows[i][j] * residual[:, i] for i in range(j, 4)) for j in range(4)]
    return torch.stack(parts, dim=1), log.sum(1)  # type: ignore[arg-type]


def lower(precision: Tensor) -> list[list[Tensor]]:
    """Rows of the lower triangle L of ``L L^T``, each entry (n, y, x)."""
    diagonal = precision[:, :4].clamp(_LEAST, _MOST).exp().unbind(1)
    below = iter(precision[:, 4:].unbind(1))
    return [[*(next(below) for _ in range(row)), diagonal[row]] for row in range(4)]


def covariance(precision: Tensor) -> Tensor:
    """Covariance (n, y, x, 4, 4) of m_mel, m_blood, i_d and i_s over the estimate of i_d."""
    rows = lower(precision.double())
    zero = torch.zeros_like(rows[0][0])
    matrix = torch.stack([torch.stack([*row, *[zero] * (4 - len(row))], dim=-1) for row in rows], dim=-2)
    identity = torch.eye(4, dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    inverse = torch.linalg.solve_triangular(matrix, identity, upper=False)
    return inverse.mT @ inverse


def _twice(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
