"""Skin of every tone in nearly equal shares, though few of the measured persons are very light or very dark."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from msfit.synth.people import ITA_CLASSES, Subject, typology_angle, wearable
from msfit.synth.spectra import WAVELENGTHS, absorbers

#: Range of the angles that `drawn_subject` asks for [degrees]: some beyond the archive's own, -75 to 61.
WIDEST = (-80.0, 68.0)
# Persons whose own angle is within this of what is asked for are taken as they are; melanin makes up the rest.
_REACH = 8.0
_MOST = 0.6  # absorbance at 550 nm that may be added or taken away


@dataclass(frozen=True)
class Toned:
    """A subject, perhaps with more or less melanin than measured.

    Attributes
    ----------
    subject : Subject
        Its `ita` is that of its spectra.
    melanin : float
        Absorbance at 550 nm that was added to the measured spectra [1].
    extrapolated : bool
        Its tone is beyond that of everyone measured in its split, or was moved by more than 8 degrees: to be reported
        apart.
    """

    subject: Subject
    melanin: float
    extrapolated: bool


def drawn_subject(rng: np.random.Generator, split: str) -> Toned:
    """Someone of a split: a class of tone with equal chance, an angle in it, a person near that angle.

    Where nobody was measured near it, the nearest persons' melanin is moved (Lambert-Beer, `absorbers`).
    """
    edges = [WIDEST[1], *list(ITA_CLASSES.values())[:-1], WIDEST[0]]
    number = int(rng.integers(len(ITA_CLASSES)))
    goal = float(rng.uniform(edges[number + 1], edges[number]))
    people, angles = wearable(split), _angles(split)
    near = np.flatnonzero(np.abs(angles - goal) < _REACH)
    if near.size < 3:
        near = np.argsort(np.abs(angles - goal))[:6]
    subject = people[int(rng.choice(near))]
    return toned(subject, goal, (float(angles.min()), float(angles.max())))


def toned(subject: Subject, ita: float, measured: tuple[float, float]) -> Toned:
    """A subject with as much melanin added or taken away as brings its typology angle to `ita` [degrees].

    `measured`: least and largest angle of those who were measured.
    """
    measured_logs = subject.log_reflectance[np.isfinite(subject.log_reflectance[:, 0])]
    steps = np.linspace(-_MOST, _MOST, 121)
    # nothing reflects more than it receives: where it would, less melanin is taken away
    steps = steps[steps >= float(((measured_logs + 0.15) / absorbers().melanin).max())]
    moved = np.exp(measured_logs - steps[:, None, None] * absorbers().melanin)
    angles = typology_angle(moved, WAVELENGTHS).mean(axis=1)
    # below L* of some 20 the angle rises again with melanin: of equal fits the one that changes least
    best = int(np.argmin(np.abs(angles - ita) + 2.0 * np.abs(steps)))
    added, angle = float(steps[best]), float(angles[best])
    logs = subject.log_reflectance - added * absorbers().melanin
    beyond = not measured[0] <= angle <= measured[1] or abs(angle - subject.ita) > _REACH
    return Toned(replace(subject, log_reflectance=logs, ita=angle), added, beyond)


@functools.cache
def _angles(split: str) -> np.ndarray:
    return np.array([one.ita for one in wearable(split)])
