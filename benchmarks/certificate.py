"""Are fits proved to be global minima, how fast, and do the proofs stand up to an exhaustive search?

Usage: python -m benchmarks.certificate [--scenes DIR] [--data DIR] [--pixels 1000000] [--part faces standins search]

Faces and stand-ins are fitted with certify=True: share of the fitted pixels that is certified global, largest gap,
pixels a second. Then random pixels, seeded: true skin with noise of many sizes, wrong spectra, pigments and shadings at
their bounds, random smooth spectra, some bands dead. Each is fitted, certified, and searched exhaustively: every node
of a grid of 128 x 128 in single precision, then a descent in double precision from the three best nodes that lie apart.
Reported: by how much a certified bound exceeds what such a search finds (it must not), and how many fits the search
beats. The figures of each part go to results/certificate.json; those of parts that are not run stay as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import msfit
from benchmarks import record
from msfit.data.result import Status, flagged
from msfit.io.datasets.issa import load_faces
from msfit.skin.models import get_model
from msfit.solve.certificate.certificate import GLOBAL_GAP
from msfit.solve.problem import Problem

ROOT = Path(__file__).parents[1]
MODELS = ("alotaibi-smith-2019", "msfit-issa-2025")
NM = np.arange(400.0, 701.0, 10.0)
_NODES, _STARTS, _APART = (
    128,
    3,
    6,
)  # of the exhaustive search: nodes an axis, descents a pixel, nodes between their starts
_BATCH, _AT_ONCE = 32_768, 128


def prove(cube: msfit.Cube, **settings: Any) -> dict[str, Any]:
    """Fit a cube plainly and certified: what is proved, and how fast."""
    seconds = []
    for certify in (False, True):
        began = time.perf_counter()
        certified = msfit.fit(cube, certify=certify, **settings)
        seconds.append(time.perf_counter() - began)
    number, proved = int(certified.fitted.sum()), int(flagged(certified.status, Status.GLOBAL).sum())
    return {
        "pixels": number,
        "certified_global": proved,
        "largest_gap": float(np.nanmax(np.asarray(certified.gap))),
        "seconds_plain": seconds[0],
        "seconds_certified": seconds[1],
        "certified_pixels_a_second": proved / seconds[1],
    }


def faces(data: Path) -> Iterator[tuple[str, msfit.Cube]]:
    """The two real faces: the scene written by ISETCam, and the CAVE face divided by its white patch."""
    yield "iset_face_spatial_illuminant", msfit.load(data / "iset_face_spatial_illuminant.mat")
    cave = msfit.load(data / "cave_face.mat", white="400:435,30:70")
    yield "cave_face, rows 200:430, columns 215:420", msfit.Cube(cave.reflectance[200:430, 215:420], cave.wavelengths)


def random_pixels(model: str, count: int, seed: int) -> np.ndarray:
    """Spectra (n, 31) float32, NaN where a band is dead; at most `count`, those of positive mean."""
    rng = np.random.default_rng(seed)
    ends = np.array([parameter.wide for parameter in get_model(model).parameters]).T
    share = rng.random((count, 2)) ** rng.choice([1, 3], (count, 2))
    share = np.where(rng.random((count, 2)) < 0.15, rng.integers(0, 2, (count, 2)), share)
    fractions = ends[0] + share * (ends[1] - ends[0])
    i_d, i_s = rng.uniform(0.02, 2, (count, 1)), rng.uniform(0, 0.3, (count, 1))
    i_d, i_s = np.where(rng.random((count, 1)) < 0.03, 0, i_d), np.where(rng.random((count, 1)) < 0.3, 0, i_s)
    skin = i_d * msfit.reflectance(fractions[:, 0], fractions[:, 1], NM, model=model) + i_s
    orders = np.arange(6)
    waves = np.cos(np.pi * orders[:, None] * np.linspace(0, 1, NM.size))
    smooth = 0.4 + (rng.standard_normal((count, orders.size)) * 0.3 / (1 + orders)) @ waves
    faces = np.asarray(load_faces().cube.reflectance)
    inside = np.isin(load_faces().cube.wavelengths, NM)
    wrong = faces[rng.integers(0, len(faces), count)][:, inside]
    wrong = np.where(rng.random((count, 1)) < 0.5, wrong[:, ::-1], rng.permuted(wrong, axis=1))
    source = rng.choice(3, (count, 1), p=(0.6, 0.2, 0.2))
    noise = rng.standard_normal((count, NM.size)) * 10 ** rng.uniform(-5, -1.3, (count, 1))
    pixels = np.select([source == 0, source == 1], [skin, smooth], wrong) + noise
    dead = (rng.random((count, 1)) < 0.1) & (rng.random((count, NM.size)) < 0.2)
    kept = pixels.mean(1) > 1e-3
    return np.where(dead, np.nan, pixels)[kept].astype(np.float32)


class Exhaustive:
    """The least RMSE over the whole box, by brute force; shares nothing with the solver's table nor the certificate."""

    def __init__(self, model: str) -> None:
        self.skin = get_model(model).at(NM)
        self.ends = torch.tensor([parameter.wide for parameter in get_model(model).parameters], dtype=torch.float64).T
        axes = [low + (high - low) * torch.linspace(0, 1, _NODES).double() ** 1.5 for low, high in self.ends.T]
        self.nodes = torch.cartesian_prod(*axes)
        self.spectra = self.skin.reflectance(self.nodes).float().T.contiguous()  # (band, node)

    def __call__(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """RMSE (n,) float64 of pixels (n, band) with weights 0 or 1."""
        starts = [self._starts(y, w) for y, w in zip(pixels.split(_AT_ONCE), weights.split(_AT_ONCE), strict=True)]
        best = torch.full((len(pixels),), torch.inf, dtype=torch.float64)
        for start in torch.cat(starts).unbind(1):
            problem = Problem(self.skin, pixels.double(), weights.double())
            best = torch.minimum(best, problem.minimise(self.nodes[start], *self.ends).cost)
        return (best / weights.sum(1)).clamp_min(0).sqrt()

    def _starts(self, y: Tensor, w: Tensor) -> Tensor:
        """The best nodes (n, start) of each pixel that lie apart."""
        full = bool((w == 1).all())
        total = w.sum(1, keepdim=True)
        cross = (w * y) @ self.spectra
        sums, squares = (w[:1] if full else w) @ self.spectra, (w[:1] if full else w) @ self.spectra.square()
        brightness = (w * y).sum(1, keepdim=True)
        contrast = cross - brightness * sums / total
        spread = squares - sums * sums / total
        explained = brightness**2 / total + contrast.clamp_min(0) ** 2 / spread
        diffuse_only = brightness * spread < contrast * sums
        explained = torch.where(diffuse_only, cross.clamp_min(0) ** 2 / squares, explained)
        grid = explained.view(-1, _NODES, _NODES)
        rows, columns = torch.arange(_NODES)[:, None], torch.arange(_NODES)[None, :]
        starts = []
        for _ in range(_STARTS):
            node = grid.flatten(1).argmax(1)
            starts.append(node)
            row, column = (node // _NODES)[:, None, None], (node % _NODES)[:, None, None]
            grid.masked_fill_(((rows - row).abs() < _APART) & ((columns - column).abs() < _APART), -torch.inf)
        return torch.stack(starts, 1)


def challenge(model: str, count: int, seed: int) -> dict[str, Any]:
    """Fit, certify and search `count` random pixels."""
    search = Exhaustive(model)
    sums: dict[str, float] = dict.fromkeys(
        ("pixels", "certified_global", "fits_beaten_by_1e-5", "certified_fits_beaten_by_1e-5"), 0
    )
    worst = {
        "bound_above_search": -np.inf,
        "fit_above_search": -np.inf,
        "certified_fit_above_search": -np.inf,
        "search_above_certified_fit": -np.inf,
    }
    for first in range(0, count, _BATCH):
        pixels = random_pixels(model, min(_BATCH, count - first), seed + first)
        plain = msfit.fit(pixels, NM, model=model)
        certified = msfit.fit(pixels, NM, model=model, certify=True)
        assert certified.gap is not None
        index = certified.fitted
        usable = np.isfinite(pixels[index])
        y, w = torch.from_numpy(np.where(usable, pixels[index], 0)), torch.from_numpy(usable).float()
        least = search(y, w).numpy()
        fits = [_rmse(search, result, y, w, index) for result in (plain, certified)]
        bound = fits[1] - certified.gap[index]
        sums["pixels"] += int(index.sum())
        sums["certified_global"] += int(flagged(certified.status[index], Status.GLOBAL).sum())
        sums["fits_beaten_by_1e-5"] += int((fits[0] - least > GLOBAL_GAP).sum())
        sums["certified_fits_beaten_by_1e-5"] += int((fits[1] - least > GLOBAL_GAP).sum())
        for name, excess in zip(worst, (bound - least, fits[0] - least, fits[1] - least, least - fits[1]), strict=True):
            worst[name] = max(worst[name], float(excess.max()))
        print(f"\r{model}: {first + len(pixels):,}", *(f"{k} {v:.2g}" for k, v in worst.items()), end="", flush=True)
    print()
    return {**sums, **worst}


def _rmse(search: Exhaustive, result: msfit.FitResult, y: Tensor, w: Tensor, index: np.ndarray) -> np.ndarray:
    """RMSE of the reported maps in double precision, (n,)."""
    f_mel, f_blood, i_d, i_s = (
        torch.from_numpy(np.nan_to_num(getattr(result, name)[index])).double()
        for name in ("f_mel", "f_blood", "i_d", "i_s")
    )
    model = i_d[:, None] * search.skin.reflectance(torch.stack((f_mel, f_blood), 1)) + i_s[:, None]
    return np.asarray(((w * (y - model).square()).sum(1) / w.sum(1)).sqrt())


def main() -> None:
    """Run the parts asked for, print them and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=ROOT / "data_iset" / "scenes", help="folder of the stand-ins")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the real faces")
    parser.add_argument("--pixels", type=int, default=1_000_000, help="random pixels, over both models")
    parser.add_argument("--seed", type=int, default=2019)
    parser.add_argument(
        "--part", nargs="+", choices=("faces", "standins", "search"), default=("faces", "standins", "search")
    )
    chosen = parser.parse_args()
    msfit.fit(random_pixels(MODELS[0], 50, 0), NM, certify=True)  # compiles what is not yet
    path = record.RESULTS / "certificate.json"
    figures: dict[str, Any] = json.loads(path.read_text())["figures"] if path.exists() else {}
    if "faces" in chosen.part:
        figures["faces"] = _rows(
            (name, {"bands": b}, cube) for name, cube in faces(chosen.data) for b in (None, "420:700")
        )
    if "standins" in chosen.part:
        scenes = sorted(chosen.scenes.glob("standin-*.mat"))
        figures["standins"] = _rows((path.stem, {}, msfit.load(path)) for path in scenes)
    if "search" in chosen.part:
        figures["search"] = {
            "seed": chosen.seed,
            **{model: challenge(model, chosen.pixels // len(MODELS), chosen.seed) for model in MODELS},
        }
    record.write("certificate", figures)


def _rows(scenes: Any) -> list[dict[str, Any]]:
    rows = []
    for name, settings, cube in scenes:
        for model in MODELS:
            rows.append({"scene": name, "model": model, **settings, **prove(cube, model=model, **settings)})
            print(*rows[-1].values(), flush=True)
    return rows


if __name__ == "__main__":
    main()
