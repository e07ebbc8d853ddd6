"""Try another form of the skin model, or another way to estimate it, and print every row by which it is judged.

Usage: python -m benchmarks.skin_trials NAME [NAME ...]
       python -m benchmarks.skin_trials --list

Starts from msfit-issa-2026 without its bandwidth. Each trial is estimated on about 1,000 spectra of training persons,
some 280, and scored on the other training persons and the validation persons, some 1,390; and, estimated anew, on each
left-out group of laboratories. Test persons, the cheeks and the CAVE face are never looked at. What the trials cost and
bought: docs/skin-model.md.

    r = haze + haze_mel f_mel + (1 - rho) q / (1 - rho q)
    q = exp(-2 d [f_mel mel m(f_mel) + (1 - f_mel) e base]) R(mu_a + dermal_melanin f_mel mel, mu_s')
    mu_s' = mu_s0' (1 + scatter_mel f_mel + scatter_blood f_blood)
    m(f_mel) = 1 + mixture (1 - f_mel / 0.43) ((nm / 550)^-1.42 - 1)
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.calibrate_skin import _all_blood, _elsewhere
from benchmarks.calibration import DOUBLE, GLOSS, LOWER, Calibration, Faces, Form, Weights, calibrate
from benchmarks.skin_models import floor, partial_correlation
from msfit.skin.calibrated import Constant, constants, skin_of
from msfit.skin.layers import HalfSpace, infinite_scattering_slope
from msfit.skin.models import get_model
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver
from msfit.synth.people import lab

BASE = "msfit-issa-2026"
DARKEST = 0.43
#: exponent of pheomelanin less that of eumelanin (C. Donner, H. W. Jensen, EGSR 2006; S. L. Jacques 1998)
STEEPER = 4.75 - 3.33
SHIFTS = np.linspace(-3, 3, 13)  # [nm], of an instrument's wavelengths
DERMIS = HalfSpace(loss=0.0)


def _row(name: str, low: float, high: float, spread: float, prior: float = 0.0) -> Constant:
    return Constant(name, "1", "linear", low, high, prior, spread, prior, prior, prior, "trial")


CANDIDATES = {
    row.name: row
    for row in (
        _row("haze", 0.0, 0.05, 0.02),
        _row("haze_mel", -0.2, 0.2, 0.1),
        _row("mixture", -1.0, 1.0, 0.3),
        _row("dermal_melanin", 0.0, 0.1, 0.02),
        _row("scatter_mel", -2.0, 8.0, 1.0),
        _row("scatter_blood", -10.0, 10.0, 3.0),
    )
}


@dataclass(frozen=True)
class Trial:
    """`free`: candidates that are estimated; `held`: constants that keep a value; `effects`: what laboratories have of
    their own, of "gain", "offset" and "shift"; `gloss`: where i_s is thought to lie; `cosines`: how many a correction
    has; `balance`: spectra count by the size of their group to minus this power.
    """

    free: tuple[str, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    effects: tuple[str, ...] = ()
    gloss: float = GLOSS
    cosines: int = 6
    balance: float = 0.0


LEVEL, LEVEL_KNOWN = Weights(level=1.0), Weights(level=10.0)
TRIALS = {
    "base": Trial(),
    "haze-0.02": Trial(held={"haze": 0.02}, gloss=0.02),
    "haze-0.03": Trial(held={"haze": 0.03}, gloss=0.01),
    "haze-0.04": Trial(held={"haze": 0.04}, gloss=0.0),
    "haze-mel": Trial(free=("haze", "haze_mel"), gloss=0.02),
    "mixture": Trial(free=("mixture",)),
    "dermal-melanin": Trial(free=("dermal_melanin",)),
    "scatter-mel": Trial(free=("scatter_mel",)),
    "scatter-both": Trial(free=("scatter_mel", "scatter_blood")),
    "level-x10": Trial(weights=LEVEL),
    "level-x100": Trial(weights=LEVEL_KNOWN),
    "offsets": Trial(effects=("gain", "offset")),
    "shift": Trial(effects=("shift",)),
    "bandwidth-10": Trial(held={"bandwidth": 10.0}),
    "bandwidth-13": Trial(held={"bandwidth": 13.0}),
    "bandwidth-16": Trial(held={"bandwidth": 16.0}),
    "bandwidth-20": Trial(held={"bandwidth": 20.0}),
    "bandwidth-10, cosines-9": Trial(held={"bandwidth": 10.0}, cosines=9),
    "bandwidth-16, cosines-9": Trial(held={"bandwidth": 16.0}, cosines=9),
    "bandwidth-10, shift": Trial(held={"bandwidth": 10.0}, effects=("shift",)),
    "bandwidth-10, prior/3": Trial(held={"bandwidth": 10.0}, weights=Weights(prior=0.001)),
    "bandwidth-10, haze-0.02": Trial(held={"bandwidth": 10.0, "haze": 0.02}, gloss=0.02),
    "bandwidth-10, pigments": Trial(
        free=("mixture", "dermal_melanin", "scatter_mel", "scatter_blood"), held={"bandwidth": 10.0}
    ),
    "bandwidth-10, level-x10": Trial(held={"bandwidth": 10.0}, weights=LEVEL),
    "bandwidth-10, offsets": Trial(held={"bandwidth": 10.0}, effects=("gain", "offset")),
    "cosines-9": Trial(cosines=9),
    "corner-0.02": Trial(weights=Weights(corner=0.02)),
    "prior/3": Trial(weights=Weights(prior=0.001)),
    "balance-0.5": Trial(balance=0.5),
    "pigments": Trial(free=("mixture", "dermal_melanin", "scatter_mel", "scatter_blood")),
    "pigments, level-x10": Trial(free=("mixture", "dermal_melanin", "scatter_mel", "scatter_blood"), weights=LEVEL),
    "pigments, level-x100": Trial(
        free=("mixture", "dermal_melanin", "scatter_mel", "scatter_blood"), weights=LEVEL_KNOWN
    ),
    "all": Trial(
        free=("mixture", "dermal_melanin", "scatter_mel", "scatter_blood"),
        held={"haze": 0.02},
        weights=LEVEL,
        effects=("gain", "offset", "shift"),
        gloss=0.02,
    ),
}


@dataclass(frozen=True, eq=False)
class TrialSkin:
    """Polynomials of the pigments in the place of `TwoLayers`' lines, and haze on top; all (band,) or numbers.

    `depth`, `absorption` and `scattering` map (a, b), the exponents of f_mel and f_blood, to coefficients.
    """

    depth: Mapping[tuple[int, int], Any]
    absorption: Mapping[tuple[int, int], Any]
    scattering: Mapping[tuple[int, int], Any]
    reflection: Any
    haze: Any
    haze_mel: Any

    def to(self, dtype: Any, device: Any = "cpu") -> TrialSkin:
        from msfit.skin.arrays import converted

        def cast(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {key: cast(part) for key, part in value.items()}
            return converted(value, dtype, device)

        return TrialSkin(**{key: cast(value) for key, value in vars(self).items()})

    def reflectance(self, fractions: Any) -> Any:
        return self.jacobian(fractions)[0]

    def jacobian(self, fractions: Any) -> tuple[Any, tuple[Any, Any]]:
        m, b = fractions[..., :1], fractions[..., 1:]
        depth, absorption, scattering = (_polynomial(c, m, b) for c in (self.depth, self.absorption, self.scattering))
        xp = torch if isinstance(m, Tensor) else np
        through = xp.exp(-2 * depth[0])
        dermis, by_absorption = DERMIS(absorption[0], scattering[0])
        by_scattering = infinite_scattering_slope(absorption[0], scattering[0], dermis, by_absorption)
        q = through * dermis
        bounces = 1 / (1 - self.reflection * q)
        slope = (1 - self.reflection) * bounces * bounces
        slopes = [
            slope * (q * -2 * depth[k] + through * (by_absorption * absorption[k] + by_scattering * scattering[k]))
            for k in (1, 2)
        ]
        r = (1 - self.reflection) * q * bounces + self.haze + self.haze_mel * m
        return r, (slopes[0] + self.haze_mel, slopes[1])


def _polynomial(coefficients: Mapping[tuple[int, int], Any], m: Any, b: Any) -> tuple[Any, Any, Any]:
    """The value and its derivatives by both pigments."""
    total, by_mel, by_blood = 0 * m * b, 0 * m * b, 0 * m * b
    for (i, j), c in coefficients.items():
        total = total + c * m**i * b**j
        by_mel = by_mel + (i * c * m ** max(i - 1, 0) * b**j if i else 0 * c)
        by_blood = by_blood + (j * c * m**i * b ** max(j - 1, 0) if j else 0 * c)
    return total, by_mel, by_blood


def trial_skin(values: Mapping[str, Any], wavelengths: np.ndarray) -> TrialSkin:
    """The model of `skin_of` with the candidates in it; those that are not among the values are left out."""
    inside = skin_of(values, wavelengths)
    layers = inside.layers
    nm = torch.as_tensor(np.asarray(wavelengths, np.float64))
    has = {name: values.get(name, torch.zeros((), dtype=DOUBLE)) for name in CANDIDATES}
    # what an f_mel of 1 adds: melanosomes less the epidermis they displace
    melanosome = layers.depth_mel + layers.depth
    steeper = has["mixture"] * ((nm / 550) ** -STEEPER - 1)
    scattering = layers.scattering
    return TrialSkin(
        {
            (0, 0): layers.depth,
            (1, 0): layers.depth_mel + melanosome * steeper,
            (2, 0): -melanosome * steeper / DARKEST,
        },
        {
            (0, 0): layers.absorption,
            (0, 1): layers.absorption_blood,
            (1, 0): has["dermal_melanin"] * melanosome / (1e-4 * values["epidermis_thickness"]),
        },
        {
            (0, 0): scattering,
            (1, 0): scattering * has["scatter_mel"],
            (0, 1): scattering * has["scatter_blood"],
        },
        inside.reflection,
        has["haze"],
        has["haze_mel"],
    )


class TrialForm(Form):
    """`Form` with the candidates; as fast as the library where there is none."""

    def skin(self, z: Tensor) -> Any:
        return self.of(self.values(z))

    def of(self, values: Mapping[str, Any]) -> Any:
        make = trial_skin if CANDIDATES.keys() & values.keys() else skin_of
        return make(values, self.wavelengths)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A form, its constants, and what its laboratories have of their own."""

    form: TrialForm
    best: Calibration
    shift: Mapping[str, float]

    def fit(self, spectra: Tensor, **bounds: Any) -> Solution:
        """With the blood of the baseline counted, as in the model that ships: it only shifts f_blood."""
        row = next(row for row in constants(BASE) if row.name == "baseline_blood")
        blood = _all_blood(row, self.form, self.best).estimate
        skin = self.form.of(self.form.values(self.best.z) | {"baseline_blood": torch.tensor(blood, dtype=DOUBLE)})
        return PigmentSolver(skin, LOWER, self.form.upper, **bounds)(spectra)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of trials")
    parser.add_argument("--list", action="store_true", help="names of the trials")
    parser.add_argument("--spectra", type=int, default=1000, help="about so many of the training persons")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(TRIALS):
        parser.error(f"{', '.join(sorted(unknown))}: no such trial; there are {', '.join(TRIALS)}")
    if chosen.list or not chosen.names:
        print("\n".join(TRIALS))
        return
    torch.set_num_threads(1)
    faces = Faces.load()
    train = faces.some_persons(faces.of("train"), chosen.spectra)
    for name in chosen.names:
        began = time.perf_counter()
        found = rows(faces, TRIALS[name], train)
        print(json.dumps({"trial": name, **found, "seconds": round(time.perf_counter() - began)}), flush=True)


def estimate(faces: Faces, trial: Trial, index: np.ndarray, start: Calibration | None = None) -> Estimate:
    """Constants and effects from the spectra of an index; effects are estimated in turn with the constants, twice."""
    held = {"baseline_blood": 0.0, "bandwidth": 0.0, **trial.held}
    table = [row for row in constants(BASE) if row.name not in held]
    more = [
        replace(row, name=row.name.replace("_1", f"_{number}"), estimate=0.0)
        for row in table
        if row.name.endswith("_cosine_1")
        for number in range(7, trial.cosines + 1)
    ]
    rows = [*table, *more, *(CANDIDATES[name] for name in trial.free)]
    upper = torch.tensor([p.wide[1] for p in get_model(BASE).parameters], dtype=DOUBLE)
    form = TrialForm(rows, faces.wavelengths, held=held, upper=upper)
    z = form.coordinates({row.name: row.estimate for row in rows}).clamp(form.low, form.high)
    result = Estimate(form, start or Calibration(z, float("inf"), 0), {})
    origin = faces.archive.origin[index]
    _, group, size = np.unique(faces.archive.group[index], return_inverse=True, return_counts=True)
    counts = torch.from_numpy(size[group] ** -trial.balance)
    counts = counts / counts.mean()
    centres = torch.tensor([trial.gloss, 0.0], dtype=DOUBLE).repeat(index.size, 1)
    for _ in range(2 if trial.effects else 1):
        if "shift" in trial.effects:
            result = replace(result, shift=shifts(result, faces, index))
        spectra = corrected(faces, index, result.shift)
        if {"gain", "offset"} & set(trial.effects):
            centres = effects(result.fit(spectra), origin, trial)
        best = calibrate(
            form, spectra, trial.weights, result.best.z, counts, tolerance=1e-4, centres=centres, most_steps=25
        )
        result = replace(result, best=best)
    return result


def effects(point: Solution, origin: np.ndarray, trial: Trial) -> Tensor:
    """Where i_s and ln i_d of each spectrum are thought to lie: shrunken means of its laboratory's."""
    centres = torch.tensor([trial.gloss, 0.0], dtype=DOUBLE).repeat(origin.size, 1)
    for column, kind, seen, spread, within in (
        (0, "offset", point.i_s, 0.02, 0.02),
        (1, "gain", point.i_d.clamp_min(1e-3).log(), 0.1, 0.15),
    ):
        for name in np.unique(origin) if kind in trial.effects else ():
            own = torch.from_numpy(origin == name)
            share = 1 / (1 + (within / spread) ** 2 / int(own.sum()))
            centres[own, column] += share * (seen[own].mean() - centres[own, column])
    return centres


def shifts(found: Estimate, faces: Faces, index: np.ndarray) -> dict[str, float]:
    """Of each laboratory, by how many nm its wavelengths are off: the vertex of a parabola about the best of a grid."""
    shift = {}
    for name in np.unique(faces.archive.origin[index]):
        own = index[faces.archive.origin[index] == name][:150]
        cost = np.array(
            [float(found.fit(corrected(faces, own, {str(name): s})).cost.sqrt().median()) for s in SHIFTS.tolist()]
        )
        best = int(np.clip(cost.argmin(), 1, len(SHIFTS) - 2))
        before, here, after = cost[best - 1 : best + 2]
        bend = before - 2 * here + after
        vertex = 0.5 * (before - after) / bend if bend > 0 else 0.0
        shift[str(name)] = float(SHIFTS[best] + np.clip(vertex, -1, 1) * (SHIFTS[1] - SHIFTS[0]))
    return shift


def corrected(faces: Faces, index: np.ndarray, shift: Mapping[str, float]) -> Tensor:
    """Spectra on the wavelengths that were meant, by cubic splines."""
    spectra = faces.spectra[index].clone()
    for name, amount in shift.items():
        own = np.flatnonzero(faces.archive.origin[index] == name)
        if own.size and amount:
            curve = CubicSpline(faces.wavelengths, spectra[own].numpy(), axis=1)
            spectra[own] = torch.from_numpy(curve(faces.wavelengths - amount))
    return spectra


def rows(faces: Faces, trial: Trial, train: np.ndarray) -> dict[str, Any]:
    """Every row of a trial."""
    found, index = estimate(faces, trial, train), np.setdiff1d(faces.of("train", "validation"), train)
    spectra = corrected(faces, index, found.shift)
    point = found.fit(spectra)
    left_out = []
    for part, there in _elsewhere(faces, train):
        other = estimate(faces, trial, part, start=found.best)
        left_out.append(other.fit(corrected(faces, there, shifts(other, faces, there) if other.shift else {})).cost)
    bands = spectra.shape[1]
    elsewhere_rmse = (torch.cat(left_out) / bands).sqrt()
    values = found.form.values(found.best.z)
    ends = (found.best.z <= found.form.low) | (found.best.z >= found.form.high)
    return {
        **errors(faces, index, spectra, point, found.form.upper),
        "laboratories": [_digits(elsewhere_rmse.median()), _digits(elsewhere_rmse.quantile(0.95))],
        **meaning(faces, index, spectra, point, found),
        **gloss(found, spectra, point),
        "constants": {name: _digits(values[name]) for name in CANDIDATES if name in values},
        "saturation": _digits(values["oxygen_saturation"]),
        "at_an_end": [row.name for row, end in zip(found.form.free, ends, strict=True) if end],
        **({"shift": {name: round(s, 2) for name, s in found.shift.items()}} if found.shift else {}),
    }


def _digits(value: Any) -> float:
    return float(f"{float(value):.3g}")


def errors(faces: Faces, index: np.ndarray, spectra: Tensor, point: Solution, upper: Tensor) -> dict[str, Any]:
    """RMSE, groups, bounds."""
    rmse = (point.cost / spectra.shape[1]).sqrt().numpy()
    group, floors = faces.archive.group[index], floor(faces, spectra.numpy(), 4)
    bound = ((point.x <= LOWER) | (point.x >= upper)).numpy()
    of = {str(g): group == g for g in np.unique(group)}
    return {
        "rmse": [_digits(np.median(rmse)), _digits(np.quantile(rmse, 0.95))],
        "worst_over_median": _digits(max(np.median(rmse[own]) for own in of.values()) / np.median(rmse)),
        "worst_over_floor": _digits(max(np.median(rmse[own]) / np.median(floors[own]) for own in of.values())),
        "worst_at_a_bound": _digits(max(bound[own].any(1).mean() for own in of.values())),
        "african_at_a_bound": _digits(bound[of["African"]].any(1).mean()) if "African" in of else None,
    }


def meaning(faces: Faces, index: np.ndarray, spectra: Tensor, point: Solution, found: Estimate) -> dict[str, Any]:
    """Tone in the level and in f_mel, redness in f_blood; with the level known i_d is held at its median."""
    colour = lab(faces.spectra[index].numpy(), faces.wavelengths)
    angle = np.degrees(np.arctan2(colour[:, 0] - 50, colour[:, 2]))
    member = np.unique(faces.archive.person[index], return_inverse=True)[1]
    i_d = point.i_d.numpy()
    of_persons = [np.bincount(member, v) / np.bincount(member) for v in (i_d, angle)]
    level = float(np.median(i_d))
    known = found.fit(spectra, shadings=((level, level), (0.0, np.inf)))
    rmse = (known.cost / spectra.shape[1]).sqrt()
    return {
        "i_d_and_angle": _digits(spearmanr(*of_persons)[0]),
        "log_i_d_sd": _digits(np.log(i_d).std()),
        "f_mel_and_angle": _digits(spearmanr(point.x[:, 0], angle)[0]),
        "f_mel_and_angle_known": _digits(spearmanr(known.x[:, 0], angle)[0]),
        "f_blood_and_a": _digits(partial_correlation(point.x[:, 1].numpy(), colour[:, 1], colour[:, 0])),
        "f_blood_and_a_known": _digits(partial_correlation(known.x[:, 1].numpy(), colour[:, 1], colour[:, 0])),
        "rmse_known": [_digits(rmse.median()), _digits(rmse.quantile(0.95))],
    }


def gloss(found: Estimate, spectra: Tensor, point: Solution) -> dict[str, Any]:
    """i_s, and how gloss that is laid on measured skin comes back: less i_d times what i_s was without it."""
    rng = np.random.default_rng(15)
    light = torch.from_numpy(rng.uniform(0.3, 1.2, len(spectra)))
    true = torch.from_numpy(rng.exponential(0.05, len(spectra)))
    noise = torch.from_numpy(0.003 * rng.standard_normal(spectra.shape))
    laid = found.fit(light[:, None] * spectra + true[:, None] + noise).i_s - light * point.i_s
    return {
        "i_s": [_digits(point.i_s.median()), _digits(point.i_s.quantile(0.95))],
        "i_s_at_0": _digits((point.i_s <= 0).double().mean()),
        "gloss_laid": [_digits(spearmanr(laid, true)[0]), _digits((laid - true).square().mean().sqrt())],
    }


if __name__ == "__main__":
    main()
