"""What is written beside weights: with which truth, data, code and effort they were made."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import msfit
from biofacenet.networks.weights import HEADS
from biofacenet.training.checkpoint import Progress
from biofacenet.training.config import Config


def provenance(
    config: Config, at: Progress, figures: Mapping[str, float], start: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Skin model, bounds, split, seeds, settings, commit and time of a run that stands at `at`.

    Of weights that it began from, `start` tells the same.
    """
    settings = config.to_dict()
    # names, not places of the machine that it was made on
    settings["training"]["start"] = Path(config.training.start).name
    settings["data"]["photos"] = Path(config.data.photos).name
    made = {
        "skin_model": config.data.model,
        **HEADS,
        "split": "train",
        "data_seed": config.data.seed,
        "settings": settings,
        "steps": at.step,
        "pictures": at.step * config.training.batch,
        "seconds": round(at.seconds, 1),
        "validation": {name: round(value, 5) for name, value in figures.items()},
        "commit": commit(),
        "versions": {"msfit": msfit.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    return made if start is None else {**made, "start": dict(start)}


@functools.cache
def commit() -> str:
    """The commit of the code, asked for once: a long run is that of the code it began with."""
    process = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout.strip() or "unknown"
