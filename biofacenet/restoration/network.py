"""The restoration network: a residual U-Net that also says what the picture suffered and how far to trust it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biofacenet.networks.compact import Compact, seen
from biofacenet.restoration.degradation import Degradation
from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError

# (n, 4) numbers of a degradation are log(1 + blur), factor - 1, noise and 100 - quality, over these.
_SCALES = (1.0, 3.0, 10.0, 40.0)
# Logarithm of the error that an untrained network expects of itself, and its range.
_FIRST_LOG, _LEAST_LOG, _MOST_LOG = -4.0, -7.0, 0.0
_LARGEST_WIDTH = 1024


@dataclass(frozen=True)
class RestorerConfig:
    """Size of a network.

    Attributes
    ----------
    widths : tuple of int
        Channels at a half, a quarter, ... of the resolution.
    """

    widths: tuple[int, ...] = Compact.WIDTHS

    def __post_init__(self) -> None:
        if not self.widths or not all(isinstance(w, int) and 1 <= w <= _LARGEST_WIDTH for w in self.widths):
            raise InputError(f"network.widths: found {self.widths}; expected integers from 1 to {_LARGEST_WIDTH}")

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Estimate(NamedTuple):
    """What a network says of pictures.

    Attributes
    ----------
    display : tensor (n, 3, y, x)
        The restored picture, sRGB display values, not clipped.
    scale : tensor (n, 1, y, x)
        Mean absolute error of a channel that the network expects of itself [display values of 1].
    numbers : tensor (n, 4)
        The degradation, see `degradations`.
    """

    display: Tensor
    scale: Tensor
    numbers: Tensor


class Restorer(nn.Module):
    """The U-Net that takes faces apart (`Compact`), told of holes, with a head for what is to be added to the picture.

    It may begin with the weights of a network that takes faces apart, whose features know faces made worse (`adopt`).
    What the whole picture says steers the decoder, so that it restores as much as the picture suffered; the numbers of
    the degradation come from the means of all levels.
    """

    def __init__(self, config: RestorerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RestorerConfig()
        self.body = Compact(config.widths)
        # heads for maps and light are not needed
        del self.body.heads, self.body.numbers
        self.step = self.body.step
        first, fine = config.widths[0], max(1, config.widths[0] // 2)
        self.hole = nn.Conv2d(4, first, 3, padding=1)
        self.head = nn.Conv2d(fine, 4, 3, padding=1)
        self.numbers = nn.Sequential(nn.Linear(2 * sum(config.widths), 64), nn.ReLU(), nn.Linear(64, 4))
        for layer in (self.hole, self.head):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.hole.weight)
        nn.init.normal_(self.head.weight, std=1e-3)

    def adopt(self, body: Compact) -> None:
        """Begin with the features of a trained network of the same widths."""
        own = self.body.state_dict()
        self.body.load_state_dict({name: value for name, value in body.state_dict().items() if name in own})

    def forward(self, display: Tensor, hole: Tensor, overview: Tensor | None = None) -> Estimate:
        """Restore pictures (n, 3, y, x), display values, with holes (n, 1, y, x); sides are multiples of `step`.

        `overview` as of `overview`, where this is a tile of a picture.
        """
        body, picture = self.body, seen(decode_srgb(display))
        levels = self._encoded(picture, hole)
        features = levels[-1]
        context = body.overview(features) if overview is None else overview
        for up, steer, level, beside in zip(body.up, body.steer, body.decoder, levels[-2::-1], strict=True):
            above = F.interpolate(up(features), scale_factor=2, mode="nearest")
            gain, shift = steer(context)[..., None, None].chunk(2, dim=1)
            features = level((1 + gain) * (above + beside) + shift)
        fine = body.refine(F.pixel_shuffle(body.widen(features), 2) + body.detail(picture))
        told = self.head(fine)
        scale = torch.exp((told[:, 3:] + _FIRST_LOG).clamp(_LEAST_LOG, _MOST_LOG))
        return Estimate(display + told[:, :3], scale, self.numbers(statistics(levels)))

    def overview(self, display: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """What a whole picture says: the context (n, c) of its tiles, and the degradation's numbers (n, 4)."""
        levels = self._encoded(seen(decode_srgb(display)), hole)
        return self.body.overview(levels[-1]), self.numbers(statistics(levels))

    def _encoded(self, picture: Tensor, hole: Tensor) -> list[Tensor]:
        features = self.body.stem(F.pixel_unshuffle(picture, 2)) + self.hole(F.pixel_unshuffle(hole, 2))
        levels: list[Tensor] = []
        for number, level in enumerate(self.body.encoder):
            features = level(F.max_pool2d(features, 2) if number else features)
            levels.append(features)
        return levels


def statistics(levels: list[Tensor]) -> Tensor:
    """Means and standard deviations of features, (n, 2 channels)."""
    parts = [part for level in levels for part in (level.mean((-2, -1)), level.std((-2, -1), unbiased=False))]
    return torch.cat(parts, dim=1)


def numbers_of(done: list[Degradation]) -> Tensor:
    """Targets (n, 4) of `Estimate.numbers`."""
    rows = [(one.blur, one.factor - 1, one.noise, 100 - one.quality) for one in done]
    told = torch.tensor(rows, dtype=torch.float32)
    told[:, 0] = torch.log1p(told[:, 0])
    return told / torch.tensor(_SCALES)


def degradations(numbers: Tensor) -> list[Degradation]:
    """What `Estimate.numbers` mean, in the range that can be."""
    told = numbers.detach().cpu() * torch.tensor(_SCALES)
    blur, factor, noise, loss = told.T
    rows = (torch.expm1(blur).clamp(0, 20), 1 + factor.clamp(0, 16), noise.clamp(0, 60), 100 - loss.clamp(0, 99))
    return [Degradation(*row) for row in torch.stack(rows, dim=1).tolist()]
