"""What a fit returns: maps, a status in words for every pixel, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.cube import Cube
from msfit.data.later import later
from msfit.data.pixel_axes import PixelAxes
from msfit.data.status import AT_BOUND, STATUS_TYPE, Status, flagged, uncertified
from msfit.errors import InputError, names_nearest

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

    from msfit.view.page import Page

__all__ = ["AT_BOUND", "MAPS", "STATUS_TYPE", "FitResult", "Status", "flagged", "uncertified"]

# The float maps of a result, in the order in which they are shown and stored.
MAPS = ("f_mel", "f_blood", "i_d", "i_s", "rmse")

# Fits of fewer pixels spend their time on preparations.
_ENOUGH_FOR_A_RATE = 1000
_COUNTED, _SAMPLED = 2**22, 2**20  # pixels counted at once, and in the median of a map that is not in memory


@dataclass(frozen=True, eq=False)
class FitResult:
    """Maps of a fit. All have the shape of the picture, (y, x) or (pixel,), and are NaN where a pixel is masked.

    They are numpy arrays; dask arrays in a result of `msfit.fit_file`, which may be larger than memory.

    Attributes
    ----------
    f_mel, f_blood : float array
        Volume fractions of melanosomes in the epidermis and of blood in the dermis [1].
    i_d, i_s : float array
        Diffuse and specular shading [1], not negative.
    rmse : float array
        Root mean squared residual in reflectance [1] over the usable bands of a pixel.
    status : uint16 array
        A `Status` a pixel: flags, which combine; 0 where the fit converged inside the bounds.
    model : str
        Name of the skin model.
    bounds : mapping
        (lower, upper) of f_mel, f_blood and each extra parameter that was fitted.
    wavelengths : float64 array (band,)
        The bands that were fitted [nm].
    std : mapping of float arrays, optional
        One standard deviation of each of f_mel, f_blood, i_d, i_s [1], where asked for. Of a parameter on a bound: how
        far it may go into the box for as much more loss as one std means for the others. NaN where it is held fixed,
        and of the pigments where i_d is 0 (`msfit.solve.uncertainty`).
    correlation : mapping of float arrays, optional
        Of each pair of parameters, "f_mel,f_blood" and so on, -1 to 1; NaN where one is on a bound or held.
    gap : float array, optional
        Where the fit was certified: RMSE, with the weights of the fit, minus a lower bound of what any point within the
        bounds reaches [1].
    attrs : mapping
        Plain strings and numbers: source, bands dropped, versions, seconds.
    cube : Cube, optional
        What was fitted, on these wavelengths; absent in a result that was read from a file.
    extra : mapping of float arrays
        Maps of the extra parameters that were fitted, by name; one number everywhere where it is shared.
    axes : PixelAxes, optional
        Names and coordinates of the pixels' axes, where what was fitted had some.
    prior_share : mapping of float arrays, optional
        Of a fit with a prior, how much of each of f_mel, f_blood, i_d, i_s is prior: the variance that is left over
        that of the prior, 0 to 1; 1 where the measurement told nothing. 0 for numbers that the prior is not about, NaN
        where one is held.
    """

    f_mel: np.ndarray
    f_blood: np.ndarray
    i_d: np.ndarray
    i_s: np.ndarray
    rmse: np.ndarray
    status: np.ndarray
    model: str
    bounds: Mapping[str, tuple[float, float]]
    wavelengths: np.ndarray
    std: Mapping[str, np.ndarray] | None = None
    correlation: Mapping[str, np.ndarray] | None = None
    gap: np.ndarray | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    cube: Cube | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    axes: PixelAxes | None = None
    prior_share: Mapping[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name, values in (*((name, getattr(self, name)) for name in MAPS), *self.extra.items()):
            if values.shape != self.status.shape:
                raise ValueError(f"{name}: found shape {values.shape}; expected that of status, {self.status.shape}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {' x '.join(map(str, self.shape))}, {self.model}: {self.summary()}>"

    def _repr_html_(self) -> str:
        return str(later("msfit.plot.thumbnails").result_in_html(self))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps: (y, x) or (pixel,)."""
        return self.status.shape

    @property
    def fitted(self) -> np.ndarray:
        """Bool array: the pixel was fitted, that is, not masked."""
        return self.status < Status.MASKED_BY_USER

    def strongest_correlation(self) -> tuple[np.ndarray, np.ndarray]:
        """Where two parameters trade: the correlation of largest size, and which pair's it is.

        Returns
        -------
        correlation : float array
            -1 to 1, NaN where fewer than two parameters are free. Near -1 or 1 the data tell only a combination of the
            two, and each alone follows from the other.
        pair : int array
            Index into ``list(result.correlation)``, -1 where there is none.

        Raises
        ------
        InputError
            A result without correlations: fit with std=True.
        """
        if self.correlation is None:
            raise InputError("correlation: this result has none; fit with std=True (msfit fit --std)")
        values = np.stack([np.asarray(value) for value in self.correlation.values()])
        size = np.where(np.isfinite(values), np.abs(values), -1)
        pair = size.argmax(axis=0)
        known = size.max(axis=0) >= 0
        strongest = np.take_along_axis(values, pair[None], axis=0)[0]
        return np.where(known, strongest, np.nan).astype(values.dtype), np.where(known, pair, -1)

    def counts(self) -> dict[Status, int]:
        """Number of pixels of each status that occurs, {Status: int}; they add up to all pixels."""
        rows = max(1, _COUNTED // max(1, int(np.prod(self.shape[1:]))))
        found = np.zeros(np.iinfo(STATUS_TYPE).max + 1, np.int64)
        for first in range(0, self.shape[0], rows):
            part = np.asarray(self.status[first : first + rows])
            found += np.bincount(part.ravel(), minlength=found.size)
        return {Status(code): int(found[code]) for code in np.flatnonzero(found).tolist()}

    def map(self, name: str) -> np.ndarray:
        """A map by its name: one of `MAPS`, or an extra parameter's."""
        return self.extra[name] if name in self.extra else getattr(self, name)

    def median(self, name: str) -> float:
        """Median of a map over the pixels where it is known; of a lazy map over about a million of them."""
        values = self.map(name)
        if hasattr(values, "dask"):
            step = int(np.ceil(values.size / _SAMPLED))
            values = np.asarray(values.reshape(-1)[::step])
        known = values[np.isfinite(values)]
        return float(np.median(known)) if known.size else float("nan")

    def summary(self) -> str:
        """One line: pixels fitted, seconds, median RMSE; how many were masked, at a bound or not converged."""
        counts = self.counts()
        number = sum(count for status, count in counts.items() if not status.masked)
        one, several = ("pixel", "pixels") if len(self.shape) == 2 else ("spectrum", "spectra")
        photograph = "network" in self.attrs  # whose maps are estimated, not fitted
        line = f"{number:,} {one if number == 1 else several} {'estimated' if photograph else 'fitted'}"
        seconds = self.attrs.get("seconds")
        if seconds:
            line += f" in {_duration(seconds)}"
            if number >= _ENOUGH_FOR_A_RATE:
                line += f" ({_two_digits(number / seconds)} a second)"
        if number:
            line += f", median RMSE {self.median('rmse'):.2g}"
        kinds = {
            "at a bound": sum(count for status, count in counts.items() if status & AT_BOUND),
            "without diffuse light": sum(count for status, count in counts.items() if Status.NO_DIFFUSE in status),
            "not converged": sum(count for status, count in counts.items() if Status.NOT_CONVERGED in status),
            "masked": sum(counts.values()) - number,
        }
        if self.gap is not None and number:
            proved = sum(count for status, count in counts.items() if Status.GLOBAL in status)
            line += f"; {_percent(proved, number)} certified global"
        parts = [line, ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)]
        parts += [self._extra_in_words(name) for name in self.extra]
        if dropped := self.attrs.get("bands_dropped"):
            parts.append(f"{dropped} of {dropped + self.wavelengths.size} bands not used")
        return "; ".join(filter(None, parts))

    def _extra_in_words(self, name: str) -> str:
        if name in str(self.attrs.get("shared", "")).split(","):
            return f"{name} {self.median(name):.3g} for all"
        on_bound = self.at_bound(name)
        return f"{name} median {self.median(name):.3g}" + (f", {on_bound:,} at a bound" if on_bound else "")

    def at_bound(self, name: str) -> int:
        """Number of pixels whose extra parameter lies on one of its bounds; `Status` tells only of the pigments."""
        values, bounds = self.extra[name], self.bounds[name]
        if bounds[0] == bounds[1]:
            return 0
        low, high = np.asarray(bounds).astype(values.dtype)
        return int(((values <= low) | (values >= high)).sum())

    def spectra(self, rows: slice = slice(None)) -> np.ndarray:
        """What was fitted: i_d r(f_mel, f_blood) + i_s.

        Parameters
        ----------
        rows : slice
            Along the first axis: some rows of a large picture.

        Returns
        -------
        float array (y, x, band) or (pixel, band)
            Reflectance [1] on `wavelengths`, NaN where a pixel is masked; i_s alone where there is no diffuse light.

        Raises
        ------
        InputError
            The model is not registered here.

        Examples
        --------
        >>> import msfit
        >>> bands = np.arange(400.0, 701.0, 10.0)
        >>> skin = 0.8 * msfit.reflectance([0.05, 0.1], 0.03, bands) + 0.04
        >>> result = msfit.fit(skin, bands)
        >>> bool(np.allclose(result.spectra(), skin, atol=1e-6)), result.residuals().shape
        (True, (2, 31))
        """
        i_d, i_s = (np.asarray(values[rows])[..., None] for values in (self.i_d, self.i_s))
        # without diffuse light the pigments are unknown (NaN), and do not matter
        return np.where(i_d == 0, 0, i_d * self.skin(rows)) + i_s

    def skin(self, index: Any = slice(None)) -> np.ndarray:
        """Reflectance of the fitted skin alone, r(f_mel, f_blood).

        Parameters
        ----------
        index : slice, or index of arrays
            Some pixels of the maps.

        Returns
        -------
        float array (..., band)
            [1] on `wavelengths`, or in the channels that were fitted; NaN where the pigments are.

        Raises
        ------
        InputError
            The model is not registered here; of a fit in channels, the cube is not at hand.
        """
        channels = None if self.cube is None else self.cube.channels
        if channels is None and "channels" in self.attrs:
            raise InputError("cube: the responses of the channels are not at hand; expected a result with its cube")
        names = ("f_mel", "f_blood", *self.extra)
        return np.asarray(
            later("msfit.skin.models").reflectance(
                **{name: np.asarray(self.map(name)[index]) for name in names},
                wavelengths=self.wavelengths if channels is None else None,
                model=self.model,
                **({} if channels is None else {"channels": channels, "truncate": 1.0}),  # as the fit allowed
            )
        )

    def residuals(self, rows: slice = slice(None)) -> np.ndarray:
        """What was measured minus what was fitted.

        Parameters
        ----------
        rows : slice
            Along the first axis.

        Returns
        -------
        float array (y, x, band) or (pixel, band)
            In reflectance [1], NaN where a sample was not used.

        Raises
        ------
        InputError
            A result without its cube, as one that was read from a file: ``replace(result, cube=msfit.load(...))``.
        """
        if self.cube is None:
            raise InputError(
                "cube: a result that was read from a file is without what was fitted; put it back with"
                " dataclasses.replace(result, cube=cube)"
            )
        if self.cube.shape != self.shape or not np.array_equal(self.cube.wavelengths, self.wavelengths):
            raise InputError("cube: has other pixels or bands than were fitted; choose those with cube.select_bands")
        values, usable = self.cube.rows(rows)
        return np.where(usable, values - self.spectra(rows).astype(values.dtype, copy=False), np.nan)

    def to_xarray(self) -> xarray.Dataset:
        """The maps as an xarray.Dataset, with units, bounds, model and flags as attributes.

        Axes and coordinates have the names of the DataArray that was fitted, else (y, x) or (pixel,).
        """
        return later("msfit.io.results").to_dataset(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """The maps as a table with a pixel a row.

        Returns
        -------
        pandas.DataFrame
            Columns f_mel, f_blood, i_d, i_s, rmse, extra parameters, std_*, gap and, in words, status; coordinates of
            the pixels. The index is that of the table that was fitted, else y and x, or pixel, with the coordinates of
            the axes where they have some.
        """
        return later("msfit.io.tables").to_dataframe(self)

    def save(self, path: str | Path) -> None:
        """Write the result: the file appears whole or not at all.

        Parameters
        ----------
        path : str or Path
            Ends in .h5 or .nc (HDF5 that xarray opens), .mat, .npz, .csv (a table), .hdr (ENVI), .tif (OME-TIFF) or
            .zarr. `msfit.load_result` reads them all.

        Raises
        ------
        InputError
            Another ending; a folder that is not there or cannot be written to; no space left.
        """
        later("msfit.io.results").save(self, path)

    @names_nearest
    def plot(
        self, *, std: bool = False, gap: bool = False, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> Figure:
        """The panel: picture, four maps, RMSE and a spectrum with its fit; for a list of spectra, distributions.

        Parameters
        ----------
        std, gap, ranges
            As of `msfit.plot.panel`.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to a window; `savefig` writes it.
        """
        return later("msfit.plot").panel(self, std=std, gap=gap, ranges=ranges)

    def view(self, cube: Cube | None = None, *, second: FitResult | None = None, title: str = "msfit") -> Page:
        """A page to look at the result with, of a picture: maps, spectra and fits, regions with statistics.

        Parameters
        ----------
        cube : Cube, optional
            What was fitted, for a result that was read from a file.
        second : FitResult, optional
            Of the same face at a later time: maps of the change are shown too.
        title : str
            Heading of the page.

        Returns
        -------
        Page
            A str of HTML that notebooks show; `save` writes it to a file that opens offline.

        Raises
        ------
        InputError
            A list of spectra; more than 2,097,152 pixels; a cube of other pixels or without the fitted bands; a later
            result of another size or model.
        """
        return later("msfit.view").make_page(self, cube, second=second, title=title)

    def plot_uncertainty(self) -> Figure:
        """Of a picture that was fitted with std=True: the standard deviations, and where two parameters trade.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to a window; `savefig` writes it.
        """
        return later("msfit.plot").uncertainty_panel(self)


def _percent(part: int, whole: int) -> str:
    """A share in percent that is 100 only where it is all, and 0 only where it is nothing."""
    if part in (0, whole):
        return f"{100 * part // whole} %"
    return f"{min(max(100 * part / whole, 0.01), 99.99):.2f} %"


def _two_digits(number: float) -> str:
    """A large number rounded to two digits: 46,000."""
    digits = max(0, int(np.floor(np.log10(max(number, 1)))) - 1)
    return f"{round(number, -digits):,.0f}"


def _duration(seconds: float) -> str:
    """Seconds to two digits, longer times in minutes and hours.

    Examples
    --------
    >>> [_duration(seconds) for seconds in (0.1234, 8.04, 59.7, 187, 7265)]
    ['0.12 s', '8 s', '1 min 0 s', '3 min 7 s', '2 h 1 min']
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
