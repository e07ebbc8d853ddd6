"""The networks: a picture in, maps of pigment and shading, light and camera out.

Two architectures under one configuration: `paper`, after Alotaibi & Smith, and `compact`, ours, smaller and faster.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biofacenet.networks.compact import Compact
from biofacenet.networks.gaussian import Gaussian
from biofacenet.networks.paper import Paper
from msfit.errors import InputError

ARCHITECTURES = ("compact", "gaussian", "paper")
_BODIES: dict[str, type[Compact] | type[Gaussian] | type[Paper]] = {
    "compact": Compact,
    "gaussian": Gaussian,
    "paper": Paper,
}
#: Numbers that steer the decoder's light and camera.
LIGHTING, CAMERA = 15, 2
# Of exp in the heads of the shadings: e^8 is far beyond any light, and its square still finite in half precision's sum.
_HIGHEST_LOGARITHM = 8.0


class Prediction(NamedTuple):
    """What a network says of pictures, in the type of its weights.

    The picture is `i_d` times the colour of the skin model's reflectance r(f_mel, f_blood) under light and camera, plus
    `i_s` times white: see `biofacenet.networks.decoder.Decoder`.
    """

    m_mel: Tensor
    """(n, 1, y, x) in [-1, 1]: melanin, see `biofacenet.networks.decoder.fractions`."""
    m_blood: Tensor
    """(n, 1, y, x) in [-1, 1]: blood."""
    i_d: Tensor
    """(n, 1, y, x) >= 0: diffuse shading [1], of FitResult's meaning."""
    i_s: Tensor
    """(n, 1, y, x) >= 0: specular shading [1], of FitResult's meaning."""
    lighting: Tensor
    """(n, 15): parameters of `msfit.colour.illuminants.IlluminationModel`."""
    camera: Tensor
    """(n, 2) in [-3, 3]: parameters of `msfit.colour.cameras.CameraModel`."""
    scale: Tensor | None = None
    """(n, 1, y, x), 0..1: with `offset`, measured skin from the model's, ``scale r + offset``. None of `paper`."""
    offset: Tensor | None = None
    """(n, 1, y, x) >= 0: what the skin model leaves to its specular shading [1]."""
    precision: Tensor | None = None
    """(n, 10, y, x): how sure the four maps are, see `biofacenet.networks.gaussian`. Of `gaussian`, as the rest."""
    cast: Tensor | None = None
    """(n, 2): natural logarithm of the gains of red and blue over green that the camera's white balance left."""
    cast_std: Tensor | None = None
    """(n, 2): standard deviations of `cast`."""
    level_std: Tensor | None = None
    """(n, 4): of the means over the face of m_mel, m_blood, log i_d, and i_s over i_d: what no pixel averages out."""


# A level of so many filters has some ten million weights; the networks that are known have half as many at most.
_MOST_LEVELS, _WIDEST = 8, 1024


@dataclass(frozen=True)
class NetworkConfig:
    """What defines a network besides its weights.

    Attributes
    ----------
    architecture : {"compact", "gaussian", "paper"}
    widths : tuple of int
        Filters of the levels, finest first. Empty: those the architecture is known by.

    Raises
    ------
    InputError
        Another architecture; widths that are not positive whole numbers.
    """

    architecture: str = "compact"
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"architecture: found {self.architecture!r}; expected one of {', '.join(ARCHITECTURES)}")
        default = _BODIES[self.architecture].WIDTHS
        widths = tuple(self.widths) or default
        whole = all(isinstance(width, int) and not isinstance(width, bool) for width in widths)
        if not 2 <= len(widths) <= _MOST_LEVELS or not whole or not all(1 <= width <= _WIDEST for width in widths):
            raise InputError(
                f"widths: found {str(self.widths)[:60]}; expected 2 to {_MOST_LEVELS} whole numbers up to {_WIDEST},"
                f" such as {default}"
            )
        object.__setattr__(self, "widths", widths)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "widths": list(self.widths)}


class BioFaceNet(nn.Module):
    """Pictures of any size to maps of that size.

    Parameters
    ----------
    config : NetworkConfig, optional
        `compact` if absent.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.body: Compact | Gaussian | Paper = _BODIES[self.config.architecture](self.config.widths)

    def forward(self, rgb: Tensor, overview: Tensor | None = None) -> Prediction:
        """Take pictures apart.

        Parameters
        ----------
        rgb : tensor (n, 3, y, x)
            Linear sRGB, white = 1; clipped to 0..1, as a photograph is.
        overview : tensor (n, number), optional
            What the body's `overview` says of the whole pictures of which these are parts.

        Returns
        -------
        Prediction

        Raises
        ------
        InputError
            Another shape, or no pixels.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3 or 0 in rgb.shape:
            raise InputError(f"rgb: found shape {tuple(rgb.shape)}; expected (n, 3, height, width) with pixels")
        height, width = rgb.shape[-2:]
        padding = (0, -width % self.body.step, 0, -height % self.body.step)
        light = F.pad(rgb.clamp(0, 1), padding, mode="replicate") if any(padding) else rgb.clamp(0, 1)
        maps, numbers = self.body(light, overview)
        # heads and what follows in full precision, whatever the convolutions were done in
        heads = maps[..., :height, :width].float() if maps.dtype != torch.float64 else maps[..., :height, :width]
        numbers = numbers.to(heads.dtype)
        m_mel, m_blood, i_d, i_s, *rest = heads[:, :6].split(1, dim=1)
        scale, offset = map(torch.sigmoid, rest) if rest else (None, None)
        camera_end = LIGHTING + CAMERA
        whole = numbers[:, camera_end:] if numbers.shape[1] > camera_end else None
        return Prediction(
            m_mel=2 * torch.sigmoid(m_mel) - 1,
            m_blood=2 * torch.sigmoid(m_blood) - 1,
            i_d=torch.exp(i_d.clamp(max=_HIGHEST_LOGARITHM)),
            i_s=torch.exp(i_s.clamp(max=_HIGHEST_LOGARITHM)),
            lighting=numbers[:, :LIGHTING],
            camera=6 * torch.sigmoid(numbers[:, LIGHTING:camera_end]) - 3,
            scale=scale,
            offset=offset,
            precision=None if whole is None else heads[:, 6:],
            cast=None if whole is None else whole[:, :2],
            cast_std=None if whole is None else whole[:, 2:4].clamp(-6, 2).exp(),
            level_std=None if whole is None else whole[:, 4:].clamp(-6, 2).exp(),
        )
