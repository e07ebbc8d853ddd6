"""Scenes for timing: measured skin under random light and noise, on any number of bands."""

from __future__ import annotations

import numpy as np

import msfit
from msfit.io.issa import load_faces

NOISE = 0.002


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


def _shaded(spectra: np.ndarray, pixels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    width = 1000 if pixels % 1000 == 0 else 1
    found = spectra[rng.integers(0, len(spectra), pixels)].astype(np.float32)
    found *= rng.uniform(0.4, 1.2, (pixels, 1)).astype(np.float32)
    found += NOISE * rng.standard_normal(found.shape, dtype=np.float32)
    return found.reshape(-1, width, spectra.shape[1])
