"""A spectrum of one or several channels on its own wavelengths, and the files and tables that it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.wavelengths import check_wavelengths
from msfit.errors import InputError
from msfit.io.text import is_number, read_text, split_line


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Values on wavelengths, between which they run straight.

    Parameters
    ----------
    wavelengths : array (node,)
        [nm], at least two, increasing or decreasing.
    values : array (node,) or (node, channel)
        Finite numbers, in relative units.
    name : str
        For messages.

    Raises
    ------
    InputError
        Shapes that do not match; wavelengths that are not nanometres, shuffled or repeated; values that are not finite.
    """

    wavelengths: np.ndarray
    values: np.ndarray
    name: str = "spectrum"

    def __post_init__(self) -> None:
        try:
            values = np.array(self.values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{self.name}: values that are not numbers; expected one a wavelength") from None
        try:
            wavelengths = check_wavelengths(self.wavelengths)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        if values.ndim not in (1, 2) or values.shape[0] != wavelengths.size or wavelengths.size < 2:
            raise InputError(
                f"{self.name}: values of shape {values.shape} on {wavelengths.size} wavelengths; "
                "expected one row a wavelength, and two or more"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{self.name}: some values are not finite; expected numbers: leave those wavelengths out")
        order = slice(None) if wavelengths[0] < wavelengths[-1] else slice(None, None, -1)
        object.__setattr__(self, "wavelengths", wavelengths[order].copy())
        object.__setattr__(self, "values", values[order])
        # Tables are read once and shared: nobody may change them for the others.
        self.wavelengths.setflags(write=False)
        self.values.setflags(write=False)

    def on(self, wavelengths: Any) -> np.ndarray:
        """Values on other wavelengths, interpolated linearly.

        Parameters
        ----------
        wavelengths : array (band,)
            [nm], inside the spectrum's own.

        Returns
        -------
        float64 array (band,) or (band, channel)

        Raises
        ------
        InputError
            A wavelength outside the spectrum: nothing is extrapolated.
        """
        target = check_wavelengths(wavelengths)
        if target.min() < self.wavelengths[0] or target.max() > self.wavelengths[-1]:
            raise InputError(
                f"wavelengths: {target.min():g}-{target.max():g} nm asked for, {self.name} holds "
                f"{self.wavelengths[0]:g}-{self.wavelengths[-1]:g} nm; choose wavelengths inside it"
            )
        channels = [
            np.interp(target, self.wavelengths, column) for column in self.values.reshape(len(self.values), -1).T
        ]
        return np.stack(channels, axis=-1).reshape(target.size, *self.values.shape[1:])


@cache
def table(file: str) -> dict[str, Spectrum]:
    """The columns of a table that ships with msfit: {name: Spectrum}."""
    text = resources.files("msfit.colour").joinpath("data", file).read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    names = lines[0].split(",")[1:]
    numbers = np.array([line.split(",") for line in lines[1:]], dtype=np.float64)
    return {name: Spectrum(numbers[:, 0], numbers[:, 1 + i], name) for i, name in enumerate(names)}


def standard_observer() -> Spectrum:
    """The CIE 1931 2 degree standard observer: x̄, ȳ, z̄ on 360-830 nm at 1 nm (CIE 15:2004)."""
    columns = table("observer_cie1931.csv")
    values = np.stack([columns[name].values for name in ("xbar", "ybar", "zbar")], axis=-1)
    return Spectrum(columns["ybar"].wavelengths, values, "CIE 1931 observer")


def read_csv(path: Path, channels: Sequence[str]) -> Spectrum:
    """Read a text table: wavelengths [nm] in the first column, then one column a channel.

    Parameters
    ----------
    path : Path
        Comma-separated. Lines that begin with # are skipped. A header line, if there is one, may give the columns in
        another order.
    channels : sequence of str
        The columns that are wanted. One alone may have any name.

    Returns
    -------
    Spectrum
        Values of shape (node, channel), or (node,) for a single channel.

    Raises
    ------
    InputError
        The file cannot be read or does not have this form.
    """
    try:
        text = read_text(path)
    except (OSError, InputError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as text ({reason}); expected a comma-separated table") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = [[cell.strip() for cell in split_line(line)] for line in lines]
    header = [cell.lower() for cell in rows.pop(0)] if rows and not is_number(rows[0][0]) else None
    form = f"expected comma-separated columns: wavelength in nm, {', '.join(channels)}"
    try:
        numbers = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {error}; {form}") from None
    names = [channel.lower() for channel in channels]
    if header is not None and len(names) > 1 and set(names) <= set(header[1:]) and len(header) == numbers.shape[-1]:
        columns = [header.index(name, 1) for name in names]
    elif numbers.ndim == 2 and numbers.shape[1] == 1 + len(names) and (header is None or len(names) == 1):
        columns = list(range(1, 1 + len(names)))
    else:
        contents = f"columns {', '.join(header)}" if header else f"a table of shape {numbers.shape}"
        raise InputError(f"{path}: {contents}; {form}")
    return Spectrum(numbers[:, 0], numbers[:, columns[0]] if len(names) == 1 else numbers[:, columns], str(path))
