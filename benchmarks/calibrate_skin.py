"""Estimate the constants of a calibrated skin model from measured faces, and write the table that ships.

Usage: python -m benchmarks.calibrate_skin [--model msfit-issa-2026] [--estimate] [--quick]

Training persons only. Besides the estimate: subject-wise cross-validation (5 folds), cross-validation over the
archive's data sets (each measured by others, elsewhere), the variants that were compared, a bootstrap over persons for
the intervals, and profiles of the objective over each constant's range in the literature, which show what reflectance
alone cannot tell. Writes the table msfit/skin/data/msfit_issa_*.csv and
benchmarks/results/calibrate_skin*.json.
--estimate: the table alone, from a third of the bootstrap.
--quick: a rehearsal on few spectra that writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import msfit.skin
from benchmarks import record
from benchmarks.calibration import DOUBLE, Calibration, Faces, Form, Weights, calibrate, fit
from msfit.skin.calibrated import Constant, constants, skin_of
from msfit.skin.models import get_model

DATA = Path(msfit.skin.__file__).parent / "data"
HEADER = (
    "# Constants of the skin model {model}. Literature and prior: by hand; "
    "estimate, lower, upper: written by python -m benchmarks.calibrate_skin from the ISSA (Lu et al. 2025; CC BY 4.0)\n"
)
VARIANTS: dict[str, tuple[str, ...]] = {
    "no correction": (),
    "melanin": ("melanin",),
    "melanin, baseline": ("melanin", "baseline"),
    "melanin, blood": ("melanin", "blood"),
    "melanin, scattering": ("melanin", "scattering"),
    "blood, scattering": ("blood", "scattering"),
}
# Data sets that are left out together: alike in country or people.
ELSEWHERE = (
    ("Southeast Asia - Thailand",),
    ("UK", "UK2", "Spain"),
    ("China", "China2", "Japan"),
    ("Middle East - Iraq", "Middle East - Saudi Arabia"),
    ("Southern Asia - Pakistan", "UK3"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few spectra, nothing written")
    parser.add_argument("--estimate", action="store_true", help="the table alone, from a third of the bootstrap")
    parser.add_argument("--model", default="msfit-issa-2025", choices=("msfit-issa-2025", "msfit-issa-2026"))
    chosen = parser.parse_args()
    quick, model = chosen.quick, chosen.model
    torch.set_num_threads(1)
    began = time.perf_counter()
    faces, rows = Faces.load(), constants(model)
    upper = torch.tensor([parameter.wide[1] for parameter in get_model(model).parameters], dtype=DOUBLE)
    train = faces.of("train")
    train = faces.some_persons(train, 300) if quick else train
    few = faces.some_persons(train, 1500)
    form = Form(rows, faces.wavelengths, held={"baseline_blood": 0.0}, upper=upper)
    with ThreadPoolExecutor(2) as pool:
        best = calibrate(form, faces.spectra[train], start=_table(form, rows), tolerance=1e-6)
        print(f"estimate: objective {best.value:.4f} after {best.steps} steps, {time.perf_counter() - began:.0f} s")
        draws = 4 if quick else 20 if chosen.estimate else 60
        samples = bootstrap(pool, faces, form, best, few, draws)
        print(f"bootstrap: {time.perf_counter() - began:.0f} s")
        found = _filled(rows, form, best, samples)
        if chosen.estimate and not quick:
            _write(found, model)
            return
        figures: dict[str, Any] = {
            "training": {"persons": len(np.unique(faces.archive.person[train])), "spectra": len(train)},
            "weights": asdict(Weights()),
            "objective": best.value,
            "bootstrap": {"draws": draws, "spectra": len(few)},
            "constants": {row.name: [row.estimate, row.lower, row.upper] for row in found if row.role != "fixed"},
            "cross_validation": cross_validation(pool, faces, form, best, train),
            "variants": variants(pool, faces, rows, few, quick, upper),
            "profiles": profiles(pool, faces, rows, form, best, few, quick),
        }
    figures["seconds"] = round(time.perf_counter() - began)
    if quick:
        print(figures)
        return
    _write(found, model)
    name = "calibrate_skin" if model == "msfit-issa-2025" else f"calibrate_skin_{model}"
    print(record.write(name, figures), f"{figures['seconds']} s")


def bootstrap(
    pool: ThreadPoolExecutor, faces: Faces, form: Form, best: Calibration, index: np.ndarray, draws: int
) -> Tensor:
    """Coordinates (draw, constant) estimated from persons drawn with replacement, centred on those of all of `index`.

    Each draw starts at the estimate from the same spectra.
    """
    centre = calibrate(form, faces.spectra[index], start=best.z)
    persons, member = np.unique(faces.archive.person[index], return_inverse=True)

    def draw(seed: int) -> Tensor:
        times = np.random.default_rng(seed).multinomial(persons.size, np.full(persons.size, 1 / persons.size))[member]
        used = times > 0
        counts = torch.from_numpy(times[used] / times[used].mean())
        return calibrate(form, faces.spectra[index[used]], start=centre.z, counts=counts, tolerance=1e-4).z

    return torch.stack(list(pool.map(draw, range(draws)))) - centre.z


def _filled(rows: list[Constant], form: Form, best: Calibration, samples: Tensor) -> list[Constant]:
    """Rows with estimates and intervals. Those are of the smaller sample, so rather too wide than too narrow."""
    rows = [_all_blood(row, form, best) if row.name == "baseline_blood" else row for row in rows]
    low, high = ((best.z + samples.quantile(q, dim=0)).clamp(form.low, form.high) for q in (0.025, 0.975))
    estimate, lower, upper = (form.values(z) for z in (best.z, torch.minimum(low, best.z), torch.maximum(high, best.z)))

    def digits(value: Tensor) -> float:
        return float(f"{float(value):.6g}")

    return [
        row
        if row.role == "fixed"
        else replace(
            row, estimate=digits(estimate[row.name]), lower=digits(lower[row.name]), upper=digits(upper[row.name])
        )
        for row in rows
    ]


def _all_blood(row: Constant, form: Form, best: Calibration) -> Constant:
    """The blood in the corrected baseline: four fifths of the most that leaves something of it at every wavelength.

    It only shifts f_blood, so that it is chosen after the others and kept out of their estimate.
    """
    values = {name: float(value) for name, value in form.values(best.z).items()} | {"baseline_blood": 0.0}
    layers = skin_of(values, np.arange(400.0, 721.0)).layers
    most = float(f"{0.8 * (layers.absorption / layers.absorption_blood).min():.3g}")
    return replace(row, prior=most, estimate=most, lower=most, upper=most)


def _score(rmse: Tensor, i_s: Tensor) -> dict[str, float]:
    return {
        "rmse_median": round(float(rmse.median()), 6),
        "rmse_p95": round(float(rmse.quantile(0.95)), 6),
        "i_s_median": round(float(i_s.median()), 4),
    }


def _held_out(
    pool: ThreadPoolExecutor,
    faces: Faces,
    form: Form,
    parts: list[tuple[np.ndarray, np.ndarray]],
    start: Tensor | None = None,
    weights: Weights | None = None,
) -> dict[str, Any]:
    """Scores over all left-out spectra, of parts (train, left out)."""

    def one(part: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        train, left_out = part
        z = calibrate(form, faces.spectra[train], weights, start=start, tolerance=1e-4).z
        point = fit(form.skin(z), faces.spectra[left_out], form.upper)
        return (point.cost / faces.spectra.shape[1]).sqrt(), point.i_s, z

    rmse, i_s, z = zip(*pool.map(one, parts), strict=True)
    each = [round(float(r.median()), 6) for r in rmse]
    spread = torch.stack(z).std(0) * form.spread  # of the logarithm where the constant was estimated by it
    return _score(torch.cat(rmse), torch.cat(i_s)) | {
        "rmse_median_each": each,
        "standard_error": round(float(np.std(each, ddof=1) / np.sqrt(len(each))), 6),
        "spread_of_constants": {row.name: round(float(s), 4) for row, s in zip(form.free, spread, strict=True)},
    }


def _folds(faces: Faces, index: np.ndarray, count: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    persons = np.random.default_rng(5).permutation(np.unique(faces.archive.person[index]))
    fold = {person: number % count for number, person in enumerate(persons)}
    own = np.array([fold[person] for person in faces.archive.person[index]])
    return [(index[own != number], index[own == number]) for number in range(count)]


def _elsewhere(faces: Faces, index: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = []
    for origins in ELSEWHERE:
        there = np.isin(faces.archive.origin[index], origins)
        # a person may be in two data sets under one name: it stays on the left-out side
        persons = np.unique(faces.archive.person[index[there]])
        parts.append((index[~np.isin(faces.archive.person[index], persons)], index[there]))
    return parts


def cross_validation(
    pool: ThreadPoolExecutor, faces: Faces, form: Form, best: Calibration, train: np.ndarray
) -> dict[str, Any]:
    """Over persons, five folds, and over data sets."""
    found = {
        "persons": _held_out(pool, faces, form, _folds(faces, train), start=best.z),
        "data_sets": _held_out(pool, faces, form, _elsewhere(faces, train), start=best.z),
    }
    for name, scores in found.items():
        print(f"cross-validation over {name}: {scores}")
    return found


def variants(
    pool: ThreadPoolExecutor, faces: Faces, rows: list[Constant], index: np.ndarray, quick: bool, upper: Tensor
) -> dict[str, Any]:
    """Other corrections and other weights, by the same two cross-validations on fewer spectra."""
    chosen = VARIANTS["melanin, baseline"]
    cases = {name: (corrected, Weights()) for name, corrected in VARIANTS.items()}
    cases |= {
        "prior x 3": (chosen, Weights(prior=0.009)),
        "prior / 3": (chosen, Weights(prior=0.001)),
        "prior / 10": (chosen, Weights(prior=0.0003)),
        "corner 0.003": (chosen, Weights(corner=0.003)),
        "no gloss term": (chosen, Weights(gloss=0.0)),
        "no level term": (chosen, Weights(level=0.0)),
    }
    found: dict[str, Any] = {}
    for name, (corrected, weights) in list(cases.items())[: 2 if quick else None]:
        form = Form(rows, faces.wavelengths, corrected, {"baseline_blood": 0.0}, upper)
        scores = {
            kind: _held_out(pool, faces, form, parts, weights=weights)
            for kind, parts in (("persons", _folds(faces, index)), ("data_sets", _elsewhere(faces, index)))
        }
        found[name] = {
            kind: {key: value for key, value in score.items() if "_each" not in key and "spread" not in key}
            for kind, score in scores.items()
        }
        z = calibrate(form, faces.spectra[index], weights, tolerance=1e-5).z
        ends = (z <= form.low) | (z >= form.high)
        found[name]["at_an_end_of_its_range"] = [row.name for row, end in zip(form.free, ends, strict=True) if end]
        print(f"variant {name}: {found[name]}", flush=True)
    return found


def profiles(
    pool: ThreadPoolExecutor,
    faces: Faces,
    rows: list[Constant],
    form: Form,
    best: Calibration,
    index: np.ndarray,
    quick: bool,
) -> dict[str, Any]:
    """Over each physical constant's literature range: the least objective without the prior, and the residual there."""
    index = faces.some_persons(index, 500)
    bare = Weights(prior=1e-5)
    physical = [row for row in form.free if row.role != "cosine"][: 1 if quick else None]

    def profile(row: Constant) -> list[tuple[float, float, float]]:
        keep = torch.tensor([other.name != row.name for other in form.free])
        line = np.geomspace if row.role == "log" else np.linspace
        grid = [float(value) for value in line(row.low, row.high, 7)]
        middle = int(np.argmin([abs(value - float(form.values(best.z)[row.name])) for value in grid]))
        points = {}
        for side in (range(middle, len(grid)), range(middle - 1, -1, -1)):
            start = best.z[keep]
            for number in side:
                held = Form(
                    rows, faces.wavelengths, held={"baseline_blood": 0.0, row.name: grid[number]}, upper=form.upper
                )
                found = calibrate(held, faces.spectra[index], bare, start=start, tolerance=1e-5, most_steps=60)
                rmse = (fit(held.skin(found.z), faces.spectra[index], held.upper).cost / faces.spectra.shape[1]).sqrt()
                points[number] = (grid[number], found.value, float(rmse.median()))
                start = found.z
        return [points[number] for number in range(len(grid))]

    found = {}
    for row, points in zip(physical, pool.map(profile, physical), strict=True):
        grid, value, rmse = zip(*points, strict=True)
        found[row.name] = {
            "grid": [round(x, 5) for x in grid],
            "objective": [round(x, 5) for x in value],
            "rmse_median": [round(x, 6) for x in rmse],
        }
        print(f"profile {row.name}: {found[row.name]}", flush=True)
    return found


def _table(form: Form, rows: list[Constant]) -> Tensor:
    """Coordinates of the estimates that the table has, where the descent starts."""
    return form.coordinates({row.name: row.estimate for row in rows}).clamp(form.low, form.high)


def _write(rows: list[Constant], model: str) -> None:
    text = io.StringIO()
    names = [field.name for field in fields(Constant)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([f"{v:.6g}" if isinstance(v := getattr(row, name), float) else v for name in names])
    table = DATA / f"{model.replace('-', '_')}.csv"
    beside = table.with_suffix(".new")
    beside.write_text(HEADER.format(model=model) + text.getvalue(), encoding="ascii")
    beside.replace(table)


if __name__ == "__main__":
    main()
