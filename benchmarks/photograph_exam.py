"""The second exam: photographs of 24 test persons by cameras as people have them, and what networks make of them.

Usage: python -m benchmarks.photograph_exam [--folder DIR] [--weights NAME|FILE ...] [--freeze] [--sheets]

Builds the photographs where they are not there yet, compares them with data_iset/manifest.json, and scores each network
on them; figures go to benchmarks/results/photograph_exam.json. --freeze writes the manifest's part anew: only when the
exam is meant to change, and never after a network was trained for it. --sheets draws the contact sheets of docs/images:
the exam, and the stream beside the one before it. Beside the network alone stand the solver that finishes it, if errors
are measured beside its weights, and two solves without a network (`benchmarks.photographs.methods`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from benchmarks import record
from benchmarks.photographs.methods import Method, methods
from biofacenet.photograph_exam import Estimate, Estimator, examine, of_network
from biofacenet.prediction import Model, load_model
from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.io.output import written_whole
from msfit.synth import photograph_digest, read_photograph, write_photographs
from msfit.synth.photographs import EACH, SIZE

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "data_iset" / "manifest.json"
_VERSION = 2


def main() -> None:
    """Build, compare, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "data_iset" / "photographs")
    parser.add_argument("--weights", nargs="*", default=["default"])
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--sheets", action="store_true")
    chosen = parser.parse_args()
    paths = write_photographs(chosen.folder)
    if chosen.freeze:
        _freeze(paths)
    frozen = [one["digest"] for one in json.loads(MANIFEST.read_text(encoding="utf-8"))["photographs"]["pictures"]]
    same = sum(photograph_digest(path) == digest for path, digest in zip(paths, frozen, strict=True))
    print(f"{chosen.folder}: {same} of {len(paths)} photographs as frozen")
    if chosen.sheets:
        _sheets(paths)
    figures: dict[str, Any] = {"photographs as frozen": same}
    for name in chosen.weights:
        model = load_model(name, "cpu")
        found = examine(chosen.folder, of_network(model), model.decoder.model)
        print(f"\n{model.name}, the network alone: {found}")
        woven = weave(model, paths)
        told = ", ".join(f"{period}: {ratio:.2f}" for period, ratio in woven.items())
        print(f"energy of melanin at the network's periods over that of their neighbours: {told}")
        figures[model.name] = {**found.to_dict(), "weave": woven}
        for way, method in methods(model).items():
            if way in ("refined", "two solves"):
                scored = examine(chosen.folder, of_method(method), model.decoder.model)
                print(f"\n{model.name}, {way}: {scored}")
                figures[f"{model.name}, {way}"] = scored.to_dict()
    if chosen.weights:
        record.write("photograph_exam", figures)


def of_method(method: Method) -> Estimator:
    """A way to take photographs apart, on the whole picture; pixels that it leaves out have the nearest one's maps."""

    def estimate(rgb: np.ndarray, mask: np.ndarray) -> Estimate:
        maps = method(rgb, "whole")
        out = ~(maps.fitted & np.isfinite(maps.f_mel))
        nearest = tuple(distance_transform_edt(out, return_distances=False, return_indices=True))
        f_mel, f_blood, i_d = (each[nearest] for each in (maps.f_mel, maps.f_blood, maps.i_d))
        std = maps.std.get("f_mel")
        gloss = np.nan_to_num(maps.gloss)[nearest]
        return Estimate(f_mel, f_blood, i_d, gloss, None if std is None else std[nearest])

    return estimate


def weave(model: Model, paths: list[Path]) -> dict[int, float]:
    """Energy of the melanin map at periods of 2 to 16 pixels along rows and columns, over that of periods beside them.

    Of the network on the pictures at their own size; a map without a pattern of the network's own has 1.
    """
    power = np.zeros(SIZE // 2)
    for path in paths[::EACH]:
        light = decode_srgb(torch.from_numpy(read_photograph(path).picture.astype(np.float32) / 255))
        with torch.inference_mode():
            sheet = model.network(light.permute(2, 0, 1)[None]).m_mel[0, 0].numpy()
        window = np.hanning(SIZE)
        for lines in (sheet, sheet.T):
            fine = (lines - lines.mean(axis=1, keepdims=True)) * window
            power += (np.abs(np.fft.rfft(fine, axis=1)) ** 2).mean(axis=0)[1:]
    found = {}
    for period in (2, 4, 8, 16):
        here = SIZE // period - 1
        # a window spreads a line over its neighbours
        beside = np.r_[power[max(0, here - 4) : max(0, here - 1)], power[here + 2 : here + 5]]
        found[period] = float(power[here] / np.exp(np.log(beside).mean()))
    return found


def _freeze(paths: list[Path]) -> None:
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    rows = []
    for path in paths:
        one = read_photograph(path)
        means = {name: float(getattr(one, name).mean()) for name in ("picture", "reflectance", "i_d", "gloss", "spots")}
        about = {name: one.attrs[name] for name in ("person", "ita_class")}
        about |= {name: int(one.attrs[name]) for name in ("seed", "number")}
        rows.append({"file": path.name, **about, "digest": photograph_digest(path), "means": means})
    manifest["photographs"] = {
        "what": "Photographs of synthetic faces in measured skin, 24 test persons in six each (synth --photographs)",
        "digest": "SHA-256 of the numbers in NAME.png and NAME_truth.nc, see msfit.synth.photograph_digest",
        "version": _VERSION,
        "pictures": rows,
    }
    with written_whole(MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _sheets(paths: list[Path]) -> None:
    """The exam, a person a row; and sixty pictures of the old stream over sixty of the new, lightest skin first."""
    from PIL import Image

    rows = [
        np.concatenate([read_photograph(path).picture for path in paths[6 * k : 6 * k + EACH]], 1) for k in range(24)
    ]
    halves = [np.concatenate(rows[half::2], 0) for half in (0, 1)]
    images = ROOT / "docs" / "images"
    Image.fromarray(np.concatenate(halves, 1)).save(images / "photographs_exam.jpg", quality=88)
    sheet = np.concatenate([_old(), np.full((6, _old().shape[1], 3), 255, np.uint8), _new()], 0)
    Image.fromarray(sheet).save(images / "streams.jpg", quality=90)


def _old() -> np.ndarray:
    from biofacenet.data.synthetic import Source, draw
    from msfit.synth.sampling import subject_of

    source = Source("validation", heads=30, size=96, balance=0)
    order = sorted(range(60), key=lambda index: -subject_of(index, seed=0, split="validation").ita)
    return _tiled(draw(source, order)["image"])


def _new() -> np.ndarray:
    from msfit.synth.bank import Bank
    from msfit.synth.buffers import FACE
    from msfit.synth.cameras import develop, random_cameras
    from msfit.synth.portraits import portrait, random_paint, scenes
    from msfit.synth.tones import drawn_subject

    bank, made = Bank(30, 96, "validation"), []
    for index in range(60):
        rng = np.random.default_rng((7, index))
        buffers, person = bank[index % 30], drawn_subject(rng, "validation")
        paint = random_paint(rng, 96, person.subject.ita, beard=not buffers.long_hair)
        made.append((person.subject.ita, portrait(buffers, person.subject, paint, rng)))
    layers = [one for _, one in sorted(made, key=lambda pair: -pair[0])]
    generator = torch.Generator().manual_seed(0)
    spectra = torch.from_numpy(np.stack([np.moveaxis(one.reflectance, -1, 0) for one in layers]))
    i_d, gloss = (
        torch.from_numpy(np.stack([getattr(one, name) for one in layers]))[:, None] for name in ("i_d", "gloss")
    )
    face = torch.from_numpy(np.stack([one.region == FACE for one in layers]).astype(np.float32))[:, None]
    seen = scenes(spectra, torch.eye(spectra.shape[1]), i_d, gloss, generator)
    return _tiled(develop(seen.picture, face, random_cameras(60, generator), generator).picture)


def _tiled(linear: Any, columns: int = 12) -> np.ndarray:
    display = encode_srgb(linear).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    rows = [np.concatenate(list(display[k : k + columns]), 1) for k in range(0, len(display), columns)]
    return np.concatenate(rows, 0)


if __name__ == "__main__":
    main()
