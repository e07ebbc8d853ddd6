"""Wavelengths are nanometres, sorted and one a band, or the message says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from msfit.data.wavelengths import check_wavelengths, to_nanometres
from msfit.errors import InputError


@pytest.mark.parametrize("shape", [(31,), (31, 1), (1, 31)])
def test_any_vector_is_taken(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(
        check_wavelengths(np.arange(400, 701, 10).reshape(shape), (31,)), np.arange(400.0, 701, 10)
    )


def test_one_wavelength_is_a_vector() -> None:
    assert check_wavelengths(550).shape == (1,)


@pytest.mark.parametrize(
    ("wavelengths", "message"),
    [
        (np.linspace(0.4, 0.7, 31), "micrometres"),
        (np.linspace(4e-7, 7e-7, 31), "micrometres or another unit"),
        (np.linspace(4e5, 7e5, 31), "no nanometres"),
        ([400, 420, 410], "neither increasing nor decreasing"),
        ([400, 410, 410, 420], "repeated"),
        ([400, 410, 400], "repeated"),
        ([400, np.nan, 420], "not finite"),
        ([[400, 410], [420, 430]], "one number a band"),
        ([], "one number a band"),
        (["a", "b"], "one real number a band"),
        ([400 + 1j], "one real number a band"),
        ([[400], [410, 420]], "one real number a band"),
        (None, "one real number a band"),
    ],
)
def test_refusals(wavelengths: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_wavelengths(wavelengths)


def test_one_a_band() -> None:
    with pytest.raises(InputError, match="found 31 for 33 bands"):
        check_wavelengths(np.arange(400, 701, 10), (33,))


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (410, "nm"),
        (410, "Nanometers"),
        (0.41, "um"),
        (0.41, "Micrometers"),
        (0.41, "µm"),
        (4.1e-7, "m"),
        (4100, "Angstrom"),
        (410, None),
        (410, "Unknown"),
    ],
)
def test_stated_units_are_converted(value: float, unit: str | None) -> None:
    np.testing.assert_array_equal(to_nanometres([value], unit), [410.0])


def test_a_unit_that_is_no_length_is_refused() -> None:
    with pytest.raises(InputError, match="in the unit 'GHz'; expected nm"):
        to_nanometres([410], "GHz")
