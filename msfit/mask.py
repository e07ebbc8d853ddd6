"""Finds skin in a picture by what blood does to its spectrum."""

from __future__ import annotations

import numpy as np

from msfit.data.cube import Cube
from msfit.errors import InputError, names_nearest
from msfit.io.extras import need
from msfit.skin.chromophores import extinction

_RANGE = (500.0, 650.0)  # nm: both bands of oxyhaemoglobin, the edge beyond them and the plateau after it
_FEWEST_BANDS = 7
_WIDEST_GAP = 25.0  # nm
_OXYGENATION = 0.75
# Limits of skin, in natural absorbance. 99.6 % of the 7,553 facial spectra of the International Skin Spectra Archive
# lie inside them; of the 24 patches of a ColorChecker, two of which imitate skin, none does.
_LEAST_CORRELATION = 0.5
_LEAST_BLOOD = 0.002  # of 1e4 cm^-1 / (mol/l)
_LEAST_FALL, _MOST_FALL = 0.25, 1.2  # over 100 nm
_LEAST_DIP = -0.06  # between the two bands of oxyhaemoglobin
# Skin that is darker than this share of the brightest lies in shadows where noise decides, or is hair.
_DARKEST = 0.08
_STRIP = 2**22  # samples that are looked at together
_REACH = 4  # pixels that the smoothing looks to each side
_SMALLEST = 0.0005  # of the picture: smaller patches are chance


@names_nearest
def skin_mask(cube: Cube) -> np.ndarray:
    """Find skin in a picture.

    Parameters
    ----------
    cube : Cube
        A picture (y, x, band) with at least 7 bands on 500-650 nm.

    Returns
    -------
    bool array (y, x)
        True on skin: inside the cube's own mask, without specks, and with holes of the size of a mole filled.

    Raises
    ------
    InputError
        No picture, or too few bands in that range.

    Notes
    -----
    The absorbance ``A = -ln r`` on 500-650 nm is the sum of a smooth part (melanin, scattering, the baseline; a
    parabola in wavelength) and of blood's bands, which is fitted to each pixel. Skin is where blood explains what the
    parabola leaves over, where the absorbance falls towards red as melanin's does, and where there is a dip at 560 nm
    between the two bands of oxyhaemoglobin (542 and 577 nm), which red dyes lack. None of the three depends on the
    strength of the light. Morphology then cleans the map.
    """
    if not isinstance(cube, Cube):
        raise InputError(f"cube: found {type(cube).__name__}; expected a Cube: msfit.Cube(values, wavelengths)")
    morphology = need("skimage.morphology", "mask")
    if len(cube.shape) != 2:
        raise InputError(f"mask auto: found {cube.shape[0]} spectra; expected a picture (y, x, band)")
    inside = np.flatnonzero((cube.wavelengths >= _RANGE[0]) & (cube.wavelengths <= _RANGE[1]))
    if inside.size < _FEWEST_BANDS or np.diff(cube.wavelengths[inside]).max() > _WIDEST_GAP:
        raise InputError(
            f"mask auto: {inside.size} bands on 500-650 nm; expected at least {_FEWEST_BANDS}, at most"
            f" {_WIDEST_GAP:g} nm apart: give a mask, an array or a file"
        )
    found = _candidates(cube.select_bands(inside))

    size = float(np.sqrt(found.size))
    found = morphology.opening(found, morphology.disk(max(1, round(size / 250))))
    found = _without_specks(found, max(_SMALLEST * found.size, 0.02 * np.max(_areas(found), initial=0)))
    found = np.logical_not(_without_specks(~found, (size / 40) ** 2))
    return found if cube.mask is None else found & cube.mask


def _candidates(part: Cube) -> np.ndarray:
    """Pixels (y, x) with the spectrum of skin, found strip by strip."""
    gaussian = need("skimage.filters", "mask").gaussian
    spectral, sound = np.zeros(part.shape, bool), np.zeros(part.shape, bool)
    red = np.zeros(part.shape, np.float32)
    height, strip = part.shape[0], max(1, _STRIP // (part.shape[1] * part.wavelengths.size))
    for first in range(0, height, strip):
        rows = slice(first, min(first + strip, height))
        start = max(0, first - _REACH)
        reflectance, usable = part.rows(slice(start, min(rows.stop + _REACH, height)))
        valid = np.logical_and(usable, reflectance > 0).all(axis=-1)
        # A pixel's neighbours lower its noise; those that are not valid have no part in it.
        weight = gaussian(valid.astype(np.float32), 1)
        filled = np.where(valid[..., None], reflectance, 0).astype(np.float32)
        smooth = gaussian(filled, 1, channel_axis=-1) / np.maximum(weight, 1e-6)[..., None]
        inner = slice(first - start, rows.stop - start)
        reflectance, smooth = reflectance[inner], smooth[inner]
        spectral[rows] = _looks_like_skin(smooth, part.wavelengths)
        red[rows] = smooth[..., -1]
        # skin beside a dark pixel does not make it skin
        sound[rows] = valid[inner] & (reflectance.mean(axis=-1) > 0.5 * smooth.mean(axis=-1))
    if not spectral.any():
        return spectral
    return sound & spectral & (red > _DARKEST * np.quantile(red[spectral], 0.95))


def _looks_like_skin(reflectance: np.ndarray, nm: np.ndarray) -> np.ndarray:
    absorbance = -np.log(np.maximum(reflectance, np.finfo(np.float32).tiny))
    t = (nm - nm.mean()) / 100
    smooth, _ = np.linalg.qr(np.stack([np.ones_like(t), t, t**2], axis=1))
    blood = _OXYGENATION * extinction("oxyhaemoglobin", nm) + (1 - _OXYGENATION) * extinction("deoxyhaemoglobin", nm)
    blood = blood / 1e4 - smooth @ (smooth.T @ blood) / 1e4
    left = absorbance - (absorbance @ smooth) @ smooth.T
    strength = left @ blood / (blood @ blood)
    correlation = strength * np.linalg.norm(blood) / np.maximum(np.linalg.norm(left, axis=-1), 1e-9)
    fall = -(absorbance @ np.linalg.pinv(np.stack([np.ones_like(t), t, t**2], axis=1)).T)[..., 1]
    first, dip, second = (_at(absorbance, nm, place) for place in (540.0, 560.0, 580.0))
    return (
        (correlation > _LEAST_CORRELATION)
        & (strength > _LEAST_BLOOD)
        & (fall > _LEAST_FALL)
        & (fall < _MOST_FALL)
        & ((first + second) / 2 - dip > _LEAST_DIP)
    )


def _at(values: np.ndarray, nm: np.ndarray, place: float) -> np.ndarray:
    right = int(np.clip(np.searchsorted(nm, place), 1, nm.size - 1))
    share = (place - nm[right - 1]) / (nm[right] - nm[right - 1])
    return values[..., right - 1] * (1 - share) + values[..., right] * share


def _areas(found: np.ndarray) -> np.ndarray:
    labels = need("skimage.measure", "mask").label(found, connectivity=1)
    return np.bincount(labels.ravel())[1:]


def _without_specks(found: np.ndarray, smallest: float) -> np.ndarray:
    labels = need("skimage.measure", "mask").label(found, connectivity=1)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return areas[labels] >= max(1.0, smallest)
