"""Are bands that moved brought back into register, and do pigments come back with them?

Usage: python -m benchmarks.alignment SCENES [--count 3] [--side 160] [--figure PATH]

SCENES holds stand-ins (`msfit synth --stand-ins -o SCENES`), of which as many are taken, evenly over their list, cut
to a square about the face. Each band but that at 550 nm is shifted by up to 4 pixels, turned by up to 1 degree and
warped by a smooth field (standard deviation 0.7 pixel an axis, as smooth as a Gaussian of an eighth of the side),
resampled by quintic splines, and recorded with noise under white light. `msfit.align_bands` is compared with the
fields that were put in: mean and median over the face of the distance that is left. f_mel and f_blood of the fit are
compared with the scene's truth: as the bands were before they moved (with the same noise), as they moved, and aligned.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

import msfit
from benchmarks import record
from msfit.synth.camera import record as expose
from msfit.synth.files import read_truth
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.standins import STANDIN_MODEL, standins

_FIXED = 550.0
_PHOTONS = 1e3
PIGMENTS = ("f_mel", "f_blood")


def random_fields(shape: tuple[int, int], fixed: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Displacements (band, 2, y, x): a shift, a turn and a warp a band; none of the fixed one."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    fields = np.zeros((count, 2, height, width))
    for band in range(count):
        shift, turn = rng.uniform(-4, 4, 2), np.radians(rng.uniform(-1, 1))
        warp = np.stack([gaussian_filter(rng.standard_normal(shape), height / 8) for _ in range(2)])
        warp *= 0.7 / warp.std()
        turned = np.stack([x * np.sin(turn) + y * (np.cos(turn) - 1), x * (np.cos(turn) - 1) - y * np.sin(turn)])
        if band != fixed:
            fields[band] = shift[:, None, None] + turned + warp
    return fields


def moved(picture: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The picture m (y, x) of which m(p + field(p)) is the one given."""
    grid = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(float)
    back = np.zeros_like(field)
    for _ in range(30):
        back = -np.stack([map_coordinates(part, grid + back, order=1, mode="nearest") for part in field])
    return np.asarray(map_coordinates(picture, grid + back, order=5, mode="nearest"))


def scored(path: Path, side: int, seed: int) -> tuple[dict[str, Any], Any]:
    """Figures of a scene, and its alignment."""
    truth = read_truth(path)
    rows, columns = (np.flatnonzero(truth.mask.any(axis)) for axis in (1, 0))
    middle = [int((ends[0] + ends[-1]) / 2) for ends in (rows, columns)]
    first = [int(np.clip(c - side // 2, 0, n - side)) for c, n in zip(middle, truth.mask.shape, strict=True)]
    part = tuple(slice(f, f + side) for f in first)
    scene = (truth.i_d[..., None] * truth.reflectance + truth.i_s[..., None])[part].astype(float)
    mask = truth.mask[part]
    fixed = int(np.abs(WAVELENGTHS - _FIXED).argmin())
    fields = random_fields((side, side), fixed, len(WAVELENGTHS), np.random.default_rng(seed))
    apart = np.stack([moved(scene[..., b], fields[b]) for b in range(len(WAVELENGTHS))], -1)
    pictures = {}
    for name, values in (("unmoved", scene), ("moved", apart)):
        seen = expose((_PHOTONS * np.maximum(values, 0)).astype(np.float32), np.random.default_rng(seed + 1))
        pictures[name] = msfit.Cube(seen / np.float32(_PHOTONS), WAVELENGTHS, mask=mask)
    alignment = msfit.align_bands(pictures["moved"], fixed=_FIXED)
    pictures["aligned"] = alignment.cube
    left = np.hypot(*(alignment.fields - fields).swapaxes(0, 1))[:, mask]
    before = np.hypot(*fields.swapaxes(0, 1))[:, mask]
    shift = np.hypot(*(alignment.fields - fields).swapaxes(0, 1)[:, :, mask].mean(-1))
    row: dict[str, Any] = {
        "ita_class": str(truth.attrs["ita_class"]),
        "before": {"mean": _round(before.mean())},
        "left": {
            "mean": _round(left.mean()),
            "median": _round(np.median(left)),
            "p95": _round(np.quantile(left, 0.95)),
        },
        "left_by_band": [_round(value) for value in left.mean(1)],
        "shift_by_band": [_round(value) for value in shift],
        "correlation": _round(alignment.correlation.min()),
    }
    inner = mask.copy()
    inner[:8] = inner[-8:] = inner[:, :8] = inner[:, -8:] = False  # bands reach there after the alignment
    for name, cube in pictures.items():
        fit = msfit.fit(cube, model=STANDIN_MODEL)
        for pigment in PIGMENTS:
            error = (getattr(fit, pigment) - getattr(truth, pigment)[part])[inner]
            row.setdefault("rmse", {}).setdefault(pigment, {})[name] = _round(np.sqrt(np.nanmean(error**2)))
    return row, alignment


def _round(value: Any) -> float:
    return float(f"{float(value):.3g}")


def main() -> None:
    """Measure, print a line a scene and write results/alignment.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    names = [one.name for one in standins()]
    chosen = [names[int(k)] for k in np.linspace(0, len(names) - 1, arguments.count)]
    rows = {}
    for number, name in enumerate(chosen):
        rows[name], alignment = scored(arguments.scenes / f"{name}.mat", arguments.side, 100 * number)
        print(name, rows[name], flush=True)
        if arguments.figure is not None:
            alignment.plot().savefig(arguments.figure.with_stem(f"{arguments.figure.stem}_{name}"))
        print(record.write("alignment", {"side": arguments.side, "scenes": rows}))


if __name__ == "__main__":
    main()
