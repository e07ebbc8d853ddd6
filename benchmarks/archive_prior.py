"""Make the prior that ships: a smooth density of the numbers of skin over the archive's calibration split.

Usage: python -m benchmarks.archive_prior [--compare]

Facial spectra of the persons of the calibration split are fitted in 31 bands. A mixture of Gaussians is estimated from
their numbers (f_mel, f_blood, i_d, i_s), each person counting once and each class of the individual typology angle as
much as any other, so that dark and very light skin, of which the archive has few, are not drawn to the middle. The
covariance of what the model leaves over is kept beside. Writes a table a model, msfit/skin/data/prior_*.json, and
results/archive_prior.json. --compare: numbers of components by the log density of persons of the validation split, and
nothing is written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

import msfit
import msfit.skin
from benchmarks import record
from msfit.data.prior import NUMBERS
from msfit.io.datasets.issa import load_faces
from msfit.synth.people import ita_class, subjects, typology_angle

MODEL = "msfit-issa-2025"
MODELS = (MODEL, "msfit-issa-2026")
FOLDER = Path(msfit.skin.__file__).parent / "data"
COMPONENTS = (1, 2, 3, 4, 6, 8, 12)
CHOSEN = 3
# Least standard deviation of a component, as a share of that of all: no narrower than what a prior can know.
_LEAST = 0.1
_ROUNDS = 150


def people(split: str, model: str = MODEL) -> dict[str, np.ndarray]:
    """Facial spectra of a split: `numbers` (n, 4), `residuals` (n, band), `weights` (n,), and the spectra themselves.

    Weights of a person sum to the same within a class of skin tone, and those of a class to 1.
    """
    faces = load_faces()
    mine = np.flatnonzero(np.isin(faces.person, [person.person for person in subjects(split)]))
    spectra, nm = np.asarray(faces.cube.reflectance, np.float64)[mine], faces.cube.wavelengths
    fit = msfit.fit(spectra, nm, model=model)
    numbers = np.stack([np.asarray(getattr(fit, name), np.float64) for name in NUMBERS], -1)
    known = np.isfinite(numbers).all(1)
    _, person, count = np.unique(faces.person[mine][known], return_inverse=True, return_counts=True)
    weights = 1 / count[person]
    tone = [ita_class(angle) for angle in typology_angle(spectra[known], nm)]
    _, number = np.unique(tone, return_inverse=True)
    residuals = np.full((len(spectra), nm.size), np.nan)
    residuals[:, np.isin(nm, fit.wavelengths)] = fit.residuals()
    return {
        "numbers": numbers[known],
        "spectra": spectra[known],
        "residuals": residuals[known],
        "weights": weights / np.bincount(number, weights)[number],
        "wavelengths": nm,
    }


def log_densities(x: np.ndarray, shares: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Log of each component's part of the density at x (n, k): (n, component)."""
    found = []
    for share, mean, covariance in zip(shares, means, covariances, strict=True):
        lower = np.linalg.cholesky(covariance)
        z = np.linalg.solve(lower, (x - mean).T)
        found.append(np.log(share) - 0.5 * (z**2).sum(0) - np.log(np.diagonal(lower)).sum())
    return np.stack(found, 1) - 0.5 * x.shape[1] * np.log(2 * np.pi)


def estimate(x: np.ndarray, weights: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, means and covariances of a mixture by expectation and maximisation, begun along f_mel.

    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39, 1977. No covariance gets narrower than `_LEAST`.
    """
    spread = np.average((x - np.average(x, 0, weights)) ** 2, 0, weights)
    edges = np.quantile(x[:, 0], np.linspace(0, 1, count + 1))
    part = np.clip(np.searchsorted(edges, x[:, 0], side="right") - 1, 0, count - 1)
    memberships = np.eye(count)[part]
    for _ in range(_ROUNDS):
        counted = memberships * weights[:, None]
        total = counted.sum(0)
        shares, means = total / total.sum(), (counted.T @ x) / total[:, None]
        away = [x - mean for mean in means]
        products = [(own[:, None] * far).T @ far for own, far in zip(counted.T, away, strict=True)]
        covariances = np.stack(products) / total[:, None, None] + np.diag(_LEAST**2 * spread)
        logs = log_densities(x, shares, means, covariances)
        memberships = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    return shares, means, covariances


def compare(model: str) -> dict[str, Any]:
    """Mean log density a person of the validation split, by number of components."""
    train, other = (people(split, model) for split in ("train", "validation"))
    found = {}
    for count in COMPONENTS:
        mixture = estimate(train["numbers"], train["weights"], count)
        logs = [logsumexp(log_densities(each["numbers"], *mixture), axis=1) for each in (train, other)]
        means = [np.average(log, weights=each["weights"]) for log, each in zip(logs, (train, other), strict=True)]
        found[str(count)] = {"train": round(float(means[0]), 3), "validation": round(float(means[1]), 3)}
    return found


def main() -> None:
    """Estimate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", action="store_true", help="numbers of components beside each other")
    compared = {model: compare(model) for model in MODELS}
    for model, figures in compared.items():
        for count, densities in figures.items():
            print(f"{model}, {count:>2} components: log density {densities['train']}, {densities['validation']} beside")
    if parser.parse_args().compare:
        return
    for model in MODELS:
        path = FOLDER / f"prior_{model.replace('-', '_')}.json"
        path.write_text(json.dumps(table(model), indent=1) + "\n", encoding="ascii")
        print(path)
    print(record.write("archive_prior", {"components": CHOSEN, "log density a person": compared}))


def table(model: str) -> dict[str, Any]:
    """What ships for a model."""
    train = people("train", model)
    shares, means, covariances = estimate(train["numbers"], train["weights"], CHOSEN)
    inside = np.isfinite(train["residuals"]).all(0)
    left = train["residuals"][:, inside]
    residual = (left * train["weights"][:, None]).T @ left / train["weights"].sum()
    return {
        "about": "Density of skin's numbers, and covariance of what the model leaves over; written by python -m"
        " benchmarks.archive_prior from the calibration split of the ISSA (Lu et al. 2025; CC BY 4.0)",
        "names": NUMBERS,
        "shares": _rounded(shares),
        "mean": _rounded(means),
        "covariance": _rounded(covariances),
        "wavelengths": train["wavelengths"][inside].tolist(),
        "residual": _rounded(residual),
    }


def _rounded(values: np.ndarray) -> Any:
    return np.vectorize(lambda value: float(f"{value:.7g}"))(values).tolist()


if __name__ == "__main__":
    main()
