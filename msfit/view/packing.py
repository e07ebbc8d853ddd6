"""Maps and spectra as short base64 text that a browser unpacks: bytes in planes, deflated; few 16-bit coefficients."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

COEFFICIENTS = 8  # a pixel
_STEPS = 32767


@dataclass(frozen=True, eq=False)
class Blob:
    """Packed numbers: text for the page, and their type as the page names it ("f4", "i2", "u2", "u1")."""

    text: str
    kind: str


def pack(values: np.ndarray) -> Blob:
    """Little-endian numbers, all first bytes before all second ones, deflated (RFC 1950), as base64.

    Bytes of one significance are alike: exponents and signs take little room beside digits that are noise.
    """
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    planes = data.view(np.uint8).reshape(-1, data.dtype.itemsize).T
    text = base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 6)).decode("ascii")
    return Blob(text, f"{data.dtype.kind}{data.dtype.itemsize}")


def unpack(text: str, kind: str) -> np.ndarray:
    """What `pack` has packed, flat.

    Examples
    --------
    >>> blob = pack(np.array([[0.5, -3], [1, 2]], np.float32))
    >>> unpack(blob.text, blob.kind).tolist()
    [0.5, -3.0, 1.0, 2.0]
    """
    dtype = np.dtype(f"<{kind}")
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).ravel()


def pack_spectra(spectra: np.ndarray) -> tuple[dict[str, Any], dict[str, Blob]]:
    """Spectra (pixel, band) as mean + basis times coefficients of 16 bits, by their principal components.

    Coefficients share one step, half of what the components that are left out lose, so that rounding adds a
    hundredth to it: those that are noise are small integers, which deflate well.

    Parameters
    ----------
    spectra : float array (pixel, band)
        [1]; a pixel with a missing sample is left out.

    Returns
    -------
    dict
        `mean` (band), `basis` (component, band) in steps of the coefficients, and `error`, the RMS of what is lost [1].
    dict of Blob
        `coefficients` int16 (component, pixel) and `known` uint8 (pixel).
    """
    known = np.isfinite(spectra).all(axis=1)
    values = spectra[known].astype(np.float64)
    count, bands = values.shape
    mean = values.mean(axis=0) if count else np.zeros(bands)
    centred = values - mean
    # eigenvectors of the covariance: bands are few, pixels are many
    components = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, : min(COEFFICIENTS, bands)].T
    exact = centred @ components.T
    left_out = float(np.sqrt(((centred - exact @ components) ** 2).mean())) if count else 0.0
    step = max(left_out / 2, float(np.abs(exact).max(initial=0)) / _STEPS, 1e-7)
    rounded = np.rint(exact / step)
    basis = components * step
    lost = centred - rounded @ basis
    coefficients = np.zeros((len(components), len(spectra)), np.int16)
    coefficients[:, known] = rounded.T
    described = {
        "mean": mean.tolist(),
        "basis": basis.tolist(),
        "error": float(np.sqrt((lost**2).mean())) if count else 0.0,
    }
    return described, {"coefficients": pack(coefficients), "known": pack(known.astype(np.uint8))}
