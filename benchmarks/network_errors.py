"""How wrong a network's maps are on people that it was not trained on, band by band of spatial frequency.

Usage: python -m benchmarks.network_errors [--weights NAME|FILE] [--write] [--pictures N]

Pictures of the training stream with people of the validation split, all classes of skin tone alike, at 256 x 256, as
photographs of 8 bits. Errors of (m_mel, m_blood, ln i_d, gloss), in units of their standard deviations, are split in
bands between Gaussians of SCALES of the face's width, and so are the logarithms of the picture less those of what the
true maps make under the light and camera found. Their second moments are the prior and the noise of
`msfit.solve.spatial.bands`; --write puts them beside the weights (training.errors). The share of pixels within the
stated standard deviation is printed, and what the solver makes of the pictures beside the network alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from benchmarks.photographs.folder import display, linear
from biofacenet.data.synthetic import Source, draw
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions, head_units
from biofacenet.networks.network import Prediction
from biofacenet.networks.weights import shipped_weights
from biofacenet.photo.located import doubtful
from biofacenet.prediction import Model, load_model
from biofacenet.refinement import NetworkErrors, colours, refine, unknowns
from msfit.io.output import written_whole
from msfit.solve.spatial.bands import FLOOR, BandPrior, _smoother

SIDE, HEADS = 256, 16
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


def pictures(model: Model, count: int, seed: int = 7, split: str = "validation") -> Iterator[Seen]:
    """Pictures of the stream with what the network says of them."""
    source = Source(split, seed, HEADS, model.decoder.model, SIDE, balance=1.0)
    rng = np.random.default_rng(seed)
    chosen = [k for k in range(200 * count) if rng.random() < source.chances([k])[0]][:count]
    for start in range(0, count, 8):
        drawn = draw(source, chosen[start : start + 8])
        for k in range(len(drawn["image"])):
            yield _seen(model, {name: values[k].numpy() for name, values in drawn.items()})


def _seen(model: Model, one: dict[str, np.ndarray]) -> Seen:
    shown = display(np.moveaxis(one["image"], 0, -1))
    picture = linear(shown)
    prediction = model.decompose(torch.from_numpy(picture).permute(2, 0, 1)[None])
    said, misfit = unknowns(prediction)
    mask = one["mask"][0] > 0.5
    scale, offset = (np.maximum(one[name][0], 1e-3 if name == "scale" else 0) for name in ("scale", "offset"))
    m = [
        np.clip(head_units(one[name][0].astype(float), most), -1, 1)
        for name, most in zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True)
    ]
    # maps of samples are in measured terms
    i_d = np.maximum(one["i_d"][0] * scale, 1e-4)
    true = np.stack([*m, np.log(i_d), one["i_s"][0]], -1)
    table, white = colours(model.decoder, prediction)
    inner = ndimage.binary_erosion(mask, iterations=1)
    return Seen(picture, inner, true, said, misfit, offset / scale, prediction, table, white, doubtful(shown))


def drawn(x: np.ndarray, misfit: np.ndarray, table: np.ndarray, white: np.ndarray) -> np.ndarray:
    """The picture of unknowns (n, 4): (n, 3)."""
    at = [(x[:, k] + 1) / 2 * (table.shape[1 - k] - 1) for k in (1, 0)]
    where = [at[0], at[1]]
    skin = np.stack([ndimage.map_coordinates(table[..., c], where, order=1) for c in range(3)], -1)
    return np.exp(x[:, 2:3]) * (skin + misfit[:, None] * white) + x[:, 3:] * white


def measured(faces: list[Seen]) -> NetworkErrors:
    """Second moments of the errors of faces, each of which counts the same."""
    gloss_unit = [_GLOSS_FLOOR + face.said[..., 3] for face in faces]
    plain = [face.true - face.said for face in faces]
    for error, unit in zip(plain, gloss_unit, strict=True):
        error[..., 3] /= unit
    inside = [face.mask & ~face.doubted for face in faces]
    deviations = np.sqrt(np.mean([np.square(error[m]).mean(0) for error, m in zip(plain, inside, strict=True)], axis=0))
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
    return NetworkErrors(deviations, _GLOSS_FLOOR, BandPrior(SCALES, shares, noise))


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
                x = face.said
                std = None
            else:
                found = refine(
                    model.decoder, face.prediction, face.picture, face.mask, errors, face.width, face.doubted,
                    in_bands=bands,
                )  # fmt: skip
                x = np.stack([found.m_mel, found.m_blood, np.log(found.i_d), found.gloss], -1)
                std = found.std
            _score(face, x, std, sums)
        figures[name] = {key: float(np.mean(values)) for key, values in sums.items()}
    return figures


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
    parser.add_argument("--pictures", type=int, default=36)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    model = load_model(chosen.weights, "cpu")
    faces = list(pictures(model, chosen.pictures))
    # every second one is for trying
    errors = measured(faces[::2])
    print("deviations", errors.deviations.round(4), "scales", SCALES)
    for k, share in enumerate(errors.bands.shares):
        print("band", k, "share", np.diag(share).round(3), "noise", np.sqrt(np.diag(errors.bands.noise[k])).round(4))
    for name, own in tried(model, faces[1::2], errors).items():
        print(name, {key: round(value, 4) for key, value in own.items()})
    if chosen.write:
        errors = measured(faces)
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
