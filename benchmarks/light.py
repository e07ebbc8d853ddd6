"""Is the light of a picture known from the skin in it?

Usage: python -m benchmarks.light SCENES [--reference FOLDER] [--quick]

SCENES holds the 25 stand-ins (`msfit synth --stand-ins -o SCENES`). The face of each is lit anew by one lamp with a
falloff over the picture and recorded with the camera's noise, and the lamp is withheld: CIE A, D50, D65, D100 (10,000
K), F2, F11, LED-B3 and LED-V1. FOLDER has the two ISET reference scenes, whose light (2900 K) is withheld. For each
light apart: the angle between estimate and truth in 31 bands, median and 95 % of the scenes, beside that of dividing by
the archive's mean skin; the share of scenes whose angle, and of bands whose power (level aside), lie inside the stated
68 %; and how far the pigments of the fit are from those with the light known: median over pixels of the relative
difference, then median and worst of the scenes, and rank correlation (Spearman) over the pixels of a face. `deviating`
are the same scenes under lamps of which each deviates from its table by 1 % (smoothly over 60 nm), as lamps are taken
to do, which is what the stated interval allows for and the lamps of the other rows do not use.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, spearmanr

import msfit
from benchmarks import record
from msfit.colour.illuminants import illuminant
from msfit.fitting.light import LightEstimate
from msfit.skin.skin_logs import skin_logs
from msfit.synth.camera import record as expose
from msfit.synth.files import read_truth
from msfit.synth.people import split_table
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.standins import standins

LIGHTS = {
    "A": "A",
    "D50": "D50",
    "D65": "D65",
    "D100": "D10000",
    "F2": "F2",
    "F11": "F11",
    "LED-B3": "LED-B3",
    "LED-V1": "LED-V1",
}
PIGMENTS = ("f_mel", "f_blood")
_PHOTONS = 1e15
_SEEN, _PIXELS = 8000, 2000  # pixels of a face that are looked at, and that are fitted
_DEVIATION, _SMOOTH = 0.01, 60.0
_REFERENCE = ("iset_face_spatial_illuminant.mat", "iset_face_raw.mat")


def angle(one: np.ndarray, other: np.ndarray) -> float:
    """Between two spectra [degrees]."""
    cosine = float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def mean_skin() -> np.ndarray:
    """Mean reflectance without level of the archive's training persons, in the proportions of the archive."""
    skin, table = skin_logs(), split_table()
    ita = np.array([float(row["ita"]) for row in table.values() if row["split"] == "train"])
    nearest = np.abs(ita[:, None] - skin.angles).argmin(1)
    return np.asarray(np.exp(skin.means[nearest].mean(0)))


def lit(truth: Any, light: np.ndarray, seed: int) -> np.ndarray:
    """What the camera records of pixels of a face (n, band) under a light (band,)."""
    rng = np.random.default_rng(seed)
    height, width = truth.mask.shape
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    centre = rng.uniform(-0.8, 0.8, 2)
    falloff = 1 / (1 + rng.uniform(0.05, 0.35) * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2))
    face = np.flatnonzero(truth.mask)
    face = face[:: max(1, len(face) // _SEEN)]
    i_d, i_s, strength = (part.ravel()[face, None] for part in (truth.i_d, truth.i_s, falloff))
    skin = i_d * truth.reflectance.reshape(-1, len(light))[face] + i_s
    return expose((_PHOTONS * strength * light * skin).astype(np.float32), rng)


def estimated(
    values: np.ndarray, light: np.ndarray, mask: np.ndarray | None = None, unit: str = "energy"
) -> tuple[dict[str, Any], LightEstimate]:
    """The estimate with its angle and intervals; an InputError where it is refused."""
    cube = msfit.Cube(values, WAVELENGTHS, np.full(31, values.max()), mask)
    estimate = msfit.estimate_illuminant(cube, unit=unit)
    row: dict[str, Any] = {"angle": angle(estimate.power, light), "stated": estimate.error}
    row |= {"likely": estimate.likely[0][0], "bands": _inside(estimate, light)}
    return row, estimate


def judged(
    values: np.ndarray, light: np.ndarray, skin: np.ndarray, mask: np.ndarray | None = None, unit: str = "energy"
) -> dict[str, Any]:
    """Estimate, its angle and intervals, and pigments beside those with the light known."""
    try:
        row, estimate = estimated(values, light, mask, unit)
    except msfit.InputError as error:
        return {"refused": str(error)}
    pixels = values if mask is None else values[mask]
    pixels = pixels[:: max(1, len(pixels) // _PIXELS)]
    row["mean_skin"] = angle(np.mean(pixels / pixels.mean(1, keepdims=True), 0) / skin, light)
    known = msfit.fit(msfit.Cube(pixels, WAVELENGTHS, values.max() * light / light.max()))
    sought = msfit.fit(msfit.Cube(pixels, WAVELENGTHS, estimate.power))
    for name in PIGMENTS:
        one, other = getattr(sought, name), getattr(known, name)
        both = np.isfinite(one) & np.isfinite(other) & (other > 1e-4)
        row[name] = float(np.median(np.abs(one[both] / other[both] - 1)))
        row[f"{name}_rank"] = float(spearmanr(one[both], other[both])[0])
    return row


def _inside(estimate: LightEstimate, light: np.ndarray) -> float:
    """Share of the bands in which the truth lies inside the interval."""
    level = estimate.power.mean() / light.mean()
    return float(((level * light >= estimate.low) & (level * light <= estimate.high)).mean())


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures over the scenes of a light."""
    kept = [row for row in rows if "refused" not in row]
    figures: dict[str, Any] = {"scenes": len(rows), "refused": len(rows) - len(kept), **intervals(kept)}
    plain = [row["mean_skin"] for row in kept]
    figures["mean_skin"] = {"median": _round(np.median(plain)), "p95": _round(np.quantile(plain, 0.95))}
    for name in PIGMENTS:
        figures[name] = {
            "median": _round(np.median([row[name] for row in kept])),
            "worst": _round(max(row[name] for row in kept)),
            "rank_median": _round(np.median([row[f"{name}_rank"] for row in kept])),
            "rank_worst": _round(min(row[f"{name}_rank"] for row in kept)),
        }
    return figures


def intervals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Angles of the scenes of a light, and how many lie within what is stated, with the 95 % interval of that share."""
    angles, stated = (np.array([row[name] for row in rows]) for name in ("angle", "stated"))
    inside = angles <= stated
    share = binomtest(int(inside.sum()), len(rows)).proportion_ci(method="wilson")
    return {
        "angle": {"median": _round(np.median(angles)), "p95": _round(np.quantile(angles, 0.95))},
        "stated": _round(np.median(stated)),
        "covered": _round(inside.mean()),
        "covered_95": [_round(share.low), _round(share.high)],
        "covered_bands": _round(np.mean([row["bands"] for row in rows])),
    }


def compare(folder: Path, count: int) -> dict[str, Any]:
    """All stand-ins under all lights."""
    skin, names = mean_skin(), [one.name for one in standins()][:count]
    nm = WAVELENGTHS
    smooth = np.linalg.cholesky(np.exp(-0.5 * ((nm[:, None] - nm) / _SMOOTH) ** 2) + 1e-9 * np.eye(31))
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in LIGHTS}
    deviating: dict[str, list[dict[str, Any]]] = {name: [] for name in LIGHTS}
    by_tone: dict[str, list[float]] = {}
    for number, name in enumerate(names):
        truth = read_truth(folder / f"{name}.mat")
        for k, (label, source) in enumerate(LIGHTS.items()):
            light, seed = illuminant(source).on(nm), 100 * number + k
            light = light / light.mean()
            found = judged(lit(truth, light, seed), light, skin)
            rows[label].append({"scene": name, **found})
            if "angle" in found:
                by_tone.setdefault(str(truth.attrs["ita_class"]), []).append(found["angle"])
            light = light * np.exp(_DEVIATION * smooth @ np.random.default_rng(100_000 + seed).standard_normal(31))
            deviating[label].append({"scene": name, **estimated(lit(truth, light, seed), light)[0]})
        print(name, {label: round(rows[label][-1].get("angle", np.nan), 2) for label in rows}, flush=True)
    tones = {name: {"median": _round(np.median(v)), "p95": _round(np.quantile(v, 0.95))} for name, v in by_tone.items()}
    return {
        "lights": {label: summary(found) for label, found in rows.items()},
        "deviating": {label: intervals(found) for label, found in deviating.items()},
        "angle_by_tone": tones,
        "scenes": rows,
        "scenes_deviating": deviating,
    }


def reference_scenes(folder: Path) -> dict[str, Any]:
    """The two ISET reference scenes with their light withheld."""
    figures = {}
    for name in _REFERENCE:
        cube = msfit.load(folder / name)
        light = np.asarray(cube.illuminant, np.float64).reshape(-1, len(cube.wavelengths))
        colour = (light / light.mean(1, keepdims=True)).mean(0)
        recorded = np.asarray(cube.changed(illuminant=None).rows(slice(None))[0], np.float32)
        figures[name] = judged(recorded, colour, mean_skin(), msfit.skin_mask(cube), "photons")
    return figures


def _round(value: Any) -> float:
    return float(f"{float(value):.3g}")


def main() -> None:
    """Measure, print a table and write results/light.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--reference", type=Path, help="folder of the ISET reference scenes")
    parser.add_argument("--quick", action="store_true", help="a try: two scenes, and nothing is written")
    arguments = parser.parse_args()
    figures = compare(arguments.scenes, 2 if arguments.quick else 25)
    if arguments.reference is not None:
        figures["reference"] = reference_scenes(arguments.reference)
        for name, row in figures["reference"].items():
            print(name, row)
    for label, row in figures["lights"].items():
        cells = [row["angle"]["median"], row["angle"]["p95"], row["mean_skin"]["median"], row["mean_skin"]["p95"]]
        cells += [row["stated"], row["covered"], row["covered_bands"]]
        cells += [row[name][part] for name in PIGMENTS for part in ("median", "worst", "rank_median")]
        cells += [figures["deviating"][label]["covered"]]
        print(label.ljust(10), *(f"{cell:7.3f}" for cell in cells), row["refused"], "refused")
    if not arguments.quick:
        print(record.write("light", figures))


if __name__ == "__main__":
    main()
