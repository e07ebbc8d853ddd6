"""When a descent has converged and how far it may go: one set of numbers for the reference and every kernel."""

from __future__ import annotations

#: Steps of a descent.
MOST_STEPS = 200
#: Converged: the next step's predicted decrease is less than this share of the objective, by type.
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
#: A trust region of less than this share of the box, by type: no shorter step lowers the objective.
SHORTEST = {"float32": 1e-6, "float64": 1e-10}
#: A pivot of a matrix scaled to a unit diagonal below this is rounding: the direction does not show in the data.
SINGULAR = {"float32": 1e-6, "float64": 1e-13}
#: Nodes an axis of the grid on which the search begins, checked against an exhaustive one (benchmarks/oracle.py).
NODES = 13
#: The same where the shadings are bounded or a prior is given: less follows the pigments, and basins are narrower
#: (benchmarks/cameras_checks.py; with 13 nodes 4 of 4,000 pixels were missed, by 4e-5).
FINE_NODES = 25
#: Nodes lie at s(u) = u (u + BEND) / (1 + BEND) of the box, u uniform: reflectance bends most where pigment is little.
BEND = 0.1
#: Local minima of the grid from which descents start, a pixel.
MOST_STARTS = 4
#: Where diffuse light explains nothing, the objective is a plateau up to rounding: a node on it is no local minimum.
PLATEAU = 1 + 1e-6


def name(dtype: object) -> str:
    """The name of a numpy or torch type, by which these numbers are found: "float32" or "float64"."""
    return str(dtype).removeprefix("torch.")
