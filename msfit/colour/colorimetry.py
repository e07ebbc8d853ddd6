"""Colour of measured spectra: sums over 1 nm inside the measured range, folded into one weight a band and channel."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from msfit.colour.illuminants import illuminant as find_illuminant
from msfit.colour.pipelines import pipeline as find_pipeline
from msfit.colour.pipelines import rgb_weights as camera_weights
from msfit.colour.spectra import Spectrum, standard_observer
from msfit.colour.transforms import adaptation_matrix, d65_white, xyz_to_srgb_matrix
from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError

# With less than this share of each of x̄, ȳ, z̄ a picture shows other colours than the eye sees: 450-610 nm hold it.
_SMALLEST_SHARE_OF_OBSERVER = 0.5

_Array = TypeVar("_Array", np.ndarray, Tensor)


def xyz_weights(wavelengths: Any, illuminant: str | Spectrum = "D65") -> np.ndarray:
    """Weights that sum reflectance to tristimulus values: XYZ = reflectance @ weights.

    Reflectance is interpolated linearly to whole nanometres inside its own range; observer (CIE 1931, 1 nm) and
    illuminant (interpolated linearly) are cut to that range, and k = 1 / sum(S ȳ) over it. The ends that were not
    measured are left out, never filled.

    Parameters
    ----------
    wavelengths : array (band,)
        Those of the reflectance [nm], increasing.
    illuminant : str or Spectrum
        As of `msfit.colour.illuminants.illuminant`.

    Returns
    -------
    float64 array (band, 3)
        The weights of Y sum to 1; the sums of all three are the XYZ of white. Zero where a band is not needed.

    Raises
    ------
    InputError
        Wavelengths that hold less than half of x̄, ȳ or z̄; an unknown illuminant.

    References
    ----------
    CIE 15:2004, Colorimetry, section 7.
    """
    light, observer = find_illuminant(illuminant), standard_observer()
    grid = _shared_nanometres(wavelengths, light, observer)
    power = light.on(grid)[:, None] * observer.on(grid)
    return _fold(grid, power / power[:, 1].sum(), wavelengths)


def spectrum_to_xyz(reflectance: _Array, wavelengths: Any, illuminant: str | Spectrum = "D65") -> _Array:
    """XYZ (..., 3) of reflectance (..., band) under an illuminant, Y = 1 for white: see `xyz_weights`.

    A band that is not needed may be NaN. Numpy in, numpy out; torch in, torch out, differentiable.
    """
    return fold_bands(reflectance, xyz_weights(wavelengths, illuminant))


def rgb_weights(
    wavelengths: Any,
    illuminant: str | Spectrum = "D65",
    camera: Spectrum | None = None,
    *,
    adaptation: str = "xyz-scaling",
    pipeline: str = "neutral",
) -> np.ndarray:
    """Weights that sum reflectance to linear sRGB: RGB = reflectance @ weights.

    Parameters
    ----------
    wavelengths : array (band,)
        Those of the reflectance [nm], increasing.
    illuminant : str or Spectrum
        As of `msfit.colour.illuminants.illuminant`.
    camera : Spectrum, optional
        Sensitivities (node, 3). The CIE 1931 standard observer if absent.
    adaptation : {"xyz-scaling", "bradford"}
        From the illuminant's white to sRGB's, for the standard observer. Cameras have their white balance.
    pipeline : {"neutral", "authors"}
        For cameras, see `msfit.colour.pipelines.pipeline`.

    Returns
    -------
    float64 array (band, 3)
        Sums of 1 (white is white under any light), but for the pipeline "authors".

    Raises
    ------
    InputError
        As of `xyz_weights`; an unknown adaptation or pipeline.
    """
    if camera is None:
        weights = torch.from_numpy(xyz_weights(wavelengths, illuminant))
        adapt = adaptation_matrix(weights.sum(0), d65_white(), adaptation)
        return (weights @ (xyz_to_srgb_matrix() @ adapt).mT).numpy()
    light, observer = find_illuminant(illuminant), standard_observer()
    grid = _shared_nanometres(wavelengths, light, observer, camera)
    e, s, c = (torch.from_numpy(spectrum.on(grid)) for spectrum in (light, camera, observer))
    return _fold(grid, camera_weights(e, s, c, find_pipeline(pipeline)).numpy(), wavelengths)


def fold_bands(reflectance: _Array, weights: np.ndarray) -> _Array:
    """Reflectance (..., band) times weights (band, channel), reading only bands that carry weight."""
    used = np.flatnonzero(weights.any(axis=1))
    bands = slice(used[0], used[-1] + 1)
    if isinstance(reflectance, Tensor):
        return reflectance[..., bands] @ torch.from_numpy(weights[bands]).to(reflectance)
    return reflectance[..., bands] @ weights[bands]


def _shared_nanometres(wavelengths: Any, *spectra: Spectrum) -> np.ndarray:
    """Whole nanometres that the reflectance and all spectra cover, if they hold enough of the observer."""
    ranges = [check_wavelengths(wavelengths), *(spectrum.wavelengths for spectrum in spectra)]
    low, high = max(nodes.min() for nodes in ranges), min(nodes.max() for nodes in ranges)
    observer = standard_observer()
    inside = (observer.wavelengths >= low) & (observer.wavelengths <= high)
    share = (observer.values[inside].sum(axis=0) / observer.values.sum(axis=0)).min()
    if share < _SMALLEST_SHARE_OF_OBSERVER:
        shared_range = f"{low:g}-{high:g} nm" if low <= high else "no wavelength"
        raise InputError(
            f"wavelengths: data, light and camera share {shared_range}, too little of what the eye sees for a true "
            "colour; expected 450-610 nm at least, better 400-700 nm"
        )
    return np.arange(np.ceil(low), np.floor(high) + 1)


def _fold(grid: np.ndarray, weights: np.ndarray, wavelengths: Any) -> np.ndarray:
    """Weights on the grid (nm, channel) carried over to the bands between which reflectance is interpolated."""
    bands = np.asarray(wavelengths, dtype=np.float64)
    right = np.searchsorted(bands, grid, side="left").clip(1, bands.size - 1)
    share = ((grid - bands[right - 1]) / (bands[right] - bands[right - 1]))[:, None]
    folded = np.zeros((bands.size, weights.shape[1]))
    np.add.at(folded, right - 1, (1 - share) * weights)
    np.add.at(folded, right, share * weights)
    return folded
