"""Which light makes skin of what a camera saw: the posterior of lights that are known, and of smooth deviations.

The mean over a picture of ln y, of each pixel up to a level, is z = ln w + x + d + g q + c 1: w the light in each band
(in channels: what a white surface would give), x the logarithm of the person's reflectance, d a smooth deviation of the
lamp from its table, g q the gloss that this skin has more or less than the archive's (q = 1/r, since ln(r + g) = ln r +
g/r for small g), c the level. For a light out of the list and a tone of skin all of these are Gaussian, so that the
evidence for both and the deviation follow in closed form; the posterior is a mixture over all pairs (the hierarchy of
D. H. Brainard, W. T. Freeman, "Bayesian color constancy", J. Opt. Soc. Am. A 14, 1393, 1997, with spectra in place of
their linear models).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from msfit.colour.illuminants import DAYLIGHT_RANGE, illuminant
from msfit.data.channels import Channels, fine_grid
from msfit.skin.skin_logs import skin_logs

# Lamps deviate from tables by so much of ln w, smoothly over so many nm.
_DEVIATION, _SMOOTH = 0.01, 60.0
# Standard deviation of the mean gloss beyond that of the archive's spectra, and of ln y in a band: noise, calibration.
_GLOSS, _BAND = 0.02, 0.003
# A level is not known: its standard deviation in ln y is beyond all that can be.
_LEVEL = 5.0
_TEMPERATURES = {"daylight": DAYLIGHT_RANGE, "Planckian": (1800.0, 4500.0)}  # [K]
_STEP = 5.0  # of their grids [mired]
_LAMPS = {
    "A": ("A",),
    "F": tuple(f"F{number}" for number in range(1, 13)),
    "LED": ("LED-B1", "LED-B2", "LED-B3", "LED-B4", "LED-B5", "LED-BH1", "LED-RGB1", "LED-V1", "LED-V2"),
}
# How likely each kind of light is beforehand; within a kind every member is as likely as another. A is a Planckian, of
# 2856 K: as a kind of its own it would draw tungsten of other temperatures to it.
_KINDS = {"daylight": 0.3, "Planckian": 0.28, "A": 0.02, "F": 0.2, "LED": 0.2}
_SECOND_RADIATION = 1.438776877e7  # [nm K], CODATA 2018


class Lights(NamedTuple):
    """Lights out of which one is sought."""

    names: tuple[str, ...]
    powers: np.ndarray
    """(light, nm) on `wavelengths`, of mean 1 on 400-700 nm."""
    prior: np.ndarray
    """Probabilities (light,)."""
    wavelengths: np.ndarray
    """Whole nanometres from 380 to 780, over which lamps are tabulated."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a light: a mixture of Gaussians of ln w, up to a level."""

    names: tuple[str, ...]
    probability: np.ndarray  # (pair,) of light and tone
    light: np.ndarray  # (pair,) index into names
    tone: np.ndarray  # (pair,) index of the tone of skin
    mean: np.ndarray  # (pair, band) of ln w
    covariance: np.ndarray  # (tone, band, band)
    misfit: float  # squared residual of the likeliest pair over its expectation


@cache
def known_lights() -> Lights:
    """Daylights, Planckians, and the CIE's lamps."""
    nm = fine_grid(380.0, 780.0)
    names: list[str] = []
    powers, prior = [], []
    for kind, (coldest, hottest) in _TEMPERATURES.items():
        grid = 1e6 / np.arange(1e6 / hottest, 1e6 / coldest + 1e-6, _STEP)
        names += [f"{kind} of {kelvin:.0f} K" for kelvin in grid]
        for kelvin in grid:
            planck = 1 / (nm**5 * np.expm1(_SECOND_RADIATION / (nm * kelvin)))
            powers.append(planck if kind == "Planckian" else _daylight(float(kelvin), nm))
            prior.append(_KINDS[kind] / len(grid))
    for kind, members in _LAMPS.items():
        names += members
        powers += [illuminant(name).on(nm) for name in members]
        prior += [_KINDS[kind] / len(members)] * len(members)
    stacked = np.stack(powers)
    inside = (nm >= 400) & (nm <= 700)
    return Lights(tuple(names), stacked / stacked[:, inside].mean(1, keepdims=True), np.array(prior), nm)


def _daylight(kelvin: float, nm: np.ndarray) -> np.ndarray:
    import torch

    from msfit.colour.illuminants import daylight

    return np.asarray(daylight(torch.tensor(kelvin, dtype=torch.float64), nm))


def posterior(logs: np.ndarray, bands: np.ndarray | Channels, unit: str = "energy", widened: float = 1.0) -> Posterior:
    """What light it was.

    Parameters
    ----------
    logs : float64 array (band,)
        Mean of ln y over pixels of skin, up to a level.
    bands : array (band,) or Channels
        Band centres inside 400-700 nm, or responses.
    unit : {"energy", "photons"}
        What was recorded.
    widened : float
        What skin, its gloss and the values' own errors are taken to vary more than they do, in variance.
    """
    lights, skin = known_lights(), skin_logs()
    nm = fine_grid(400.0, 700.0)
    means = np.stack([np.interp(nm, skin.wavelengths, row) for row in skin.means])
    powers = lights.powers[:, (lights.wavelengths >= nm[0]) & (lights.wavelengths <= nm[-1])]
    if unit == "photons":
        powers = powers * nm / nm.mean()
    seen, slopes, whites = _through(bands, nm, powers, np.exp(means))
    spread = np.array([np.interp(nm, skin.wavelengths, row) for row in np.eye(len(skin.wavelengths))])
    size = len(logs)
    centres = bands.centres if isinstance(bands, Channels) else np.asarray(bands, np.float64)
    deviation = _DEVIATION**2 * np.exp(-0.5 * ((centres[:, None] - centres) / _SMOOTH) ** 2)
    weights, tones, centre, covariances, misfits = [], [], [], [], []
    for tone, covariance in enumerate(skin.covariances):
        turn = slopes[tone] @ spread.T  # (band, node): of ln y with ln R at the table's wavelengths
        gloss = _GLOSS * np.exp(-seen[tone].mean(0))
        total = turn @ covariance @ turn.T + np.outer(gloss, gloss) + _BAND**2 * np.eye(size)
        total = widened * total + deviation + _LEVEL**2
        residual = logs - whites - seen[tone]  # (light, band)
        solved = np.linalg.solve(total, residual.T).T
        squares = (residual * solved).sum(1)
        weights.append(np.log(lights.prior / len(skin.angles)) - 0.5 * (squares + np.linalg.slogdet(total)[1]))
        tones.append(np.full(len(lights.names), tone))
        centre.append(whites + solved @ deviation)
        covariances.append(deviation - deviation @ np.linalg.solve(total, deviation))
        misfits.append(squares / (size - 1))
    logits = np.concatenate(weights)
    share = np.exp(logits - logits.max())
    light = np.tile(np.arange(len(lights.names)), len(skin.angles))
    return Posterior(
        lights.names,
        share / share.sum(),
        light,
        np.concatenate(tones),
        np.concatenate(centre),
        np.stack(covariances),
        float(np.concatenate(misfits)[logits.argmax()]),
    )


def _through(
    bands: Any, nm: np.ndarray, powers: np.ndarray, reflectance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ln R in the bands (tone, light, band), its slopes (tone, band, nm) with ln R(nm), and ln w (light, band)."""
    if not isinstance(bands, Channels):
        needle = np.stack([np.interp(bands, nm, row) for row in np.eye(nm.size)]).T
        flat = np.log(reflectance) @ needle.T
        seen = np.broadcast_to(flat[:, None], (len(flat), len(powers), len(bands)))
        return seen, np.broadcast_to(needle, (len(flat), *needle.shape)), np.log(powers @ needle.T)
    weights = bands.on(nm)
    white = powers @ weights.T
    seen = np.log(np.einsum("ln,tn,cn->tlc", powers, reflectance, weights) / white)
    plain = weights[None] * reflectance[:, None]
    return seen, plain / plain.sum(-1, keepdims=True), np.log(white)
