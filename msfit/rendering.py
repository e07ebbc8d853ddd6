"""Pictures of scenes and of fits: under any light, to the standard observer or any camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from msfit.colour.cameras import check_sensitivities, mean_camera, read_sensitivities
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.colour.illuminants import illuminant as find_illuminant
from msfit.colour.spectra import Spectrum
from msfit.colour.transforms import encode_srgb
from msfit.data.cube import Cube
from msfit.data.result import FitResult
from msfit.errors import InputError, names_nearest
from msfit.skin.models import reflectance

# Samples read at a time: blocks of rows of about 32 MiB in float64.
_SAMPLES_A_BLOCK = 1 << 22


@names_nearest
def render(
    cube_or_result: Cube | FitResult,
    illuminant: str | Path | Spectrum | np.ndarray = "D65",
    camera: str | Path | Spectrum | np.ndarray = "cie1931",
    *,
    what: str = "appearance",
    srgb: bool = False,
    adaptation: str = "xyz-scaling",
    pipeline: str = "neutral",
) -> np.ndarray:
    """Render a scene, or a fit of one, to an RGB picture.

    Spectra are summed at 1 nm inside the measured range, see `msfit.colour.colorimetry.xyz_weights`; white is white
    under any light.

    Parameters
    ----------
    cube_or_result : Cube or FitResult
        A cube is rendered from its reflectance, its mask left aside.
    illuminant : str, Path, Spectrum or array (band,)
        A name ("D65", "A", "E", "D5000", "F2", ...), a CSV file (wavelength [nm], relative power), or the relative
        power on the wavelengths of the cube or result.
    camera : str, Path, Spectrum or array (band, 3)
        "cie1931" (the standard observer), "mean" (of 52 measured cameras), a file of sensitivities (rawtoaces JSON, or
        CSV with wavelength [nm], R, G, B), or sensitivities on the wavelengths of the cube or result.
    what : {"appearance", "albedo"}
        Of a result: i_d r + i_s, or r alone.
    srgb : bool
        Encode for display: clipped to 0..1, sRGB curve, NaN (masked pixels) black.
    adaptation : {"xyz-scaling", "bradford"}
        Of the standard observer to the light: von Kries scaling in XYZ, or Bradford's.
    pipeline : {"neutral", "authors"}
        Of a camera, see `msfit.colour.pipelines.pipeline`.

    Returns
    -------
    float array (y, x, 3) or (pixel, 3)
        Linear sRGB, white = 1, not clipped: out-of-gamut colours are negative. float64 if the input is, else float32.
        A pixel with a non-finite sample among the bands that are needed is NaN.

    Raises
    ------
    InputError
        An unknown illuminant, camera or option; wavelengths that do not hold enough of visible light; an albedo of a
        cube.

    Examples
    --------
    >>> gray = Cube(np.full((2, 2, 31), 0.18), np.arange(400, 701, 10))
    >>> render(gray, "A")[0, 0].round(6).tolist()
    [0.18, 0.18, 0.18]
    """
    if not isinstance(cube_or_result, Cube | FitResult):
        raise InputError(f"cube_or_result: found {type(cube_or_result).__name__}; expected a Cube or a FitResult")
    weights = _weights(cube_or_result.wavelengths, illuminant, camera, adaptation, pipeline)
    if what not in ("appearance", "albedo"):
        raise InputError(f"what: found {what!r}; expected 'appearance' or 'albedo'")
    if isinstance(cube_or_result, FitResult):
        image = _of_result(cube_or_result, weights, albedo=what == "albedo")
    elif what == "appearance":
        image = _of_cube(cube_or_result, weights)
    else:
        raise InputError("what: 'albedo' of a cube; expected a FitResult: fit the cube first")
    return to_display(image) if srgb else image


def to_display(linear: np.ndarray) -> np.ndarray:
    """Encode linear RGB for display: clipped to 0..1, sRGB curve, NaN black; of the shape and type of `linear`."""
    return encode_srgb(torch.from_numpy(np.nan_to_num(linear, nan=0.0))).numpy()


def _weights(wavelengths: np.ndarray, illuminant: Any, camera: Any, adaptation: str, pipeline: str) -> np.ndarray:
    """Band weights (band, 3) of light and camera."""
    if not isinstance(illuminant, str | Path | Spectrum):
        illuminant = Spectrum(wavelengths, illuminant, "illuminant")
    light = find_illuminant(illuminant)
    if isinstance(camera, str) and camera == "cie1931":
        if pipeline != "neutral":
            raise InputError(f"pipeline: {pipeline!r} with the standard observer; it is of a camera: name one")
        return rgb_weights(wavelengths, light, adaptation=adaptation)
    if adaptation != "xyz-scaling":
        raise InputError(f"adaptation: {adaptation!r} with a camera, which has its white balance; leave it out")
    return rgb_weights(wavelengths, light, _camera(wavelengths, camera), pipeline=pipeline)


def _camera(wavelengths: np.ndarray, camera: Any) -> Spectrum:
    if isinstance(camera, str) and camera == "mean":
        return mean_camera()
    if isinstance(camera, str | Path):
        if not Path(camera).is_file():
            raise InputError(f"camera: {str(camera)!r} is neither a name nor a file; expected cie1931, mean, or a file")
        return read_sensitivities(camera)
    return check_sensitivities(camera if isinstance(camera, Spectrum) else Spectrum(wavelengths, camera, "camera"))


def _of_cube(cube: Cube, weights: np.ndarray) -> np.ndarray:
    dtype = np.float64 if cube.values.dtype == np.float64 else np.float32
    image = np.empty((*cube.shape, 3), dtype)
    for rows in _blocks(cube.shape, len(weights)):
        image[rows] = fold_bands(cube.rows(rows)[0], weights)
    return image


def _of_result(result: FitResult, weights: np.ndarray, *, albedo: bool) -> np.ndarray:
    image = np.empty((*result.shape, 3), result.f_mel.dtype)
    for rows in _blocks(result.shape, len(weights)):
        extra = {name: values[rows] for name, values in result.extra.items()}
        skin = reflectance(result.f_mel[rows], result.f_blood[rows], result.wavelengths, model=result.model, **extra)
        colour = fold_bands(skin, weights)
        if not albedo:
            # Without diffuse light the pigments are unknown (NaN), and do not matter.
            i_d = result.i_d[rows, ..., None]
            grey = result.i_s[rows, ..., None]
            if (misfit := getattr(result, "misfit", None)) is not None:  # of photographs, see biofacenet.FaceResult
                grey = grey + i_d * misfit[rows, ..., None]
            colour = np.where(i_d == 0, 0, i_d * colour) + grey * weights.sum(axis=0)
        image[rows] = colour
    return image


def _blocks(shape: tuple[int, ...], bands: int) -> list[slice]:
    a_row = bands * int(np.prod(shape[1:]))
    step = max(1, _SAMPLES_A_BLOCK // max(1, a_row))
    return [slice(start, start + step) for start in range(0, shape[0], step)]
