"""Spectra on a picture: values, wavelengths, light and mask in one checked object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.chunks import is_lazy, lazy_rows, read_rows
from msfit.errors import InputError
from msfit.linear import LinearSpectra
from msfit.wavelengths import check_wavelengths

if TYPE_CHECKING:
    import xarray

# A diffuse surface reflects at most 1 and skin at most about 0.8; only glints and lamps go higher, in few pixels.
_LARGEST_REFLECTANCE = 2.0
_SCALE_QUANTILE = 0.9
_SCALE_PIXELS = 4096
TURNED_ROUND = "bands were in descending order and have been turned round"


@dataclass(frozen=True, eq=False)
class Cube:
    """A multispectral picture, or a list of spectra.

    Parameters
    ----------
    values : array (y, x, band) or (pixel, band)
        Radiance where an `illuminant` is given, else reflectance [1]. Integer or floating point; a dask array is
        kept as it is and read block by block, and so are `msfit.linear.LinearSpectra`.
    wavelengths : array (band,)
        Band centres [nm], strictly increasing. Plain descending order is turned round, with a note in `provenance`.
    illuminant : array (band,) or of the shape of `values`, optional
        Spectral power of the light, in the unit of `values`: what a white surface in place of the pixel would give.
    mask : bool array (y, x) or (pixel,), optional
        True where a pixel is to be used. All are, if absent.
    saturation : float, optional
        Values at or above this level are saturated. For integers the default is the largest value of their type.
    provenance : mapping, optional
        Where the data come from: plain strings and numbers, stored with results.
    dark : number, or array (band,) or of the shape of `values`, optional
        What the sensor gives without light, in the unit of `values`: subtracted before dividing by the illuminant,
        but not from `values` themselves, whose saturated samples are thus still known.

    Raises
    ------
    InputError
        Shapes that do not match; wavelengths that are not in nanometres, shuffled or repeated; reflectance in percent
        or counts; an illuminant without any light.
    """

    values: Any
    wavelengths: np.ndarray
    illuminant: Any = None
    mask: np.ndarray | None = None
    saturation: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    dark: Any = None

    def __post_init__(self) -> None:
        values = _check_values(self.values)
        shape = tuple(values.shape)
        wavelengths = check_wavelengths(self.wavelengths, shape[-1])
        illuminant = None if self.illuminant is None else _check_spectrum("illuminant", self.illuminant, shape)
        if illuminant is not None and not is_lazy(illuminant) and not _lit(illuminant):
            raise InputError("illuminant: no positive value; expected the spectral power of the light")
        dark = None if self.dark is None else _check_spectrum("dark", self.dark, shape)
        mask = None if self.mask is None else _check_mask(self.mask, shape[:-1])
        saturation = self.saturation
        if saturation is None and values.dtype.kind in "ui":
            saturation = float(np.iinfo(values.dtype).max)
        provenance = dict(self.provenance)
        if wavelengths[0] > wavelengths[-1]:
            values, wavelengths = values[..., ::-1], wavelengths[::-1]
            illuminant = None if illuminant is None else illuminant[..., ::-1]
            dark = None if dark is None else dark[..., ::-1]
            provenance["note"] = "; ".join(filter(None, [provenance.get("note"), TURNED_ROUND]))
        checked = {
            "values": values,
            "wavelengths": wavelengths,
            "illuminant": illuminant,
            "mask": mask,
            "saturation": saturation,
            "provenance": provenance,
            "dark": dark,
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if illuminant is None:
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

        Parameters
        ----------
        rows : slice
            Along the first axis of `values`.

        Returns
        -------
        reflectance : float array (row, ..., band)
            As `reflectance`: (values - dark) / illuminant.
        usable : bool array (row, ..., band)
            False where a sample is not finite, saturated or unlit.
        """
        raw = read_rows(self.values, rows)
        dtype = precision(raw.dtype)
        reflectance = raw.astype(dtype, copy=False)
        if self.dark is not None:
            reflectance = reflectance - read_rows(self.dark, rows).astype(dtype)
        if self.illuminant is not None:
            light = read_rows(self.illuminant, rows)
            light = np.where(light > 0, light, np.nan).astype(dtype, copy=False)
            reflectance = reflectance / light
        usable = np.isfinite(reflectance)
        if self.saturation is not None:
            usable &= raw < self.saturation
        return reflectance, usable

    def with_mask(self, mask: np.ndarray | None) -> Cube:
        """The same cube with another mask, bool (y, x) or (pixel,), or with none."""
        return replace(self, mask=mask)

    def select_bands(self, bands: np.ndarray) -> Cube:
        """The same cube with some of its bands, given as increasing indices (band,) of integers."""
        illuminant = None if self.illuminant is None else self.illuminant[..., bands]
        dark = None if self.dark is None else self.dark[..., bands]
        return replace(
            self,
            values=self.values[..., bands],
            wavelengths=self.wavelengths[bands],
            illuminant=illuminant,
            dark=dark,
        )

    def resample(self, wavelengths: np.ndarray) -> Cube:
        """Reflectance on other wavelengths inside the cube's own range, interpolated linearly between its bands.

        A new sample is unusable (NaN) where a band that it draws on is.

        Parameters
        ----------
        wavelengths : array (band,)
            The new band centres [nm].

        Raises
        ------
        InputError
            A wavelength lies outside the cube's range.
        """
        own, target = self.wavelengths, check_wavelengths(wavelengths)
        if target.min() < own[0] or target.max() > own[-1]:
            raise InputError(
                f"wavelengths: {target.min():g}-{target.max():g} nm asked for, the data hold {own[0]:g}-{own[-1]:g} nm;"
                " choose wavelengths inside them"
            )
        left = np.searchsorted(own, target, side="right") - 1
        right = np.minimum(left + 1, own.size - 1)
        gap = np.where(right > left, own[right] - own[left], 1.0)
        share = (target - own[left]) / gap

        def mixed(rows: slice) -> np.ndarray:
            reflectance, usable = self.rows(rows)
            reflectance = np.where(usable, reflectance, np.nan)
            # A share of zero must not let a NaN through: bands that are hit exactly are taken, not mixed.
            lower, upper = reflectance[..., left], reflectance[..., right]
            return np.where(share == 0, lower, lower + share.astype(reflectance.dtype) * (upper - lower))

        shape, dtype = (*self.shape, target.size), precision(self.values.dtype)
        values = lazy_rows(mixed, shape, dtype, self.values) if is_lazy(self.values) else mixed(slice(None))
        return Cube(values, target, None, self.mask, None, self.provenance)

    @classmethod
    def from_xarray(cls, data: xarray.DataArray | xarray.Dataset, *, variable: str | None = None) -> Cube:
        """Spectra in an xarray object, lazy where it is.

        Parameters
        ----------
        data : xarray.DataArray or xarray.Dataset
            Two or three dimensions, one of them the bands with a coordinate `wavelength` (or wave) in the unit of its
            attribute `units`, nm where that is absent. Values in the unit of their attribute `units`: percent become
            fractions. `illuminant` and `mask` beside them are taken.
        variable : str, optional
            Name of the spectra in a Dataset that holds several.

        Raises
        ------
        InputError
            No spectra or wavelengths that fit; radiance or counts without an illuminant; whatever `Cube` refuses.
        """
        from msfit.io.labelled import scan_of_xarray

        return scan_of_xarray(data, variable).to_cube()

    def to_xarray(self) -> xarray.DataArray:
        """Reflectance as an xarray.DataArray on (y, x, wavelength) or (pixel, wavelength), with a coordinate in nm."""
        import xarray

        dims = ("y", "x") if len(self.shape) == 2 else ("pixel",)
        array = xarray.DataArray(
            self.reflectance,
            dims=(*dims, "wavelength"),
            coords={"wavelength": ("wavelength", self.wavelengths, {"units": "nm"})},
            name="reflectance",
            attrs={"units": "1", **self.provenance},
        )
        if self.mask is not None:
            array.coords["mask"] = (dims, self.mask)
        return array

    def _check_scale(self) -> None:
        values = self.values
        if is_lazy(values):
            middle = values.shape[0] // 2
            sample = read_rows(values, slice(middle, middle + 1))
        else:
            step = max(1, int(np.ceil((values[..., 0].size / _SCALE_PIXELS) ** (1 / len(self.shape)))))
            sample = values[(slice(None, None, step),) * len(self.shape)]
        pixels = sample.reshape(-1, values.shape[-1]).astype(np.float64)
        pixels[~np.isfinite(pixels)] = np.nan
        levels = np.nanmedian(pixels[~np.isnan(pixels).all(axis=1)], axis=1)
        levels = levels[levels > 0]
        if levels.size and (level := np.quantile(levels, _SCALE_QUANTILE)) > _LARGEST_REFLECTANCE:
            raise InputError(
                f"values: around {level:.3g}; expected reflectance in fractions of 1: divide percent by 100;"
                " radiance and counts need the light: give an illuminant or a white reference (--white)"
            )


def precision(dtype: np.dtype) -> np.dtype:
    """The native type that numbers are computed in: float64 for wide floats of any byte order, else float32."""
    return np.dtype(np.float64 if dtype.kind == "f" and dtype.itemsize >= 8 else np.float32)


def _check_values(values: Any) -> Any:
    if np.ma.isMaskedArray(values):  # a masked sample is one that is not known
        if values.dtype.kind in "ui":  # of which the largest is saturated
            values = np.ma.masked_equal(values, np.iinfo(values.dtype).max).astype(np.float64)
        values = np.ma.filled(values, np.nan)
    found = values if is_lazy(values) or isinstance(values, LinearSpectra) else np.asarray(values)
    if found.ndim not in (2, 3) or found.dtype.kind not in "uif":
        raise InputError(
            f"values: found {found.dtype} of shape {tuple(found.shape)};"
            " expected real numbers (y, x, band) or (pixel, band)"
        )
    if 0 in found.shape:
        raise InputError(
            f"values: found an empty array of shape {tuple(found.shape)}; expected at least one pixel and one band"
        )
    return found


def _check_spectrum(name: str, spectrum: Any, shape: tuple[int, ...]) -> Any:
    found = spectrum if is_lazy(spectrum) or isinstance(spectrum, LinearSpectra) else np.asarray(spectrum)
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
    return found


def _lit(illuminant: Any) -> bool:
    return any((np.asarray(part) > 0).any() for part in illuminant)


def _check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.ma.filled(mask, False) if np.ma.isMaskedArray(mask) else np.asarray(mask)
    if found.shape != shape or found.dtype.kind not in "buif":
        raise InputError(f"mask: found shape {found.shape} of {found.dtype}; expected {shape}, one truth value a pixel")
    return found.astype(bool)
