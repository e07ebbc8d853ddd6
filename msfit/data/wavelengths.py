"""Wavelengths: nanometres, sorted, one a band; and the units that files state them in."""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.errors import InputError

# Wavelengths below this are taken for micrometres (or metres): optical nanometre scales start above 100.
_SMALLEST_NM = 100.0
_LARGEST_NM = 1.0e5

_NANOMETRES = {
    1.0: ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    1.0e3: ("um", "µm", "μm", "micrometer", "micrometers", "micrometre", "micrometres", "micron", "microns"),
    1.0e6: ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    1.0e9: ("m", "meter", "meters", "metre", "metres"),
    0.1: ("a", "å", "angstrom", "angstroms", "ångström"),
}
_FACTORS = {name: factor for factor, names in _NANOMETRES.items() for name in names}


def to_nanometres(wavelengths: Any, unit: str | None) -> np.ndarray:
    """Wavelengths in a stated unit as float64 nanometres; without a stated unit they are returned as they are.

    Parameters
    ----------
    wavelengths : array
        Numbers in `unit`.
    unit : str or None
        nm, um (micron), mm, m or angstrom, in any usual spelling. ``None``, empty and "unknown" state nothing.

    Raises
    ------
    InputError
        Not numbers; a unit that is no length.
    """
    found = _as_numbers(wavelengths)
    stated = (unit or "").strip().lower().replace("\ufffd", "µ")  # one of Latin-1 that was read as UTF-8
    if stated in ("", "unknown", "none"):
        return found
    if stated not in _FACTORS:
        raise InputError(f"wavelengths: in the unit {unit!r}; expected nm, um, mm, m or angstrom")
    scaled = found * _FACTORS[stated]
    # 0.41 um is 410 nm, not 409.99999999999994
    return np.round(scaled, 9) if _FACTORS[stated] != 1.0 else scaled


def check_wavelengths(wavelengths: Any, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Wavelengths as a float64 array (band,) [nm], strictly increasing or strictly decreasing.

    Parameters
    ----------
    wavelengths : array
        One number a band [nm]; axes of length one are dropped.
    shape : tuple of int, optional
        Of the values that they belong to, whose last axis has the bands.

    Raises
    ------
    InputError
        Not one finite number a band, not nanometres, shuffled or repeated.
    """
    found = _as_numbers(wavelengths).squeeze()
    if found.ndim == 0:
        found = found.reshape(1)
    if found.ndim != 1 or found.size == 0:
        raise InputError(f"wavelengths: found an array of shape {found.shape}; expected one number a band")
    if shape and found.size != shape[-1]:
        if found.size in shape[:-1]:
            axis = shape.index(found.size)
            raise InputError(
                f"wavelengths: found {found.size}, and as many along axis {axis} of values {shape}; expected the bands"
                f" on the last axis: np.moveaxis(values, {axis}, -1)"
            )
        raise InputError(f"wavelengths: found {found.size} for {shape[-1]} bands; expected one a band")
    if not np.isfinite(found).all():
        raise InputError("wavelengths: some are not finite; expected nanometres")
    span = f"{found.min():g} to {found.max():g}"
    if found.min() < _SMALLEST_NM:
        raise InputError(
            f"wavelengths: {span} look like micrometres or another unit;"
            " expected nanometres: multiply micrometres by 1000"
        )
    if found.max() > _LARGEST_NM:
        raise InputError(f"wavelengths: {span} are no nanometres of light; expected nanometres")
    if np.unique(found).size != found.size:
        raise InputError(
            "wavelengths: some are repeated; expected one band a wavelength: drop or average the repeated bands"
        )
    steps = np.diff(found)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            "wavelengths: neither increasing nor decreasing; expected sorted bands: sort bands and wavelengths together"
        )
    return found


def interpolated(name: str, values: np.ndarray, wavelengths: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Spectra on other wavelengths inside their own range, linearly between their samples.

    Parameters
    ----------
    name : str
        What messages call the spectra.
    values : array (..., band)
        The spectra.
    wavelengths : array (band,)
        Theirs [nm], strictly increasing or decreasing.
    target : array (sample,)
        The new ones [nm].

    Returns
    -------
    array (..., sample)
        `values` themselves where the wavelengths are the same.

    Raises
    ------
    InputError
        A target lies outside the spectra's range: nothing is extrapolated.
    """
    own = wavelengths
    if own.shape == target.shape and np.allclose(own, target, rtol=0, atol=1e-6):
        return values
    if own[0] > own[-1]:
        own, values = own[::-1], values[..., ::-1]
    if target.min() < own[0] or target.max() > own[-1]:
        raise InputError(
            f"{name}: holds {own[0]:g}-{own[-1]:g} nm, the picture {target.min():g}-{target.max():g} nm;"
            " expected all of its range"
        )
    left = np.clip(np.searchsorted(own, target, side="right") - 1, 0, max(0, own.size - 2))
    right = np.minimum(left + 1, own.size - 1)
    share = (target - own[left]) / np.where(right > left, own[right] - own[left], 1.0)
    return values[..., left] * (1 - share) + values[..., right] * share


def _as_numbers(wavelengths: Any) -> np.ndarray:
    try:
        found = np.asarray(wavelengths)
        if found.dtype.kind not in "uif":
            raise TypeError
        return found.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"wavelengths: found {type(wavelengths).__name__}; expected one real number a band") from None
