"""What do few broad channels tell of skin? Cameras beside 31 bands on the spectra of people.

Usage: python -m benchmarks.cameras [--spectra 400] [--quick]

Facial spectra of persons of the archive's test split, integrated at 1 nm over the responses of each camera, with noise
of 0 and 0.003 added to the channels, are fitted in these channels and, without noise, in 31 bands. The table has the
rank correlation (Spearman) of f_mel and f_blood with the fit in 31 bands; the JSON also the median and 95 % of the
differences, by class of the individual typology angle. `needles` takes each channel for a needle at its centre, as
a fit in bands does. Cameras of which rows say so are fitted with i_s held at 0, though the spectra contain gloss.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.stats import spearmanr

import msfit
from benchmarks import record
from msfit.data.channels import fine_grid
from msfit.io.datasets.issa import load_faces
from msfit.synth.people import ITA_CLASSES, ita_class, subjects, typology_angle

MODEL = "msfit-issa-2025"
PIGMENTS = ("f_mel", "f_blood")
_GAUSSIAN = msfit.Channels.gaussian
_LEDS = (450, 505, 545, 577, 620, 660)
_FOUR = (450, 545, 577, 660)
# Camera, None being the archive's 31 bands, and what is held.
CAMERAS: dict[str, tuple[msfit.Channels | None, dict[str, float]]] = {
    "31 bands": (None, {}),
    "16 channels of 30 nm, 430-690 nm": (_GAUSSIAN(np.linspace(430, 690, 16), 30), {}),
    "8 filters of 20 nm, 440-680 nm": (_GAUSSIAN(np.linspace(440, 680, 8), 20), {}),
    "6 LEDs of 20 nm": (_GAUSSIAN(_LEDS, 20), {}),
    "6 LEDs of 20 nm, i_s held at 0": (_GAUSSIAN(_LEDS, 20), {"i_s": 0.0}),
    "4 LEDs of 20 nm": (_GAUSSIAN(_FOUR, 20), {}),
    "4 LEDs of 20 nm, i_s held at 0": (_GAUSSIAN(_FOUR, 20), {"i_s": 0.0}),
    "RGB of 90 nm, i_s held at 0": (_GAUSSIAN([450, 530, 600], 90), {"i_s": 0.0}),
}
NOISES = (0.0, 0.003)
_TRUNCATE = 0.15  # the broad blue channel, and the bluest of the mosaic, begin before the model does


def held_out(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Some facial spectra (n, band) of test persons, and the wavelengths."""
    faces = load_faces()
    mine = np.flatnonzero(np.isin(faces.person, [person.person for person in subjects("test")]))
    chosen = np.random.default_rng(seed).permutation(mine)[:count]
    return np.asarray(faces.cube.reflectance, np.float64)[chosen], faces.cube.wavelengths


def seen(channels: msfit.Channels, spectra: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """What channels see of spectra (n, band): integrals at 1 nm over the spline through the bands."""
    nm = fine_grid(wavelengths[0], wavelengths[-1])
    weights = channels.on(nm)
    return CubicSpline(wavelengths, spectra, axis=1)(nm) @ (weights / weights.sum(1, keepdims=True)).T


def compare(count: int) -> dict[str, Any]:
    """Every camera beside the fit in 31 bands without noise."""
    spectra, wavelengths = held_out(count)
    truth = msfit.fit(spectra, wavelengths, model=MODEL)
    tone = np.array([ita_class(angle) for angle in typology_angle(spectra, wavelengths)])
    rng = np.random.default_rng(1)
    rows: dict[str, Any] = {}
    for name, (channels, hold) in CAMERAS.items():
        clean = spectra if channels is None else seen(channels, spectra, wavelengths)
        rows[name] = {}
        for noise in NOISES:
            values = clean + noise * rng.standard_normal(clean.shape)
            fits = {"channels": _fit(values, wavelengths, channels, hold)}
            if channels is not None and len(channels) >= 8:  # fewer needles are refused
                fits["needles"] = msfit.fit(values, channels.centres, fwhm=0, model=MODEL)
            rows[name][f"noise {noise:g}"] = {label: _errors(fit, truth, tone) for label, fit in fits.items()}
    tones = {str(name): int(number) for name, number in zip(*np.unique(tone, return_counts=True), strict=True)}
    return {"model": MODEL, "spectra": len(spectra), "classes": tones, "cameras": rows}


def refusals() -> dict[str, str]:
    """What is said of cameras that cannot tell four numbers."""
    channels = _GAUSSIAN([450, 530, 600], 90)
    try:
        msfit.fit(np.full((1, 3), 0.3), channels=channels, truncate=_TRUNCATE, model=MODEL)
    except msfit.InputError as error:
        return {"RGB of 90 nm": str(error)}
    raise AssertionError("three channels were fitted with four free numbers")


def _fit(
    values: np.ndarray, wavelengths: np.ndarray, channels: msfit.Channels | None, hold: dict[str, float]
) -> msfit.FitResult:
    if channels is None:
        return msfit.fit(values, wavelengths, model=MODEL)
    return msfit.fit(values, channels=channels, hold=hold, truncate=_TRUNCATE, model=MODEL)


def _errors(fit: msfit.FitResult, truth: msfit.FitResult, tone: np.ndarray) -> dict[str, Any]:
    agreement: dict[str, Any] = {}
    for name in PIGMENTS:
        one, other = getattr(fit, name), getattr(truth, name)
        finite = np.isfinite(one) & np.isfinite(other)
        error = np.abs(one - other)
        agreement[name] = {
            "rank_correlation": round(float(spearmanr(one[finite], other[finite])[0]), 4),
            "median_error": _round(np.median(error[finite])),
            "error_95": _round(np.quantile(error[finite], 0.95)),
            "by_class": {
                label: {"median_error": _round(np.median(error[mine])), "bias": _round(np.mean((one - other)[mine]))}
                for label in ITA_CLASSES
                if (mine := finite & (tone == label)).sum() > 4
            },
        }
    return agreement


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def main() -> None:
    """Measure, print a table and write results/cameras.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="a try: 60 spectra, and nothing is written")
    arguments = parser.parse_args()
    figures = compare(60 if arguments.quick else arguments.spectra)
    print(f"{'camera':36}{'noise':8}{'fitted as':12}{'f_mel':>8}{'f_blood':>9}   rank correlation with 31 bands")
    for camera, row in figures["cameras"].items():
        for noise, fits in row.items():
            for label, errors in fits.items():
                ranks = [errors[name]["rank_correlation"] for name in PIGMENTS]
                print(f"{camera:36}{noise[6:]:8}{label:12}{ranks[0]:8.3f}{ranks[1]:9.3f}")
    figures["refused"] = refusals()
    print(figures["refused"])
    if not arguments.quick:
        print(record.write("cameras", figures))


if __name__ == "__main__":
    main()
