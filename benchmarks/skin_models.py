"""Compare the skin models on skin that none of them was made from, and check what their pigments mean.

Usage: python -m benchmarks.skin_models [--reference FOLDER] [--workbook ISSA.xlsx] [--scenes FOLDER] [--model NAME]

Test persons of the International Skin Spectra Archive, faces, 400-700 nm, wide bounds. With the reference data also
71 cheeks and one face of other cameras, 420-700 nm. With the archive's workbook (openpyxl) also sites that do not ship:
the inner arm. With the stand-in scenes (msfit synth -o FOLDER --stand-ins) also how true gloss comes back. Writes
benchmarks/results/skin_models.json and the figures of docs/skin-model.md; what needs the workbook stays as it was if
that is not given, with its date and commit. Of one model alone it prints the rows, and puts its line into the table of
`msfit models`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from scipy.stats import rankdata, spearmanr

import msfit
from benchmarks import record, skin_model_figures
from benchmarks.calibration import GLOSS, Faces
from msfit.mask import skin_mask
from msfit.metrics.clinical import ita_class
from msfit.skin.held_out import TABLE
from msfit.skin.models import DEFAULT_MODEL, get_model
from msfit.synth.files import read_truth
from msfit.synth.people import lab
from msfit.synth.standins import standins

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("alotaibi-smith-2019", "biofacenet-lut", "jacques-km", "msfit-issa-2025", "msfit-issa-2026")
INNER_ARM = 7  # the archive's code
# Cheek and lips of one man in ISETCam's scene and in the CAVE database's picture, found by eye.
SITES = {
    "ISET": {"cheek": np.s_[122:140, 68:84], "lips": np.s_[151:158, 98:116]},
    "CAVE": {"cheek": np.s_[275:310, 225:258], "lips": np.s_[358:374, 290:330]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--workbook", type=Path)
    parser.add_argument("--scenes", type=Path, help="of the stand-ins")
    parser.add_argument("--model", choices=MODELS, help="of this one alone")
    chosen = parser.parse_args()
    for given, kind in (
        (chosen.reference, Path.is_dir),
        (chosen.workbook, Path.is_file),
        (chosen.scenes, Path.is_dir),
    ):
        if given is not None and not kind(given):
            parser.error(f"{given}: there is no such {'folder' if kind is Path.is_dir else 'file'}")
    chosen.reference = chosen.reference or ROOT.parent / "shared" / "data"
    faces = Faces.load()
    test = faces.of("test")
    figures: dict[str, Any] = {
        "test": {"persons": len(np.unique(faces.archive.person[test])), "spectra": len(test)},
        "floor": {f"mean+{count}": _spread(floor(faces, faces.spectra[test].numpy(), count)) for count in (3, 4)},
        "typology_ceiling": typology_ceiling(faces, test),
        "models": {},
    }
    names = (chosen.model,) if chosen.model else MODELS
    fits = {model: msfit.fit(faces.spectra[test].numpy(), faces.wavelengths, model=model) for model in names}
    floors = floor(faces, faces.spectra[test].numpy(), 4)
    if (chosen.reference / "iset_cheeks.mat").is_file():
        cheeks = iset_cheeks(chosen.reference)
        inside = faces.wavelengths >= 420
        sampled = np.stack([np.interp(faces.wavelengths[inside], cheeks.wavelengths, row) for row in cheeks.values])
        figures["floor"]["iset_cheeks"] = {
            f"mean+{count}": _spread(floor(faces, sampled, count, inside)) for count in (3, 4)
        }
    for model, found in fits.items():
        figures["models"][model] = {
            **errors(faces, test, found),
            "share_at_a_bound": {"wide": at_a_bound(found), "paper": at_a_bound(_refit(found, "paper"))},
            "group_over_floor": {
                group: _round(value / np.median(floors[faces.archive.group[test] == group]))
                for group, value in errors(faces, test, found)["rmse_by_group"].items()
            },
            "by_group": by_group(faces, test, found, floors),
            "by_tone": by_tone(faces, test, found),
            "level": level(faces, test, found),
            "saturation_free": saturation(faces, test, model),
            "persons_interval": intervals(faces, test, found),
            "meaning": meaning(faces, test, found),
            "seconds_for_7553": seconds(faces, model),
        }
        if (chosen.reference / "cave_face.mat").is_file():
            figures["models"][model] |= elsewhere(chosen.reference, model)
        if (chosen.reference / "iset_face_spatial_illuminant.mat").is_file():
            figures["models"][model]["one_man"] = one_man(chosen.reference, model)
        if chosen.scenes:
            figures["models"][model]["standins"] = standin_gloss(chosen.scenes, model)
        if chosen.workbook:
            figures["models"][model]["whole_archive"] = whole_archive(chosen.workbook, faces, model)
        print(model, figures["models"][model], flush=True)
    figures["default_model"] = DEFAULT_MODEL
    write_held_out(figures["models"])
    if chosen.model:
        return
    if not chosen.workbook:
        keep_whole_archive(figures["models"])
    skin_model_figures.draw(faces, test, fits)
    print(record.write("skin_models", figures))


def keep_whole_archive(models: dict[str, Any]) -> None:
    """Takes over what needs the archive's workbook from the last run that had it."""
    last = json.loads((record.RESULTS / "skin_models.json").read_text(encoding="utf-8"))
    for model, before in last["figures"]["models"].items():
        if (kept := before.get("whole_archive")) is not None:
            models[model]["whole_archive"] = {"date": last["date"], "commit": last["commit"], **kept}


def write_held_out(models: dict[str, Any]) -> None:
    """The table that `msfit models` shows, from the figures of each model; lines of others stay."""
    table = ROOT / "msfit" / "skin" / "data" / TABLE
    lines = {line.split(",")[0]: line for line in table.read_text(encoding="ascii").splitlines()}
    for model, found in models.items():
        lines[model] = f"{model},{found['rmse']['median']},{found['rmse']['p95']},{found['i_s']['median']}"
    table.write_text("\n".join(lines.values()) + "\n", encoding="ascii")


def _round(value: Any) -> float:
    return float(f"{float(value):.4g}")


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"median": _round(np.median(values)), "p95": _round(np.quantile(values, 0.95))}


def floor(faces: Faces, spectra: np.ndarray, count: int, bands: np.ndarray | None = None) -> np.ndarray:
    """RMSE (n,) of the training spectra's mean plus so many of their principal components, on some of the bands."""
    train = faces.spectra[faces.of("train")].numpy()
    train = train if bands is None else train[:, bands]
    mean = train.mean(0)
    basis = np.linalg.svd(train - mean, full_matrices=False)[2][:count]
    rest = spectra - mean
    return np.asarray(np.sqrt(((rest - rest @ basis.T @ basis) ** 2).mean(1)))


def errors(faces: Faces, index: np.ndarray, found: msfit.FitResult) -> dict[str, Any]:
    """RMSE, i_s and RMSE by group."""
    median = float(np.median(found.rmse))
    groups = {
        str(group): _round(np.median(found.rmse[faces.archive.group[index] == group]))
        for group in np.unique(faces.archive.group[index])
    }
    return {
        "rmse": _spread(found.rmse),
        "i_s": {"median": _round(np.median(found.i_s)), "p90": _round(np.quantile(found.i_s, 0.9))},
        "f_mel": [_round(v) for v in np.quantile(found.f_mel, (0.05, 0.5, 0.95))],
        "f_blood": [_round(v) for v in np.quantile(found.f_blood, (0.05, 0.5, 0.95))],
        "rmse_by_group": groups,
        "worst_group_over_median": _round(max(groups.values()) / median),
    }


def at_a_bound(found: msfit.FitResult) -> float:
    """Share of the spectra with a pigment at a bound."""
    held = [np.isin(getattr(found, name), ends) for name, ends in found.bounds.items()]
    return _round(np.logical_or(*held).mean())


def by_group(faces: Faces, index: np.ndarray, found: msfit.FitResult, floors: np.ndarray) -> dict[str, Any]:
    """Of each group: persons, RMSE, its ratio to the archive's median and to mean + 4 components, ends of the bounds.

    `f_blood_held_at_0`: RMSE of all the group's spectra without blood, which says what a count at that bound is worth.
    """
    assert found.cube is not None
    bloodless = msfit.fit(found.cube, model=found.model, bounds={"f_blood": (0.0, 1e-9)})
    rmse, rows = np.asarray(found.rmse), {}
    for group in np.unique(faces.archive.group[index]):
        own = faces.archive.group[index] == group
        ends = {
            f"{name}_{side}": _round((np.asarray(getattr(found, name))[own] == bounds[end]).mean())
            for name, bounds in found.bounds.items()
            for end, side in enumerate(("lower", "upper"))
        }
        rows[str(group)] = {
            "persons": len(np.unique(faces.archive.person[index][own])),
            "rmse_median": _round(np.median(rmse[own])),
            "over_archive": _round(np.median(rmse[own]) / np.median(rmse)),
            "over_floor": _round(np.median(rmse[own]) / np.median(floors[own])),
            "at_a_bound": ends,
            "f_blood_held_at_0": _round(np.median(np.asarray(bloodless.rmse)[own])),
        }
    return rows


def by_tone(faces: Faces, index: np.ndarray, found: msfit.FitResult) -> dict[str, Any]:
    """Of each class of skin tone, by the mean angle of a person: persons, RMSE, share at a bound, f_mel."""
    angle = _typology(lab(faces.spectra[index].numpy(), faces.wavelengths))
    member = np.unique(faces.archive.person[index], return_inverse=True)[1]
    tone = ita_class(_of_persons(angle, member)[member])
    held = np.logical_or(*[np.isin(getattr(found, name), ends) for name, ends in found.bounds.items()])
    return {
        str(name): {
            "persons": len(np.unique(member[own])),
            "rmse": _spread(np.asarray(found.rmse)[own]),
            "at_a_bound": _round(held[own].mean()),
            "f_mel": _round(np.median(np.asarray(found.f_mel)[own])),
        }
        for name in np.unique(tone)
        for own in [tone == name]
    }


def _of_persons(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    return np.asarray(np.bincount(member, values) / np.bincount(member))


def level(faces: Faces, index: np.ndarray, found: msfit.FitResult) -> dict[str, Any]:
    """How much tone the level carries though the instruments light all skin alike, and what pigments tell if more is
    known or other bands count: i_d at its median, i_s at what a surface returns, four times the weight on 620-700 nm.
    """
    assert found.cube is not None
    angle = _typology(lab(faces.spectra[index].numpy(), faces.wavelengths))
    member = np.unique(faces.archive.person[index], return_inverse=True)[1]
    origin = faces.archive.origin[index]
    names, laboratory = np.unique(origin, return_inverse=True)
    i_d = np.asarray(found.i_d)
    log = np.log(i_d)
    beside = [v - (np.bincount(laboratory, v) / np.bincount(laboratory))[laboratory] for v in (log, angle)]
    fits = {
        "level_known": msfit.fit(found.cube, model=found.model, hold={"i_d": float(np.median(i_d))}),
        "gloss_known": msfit.fit(found.cube, model=found.model, hold={"i_s": GLOSS}),
        "both_known": msfit.fit(found.cube, model=found.model, hold={"i_d": float(np.median(i_d)), "i_s": GLOSS}),
        "red_weighted": msfit.fit(found.cube, model=found.model, weights={(620, 700): 4.0}),
    }
    return {
        "log_i_d_sd": _round(log.std()),
        "log_i_d_sd_within_persons": _round((log - _of_persons(log, member)[member]).std()),
        "log_i_d_sd_within_laboratories": _round(beside[0].std()),
        "log_i_d_robust_sd": _round(1.4826 * np.median(np.abs(log - np.median(log)))),
        "log_i_d_sd_by_site": {
            str(site): _round(log[faces.archive.site[index] == site].std())
            for site in np.unique(faces.archive.site[index])
        },
        "log_i_d_by_laboratory": {
            str(name): [_round(log[origin == name].mean()), _round(log[origin == name].std())] for name in names
        },
        "without_chins": _beardless(faces, index, i_d, np.asarray(found.f_mel), angle),
        "i_d_and_typology_angle_of_persons": _round(spearmanr(_of_persons(i_d, member), _of_persons(angle, member))[0]),
        "the_same_within_laboratories": _round(spearmanr(*(_of_persons(v, member) for v in beside))[0]),
        "f_mel_and_typology_angle_level_known": _round(spearmanr(fits["level_known"].f_mel, angle)[0]),
        **{name: _told(faces, index, fit, angle) for name, fit in fits.items()},
    }


def _beardless(
    faces: Faces, index: np.ndarray, i_d: np.ndarray, f_mel: np.ndarray, angle: np.ndarray
) -> dict[str, float]:
    """Rows of the level without chins: between the hairs of a beard skin is darker, by any model, without melanin."""
    bare = faces.archive.site[index] != "chin"
    member = np.unique(faces.archive.person[index][bare], return_inverse=True)[1]
    of_persons = [_of_persons(v[bare], member) for v in (i_d, angle)]
    return {
        "log_i_d_sd": _round(np.log(i_d[bare]).std()),
        "i_d_and_typology_angle_of_persons": _round(spearmanr(*of_persons)[0]),
        "f_mel_and_typology_angle": _round(spearmanr(f_mel[bare], angle[bare])[0]),
    }


def _told(faces: Faces, index: np.ndarray, found: msfit.FitResult, angle: np.ndarray) -> dict[str, Any]:
    colour = lab(faces.spectra[index].numpy(), faces.wavelengths)
    return {
        "rmse": _spread(np.asarray(found.rmse)),
        "f_mel_and_typology_angle": _round(spearmanr(found.f_mel, angle)[0]),
        "f_blood_and_a_at_fixed_L": partial_correlation(np.asarray(found.f_blood), colour[:, 1], colour[:, 0]),
    }


def saturation(faces: Faces, index: np.ndarray, model: str) -> dict[str, Any] | None:
    """With the saturation free: how far medians of groups lie apart, and those of laboratories.

    The same from 500-620 nm, where haemoglobin's bands are and melanin's spectrum is nearly a straight line.
    """
    if not get_model(model).extras:
        return None
    free = ("f_mel", "f_blood", "saturation")
    spectra, found = faces.spectra[index].numpy(), {}
    for what, bands in (("", None), (" 500-620 nm", "500:620")):
        fit = msfit.fit(spectra, faces.wavelengths, model=model, free=free, bands=bands)
        values = np.asarray(fit.extra["saturation"])
        for kind, labels in (("groups", faces.archive.group[index]), ("laboratories", faces.archive.origin[index])):
            medians = [np.median(values[labels == name]) for name in np.unique(labels)]
            found[kind + what] = _round(np.ptp(medians))
    return found


def intervals(faces: Faces, index: np.ndarray, found: msfit.FitResult, draws: int = 1000) -> dict[str, list[float]]:
    """95 % intervals by bootstrap over persons."""
    rmse, i_s, f_mel = (np.asarray(getattr(found, name)) for name in ("rmse", "i_s", "f_mel"))
    angle = _typology(lab(faces.spectra[index].numpy(), faces.wavelengths))
    persons, member = np.unique(faces.archive.person[index], return_inverse=True)
    own = [np.flatnonzero(member == number) for number in range(persons.size)]
    rng, rows = np.random.default_rng(15), []
    for _ in range(draws):
        drawn = np.concatenate([own[number] for number in rng.integers(persons.size, size=persons.size)])
        rows.append(
            (
                np.median(rmse[drawn]),
                np.quantile(rmse[drawn], 0.95),
                np.median(i_s[drawn]),
                spearmanr(f_mel[drawn], angle[drawn])[0],
            )
        )
    ends = np.quantile(rows, (0.025, 0.975), axis=0).T
    names = ("rmse_median", "rmse_p95", "i_s_median", "f_mel_and_typology_angle")
    return {name: [_round(end) for end in pair] for name, pair in zip(names, ends, strict=True)}


def _refit(found: msfit.FitResult, bounds: str) -> msfit.FitResult:
    assert found.cube is not None
    return msfit.fit(found.cube, model=found.model, bounds=bounds)


def _typology(colour: np.ndarray) -> np.ndarray:
    return np.asarray(np.degrees(np.arctan2(colour[:, 0] - 50, colour[:, 2])))


def partial_correlation(x: np.ndarray, y: np.ndarray, held: np.ndarray) -> float:
    """Correlation of x and y after a line in `held` was taken from both."""
    design = np.stack((np.ones_like(held), held), 1)
    x, y = (v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y))
    return _round(np.corrcoef(x, y)[0, 1])


def meaning(faces: Faces, index: np.ndarray, found: msfit.FitResult) -> dict[str, Any]:
    """What f_mel and f_blood say about measured colour, sites and persons."""
    colour = lab(faces.spectra[index].numpy(), faces.wavelengths)
    person, site = faces.archive.person[index], faces.archive.site[index]
    persons = np.unique(person)
    mean = {who: found.f_mel[person == who].mean() for who in persons}
    within = found.f_mel - np.array([mean[who] for who in person])
    many = np.array([(person == who).sum() > 1 for who in person])
    angle = {who: _typology(colour[person == who]).mean() for who in persons}
    return {
        "f_mel_and_typology_angle": _round(spearmanr(found.f_mel, _typology(colour))[0]),
        "of_persons": _round(spearmanr([mean[w] for w in persons], [angle[w] for w in persons])[0]),
        "f_blood_and_a_at_fixed_L": partial_correlation(found.f_blood, colour[:, 1], colour[:, 0]),
        "over_forehead": {
            f"{what}, {name}": _pairs(values, person, site, sites, ("forehead",))
            for name, sites in (("nose tip", ("nose tip",)), ("cheek", ("cheek", "cheek bone")))
            for what, values in (("blood", found.f_blood), ("a*", colour[:, 1]))
        },
        "f_mel_sd_within_person": _round(
            np.sqrt((within[many] ** 2).sum() / (many.sum() - np.unique(person[many]).size))
        ),
        "f_mel_sd_between_persons": _round(np.std(list(mean.values()))),
    }


def _pairs(
    values: np.ndarray, person: np.ndarray, site: np.ndarray, sites: tuple[str, ...], others: tuple[str, ...]
) -> dict[str, Any]:
    """Persons measured at both: how many, the share with more at the first, the median ratio."""
    ratios = []
    for who in np.unique(person):
        first, second = (values[(person == who) & np.isin(site, place)] for place in (sites, others))
        if first.size and second.size:
            ratios.append(first.mean() / max(second.mean(), 1e-9))
    found = np.array(ratios)
    return {"persons": len(found), "share_more": _round((found > 1).mean()), "ratio": _round(np.median(found))}


def typology_ceiling(faces: Faces, index: np.ndarray) -> dict[str, float]:
    """How well any function of a spectrum that ignores its level, and an offset, could follow the typology angle.

    i_d and i_s are free, so f_mel is such a function. Kernel ridge regression of the angle's rank on eight principal
    components, trained on training persons: Spearman correlation on the others.
    """
    train = faces.some_persons(faces.of("train"), 1500)
    spectra = faces.spectra.numpy()
    angle = _typology(lab(spectra, faces.wavelengths))
    rank = rankdata(angle)
    centred = spectra - spectra.mean(1, keepdims=True)
    kinds = {
        "level_and_offset_free": centred / np.linalg.norm(centred, axis=1, keepdims=True),
        "level_free": spectra / np.linalg.norm(spectra, axis=1, keepdims=True),
    }
    found = {}
    for name, shape in kinds.items():
        rest = shape - shape[train].mean(0)
        scores = rest @ np.linalg.svd(rest[train], full_matrices=False)[2][:8].T
        scores /= scores[train].std(0)
        near = {
            key: np.exp(-((scores[rows, None] - scores[None, train]) ** 2).sum(2) / 18)
            for key, rows in (("train", train), ("test", index))
        }
        weights = np.linalg.solve(near["train"] + 0.03 * np.eye(train.size), rank[train] - rank[train].mean())
        found[name] = _round(spearmanr(near["test"] @ weights, angle[index])[0])
    return found


def seconds(faces: Faces, model: str) -> dict[str, float]:
    """Fit of all facial spectra, ten times over, single precision: median of seven runs."""
    many = np.tile(faces.spectra.numpy().astype(np.float32), (10, 1))
    msfit.fit(many, faces.wavelengths, model=model)
    took = []
    for _ in range(7):
        began = time.perf_counter()
        msfit.fit(many, faces.wavelengths, model=model)
        took.append((time.perf_counter() - began) / 10)
    return {"median": _round(np.median(took)), "least": _round(min(took))}


def cave_face(folder: Path) -> msfit.Cube:
    """The face of the CAVE database on its white patch, 420-700 nm."""
    held = scipy.io.loadmat(folder / "cave_face.mat")
    counts, bands = held["counts"].astype(np.float64), held["wave"].ravel() >= 420
    white = counts[400:436, 30:71].mean((0, 1))
    return msfit.Cube((counts / white)[..., bands], held["wave"].ravel()[bands].astype(float))


def iset_cheeks(folder: Path) -> msfit.Cube:
    """The 71 cheeks of the ISET faces, 420-700 nm."""
    held = scipy.io.loadmat(folder / "iset_cheeks.mat")
    wavelengths = held["wavelength"].ravel().astype(float)
    inside = (wavelengths >= 420) & (wavelengths <= 700)
    return msfit.Cube(held["data"].T[:, inside], wavelengths[inside])


def elsewhere(folder: Path, model: str) -> dict[str, Any]:
    """Other cameras: 71 cheeks of the ISET faces, and a face of the CAVE database."""
    cheeks = msfit.fit(iset_cheeks(folder), model=model)
    face = cave_face(folder)
    box = msfit.fit(face.values[200:430, 215:420], face.wavelengths, model=model)
    skin = msfit.fit(face.with_mask(skin_mask(face)), model=model)
    figures: dict[str, Any] = {
        name: {"rmse": _spread(kept), "i_s": [_round(v) for v in np.nanquantile(found.i_s, (0.1, 0.5, 0.9))]}
        for name, found in (("iset_cheeks", cheeks), ("cave_face", box), ("cave_face_skin_mask", skin))
        for kept in [np.asarray(found.rmse)[np.isfinite(found.rmse)]]
    }
    i_d, i_s, f_blood = (np.asarray(getattr(skin, name))[skin.fitted] for name in ("i_d", "i_s", "f_blood"))
    figures["cave_face_skin_mask"] |= {
        "share_i_s_below_0.05": _round((i_s < 0.05).mean()),
        "correlation_of_i_s_and_i_d": _round(np.corrcoef(i_s, i_d)[0, 1]),
        "share_without_blood": _round((f_blood <= 0).mean()),
    }
    return figures


def standin_gloss(folder: Path, model: str) -> dict[str, Any]:
    """True gloss of the stand-ins against i_s less i_d times what the model has as i_s on the bare reflectance.

    Spearman correlation and RMSE over all facial pixels; the worst class of skin tone beside them, and pixels that
    have gloss (i_s above 0.005) alone.
    """
    found, true, tone = [], [], []
    for standin in standins():
        path = folder / f"{standin.name}.mat"
        truth = read_truth(path)
        scene = msfit.fit(msfit.load(path), model=model, mask=truth.mask)
        bare = msfit.fit(truth.reflectance[truth.mask], truth.wavelengths, model=model)
        found.append(scene.i_s[truth.mask] - truth.i_d[truth.mask] * bare.i_s)
        true.append(truth.i_s[truth.mask])
        tone.append(np.full(true[-1].size, standin.ita_class))
    i_s, gloss, classes = (np.concatenate(each) for each in (found, true, tone))

    def scores(own: np.ndarray) -> dict[str, float]:
        return {
            "spearman": _round(spearmanr(i_s[own], gloss[own])[0]),
            "rmse": _round(np.sqrt(np.mean((i_s[own] - gloss[own]) ** 2))),
        }

    seen = np.isfinite(i_s)
    return {
        "all": scores(seen),
        "glossy": scores(seen & (gloss > 0.005)),
        "by_tone": {str(name): scores(seen & (classes == name)) for name in np.unique(classes)},
    }


def one_man(folder: Path, model: str) -> dict[str, Any]:
    """One man in two scenes: f_mel and f_blood of cheek and lips, and the share of the lips on the bound of f_blood."""
    scenes = {"ISET": msfit.load(folder / "iset_face_spatial_illuminant.mat"), "CAVE": cave_face(folder)}
    rows = {}
    for scene, cube in scenes.items():
        found = msfit.fit(cube, model=model, bands="420:700")
        top = found.bounds["f_blood"][1]
        for site, box in SITES[scene].items():
            rows[f"{scene}, {site}"] = {
                "f_mel": _round(np.nanmedian(found.f_mel[box])),
                "f_blood": _round(np.nanmedian(found.f_blood[box])),
                "f_blood_at_its_upper_bound": _round((found.f_blood[box] >= top).mean()),
            }
    return rows


def whole_archive(workbook: Path, faces: Faces, model: str) -> dict[str, Any]:
    """Blood of nose and cheek over the inner arm's, within each test person."""
    import openpyxl

    sheet = openpyxl.load_workbook(workbook, read_only=True)["ISSA"]
    test = set(faces.archive.subject[faces.of("test")])
    names = {2: "cheek", 3: "cheek", 6: "forehead", 9: "nose tip", INNER_ARM: "inner arm"}
    person, site, spectra = [], [], []
    for row in sheet.iter_rows(min_row=13, values_only=True):
        subject = f"{row[1]:02d}-{row[2]:04d}" if isinstance(row[2], int) else ""
        if subject in test and row[6] in names:
            person.append(subject)
            site.append(names[row[6]])
            spectra.append(row[17:48])  # 400-700 nm
    found = msfit.fit(np.array(spectra, dtype=float) / 100, faces.wavelengths, model=model)
    who, where = np.array(person), np.array(site)
    return {
        "blood_over_inner_arm": {
            place: _pairs(found.f_blood, who, where, (place,), ("inner arm",))
            for place in ("nose tip", "cheek", "forehead")
        },
        "inner_arm_rmse": _spread(found.rmse[where == "inner arm"]),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
