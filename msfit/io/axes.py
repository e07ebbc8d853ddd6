"""Which axis of an array holds the bands."""

from __future__ import annotations

from typing import Any

from msfit.errors import InputError

ORIENTATIONS = ("bands-last", "bands-first")


def band_axis(name: str, shape: tuple[int, ...], bands: int, orientation: str | None = None) -> int:
    """The axis of the bands: 0 or -1.

    Parameters
    ----------
    name : str
        What messages call the array.
    shape : tuple of int
        Two or three lengths.
    bands : int
        Number of wavelengths, which the axis of the bands must have.
    orientation : {"bands-last", "bands-first"}, optional
        Without it the axis is the one as long as there are wavelengths.

    Raises
    ------
    InputError
        No such axis has that length, or both the first and the last do.
    """
    if orientation is not None and orientation not in ORIENTATIONS:
        raise InputError(f"orientation: found {orientation!r}; expected one of {', '.join(ORIENTATIONS)}")
    if len(shape) not in (2, 3):
        raise InputError(f"{name}: found an array of shape {shape}; expected (y, x, band) or (pixel, band)")
    first, last = shape[0] == bands, shape[-1] == bands
    if orientation is None and first and last:
        raise InputError(
            f"{name}: an array of shape {shape} with {bands} wavelengths can be read either way;"
            " --orientation bands-last or bands-first (orientation=)"
        )
    fits = {"bands-last": last, "bands-first": first, None: first or last}[orientation]
    if not fits:
        axis = {"bands-last": "last", "bands-first": "first", None: "first or last"}[orientation]
        raise InputError(
            f"{name}: found an array of shape {shape} with {bands} wavelengths; expected {bands} bands on its {axis}"
            " axis: check that the wavelengths belong to it"
        )
    return 0 if orientation == "bands-first" or (orientation is None and first) else -1


def bands_last(name: str, values: Any, bands: int, orientation: str | None = None) -> Any:
    """The array, numpy or dask, with its bands on the last axis; a single spectrum becomes one pixel.

    Parameters and errors are those of `band_axis`.
    """
    if values.ndim == 1:
        values = values[None]
    if band_axis(name, tuple(values.shape), bands, orientation) == -1:
        return values
    return values.transpose(*range(1, values.ndim), 0)
