"""Skin of all pigments within the bounds, as a table that a browser interpolates: fits and edits need no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from msfit.data.result import FitResult
from msfit.view.packing import Blob, pack

NODES = (96, 48)  # melanin, haemoglobin; even steps of the square root, since little pigment changes colour most
_COMPONENTS = 16  # they are of the table, not of a pixel: eight would lose up to 1e-3
_TRIED = 4000  # pixels that the error is measured on


def skin_table(result: FitResult) -> tuple[dict[str, Any], dict[str, Blob]] | None:
    """The table of a fit of melanin and haemoglobin alone; None with extra parameters.

    Returns
    -------
    dict
        `nodes` (2), the ends of `f_mel` and `f_blood`, `mean` (band) and `basis` (component, band), so that the
        reflectance at a node is mean + values basis, and `error`: RMS difference from the exact fit [1] over pixels.
    dict of Blob
        `table` float32 (f_mel, f_blood, component).
    """
    if result.extra:
        return None
    ends = {name: _ends(result, name) for name in ("f_mel", "f_blood")}
    grids = [
        low + (high - low) * np.linspace(0, 1, count) ** 2
        for (low, high), count in zip(ends.values(), NODES, strict=True)
    ]
    exact = _skin(result, *(axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")))
    mean = exact.mean(axis=0)
    centred = exact - mean
    basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, : min(_COMPONENTS, mean.size)].T
    values = (centred @ basis.T).astype(np.float32)
    described = {
        "nodes": list(NODES),
        **{name: list(pair) for name, pair in ends.items()},
        "mean": mean.tolist(),
        "basis": basis.tolist(),
        "error": _error(result, list(ends.values()), values, mean, basis),
    }
    return described, {"table": pack(values)}


def _ends(result: FitResult, name: str) -> tuple[float, float]:
    """The bounds of a pigment, and what was fitted where a bound is infinite or held."""
    low, high = result.bounds[name]
    values = np.asarray(getattr(result, name))
    known = values[np.isfinite(values)]
    if known.size:
        low, high = min(low, float(known.min())), max(high, float(known.max()))
    return float(low), float(max(high, low + 1e-6))


def _skin(result: FitResult, f_mel: np.ndarray, f_blood: np.ndarray) -> np.ndarray:
    """Reflectance (n, band) of other pigments than a result's, under its model and in its bands or channels."""
    ones = np.ones(f_mel.size)
    other = replace(
        result, f_mel=f_mel, f_blood=f_blood, i_d=ones, i_s=ones, rmse=ones, status=np.zeros(f_mel.size, np.uint16),
        std=None, correlation=None, gap=None, axes=None,
    )  # fmt: skip
    return np.asarray(other.skin(), np.float64)


def _error(result: FitResult, ends: Any, values: np.ndarray, mean: np.ndarray, basis: np.ndarray) -> float:
    maps = [np.asarray(getattr(result, name), np.float64).ravel() for name in ("f_mel", "f_blood", "i_d")]
    lit = np.flatnonzero(np.isfinite(maps[0]) & np.isfinite(maps[1]) & (maps[2] > 0))
    lit = lit[:: max(1, lit.size // _TRIED)]
    if lit.size == 0:
        return 0.0
    f_mel, f_blood, i_d = (values[lit] for values in maps)
    (y, s), (x, t) = (
        _between(pigment, pair, count) for pigment, pair, count in zip((f_mel, f_blood), ends, NODES, strict=True)
    )
    nodes = values.reshape(*NODES, -1)
    s, t = s[:, None], t[:, None]
    mixed = (1 - s) * ((1 - t) * nodes[y, x] + t * nodes[y, x + 1]) + s * (
        (1 - t) * nodes[y + 1, x] + t * nodes[y + 1, x + 1]
    )
    lost = i_d[:, None] * (mean + mixed @ basis - _skin(result, f_mel, f_blood))
    return float(np.sqrt((lost**2).mean()))


def _between(values: np.ndarray, ends: tuple[float, float], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the node below, and how far on to the next; as page.js does it."""
    u = np.sqrt(np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1)) * (count - 1)
    below = np.minimum(u.astype(int), count - 2)
    return below, u - below
