"""What a `Cube` refuses: arrays that are no spectra, no light, no mask, or in another unit than stated."""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.data.lazy_arrays import is_lazy, read_rows
from msfit.data.low_rank import LinearSpectra
from msfit.errors import InputError

# A diffuse surface reflects at most 1 and skin at most about 0.8; only glints and lamps go higher, in few pixels.
_LARGEST_REFLECTANCE = 2.0
_SCALE_QUANTILE = 0.9
_SCALE_PIXELS = 4096
# Of radiance to light, the median of the pixels in full light: more than reflectance, as light may have been measured
# where it is dimmer than at the surface; less than skin in percent.
_LARGEST_RATIO = 3.0
_MASK_AT_ONCE = 2**22  # pixels of a mask that are looked at together
_FULL_LIGHT = 0.1  # of the brightest light


def check_values(values: Any) -> Any:
    """Values (y, x, band) or (pixel, band) as an array, if they are real numbers; masked samples become NaN."""
    if np.ma.isMaskedArray(values):  # a masked sample is one that is not known
        if values.dtype.kind in "ui":  # of which the largest is saturated
            values = np.ma.masked_equal(values, np.iinfo(values.dtype).max).astype(np.float64)
        values = np.ma.filled(values, np.nan)
    found = _as_array(values)
    if found.ndim not in (2, 3) or found.dtype.kind not in "uif":
        raise InputError(
            f"values: found {found.dtype} of shape {tuple(found.shape)};"
            " expected real numbers (y, x, band) or (pixel, band)"
        )
    if 0 in found.shape:
        raise InputError(
            f"values: found an empty array of shape {tuple(found.shape)}; expected at least one pixel and one band"
        )
    if np.isnan(found.shape).any():
        raise InputError(
            "values: found a dask array with chunks of unknown size; expected known ones: call compute_chunk_sizes()"
        )
    return found


def check_spectrum(name: str, spectrum: Any, shape: tuple[int, ...]) -> Any:
    """An illuminant or dark reference as an array (band,) or of the shape of the values."""
    found = _as_array(spectrum)
    bands = shape[-1]
    if found.ndim == 0 and name == "dark":
        found = np.broadcast_to(found, (bands,))
    if found.ndim > 1 and found.size == bands and not isinstance(found, LinearSpectra):
        found = found.reshape(bands)
    if found.dtype.kind not in "uif" or tuple(found.shape) not in ((bands,), shape):
        raise InputError(
            f"{name}: found {found.dtype} of shape {tuple(found.shape)};"
            f" expected one number a band ({bands},) or a sample {shape}"
        )
    if name == "illuminant" and not is_lazy(found) and not any((np.asarray(part) > 0).any() for part in found):
        raise InputError("illuminant: no positive value; expected the spectral power of the light")
    return found


def check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask as truth values of that shape, from these or numbers 0 and 1, or 0 and 255. A lazy one is computed."""
    found = np.ma.filled(mask, False) if np.ma.isMaskedArray(mask) else _as_array(mask)
    if found.shape != shape or found.dtype.kind not in "buif":
        raise InputError(f"mask: found shape {found.shape} of {found.dtype}; expected {shape}, one truth value a pixel")
    if found.dtype.kind == "b" and not is_lazy(found):
        return np.array(found)
    # row by row: a mask of a picture larger than memory takes one byte a pixel, whatever its type in the file
    step = max(1, _MASK_AT_ONCE // max(1, int(np.prod(shape[1:]))))
    mask_of = np.empty(shape, bool)
    true: float | None = None
    for start in range(0, shape[0], step):
        rows = slice(start, start + step)
        part = read_rows(found, rows, "mask")
        if part.dtype.kind != "b":
            others = part[(part != 0) & (part != 1) & (part != 255)]
            values = [float(value) for value in (1, 255) if (part == value).any()]
            if others.size or len(values) > 1 or (true is not None and values not in ([], [true])):
                other = others.flat[0] if others.size else 255
                raise InputError(f"mask: found {other:g}; expected True and False, 0 and 1, or 0 and 255")
            true = values[0] if values else true
        mask_of[rows] = part != 0
    return mask_of


def check_scale(values: Any, illuminant: Any, dark: Any, mask: np.ndarray | None) -> None:
    """Refuse reflectance in percent or counts, and radiance far above what its light allows.

    Looks at some thousand pixels inside the mask, of a lazy array at those of the row in the middle.
    """
    parts = [part for part in (values, illuminant, dark) if part is not None]
    if any(_lazy(part) for part in parts):
        index: tuple[slice, ...] = (slice(values.shape[0] // 2, values.shape[0] // 2 + 1),)
    else:
        axes = values.ndim - 1
        step = max(1, int(np.ceil((values[..., 0].size / _SCALE_PIXELS) ** (1 / axes))))
        index = (slice(None, None, step),) * axes
    wanted = slice(None) if mask is None or not mask[index].any() else mask[index].ravel()

    def pixels(part: Any) -> np.ndarray:
        """Those of the sample, (n, band), or the one spectrum of all, (1, band)."""
        if part.ndim == 1:
            return np.asarray(part, np.float64)[None]
        found = read_rows(part, index[0]) if _lazy(part) else np.asarray(part[index])
        return found.reshape(-1, part.shape[-1])[wanted].astype(np.float64)

    seen = pixels(values)
    if illuminant is None:
        levels = _levels(seen)
        levels = levels[levels > 0]
        if levels.size and (level := np.quantile(levels, _SCALE_QUANTILE)) > _LARGEST_REFLECTANCE:
            raise InputError(
                f"values: around {level:.3g}; expected reflectance in fractions of 1: divide percent by 100;"
                " radiance and counts need the light: give an illuminant or a white reference (white)"
            )
        return
    light = pixels(illuminant)
    light = np.where(light > 0, light, np.nan)
    power = np.nan_to_num(_levels(light))
    lit = np.broadcast_to(power >= _FULL_LIGHT * power.max(), len(seen))
    ratios = _levels(((seen if dark is None else seen - pixels(dark)) / light)[lit])
    ratios = ratios[ratios > 0]
    if ratios.size and (ratio := np.median(ratios)) > _LARGEST_RATIO:
        raise InputError(
            f"values: around {ratio:.3g} times the illuminant; expected about 1 or less, both being in one unit: divide"
            " percent by 100, or give the light that falls on the surface"
        )


def _levels(pixels: np.ndarray) -> np.ndarray:
    """The median of each pixel's finite samples, (n,); NaN where there are none."""
    known = np.isfinite(pixels)
    levels = np.full(len(pixels), np.nan)
    some = known.any(axis=1)
    levels[some] = np.nanmedian(np.where(known, pixels, np.nan)[some], axis=1)
    return levels


def _as_array(values: Any) -> Any:
    return values if _lazy(values) or isinstance(values, LinearSpectra) else np.asarray(values)


def _lazy(values: Any) -> bool:
    return not isinstance(values, np.ndarray) and is_lazy(values)


def check_widths(fwhm: Any, bands: int) -> np.ndarray:
    """Full widths at half maximum as float64 (band,), refused unless positive and one a band."""
    widths = np.asarray(fwhm, np.float64)
    if widths.shape != (bands,):
        raise InputError(f"fwhm: found {widths.size} for {bands} bands; expected one a band")
    if not (np.isfinite(widths).all() and (widths > 0).all()):
        raise InputError(f"fwhm: found {np.min(widths):g}; expected widths greater than 0 nm")
    return widths
