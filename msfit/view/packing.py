"""Maps and spectra as short base64 text that a browser unpacks: deflated float32, and few 16-bit coefficients."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

COEFFICIENTS = 8  # a pixel
_STEPS = 32767


def pack(values: np.ndarray) -> str:
    """Little-endian bytes of an array, deflated (RFC 1950), as base64."""
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(data.tobytes(), 6)).decode("ascii")


def pack_spectra(spectra: np.ndarray) -> dict[str, Any]:
    """Spectra (pixel, band) as mean + basis times coefficients of 16 bits, by their principal components.

    Parameters
    ----------
    spectra : float array (pixel, band)
        [1]; a pixel with a missing sample is left out.

    Returns
    -------
    dict
        `mean` (band), `basis` (component, band) scaled to steps of the coefficients, `coefficients` packed int16
        (component, pixel), `known` packed uint8 (pixel), and `error`, the RMS of what is lost [1].
    """
    known = np.isfinite(spectra).all(axis=1)
    values = spectra[known].astype(np.float64)
    count, bands = values.shape
    mean = values.mean(axis=0) if count else np.zeros(bands)
    centred = values - mean
    # eigenvectors of the covariance: bands are few, pixels are many
    components = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, : min(COEFFICIENTS, bands)].T
    exact = centred @ components.T
    step = np.maximum(np.abs(exact).max(axis=0), 1e-12) / _STEPS if count else np.ones(len(components))
    rounded = np.rint(exact / step)
    basis = components * step[:, None]
    lost = values - mean - rounded @ basis
    coefficients = np.zeros((len(components), len(spectra)), np.int16)
    coefficients[:, known] = rounded.T
    return {
        "mean": mean.tolist(),
        "basis": basis.tolist(),
        "coefficients": pack(coefficients),
        "known": pack(known.astype(np.uint8)),
        "error": float(np.sqrt((lost**2).mean())) if count else 0.0,
    }
