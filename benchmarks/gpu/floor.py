"""What a pixel costs at least: bytes that have to move, operations that have to be done, and cards that do them."""

from __future__ import annotations

from msfit.solve.kernels.numba_search import RANK

#: Bytes a second of memory and float32 operations a second, by NVIDIA's data sheets (SXM).
CARDS = {"H100": (3.35e12, 67e12), "H200": (4.8e12, 67e12)}
_NODES, _COORDINATES, _TERMS = 169, 16, 21
_RESULTS = 7
# Of one node: its share of the square from its products with the pixel, and the comparison with its neighbours.
_OF_NODE = 8
# A Newton step on two polynomials of 21 terms with their derivatives (see `triton_search.refine`).
_STEP, _STEPS = 250, 3
# Of the exact model at one band with two derivatives: two exponentials, a root, four divisions, some fifty others.
_MODEL = 100


def count(bands: int, evaluations: int = 2) -> dict[str, float]:
    """Bytes and operations of a pixel, by stage.

    Parameters
    ----------
    bands : int
    evaluations : int
        Of the exact model: one to begin with, one of the step that ends the descent.
    """
    stages = {
        "coordinates": 2 * _COORDINATES * bands,
        "search": _NODES * (2 * RANK + _OF_NODE),
        "polynomials": 2 * (_COORDINATES - 1) * _TERMS + _STEPS * _STEP,
        "evaluations": evaluations * _MODEL * bands,
    }
    return {"bytes": 4.0 * (bands + _RESULTS), "operations": float(sum(stages.values())), **stages}


def pixels_per_second(bands: int) -> dict[str, dict[str, float]]:
    """What memory and arithmetic of each card allow."""
    cost = count(bands)
    return {
        card: {"by_bytes": memory / cost["bytes"], "by_operations": arithmetic / cost["operations"]}
        for card, (memory, arithmetic) in CARDS.items()
    }
