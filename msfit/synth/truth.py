"""What is known of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.fitting.in_memory import fit


@dataclass(frozen=True, eq=False)
class Truth:
    """Maps of a scene, (y, x), float32 unless said otherwise; NaN where nothing is known.

    Attributes
    ----------
    wavelengths : float64 array (band,)
        [nm].
    reflectance : array (y, x, band)
        Diffuse reflectance [1], of every pixel, background included.
    i_d, i_s : array
        Diffuse and specular shading [1] of every pixel: without noise the scene's reflectance is
        ``i_d reflectance + i_s``. White under ``i_d = 1`` is 1.
    albedo : array (y, x, 3)
        `reflectance` under D65 to the CIE 1931 observer, linear sRGB, white = 1.
    mask : bool array
        The face: skin, brows, lips and beard inside the canonical mesh; not eyes, nor what hair hides.
    normals : array (y, x, 3)
        Unit normals, x right, y up, z to the camera.
    depth : array
        Distance behind the middle of the head along the camera's axis [cm].
    f_mel, f_blood : float64 arrays
        Pigments [1] inside the mask. Mode "model": exact. Mode "measured": the least-squares fit of `reflectance`, free
        of noise, by the model and in the bounds that `attrs` name.
    scale, offset, rmse : float64 arrays
        That fit's other unknowns and its residual [1]: ``reflectance ~ scale r(f_mel, f_blood) + offset``. In the
        model's terms the scene's shading is therefore ``i_d scale`` and ``i_s + i_d offset``. Mode "model": 1, 0 and 0.
    attrs : mapping
        name, mode, model, bounds, seed, size, split, person, ita, ita_class, version.
    """

    wavelengths: np.ndarray
    reflectance: np.ndarray
    i_d: np.ndarray
    i_s: np.ndarray
    albedo: np.ndarray
    mask: np.ndarray
    normals: np.ndarray
    depth: np.ndarray
    f_mel: np.ndarray
    f_blood: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    rmse: np.ndarray
    attrs: Mapping[str, Any]


#: Maps that `fitted_pigments` returns, in this order.
PIGMENT_MAPS = ("f_mel", "f_blood", "scale", "offset", "rmse")


def fitted_pigments(
    reflectance: np.ndarray, wavelengths: np.ndarray, model: str, dtype: str = "float64"
) -> dict[str, np.ndarray]:
    """The fit of true reflectance (n, band) by a model in its `wide` bounds: `PIGMENT_MAPS`, (n,) each."""
    result = fit(reflectance, wavelengths, model=model, bounds="wide", dtype=dtype, device="cpu")
    return dict(zip(PIGMENT_MAPS, (result.f_mel, result.f_blood, result.i_d, result.i_s, result.rmse), strict=True))
