"""Spectra on a picture: values, wavelengths, light and mask in one checked object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.errors import InputError

if TYPE_CHECKING:
    import xarray

# Wavelengths below this are taken for micrometres (or metres): optical nanometre scales start above 100.
_SMALLEST_NM = 100.0
_LARGEST_NM = 1.0e5
# A diffuse surface reflects at most 1 and skin at most about 0.8; glints go higher, so the test is on the median.
_LARGEST_MEDIAN_REFLECTANCE = 2.0
_SCALE_SAMPLE = 65_536


@dataclass(frozen=True, eq=False)
class Cube:
    """A multispectral picture, or a list of spectra.

    Parameters
    ----------
    values : array (y, x, band) or (pixel, band)
        Radiance where an `illuminant` is given, else reflectance [1]. Integer or floating point; a dask array is
        kept as it is and read block by block.
    wavelengths : array (band,)
        Band centres [nm], strictly increasing. Plain descending order is turned round, with a note in `provenance`.
    illuminant : array (band,) or of the shape of `values`, optional
        Spectral power of the light, in the unit of `values`.
    mask : bool array (y, x) or (pixel,), optional
        True where a pixel is to be used. All are, if absent.
    saturation : float, optional
        Values at or above this level are saturated. For integers the default is the largest value of their type.
    provenance : mapping, optional
        Where the data come from: plain strings and numbers, stored with results.

    Raises
    ------
    InputError
        Shapes that do not match; wavelengths that are not in nanometres, shuffled or repeated; reflectance in percent;
        an illuminant without any light.
    """

    values: Any
    wavelengths: np.ndarray
    illuminant: Any = None
    mask: np.ndarray | None = None
    saturation: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = self.values if _is_lazy(self.values) else np.asarray(self.values)
        if values.ndim not in (2, 3) or values.dtype.kind not in "uif":
            raise InputError(f"values: found {values.dtype} of shape {tuple(values.shape)}; expected real numbers (y, x, band) or (pixel, band)")
        if 0 in values.shape:
            raise InputError(f"values: found an empty array of shape {tuple(values.shape)}; expected at least one pixel and one band")
        wavelengths = check_wavelengths(self.wavelengths, values.shape[-1])
        illuminant = self.illuminant
        if illuminant is not None:
            illuminant = _check_illuminant(illuminant, tuple(values.shape))
        mask = None if self.mask is None else _check_mask(self.mask, tuple(values.shape[:-1]))
        saturation = self.saturation
        if saturation is None and values.dtype.kind in "ui":
            saturation = float(np.iinfo(values.dtype).max)
        provenance = dict(self.provenance)
        if wavelengths.size > 1 and wavelengths[0] > wavelengths[-1]:
            values, wavelengths = values[..., ::-1], wavelengths[::-1]
            illuminant = None if illuminant is None else illuminant[..., ::-1]
            provenance["note"] = "; ".join(filter(None, [provenance.get("note"), "bands were in descending order and have been turned round"]))
        for name, value in (
            ("values", values),
            ("wavelengths", wavelengths),
            ("illuminant", illuminant),
            ("mask", mask),
            ("saturation", saturation),
            ("provenance", provenance),
        ):
            object.__setattr__(self, name, value)
        self._check_scale()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the picture without its bands: (y, x) or (pixel,)."""
        return tuple(self.values.shape[:-1])

    @property
    def reflectance(self) -> np.ndarray:
        """Radiance over illuminant, or the values themselves: float array of the shape of `values` [1].

        Samples without light are NaN. Integers become float32.
        """
        return self.rows(slice(None))[0]

    def rows(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read some rows (or pixels, of a list of spectra) into memory.

        Returns
        -------
        reflectance : float array (row, ..., band)
            As `reflectance`.
        usable : bool array (row, ..., band)
            False where a sample is not finite, saturated or unlit.
        """
        raw = np.asarray(self.values[rows])
        dtype = raw.dtype if raw.dtype in (np.float32, np.float64) else np.dtype(np.float32)
        reflectance = raw.astype(dtype, copy=False)
        if self.illuminant is not None:
            light = self.illuminant if self.illuminant.ndim == 1 else np.asarray(self.illuminant[rows])
            light = np.where(light > 0, light, np.nan).astype(dtype, copy=False)
            reflectance = reflectance / light
        usable = np.isfinite(reflectance)
        if self.saturation is not None:
            usable &= raw < self.saturation
        return reflectance, usable

    def with_mask(self, mask: np.ndarray | None) -> Cube:
        """The same cube with another mask."""
        return Cube(self.values, self.wavelengths, self.illuminant, mask, self.saturation, self.provenance)

    def select_bands(self, bands: np.ndarray) -> Cube:
        """The same cube with some of its bands, given as increasing indices."""
        illuminant = None if self.illuminant is None else self.illuminant[..., bands]
        return Cube(self.values[..., bands], self.wavelengths[bands], illuminant, self.mask, self.saturation, self.provenance)

    def resample(self, wavelengths: np.ndarray) -> Cube:
        """Reflectance on other wavelengths [nm] inside the cube's own range, interpolated linearly between its bands.

        A new sample is unusable (NaN) where a band that it draws on is.

        Raises
        ------
        InputError
            A wavelength lies outside the cube's range.
        """
        target = check_wavelengths(wavelengths)
        low, high = self.wavelengths[0], self.wavelengths[-1]
        if target.min() < low or target.max() > high:
            raise InputError(f"wavelengths: {target.min():g}-{target.max():g} nm asked for, the data hold {low:g}-{high:g} nm; choose wavelengths inside them")
        right = np.clip(np.searchsorted(self.wavelengths, target), 1, self.wavelengths.size - 1)
        share = ((target - self.wavelengths[right - 1]) / (self.wavelengths[right] - self.wavelengths[right - 1])).astype(np.float32)
        reflectance, usable = self.rows(slice(None))
        reflectance = np.where(usable, reflectance, np.nan)
        # a weight of zero must not let a NaN through: bands that are hit exactly are taken, not mixed
        lower, upper = reflectance[..., right - 1], reflectance[..., right]
        mixed = np.where(share == 0, lower, np.where(share == 1, upper, lower + share.astype(reflectance.dtype) * (upper - lower)))
        return Cube(mixed, target, None, self.mask, None, self.provenance)

    def to_xarray(self) -> xarray.DataArray:
        """Reflectance as an xarray.DataArray with dims (y, x, wavelength) or (pixel, wavelength) and a coordinate in nm."""
        import xarray

        dims = ("y", "x") if len(self.shape) == 2 else ("pixel",)
        array = xarray.DataArray(self.reflectance, dims=(*dims, "wavelength"), coords={"wavelength": ("wavelength", self.wavelengths, {"units": "nm"})})
        array.name = "reflectance"
        array.attrs = {"units": "1", **self.provenance}
        if self.mask is not None:
            array.coords["mask"] = (dims, self.mask)
        return array

    def _check_scale(self) -> None:
        if self.illuminant is not None or self.values.dtype.kind != "f":
            return
        sample = self.values[self.values.shape[0] // 2][None] if _is_lazy(self.values) else self.values
        sample = np.asarray(sample).reshape(-1, self.values.shape[-1])
        sample = sample[:: max(1, sample.size // _SCALE_SAMPLE)]
        finite = sample[np.isfinite(sample)]
        if finite.size and np.median(finite) > _LARGEST_MEDIAN_REFLECTANCE:
            raise InputError(f"values: reflectance with a median of {np.median(finite):.3g}; expected fractions of 1: divide percent by 100, or give the illuminant of radiance")


def check_wavelengths(wavelengths: Any, bands: int | None = None) -> np.ndarray:
    """Wavelengths as a float64 array (band,) [nm], strictly increasing or strictly decreasing.

    Raises
    ------
    InputError
        Not one finite number a band, not nanometres, shuffled or repeated.
    """
    found = np.asarray(wavelengths, dtype=np.float64).squeeze()
    if found.ndim == 0:
        found = found.reshape(1)
    if found.ndim != 1 or found.size == 0:
        raise InputError(f"wavelengths: found an array of shape {found.shape}; expected one number a band")
    if bands is not None and found.size != bands:
        raise InputError(f"wavelengths: found {found.size} for {bands} bands; expected one a band")
    if not np.isfinite(found).all():
        raise InputError("wavelengths: some are not finite; expected nanometres")
    if found.min() < _SMALLEST_NM:
        raise InputError(f"wavelengths: {found.min():g} to {found.max():g} look like micrometres or another unit; expected nanometres: multiply micrometres by 1000")
    if found.max() > _LARGEST_NM:
        raise InputError(f"wavelengths: {found.min():g} to {found.max():g} are no nanometres of light; expected nanometres")
    steps = np.diff(found)
    if (steps == 0).any() or np.unique(found).size != found.size:
        raise InputError("wavelengths: some are repeated; expected one band a wavelength: drop or average the repeated bands")
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError("wavelengths: neither increasing nor decreasing; expected sorted bands: sort bands and wavelengths together")
    return found


def _is_lazy(values: Any) -> bool:
    return hasattr(values, "dask")


def _check_illuminant(illuminant: Any, shape: tuple[int, ...]) -> Any:
    light = illuminant if _is_lazy(illuminant) else np.asarray(illuminant)
    if light.ndim > 1 and light.size == shape[-1]:
        light = light.reshape(shape[-1])
    if light.dtype.kind not in "uif" or tuple(light.shape) not in ((shape[-1],), shape):
        raise InputError(f"illuminant: found {light.dtype} of shape {tuple(light.shape)}; expected one number a band ({shape[-1]},) or a sample {shape}")
    if not _is_lazy(light) and not (light > 0).any():
        raise InputError("illuminant: no positive value; expected the spectral power of the light")
    return light


def _check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(mask)
    if found.shape != shape:
        raise InputError(f"mask: found shape {found.shape}; expected {shape}, one truth value a pixel")
    return found.astype(bool)
