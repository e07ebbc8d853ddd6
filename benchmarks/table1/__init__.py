"""Table 1 of Alotaibi & Smith, BMVC 2019 (arXiv:1908.10578), recomputed.

Usage: python -m benchmarks.table1 SCENE_OR_DIR... --out DIR

`score` is what it scores with; somebody else's method is scored in the same way, see
`msfit.metrics.decomposition_rmse`, which it is, for an example.
"""

from __future__ import annotations

from msfit.metrics import decomposition_rmse as score

__all__ = ["score"]
