"""What is looked at of a scene: a window of it in memory, the bands of the model, and the skin in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msfit.data.cube import Cube
from msfit.data.result import FitResult, Status
from msfit.errors import InputError
from msfit.fitting.options import FitOptions
from msfit.fitting.plan import prepare
from msfit.fitting.rows import collect, fit_all
from msfit.mask import skin_mask

#: Fewest pixels of skin (or spectra) that bands are judged by.
FEWEST = 50
_SIDE = 1024  # pixels: of a larger picture a window about the middle of the skin is read
_BRIGHT = 0.25  # of the 95th percentile: what is taken for lit where no skin is found
_SKIN = 0.004  # of the picture: less is taken for no skin
_BLOOD = (500.0, 650.0)  # nm: where `skin_mask` looks
_DIMMEST = 0.02  # i_d: below it a residual says nothing


@dataclass(frozen=True, eq=False)
class Sample:
    """Reflectance of a window, with what it was computed from.

    Attributes
    ----------
    reflectance : float32 array (y, x, band) or (pixel, band)
        [1], NaN where a sample is missing, saturated or unlit.
    raw : float array of the same shape
        The file's numbers less dark.
    light : float64 array (band,)
        Median of the illuminant over the window, 1 where there is none.
    wavelengths : float64 array (band,)
        [nm], those on which the model holds.
    mask : bool array (y, x) or (pixel,)
        What is taken for skin.
    is_skin : bool
        False where no skin was found and all lit pixels were taken.
    origin : tuple of int
        Row and column of the window's first pixel.
    """

    reflectance: np.ndarray
    raw: np.ndarray
    light: np.ndarray
    wavelengths: np.ndarray
    mask: np.ndarray
    is_skin: bool
    origin: tuple[int, int]

    @property
    def is_picture(self) -> bool:
        """Whether the pixels are a picture's, so that they have neighbours."""
        return self.mask.ndim == 2


def take_sample(cube: Cube, holds: tuple[float, float], mask: np.ndarray | None) -> Sample:
    """Read the window and find skin in it.

    Parameters
    ----------
    cube : Cube
    holds : (float, float)
        Where the model holds [nm].
    mask : bool array (y, x) or (pixel,), optional
        Skin; else the cube's own mask, else what `skin_mask` finds.

    Raises
    ------
    InputError
        Fewer than 8 bands in the model's range; too few lit pixels.
    """
    inside = np.flatnonzero((cube.wavelengths >= holds[0]) & (cube.wavelengths <= holds[1]))
    if inside.size < 8:
        raise InputError(
            f"bands: {inside.size} of {cube.wavelengths.size} inside {holds[0]:g}-{holds[1]:g} nm; expected 8"
        )
    cube = cube.select_bands(inside)
    mask = cube.mask if mask is None else mask
    if len(cube.shape) == 1:
        step = max(1, cube.shape[0] // (1 << 17))
        rows: tuple[slice, ...] = (slice(0, None, step),)
    else:
        rows = _window(cube, mask)
    reflectance, raw, light = _read(cube, rows)
    window = Cube(reflectance, cube.wavelengths) if mask is None else None
    chosen, is_skin = (np.asarray(mask)[rows], True) if window is None else _skin(window)
    lit = np.isfinite(reflectance).sum(axis=-1) >= 8
    chosen = chosen & lit
    if np.count_nonzero(chosen) < FEWEST:
        raise InputError(f"mask: {np.count_nonzero(chosen)} lit pixels; expected at least {FEWEST} to judge bands by")
    origin = (rows[0].start or 0, rows[1].start or 0) if len(rows) == 2 else (0, 0)
    return Sample(reflectance, raw, light, cube.wavelengths, chosen, is_skin, origin)


def fitted(sample: Sample, bands: np.ndarray, model: str, mask: np.ndarray | None = None) -> FitResult:
    """A fit of some bands (indices) of a sample, all of its lit pixels or those of `mask`; nothing is warned of."""
    cube = Cube(sample.reflectance[..., bands], sample.wavelengths[bands], mask=mask)
    prepared = prepare(cube, FitOptions.of("fit", {"model": model, "bands": _range(cube.wavelengths)}))
    return collect(prepared, fit_all(prepared, None), {})


def predicted(result: FitResult, wavelengths: np.ndarray, model: str) -> np.ndarray:
    """What a fit of some bands says of all (..., band), NaN where a pixel was not fitted or has no diffuse light."""
    from msfit.skin.models import reflectance

    i_d, i_s = (np.asarray(values)[..., None] for values in (result.i_d, result.i_s))
    skin = reflectance(result.f_mel, result.f_blood, wavelengths, model=model)
    return np.asarray(np.where(i_d > 0, i_d * skin + i_s, np.nan), np.float32)


def usable_pixels(result: FitResult) -> np.ndarray:
    """Bool array: pixels whose fit converged with enough diffuse light to be compared with."""
    status = np.asarray(result.status)
    return (status < Status.NO_DIFFUSE) & (np.nan_to_num(np.asarray(result.i_d)) > _DIMMEST)


def _range(wavelengths: np.ndarray) -> tuple[float, float]:
    return float(wavelengths[0]), float(wavelengths[-1])


def _window(cube: Cube, mask: np.ndarray | None) -> tuple[slice, slice]:
    """Rows and columns that are read: all of a small picture, of a large one a window about the skin."""
    height, width = cube.shape
    if height <= _SIDE and width <= _SIDE:
        return slice(0, height), slice(0, width)
    centre = [height // 2, width // 2]
    if mask is not None and mask.any():
        centre = [int(np.median(place)) for place in np.nonzero(mask)]
    starts = [
        max(0, min(middle - _SIDE // 2, length - _SIDE)) for middle, length in zip(centre, cube.shape, strict=True)
    ]
    return slice(starts[0], min(starts[0] + _SIDE, height)), slice(starts[1], min(starts[1] + _SIDE, width))


def _read(cube: Cube, rows: tuple[slice, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from msfit.data.lazy_arrays import read_rows

    cut = (slice(None), *rows[1:])
    values, usable = cube.rows(rows[0])
    values, usable = values[cut], usable[cut]
    raw = np.asarray(read_rows(cube.values, rows[0]), np.float32)[cut]
    if cube.dark is not None:
        dark = np.asarray(read_rows(cube.dark, rows[0]))
        raw = raw - (dark[cut] if dark.ndim > 1 else dark)
    light = np.ones(cube.wavelengths.size)
    if cube.illuminant is not None:
        own = np.asarray(read_rows(cube.illuminant, rows[0]), np.float64)
        light = np.nanmedian(own[cut].reshape(-1, own.shape[-1]), axis=0) if own.ndim > 1 else own
    return np.where(usable, values, np.nan).astype(np.float32), raw, np.maximum(light, 1e-300)


def _skin(window: Cube) -> tuple[np.ndarray, bool]:
    """Skin, or what is lit where none is found.

    One bad band can hide all skin from `skin_mask`: then each band that it looks at is left out in turn.
    """
    values = window.values
    level = np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=-1)
    lit = level > _BRIGHT * np.nanpercentile(level, 95)
    if len(window.shape) == 1:
        return lit, True
    looked_at = np.flatnonzero((window.wavelengths >= _BLOOD[0]) & (window.wavelengths <= _BLOOD[1]))
    best = np.zeros(window.shape, bool)
    for left_out in (None, *looked_at):
        bands = np.delete(np.arange(window.wavelengths.size), [] if left_out is None else left_out)
        try:
            found = skin_mask(window.select_bands(bands))
        except InputError as refused:
            if "package" in str(refused):
                raise
            break
        if left_out is None and found.mean() > 10 * _SKIN:
            return found, True
        best = found if found.sum() > 1.5 * best.sum() else best
    return (best, True) if best.mean() > _SKIN else (lit, False)
