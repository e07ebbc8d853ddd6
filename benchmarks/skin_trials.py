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
from collections.abc import Mapping, Sequence
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
WIDTHS = np.linspace(0, 24, 9)  # [nm], of an instrument's bands
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
    their own, of "gain", "offset", "shift" and "width"; `gloss`: where i_s is thought to lie; `cosines`: how many a
    correction has; `balance`: spectra count by the size of their group to minus this power; `without`: a site whose
    spectra nothing is estimated from.
    """

    free: tuple[str, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    effects: tuple[str, ...] = ()
    gloss: float = GLOSS
    cosines: int = 6
    balance: float = 0.0
    without: str = ""


# What a trial may be made of, alone or several together: "bandwidth-10, cosines-9".
CHANGES: dict[str, dict[str, Any]] = {
    "base": {},
    "haze-0.02": {"held": {"haze": 0.02}, "gloss": 0.02},
    "haze-0.03": {"held": {"haze": 0.03}, "gloss": 0.01},
    "haze-0.04": {"held": {"haze": 0.04}, "gloss": 0.0},
    "haze-mel": {"free": ("haze", "haze_mel"), "gloss": 0.02},
    "mixture": {"free": ("mixture",)},
    "dermal-melanin": {"free": ("dermal_melanin",)},
    "scatter-mel": {"free": ("scatter_mel",)},
    "scatter-both": {"free": ("scatter_mel", "scatter_blood")},
    "pigments": {"free": ("mixture", "dermal_melanin", "scatter_mel", "scatter_blood")},
    "bandwidth-10": {"held": {"bandwidth": 10.0}},
    "bandwidth-13": {"held": {"bandwidth": 13.0}},
    "bandwidth-16": {"held": {"bandwidth": 16.0}},
    "bandwidth-20": {"held": {"bandwidth": 20.0}},
    "cosines-7": {"cosines": 7},
    "cosines-8": {"cosines": 8},
    "cosines-9": {"cosines": 9},
    "gains": {"effects": ("gain",)},
    "offsets": {"effects": ("gain", "offset")},
    "shift": {"effects": ("shift",)},
    "width": {"effects": ("width",)},
    "level-x10": {"weights": {"level": 1.0}},
    "level-x100": {"weights": {"level": 10.0}},
    "gloss-x10": {"weights": {"gloss": 1.0}},
    "gloss-x100": {"weights": {"gloss": 10.0}},
    "prior/3": {"weights": {"prior": 0.001}},
    "prior x3": {"weights": {"prior": 0.009}},
    "corner-0.02": {"weights": {"corner": 0.02}},
    "balance-0.5": {"balance": 0.5},
    "balance-1": {"balance": 1.0},
    "no-chins": {"without": "chin"},
}


def trial(name: str) -> Trial:
    """The changes that a name lists, one after the other."""
    merged: dict[str, Any] = {"free": (), "held": {}, "weights": {}, "effects": ()}
    for part in name.split(", "):
        for key, value in CHANGES[part].items():
            if key in ("held", "weights"):
                merged[key] = merged[key] | value
            else:
                merged[key] = (*merged[key], *value) if key in ("free", "effects") else value
    return Trial(**merged | {"weights": Weights(**merged["weights"])})


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
    shift: Mapping[str, float] = field(default_factory=dict)
    width: Mapping[str, float] = field(default_factory=dict)

    def fit(self, spectra: Tensor, bandwidth: float | None = None, **bounds: Any) -> Solution:
        """With the blood of the baseline counted, as in the model that ships: it only shifts f_blood."""
        row = next(row for row in constants(BASE) if row.name == "baseline_blood")
        values = self.form.values(self.best.z)
        values["baseline_blood"] = torch.tensor(_all_blood(row, self.form, self.best).estimate, dtype=DOUBLE)
        if bandwidth is not None:
            values["bandwidth"] = torch.tensor(bandwidth, dtype=DOUBLE)
        return PigmentSolver(self.form.of(values), LOWER, self.form.upper, **bounds)(spectra)

    def corrected(self, faces: Faces, index: np.ndarray) -> Tensor:
        """Spectra on the wavelengths that were meant, as bands of the trial would see them; by cubic splines."""
        spectra, low, high = faces.spectra[index].clone(), faces.wavelengths[0], faces.wavelengths[-1]
        wide = float(self.form.fixed["bandwidth"])
        for name in self.shift.keys() | self.width.keys():
            own = np.flatnonzero(faces.archive.origin[index] == name)
            deviation = (max(wide**2 - self.width.get(name, wide) ** 2, 0.0) / (8 * np.log(2))) ** 0.5
            steps = np.arange(-np.ceil(3 * deviation), np.ceil(3 * deviation) + 1)
            share = np.exp(-0.5 * (steps / max(deviation, 1e-9)) ** 2)
            if own.size:
                curve = CubicSpline(faces.wavelengths, spectra[own].numpy(), axis=1)
                seen = faces.wavelengths[:, None] - self.shift.get(name, 0.0) + steps
                spectra[own] = torch.from_numpy(curve(np.clip(seen, low - 3, high + 3)) @ (share / share.sum()))
        return spectra


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help='changes, or several: "bandwidth-10, cosines-9"')
    parser.add_argument("--list", action="store_true", help="names of the changes")
    parser.add_argument("--spectra", type=int, default=1000, help="about so many of the training persons")
    chosen = parser.parse_args()
    if unknown := {part for name in chosen.names for part in name.split(", ")} - set(CHANGES):
        parser.error(f"{', '.join(sorted(unknown))}: no such change; there are {', '.join(CHANGES)}")
    if chosen.list or not chosen.names:
        print("\n".join(CHANGES))
        return
    torch.set_num_threads(1)
    faces = Faces.load()
    train = faces.some_persons(faces.of("train"), chosen.spectra)
    for name in chosen.names:
        began = time.perf_counter()
        found = rows(faces, trial(name), train)
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
    result = Estimate(form, start or Calibration(z, float("inf"), 0))
    index = index[faces.archive.site[index] != trial.without]
    origin = faces.archive.origin[index]
    _, group, size = np.unique(faces.archive.group[index], return_inverse=True, return_counts=True)
    counts = torch.from_numpy(size[group] ** -trial.balance)
    counts = counts / counts.mean()
    centres = torch.tensor([trial.gloss, 0.0], dtype=DOUBLE).repeat(index.size, 1)
    for _ in range(2 if trial.effects else 1):
        result = instruments(result, trial, faces, index)
        spectra = result.corrected(faces, index)
        if {"gain", "offset"} & set(trial.effects):
            centres = effects(result.fit(spectra), origin, trial)
        best = calibrate(
            form, spectra, trial.weights, result.best.z, counts, tolerance=1e-4, centres=centres, most_steps=25
        )
        result = replace(result, best=best)
    return result


def instruments(found: Estimate, trial: Trial, faces: Faces, index: np.ndarray) -> Estimate:
    """What the laboratories of an index have of their own, under the constants that were found."""
    if "width" in trial.effects:
        found = replace(found, width=widths(found, faces, index))
    return replace(found, shift=shifts(found, faces, index)) if "shift" in trial.effects else found


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
    """Of each laboratory, by how many nm its wavelengths are off."""
    return {
        name: _least(
            SHIFTS, [found.fit(replace(found, shift={name: s}).corrected(faces, own)).cost for s in SHIFTS.tolist()]
        )
        for name, own in _of_laboratories(faces, index)
    }


def widths(found: Estimate, faces: Faces, index: np.ndarray) -> dict[str, float]:
    """Of each laboratory, how wide its bands are [nm]."""
    return {
        name: _least(WIDTHS, [found.fit(faces.spectra[own], bandwidth=w).cost for w in WIDTHS.tolist()])
        for name, own in _of_laboratories(faces, index)
    }


def _of_laboratories(faces: Faces, index: np.ndarray) -> list[tuple[str, np.ndarray]]:
    origin = faces.archive.origin[index]
    return [(str(name), index[origin == name][:150]) for name in np.unique(origin)]


def _least(grid: np.ndarray, costs: Sequence[Tensor]) -> float:
    """Where the median RMSE is least: the vertex of a parabola about the best of a grid."""
    cost = np.array([float(each.sqrt().median()) for each in costs])
    best = int(np.clip(cost.argmin(), 1, len(grid) - 2))
    before, here, after = cost[best - 1 : best + 2]
    bend = before - 2 * here + after
    vertex = 0.5 * (before - after) / bend if bend > 0 else np.sign(before - after)
    return float(grid[best] + np.clip(vertex, -1, 1) * (grid[1] - grid[0]))


def rows(faces: Faces, trial: Trial, train: np.ndarray) -> dict[str, Any]:
    """Every row of a trial."""
    found, index = estimate(faces, trial, train), np.setdiff1d(faces.of("train", "validation"), train)
    spectra = found.corrected(faces, index)
    point = found.fit(spectra)
    left_out = []
    for part, there in _elsewhere(faces, train):
        other = estimate(faces, trial, part, start=found.best)
        left_out.append(other.fit(instruments(other, trial, faces, there).corrected(faces, there)).cost)
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
        **{
            kind: {name: round(value, 2) for name, value in own.items()}
            for kind, own in (("shift", found.shift), ("width", found.width))
            if own
        },
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
    member, i_d = np.unique(faces.archive.person[index], return_inverse=True)[1], point.i_d.numpy()
    of_persons = [np.bincount(member, v) / np.bincount(member) for v in (i_d, angle)]
    own = np.log(i_d) - (np.bincount(member, np.log(i_d)) / np.bincount(member))[member]
    origin = np.unique(faces.archive.origin[index], return_inverse=True)[1]
    in_laboratory = [v - (np.bincount(origin, v) / np.bincount(origin))[origin] for v in (np.log(i_d), angle)]
    in_laboratory = [np.bincount(member, v) / np.bincount(member) for v in in_laboratory]
    level = float(np.median(i_d))
    known = found.fit(spectra, shadings=((level, level), (0.0, np.inf)))
    surface = found.fit(spectra, shadings=((0.0, np.inf), (GLOSS, GLOSS)))
    rmse = (known.cost / spectra.shape[1]).sqrt()
    return {
        "i_d_and_angle": _digits(spearmanr(*of_persons)[0]),
        "within_laboratories": _digits(spearmanr(*in_laboratory)[0]),
        "log_i_d_sd": _digits(np.log(i_d).std()),
        "log_i_d_sd_within_persons": _digits(own.std()),
        "f_mel_and_angle": _digits(spearmanr(point.x[:, 0], angle)[0]),
        "f_mel_and_angle_known": _digits(spearmanr(known.x[:, 0], angle)[0]),
        "f_blood_and_a": _digits(partial_correlation(point.x[:, 1].numpy(), colour[:, 1], colour[:, 0])),
        "f_blood_and_a_known": _digits(partial_correlation(known.x[:, 1].numpy(), colour[:, 1], colour[:, 0])),
        "f_mel_and_angle_gloss_known": _digits(spearmanr(surface.x[:, 0], angle)[0]),
        "f_blood_and_a_gloss_known": _digits(partial_correlation(surface.x[:, 1].numpy(), colour[:, 1], colour[:, 0])),
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
