"""Do designed channels tell more than common ones of the same number and width?

Usage: python -m benchmarks.design [--quick]

Six channels by `msfit.design_channels`, which sees persons of the archive's calibration split alone, beside six LEDs
whose wavelengths are easily bought (450, 505, 545, 577, 620, 660 nm), at equal widths. All facial spectra of people of
the test split, integrated at 1 nm over the responses, with noise of 0 and 0.003, are fitted in the channels and, with
no noise, in 31 bands. Rank correlation (Spearman), median and 95 % of the differences of the two, and the median by
class of the individual typology angle; with noise, means over five draws.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import msfit
from benchmarks import record
from benchmarks.cameras import seen, spectra_of
from msfit.skin.models import DEFAULT_MODEL
from msfit.synth.people import ITA_CLASSES, ita_class, typology_angle

MODEL = DEFAULT_MODEL
PIGMENTS = ("f_mel", "f_blood")
LEDS = (450, 505, 545, 577, 620, 660)
WIDTHS = (10.0, 20.0, 30.0)
NOISES = {0.0: 1, 0.003: 5}  # and draws
_DESIGNED_FOR = 0.003


def compare(count: int, widths: tuple[float, ...] = WIDTHS) -> dict[str, Any]:
    """Designed channels beside the LEDs at each width."""
    spectra, wavelengths, _ = spectra_of("test", count)
    truth = msfit.fit(spectra, wavelengths, model=MODEL)
    tone = np.array([ita_class(angle) for angle in typology_angle(spectra, wavelengths)])
    rows: dict[str, Any] = {}
    for width in widths:
        design = msfit.design_channels(len(LEDS), width=width, noise=_DESIGNED_FOR, model=MODEL)
        sets = {"designed": design.channels, "LEDs": msfit.Channels.gaussian(LEDS, width)}
        for name, channels in sets.items():
            clean = seen(channels, spectra, wavelengths)
            row: dict[str, Any] = {"centres": channels.centres.round().astype(int).tolist()}
            for noise, draws in NOISES.items():
                rng = np.random.default_rng(1)
                fits = [
                    msfit.fit(clean + noise * rng.standard_normal(clean.shape), channels=channels, model=MODEL)
                    for _ in range(draws)
                ]
                row[f"noise {noise:g}"] = _errors(fits, truth, tone)
            rows[f"{width:g} nm, {name}"] = row
    tones = {str(name): int(number) for name, number in zip(*np.unique(tone, return_counts=True), strict=True)}
    return {"model": MODEL, "spectra": len(spectra), "classes": tones, "sets": rows}


def _errors(fits: list[msfit.FitResult], truth: msfit.FitResult, tone: np.ndarray) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in PIGMENTS:
        right = getattr(truth, name)
        ranks = [float(spearmanr(getattr(fit, name), right)[0]) for fit in fits]
        error = np.abs(np.stack([getattr(fit, name) - right for fit in fits]))
        figures[name] = {
            "rank_correlation": round(float(np.mean(ranks)), 4),
            "median_error": _round(np.median(error)),
            "error_95": _round(np.quantile(error, 0.95)),
            "median_by_class": {
                label: _round(np.median(error[:, tone == label])) for label in ITA_CLASSES if (tone == label).sum() > 4
            },
        }
    return figures


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def main() -> None:
    """Measure, print a table and write results/design.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a try: 100 spectra, and nothing is written")
    figures = compare(100 if (quick := parser.parse_args().quick) else 100_000)
    print(
        f"{'set':18}{'noise':8}{'f_mel: rank':>12}{'median':>9}{'95 %':>8}{'f_blood: rank':>15}{'median':>9}{'95 %':>8}"
    )
    for name, row in figures["sets"].items():
        for noise in NOISES:
            cells = [row[f"noise {noise:g}"][pigment] for pigment in PIGMENTS]
            mel, blood = ((cell["rank_correlation"], cell["median_error"], cell["error_95"]) for cell in cells)
            first = f"{mel[0]:12.3f}{mel[1]:9.4f}{mel[2]:8.4f}"
            print(f"{name:18}{noise:<8g}{first}{blood[0]:15.3f}{blood[1]:9.4f}{blood[2]:8.4f}")
    if not quick:
        print(record.write("design", figures))


if __name__ == "__main__":
    main()
