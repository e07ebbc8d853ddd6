"""What do few broad channels tell of skin? Cameras beside 31 bands on the spectra of people.

Usage: python -m benchmarks.cameras [--part people|table|oracle|coverage|speed|all] [--spectra 400] [--quick]

people: facial spectra of persons of the archive's test split, integrated at 1 nm over the responses of each camera,
with noise of 0 and 0.003 added to the channels (the mean of ten draws), are fitted in these channels and, without
noise, in 31 bands. The table has the rank correlation (Spearman) of f_mel and f_blood with the fit in 31 bands; the
JSON also the median and 95 % of the differences and, by class of the individual typology angle, errors and biases with
intervals of a bootstrap over persons. `needles` takes each channel for a needle at its centre, as a fit in bands does.
Cameras of which rows say so are fitted with i_s held at 0, though the spectra contain gloss. `prior` are fits with the
archive's prior, `neighbours` the mean of the 15 nearest of the calibration split's spectra in the logarithms of the
channels; "level unknown" is a prior without i_d, and for neighbours channels divided by their mean.

table: the rows of the table of 400 spectra drawn from all persons that the cameras were planned by, `PLANNED`, beside
the same spectra's number drawn twenty times: mean and standard deviation of the rank correlations over the draws, under
the model of that table, msfit-issa-2025, and under the default.

oracle, coverage, speed: see `benchmarks.cameras_checks`. Each part is written when it is measured, with its own date
and commit under `runs`.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.stats import spearmanr
from scipy.stats import t as student

import msfit
from benchmarks import cameras_checks, record
from benchmarks.archive_prior import people
from msfit.data.channels import fine_grid
from msfit.io.datasets.issa import load_faces
from msfit.skin.models import DEFAULT_MODEL
from msfit.synth.people import ITA_CLASSES, ita_class, subjects, typology_angle

MODEL = DEFAULT_MODEL
PIGMENTS = ("f_mel", "f_blood")
_GAUSSIAN = msfit.Channels.gaussian
_LEDS = (450, 505, 545, 577, 620, 660)
RGB, FOUR = _GAUSSIAN([450, 530, 600], 90), _GAUSSIAN((450, 545, 577, 660), 20)
# Camera, None being the archive's 31 bands, and what is held.
CAMERAS: dict[str, tuple[msfit.Channels | None, dict[str, float]]] = {
    "31 bands": (None, {}),
    "16 channels of 30 nm, 430-690 nm": (_GAUSSIAN(np.linspace(430, 690, 16), 30), {}),
    "8 filters of 20 nm, 440-680 nm": (_GAUSSIAN(np.linspace(440, 680, 8), 20), {}),
    "6 LEDs of 20 nm": (_GAUSSIAN(_LEDS, 20), {}),
    "6 LEDs of 20 nm, i_s held at 0": (_GAUSSIAN(_LEDS, 20), {"i_s": 0.0}),
    "4 LEDs of 20 nm": (FOUR, {}),
    "4 LEDs of 20 nm, i_s held at 0": (FOUR, {"i_s": 0.0}),
    "RGB of 90 nm, i_s held at 0": (RGB, {"i_s": 0.0}),
}
FEW = {"RGB of 90 nm": RGB, "4 LEDs of 20 nm": FOUR}
NOISE, DRAWS = 0.003, 10
NEIGHBOURS = 15
# Rank correlations of f_mel and f_blood at no noise and at 0.003, of a grid search in Gaussian channels summed on the
# 10 nm grid of the archive, one draw of 400 spectra of all its persons.
PLANNED = {
    "31 bands": ((0.999, 1.000), (0.996, 0.989)),
    "16 channels of 30 nm, 430-690 nm": ((0.996, 0.993), (0.984, 0.981)),
    "8 filters of 20 nm, 440-680 nm": ((0.994, 0.990), (0.973, 0.949)),
    "6 LEDs of 20 nm": ((0.989, 0.985), (0.954, 0.934)),
    "6 LEDs of 20 nm, i_s held at 0": ((0.915, 0.970), (0.893, 0.956)),
    "4 LEDs of 20 nm": ((0.317, 0.917), (0.251, 0.814)),
    "4 LEDs of 20 nm, i_s held at 0": ((0.791, 0.920), (0.777, 0.911)),
    "RGB of 90 nm, i_s held at 0": ((0.609, 0.762), (0.610, 0.700)),
}
_PLANNED_MODEL, _SETS = "msfit-issa-2025", 20
_BOOTSTRAP = 500
_TRUNCATE = 0.15  # the broad blue channel, and the bluest of the mosaic, begin before the model does


def spectra_of(split: str | None, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some facial spectra (n, band) of a split's persons, or of all, the wavelengths, and whose they are."""
    faces = load_faces()
    mine = np.arange(len(faces.person))
    if split is not None:
        mine = np.flatnonzero(np.isin(faces.person, [person.person for person in subjects(split)]))
    chosen = np.random.default_rng(seed).permutation(mine)[:count]
    return np.asarray(faces.cube.reflectance, np.float64)[chosen], faces.cube.wavelengths, faces.person[chosen]


def seen(channels: msfit.Channels, spectra: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """What channels see of spectra (n, band): integrals at 1 nm over the spline through the bands."""
    nm = fine_grid(wavelengths[0], wavelengths[-1])
    weights = channels.on(nm)
    return CubicSpline(wavelengths, spectra, axis=1)(nm) @ (weights / weights.sum(1, keepdims=True)).T


def neighbours(known: np.ndarray, numbers: np.ndarray, values: np.ndarray, *, level: bool) -> np.ndarray:
    """Mean numbers (n, k) of the nearest of known values, in logarithms; without `level` each divided by its mean."""
    known, values = (np.maximum(v if level else v / v.mean(-1, keepdims=True), 1e-4) for v in (known, values))
    found = []
    for part in np.array_split(np.log(values), max(1, len(values) // 500)):
        distance = ((part[:, None] - np.log(known)) ** 2).sum(-1)
        found.append(numbers[np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]].mean(1))
    return np.concatenate(found)


class People:
    """Test persons, and how estimates of their pigments are judged."""

    def __init__(self, count: int) -> None:
        self.spectra, self.wavelengths, person = spectra_of("test", count)
        truth = msfit.fit(self.spectra, self.wavelengths, model=MODEL)
        self.truth = np.stack([np.asarray(getattr(truth, name), np.float64) for name in PIGMENTS], -1)
        self.tone = np.array([ita_class(angle) for angle in typology_angle(self.spectra, self.wavelengths)])
        _, self.person = np.unique(person, return_inverse=True)

    def judge(self, estimates: np.ndarray) -> dict[str, Any]:
        """Estimates (draw, n, 2) of f_mel and f_blood beside the fit in 31 bands."""
        agreement: dict[str, Any] = {}
        for k, name in enumerate(PIGMENTS):
            found, truth = estimates[..., k], self.truth[:, k]
            known = np.isfinite(found).all(0) & np.isfinite(truth)
            ranks = [float(spearmanr(draw[known], truth[known])[0]) for draw in found]
            error = np.abs(found - truth)[:, known]
            agreement[name] = {
                "rank_correlation": round(float(np.mean(ranks)), 4),
                "rank_correlation_sd": round(float(np.std(ranks)), 4),
                "median_error": _round(np.median(error)),
                "error_95": _round(np.quantile(error, 0.95)),
                "by_class": {
                    label: self._by_class(found, truth, known & (self.tone == label))
                    for label in ITA_CLASSES
                    if (known & (self.tone == label)).sum() > 2
                },
            }
        return agreement

    def _by_class(self, found: np.ndarray, truth: np.ndarray, mine: np.ndarray) -> dict[str, Any]:
        """Of a class: errors, and the bias with its interval, beside the class's own spread."""
        bias = (found - truth)[:, mine].mean(0)
        rng, (_, who) = np.random.default_rng(0), np.unique(self.person[mine], return_inverse=True)
        total, count = np.bincount(who, bias), np.bincount(who)
        drawn = rng.integers(0, len(count), (_BOOTSTRAP, len(count)))
        means = total[drawn].sum(1) / count[drawn].sum(1)
        return {
            "spectra": int(mine.sum()),
            "median_error": _round(np.median(np.abs(found - truth)[:, mine])),
            "bias": _round(bias.mean()),
            "bias_95": [_round(end) for end in np.quantile(means, (0.025, 0.975))],
            "spread": _round(truth[mine].std()),
        }


def compare(count: int, draws: int = DRAWS) -> dict[str, Any]:
    """Every camera beside the fit in 31 bands without noise."""
    test = People(count)
    rows: dict[str, Any] = {}
    for name, (channels, hold) in CAMERAS.items():
        clean = test.spectra if channels is None else seen(channels, test.spectra, test.wavelengths)
        rows[name] = {}
        for noise in (0.0, NOISE):
            values = _noisy(clean, noise, draws if noise else 1)
            fits = {"channels": _fit(values, test.wavelengths, channels, hold, MODEL)}
            if channels is not None and len(channels) >= 8:  # fewer needles are refused
                fits["needles"] = _estimates(values, wavelengths=channels.centres, fwhm=0, model=MODEL)
            rows[name][f"noise {noise:g}"] = {label: test.judge(fit) for label, fit in fits.items()}
    tones = {str(name): int(number) for name, number in zip(*np.unique(test.tone, return_counts=True), strict=True)}
    return {
        "model": MODEL,
        "spectra": count,
        "draws": draws,
        "classes": tones,
        "cameras": rows,
        "with prior": few(test, draws),
    }


def few(test: People, draws: int) -> dict[str, Any]:
    """Three and four channels with the archive's prior, beside nearest neighbours in the same spectra."""
    train = people("train", MODEL)
    pigments = train["numbers"][:, :2]
    rows: dict[str, Any] = {}
    levels = np.random.default_rng(7).uniform(0.4, 1.1, (1, len(test.spectra), 1))
    for name, channels in FEW.items():
        values = _noisy(seen(channels, test.spectra, test.wavelengths), NOISE, draws)
        known = seen(channels, train["spectra"], train["wavelengths"])
        for level in (True, False):
            kind = "level known" if level else "level unknown"
            prior = "archive-contact" if level else "archive"
            rows[f"{name}, {kind}"] = {
                "prior": _prior(test, values, channels, prior),
                "neighbours": test.judge(neighbours(known, pigments, values.reshape(-1, len(channels)), level=level)
                                         .reshape(draws, -1, 2)),
            }  # fmt: skip
        # light that differs from spectrum to spectrum, gloss with it
        rows[f"{name}, level unknown, from 0.4 to 1.1"] = {"prior": _prior(test, values * levels, channels, "archive")}
    return rows


def _prior(test: People, values: np.ndarray, channels: msfit.Channels, prior: str) -> dict[str, Any]:
    options: dict[str, Any] = {"channels": channels, "truncate": _TRUNCATE, "prior": prior, "noise": NOISE, "std": True}
    flat = values.reshape(-1, len(channels))
    fit = msfit.fit(flat, model=MODEL, **options)
    found = np.stack([np.asarray(getattr(fit, name), np.float64) for name in PIGMENTS], -1)
    judged = test.judge(found.reshape(*values.shape[:2], 2))
    assert fit.std is not None
    assert fit.prior_share is not None
    for k, name in enumerate(PIGMENTS):
        inside = np.abs(found[:, k] - np.tile(test.truth[:, k], len(values))) < fit.std[name]
        judged[name]["covered"] = round(float(inside.mean()), 3)
        shares = fit.prior_share[name].reshape(len(values), -1)
        for label, figures in judged[name]["by_class"].items():
            figures["prior_share"] = round(float(np.nanmedian(shares[:, test.tone == label])), 3)
    return judged


def table(sets: int = _SETS) -> dict[str, Any]:
    """The planned rows, as often as sets of spectra are drawn from all persons, under both models."""
    found: dict[str, Any] = {}
    for model in (_PLANNED_MODEL, MODEL):
        ranks: dict[str, list[list[float]]] = {name: [] for name in CAMERAS}
        for seed in range(sets):
            spectra, wavelengths, _ = spectra_of(None, 400, 100 + seed)
            truth = _estimates(spectra[None], wavelengths=wavelengths, model=model)[0]
            for name, (channels, hold) in CAMERAS.items():
                clean = spectra if channels is None else seen(channels, spectra, wavelengths)
                noisy = np.stack((clean, clean + NOISE * np.random.default_rng(seed).standard_normal(clean.shape)))
                both = _fit(noisy, wavelengths, channels, hold, model)
                known = np.isfinite(both).all((0, 2)) & np.isfinite(truth).all(1)
                pairs = [(one[known, k], truth[known, k]) for one in both for k in range(len(PIGMENTS))]
                ranks[name].append([float(spearmanr(*pair)[0]) for pair in pairs])
        found[model] = {name: _drawn(PLANNED[name], np.array(rows)) for name, rows in ranks.items()}
        for name, row in found[model].items():
            print(f"{model:18}{name:36}", *(f"{key} {row[key]}" for key in row), flush=True)
    return found


def _drawn(planned: tuple[tuple[float, ...], ...], rows: np.ndarray) -> dict[str, list[float]]:
    """Rank correlations (draw, 4) summed up, and how far the planned ones lie below their mean, in half widths of the
    95 % interval of one further draw (Student's t): of 1 and less they are as one more draw could be."""
    figures, mean, sd = np.array(planned).ravel(), rows.mean(0), rows.std(0, ddof=1)
    half = student.ppf(0.975, len(rows) - 1) * sd * np.sqrt(1 + 1 / len(rows))
    listed = {"planned": figures, "mean": mean, "sd": sd, "short": (figures - mean) / np.maximum(half, 0.0005)}
    return {name: [round(float(value), 4) for value in values] for name, values in listed.items()}


def refusals() -> dict[str, str]:
    """What is said of cameras that cannot tell four numbers."""
    try:
        msfit.fit(np.full((1, 3), 0.3), channels=RGB, truncate=_TRUNCATE, model=MODEL)
    except msfit.InputError as error:
        return {"RGB of 90 nm": str(error)}
    raise AssertionError("three channels were fitted with four free numbers")


def _noisy(clean: np.ndarray, noise: float, draws: int) -> np.ndarray:
    """Values (draw, n, channel) with noise."""
    return clean + noise * np.random.default_rng(1).standard_normal((draws, *clean.shape))


def _fit(
    values: np.ndarray, wavelengths: np.ndarray, channels: msfit.Channels | None, hold: dict[str, float], model: str
) -> np.ndarray:
    if channels is None:
        return _estimates(values, wavelengths=wavelengths, model=model)
    return _estimates(values, channels=channels, hold=hold, truncate=_TRUNCATE, model=model)


def _estimates(values: np.ndarray, **options: Any) -> np.ndarray:
    """f_mel and f_blood (draw, n, 2) of values (draw, n, channel)."""
    fit = msfit.fit(values.reshape(-1, values.shape[-1]), **options)
    found = np.stack([np.asarray(getattr(fit, name), np.float64) for name in PIGMENTS], -1)
    return found.reshape(*values.shape[:2], 2)


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _print(figures: dict[str, Any]) -> None:
    print(f"{'camera':46}{'noise':8}{'fitted as':12}{'f_mel':>8}{'f_blood':>9}   rank correlation with 31 bands")
    rows = [
        (camera, noise[6:], label, errors)
        for camera, row in figures["cameras"].items()
        for noise, fits in row.items()
        for label, errors in fits.items()
    ]
    rows += [
        (camera, f"{NOISE:g}", label, errors)
        for camera, row in figures["with prior"].items()
        for label, errors in row.items()
    ]
    for camera, noise, label, errors in rows:
        ranks = [errors[name]["rank_correlation"] for name in PIGMENTS]
        print(f"{camera:46}{noise:8}{label:12}{ranks[0]:8.3f}{ranks[1]:9.3f}")


def measured(part: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of one part."""
    if part == "people":
        figures = compare(60, 2) if arguments.quick else compare(arguments.spectra)
        _print(figures)
        return figures | {"refused": refusals()}
    if part == "table":
        return {"table": table(2 if arguments.quick else _SETS)}
    some = {"only": arguments.only} if part == "oracle" else {}
    figures = {part: cameras_checks.PARTS[part](arguments.quick, **some)}
    print(json.dumps(figures, indent=1))
    return figures


def main() -> None:
    """Measure, print and write results/cameras.json, part by part."""
    parts = ("people", "table", *cameras_checks.PARTS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=(*parts, "all"), default="people")
    parser.add_argument("--spectra", type=int, default=400)
    parser.add_argument("--only", default="", help="of the oracle: settings whose name holds this")
    parser.add_argument("--quick", action="store_true", help="a try on few pixels: nothing is written")
    arguments = parser.parse_args()
    for part in parts if arguments.part == "all" else (arguments.part,):
        began = time.process_time()
        figures = measured(part, arguments)
        if arguments.quick:
            continue
        path = record.RESULTS / "cameras.json"
        before = json.loads(path.read_text())["figures"] if path.is_file() else {}
        if part == "oracle" and arguments.only:
            figures["oracle"] = {**before.get("oracle", {}), **figures["oracle"]}
        label = f"{part}, {arguments.only}" if part == "oracle" and arguments.only else part
        runs = {**before.get("runs", {}), label: record.run(time.process_time() - began)}
        print(record.write("cameras", {**before, **figures, "runs": runs}))


if __name__ == "__main__":
    main()
