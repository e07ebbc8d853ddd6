"""Pixels of three kinds: measured skin, the model's own with noise, and spectra that are no skin at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.gpu.site import NM, skin_of
from msfit.io.datasets.issa import load_faces

_NOISE = 0.003
_AT_ONCE = 2**18
# Of cheeks, from the lightest to the darkest.
_PIGMENTS = ((0.01, 0.005), (0.20, 0.06))


def measured(count: int, seed: int = 0, nm: np.ndarray = NM) -> np.ndarray:
    """Faces of the International Skin Spectra Archive under random light, float32 (count, band)."""
    faces = load_faces().cube
    spectra = np.asarray(faces.reflectance, np.float32)
    if nm is not NM:
        spectra = np.stack([np.interp(nm, faces.wavelengths, one) for one in spectra]).astype(np.float32)
    return _drawn(count, seed, len(nm), lambda rng, n: _lit(rng, spectra[rng.integers(0, len(spectra), n)]))


def modelled(count: int, seed: int = 0) -> np.ndarray:
    """The model's cheeks under random light, float32 (count, band)."""
    skin = skin_of()[0]
    low, high = np.array(_PIGMENTS)

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return _lit(rng, skin.reflectance(low + rng.random((n, 2)) ** 1.5 * (high - low)).astype(np.float32))

    return _drawn(count, seed, len(NM), draw)


def uniform(count: int, seed: int = 0) -> np.ndarray:
    """Uniform noise, float32 (count, band): every way that a descent may take."""
    return _drawn(count, seed, len(NM), lambda rng, n: rng.random((n, len(NM)), np.float32))


#: By name.
KINDS: dict[str, Callable[[int], np.ndarray]] = {"measured": measured, "modelled": modelled, "uniform": uniform}


def _lit(rng: np.random.Generator, spectra: np.ndarray) -> np.ndarray:
    light = rng.uniform((0.4, 0.0), (1.2, 0.1), (len(spectra), 2)).astype(np.float32)
    noise = _NOISE * rng.standard_normal(spectra.shape, np.float32)
    return light[:, :1] * spectra + light[:, 1:] + noise


def _drawn(count: int, seed: int, bands: int, draw: Callable[[np.random.Generator, int], np.ndarray]) -> np.ndarray:
    rng, drawn = np.random.default_rng(seed), np.empty((count, bands), np.float32)
    for first in range(0, count, _AT_ONCE):
        part = drawn[first : first + _AT_ONCE]
        part[:] = draw(rng, len(part))
    return drawn
