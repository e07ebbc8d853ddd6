"""From scenes' figures to tables: averages, intervals over distinct scenes, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from msfit.metrics import COLUMNS

_DRAWS = 2000
_SEED = 25


class Row(NamedTuple):
    """A line of a table: the mean, and the ends of its 95 % interval, of each of `COLUMNS`; None where not given."""

    method: str
    data: str
    scenes: int
    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]


def table(graded: Sequence[dict[str, Any]], data: str, chosen: Callable[[dict[str, Any]], bool]) -> list[Row]:
    """A row for every method among the scores that are chosen, in the order of their first appearance.

    Parameters
    ----------
    graded : sequence of dict
        Of `benchmarks.table1.scoring.grade`; scenes of one digest count once.
    data : str
        What the scenes are, for the row.
    chosen : callable
        Score -> bool.
    """
    by_method: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for scene in distinct(graded):
        for score in scene["scores"]:
            if chosen(score):
                by_method.setdefault(score["method"], []).append((scene["pixels"], score))
    return [_row(method, data, scores) for method, scores in by_method.items()]


def distinct(graded: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scenes without those whose radiances equal an earlier one's."""
    return list({scene["digest"]: scene for scene in reversed(list(graded))}.values())[::-1]


def duplicates(graded: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of names of scenes with equal radiances."""
    first = {scene["digest"]: scene["name"] for scene in reversed(graded)}
    return [(first[scene["digest"]], scene["name"]) for scene in graded if first[scene["digest"]] != scene["name"]]


def groups(graded: Sequence[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    """Scenes by one of their properties, in the order of first appearance."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for scene in graded:
        grouped.setdefault(scene[key], []).append(scene)
    return grouped


def _row(method: str, data: str, scores: list[tuple[int, dict[str, Any]]]) -> Row:
    weights = np.array([pixels * score["compared"] for pixels, score in scores])
    values: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float] | None] = {}
    for column in COLUMNS:
        if any(score[column] is None for _, score in scores):
            values[column] = intervals[column] = None
            continue
        squares = np.array([score[column] for _, score in scores]) ** 2
        values[column] = float(np.sqrt(np.average(squares, weights=weights)))
        intervals[column] = _interval(squares, weights) if len(scores) > 1 else None
    return Row(method, data, len(scores), values, intervals)


def _interval(squares: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Bootstrap over scenes: they, not pixels, are independent."""
    draws = np.random.default_rng(_SEED).integers(len(squares), size=(_DRAWS, len(squares)))
    means = np.sqrt((squares * weights)[draws].sum(axis=1) / weights[draws].sum(axis=1))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
