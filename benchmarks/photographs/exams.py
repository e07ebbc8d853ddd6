"""Figures of faces with truth: by class of skin tone, in detail, and what a method says of its own errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage, stats

from benchmarks.photographs.folder import TONES, display
from benchmarks.photographs.methods import Maps, Method, pixel_angle
from biofacenet.exam import Face
from msfit.errors import InputError
from msfit.metrics import COLUMNS, Decomposition, decomposition_rmse

_DRAWS = 2000
# Finer than this share of a face's width is detail: spots, freckles, pores, wrinkles.
_DETAIL = 0.02
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def of_exam(faces: Sequence[Face], method: Method) -> tuple[dict[str, Any], list[Maps | None]]:
    """Figures of a method on faces seen whole, as photographs of 8 bits."""
    found: list[Maps | None] = []
    for face in faces:
        try:
            found.append(method(display(face.picture), "whole"))
        except InputError:
            found.append(None)
    pairs = [(face, maps) for face, maps in zip(faces, found, strict=True) if maps is not None]
    said = np.array([_mean(maps.f_mel, _compared(face, maps)) for face, maps in pairs])
    true = np.array([_mean(_truth(face).f_mel, _compared(face, maps)) for face, maps in pairs])
    tones = [str(face.attrs["ita_class"]) for face, _ in pairs]
    classes = {
        tone: _class([pair for pair, own in zip(pairs, tones, strict=True) if own == tone])
        for tone in TONES
        if tone in tones
    }
    errors = [one["RMSE"] for one in classes.values()]
    angles = [pixel_angle(display(face.picture), face.mask) for face, _ in pairs]
    order = [TONES.index(tone) for tone in tones]
    figures = {
        "faces": len(pairs),
        "refused": len(faces) - len(pairs),
        "region, IoU with truth": float(np.mean([_overlap(face.mask, maps.fitted) for face, maps in pairs])),
        "f_mel by tone": classes,
        "worst RMSE over mean": float(max(errors) / np.mean(errors)),
        "spread of f_mel between faces": {"said": float(said.std()), "true": float(true.std())},
        "rank of f_mel with truth": float(stats.spearmanr(said, true).statistic),
        "rank with tone": float(stats.spearmanr(order, said).statistic),
        "rank of pixels with tone": float(stats.spearmanr(order, [-angle for angle in angles]).statistic),
        "Table 1, scaled shading": _columns(pairs, "scene"),
        "Table 1, shading as it is": _columns(pairs, "none"),
        "detail": _detail(pairs),
        "seconds": float(np.median([maps.seconds for _, maps in pairs])),
    }
    if pairs and pairs[0][1].std:
        figures["within one std"] = {name: _coverage(pairs, name) for name in pairs[0][1].std}
    return figures, found


def _class(pairs: Sequence[tuple[Face, Maps]]) -> dict[str, Any]:
    """Mean f_mel said over truth, its 95 % interval over faces, and the RMSE over pixels."""
    said, true, squares, pixels = [], [], 0.0, 0
    for face, maps in pairs:
        mask = _compared(face, maps)
        difference = maps.f_mel[mask] - _truth(face).f_mel[mask]
        said.append(float(maps.f_mel[mask].mean()))
        true.append(float(_truth(face).f_mel[mask].mean()))
        squares, pixels = squares + float((difference**2).sum()), pixels + int(mask.sum())
    a, b = np.array(said), np.array(true)
    picks = np.random.default_rng(0).integers(0, len(a), (_DRAWS, len(a)))
    low, high = np.quantile(a[picks].sum(1) / b[picks].sum(1) - 1, [0.025, 0.975])
    return {
        "faces": len(a),
        "said": float(a.mean()),
        "true": float(b.mean()),
        "bias": float(a.sum() / b.sum() - 1),
        "low": float(low),
        "high": float(high),
        "RMSE": (squares / pixels) ** 0.5,
    }


def _columns(pairs: Sequence[tuple[Face, Maps]], scale: str) -> dict[str, float]:
    squares, pixels = dict.fromkeys(COLUMNS, 0.0), 0
    for face, maps in pairs:
        mask = _compared(face, maps)
        own = Decomposition(maps.i_d, maps.i_s, maps.albedo, maps.f_mel, maps.f_blood, maps.reconstruction)
        own = own.each(lambda values: np.nan_to_num(values))
        for name, value in decomposition_rmse(own, _truth(face), mask, shading_scale=scale).items():
            squares[name] += float(value or 0) ** 2 * int(mask.sum())
        pixels += int(mask.sum())
    return {name: (value / pixels) ** 0.5 for name, value in squares.items()}


def _detail(pairs: Sequence[tuple[Face, Maps]]) -> dict[str, float]:
    """How much of what is finer than a fiftieth of the face's width goes where it belongs, by regression on truth.

    melanin: of f_mel's (1 is all). blood: of f_blood's. into i_d: of the albedo's that the logarithm of i_d takes for
    light (0 is none). correlation: of f_mel's detail with truth.
    """
    sums: dict[str, list[float]] = {"melanin": [], "blood": [], "into i_d": [], "correlation": []}
    for face, maps in pairs:
        mask, truth = _compared(face, maps), _truth(face)
        sigma = _DETAIL * float(np.flatnonzero(mask.any(0)).size)
        inner = ndimage.binary_erosion(mask, iterations=3)

        def fine(values: Any, mask: np.ndarray = mask, sigma: float = sigma, inner: np.ndarray = inner) -> np.ndarray:
            weight = ndimage.gaussian_filter(mask.astype(float), sigma)
            smooth = ndimage.gaussian_filter(np.where(mask, values, 0), sigma) / np.maximum(weight, 1e-6)
            return np.asarray((values - smooth)[inner])

        for name, values, exact in (("melanin", maps.f_mel, truth.f_mel), ("blood", maps.f_blood, truth.f_blood)):
            true = fine(exact)
            sums[name].append(float(fine(values) @ true / (true @ true)))
        true = fine(truth.f_mel)
        sums["correlation"].append(float(np.corrcoef(fine(maps.f_mel), true)[0, 1]))
        albedo = fine(np.log(np.maximum(np.nan_to_num(truth.albedo) @ _LUMINANCE, 1e-4)))
        light = np.log(np.maximum(maps.i_d, 1e-4)) - np.log(np.maximum(truth.i_d, 1e-4))
        sums["into i_d"].append(float(fine(light) @ albedo / (albedo @ albedo)))
    return {name: float(np.median(values)) for name, values in sums.items()}


def _coverage(pairs: Sequence[tuple[Face, Maps]], name: str) -> float:
    within = total = 0
    for face, maps in pairs:
        mask = _compared(face, maps)
        off = np.abs(getattr(maps, name)[mask] - getattr(_truth(face), name)[mask])
        within, total = within + int((off <= maps.std[name][mask]).sum()), total + int(mask.sum())
    return within / total


def _compared(face: Face, maps: Maps) -> np.ndarray:
    return np.asarray(face.mask & maps.fitted)


def _truth(face: Face) -> Any:
    return face.truth["model"]


def _mean(values: Any, mask: np.ndarray) -> float:
    return float(np.mean(values[mask]))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())
