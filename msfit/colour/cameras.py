"""Camera sensitivities: from files, and as a statistical model of measured cameras."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msfit.colour.spectra import Spectrum, read_csv
from msfit.errors import InputError

_CHANNELS = ("R", "G", "B")


def read_sensitivities(path: str | Path) -> Spectrum:
    """Read the spectral sensitivities of a camera.

    Parameters
    ----------
    path : str or Path
        A JSON file of rawtoaces-data (``spectral_data.data.main``: {wavelength: [R, G, B]}), or a CSV file with the
        columns wavelength [nm], R, G, B.

    Returns
    -------
    Spectrum
        Values (node, 3), relative. Negative samples, which only noise makes, are set to zero.

    Raises
    ------
    InputError
        The file cannot be read or does not have this form; a channel without any response; channels that are multiples
        of each other.
    """
    path = Path(path)
    return check_sensitivities(_read_json(path) if path.suffix.lower() == ".json" else read_csv(path, _CHANNELS))


def check_sensitivities(spectrum: Spectrum) -> Spectrum:
    """Three independent channels with their negative samples set to zero, or an InputError."""
    if spectrum.values.ndim != 2 or spectrum.values.shape[1] != 3:
        raise InputError(
            f"camera: {spectrum.name} has values of shape {spectrum.values.shape}; expected (band, 3): R, G, B"
        )
    values = spectrum.values.clip(min=0)
    if np.linalg.matrix_rank(values) < 3:
        raise InputError(
            f"camera: {spectrum.name} has a channel without response, or channels that are multiples of each other; "
            "expected three independent ones: R, G, B"
        )
    return Spectrum(spectrum.wavelengths, values, spectrum.name)


def _read_json(path: Path) -> Spectrum:
    form = "expected rawtoaces-data's spectral_data.data.main and .index.main with R, G and B"
    try:
        spectral = json.loads(path.read_text(encoding="utf-8"))["spectral_data"]
        channels = [str(name).upper() for name in spectral["index"]["main"]]
        order = [channels.index(name) for name in _CHANNELS]
        samples = sorted((float(key), [float(row[i]) for i in order]) for key, row in spectral["data"]["main"].items())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {form}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not in the form of a camera ({type(error).__name__}: {error}); {form}") from None
    if not samples:
        raise InputError(f"{path}: no samples; {form}")
    return Spectrum(np.array([nm for nm, _ in samples]), np.array([rgb for _, rgb in samples]), path.stem)


class CameraModel(nn.Module):
    """Sensitivities of a plausible camera, steered by few numbers.

    vec S(b) = P diag(sigma) b + mean, b ~ N(0, I): the mean and the leading principal components of 52 measured
    cameras, each channel normalised to unit sum over 380-780 nm at 5 nm.

    The linear model goes below zero (see `lowest_in_3_sigma`), where no camera can follow: sensitivities are clamped
    at zero, after which it is no longer linear in b there.

    Parameters
    ----------
    wavelengths : array (band,), optional
        [nm], inside 380-780; those of the model if absent. Each channel is rescaled so that the mean camera has unit
        sum over these bands.
    components : int
        How many numbers b holds: 1 to 8. The paper takes 2.

    Attributes
    ----------
    wavelengths : float64 array (band,)
    variance_share : tuple of float
        Share of the variance of the 52 cameras that each component holds [1]: the first two hold 0.466 + 0.177 = 0.644.
    lowest_in_3_sigma : float
        The lowest sensitivity of the unclamped two-component model for abs(b) <= 3, in parts of its camera's peak.

    Raises
    ------
    InputError
        A wavelength outside 380-780 nm; a number of components that is not there.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, eq 10; there, of
    28 cameras. Measurements: AcademySoftwareFoundation, rawtoaces-data, Apache-2.0.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, wavelengths: Any = None, components: int = 2) -> None:
        super().__init__()
        model = _shipped_model()
        available = len(model["sigma"])
        if not 1 <= components <= available:
            raise InputError(f"components: found {components}; the camera model holds 1 to {available}")
        native = np.array(model["wavelengths"])
        self.wavelengths = native if wavelengths is None else np.asarray(wavelengths, dtype=np.float64)
        vectors = [model["mean"], *(s * np.array(p) for s, p in zip(model["sigma"], model["components"], strict=True))]
        sampled = np.stack([Spectrum(native, vector, "the camera model").on(self.wavelengths) for vector in vectors])
        sampled = sampled[: components + 1] / sampled[0].sum(axis=0)
        self.register_buffer("mean", torch.from_numpy(sampled[0]))
        self.register_buffer("components", torch.from_numpy(sampled[1:]))
        self.variance_share = tuple(model["variance_share"][:components])
        self.lowest_in_3_sigma = float(model["lowest_in_3_sigma"])

    def forward(self, b: Tensor) -> Tensor:
        """Sensitivities (..., band, 3), not negative, from b (..., components), of its type."""
        if b.shape[-1] != len(self.components):
            raise InputError(
                f"b: found shape {tuple(b.shape)}; expected {len(self.components)} numbers on the last axis"
            )
        return (torch.einsum("...n,nbc->...bc", b, self.components.to(b)) + self.mean.to(b)).clamp(min=0)


def mean_camera() -> Spectrum:
    """The mean of the 52 measured cameras: sensitivities (81, 3) on 380-780 nm at 5 nm, each channel of unit sum."""
    model = _shipped_model()
    return Spectrum(np.array(model["wavelengths"]), np.array(model["mean"]), "mean camera")


@cache
def _shipped_model() -> dict[str, Any]:
    text = resources.files("msfit.colour").joinpath("data", "camera_model.json").read_text(encoding="ascii")
    model: dict[str, Any] = json.loads(text)
    return model
