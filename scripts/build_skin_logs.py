"""Mean and covariance of the logarithm of facial reflectance along skin tone, which say what skin is.

Usage: python -m scripts.build_skin_logs

Writes msfit/skin/data/skin_logs.csv from persons of the archive's training split. A person is the mean of ln R over
their facial spectra, and their individual typology angle (ITA). About each of eight angles the table has the mean and
the covariance of persons weighted by a Gaussian in their angle; where few persons are, their covariance is that of all
persons about these means for the most part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msfit.io.datasets.issa import load_faces
from msfit.io.output import written_whole
from msfit.synth.people import split_table

OUTPUT = Path(__file__).parents[1] / "msfit" / "skin" / "data" / "skin_logs.csv"
ANGLES = (60, 48, 36, 24, 8, -12, -32, -50)  # degrees, from the lightest to the darkest skin
WIDTH = 9.0  # standard deviation of the weights [degrees]
COUNTED = 40  # so many persons are worth the covariance of all
HEAD = (
    "# source: computed by scripts/build_skin_logs.py from the International Skin Spectra Archive, Lu et al. 2025,"
    " CC BY 4.0; natural logarithm of reflectance, persons of the training split\n"
)


def main() -> None:
    """Write the table: for each angle a line of means, and one of covariances a wavelength."""
    faces, table = load_faces(), split_table()
    nm, logs = faces.cube.wavelengths, np.log(np.asarray(faces.cube.reflectance, np.float64))
    persons = [person for person, row in table.items() if row["split"] == "train"]
    means = np.stack([logs[faces.person == person].mean(0) for person in persons])
    angle = np.array([float(table[person]["ita"]) for person in persons])
    weights = np.exp(-0.5 * ((angle - np.array(ANGLES)[:, None]) / WIDTH) ** 2)
    centres = weights @ means / weights.sum(1, keepdims=True)
    own = [np.cov(means.T, aweights=weight) for weight in weights]
    counted = weights.sum(1) ** 2 / (weights**2).sum(1)
    pooled = np.einsum("n,nij->ij", counted, own) / counted.sum()
    lines = [HEAD, ",".join(["ita", "persons", "what", *(f"{band:g}" for band in nm)]) + "\n"]
    for a, number, centre, covariance in zip(ANGLES, counted, centres, own, strict=True):
        mixed = (number * covariance + COUNTED * pooled) / (number + COUNTED)
        rows = [("mean", centre), *zip((f"{band:g}" for band in nm), mixed, strict=True)]
        lines += [f"{a},{number:.0f},{what}," + ",".join(f"{v:.6g}" for v in row) + "\n" for what, row in rows]
    with written_whole(OUTPUT) as part:
        part.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
