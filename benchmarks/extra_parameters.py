"""What a fifth parameter buys on held-out skin, and whether the fit finds its optimum.

Usage: python -m benchmarks.extra_parameters [--oracle N]

Test persons of the International Skin Spectra Archive, faces, 400-700 nm, wide bounds: RMSE with the four parameters,
with each extra parameter free for every spectrum, and shared by all. The oracle is scipy's least_squares in all
parameters with analytic derivatives, from the best of many random points in each of sixteen groups; with saturation on
N spectra and N random pixels (skin with noise, and ramps that are no skin), with the other sets on a fifth of that.
Writes benchmarks/results/extra_parameters.json.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

import msfit
from benchmarks import record
from benchmarks.calibration import Faces
from msfit.fitting.bounds import resolve_bounds
from msfit.io.datasets.issa import load_faces
from msfit.skin.models import DEFAULT_MODEL, REFERENCE_MODEL, get_model
from msfit.skin.registry import Skin
from msfit.solve.solver import solver_for

PIGMENTS = ("f_mel", "f_blood")
EXTRAS = ("saturation", "scattering", "epidermis")
SETS = (("saturation",), ("scattering",), ("epidermis",), ("saturation", "scattering"), EXTRAS)
_REACHED = 1e-6  # RMSE above the oracle's at which an optimum counts as missed


class Oracle:
    """Least RMSE that scipy finds, of pixels (n, band) under a skin in a box."""

    def __init__(self, skin: Skin, lower: Tensor, upper: Tensor, starts: int = 16, size: int = 1000) -> None:
        self.skin, self.lower, self.upper, self.starts = skin, lower.numpy(), upper.numpy(), starts
        # a sixth of the points lies on each bound; pigments are drawn more densely where there is little
        share = np.clip(1.2 * np.random.default_rng(0).random((starts * size, lower.numel())) - 0.1, 0, 1)
        share[:, :2] **= 2
        self.points = self.lower + (self.upper - self.lower) * share
        self.spectra = self._reflectance(self.points)

    def rmse(self, pixels: np.ndarray) -> np.ndarray:
        """Least RMSE of each pixel, (n,)."""
        return np.array([min(self._descend(y, *start) for start in self._starts(y)) for y in pixels])

    def _reflectance(self, x: np.ndarray) -> np.ndarray:
        return self.skin.reflectance(torch.from_numpy(x)).numpy()

    def _starts(self, y: np.ndarray) -> list[tuple[np.ndarray, float, float]]:
        r, bands = self.spectra, y.size
        mean, square, cross = r.mean(1), (r * r).sum(1), r @ y
        i_d = (cross - bands * mean * y.mean()) / (square - bands * mean**2)
        i_s = y.mean() - i_d * mean
        i_d, i_s = np.where(i_s < 0, cross / square, i_d), np.maximum(i_s, 0)
        i_d, i_s = np.maximum(i_d, 0), np.where(i_d < 0, max(y.mean(), 0), i_s)
        cost = i_d**2 * square + 2 * i_d * i_s * bands * mean + bands * i_s**2 - 2 * (i_d * cross + i_s * y.sum())
        best = cost.reshape(self.starts, -1).argmin(1) + np.arange(self.starts) * (len(r) // self.starts)
        return [(self.points[k], max(i_d[k], 1e-6), max(i_s[k], 1e-6)) for k in best]

    def _descend(self, y: np.ndarray, x: np.ndarray, i_d: float, i_s: float) -> float:
        def residual(p: np.ndarray) -> np.ndarray:
            return np.asarray(p[-2] * self._reflectance(p[:-2]) + p[-1] - y)

        def jacobian(p: np.ndarray) -> np.ndarray:
            r, slopes = self.skin.jacobian(torch.from_numpy(p[:-2]))
            return np.stack([*(p[-2] * slope.numpy() for slope in slopes), r.numpy(), np.ones_like(y)], 1)

        lower, upper = np.append(self.lower, (0, 0)), np.append(self.upper, (np.inf, np.inf))
        tight = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14, "max_nfev": 150}
        start = np.clip([*x, i_d, i_s], lower, upper)
        result = least_squares(residual, start, jacobian, (lower, upper), x_scale="jac", **tight)
        return float(np.sqrt(2 * result.cost / y.size))


def issa_pixels(count: int) -> tuple[Tensor, np.ndarray]:
    """Facial spectra (count, band), evenly spread over the archive, and their wavelengths [nm]."""
    cube = load_faces().cube
    index = np.linspace(0, len(cube.values) - 1, count).astype(int)
    return torch.from_numpy(np.asarray(cube.values, np.float64)[index]), np.asarray(cube.wavelengths, np.float64)


def random_pixels(
    skin: Skin, lower: Tensor, upper: Tensor, wavelengths: np.ndarray, count: int, seed: int = 1
) -> Tensor:
    """Skin (n, band) with noise of 0, 0.002 or 0.02, and one fifth of ramps that are no skin; n is about count."""
    rng = np.random.default_rng(seed)
    x = lower + (upper - lower) * torch.from_numpy(rng.random((count, lower.numel())))
    radiance = rng.uniform(0.05, 1.5, (count, 1)) * skin.reflectance(x).numpy() + rng.uniform(0, 0.5, (count, 1))
    noise = rng.choice([0, 0.002, 0.02], (count, 1)) * rng.standard_normal(radiance.shape)
    ramps = np.abs(rng.uniform(-1, 1, (count, 1)) * (wavelengths - 550) / 300 + rng.uniform(0.1, 1, (count, 1)))
    pixels = torch.from_numpy(np.where(rng.random((count, 1)) < 0.8, radiance + noise, ramps))
    return pixels[pixels.mean(1) > 0]


def held_out(spectra: np.ndarray, wavelengths: np.ndarray, model: str) -> list[dict[str, Any]]:
    """RMSE and parameters of the test persons' spectra with each set of extra parameters, free and shared."""
    rows = []
    for names in ((), *SETS):
        for how in ("free", "shared") if names else ("free",):
            given = {"free": (*PIGMENTS, *names)} if how == "free" else {"shared": names}
            msfit.fit(spectra[:200], wavelengths, model=model, **given)
            began = time.perf_counter()
            result = msfit.fit(spectra, wavelengths, model=model, **given)
            took = time.perf_counter() - began
            row = {
                "extra": list(names),
                "how": how if names else "none",
                "rmse": {"median": _round(np.median(result.rmse)), "p95": _round(np.quantile(result.rmse, 0.95))},
                "i_s_median": _round(np.median(result.i_s)),
                "not_converged": int((result.status == msfit.Status.NOT_CONVERGED).sum()),
                "spectra_a_second": round(len(spectra) / took),
                "values": {name: _distribution(result, name) for name in names},
            }
            rows.append(row)
            print(model, *row.values(), sep="  ", flush=True)
    return rows


def by_group(spectra: np.ndarray, wavelengths: np.ndarray, groups: np.ndarray, sites: np.ndarray) -> dict[str, Any]:
    """Median saturation of groups and sites under the default model, and how it goes with the pigments."""
    result = msfit.fit(spectra, wavelengths, free=(*PIGMENTS, "saturation"), std=True)
    assert result.std is not None
    values = result.extra["saturation"]
    inside = (values > 0) & (values < 1)
    return {
        "group": {str(g): _round(np.median(values[groups == g])) for g in np.unique(groups)},
        "site": {str(s): _round(np.median(values[sites == s])) for s in np.unique(sites)},
        "std_median": _round(np.nanmedian(result.std["saturation"][inside])),
        "correlation_with": {
            name: _round(np.corrcoef(values, getattr(result, name))[0, 1])
            for name in ("f_mel", "f_blood", "i_d", "i_s")
        },
    }


def gaps(model: str, count: int) -> list[dict[str, Any]]:
    """How far the fit ends above the oracle, on measured and on random pixels."""
    rows = []
    for names in SETS:
        number = count if names == ("saturation",) else -(-count // 5)
        measured, wavelengths = issa_pixels(number)
        box = resolve_bounds(get_model(model), "wide", (*PIGMENTS, *names))
        solver = solver_for(get_model(model), box, wavelengths, np.float64)
        oracle = Oracle(solver.skin, solver.lower, solver.upper)
        noisy = random_pixels(solver.skin, solver.lower, solver.upper, wavelengths, number)
        for label, pixels in (("ISSA", measured), ("random", noisy)):
            result = solver(pixels)
            gap = (result.cost / wavelengths.size).sqrt().numpy() - oracle.rmse(pixels.numpy())
            row = {
                "extra": list(names),
                "pixels": label,
                "count": len(pixels),
                "share_reached": float((gap <= _REACHED).mean()),
                "largest_gap": _round(gap.max()),
                "oracle_missed": float((gap < -_REACHED).mean()),
                "not_converged": int((~result.converged).sum()),
            }
            rows.append(row)
            print(model, *row.values(), sep="  ", flush=True)
    return rows


def _distribution(result: msfit.FitResult, name: str) -> dict[str, Any]:
    values = result.extra[name]
    quantiles = [_round(v) for v in np.nanquantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))]
    return {"p05_p25_p50_p75_p95": quantiles, "share_at_a_bound": _round(result.at_bound(name) / values.size)}


def _round(value: Any) -> float:
    return float(f"{float(value):.4g}")


def main() -> None:
    """Run all of it and write it to results/extra_parameters.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", type=int, default=1000, help="spectra and random pixels that scipy fits too")
    chosen = parser.parse_args()
    faces = Faces.load()
    test = faces.of("test")
    spectra, archive = faces.spectra[test].numpy(), faces.archive
    models = (DEFAULT_MODEL, REFERENCE_MODEL)
    figures = {
        "spectra": len(test),
        "persons": len(np.unique(archive.person[test])),
        "held_out": {model: held_out(spectra, faces.wavelengths, model) for model in models},
        "saturation": by_group(spectra, faces.wavelengths, archive.group[test], archive.site[test]),
        "oracle": {model: gaps(model, chosen.oracle) for model in models} if chosen.oracle else {},
    }
    print(record.write("extra_parameters", figures))


if __name__ == "__main__":
    main()
