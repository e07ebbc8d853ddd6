"""Write the CIE tables that ship in msfit/colour/data from their copies in colour-science.

Usage: pip install "colour-science==0.4.7"
       python scripts/build_colour_tables.py

The tables are copied at their own interval, so that run time does without colour-science, which is slow to import.
"""

from __future__ import annotations

from pathlib import Path

import colour
import numpy as np
from colour.colorimetry.datasets.illuminants import SDS_BASIS_FUNCTIONS_CIE_ILLUMINANT_D_SERIES

OUT = Path(__file__).parents[1] / "msfit" / "colour" / "data"
LEDS = ("LED-B1", "LED-B2", "LED-B3", "LED-B4", "LED-B5", "LED-BH1", "LED-RGB1", "LED-V1", "LED-V2")
COPY = f"copied from colour-science {colour.__version__}, BSD-3-Clause"


def write(name: str, source: str, columns: dict[str, np.ndarray]) -> None:
    head = f"# source: {source}; {COPY}\n{','.join(columns)}\n"
    rows = zip(*columns.values(), strict=True)
    text = "".join(",".join(np.format_float_positional(value, trim="-") for value in row) + "\n" for row in rows)
    (OUT / name).write_text(head + text, encoding="ascii")


def illuminants(names: dict[str, str]) -> dict[str, np.ndarray]:
    spectra = {ours: colour.SDS_ILLUMINANTS[theirs] for ours, theirs in names.items()}
    first = next(iter(spectra.values()))
    assert all(np.array_equal(spectrum.wavelengths, first.wavelengths) for spectrum in spectra.values())
    return {"wavelength_nm": first.wavelengths, **{name: spectrum.values for name, spectrum in spectra.items()}}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"]
    write(
        "observer_cie1931.csv",
        "CIE 1931 2 degree standard observer, CIE 15:2004, 1 nm",
        {"wavelength_nm": observer.wavelengths, **dict(zip(("xbar", "ybar", "zbar"), observer.values.T, strict=True))},
    )
    write(
        "illuminants_a_d.csv",
        "CIE illuminants A, D50, D55, D65, D75, CIE 15:2004, relative power, 5 nm",
        illuminants({name: name for name in ("A", "D50", "D55", "D65", "D75")}),
    )
    write(
        "illuminants_f.csv",
        "CIE illuminants F1-F12 (FL1-FL12), CIE 15:2004, relative power, 5 nm",
        illuminants({f"F{number}": f"FL{number}" for number in range(1, 13)}),
    )
    write(
        "illuminants_led.csv",
        "CIE illuminants LED-B1 to LED-V2, CIE 15:2018, relative power, 5 nm",
        illuminants({name: name for name in LEDS}),
    )
    basis = SDS_BASIS_FUNCTIONS_CIE_ILLUMINANT_D_SERIES
    write(
        "daylight_basis.csv",
        "CIE daylight components S0, S1, S2, CIE 15:2004, relative power, 5 nm",
        {"wavelength_nm": basis["S0"].wavelengths, **{name: basis[name].values for name in ("S0", "S1", "S2")}},
    )


if __name__ == "__main__":
    main()
