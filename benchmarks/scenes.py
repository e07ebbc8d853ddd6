"""Scenes for timing: measured skin under random light and noise, on any number of bands; the same as coefficients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

import msfit
from msfit.colour.illuminants import illuminant
from msfit.io.datasets.issa import load_faces

NOISE = 0.002
_SAMPLE = 20_000  # spectra that the functions are found from


def measured_scene(pixels: int, seed: int = 4) -> msfit.Cube:
    """A picture (y, x, 31) of `pixels` measured spectra, shaded between 0.4 and 1.2 of full light, noise 0.002."""
    faces = load_faces().cube
    return msfit.Cube(_shaded(np.asarray(faces.reflectance), pixels, seed), faces.wavelengths)


def scene_on(bands: int, pixels: int, seed: int = 4) -> msfit.Cube:
    """The same on `bands` bands from 400 to 720 nm; beyond 700 nm the spectra keep their last value."""
    faces = load_faces().cube
    nm = np.linspace(400, 720, bands)
    spectra = np.stack([np.interp(nm, faces.wavelengths, spectrum) for spectrum in np.asarray(faces.reflectance)])
    return msfit.Cube(_shaded(spectra, pixels, seed), nm)


def coefficient_file(scene: msfit.Cube, path: Path, terms: int = 6) -> None:
    """Write a scene's best approximation by `terms` functions and the mean as an ISET file, float32, under light A."""
    spectra = scene.values.reshape(-1, scene.wavelengths.size)
    light = 1e15 * illuminant("A").on(scene.wavelengths)
    radiance = spectra[:: max(1, len(spectra) // _SAMPLE)].astype(np.float64) * light
    mean = radiance.mean(0)
    basis = np.linalg.svd(radiance - mean, full_matrices=False)[2][:terms].T
    coefficients = (spectra @ (light[:, None] * basis) - mean @ basis).astype(np.float32)
    photons = {"type": "illuminant", "spectrum": {"wave": scene.wavelengths}, "data": {"photons": light[:, None]}}
    contents = {
        "mcCOEF": coefficients.reshape(*scene.shape, terms),
        "basis": {"basis": basis.astype(np.float32), "wave": scene.wavelengths},
        "imgMean": mean,
        "illuminant": photons,
    }
    savemat(path, contents)


def _shaded(spectra: np.ndarray, pixels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    width = 1000 if pixels % 1000 == 0 else 1
    samples = spectra[rng.integers(0, len(spectra), pixels)].astype(np.float32)
    samples *= rng.uniform(0.4, 1.2, (pixels, 1)).astype(np.float32)
    samples += NOISE * rng.standard_normal(samples.shape, dtype=np.float32)
    return samples.reshape(-1, width, spectra.shape[1])
