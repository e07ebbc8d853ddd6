"""The 25 stand-in scenes beside measured skin and a real face: statistics, contact sheets, manifest.

Usage: python -m benchmarks.standins [SCENES] [--freeze] [--reference FOLDER]

SCENES (default data_iset/scenes) is built where it is not there. Figures go to benchmarks/results/standins.json,
pictures to docs/images/. --freeze writes data_iset/manifest.json anew: only when the stand-ins are meant to change, and
then both versions are to be reported. FOLDER holds cave_face.mat and iset_cheeks.mat, which are not part of msfit; the
rows that need them are left out where they are absent.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

import msfit
from benchmarks import record
from benchmarks.standin_sheets import contact_sheet, map_sheet, save
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.io.datasets.issa import load_faces
from msfit.io.output import written_whole
from msfit.metrics import in_unit
from msfit.synth import Truth, read_truth, samples, write_standins
from msfit.synth.files import digest
from msfit.synth.people import ITA_CLASSES, lab, split_table
from msfit.synth.standins import STANDIN_MODEL, standins

ROOT = Path(__file__).parents[1]
PIXELS_A_SCENE, TRAINING_SAMPLES = 4000, 256
CAPTION = (
    "Stand-ins: synthetic faces clothed in measured skin (ISSA, CC BY 4.0), under D65. No person was photographed."
)
MAPS = ("i_d", "i_s", "f_mel", "f_blood")


def main() -> None:
    """Build, measure, draw, and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="?", type=Path, default=ROOT / "data_iset" / "scenes")
    parser.add_argument("--freeze", action="store_true", help="write the manifest anew")
    parser.add_argument("--reference", type=Path, default=ROOT.parent / "shared" / "data")
    chosen = parser.parse_args()
    paths = write_standins(chosen.scenes, lambda done, total: print(f"\r{done} of {total} scenes", end="", flush=True))
    print()
    truths = [read_truth(path) for path in paths]
    manifest = ROOT / "data_iset" / "manifest.json"
    listed = [_entry(path, truth) for path, truth in zip(paths, truths, strict=True)]
    if chosen.freeze:
        _freeze(manifest, listed)
    frozen = [scene["digest"] for scene in json.loads(manifest.read_text(encoding="utf-8"))["scenes"]]
    same = sum(scene["digest"] == digest for scene, digest in zip(listed, frozen, strict=True))
    print(f"{same} of {len(frozen)} scenes equal the frozen ones to the bit")
    figures = {
        "scenes_equal_to_frozen": same,
        "colour": colour_statistics(truths),
        "principal_components": principal_components(truths),
        "fits": fits(paths, truths, chosen.reference),
        "training_mean_rmse": training_mean(truths),
    }
    print(json.dumps(figures, indent=1))
    record.write("standins", figures)
    images = ROOT / "docs" / "images"
    save(images / "standins.png", contact_sheet(truths))
    save(images / "standins_maps.png", map_sheet(truths))


def colour_statistics(truths: list[Truth]) -> dict[str, Any]:
    """Mean, standard deviations and correlations of L*a*b* (D65) of stand-in skin and of measured facial spectra.

    The archive is weighted as it is; so that its classes of skin tone count as in the stand-ins; and to the stand-ins'
    own subjects, each as one.
    """
    archive, table = load_faces(), split_table()
    colours = lab(archive.cube.reflectance, archive.cube.wavelengths)
    classes = np.array([table[str(person)]["ita_class"] for person in archive.person])
    people = [one.person for one in standins()]
    balanced, own = np.zeros(len(colours)), np.zeros(len(colours))
    for name in ITA_CLASSES:
        balanced[classes == name] = sum(one.ita_class == name for one in standins()) / (classes == name).sum()
    for person in people:
        own[archive.person == person] = 1 / (archive.person == person).sum()
    skin = lab(_skin_pixels(truths), archive.cube.wavelengths)
    return {
        "stand-in skin pixels": _moments(skin, np.ones(len(skin))),
        "ISSA faces, weighted to the stand-ins' classes": _moments(colours, balanced),
        "ISSA faces, the stand-ins' subjects": _moments(colours, own),
        "ISSA faces, all": _moments(colours, np.ones(len(colours))),
    }


def principal_components(truths: list[Truth]) -> dict[str, Any]:
    """How well mean and components of the training subjects' spectra explain the stand-ins', and test subjects'."""
    archive, table = load_faces(), split_table()
    spectra = archive.cube.reflectance.astype(np.float64)
    split = np.array([table[str(person)]["split"] for person in archive.person])
    mean = spectra[split == "train"].mean(axis=0)
    vectors = np.linalg.svd(spectra[split == "train"] - mean, full_matrices=False)[2]
    figures: dict[str, Any] = {}
    for name, values in (("stand-ins", _skin_pixels(truths)), ("ISSA test subjects", spectra[split == "test"])):
        for count in (3, 4, 6):
            centred = values - mean
            left = centred - centred @ vectors[:count].T @ vectors[:count]
            error = np.sqrt((left**2).mean(axis=1))
            share = 1 - (left**2).sum() / ((values - values.mean(axis=0)) ** 2).sum()
            median, tail = np.quantile(error, [0.5, 0.95])
            figures[f"{name}, mean+{count}"] = {"variance": share, "rmse_median": median, "rmse_95": tail}
    return figures


def fits(paths: list[Path], truths: list[Truth], reference: Path) -> dict[str, Any]:
    """The fit of the scenes as written (noise, six basis functions) beside that of real faces, 420-700 nm."""
    results = [
        msfit.fit(msfit.load(path), model=STANDIN_MODEL, mask=t.mask) for path, t in zip(paths, truths, strict=True)
    ]
    figures: dict[str, Any] = {
        "stand-ins, scenes": _spread([_values(result) for result in results]),
        "stand-ins, true reflectance": _spread([{"rmse": t.rmse[t.mask]} for t in truths]),
        "stand-ins, true shading": _spread([{"i_d": t.i_d[t.mask], "i_s": t.i_s[t.mask]} for t in truths]),
        "error of the scenes' fit": _errors(results, truths),
    }
    if (reference / "cave_face.mat").is_file():
        contents = scipy.io.loadmat(reference / "cave_face.mat")
        white = contents["counts"][400:436, 30:71].mean(axis=(0, 1))
        face = (contents["counts"] / white)[200:430, 215:420].astype(np.float32)
        real = msfit.fit(msfit.Cube(face, contents["wave"].ravel()), model=STANDIN_MODEL, bands="420:700")
        figures["real face (CAVE)"] = _spread([_values(real)])
    if (reference / "iset_cheeks.mat").is_file():
        cheeks = msfit.fit(msfit.load(reference / "iset_cheeks.mat"), model=STANDIN_MODEL, bands="420:700")
        figures["71 cheeks (ISET)"] = _spread([_values(cheeks)])
    return figures


def training_mean(truths: list[Truth]) -> dict[str, float]:
    """RMSE on the stand-ins of a predictor that returns each map's mean over training samples, at 64 x 64.

    D65 and the mean camera; pigments in the unit of BioFaceNet's heads, see `msfit.metrics.in_unit`.
    """
    train = samples(TRAINING_SAMPLES, pictures="reference", noise=False, model=STANDIN_MODEL)
    face = train["mask"][:, 0] > 0
    weights = rgb_weights(truths[0].wavelengths, "D65", mean_camera())
    reference_maps: dict[str, np.ndarray] = {
        name: train[name].permute(0, 2, 3, 1)[face].numpy() for name in (*MAPS, "scale", "offset", "albedo", "image")
    }
    exam: dict[str, list[np.ndarray]] = {name: [] for name in reference_maps}
    for truth in truths:
        picture = fold_bands(truth.i_d[..., None] * truth.reflectance + truth.i_s[..., None], weights)
        for name in reference_maps:
            values = picture if name == "image" else getattr(truth, name)
            exam[name].append(_shrunk(values, truth.mask))
    asked = {name: np.concatenate(values) for name, values in exam.items()}
    return {
        name: float(np.sqrt(((there - here.mean(axis=0)) ** 2).mean()))
        for (name, there), here in zip(_columns(asked).items(), _columns(reference_maps).values(), strict=True)
    }


def _entry(path: Path, truth: Truth) -> dict[str, Any]:
    means = {
        name: float(np.nanmean(getattr(truth, name)[truth.mask])) for name in (*MAPS, "scale", "offset", "reflectance")
    }
    attrs = {name: truth.attrs[name] for name in ("person", "ita_class")}
    return {"file": path.name, **attrs, "seed": int(truth.attrs["seed"]), "digest": digest(path), "means": means}


def _freeze(path: Path, listed: list[dict[str, Any]]) -> None:
    content = {
        "what": "Stand-ins: synthetic faces in measured skin, built by `msfit synth --stand-ins`. Not the ISET faces.",
        "digest": "SHA-256 of the numbers in NAME.mat and NAME_truth.nc, see msfit.synth.files.digest",
        "means": "over the face mask, for builds on other processors, which differ in the last digits",
        "version": msfit.__version__,
        "scenes": listed,
    }
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _skin_pixels(truths: list[Truth]) -> np.ndarray:
    """True reflectance of as many skin pixels of every scene, float64 (n, band)."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.permutation(t.reflectance[t.mask])[:PIXELS_A_SCENE] for t in truths]).astype(np.float64)


def _moments(colours: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    mean = np.average(colours, axis=0, weights=weights)
    covariance = np.cov(colours.T, aweights=weights)
    return {"mean": mean.round(3).tolist(), "covariance": covariance.round(3).tolist()}


def _values(result: msfit.FitResult) -> dict[str, np.ndarray]:
    return {name: getattr(result, name)[result.fitted] for name in ("rmse", *MAPS)}


def _spread(scenes: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Quantiles 5, 25, 50, 75 and 95 % of the pixels of all scenes, and the standard deviation."""
    figures: dict[str, Any] = {}
    for name in scenes[0]:
        values = np.concatenate([scene[name] for scene in scenes])
        quantiles = np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
        figures[name] = {"quantiles": quantiles.round(5).tolist(), "std": round(float(np.nanstd(values)), 5)}
    return figures


def _errors(results: list[msfit.FitResult], truths: list[Truth]) -> dict[str, float]:
    """RMSE of the fitted maps against truth, shading in the model's terms."""
    squares: dict[str, list[np.ndarray]] = {name: [] for name in MAPS}
    for result, truth in zip(results, truths, strict=True):
        reference_maps = {"i_d": truth.i_d * truth.scale, "i_s": truth.i_s + truth.i_d * truth.offset}
        for name in MAPS:
            right = reference_maps.get(name, getattr(truth, name))
            squares[name].append((getattr(result, name) - right)[truth.mask] ** 2)
    return {name: float(np.sqrt(np.nanmean(np.concatenate(values)))) for name, values in squares.items()}


def _shrunk(values: np.ndarray, mask: np.ndarray, side: int = 64) -> np.ndarray:
    """Mean over the face in each of side x side cells that lie mostly on it: (n, channel)."""
    values = values.reshape(*mask.shape, -1)
    step = mask.shape[0] // side
    cells = (side, step, side, step)
    weight = mask.reshape(cells).sum(axis=(1, 3))
    total = np.where(mask[..., None], values, 0).reshape(*cells, -1).sum(axis=(1, 3))
    inside = weight > step * step / 2
    return total[inside] / weight[inside][:, None]


def _columns(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The maps of Table 1 from a scene's: shading also in the model's terms, pigments in the unit of the heads."""
    i_d, i_s = maps["i_d"], maps["i_s"]
    return {
        "diffuse": i_d,
        "diffuse, model's terms": i_d * maps["scale"],
        "specular": i_s,
        "specular, model's terms": i_s + i_d * maps["offset"],
        "albedo": maps["albedo"],
        "melanin": in_unit("f_mel", maps["f_mel"], "heads"),
        "haemoglobin": in_unit("f_blood", maps["f_blood"], "heads"),
        "picture": maps["image"],
    }


if __name__ == "__main__":
    main()
