"""Is the fit the global minimum? Against an independent oracle: a fine grid, then scipy from its ten best nodes.

Usage: python -m benchmarks.oracle [--data DIR] [--share 1.0]

The oracle shares no code with msfit.solve: it has its own model (`ReferenceSkin`), its own formulas on the grid, and
scipy's least_squares in all four parameters. Reports how far msfit.fit ends above it at most, in float64 and float32,
and the share of pixels on which scipy from a single start ends higher than the fit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.optimize import least_squares

import msfit
from benchmarks import record
from benchmarks.reference_skin import ReferenceSkin
from msfit.fitting.bounds import resolve_bounds
from msfit.io.datasets.issa import load_faces
from msfit.skin.models import get_model, model_names

Box = tuple[tuple[float, float], tuple[float, float]]


class Oracle:
    """Least RMSE of pixels (band,) under one model and box."""

    def __init__(self, skin: Callable[[Any, Any], np.ndarray], box: Box, nodes: int = 512, starts: int = 10) -> None:
        self.skin, self.box, self.nodes, self.starts = skin, box, nodes, starts
        self.axes = [np.linspace(low, high, nodes) for low, high in box]
        self.grid = skin(*np.meshgrid(*self.axes, indexing="ij")).reshape(nodes * nodes, -1)  # (node, band)
        self.sums, self.squares = self.grid.sum(1), (self.grid**2).sum(1)

    def rmse(self, pixels: np.ndarray) -> np.ndarray:
        """Least RMSE of each pixel (n, band), (n,)."""
        return np.array([min(self._descend(y, *node)[0] for node in self._best_nodes(y)) for y in pixels])

    def single_start(self, pixels: np.ndarray) -> np.ndarray:
        """RMSE that scipy reaches from the middle of the box alone, (n,)."""
        middle = [(low + high) / 2 for low, high in self.box]
        return np.array([self._descend(y, *middle)[0] for y in pixels])

    def _best_nodes(self, y: np.ndarray) -> np.ndarray:
        ry, total = self.grid @ y, y.sum()
        i_d = (ry - self.sums * total / y.size) / (self.squares - self.sums**2 / y.size)
        i_s = (total - i_d * self.sums) / y.size
        diffuse_only = np.maximum(ry / self.squares, 0)
        i_d, i_s = np.where(i_s < 0, diffuse_only, i_d), np.maximum(i_s, 0)
        i_d, i_s = np.where(i_d < 0, 0, i_d), np.where(i_d < 0, max(total / y.size, 0), i_s)
        cost = y @ y - 2 * (i_d * ry + i_s * total)
        cost += i_d**2 * self.squares + 2 * i_d * i_s * self.sums + y.size * i_s**2
        best = np.argpartition(cost, self.starts)[: self.starts]
        rows, columns = np.unravel_index(best, (self.nodes, self.nodes))
        return np.stack((self.axes[0][rows], self.axes[1][columns]), 1)

    def _descend(self, y: np.ndarray, f_mel: float, f_blood: float) -> tuple[float, np.ndarray]:
        r = self.skin(f_mel, f_blood)
        i_d, i_s = np.maximum(np.linalg.lstsq(np.stack((r, np.ones_like(r)), 1), y, rcond=None)[0], 1e-6)
        lower = np.array([self.box[0][0], self.box[1][0], 0, 0])
        upper = np.array([self.box[0][1], self.box[1][1], np.inf, np.inf])
        start = np.clip([f_mel, f_blood, i_d, i_s], lower, upper)
        solution = least_squares(
            lambda x: x[2] * self.skin(x[0], x[1]) + x[3] - y,
            start,
            bounds=(lower, upper),
            x_scale="jac",
            ftol=1e-14,
            xtol=1e-14,
            gtol=1e-14,
            max_nfev=200,
        )
        return float(np.sqrt(2 * solution.cost / y.size)), solution.x


def measured_pixels(data: Path, share: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reflectance (n, band) and wavelengths: 71 ISET cheeks, 1,000 ISSA spectra, 2,000 pixels of a face; or a share."""
    rng = np.random.default_rng(2019)
    cheeks = loadmat(data / "iset_cheeks.mat")
    nm = cheeks["wavelength"].ravel()
    inside = (nm >= 415) & (nm <= 700)
    faces = load_faces().cube
    scene = msfit.load(data / "iset_face_spatial_illuminant.mat")
    skin = scene.reflectance[60:170, 50:140].reshape(-1, scene.wavelengths.size)
    solution = {
        "ISET cheeks": (cheeks["data"].T[:, inside], nm[inside], 71),
        "ISSA faces": (np.asarray(faces.reflectance), faces.wavelengths, 1000),
        "face pixels": (skin[skin.mean(1) > 0], scene.wavelengths, 2000),
    }
    picked = {}
    for name, (pixels, wavelengths, count) in solution.items():
        count = min(len(pixels), max(1, round(share * count)))
        picked[name] = (rng.permutation(pixels)[:count].astype(np.float64), wavelengths)
    return picked


def reference(model: str, wavelengths: np.ndarray) -> Callable[[Any, Any], np.ndarray]:
    """A model apart from the library's own code where its formulas are published, else the library's reflectance."""
    if model in ReferenceSkin.MODELS:
        return ReferenceSkin(model, wavelengths)
    return lambda f_mel, f_blood: msfit.reflectance(f_mel, f_blood, wavelengths, model=model)


def compare(pixels: np.ndarray, wavelengths: np.ndarray, model: str, bounds: str, nodes: int = 512) -> dict[str, float]:
    """How msfit.fit does against the oracle, of so many nodes an axis, on pixels (n, band) [RMSE in reflectance]."""
    box = tuple(resolve_bounds(get_model(model), bounds).values())
    oracle = Oracle(reference(model, wavelengths), (box[0], box[1]), nodes)
    best, single = oracle.rmse(pixels), oracle.single_start(pixels)
    excess = {}
    for dtype in ("float64", "float32"):
        fitted = msfit.fit(pixels, wavelengths, model=model, bounds=bounds, dtype=dtype)
        # the residual of the reported maps under the reference model, not the fit's own word
        maps = (np.asarray(m, np.float64) for m in (fitted.f_mel, fitted.f_blood, fitted.i_d, fitted.i_s))
        f_mel, f_blood, i_d, i_s = (np.nan_to_num(m) for m in maps)
        residual = i_d[:, None] * oracle.skin(f_mel, f_blood) + i_s[:, None] - pixels
        excess[dtype] = np.sqrt((residual**2).mean(1)) - best
        if dtype == "float64":
            lower = float((single - fitted.rmse > 1e-6).mean())
    return {
        "pixels": len(pixels),
        "median_rmse": float(np.median(best)),
        "worst_above_oracle_float64": float(excess["float64"].max()),
        "worst_above_oracle_float32": float(excess["float32"].max()),
        "share_lower_than_single_start": lower,
    }


def main() -> None:
    """Run the comparison for every model and both named bounds, print it and write it to results/oracle.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the reference data")
    parser.add_argument("--share", type=float, default=1.0, help="share of the pixels to use")
    parser.add_argument("--models", nargs="+", default=model_names(), help="names of skin models")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"share": arguments.share, "rows": []}
    for name, (pixels, wavelengths) in measured_pixels(arguments.data, arguments.share).items():
        for model in arguments.models:
            for bounds in ("wide", "paper"):
                began = time.perf_counter()
                row = {"spectra": name, "model": model, "bounds": bounds, **compare(pixels, wavelengths, model, bounds)}
                figures["rows"].append(row)
                print(*row.values(), f"{time.perf_counter() - began:.0f} s", sep="  ", flush=True)
    name = "oracle" if arguments.models == model_names() else "oracle_" + "_".join(arguments.models)
    record.write(name, figures)


if __name__ == "__main__":
    main()
