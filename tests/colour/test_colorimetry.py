"""Colour of measured spectra against the tables of colour-science, summed over 1 nm inside the measured range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from msfit.colour.colorimetry import rgb_weights, spectrum_to_xyz, xyz_weights
from msfit.colour.spectra import Spectrum, standard_observer
from msfit.colour.transforms import adaptation_matrix, apply_matrix, d65_white, xyz_to_lab
from msfit.data.cube import Cube
from msfit.errors import InputError
from msfit.metrics import colour_difference
from msfit.rendering import render

colour = pytest.importorskip("colour")


def summed_by_hand(reflectance: np.ndarray, wavelengths: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """XYZ of spectra (sample, band) and of white, from colour-science's tables alone."""
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"]
    light = colour.SDS_ILLUMINANTS[name]
    ends = (wavelengths, observer.wavelengths, light.wavelengths)
    grid = np.arange(max(w[0] for w in ends), min(w[-1] for w in ends) + 1)
    power = light[grid][:, None] * observer[grid]
    k = 1 / power[:, 1].sum()
    fine = np.stack([np.interp(grid, wavelengths, spectrum) for spectrum in reflectance])
    return k * fine @ power, k * power.sum(axis=0)


@pytest.mark.parametrize("name", ["A", "D65", "F2", "F11"])
def test_measured_cheeks_agree_with_colour_science(reference_data: Path, name: str) -> None:
    file = scipy.io.loadmat(reference_data / "iset_cheeks.mat")
    cheeks, wavelengths = file["data"].T, file["wavelength"].ravel()
    assert cheeks.shape[0] == 71
    xyz, white = summed_by_hand(cheeks, wavelengths, name.replace("F", "FL"))
    np.testing.assert_allclose(spectrum_to_xyz(cheeks, wavelengths, name), xyz, rtol=1e-6)

    target = colour.xy_to_XYZ((0.3127, 0.3290))
    to_lab = {"illuminant": (0.3127, 0.3290)}
    theirs = colour.XYZ_to_Lab(xyz / white * target, **to_lab)
    picture = render(Cube(cheeks, wavelengths), name)
    to_xyz = colour.normalised_primary_matrix([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]], (0.3127, 0.3290))
    ours = colour.XYZ_to_Lab(picture @ to_xyz.T, **to_lab)
    assert colour.delta_E(theirs, ours, method="CIE 2000").max() < 0.01
    assert colour_difference(picture, np.linalg.solve(to_xyz, (xyz / white * target).T).T).max() < 0.01


def test_bradford_is_an_option() -> None:
    wavelengths = np.arange(400.0, 701.0, 10.0)
    weights = xyz_weights(wavelengths, "A")
    spectrum = np.linspace(0.1, 0.8, 31)
    white = torch.from_numpy(weights.sum(axis=0))
    adapted = apply_matrix(adaptation_matrix(white, d65_white(), "bradford"), torch.from_numpy(spectrum @ weights))
    rgb = spectrum @ rgb_weights(wavelengths, "A", adaptation="bradford")
    to_xyz = colour.normalised_primary_matrix([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]], (0.3127, 0.3290))
    np.testing.assert_allclose(to_xyz @ rgb, adapted, rtol=1e-12)
    assert np.abs(rgb - spectrum @ rgb_weights(wavelengths, "A")).max() > 1e-3


@pytest.mark.parametrize("bands", [np.arange(400.0, 701.0, 10.0), np.array([415.3, 450.0, 450.4, 451.0, 600.5, 699.2])])
def test_weights_sum_what_interpolation_gives(bands: np.ndarray) -> None:
    spectra = np.random.default_rng(0).random((5, bands.size))
    observer, light = standard_observer(), Spectrum(np.array([300.0, 900.0]), np.array([1.0, 3.0]))
    grid = np.arange(np.ceil(bands[0]), np.floor(bands[-1]) + 1)
    power = light.on(grid)[:, None] * observer.on(grid)
    direct = np.stack([np.interp(grid, bands, s) for s in spectra]) @ power / power[:, 1].sum()
    np.testing.assert_allclose(spectrum_to_xyz(spectra, bands, light), direct, rtol=1e-12)


def test_the_daylight_white_is_that_of_the_standard() -> None:
    white = xyz_weights(np.arange(360.0, 831.0), "D65").sum(axis=0)
    np.testing.assert_allclose(white, [0.95047, 1.0, 1.08883], atol=2e-5)


@pytest.mark.parametrize("adaptation", ["xyz-scaling", "bradford"])
def test_white_is_white_under_any_light(adaptation: str) -> None:
    for name in ("A", "E", "D4000", "D25000", *(f"F{n}" for n in range(1, 13))):
        white = rgb_weights(np.arange(420.0, 701.0, 10.0), name, adaptation=adaptation).sum(axis=0)
        np.testing.assert_allclose(white, 1, atol=1e-12)


def test_bands_without_weight_may_be_nan() -> None:
    bands = np.arange(300.0, 1001.0, 50.0)
    spectrum = np.full(bands.size, 0.5)
    spectrum[[0, -1]] = np.nan
    assert np.isfinite(spectrum_to_xyz(spectrum, bands)).all()


def test_spectra_in_torch_are_differentiable() -> None:
    bands = np.arange(400.0, 701.0, 20.0)
    spectra = torch.rand(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: xyz_to_lab(spectrum_to_xyz(r, bands, "F2")), (spectra,))


@pytest.mark.parametrize("bands", [np.arange(600.0, 1001.0, 10.0), np.arange(400.0, 551.0, 10.0), np.array([550.0])])
def test_too_little_of_the_visible_range_is_refused(bands: np.ndarray) -> None:
    with pytest.raises(InputError, match="too little of what the eye sees"):
        xyz_weights(bands)


def test_a_range_apart_from_all_light_is_refused() -> None:
    with pytest.raises(InputError, match="share no wavelength"):
        xyz_weights(np.arange(900.0, 1001.0, 10.0))
