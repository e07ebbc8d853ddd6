"""Is gloss told apart by a pair of pictures through polarisers?

Usage: python -m benchmarks.polarised SCENES

SCENES holds the 25 stand-ins (`msfit synth --stand-ins -o SCENES`). Pixels of each face are recorded twice, with noise
of their own: through crossed polarisers i_d r, and through parallel ones t (i_d r + i_s), t = 1.07 being unknown to
`msfit.fit_polarised`. RMSE of i_s against the scene's own, beside that of the fit of one picture without polarisers,
which has to tell gloss by its colour.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import msfit
from benchmarks import record
from msfit.synth.camera import record as expose
from msfit.synth.files import read_truth
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.standins import standins

_TRANSMISSION, _PIXELS, _PHOTONS = 1.07, 4000, 1e3


def scored(path: Path, seed: int) -> dict[str, Any]:
    """Figures of one scene."""
    truth, rng = read_truth(path), np.random.default_rng(seed)
    face = np.flatnonzero(truth.mask)
    face = face[:: max(1, len(face) // _PIXELS)]
    i_d, i_s = (part.ravel()[face].astype(float) for part in (truth.i_d, truth.i_s))
    skin = i_d[:, None] * truth.reflectance.reshape(-1, len(WAVELENGTHS))[face]

    def seen(values: np.ndarray) -> np.ndarray:
        return np.asarray(expose((_PHOTONS * values).astype(np.float32), rng) / np.float32(_PHOTONS))

    cross, parallel = seen(skin), seen(_TRANSMISSION * (skin + i_s[:, None]))
    pair = msfit.fit_polarised(parallel, cross, WAVELENGTHS)
    one = msfit.fit(parallel / _TRANSMISSION, WAVELENGTHS)
    return {
        "ita_class": str(truth.attrs["ita_class"]),
        "transmission": round(float(pair.attrs["transmission"]), 4),
        "pair": float(f"{np.sqrt(np.nanmean((pair.i_s - i_s) ** 2)):.3g}"),
        "single": float(f"{np.sqrt(np.nanmean((one.i_s - i_s) ** 2)):.3g}"),
        "i_s_95": float(f"{np.quantile(i_s, 0.95):.3g}"),
    }


def main() -> None:
    """Measure, print a line a scene and write results/polarised.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    folder = parser.parse_args().scenes
    rows = {one.name: scored(folder / f"{one.name}.mat", k) for k, one in enumerate(standins())}
    for name, row in rows.items():
        print(name, row)
    worst = max(row["pair"] for row in rows.values())
    print(record.write("polarised", {"worst": worst, "scenes": rows}))


if __name__ == "__main__":
    main()
