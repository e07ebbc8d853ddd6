"""Single precision says what double precision does: for spectra of any level, and for those without any contrast."""

from __future__ import annotations

import numpy as np
import pytest

import msfit
from msfit.data.status import Status
from msfit.solve.units import LEAST, MOST, units

NM = np.arange(400.0, 701, 10)
N = 60


def spectra(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    skin = msfit.reflectance(rng.uniform(0.02, 0.3, N), rng.uniform(0.005, 0.06, N), NM)
    return rng.uniform(0.4, 1, (N, 1)) * skin + 0.02 + 0.002 * rng.standard_normal((N, NM.size))


ORDINARY = spectra(1)
pytestmark = pytest.mark.filterwarnings("ignore::msfit.InputWarning")


def both(values: np.ndarray, **options: object) -> tuple[msfit.FitResult, msfit.FitResult]:
    """Fits in single and double precision, beside more spectra of ordinary level: these are fractions."""
    beside = np.concatenate((values, np.repeat(ORDINARY, 12, 0))).astype(np.float32)
    return msfit.fit(beside, NM, **options), msfit.fit(beside.astype(np.float64), NM, **options)


@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "msfit-issa-2026"])
@pytest.mark.parametrize("power", [-11, -9, 11, 17])
def test_spectra_of_any_level(model: str, power: int) -> None:
    bright = 10.0**power * (1.2 + ORDINARY)  # no mean below 1e-11
    single, double = both(bright, model=model)
    np.testing.assert_allclose(single.rmse[:N], double.rmse[:N], rtol=1e-4)
    np.testing.assert_array_equal(single.status[:N], double.status[:N])
    np.testing.assert_allclose(single.f_mel[:N], double.f_mel[:N], atol=2e-3)
    np.testing.assert_allclose(single.i_s[:N], double.i_s[:N], rtol=2e-3)
    alone = msfit.fit(ORDINARY.astype(np.float32), NM, model=model)
    for name in ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status"):  # others are not touched by them
        np.testing.assert_array_equal(getattr(single, name)[N : 2 * N][:12], np.repeat(getattr(alone, name), 12)[:12])


@pytest.mark.parametrize("options", [{}, {"std": True}, {"weights": np.linspace(0.5, 1, NM.size)}])
@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "jacques-km", "msfit-issa-2026"])
def test_constant_spectra_have_no_diffuse_light(model: str, options: dict[str, object]) -> None:
    levels = np.geomspace(1e-6, 3, N).astype(np.float32)
    constant = np.repeat(levels[:, None], NM.size, 1)
    constant[::2, 3] = np.nextafter(constant[::2, 3], np.float32(np.inf))  # and those that rounding has touched
    for result in both(constant, model=model, **options):
        assert (result.status[:N] == Status.NO_DIFFUSE).all()
        assert np.isnan(result.f_mel[:N]).all()
        assert (result.i_d[:N] == 0).all()
        np.testing.assert_allclose(result.i_s[:N], levels, rtol=1e-6)
        assert (result.status[N:] != Status.NO_DIFFUSE).all()


@pytest.mark.parametrize("model", ["alotaibi-smith-2019", "msfit-issa-2026"])
@pytest.mark.parametrize("contrast", [3e-3, 1e-3, 1e-5])
def test_a_little_contrast_is_no_constant(model: str, contrast: float) -> None:
    single, double = both(0.5 + contrast * ORDINARY, model=model)
    assert (double.i_d[:N] > 0).all()
    np.testing.assert_array_equal(single.status[:N], double.status[:N])
    np.testing.assert_allclose(single.i_d[:N], double.i_d[:N], rtol=1e-3)
    np.testing.assert_allclose(single.rmse[:N], double.rmse[:N], rtol=1e-2, atol=1e-8)


def test_units_are_powers_of_two_for_far_pixels_alone() -> None:
    level = np.array([0.5, 1e-9, 1e12, LEAST * 1.01, MOST * 0.99, 0, np.nan])
    pixels = np.repeat(level[:, None], 4, 1)
    found = units(pixels, level)
    assert found is not None
    np.testing.assert_array_equal(np.frexp(found)[0], np.full((7, 1), 0.5))
    np.testing.assert_array_equal(found.ravel() == 1, [True, False, False, True, True, True, True])
    scaled = pixels[1:3] / found[1:3]
    assert ((scaled > 0.7) & (scaled < 1.5)).all()
    assert (units(pixels[:1], level[:1]) == 1).all()


def test_scenes_in_coefficients_of_any_level() -> None:
    from msfit.data.low_rank import LinearSpectra

    nm = np.linspace(400, 720, 120)
    rng = np.random.default_rng(3)
    skin = msfit.reflectance(rng.uniform(0.02, 0.3, 400), rng.uniform(0.005, 0.06, 400), nm)
    _, _, basis = np.linalg.svd(skin, full_matrices=False)
    functions = basis[:6].T
    coefficients = skin @ functions
    levels = np.where(np.arange(400) < 30, 1e12, 1.0)
    values = LinearSpectra(
        np.ascontiguousarray((levels[:, None] * coefficients)[None], np.float32), functions, np.zeros(120)
    )
    result = msfit.fit(msfit.Cube(values, nm))
    expected = msfit.fit(msfit.Cube(np.asarray(values, np.float64), nm))
    np.testing.assert_allclose(result.rmse, expected.rmse, rtol=2e-3, atol=1e-6)  # of coefficients in single precision
    np.testing.assert_array_equal(result.status, expected.status)
