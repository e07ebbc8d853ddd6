"""What the shipped network is worth: six figures on faces with known maps, robustness, a real face, speed.

Usage: python -m benchmarks.biofacenet [SCENES] [--weights NAME|FILE] [--baseline FILE] [--reference FOLDER]

SCENES (default data_iset/scenes, built where it is not there) holds the 25 stand-ins: unseen persons in measured skin,
shown under D65 through the mean camera at 64 x 64. RMSE over the face pixels of all scenes, pigments in the unit of the
network's heads, shading by one least-squares factor a scene and as it is; beside a predictor that returns each map's
mean over training samples. Pictures are made worse at 64 x 64 and, as photographs are, at the size they have. FOLDER
holds cave_face.mat, which is not part of the project; that row is left out where it is absent. --baseline: weights
trained with the published losses alone. Speeds are medians after a warm-up; the processor should have nothing else to
do. Figures go to benchmarks/results/biofacenet.json, the picture of the real face, for looking at, to --panel.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import record
from benchmarks.real_face import EXPOSURES, draw_panel, real_face
from biofacenet.data.augment import DEGRADATIONS, degrade
from biofacenet.evaluation import SCALES, evaluate, interpret, score
from biofacenet.exam import Face, read_exam
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.prediction import Model, load_model
from msfit.metrics import COLUMNS
from msfit.metrics.decomposition import in_unit
from msfit.synth import write_standins
from msfit.synth.people import ITA_CLASSES

ROOT = Path(__file__).parents[1]
# Our network after the published losses alone, `biofacenet train --config benchmarks/paper_losses.toml`.
BASELINE = Path(__file__).parent / "table1" / "weights" / "paper_losses.safetensors"
# Alotaibi & Smith, BMVC 2019, Table 1, on the real ISET faces.
PUBLISHED = dict(zip(COLUMNS, (0.1720, 0.0875, 0.1154, 0.5972, 0.2912, 0.0713), strict=True))
BATCH, SIDE, PHOTO, RUNS = 16, 64, 512, 20
# Of the stand-ins as they are: blur, noise and blocks of JPEG have their size in these pixels.
OWN_SIDE = 256


def main() -> None:
    """Examine, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="?", type=Path, default=ROOT / "data_iset" / "scenes")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--reference", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--panel", type=Path)
    chosen = parser.parse_args()
    write_standins(chosen.scenes)
    model = load_model(chosen.weights, "cpu")
    clean = evaluate(chosen.scenes, model)
    faces = read_exam(chosen.scenes, model.decoder.model)
    photographs = read_exam(chosen.scenes, model.decoder.model, OWN_SIDE)
    figures: dict[str, Any] = {
        "network": {
            name: model.training.get(name) for name in ("steps", "pictures", "seconds", "commit", "skin_model")
        },
        "stand-ins": _figures(clean.scores),
        "published, real ISET faces": PUBLISHED,
        "by tone, melanin": by_tone(model, faces),
        "melanin of scenes": spread(model, faces),
        "degraded": {name: degraded(model, faces, name) for name in DEGRADATIONS},
        "degraded as photographs": {name: degraded(model, photographs, name) for name in DEGRADATIONS},
        "speed": speed(model),
    }
    baseline = load_model(chosen.baseline, "cpu")
    figures["published losses alone"] = {
        **_figures(evaluate(chosen.scenes, baseline).scores),
        "melanin of scenes": spread(baseline, faces),
    }
    if (chosen.reference / "cave_face.mat").is_file():
        figures["real face"] = {}
        for exposure in EXPOSURES:
            real = real_face(chosen.reference / "cave_face.mat", model.decoder.model, exposure)
            estimates = [one["model"] for one in interpret(model, [real])]
            figures["real face"][f"white is at the {exposure}"] = {
                f"shading {scale}": score("network", [real], estimates, "model", scale).figures for scale in SCALES
            }
        if chosen.panel is not None:
            draw_panel(real, estimates[0], chosen.panel)
    for name, values in figures.items():
        print(name, values, sep="\n  ")
    record.write("biofacenet", figures)


def by_tone(model: Model, faces: list[Face]) -> dict[str, Any]:
    """RMSE of melanin by class of skin tone, and the worst over the mean of the classes."""
    estimates = [one["model"] for one in interpret(model, faces)]
    classes = {}
    for tone in ITA_CLASSES:
        own = [number for number, face in enumerate(faces) if face.attrs["ita_class"] == tone]
        group = score("network", [faces[k] for k in own], [estimates[k] for k in own], "model", "scene")
        classes[tone] = group.figures["melanin"]
    values = [value for value in classes.values() if value is not None]
    return {**classes, "worst over mean": max(values) / statistics.fmean(values)}


def spread(model: Model, faces: list[Face]) -> dict[str, float]:
    """How much the mean melanin of a face differs between scenes, in the heads' unit, said and true."""
    estimates = [one["model"] for one in interpret(model, faces)]
    estimated, true = (
        np.array(
            [in_unit("f_mel", maps.f_mel, "heads")[face.mask].mean() for maps, face in zip(source, faces, strict=True)]
        )
        for source in (estimates, [face.truth["model"] for face in faces])
    )
    return {
        "said": float(estimated.std()),
        "true": float(true.std()),
        "correlation": float(np.corrcoef(estimated, true)[0, 1]),
    }


def degraded(model: Model, faces: list[Face], name: str) -> dict[str, Any]:
    """The figures of pictures made worse; the reconstruction against the clean picture, and the one that was shown."""
    estimates = [one["model"] for one in interpret(model, faces, name)]
    clean = [one["model"] for one in interpret(model, faces)]
    figures = score("network", faces, estimates, "model", "scene").figures
    before = score("network", faces, clean, "model", "scene").figures
    stack = torch.from_numpy(np.stack([face.picture for face in faces])).permute(0, 3, 1, 2)
    shown = degrade(stack, name, torch.Generator().manual_seed(0)).permute(0, 2, 3, 1).numpy()
    seen = [
        replace(face, truth={"model": replace(face.truth["model"], picture=picture)})
        for face, picture in zip(faces, shown, strict=True)
    ]
    against_shown = score("network", seen, estimates, "model", "scene").figures["reconstruction"]
    ratios = {k: figures[k] / before[k] for k in COLUMNS}  # type: ignore[operator]
    return {**figures, "reconstruction of what was shown": against_shown, "over clean": ratios}


def speed(model: Model) -> dict[str, Any]:
    """Images a second of both networks, and the seconds of a photograph, without finding its face."""
    batch = torch.rand(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    paper = BioFaceNet(NetworkConfig("paper")).eval()
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (PHOTO, PHOTO, 3), np.uint8)
    with torch.inference_mode():
        rates = {
            name: BATCH / _median(lambda network=network: network(batch))  # type: ignore[misc]
            for name, network in (("compact", model.network), ("paper", paper))
        }
    return {
        "images_per_second": rates,
        "seconds_of_512_x_512": {
            "seen at 64 x 64": _median(lambda: model.predict(photo)),
            "seen at 512 x 512": _median(lambda: model.predict(photo, size=0)),
        },
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }


def _median(call: Callable[[], Any]) -> float:
    call()
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _figures(scores: Any) -> dict[str, Any]:
    return {f"{one.method}, {one.terms} terms, shading {one.shading_scale}": one.figures for one in scores}


if __name__ == "__main__":
    main()
