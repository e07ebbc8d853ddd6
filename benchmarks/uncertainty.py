"""Is the uncertainty right? Spread and coverage of many noisy fits, against the Cramer-Rao bound and profile intervals.

Usage: python -m benchmarks.uncertainty [--draws 20000] [--points 10]

Points lie at least five Cramer-Rao sigmas from every bound; the share of the box of pigments for which that holds is
counted on a grid. At each, spectra with normal noise are fitted: their empirical covariance is compared with the bound,
and intervals of one `std` are checked for holding the truth, with the noise given and with it estimated. Then f_blood
comes near its lower bound, and the same intervals, cut at the bound, are set beside those of the profile likelihood.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch.func import jacfwd

import msfit
from benchmarks import record
from msfit.skin.models import DEFAULT_MODEL, REFERENCE_MODEL, get_model

NM = np.arange(400.0, 701.0, 10.0)
SIGMAS = (0.002, 0.01)
NAMES = ("f_mel", "f_blood", "i_d", "i_s")
TYPICAL = ((1.0, 0.1), (0.8, 0.05), (1.2, 0.2))  # i_d, i_s; the shares of the box are those of the first
MARGIN = 5.0


def upper(model: str) -> np.ndarray:
    """Upper bounds of the four parameters in `wide`; the lower ones are all 0."""
    return np.array([*(parameter.wide[1] for parameter in get_model(model).parameters[:2]), np.inf, np.inf])


def cramer_rao(model: str, points: np.ndarray) -> np.ndarray:
    """Inverse of J' J at points (n, 4): the Cramer-Rao bound for noise of 1, (n, 4, 4)."""
    x = torch.from_numpy(points)
    reflectance, slopes = get_model(model).at(NM).jacobian(x[:, :2])
    columns = [*(x[:, 2:3] * slope for slope in slopes[:2]), reflectance, torch.ones_like(reflectance)]
    jacobian = torch.stack(columns, 2)
    size = jacobian.square().sum(1, keepdim=True).sqrt()
    scaled = jacobian / size
    return (torch.linalg.inv(scaled.mT @ scaled) / (size.mT * size)).numpy()


def second_order(model: str, point: np.ndarray, sigma: float) -> np.ndarray:
    """Bhattacharyya's bound of second order, (4, 4): no estimator without bias has less variance.

    A. Bhattacharyya, Sankhya 8, 1 (1946). The scores' covariances for normal noise, G = J' J / sigma^2 and H_ij the
    second derivatives: (i, j) G_ij; (i, jk) J_i H_jk / sigma^2; (ij, kl) G_ik G_jl + G_il G_jk + H_ij H_kl / sigma^2.
    """
    skin, x = get_model(model).at(NM), torch.from_numpy(point)
    unit = torch.from_numpy(sigma * np.sqrt(np.diag(cramer_rao(model, point[None])[0])))

    def reflected(step: torch.Tensor) -> torch.Tensor:
        at = x + step * unit
        return at[2] * skin.reflectance(at[:2]) + at[3]

    zero = torch.zeros(4, dtype=torch.float64)
    first = jacfwd(reflected)(zero) / sigma
    second = jacfwd(jacfwd(reflected))(zero) / sigma
    rows, columns = np.triu_indices(4)
    bends = second[:, rows, columns]
    g = first.T @ first
    products = g[np.ix_(rows, rows)] * g[np.ix_(columns, columns)] + g[np.ix_(rows, columns)] * g[np.ix_(columns, rows)]
    both = torch.cat((torch.cat((g, first.T @ bends), 1), torch.cat((bends.T @ first, products + bends.T @ bends), 1)))
    bound = torch.linalg.inv(both)[:4, :4]
    return (bound * unit[:, None] * unit).numpy()


def margins(model: str, points: np.ndarray, sigma: float) -> np.ndarray:
    """Least distance of points (n, 4) from a bound, in Cramer-Rao sigmas, (n,)."""
    spread = sigma * np.sqrt(np.diagonal(cramer_rao(model, points), axis1=1, axis2=2))
    return (np.minimum(points, upper(model) - points) / spread).min(1)


def share_of_box(model: str, sigma: float, nodes: int = 200) -> tuple[float, np.ndarray]:
    """Share of the box of pigments that is five sigmas from every bound, and the margins on its cells' centres."""
    centres = (np.arange(nodes) + 0.5) / nodes
    f_mel, f_blood = (top * centres for top in upper(model)[:2])
    grid = np.stack(np.meshgrid(f_mel, f_blood, indexing="ij"), -1).reshape(-1, 2)
    margin = margins(model, np.column_stack((grid, np.tile(TYPICAL[0], (len(grid), 1)))), sigma)
    return float((margin >= MARGIN).mean()), margin.reshape(nodes, nodes)


def choose_points(model: str, sigma: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 4) that keep the margin, from the closest to the farthest from a bound that a search finds.

    The last is the one of the search's first hundred whose variances the second-order bound raises most.
    """
    pigments = rng.random((20_000, 2)) * upper(model)[:2]
    points = np.column_stack((pigments, np.array(TYPICAL)[rng.integers(len(TYPICAL), size=len(pigments))]))
    results = margins(model, points, sigma)
    kept = points[results >= MARGIN]
    by_margin = kept[np.argsort(results[results >= MARGIN])]
    chosen = by_margin[np.linspace(0, len(kept) - 1, count - 1).round().astype(int)]
    raised = [
        (np.diag(second_order(model, point, sigma)) / np.diag(cramer_rao(model, point[None])[0])).max()
        for point in kept[:100]
    ]
    return np.vstack((chosen, kept[np.argmax(raised)]))


def noisy_fits(model: str, point: np.ndarray, sigma: float, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Estimates (draw, 4) at a point, and their std with the noise given and estimated."""
    spectrum = point[2] * msfit.reflectance(point[0], point[1], NM, model=model) + point[3]
    spectra = spectrum + sigma * rng.standard_normal((draws, NM.size))
    results = {"spectra": spectra}
    for name, noise in (("given", sigma), ("estimated", None)):
        result = msfit.fit(spectra, NM, model=model, std=True, noise=noise)
        assert result.std is not None
        results[name] = np.column_stack([result.std[parameter] for parameter in NAMES])
    return {**results, "estimates": np.column_stack([getattr(result, parameter) for parameter in NAMES])}


def study_point(model: str, point: np.ndarray, sigma: float, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Spread against the bounds, and coverage, at one point."""
    results = noisy_fits(model, point, sigma, draws, rng)
    estimates = results["estimates"]
    bound = sigma**2 * cramer_rao(model, point[None])[0]
    covariance = np.cov(estimates.T)
    beyond = second_order(model, point, sigma)
    error = np.abs(estimates - point)
    return {
        "model": model,
        "sigma": sigma,
        "point": point.round(5).tolist(),
        "margin": round(float(margins(model, point[None], sigma)[0]), 2),
        "variance_over_bound": (np.diag(covariance) / np.diag(bound)).round(4).tolist(),
        "eigenvalues_over_bound": np.sort(np.linalg.eigvals(np.linalg.solve(bound, covariance)).real).round(4).tolist(),
        "second_order_bound_over_bound": np.sort(np.linalg.eigvals(np.linalg.solve(bound, beyond)).real)
        .round(4)
        .tolist(),
        "bias_in_sigmas": ((estimates.mean(0) - point) / np.sqrt(np.diag(bound))).round(3).tolist(),
        "coverage_noise_given": (error <= results["given"]).mean(0).round(4).tolist(),
        "coverage_noise_estimated": (error <= results["estimated"]).mean(0).round(4).tolist(),
    }


def summary(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all the points: how many keep the bounds, and the extremes."""
    coverage = np.array([row["coverage_noise_given"] + row["coverage_noise_estimated"] for row in points])
    results: dict[str, Any] = {"points": len(points), "coverage": [float(coverage.min()), float(coverage.max())]}
    for key in ("variance_over_bound", "eigenvalues_over_bound"):
        largest = np.array([max(row[key]) for row in points])
        results[key] = {"largest": float(largest.max()), "points_within_1.10": int((largest <= 1.10).sum())}
    return results


def profile(model: str, spectra: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Least sum of squares of each spectrum with f_blood held at each node, (draw, node)."""
    profiles = [msfit.fit(spectra, NM, model=model, bounds={"f_blood": (node, node)}) for node in nodes]
    return np.column_stack([NM.size * result.rmse**2 for result in profiles])


def ends(nodes: np.ndarray, curve: np.ndarray, least: float, best: float, rise: float) -> tuple[float, float]:
    """Where a profile with its least value at `best` has risen by `rise` on either side, the nodes' ends at most."""
    sides = []
    for side in (nodes < best, nodes > best):
        x = np.concatenate(([best], nodes[side][:: -1 if nodes[side].size and nodes[side][0] < best else 1]))
        y = np.concatenate(([0.0], np.maximum.accumulate(curve[side][:: -1 if x[-1] < best else 1] - least)))
        # its root is nearly straight
        sides.append(float(np.interp(np.sqrt(rise), np.sqrt(np.maximum(y, 0)), x)) if x.size > 1 else best)
    return sides[0], sides[1]


def study_bound(model: str, sigma: float, distance: float, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Coverage and length of intervals of f_blood whose true value is some sigmas from its lower bound."""
    point = np.array([0.08, 0.0, 1.0, 0.1])
    for _ in range(20):  # the sigma is that at the point itself
        spread = sigma * float(np.sqrt(cramer_rao(model, np.maximum(point, 1e-9)[None])[0, 1, 1]))
        point[1] = distance * spread
    results = noisy_fits(model, point, sigma, draws, rng)
    f_blood, std = results["estimates"][:, 1], results["given"][:, 1]
    top = upper(model)[1]
    nodes = np.unique(np.concatenate(([0.0], np.linspace(0, min(point[1] + 6 * spread, top), 41))))
    curves = profile(model, results["spectra"], nodes)
    least = NM.size * msfit.fit(results["spectra"], NM, model=model).rmse ** 2
    intervals = np.array([ends(nodes, *row, sigma**2) for row in zip(curves, least, f_blood, strict=True)])
    own = np.column_stack((np.maximum(f_blood - std, 0), np.minimum(f_blood + std, top)))
    covers = {
        name: float(((low <= point[1]) & (point[1] <= high)).mean())
        for name, (low, high) in (("std", own.T), ("profile", intervals.T))
    }
    others = np.abs(results["estimates"] - point) <= results["given"]
    return {
        "model": model,
        "sigma": sigma,
        "distance_in_sigmas": distance,
        "f_blood": round(float(point[1]), 6),
        "cramer_rao_sigma": round(spread, 6),
        "share_on_bound": round(float((f_blood <= 0).mean()), 4),
        "coverage_std": round(covers["std"], 4),
        "coverage_profile": round(covers["profile"], 4),
        "median_length_std": round(float(np.median(np.diff(own))) / spread, 3),
        "median_length_profile": round(float(np.median(np.diff(intervals))) / spread, 3),
        "median_std_on_bound": round(float(np.median(std[f_blood <= 0])) / spread, 3) if (f_blood <= 0).any() else None,
        "coverage_others": {name: round(float(others[:, k].mean()), 4) for k, name in enumerate(NAMES) if k != 1},
    }


def main() -> None:
    """Run the study, print it, write results/uncertainty.json: `python -m benchmarks.uncertainty_figure` draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000, help="noisy spectra a point")
    parser.add_argument("--points", type=int, default=10, help="points for each model and noise")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1902)
    figures: dict[str, Any] = {"draws": arguments.draws, "typical_shadings": TYPICAL, "shares": [], "points": []}
    for model in (DEFAULT_MODEL, REFERENCE_MODEL):
        for sigma in SIGMAS:
            share = round(share_of_box(model, sigma)[0], 4)
            figures["shares"].append({"model": model, "sigma": sigma, "share_of_box": share})
            print(model, sigma, f"{100 * share:.1f} % of the box is five sigmas from every bound", flush=True)
            for point in choose_points(model, sigma, arguments.points, rng):
                figures["points"].append(study_point(model, point, sigma, arguments.draws, rng))
                print(*figures["points"][-1].values(), sep="  ", flush=True)
    figures["summary"] = summary(figures["points"])
    print(figures["summary"], flush=True)
    few = max(200, arguments.draws // 10)
    figures["near_bound_draws"] = few
    figures["near_bound"] = [
        study_bound(DEFAULT_MODEL, 0.01, distance, few, rng) for distance in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
    ]
    for row in figures["near_bound"]:
        print(*row.values(), sep="  ", flush=True)
    record.write("uncertainty", figures)


if __name__ == "__main__":
    main()
