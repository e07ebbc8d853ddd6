"""Split the persons of the International Skin Spectra Archive: writes msfit/synth/data/subject_split.csv.

Run once. The split is frozen: calibration, networks and stand-in scenes rely on it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from msfit.io.datasets.issa import load_faces
from msfit.io.output import written_whole
from msfit.synth.people import make_split

TARGET = Path(__file__).parents[1] / "msfit" / "synth" / "data" / "subject_split.csv"

_HEAD = (
    "# Persons of the International Skin Spectra Archive (Lu et al. 2025, CC BY 4.0), split by"
    " msfit.synth.people.make_split\n"
)


def main() -> None:
    """Write the split and print its counts."""
    rows = make_split(load_faces())
    with written_whole(TARGET) as part, part.open("w", encoding="ascii", newline="\n") as file:
        file.write(_HEAD)
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row["ita_class"], row["split"], "3 sites or more" if int(row["sites"]) >= 3 else "fewer sites")
        counts[key] = counts.get(key, 0) + 1
    for key, count in sorted(counts.items()):
        print(*key, count, sep="\t")


if __name__ == "__main__":
    main()
