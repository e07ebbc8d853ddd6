"""How close each model comes to measured skin of people on whom nothing was calibrated."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from msfit.errors import InputError

TABLE = "held_out.csv"


@dataclass(frozen=True)
class HeldOut:
    """Figures of a model on the 1,551 facial spectra of the archive's 428 test persons, 400-700 nm, bounds `wide`."""

    rmse_median: float
    rmse_p95: float
    i_s_median: float

    def __str__(self) -> str:
        return f"RMSE median {self.rmse_median:.4f}, 95 % {self.rmse_p95:.4f}; i_s median {self.i_s_median:.3f}"


@cache
def held_out_figures() -> dict[str, HeldOut]:
    """{model: figures}, from the table that `python -m benchmarks.skin_models` writes."""
    try:
        text = resources.files("msfit.skin").joinpath("data", TABLE).read_text(encoding="ascii")
        rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
        return {row.pop("model"): HeldOut(**{name: float(value) for name, value in row.items()}) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{TABLE}: cannot be read ({error!r}); install msfit anew") from None
