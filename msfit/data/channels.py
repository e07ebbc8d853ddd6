"""Channels of a camera: responses over wavelength, of any width and shape, instead of needles at band centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.later import later
from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError

# Standard deviation of a Gaussian over its full width at half maximum.
_SIGMA = 1 / (8 * np.log(2)) ** 0.5
# Standard deviations to either side at which a Gaussian response is cut: 2e-7 of its area lie beyond.
_REACH = 5.2
_STEP = 1.0  # [nm] of the grid on which integrals are taken
_WIDEST = 2_000.0  # [nm], full width at half maximum: far beyond any filter, and its grid is still small


@dataclass(frozen=True, eq=False)
class Channels:
    """What the channels of a camera respond to.

    The value of a channel c at a pixel is an integral over wavelength, divided by that of a white surface:

        y_c = sum_nm S_c L (i_d r + i_s) / sum_nm S_c L = i_d R_c + i_s,   R_c = sum_nm S_c L r / sum_nm S_c L

    with S the response and L the light (S. Alotaibi, W. A. P. Smith, BMVC 2019, eq 2 and 4). White is 1 in every
    channel, whatever its gain. Without a light (see `under`) L is 1: the channels are taken to be white-balanced.

    Parameters
    ----------
    responses : array (channel, nm)
        Relative responses, not negative; only their shape over wavelength counts.
    wavelengths : array (nm,)
        Their common grid [nm], increasing. Between its points responses are linear, outside they are 0.
    names : sequence of str, optional
        One a channel; by default its centre, such as "545 nm".

    Raises
    ------
    InputError
        Shapes or numbers of names that do not match; responses that are negative, not finite or 0 everywhere.

    Examples
    --------
    >>> leds = Channels.gaussian([450, 545, 577, 660], fwhm=20)
    >>> leds.centres
    array([450., 545., 577., 660.])
    >>> leds.names
    ('450 nm', '545 nm', '577 nm', '660 nm')
    """

    responses: np.ndarray
    wavelengths: np.ndarray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            responses = np.asarray(self.responses, np.float64)
        except (TypeError, ValueError):
            raise InputError("responses: found what are no numbers; expected an array (channel, nm)") from None
        if responses.ndim != 2 or 0 in responses.shape:
            raise InputError(f"responses: found shape {responses.shape}; expected (channel, nm)")
        wavelengths = check_wavelengths(self.wavelengths, responses.shape[1:])
        if wavelengths[0] > wavelengths[-1]:
            responses, wavelengths = responses[:, ::-1], wavelengths[::-1]
        if not np.isfinite(responses).all():
            raise InputError("responses: found values that are not finite; expected numbers, 0 or more")
        if (least := responses.min(1)).min() < 0:
            raise InputError(
                f"responses: channel {int(least.argmin())} is negative, down to {least.min():.3g}; expected 0 or more"
            )
        if (dead := ~(responses > 0).any(1)).any():
            raise InputError(f"responses: channel {int(dead.argmax())} is 0 everywhere; expected a response")
        centres = responses @ wavelengths / responses.sum(1)
        names = tuple(str(name) for name in self.names) or tuple(f"{centre:.4g} nm" for centre in centres)
        if len(names) != len(responses):
            raise InputError(f"names: found {len(names)} for {len(responses)} channels; expected one a channel")
        for name, value in (("responses", responses), ("wavelengths", wavelengths), ("names", names)):
            object.__setattr__(self, name, value)

    @classmethod
    def gaussian(cls, centres: Any, fwhm: Any, names: Sequence[str] = ()) -> Channels:
        """Gaussian responses, such as those of LEDs and interference filters.

        Parameters
        ----------
        centres : array (channel,)
            [nm].
        fwhm : number or array (channel,)
            Full width at half maximum [nm], greater than 0.
        names : sequence of str, optional

        Raises
        ------
        InputError
            Widths that are not positive, or not one a channel.
        """
        middle = np.atleast_1d(np.asarray(centres, np.float64))
        width = np.asarray(fwhm, np.float64)
        if middle.ndim != 1 or not np.isfinite(middle).all():
            raise InputError(f"centres: found shape {middle.shape}; expected one finite number a channel [nm]")
        if width.ndim > 1 or (width.ndim == 1 and width.size != middle.size):
            raise InputError(f"fwhm: found {width.size} for {middle.size} channels; expected one, or one a channel")
        if not (np.isfinite(width).all() and (width > 0).all()):
            raise InputError(f"fwhm: found {np.min(width):g}; expected widths greater than 0 nm")
        if (width > _WIDEST).any():
            raise InputError(f"fwhm: found {np.max(width):g}; expected widths up to {_WIDEST:g} nm")
        sigma = np.broadcast_to(np.maximum(width, _STEP) * _SIGMA, middle.shape)
        low, high = np.floor((middle - _REACH * sigma).min()), np.ceil((middle + _REACH * sigma).max())
        nm = np.arange(max(low, 101.0), high + 1)
        z = (nm - middle[:, None]) / sigma[:, None]
        return cls(np.where(np.abs(z) <= _REACH, np.exp(-0.5 * z**2), 0.0), nm, tuple(names))

    @classmethod
    def from_file(cls, path: str | Path) -> Channels:
        """Responses from a file.

        Parameters
        ----------
        path : str or Path
            CSV or TSV (a column of wavelengths [nm], then one a channel, with or without a line of names), JSON
            ({"wavelengths": [...], "responses": [[...], ...], "names": [...]}, or the format of the rawtoaces camera
            data) or MAT (`responses` (channel, nm) or (nm, channel), and `wavelengths`).

        Raises
        ------
        InputError
            A file that is missing, unreadable or holds no responses.
        """
        return later("msfit.io.responses").read_channels(Path(path))

    def __len__(self) -> int:
        return len(self.responses)

    @property
    def centres(self) -> np.ndarray:
        """Centroid of each response (channel,) [nm], to a hundredth."""
        return np.round(self.responses @ self.wavelengths / self.responses.sum(1), 2)

    @property
    def widths(self) -> np.ndarray:
        """Full width at half maximum (channel,) [nm] of a Gaussian as wide as each response."""
        share = self.responses / self.responses.sum(1, keepdims=True)
        middle = share @ self.wavelengths
        variance = share @ self.wavelengths**2 - middle**2
        return np.sqrt(np.maximum(variance, 0.0)) / _SIGMA

    def take(self, index: Any) -> Channels:
        """Some of the channels, in the order of their indices."""
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return Channels(self.responses[chosen], self.wavelengths, tuple(self.names[i] for i in chosen))

    def under(self, light: Any) -> Channels:
        """The same channels under a light: each response times the light's spectrum.

        Parameters
        ----------
        light : str or (wavelengths, power)
            Name of a light, as `msfit.colour.illuminants.illuminant` knows them ("A", "D65", "F11", "D5500", ...), or
            its spectral power (nm,), not negative, on its own grid (nm,), which has to reach over the responses.

        Raises
        ------
        InputError
            An unknown name; power that is negative, of another shape than its grid, or whose grid does not reach over
            a response.
        """
        if isinstance(light, str):
            spectrum = later("msfit.colour.illuminants").illuminant(light)
            nm, power = np.asarray(spectrum.wavelengths, np.float64), np.asarray(spectrum.values, np.float64)
        else:
            try:
                nm, power = (np.asarray(part, np.float64).squeeze() for part in light)
            except (TypeError, ValueError):
                raise InputError("illuminant: expected a name, or (wavelengths, power)") from None
        if nm.shape != power.shape or nm.ndim != 1:
            raise InputError(f"illuminant: found {power.shape} on a grid {nm.shape}; expected one number a wavelength")
        nm = check_wavelengths(nm)
        if not (np.isfinite(power).all() and (power >= 0).all()):
            raise InputError("illuminant: found power that is negative or not finite; expected numbers, 0 or more")
        order = np.argsort(nm)
        nm, power = nm[order], power[order]
        grid = fine_grid(self.wavelengths[0], self.wavelengths[-1])
        responses = self.on(grid)
        outside = (grid < nm[0]) | (grid > nm[-1])
        lost = responses[:, outside].sum(1) / responses.sum(1)
        if (worst := lost.max()) > 1e-3:
            raise InputError(
                f"illuminant: known on {nm[0]:g}-{nm[-1]:g} nm, but {100 * worst:.3g} % of channel"
                f" {self.names[int(lost.argmax())]} lie outside; expected a light that reaches over the responses"
            )
        return Channels(responses * np.interp(grid, nm, power, 0.0, 0.0), grid, self.names)

    def on(self, wavelengths: np.ndarray) -> np.ndarray:
        """Responses (channel, nm) on other wavelengths [nm]: linear between those known, 0 outside."""
        return np.stack([np.interp(wavelengths, self.wavelengths, row, 0.0, 0.0) for row in self.responses])

    def shares(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights of an integral over [low, high] nm.

        Returns
        -------
        wavelengths : array (nm,)
            A grid of 1 nm in the range.
        weights : array (channel, nm)
            Of each channel, with sum 1.
        lost : array (channel,)
            Share of each response's area outside the range.
        """
        whole = fine_grid(min(self.wavelengths[0], low), max(self.wavelengths[-1], high))
        responses = self.on(whole)
        inside = (whole >= low) & (whole <= high)
        kept = responses[:, inside].sum(1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            weights = responses[:, inside] / kept
        return whole[inside], weights, 1 - kept[:, 0] / responses.sum(1)


def fine_grid(low: float, high: float) -> np.ndarray:
    """Whole nanometres in [low, high]."""
    return np.arange(np.ceil(low - 1e-9), np.floor(high + 1e-9) + 1, _STEP)
