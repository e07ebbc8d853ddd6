"""Colours of skin from its pigments, under one light and to one camera."""

from __future__ import annotations

import numpy as np
import torch

from biofacenet.result import FaceResult
from msfit.colour.cameras import CameraModel
from msfit.colour.colorimetry import rgb_weights
from msfit.colour.illuminants import IlluminationModel, illuminant
from msfit.colour.pipelines import pipeline
from msfit.colour.pipelines import rgb_weights as found_weights
from msfit.colour.spectra import standard_observer
from msfit.data.result import FitResult
from msfit.skin.models import get_model, reflectance

# Nodes a side, spaced as the cube of a line, since colours change most where there is little pigment.
_NODES = 96
# The darkest skin lies outside sRGB under some lights. A channel is at least this share of the largest and this much,
# so that ratios of colours are finite.
_LEAST, _DARKEST = 0.02, 1e-3


class SkinColour:
    """Linear sRGB of skin, positive, by bilinear interpolation in a table over f_mel and f_blood.

    Parameters
    ----------
    model : str
        Skin model.
    wavelengths : float array (band,)
        [nm].
    weights : float array (band, 3)
        From reflectance to linear sRGB.
    """

    def __init__(self, model: str, wavelengths: np.ndarray, weights: np.ndarray) -> None:
        self.weights = weights
        self.highest = np.array([parameter.wide[1] for parameter in get_model(model).parameters[:2]])
        nodes = np.linspace(0, 1, _NODES) ** 3
        f_mel, f_blood = np.meshgrid(nodes * self.highest[0], nodes * self.highest[1], indexing="ij")
        spectra = reflectance(f_mel.ravel(), f_blood.ravel(), wavelengths, model=model)
        table = (spectra @ weights).reshape(_NODES, _NODES, 3)
        least = _LEAST * table.max(axis=2, keepdims=True) + _DARKEST
        floored = torch.from_numpy(np.maximum(table, least).astype(np.float32))
        self._table = floored.permute(2, 0, 1)[None].contiguous()

    def __call__(self, f_mel: np.ndarray, f_blood: np.ndarray) -> np.ndarray:
        """Linear sRGB (..., 3) of volume fractions (...)."""
        # the last axis of the table, f_blood, is the first coordinate
        shares = np.stack([np.ravel(f_blood) / self.highest[1], np.ravel(f_mel) / self.highest[0]], axis=1)
        grid = torch.from_numpy(2 * np.cbrt(np.clip(shares, 0, 1)) - 1).float()[None, None]
        found = torch.nn.functional.grid_sample(self._table, grid, padding_mode="border", align_corners=True)
        colours = np.where(np.isfinite(shares).all(axis=1, keepdims=True), found[0, :, 0].numpy().T, np.nan)
        return np.ascontiguousarray(colours, np.float32).reshape(*np.shape(f_mel), 3)


def photo_weights(result: FitResult, light: str | None = None) -> np.ndarray:
    """From reflectance to linear sRGB in the camera that was found: float64 (band, 3).

    Parameters
    ----------
    result : FitResult
        A scene that was fitted is seen by the standard observer, under D65 if no light is named.
    light : str, optional
        A name or a file, see `msfit.colour.illuminants.illuminant`; the light that was found if absent. White stays
        white under any.
    """
    nm = np.asarray(result.wavelengths)
    if not isinstance(result, FaceResult):
        return rgb_weights(nm, light or "D65")
    observer = torch.from_numpy(standard_observer().on(nm))
    if light is None:
        spectrum = IlluminationModel(nm)(torch.as_tensor(result.lighting, dtype=torch.float64))
    else:
        spectrum = torch.from_numpy(illuminant(light).on(nm))
    numbers = torch.as_tensor(result.camera, dtype=torch.float64)
    camera = CameraModel(nm, numbers.shape[-1])(numbers)
    return np.asarray(found_weights(spectrum, camera, observer, pipeline("neutral")).numpy())
