"""What pixels of the training stream look like: the prior of the fit to RGB.

Usage: python -m benchmarks.table1.training      writes training.json beside this file
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msfit.errors import InputError
from msfit.metrics import in_unit
from msfit.skin.models import DEFAULT_MODEL, REFERENCE_MODEL
from msfit.synth import samples

_FILE = Path(__file__).with_name("training.json")
_SAMPLES = 512
#: What answers that rest on the statistics depend on.
STATISTICS_VERSION = hashlib.sha256(_FILE.read_bytes()).hexdigest() if _FILE.is_file() else "absent"
#: The numbers of a pixel, in the order of the statistics: pigments in the unit of the network's heads.
UNKNOWNS = ("m_mel", "m_blood", "i_d", "i_s")


class Statistics(NamedTuple):
    """Of face pixels of training pictures under D65 and the mean camera, in the terms of one skin model.

    mean (4,) and covariance (4, 4) of `UNKNOWNS`.
    """

    mean: np.ndarray
    covariance: np.ndarray


@cache
def statistics(model: str) -> Statistics:
    """The statistics for a skin model, as shipped.

    Raises
    ------
    InputError
        They were not computed for this model.
    """
    stored = json.loads(_FILE.read_text(encoding="ascii"))["models"]
    if model not in stored:
        raise InputError(f"{model}: no statistics of the training stream; expected one of {', '.join(stored)}")
    return Statistics(**{name: np.array(stored[model][name]) for name in Statistics._fields})


def main() -> None:
    """Draw samples and write their statistics."""
    models = {model: _measure(model) for model in (REFERENCE_MODEL, "msfit-issa-2025", DEFAULT_MODEL)}
    content = {"samples": _SAMPLES, "split": "train", "unknowns": UNKNOWNS, "models": models}
    _FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")


def _measure(model: str) -> dict[str, Any]:
    drawn = samples(_SAMPLES, pictures="reference", noise=False, model=model)
    face = drawn["mask"][:, 0].numpy() > 0
    maps = {name: np.moveaxis(values.numpy(), 1, -1)[face] for name, values in drawn.items() if values.ndim == 4}
    f_mel, f_blood, i_d, i_s, scale, offset = (
        maps[name][:, 0].astype(np.float64) for name in ("f_mel", "f_blood", "i_d", "i_s", "scale", "offset")
    )
    unknowns = np.stack(
        [in_unit("f_mel", f_mel, "heads"), in_unit("f_blood", f_blood, "heads"), i_d * scale, i_s + i_d * offset]
    )
    moments = Statistics(unknowns.mean(axis=1), np.cov(unknowns))
    return {name: values.round(6).tolist() for name, values in moments._asdict().items()}


if __name__ == "__main__":
    main()
