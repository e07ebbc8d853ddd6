"""Image formation, batched and differentiable: from maps, light and camera to a picture."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msfit.colour.cameras import CameraModel
from msfit.colour.illuminants import IlluminationModel
from msfit.colour.pipelines import pipeline as find_pipeline
from msfit.colour.pipelines import rgb_weights
from msfit.colour.spectra import standard_observer
from msfit.errors import InputError
from msfit.skin.models import REFERENCE_MODEL, get_model
from msfit.skin.registry import SkinModel

#: Largest melanosome and blood fractions of the heads' range [1], those of the released code.
HIGHEST_FRACTIONS = (0.43, 0.07)
#: Band centres of the released decoder [nm]. A skin model that holds on fewer is used on those inside its range.
BANDS = np.arange(400.0, 721.0, 10.0)
#: Spread evenly over u: nodes a side of the released code's table.
TABLE_NODES = 256
_LOWEST_U = 0.01

_Array = TypeVar("_Array", np.ndarray, Tensor)


def fractions(m: _Array, highest: float) -> _Array:
    """Volume fraction of a pigment from its head.

    ``f = highest u^3``, ``u = 0.01 + 0.99 (m + 1) / 2``: the spacing of the look-up table in the code that Alotaibi &
    Smith released with BioFaceNet (BMVC 2019).

    Parameters
    ----------
    m : array or tensor (...)
        -1..1.
    highest : float
        0.43 for melanin, 0.07 for blood: `HIGHEST_FRACTIONS`.

    Examples
    --------
    >>> fractions(np.array([-1.0, 1.0]), 0.43)
    array([4.3e-07, 4.3e-01])
    """
    u = _LOWEST_U + (1 - _LOWEST_U) * (m + 1) / 2
    return highest * u**3


def head_units(fraction: _Array, highest: float) -> _Array:
    """The head's m of a volume fraction: the inverse of `fractions`; -1.02 for no pigment at all.

    Its slope is infinite at zero: meant for truth, not for gradients.
    """
    u = (fraction / highest) ** (1 / 3)
    return 2 * (u - _LOWEST_U) / (1 - _LOWEST_U) - 1


class Decoder(nn.Module):
    """Pictures of skin under a light seen by a camera.

    ``rgb = i_d C r(f_mel, f_blood) + i_s C 1``, with C (3, band) the whole way from reflectance to linear RGB under
    light and camera: sensitivities, white balance, raw to XYZ, XYZ to RGB (`msfit.colour.pipelines`).

    A picture has one light and one camera and C is linear, so the spectra of a picture are never made: the table of
    reflectance is turned into one of colours, in which the pixels are looked up.

    Parameters
    ----------
    model : str
        Skin model.
    pipeline : {"neutral", "authors"}
        As of `msfit.colour.pipelines.pipeline`.
    nodes : int, optional
        Nodes a side of the table, evenly spread over m, between which colours run bilinearly. None: the exact model.

    Attributes
    ----------
    wavelengths : float64 array (band,)
        `BANDS` inside the skin model's range [nm].

    Raises
    ------
    InputError
        An unknown model or pipeline; fewer than 2 nodes.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, section 3.
    """

    observer: Tensor
    spectra: Tensor

    def __init__(
        self, model: str = REFERENCE_MODEL, pipeline: str = "neutral", nodes: int | None = TABLE_NODES
    ) -> None:
        super().__init__()
        if nodes is not None and nodes < 2:
            raise InputError(f"nodes: found {nodes}; expected 2 or more, or None for the exact model")
        self.model, self.pipeline, self.nodes = model, find_pipeline(pipeline), nodes
        low, high = get_model(model).wavelength_range
        self.wavelengths = BANDS[(low <= BANDS) & (high >= BANDS)]
        self.light, self.camera = IlluminationModel(self.wavelengths), CameraModel(self.wavelengths)
        self.register_buffer("observer", torch.from_numpy(standard_observer().on(self.wavelengths)), persistent=False)
        self.register_buffer(
            "spectra", _table(get_model(model), self.wavelengths.tobytes(), nodes or 2), persistent=False
        )

    def forward(
        self, m_mel: Tensor, m_blood: Tensor, i_d: Tensor, i_s: Tensor, lighting: Tensor, camera: Tensor
    ) -> Tensor:
        """The picture, from what a network says.

        Parameters
        ----------
        m_mel, m_blood : tensor (n, 1, y, x)
            -1..1.
        i_d, i_s : tensor (n, 1, y, x)
            Shading [1].
        lighting : tensor (n, 15)
            Parameters of `IlluminationModel`.
        camera : tensor (n, 2)
            Parameters of `CameraModel`.

        Returns
        -------
        tensor (n, 3, y, x)
            Linear RGB, not clipped, of the type of `m_mel`.
        """
        return self.picture(m_mel, m_blood, i_d, i_s, self.weights(lighting, camera))

    def weights(self, lighting: Tensor, camera: Tensor) -> Tensor:
        """C^T of lights (n, 15) and cameras (n, 2): tensor (n, band, 3)."""
        return rgb_weights(self.light(lighting), self.camera(camera), self.observer, self.pipeline)

    def picture(self, m_mel: Tensor, m_blood: Tensor, i_d: Tensor, i_s: Tensor, weights: Tensor) -> Tensor:
        """The picture under known `weights` (n, band, 3) or (1, band, 3); the rest as of `forward`."""
        white = weights.sum(1)[..., None, None].to(i_s)
        return i_d * self.colour(m_mel, m_blood, weights) + i_s * white

    def colour(self, m_mel: Tensor, m_blood: Tensor, weights: Tensor) -> Tensor:
        """Colour of the skin itself, (n, 3, y, x), under `weights`, (n, band, 3) or (1, band, 3)."""
        weights = weights.to(m_mel)
        if self.nodes is None:
            spectra = self._exact(m_mel[:, 0], m_blood[:, 0])
            return torch.einsum("nyxb,nbc->ncyx", spectra, weights.expand(len(m_mel), -1, -1))
        colours = torch.einsum("ijb,nbc->ncij", self.spectra.to(m_mel), weights)
        where = torch.stack([m_mel[:, 0], m_blood[:, 0]], dim=-1)
        return F.grid_sample(
            colours.expand(len(m_mel), -1, -1, -1), where, "bilinear", padding_mode="border", align_corners=True
        )

    def _exact(self, m_mel: Tensor, m_blood: Tensor) -> Tensor:
        """Reflectance (..., band) of the model itself."""
        return _reflectance(get_model(self.model), self.wavelengths, m_mel, m_blood)


@functools.lru_cache(4)
def _table(model: SkinModel, bands: bytes, nodes: int) -> Tensor:
    """Reflectance (m_blood, m_mel, band), as `grid_sample` reads x, the last axis, first."""
    m = torch.linspace(-1, 1, nodes, dtype=torch.float64)
    return _reflectance(model, np.frombuffer(bytes(bands)), m[None, :], m[:, None])


def _reflectance(model: SkinModel, wavelengths: np.ndarray, m_mel: Tensor, m_blood: Tensor) -> Tensor:
    pigments = (fractions(m, most) for m, most in zip((m_mel, m_blood), HIGHEST_FRACTIONS, strict=True))
    return model.at(wavelengths, m_mel.dtype, m_mel.device).reflectance(
        torch.stack(torch.broadcast_tensors(*pigments), dim=-1)
    )


def lighting_of_daylight(cct: float, certainty: float = 12.0) -> Tensor:
    """Parameters (15,) of `IlluminationModel` for daylight of a colour temperature [K], 4000-25000 excluded.

    `certainty` is how far daylight's weight stands above the others' before the softmax.
    """
    position = ((cct - 3000) / 1000 - 1) / 21
    if not 0 < position < 1:
        raise InputError(f"cct: found {cct:g} K; expected a temperature between 4000 and 25000 K")
    parameters: Any = torch.zeros(15)
    parameters[1], parameters[14] = certainty, float(np.log(position / (1 - position)))
    return parameters
