"""Write the camera model that ships in msfit/colour/data: mean and principal components of measured cameras.

Usage: git clone https://github.com/AcademySoftwareFoundation/rawtoaces-data
       python scripts/build_camera_model.py rawtoaces-data/data/camera

Every camera is a JSON file on 380-780 nm at 5 nm. Each of its channels is normalised to unit sum; the model is that of
Alotaibi & Smith, BMVC 2019, eq 10. The share of variance that each component holds is computed, stored and printed.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np

from msfit.colour.cameras import read_sensitivities

OUT = Path(__file__).parents[1] / "msfit" / "colour" / "data" / "camera_model.json"
COMPONENTS = 8
DIGITS = 9


def rounded(values: np.ndarray) -> list:
    return np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"))(values).tolist()


def lowest_in_3_sigma(mean: np.ndarray, scaled: np.ndarray) -> float:
    """The lowest sensitivity in parts of its camera's peak, for two components and abs(b) <= 3, on a grid of b."""
    steps = np.linspace(-3, 3, 61)
    cameras = (mean + a * scaled[0] + b * scaled[1] for a, b in product(steps, steps))
    return float(min(camera.min() / camera.max() for camera in cameras))


def camera_model(folder: Path) -> dict:
    cameras = {path.stem.removesuffix("_380_780_5"): read_sensitivities(path) for path in sorted(folder.glob("*.json"))}
    wavelengths = np.arange(380.0, 781.0, 5.0)
    for name, camera in cameras.items():
        assert np.array_equal(camera.wavelengths, wavelengths), f"{name} is not on 380-780 nm at 5 nm"
    samples = np.stack([camera.values / camera.values.sum(axis=0) for camera in cameras.values()])
    mean = samples.mean(axis=0)
    _, singular, directions = np.linalg.svd((samples - mean).reshape(len(samples), -1), full_matrices=False)
    # The sign of a principal component is arbitrary: its largest entry is made positive.
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
    components = directions[:COMPONENTS].reshape(COMPONENTS, *mean.shape)
    sigma = singular[:COMPONENTS] / np.sqrt(len(samples) - 1)
    share = (singular**2 / (singular**2).sum())[:COMPONENTS]
    return {
        "source": "AcademySoftwareFoundation rawtoaces-data, Apache-2.0; computed by scripts/build_camera_model.py",
        "unit": "relative; each channel of each camera normalised to unit sum; columns R, G, B",
        "cameras": list(cameras),
        "wavelengths": wavelengths.tolist(),
        "sigma": rounded(sigma),
        "variance_share": rounded(share),
        "lowest_in_3_sigma": rounded(np.array(lowest_in_3_sigma(mean, components * sigma[:, None, None]))),
        "mean": rounded(mean),
        "components": rounded(components),
    }


def main(folder: str) -> None:
    model = camera_model(Path(folder))
    # One top-level entry a line, so that a change shows where it is.
    entries = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in model.items())
    OUT.write_text(f"{{\n{entries}\n}}\n", encoding="ascii")
    print(f"{len(model['cameras'])} cameras, variance held: {np.cumsum(model['variance_share']).round(4).tolist()}")
    print(f"lowest sensitivity within 3 sigma, two components: {model['lowest_in_3_sigma']:.3f} of the peak")


if __name__ == "__main__":
    main(sys.argv[1])
