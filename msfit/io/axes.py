"""Which axis of an array holds the bands."""

from __future__ import annotations

from typing import Any

from msfit.errors import InputError

ORIENTATIONS = ("bands-last", "bands-first")


def bands_last(name: str, values: Any, bands: int, orientation: str | None = None) -> Any:
    """The array with its bands on the last axis: (y, x, band) or (pixel, band).

    Parameters
    ----------
    name : str
        What messages call the array.
    values : array of 1 to 3 dimensions
        Numpy or dask.
    bands : int
        Number of wavelengths, which the axis of bands must have.
    orientation : {"bands-last", "bands-first"}, optional
        Without it the axis is the one as long as there are wavelengths.

    Raises
    ------
    InputError
        No axis has that length, or both the first and the last do.
    """
    if orientation is not None and orientation not in ORIENTATIONS:
        raise InputError(f"orientation: found {orientation!r}; expected one of {', '.join(ORIENTATIONS)}")
    shape = tuple(values.shape)
    if len(shape) == 1:
        values, shape = values[None], (1, *shape)
    if len(shape) not in (2, 3):
        raise InputError(f"{name}: found an array of shape {shape}; expected (y, x, band) or (pixel, band)")
    first, last = shape[0] == bands, shape[-1] == bands
    if orientation is None and first and last:
        raise InputError(
            f"{name}: an array of shape {shape} with {bands} wavelengths can be read either way;"
            " pass orientation='bands-last' or orientation='bands-first'"
        )
    fits = {"bands-last": last, "bands-first": first, None: first or last}[orientation]
    if not fits:
        axis = {"bands-last": "last", "bands-first": "first", None: "first or last"}[orientation]
        raise InputError(
            f"{name}: found an array of shape {shape} with {bands} wavelengths; expected {bands} bands on its {axis}"
            " axis: check that the wavelengths belong to it"
        )
    if orientation is None:
        orientation = "bands-first" if first else "bands-last"
    if orientation == "bands-last":
        return values
    return values.transpose(*range(1, len(shape)), 0)
