"""The light in front of the camera, and the camera's noise."""

from __future__ import annotations

import numpy as np

from msfit.colour.illuminants import illuminant as find_illuminant
from msfit.io.units import photons_from_energy
from msfit.synth.spectra import WAVELENGTHS

_LAMPS = ("A", "D50", "D55", "D65", "D75", "D4500", "D10000", "E", "F2", "F7", "F11")
# Of the order of a lit studio [photons / (s sr m^2 nm)].
_MEAN_PHOTONS = 3.0e15
# Electrons of a full well and of the read noise, of the order of scientific CMOS sensors; the brightest sample of a
# scene fills three quarters of its well.
_FULL_WELL, _READ_NOISE, _EXPOSURE = 30_000.0, 12.0, 0.75


def random_illuminant(rng: np.random.Generator, size: int) -> np.ndarray:
    """Light that a white card would return at each pixel, float32 (y, x, band) [photons / (s sr m^2 nm)].

    A lamp with a falloff over the picture, as in the scenes that ISETCam's `sceneToFile` writes; in every other scene
    a second lamp takes over part of the light towards one side.
    """
    energy = [find_illuminant(str(name)).on(WAVELENGTHS) for name in rng.choice(_LAMPS, 2, replace=False)]
    first, second = (
        lamp * (_MEAN_PHOTONS / lamp.mean()) for lamp in photons_from_energy(np.stack(energy), WAVELENGTHS)
    )
    across, down = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    middle = rng.uniform(-0.8, 0.8, 2)
    falloff = 1 / (1 + rng.uniform(0.05, 0.35) * ((across - middle[0]) ** 2 + (down - middle[1]) ** 2))
    way, most = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.5) * (rng.random() < 0.5)
    share = most / (1 + np.exp(-3 * (np.cos(way) * across + np.sin(way) * down)))
    return (falloff[..., None] * (first + share[..., None] * (second - first))).astype(np.float32)


def record(radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Radiance with the Poisson noise of photons and the Gaussian noise of reading them out, float32."""
    electrons_each = _EXPOSURE * _FULL_WELL / float(radiance.max())
    counted = rng.poisson(radiance * electrons_each) + _READ_NOISE * rng.standard_normal(radiance.shape, np.float32)
    return (counted / electrons_each).astype(np.float32)
