"""How wrong a network's maps are on people that it was not trained on, band by band of spatial frequency.

Usage: python -m benchmarks.network_errors [--weights NAME|FILE] [--write] [--scenes N] [--keep DIR] [--make K]

Scenes with people of the validation split, all classes of skin tone alike, a head and a light each, in three pictures
of 8 bits: under D65 by the mean camera, and under two lights and cameras of the training stream. Scenes are kept;
--make makes one. Errors of (m_mel, m_blood, ln i_d, gloss), in units of their standard deviations, are split in
bands between Gaussians of SCALES of the face's width, and so are the logarithms of the picture less those of what the
true maps make under the light and camera found. Their second moments are the prior and the noise of
`msfit.solve.spatial.bands`; --write puts them beside the weights (training.errors). The share of pixels within the
stated standard deviation is printed, and what the solver makes of the pictures beside the network alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from benchmarks.photographs.folder import display, linear
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions, head_units
from biofacenet.networks.network import Prediction
from biofacenet.networks.weights import shipped_weights
from biofacenet.photo.located import doubtful
from biofacenet.prediction import Model, load_model
from biofacenet.refinement import WAYS, NetworkErrors, Refined, colours, refine, unknowns
from msfit.colour.cameras import CameraModel, mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.colour.illuminants import IlluminationModel
from msfit.colour.pipelines import pipeline
from msfit.colour.pipelines import rgb_weights as weights_of
from msfit.colour.spectra import standard_observer
from msfit.io.output import written_whole
from msfit.solve.spatial.bands import FLOOR, BandPrior, _smoother
from msfit.synth.bank import cache_folder
from msfit.synth.people import ITA_CLASSES, wearable
from msfit.synth.scene import make_scene
from msfit.synth.truth import fitted_pigments

SIDE, PICTURES, SPLIT = 160, 3, "validation"
#: Of the face's width.
SCALES = (0.2, 0.07, 0.025, 0.01)
_GLOSS_FLOOR = 0.03
# Errors farther out than this many standard deviations count as if they lay there.
_FARTHEST = 4.0


class Seen(NamedTuple):
    """A picture, its truth (y, x, 4) in the solver's unknowns, the network's, and what else is needed."""

    picture: np.ndarray
    mask: np.ndarray
    true: np.ndarray
    said: np.ndarray
    misfit: np.ndarray
    true_misfit: np.ndarray
    prediction: Prediction
    table: np.ndarray
    white: np.ndarray
    doubted: np.ndarray

    @property
    def width(self) -> float:
        """Of the face [pixels]."""
        return float(np.ptp(np.flatnonzero(self.mask.any(0))) + 1)


def made(number: int, folder: Path) -> Path:
    """A scene of the validation split, kept in a folder: pictures and truth; a head, a person each."""
    path = folder / f"{number}.npz"
    if path.is_file():
        return path
    rng = np.random.default_rng((77, number))
    tones = [tone for tone in ITA_CLASSES if any(one.ita_class == tone for one in wearable(SPLIT))]
    own = [one for one in wearable(SPLIT) if one.ita_class == tones[number % len(tones)]]
    person = own[int(rng.integers(len(own)))]
    scene = make_scene(1000 + number, size=SIDE, split=SPLIT, person=person.person)
    truth = scene.truth
    seen = (scene.radiance / scene.illuminant).astype(np.float32)
    images = np.stack([seen @ weights for weights in lights_and_cameras(rng, truth.wavelengths)]).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, part.open("wb") as file:
        np.savez(
            file, images=images, mask=truth.mask, reflectance=truth.reflectance[truth.mask].astype(np.float32),
            i_d=truth.i_d, i_s=truth.i_s, wavelengths=truth.wavelengths,
        )  # fmt: skip
    return path


def lights_and_cameras(rng: np.random.Generator, wavelengths: np.ndarray) -> list[np.ndarray]:
    """Weights (band, 3) from reflectance to linear RGB: D65 and the mean camera, and others at random."""
    lamps, cameras = IlluminationModel(wavelengths), CameraModel(wavelengths)
    observer = torch.from_numpy(standard_observer().on(wavelengths))
    found = [rgb_weights(wavelengths, "D65", mean_camera())]
    for _ in range(PICTURES - 1):
        light = lamps(torch.from_numpy(rng.normal(size=15) * 2.0))
        camera = cameras(torch.from_numpy(np.clip(rng.normal(size=2), -3, 3)))
        found.append(weights_of(light, camera, observer, pipeline("neutral")).numpy())
    return found


def pictures(model: Model, count: int, folder: Path) -> Iterator[Seen]:
    """Pictures of scenes of the validation split, with what the network says of them."""
    for number in range(count):
        kept = np.load(made(number, folder))
        mask = kept["mask"]
        fitted = fitted_pigments(kept["reflectance"], kept["wavelengths"], model.decoder.model, "float32")
        maps = {name: np.zeros(mask.shape) for name in fitted}
        for name, values in fitted.items():
            maps[name][mask] = values
        for image in kept["images"]:
            yield _seen(model, image, mask, maps, kept["i_d"], kept["i_s"])


def _seen(
    model: Model, image: np.ndarray, mask: np.ndarray, maps: dict[str, np.ndarray], i_d: np.ndarray, i_s: np.ndarray
) -> Seen:
    shown = display(image)
    picture = linear(shown)
    prediction = model.decompose(torch.from_numpy(picture).permute(2, 0, 1)[None])
    said, misfit = unknowns(prediction)
    scale, offset = np.maximum(maps["scale"], 1e-3), np.maximum(maps["offset"], 0)
    m = [
        np.clip(head_units(maps[name], most), -1, 1)
        for name, most in zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True)
    ]
    true = np.stack([*m, np.log(np.maximum(i_d * scale, 1e-4)), i_s], -1)
    table, white = colours(model.decoder, prediction)
    inner = ndimage.binary_erosion(mask, iterations=1)
    return Seen(picture, inner, true, said, misfit, offset / scale, prediction, table, white, doubtful(shown))


def drawn(x: np.ndarray, misfit: np.ndarray, table: np.ndarray, white: np.ndarray) -> np.ndarray:
    """The picture of unknowns (n, 4): (n, 3)."""
    at = [(x[:, k] + 1) / 2 * (table.shape[1 - k] - 1) for k in (1, 0)]
    where = [at[0], at[1]]
    skin = np.stack([ndimage.map_coordinates(table[..., c], where, order=1) for c in range(3)], -1)
    return np.exp(x[:, 2:3]) * (skin + misfit[:, None] * white) + x[:, 3:] * white


def measured(model: Model, faces: list[Seen]) -> NetworkErrors:
    """Second moments of the errors of faces, each of which counts the same."""
    inside = [face.mask & ~face.doubted for face in faces]
    first = NetworkErrors(np.ones(4), _GLOSS_FLOOR, BandPrior((), np.eye(4)[None], np.eye(3)[None]))
    plain = [_units(face, first) for face in faces]
    squares = [np.square(error[m]).mean(0) for error, m in zip(plain, inside, strict=True)]
    deviations = np.sqrt(np.mean(squares, axis=0))
    count = len(SCALES) + 1
    shares, noise = np.zeros((count, 4, 4)), np.zeros((count, 3, 3))
    for face, error, mask in zip(faces, plain, inside, strict=True):
        left = np.zeros((*mask.shape, 3))
        again = drawn(face.true[mask], face.true_misfit[mask] * 0 + face.misfit[mask], face.table, face.white)
        left[mask] = np.log((face.picture[mask] + FLOOR) / np.maximum(again + FLOOR, 0.1 * FLOOR))
        units = np.clip(error / deviations, -_FARTHEST, _FARTHEST)
        for parts, sums in ((units, shares), (np.clip(left, -0.5, 0.5), noise)):
            for k, band in enumerate(in_bands(parts, mask, face.width)):
                values = band[mask]
                sums[k] += values.T @ values / len(values) / len(faces)
    # what is never wrong would hold a band still for ever
    shares += 1e-4 * np.eye(4)
    noise += 1e-5 * np.eye(3)
    # bands overlap, and what they share is in none of them
    whole = 1 / np.sqrt(np.diag(shares.sum(0)))
    shares *= whole[:, None] * whole
    errors = NetworkErrors(deviations, _GLOSS_FLOOR, BandPrior(SCALES, shares, noise))
    return replace(errors, widened={name: _widened(model, faces, errors, name == "bands") for name in WAYS})


def _widened(model: Model, faces: list[Seen], errors: NetworkErrors, bands: bool) -> np.ndarray:
    """What makes 68 % of the pixels lie within the stated deviations, a face counting as much as another."""
    ratios = []
    for face in faces:
        found = refined(model, face, errors, bands)
        mask = face.mask & ~face.doubted
        off = np.abs(_stacked(found) - face.true)[mask]
        said = found.deviations[mask]
        ratios.append(np.quantile(off / np.maximum(said, 1e-9), 0.68, axis=0))
    return np.median(ratios, axis=0)


def _units(face: Seen, errors: NetworkErrors) -> np.ndarray:
    """The network's errors in units of its prior's root (y, x, 4)."""
    root = errors.roots(face.said, face.prediction, face.misfit).astype(float)
    return np.asarray(np.linalg.solve(root, (face.true - face.said)[..., None])[..., 0])


def in_bands(values: np.ndarray, mask: np.ndarray, width: float) -> list[np.ndarray]:
    """Values (y, x, channel) in bands, coarsest first."""
    sheet = np.moveaxis(np.where(mask[..., None], values, 0), -1, 0).astype(np.float32)
    before, found = np.zeros_like(sheet), []
    for scale in SCALES:
        low = _smoother(mask, scale * width)(sheet)
        found.append(np.moveaxis(low - before, 0, -1))
        before = low
    return [*found, np.moveaxis(sheet - before, 0, -1)]


def tried(model: Model, faces: list[Seen], errors: NetworkErrors) -> dict[str, Any]:
    """RMSE of the maps, their detail, and coverage, of the network alone and of both refinements."""
    ways: dict[str, Any] = {"network": None, "pixels": False, "bands": True}
    figures: dict[str, Any] = {}
    for name, bands in ways.items():
        sums: dict[str, list[float]] = {}
        for face in faces:
            if bands is None:
                x, std = face.said, None
            else:
                found = refined(model, face, errors, bands)
                x, std = _stacked(found), found.std
            _score(face, x, std, sums)
        figures[name] = {key: float(np.mean(values)) for key, values in sums.items()}
    return figures


def refined(model: Model, face: Seen, errors: NetworkErrors, bands: bool) -> Refined:
    """What the solver makes of a face."""
    given = face.prediction, face.picture, face.mask, errors, face.width, face.doubted
    return refine(model.decoder, *given, in_bands=bands)


def _stacked(found: Refined) -> np.ndarray:
    return np.stack([found.m_mel, found.m_blood, np.log(found.i_d), found.gloss], -1)


def _score(face: Seen, x: np.ndarray, std: dict[str, np.ndarray] | None, sums: dict[str, list[float]]) -> None:
    mask = face.mask
    inner = ndimage.binary_erosion(mask, iterations=2)
    most = dict(zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True))
    names = ("f_mel", "f_blood", "ln i_d", "gloss")
    values = {
        name: (fractions(x[..., k], most[name]), fractions(face.true[..., k], most[name])) if k < 2
        else (x[..., k], face.true[..., k])
        for k, name in enumerate(names)
    }  # fmt: skip

    def fine(sheet: np.ndarray) -> np.ndarray:
        smooth = _smoother(mask, 0.02 * face.width)(np.where(mask, sheet, 0)[None].astype(np.float32))[0]
        return np.asarray((sheet - smooth)[inner])

    for name, (said, true) in values.items():
        sums.setdefault(f"RMSE {name}", []).append(float(np.sqrt(np.mean((said - true)[mask] ** 2))))
        a, b = fine(said), fine(true)
        sums.setdefault(f"detail RMSE {name}", []).append(float(np.sqrt(np.mean((a - b) ** 2))))
        sums.setdefault(f"detail slope {name}", []).append(float(a @ b / (b @ b)))
    spots, light = fine(face.true[..., 0]), fine(x[..., 2] - face.true[..., 2])
    sums.setdefault("ln i_d by m_mel's detail", []).append(float(light @ spots / (spots @ spots)))
    if std is not None:
        for name, key in (("f_mel", "f_mel"), ("f_blood", "f_blood"), ("gloss", "i_s")):
            said, true = values[name]
            within = np.abs(said - true)[mask] <= std[key][mask]
            sums.setdefault(f"within one std {name}", []).append(float(within.mean()))


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--keep", type=Path, default=cache_folder() / "network_errors", help="folder of the scenes")
    parser.add_argument("--make", type=int, help="make this scene alone")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.make is not None:
        made(chosen.make, chosen.keep)
        return
    model = load_model(chosen.weights, "cpu")
    faces = list(pictures(model, chosen.scenes, chosen.keep))
    # people of the second half are for trying
    half = len(faces) // 2
    errors = measured(model, faces[:half])
    print("deviations", errors.deviations.round(4), "scales", SCALES)
    for k, share in enumerate(errors.bands.shares):
        print("band", k, "share", np.diag(share).round(3), "noise", np.sqrt(np.diag(errors.bands.noise[k])).round(4))
    for name, own in tried(model, faces[half:], errors).items():
        print(name, {key: round(value, 4) for key, value in own.items()})
    if chosen.write:
        errors = measured(model, faces)
        path = Path(chosen.weights)
        path = path if path.suffix else shipped_weights(chosen.weights)
        described = path.with_suffix(".json")
        content = json.loads(described.read_text(encoding="utf-8"))
        content["training"]["errors"] = {
            **errors.as_json(),
            "measured": f"{len(faces)} pictures of the stream, people of the validation split",
        }
        with written_whole(described) as part:
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
