"""How far persons lie from the mean of their tone of skin: what `msfit.skin.likeness` compares spectra with.

Usage: python -m scripts.build_skin_likeness

Writes msfit/skin/data/skin_likeness.csv from facial spectra of persons of the archive's training split: for each of the
eight tones quantiles of the squared distance of spectra that are nearest to it. Tones of few persons borrow from those
beside them: a spectrum counts by a Gaussian in the angle of its person. The last line has quantiles of the logarithm of
the odds against skin, at each level the largest of the classes of skin tone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msfit.io.datasets.issa import load_faces
from msfit.io.output import written_whole
from msfit.skin.likeness import LEVELS, TABLE, log_odds, nearest_tone
from msfit.skin.skin_logs import skin_logs
from msfit.synth.people import ITA_CLASSES, split_table

OUTPUT = Path(__file__).parents[1] / "msfit" / "skin" / "data" / TABLE
WIDTH = 9.0  # degrees, as of the tones' means
HEAD = (
    "# source: computed by scripts/build_skin_likeness.py from the International Skin Spectra Archive, Lu et al. 2025,"
    " CC BY 4.0; quantiles of squared distances, persons of the training split\n"
)


def main() -> None:
    """Write the table."""
    faces, table = load_faces(), split_table()
    train = np.array([table[str(person)]["split"] == "train" for person in faces.person])
    angle = np.array([float(table[str(person)]["ita"]) for person in faces.person])[train]
    squares, _ = nearest_tone(np.asarray(faces.cube.reflectance)[train], faces.cube.wavelengths)
    lines = [HEAD, ",".join(["ita", "spectra", *(f"{level:g}" for level in LEVELS)]) + "\n"]
    order = np.argsort(squares)
    for tone in skin_logs().angles:
        weights = np.exp(-0.5 * ((angle - tone) / WIDTH) ** 2)[order]
        share = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
        row = np.interp(LEVELS, share, squares[order])
        row[0] = 0
        count = weights.sum() ** 2 / (weights**2).sum()
        lines.append(f"{tone:g},{count:.0f}," + ",".join(f"{value:.4g}" for value in row) + "\n")
    tones = np.array([table[str(person)]["ita_class"] for person in faces.person])[train]
    against = -log_odds(np.asarray(faces.cube.reflectance)[train], faces.cube.wavelengths)
    rows = [np.quantile(against[tones == tone], LEVELS) for tone in ITA_CLASSES]
    lines.append(f"odds,{len(against)}," + ",".join(f"{value:.4g}" for value in np.max(rows, axis=0)) + "\n")
    with written_whole(OUTPUT) as part:
        part.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
