"""What `msfit.check` measures of good scenes, which its limits stand on, and whether it names planted faults.

    python -m benchmarks.check [--scenes N]

Good scenes are synthetic faces of the training and validation splits, of all tones: no limit is set on others. Faults
are planted in persons of the test split.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import shift

import msfit
from benchmarks.record import write
from msfit.quality import check
from msfit.quality.check import LIGHT, MOVED, NOISE
from msfit.quality.picture import falloff
from msfit.quality.sample import take_sample
from msfit.skin.models import get_model
from msfit.synth import make_scene
from msfit.synth.people import wearable

SIZE = 128
_FIRST = 810_000  # seeds that no other benchmark draws
Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def camera(seed: int, split: str, person: str | None = None) -> msfit.Cube:
    """A scene without its mask."""
    scene = make_scene(seed, size=SIZE, split=split, person=person)
    return msfit.Cube(scene.radiance, scene.truth.wavelengths, scene.illuminant)


def good(count: int) -> dict[str, Any]:
    """The largest of each measure over good scenes, persons from the darkest to the lightest."""
    largest: dict[str, list[Any]] = {}
    people = {split: sorted(wearable(split), key=lambda one: one.ita) for split in ("train", "validation")}
    for number in range(count):
        split = ("train", "validation")[number % 2]
        person = people[split][number * len(people[split]) // count]
        cube = camera(_FIRST + number, split, person.person)
        report = check(cube)
        table = report.table
        loud = np.where(table["noise"] > NOISE, table["noise"] / table["expected_noise"], 0)
        blue = report.wavelengths < 425
        measures = {
            "departure below 425 nm": np.abs(table["departure"][blue]).max(),
            "departure": np.abs(table["departure"][~blue]).max(),
            "wider departure": np.abs(report.table["departure_wide"]).max(),
            "noise, times expected": loud.max(),
            "moved [pixels]": np.hypot(table["shift_y"], table["shift_x"]).max(),
            "RMSE, times expected": report.before.rmse / report.expected_rmse,
            "light": falloff(take_sample(cube, get_model(report.model).wavelength_range, None)),
            "clipped": table["clipped"].max(),
        }
        for name, value in measures.items():
            largest.setdefault(name, []).append(float(value))
        print(number, person.ita_class, [str(finding) for finding in report.findings], flush=True)
    return {name: {"largest": max(values), "second": sorted(values)[-2]} for name, values in largest.items()}


def faults(nm: np.ndarray) -> dict[str, tuple[str, Fault]]:
    """Kinds of planted faults by name."""

    def band(wavelength: float, change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Fault:
        at = int(np.flatnonzero(nm == wavelength)[0])

        def planted(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            changed = values.copy()
            changed[..., at] = change(values[..., at], rng)
            return changed

        return planted

    def vignette(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
        y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
        return values / (1 + 0.4 * (x**2 + y**2))[..., None]

    return {
        "white +20 % at 550 nm": ("white", band(550, lambda v, _: 1.2 * v)),
        "white -20 % at 480 nm": ("white", band(480, lambda v, _: 0.8 * v)),
        "white x 1.5 at 400 nm": ("white", band(400, lambda v, _: 1.5 * v)),
        "noise of 20 % at 620 nm": ("noisy", band(620, lambda v, g: v + 0.2 * v.mean() * g.standard_normal(v.shape))),
        "no signal at 580 nm": ("dead", band(580, lambda v, _: np.zeros_like(v))),
        "moved by 1.1 pixels at 500 nm": ("moved", band(500, lambda v, _: shift(v, (1, -0.5), mode="nearest"))),
        "clipped at the 95th percentile": ("clipped", lambda v, _: np.minimum(v, np.quantile(v, 0.95))),
        "light falls to 56 % in the corners": ("light", vignette),
    }


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--faulty", type=int, default=6, help="test persons each fault is planted in")
    chosen = parser.parse_args()
    figures: dict[str, Any] = {"limits": {"moved": MOVED, "light": LIGHT}, "good": good(chosen.scenes)}
    print(figures["good"])
    named: dict[str, dict[str, int]] = {}
    for number in range(chosen.faulty):
        cube = camera(_FIRST + number, "test")
        for name, (kind, fault) in faults(cube.wavelengths).items():
            values = fault(np.asarray(cube.values), np.random.default_rng(number))
            found = {finding.kind for finding in check(msfit.Cube(values, cube.wavelengths, cube.illuminant)).findings}
            counts = named.setdefault(name, {"named": 0, "alone": 0, "of": 0})
            counts["of"] += 1
            counts["named"] += kind in found
            counts["alone"] += found == {kind}
        print(number, named, flush=True)
    print(write("check", {**figures, "planted": named}))


if __name__ == "__main__":
    main()
