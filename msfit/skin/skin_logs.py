"""What skin is, whatever a model says: the logarithm of facial reflectance along skin tone, from measured persons."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np


class SkinLogs(NamedTuple):
    """Persons of the archive's training split; each is the mean of ln R over their facial spectra."""

    wavelengths: np.ndarray
    """[nm] (band,), 400 to 700."""
    angles: np.ndarray
    """Individual typology angle [degrees] (tone,), from the lightest skin to the darkest."""
    means: np.ndarray
    """(tone, band)."""
    covariances: np.ndarray
    """(tone, band, band), about each mean."""


@cache
def skin_logs() -> SkinLogs:
    """The table that ``scripts/build_skin_logs.py`` writes."""
    text = resources.files("msfit.skin").joinpath("data", "skin_logs.csv").read_text(encoding="ascii")
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
    nm = np.array(rows[0][3:], np.float64)
    block = nm.size + 1
    values = np.array([row[3:] for row in rows[1:]], np.float64).reshape(-1, block, nm.size)
    angles = np.array([row[0] for row in rows[1::block]], np.float64)
    return SkinLogs(nm, angles, values[:, 0], values[:, 1:])
