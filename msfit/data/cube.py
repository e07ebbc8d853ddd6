"""Spectra on a picture: values, wavelengths, light and mask in one checked object."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data._checks import check_mask, check_scale, check_spectrum, check_values, check_widths
from msfit.data.channels import Channels
from msfit.data.later import later
from msfit.data.lazy_arrays import RowFunction, is_lazy, lazy_rows, read_rows
from msfit.data.pixel_axes import PixelAxes
from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError

if TYPE_CHECKING:
    import pandas
    import xarray

TURNED_ROUND = "bands were in descending order and have been turned round"


@dataclass(frozen=True, eq=False, repr=False)
class Cube:
    """A multispectral picture, or a list of spectra.

    Parameters
    ----------
    values : array (y, x, band) or (pixel, band)
        Radiance where an `illuminant` is given, else reflectance [1]. Integer or floating point; a dask array is
        kept as it is and read block by block, and so are `msfit.data.low_rank.LinearSpectra`.
    wavelengths : array (band,)
        Band centres [nm], strictly increasing. Plain descending order is turned round, with a note in `provenance`.
        With `channels`: None, or their centres.
    illuminant : array (band,) or of the shape of `values`, optional
        Spectral power of the light, in the unit of `values`: what a white surface in place of the pixel would give.
    mask : bool array (y, x) or (pixel,), optional
        True (or 1, or 255) where a pixel is to be used. All are, if absent.
    saturation : float, optional
        Values at or above this level are saturated. For integers the default is the largest value of their type.
    provenance : mapping, optional
        Where the data come from: plain strings and numbers, stored with results.
    dark : number, or array (band,) or of the shape of `values`, optional
        What the sensor gives without light, in the unit of `values`: subtracted before dividing by the illuminant,
        but not from `values` themselves, whose saturated samples are thus still known.
    axes : PixelAxes, optional
        Names and coordinates of the axes of pixels, which come back on results (`msfit.data.pixel_axes`).
    channels : Channels, optional
        Responses, one a band of `values`, where bands are no needles at their centres. They are kept in the order of
        these, and `wavelengths` are the centres.
    fwhm : array (band,), optional
        Full width at half maximum of each band [nm], where it is known: fits take such bands for Gaussians, unless
        they are told otherwise.

    Raises
    ------
    InputError
        Shapes that do not match; wavelengths that are not in nanometres, shuffled or repeated; reflectance in percent
        or counts; an illuminant without any light, or less than a third of most values.
    """

    values: Any
    wavelengths: np.ndarray
    illuminant: Any = None
    mask: np.ndarray | None = None
    saturation: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    dark: Any = None
    axes: PixelAxes | None = None
    channels: Channels | None = None
    fwhm: np.ndarray | None = None

    def __post_init__(self) -> None:
        values = check_values(self.values)
        shape = tuple(values.shape)
        illuminant = None if self.illuminant is None else check_spectrum("illuminant", self.illuminant, shape)
        dark = None if self.dark is None else check_spectrum("dark", self.dark, shape)
        mask = None if self.mask is None else check_mask(self.mask, shape[:-1])
        check_scale(values, illuminant, dark, mask)
        if self.channels is not None:
            _check_channels(self.channels, self.wavelengths, shape)
        given = self.wavelengths if self.channels is None else np.sort(self.channels.centres)
        wavelengths = check_wavelengths(given, shape)
        saturation = self.saturation
        if saturation is None and values.dtype.kind in "ui":
            saturation = float(np.iinfo(values.dtype).max)
        provenance = dict(self.provenance)
        fwhm = None if self.fwhm is None else check_widths(self.fwhm, wavelengths.size)
        if wavelengths[0] > wavelengths[-1]:
            values, wavelengths = values[..., ::-1], wavelengths[::-1]
            fwhm = None if fwhm is None else fwhm[::-1]
            illuminant = None if illuminant is None else illuminant[..., ::-1]
            dark = None if dark is None else dark[..., ::-1]
            provenance["note"] = "; ".join(filter(None, [provenance.get("note"), TURNED_ROUND]))
        channels = self.channels
        if channels is not None and (order := np.argsort(channels.centres)).tolist() != list(range(len(channels))):
            values, channels = values[..., order], channels.take(order)
            illuminant, dark = (x if x is None or x.ndim == 0 else x[..., order] for x in (illuminant, dark))
        checked = {
            "channels": channels,
            "values": values,
            "wavelengths": wavelengths,
            "illuminant": illuminant,
            "mask": mask,
            "saturation": saturation,
            "provenance": provenance,
            "dark": dark,
            "fwhm": fwhm,
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.axes is not None:
            self.axes.check(shape[:-1])

    def __repr__(self) -> str:
        return f"<Cube {self.summary()}>"

    def _repr_html_(self) -> str:
        return str(later("msfit.plot.thumbnails").cube_in_html(self))

    def summary(self) -> str:
        """One line: pixels, bands, what the values are, and how much of it the mask leaves."""
        pixels = " x ".join(map(str, self.shape)) if len(self.shape) == 2 else f"{self.shape[0]:,} spectra"
        low, high = self.wavelengths[0], self.wavelengths[-1]
        kind = "reflectance" if self.illuminant is None else "radiance with its illuminant"
        parts = [pixels, f"{self.wavelengths.size} bands {low:g}-{high:g} nm", f"{kind} ({self.values.dtype})"]
        if self.mask is not None:
            parts.append(f"mask on {np.count_nonzero(self.mask):,} pixels")
        return ", ".join([*parts, *(["read from disk when needed"] if is_lazy(self.values) else [])])

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
        dtype = precision(self.values.dtype)
        raw = self.values[rows] if isinstance(self.values, np.ndarray) else read_rows(self.values, rows)
        reflectance = raw.astype(dtype, copy=False)
        if self.dark is not None:
            reflectance = reflectance - read_rows(self.dark, rows).astype(dtype)
        if self.illuminant is not None:
            light = read_rows(self.illuminant, rows)
            light = np.where(light > 0, light, np.nan).astype(dtype, copy=False)
            reflectance = reflectance / light
        reflectance = np.require(reflectance, requirements="W")  # torch shares only what may be written to
        usable = np.isfinite(reflectance)
        if self.saturation is not None:
            usable &= raw < self.saturation
        return reflectance, usable

    def with_mask(self, mask: np.ndarray | None) -> Cube:
        """The same cube with another mask, bool (y, x) or (pixel,), or with none."""
        return self.changed(mask=None if mask is None else check_mask(mask, self.shape))

    def select_bands(self, bands: np.ndarray) -> Cube:
        """The same cube with some of its bands, given as increasing indices (band,) of integers."""
        illuminant = None if self.illuminant is None else self.illuminant[..., bands]
        dark = None if self.dark is None else self.dark[..., bands]
        return self.changed(
            values=self.values[..., bands],
            wavelengths=self.wavelengths[bands],
            illuminant=illuminant,
            dark=dark,
            channels=None if self.channels is None else self.channels.take(bands),
            fwhm=None if self.fwhm is None else self.fwhm[bands],
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
        if self.channels is not None:
            raise InputError("bands: found a step, but channels cannot be resampled; leave the step out")
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
        values = (
            lazy_rows(RowFunction(mixed, shape, dtype), self.values) if is_lazy(self.values) else mixed(slice(None))
        )
        return Cube(values, target, None, self.mask, None, self.provenance, axes=self.axes)

    def changed(self, **parts: Any) -> Cube:
        """The same cube but for some attributes, unchecked: they come from one that was checked as a whole."""
        other = copy.copy(self)
        for name, value in parts.items():
            object.__setattr__(other, name, value)
        return other

    @classmethod
    def from_xarray(
        cls, data: xarray.DataArray | xarray.Dataset, *, variable: str | None = None, wavelengths: Any = None
    ) -> Cube:
        """Spectra in an xarray object, lazy where it is.

        Parameters
        ----------
        data : xarray.DataArray or xarray.Dataset
            Two or three dimensions, one of them the bands with a coordinate `wavelength` (or wave) in the unit of its
            attribute `units`, nm where that is absent. Values in the unit of their attribute `units`: percent become
            fractions. `illuminant` and `mask` beside them are taken.
        variable : str, optional
            Name of the spectra in a Dataset that holds several.
        wavelengths : array (band,), optional
            [nm], where the object has none.

        Raises
        ------
        InputError
            No spectra or wavelengths that fit, or wavelengths given twice; radiance or counts without an illuminant;
            whatever `Cube` refuses.
        """
        labelled = later("msfit.io.labelled")
        if wavelengths is not None and labelled.has_wavelengths(data, variable):
            raise InputError("wavelengths: given beside an xarray object that has its own; leave them out")
        return labelled.scan_of_xarray(data, variable, wavelengths=wavelengths).to_cube()

    @classmethod
    def from_pandas(cls, data: pandas.DataFrame | pandas.Series, *, wavelengths: Any = None) -> Cube:
        """Spectra in a table, one a row; or one spectrum.

        Parameters
        ----------
        data : pandas.DataFrame or pandas.Series
            Reflectance [1]. Columns (of a Series, the index) are the wavelengths [nm]: numbers, or text such as "450"
            or "450 nm". What else there is of a row belongs into the index: ``table.set_index(["subject", "site"])``.
        wavelengths : array (band,), optional
            [nm], where the columns are not the wavelengths.

        Raises
        ------
        InputError
            Columns that are no wavelengths; whatever `Cube` refuses.
        """
        return later("msfit.io.labelled").scan_of_pandas(data, wavelengths=wavelengths).to_cube()

    def to_xarray(self) -> xarray.DataArray:
        """Reflectance as an xarray.DataArray on (y, x, wavelength) or (pixel, wavelength), with a coordinate in nm.

        Axes and coordinates have the names that the data came with.
        """
        import xarray

        axes = self.axes or PixelAxes.of_shape(self.shape)
        dims = axes.dims
        array = xarray.DataArray(
            self.reflectance,
            dims=(*dims, "wavelength"),
            coords={**axes.coords, "wavelength": ("wavelength", self.wavelengths, {"units": "nm"})},
            name="reflectance",
            attrs={"units": "1", **self.provenance},
        )
        if self.mask is not None:
            array.coords["mask"] = (dims, self.mask)
        return array


def _check_channels(channels: Any, wavelengths: Any, shape: tuple[int, ...]) -> None:
    """Refuse channels that are none, or not those of an array of that shape."""
    if not isinstance(channels, Channels):
        raise InputError(f"channels: found {type(channels).__name__}; expected msfit.Channels")
    if len(channels) != shape[-1]:
        raise InputError(f"channels: found {len(channels)}, the values have {shape[-1]} on their last axis")
    if np.unique(channels.centres).size != len(channels):
        raise InputError("channels: found two with one centre; expected responses that differ in it: add them up")
    if wavelengths is not None and not np.allclose(np.sort(np.asarray(wavelengths, float)), np.sort(channels.centres)):
        raise InputError("wavelengths: given beside channels, and not their centres; leave them out")


def precision(dtype: np.dtype) -> np.dtype:
    """The native type that numbers are computed in: float64 for wide floats of any byte order, else float32."""
    return np.dtype(np.float64 if dtype.kind == "f" and dtype.itemsize >= 8 else np.float32)
