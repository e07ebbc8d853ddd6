"""Skin that is exactly a skin model's: pigment maps first, reflectance from them."""

from __future__ import annotations

import functools

import numpy as np

from msfit.fitting.in_memory import fit
from msfit.skin.models import get_model, reflectance
from msfit.synth.people import Subject, subjects
from msfit.synth.spectra import WAVELENGTHS, site_weights

# Where the texture's absorbances are stated [nm]: melanin's and haemoglobin's.
_STATED_AT = np.array([550.0, 560.0])


def model_skin(
    subject: Subject, sites: np.ndarray, melanin: np.ndarray, blood: np.ndarray, hair: np.ndarray, model: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reflectance float32 (n, band) of a skin model, and its f_mel and f_blood, float64 (n,).

    The fractions that fit the subject's measured sites are blended over the face; the texture's absorbances change
    them by the model's own slope of ``-ln r``; hair raises f_mel towards its upper bound. Parameters as of
    `msfit.synth.spectra.measured_skin`.
    """
    base = site_fractions(subject, model)
    weights = site_weights(subject, sites)
    bounds = [parameter.wide for parameter in get_model(model).parameters[:2]]
    mean = weights.mean(axis=0) @ base
    f_mel, f_blood = (weights @ base).T
    slope_mel, slope_blood = _slopes(tuple(mean), model)
    f_mel = np.clip(f_mel + melanin / slope_mel, *bounds[0])
    f_mel = f_mel + 0.85 * hair * (bounds[0][1] - f_mel)
    f_blood = np.clip(f_blood + blood / slope_blood, *bounds[1])
    return reflectance(f_mel, f_blood, WAVELENGTHS, model=model).astype(np.float32), f_mel, f_blood


def site_fractions(subject: Subject, model: str) -> np.ndarray:
    """f_mel and f_blood fitted (bounds `wide`) to each measured site of a subject: float64 (site, 2)."""
    return _fractions(subject.split, model)[subject.person]


@functools.cache
def _fractions(split: str, model: str) -> dict[str, np.ndarray]:
    """The site fractions of everyone in a split, from one fit."""
    people = subjects(split)
    measured = [one.log_reflectance[np.isfinite(one.log_reflectance[:, 0])] for one in people]
    result = fit(np.exp(np.concatenate(measured)), WAVELENGTHS, model=model, bounds="wide", device="cpu")
    fitted = np.stack([result.f_mel, result.f_blood], axis=1)
    shares = np.split(fitted, np.cumsum([len(sites) for sites in measured])[:-1])
    return {one.person: share for one, share in zip(people, shares, strict=True)}


def _slopes(fractions: tuple[float, float], model: str) -> tuple[float, float]:
    """Absorbance at the stated wavelengths per fraction of melanin and of blood, around `fractions`."""
    f_mel, f_blood = fractions
    step_mel, step_blood = 1e-3, 2e-3

    def absorbance(mel: float, blood: float) -> np.ndarray:
        return -np.log(reflectance(mel, blood, _STATED_AT, model=model))

    mel = (absorbance(f_mel + step_mel, f_blood) - absorbance(f_mel, f_blood))[0] / step_mel
    blood = (absorbance(f_mel, f_blood + step_blood) - absorbance(f_mel, f_blood))[1] / step_blood
    return float(mel), float(blood)
