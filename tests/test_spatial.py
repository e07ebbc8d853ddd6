"""`msfit.fit_spatial`: what the priors do to a picture, masks, statuses, what is refused, and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import msfit
from msfit import Cube, InputError, Status
from msfit.cli.app import app

NM = np.arange(400.0, 701.0, 10.0)
MODEL = "alotaibi-smith-2019"
F_MEL = np.where(np.hypot(*(np.mgrid[:16, :16] - 7.5)) < 4, 0.15, 0.05)
SKIN = 0.8 * msfit.reflectance(F_MEL, 0.03, NM, model="alotaibi-smith-2019") + 0.02
NOISY = SKIN + 0.01 * np.random.default_rng(5).standard_normal(SKIN.shape)


def fit_spatial(cube: Any = NOISY, **options: Any) -> msfit.FitResult:
    return msfit.fit_spatial(cube, None if isinstance(cube, Cube) else NM, **({"model": MODEL} | options))


def error(found: np.ndarray, truth: Any, where: Any = ...) -> float:
    return float(np.sqrt(np.mean((found - truth)[where] ** 2)))


def test_priors_bring_noisy_maps_nearer_the_truth() -> None:
    alone, found = msfit.fit(NOISY, NM, model=MODEL), fit_spatial(tv=0.01)
    assert error(found.f_mel, F_MEL) < 0.7 * error(alone.f_mel, F_MEL)
    assert error(found.f_blood, 0.03) < 0.2 * error(alone.f_blood, 0.03)
    assert (found.status == Status.CONVERGED).all()
    assert found.f_mel.dtype == np.float64
    history = found.attrs["objective"]
    assert (np.diff(history) <= 0).all()
    assert len(history) == found.attrs["iterations"] + 1
    assert found.attrs["settled"]
    assert found.attrs["tv"] == 0.01
    assert fit_spatial(NOISY.astype(np.float32), tv=0.01).f_mel.dtype == np.float32


def test_the_objective_is_that_of_the_maps() -> None:
    some = NOISY[:10, :10]
    found = fit_spatial(some, tv=0.02, sparsity=0.05, tv_shading=0.01)
    residual = (
        some
        - found.i_d[..., None] * msfit.reflectance(found.f_mel, found.f_blood, NM, model="alotaibi-smith-2019")
        - found.i_s[..., None]
    )

    def variation(image: np.ndarray) -> float:
        right, down = np.diff(image, axis=1, append=image[:, -1:]), np.diff(image, axis=0, append=image[-1:])
        return float(np.sqrt(right**2 + down**2).sum())

    expected = (residual**2).sum() + 0.05 * found.i_s.sum()
    expected += 0.02 * (variation(found.f_mel / 0.43) + variation(found.f_blood / 0.07))
    expected += 0.01 * (variation(found.i_d) + variation(found.i_s))
    assert found.attrs["objective"][-1] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(found.rmse, np.sqrt((residual**2).mean(-1)), rtol=1e-9)


def test_sparsity_alone_leaves_pixels_to_themselves() -> None:
    options = {"tv": 0, "sparsity": 0.2, "tolerance": 1e-13}
    found = fit_spatial(**options)
    assert found.attrs["settled"]
    alone = msfit.fit(NOISY, NM, model=MODEL)
    assert (found.i_s <= alone.i_s + 1e-6).all()
    assert (found.i_s == 0).mean() > (alone.i_s == 0).mean()
    np.testing.assert_allclose(fit_spatial(NOISY[:5, 3:9], **options).i_s, found.i_s[:5, 3:9], atol=1e-8)


def test_masked_pixels_take_no_part() -> None:
    """A fitted region does not feel what is outside it, nor a region that it does not touch."""
    mask = np.zeros((16, 16), bool)
    mask[:, :7] = mask[:, 9:] = True
    spoiled = NOISY.copy()
    spoiled[:, 7:9] = 0.5
    spoiled[3, 4] = np.nan
    options = {"tv": 0.02}
    found = fit_spatial(spoiled, mask=mask, **options)
    assert (found.status[:, 7:9] == Status.MASKED_BY_USER).all()
    assert found.status[3, 4] == Status.MASKED_TOO_FEW_BANDS
    assert np.isnan(found.f_mel[:, 7:9]).all()
    assert np.isnan(found.f_mel[3, 4])
    left = fit_spatial(spoiled[:, :7], **options)
    np.testing.assert_allclose(found.f_mel[:, :7], left.f_mel, atol=1e-4)


def test_unusable_bands_have_no_weight() -> None:
    sound = NOISY[:10, :10]
    spoiled = sound.copy()
    spoiled[:3, :3, 20:] = np.inf
    found, clean = fit_spatial(spoiled, tv=0.02), fit_spatial(sound, tv=0.02)
    assert found.fitted.all()
    assert np.abs(found.f_mel - clean.f_mel).max() < 0.01
    assert np.isfinite(found.rmse).all()


def test_bounds_hold_and_are_named() -> None:
    found = fit_spatial(tv=0.01, bounds={"f_mel": (0.013, 0.1), "f_blood": (0.03, 0.03)})
    assert found.f_mel.max() == 0.1
    assert found.f_mel.min() >= 0.013
    np.testing.assert_array_equal(found.f_blood, 0.03)
    assert set(found.counts()) == {Status.CONVERGED, Status.F_MEL_UPPER}


def test_a_fit_that_has_not_settled_says_so() -> None:
    told: list[tuple[int, int]] = []
    found = fit_spatial(tv=0.01, iterations=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert not found.attrs["settled"]
    assert (found.status == Status.NOT_CONVERGED).all()


def test_pixels_without_diffuse_light_have_no_pigments() -> None:
    grey = SKIN.copy()
    grey[4, 4] = np.linspace(0.5, 0.3, 31)
    found = fit_spatial(grey, tv=0.01)
    assert found.status[4, 4] == Status.NO_DIFFUSE
    assert np.isnan(found.f_mel[4, 4])
    assert np.isfinite(np.delete(found.f_mel.ravel(), 4 * 16 + 4)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tv": -1}, "tv: found -1; expected a finite number"),
        ({"sparsity": np.inf}, "sparsity: found inf"),
        ({"tv_shading": "much"}, "tv_shading: found 'much'"),
        ({"tv": True}, "tv: found True"),
        ({"tv": 0}, "all are 0"),
        ({"iterations": 0}, "iterations: found 0"),
        ({"tolerance": 0}, "tolerance: found 0"),
        ({"cube": NOISY[0]}, "found 16 spectra; expected a picture"),
        ({"mask": np.zeros((16, 16))}, "no pixel is left"),
    ],
)
def test_what_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit_spatial(**options)


def test_command_line(tmp_path: Path) -> None:
    scene, result = tmp_path / "scene.npz", tmp_path / "maps.h5"
    np.savez(scene, reflectance=NOISY, wavelengths=NM)
    command = ["fit", str(scene), "-o", str(result), "--model", MODEL]
    done = CliRunner().invoke(app, [*command, "--tv", "0.01", "--sparsity", "0.001"])
    assert done.exit_code == 0, done.output
    found, expected = msfit.load_result(result), fit_spatial(tv=0.01, sparsity=0.001)
    np.testing.assert_array_equal(found.f_mel, expected.f_mel)
    assert found.attrs["sparsity"] == 0.001
    assert found.attrs["objective"].startswith("[")
    refused = CliRunner().invoke(app, [*command, "--overwrite", "--tv", "0.01", "--std"])
    assert isinstance(refused.exception, InputError)
    assert "std: is of fits of each pixel on its own, which msfit.fit_spatial does not do" in str(refused.exception)
