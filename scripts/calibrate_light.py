"""How wide the intervals of an unknown light have to be to hold the truth as often as they say.

Usage: python -m scripts.calibrate_light [--scenes 60]

The posterior of `msfit.colour.light_posterior` is that of persons who are drawn from its table of skin. Those of the
validation split, whom that table does not know, are asked how far from the truth the estimate is in fact: split
conformal prediction (J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive
inference for regression", J. Am. Stat. Assoc. 113, 1094, 2018) with the angle between estimate and truth over the
stated one as score. Each scene, of all classes of skin tone alike, is lit by daylights, Planckians and lamps, drawn as
the posterior has them beforehand, each with the smooth deviation of 1 % beside its table that it allows for. Printed
are, for each kind of light, the quantile of the scores that makes the interval hold 68 % (`WIDTH` of
`msfit/fitting/light.py`), and how many the interval held without it.
"""

from __future__ import annotations

import argparse

import numpy as np

from msfit.colour.light_posterior import known_lights, posterior
from msfit.fitting.light import DARKEST, INSIDE, angle, common, draws, kind_of
from msfit.synth.people import ITA_CLASSES, wearable
from msfit.synth.scene import make_scene
from msfit.synth.spectra import WAVELENGTHS

SIZE, DRAWN = 48, 5  # pixels of a scene's side; lights of each kind a scene
DEVIATION, SMOOTH = 0.01, 60.0


def faces(count: int) -> list[np.ndarray]:
    """Pixels (n, band) of faces of the validation split under a light without colour, as many of each class."""
    found: list[np.ndarray] = []
    for label in ITA_CLASSES:
        persons = [one for one in wearable("validation") if one.ita_class == label]
        for k in range(count // 5 if persons else 0):  # of "very light" skin the split has none
            who = persons[k % len(persons)].person
            truth = make_scene(len(found), size=SIZE, split="validation", person=who, noise=False).truth
            seen = truth.i_d[..., None] * truth.reflectance + truth.i_s[..., None]
            level = np.where(truth.mask, seen.mean(-1), np.nan)
            found.append(seen[level > DARKEST * np.nanquantile(level, 0.95)].astype(np.float64))
    return found


def main() -> None:
    """Print how wide intervals have to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60)
    arguments = parser.parse_args()
    lights, nm, rng = known_lights(), WAVELENGTHS, np.random.default_rng(0)
    kinds = np.array([kind_of(name) for name in lights.names])
    powers = lights.powers[:, np.searchsorted(lights.wavelengths, nm)]
    smooth = np.linalg.cholesky(np.exp(-0.5 * ((nm[:, None] - nm) / SMOOTH) ** 2) + 1e-9 * np.eye(nm.size))
    scores: dict[str, list[float]] = {str(kind): [] for kind in np.unique(kinds)}
    for face in faces(arguments.scenes):
        for kind, ratios in scores.items():
            chance = np.where(kinds == kind, lights.prior, 0)
            for number in rng.choice(len(chance), DRAWN, p=chance / chance.sum()):
                light = powers[number] * np.exp(DEVIATION * smooth @ rng.standard_normal(nm.size))
                found = draws(posterior(common(light * face)[0], nm))
                mean = found.mean(0)
                ratios.append(float(angle(mean, light) / np.quantile(angle(found, mean), INSIDE)))
    for kind, ratios in scores.items():
        rank = min(1.0, INSIDE * (1 + 1 / len(ratios)))
        held = np.mean(np.array(ratios) <= 1)
        print(f"{kind:10} {np.quantile(ratios, rank, method='higher'):.2f}   held {held:.2f} of {len(ratios)}")


if __name__ == "__main__":
    main()
