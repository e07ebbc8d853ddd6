"""The mean of each map over training samples: what a network has to beat.

Usage: python -m scripts.build_training_means

Writes biofacenet/data/training_means.json, of 256 samples of the training stream under D65 and the mean camera, for the
skin model that the stand-ins' truth is in. Pigments are averaged in the unit of the network's heads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import msfit
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.io.output import written_whole
from msfit.metrics import in_unit
from msfit.synth import samples
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.standins import STANDIN_MODEL

OUTPUT = Path(__file__).parents[1] / "biofacenet" / "data" / "training_means.json"
SAMPLES = 256


def main() -> None:
    """Draw samples and write their means."""
    drawn = samples(SAMPLES, pictures="reference", noise=False, model=STANDIN_MODEL)
    face = drawn["mask"][:, 0].numpy() > 0
    maps = {name: values.movedim(1, -1).numpy()[face] for name, values in drawn.items() if values.ndim == 4}
    i_d, i_s, scale, offset = (maps[name][:, 0].astype(float) for name in ("i_d", "i_s", "scale", "offset"))
    pigments = {}
    for name, most in zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True):
        m = in_unit(name, maps[name][:, 0], "heads")
        pigments[name] = float(fractions(np.array(m.mean()), most))
    skin = msfit.reflectance(maps["f_mel"][:, 0], maps["f_blood"][:, 0], WAVELENGTHS, model=STANDIN_MODEL)
    same: dict[str, Any] = {**pigments, "picture": maps["image"].mean(axis=0)}
    means = {
        "model": {
            **same,
            "i_d": (i_d * scale).mean(),
            "i_s": (i_s + i_d * offset).mean(),
            "albedo": fold_bands(skin, rgb_weights(WAVELENGTHS)).mean(axis=0),
        },
        "measured": {**same, "i_d": i_d.mean(), "i_s": i_s.mean(), "albedo": maps["albedo"].mean(axis=0)},
    }
    rounded = {
        terms: {name: np.round(np.asarray(v, float), 6).tolist() for name, v in known.items()}
        for terms, known in means.items()
    }
    content = {
        "what": f"Means over the faces of {SAMPLES} training samples (msfit.synth.samples), D65, mean camera",
        "means": {STANDIN_MODEL: rounded},
    }
    with written_whole(OUTPUT) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
