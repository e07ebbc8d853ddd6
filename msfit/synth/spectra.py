"""Reflectance of every pixel: measured skin changed by pigment, the skin model itself, and what is not skin."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch

from msfit.skin.chromophores import extinction
from msfit.synth.people import Subject

#: Bands of the archive's spectra and of all scenes [nm].
WAVELENGTHS = np.arange(400.0, 701.0, 10.0)
_MELANIN_REFERENCE, _BLOOD_REFERENCE = 550.0, 560.0
_OXYGEN_SATURATION = 0.75
_TYPICAL_BLOOD = 0.03


class Absorbers(NamedTuple):
    """Spectra of absorbance per unit of absorbance at the reference wavelength, float64 (band,)."""

    melanin: np.ndarray
    """Of melanin in the epidermis, 1 at 550 nm."""
    blood: np.ndarray
    """Of haemoglobin in the dermis, 1 at 560 nm."""


@functools.cache
def absorbers() -> Absorbers:
    """How the logarithm of measured reflectance moves with a little more melanin or blood.

    Melanin lies over the dermis and is passed twice: Lambert-Beer with ``nm^-3.33`` (S. Jacques, Skin optics, Oregon
    Medical Laser Center, 1998). Blood is mixed into the dermis, where light travels the less far the more is absorbed:
    the extinction of haemoglobin (Prahl; 75 % oxygenated) times the mean path ``d(-ln R)/d mu_a`` of a Kubelka-Munk
    half space with 3 % blood, ``K = 2 mu_a``, ``S = 3/4 mu_s'`` and Jacques' baseline and scattering.
    """

    def at(nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        molar = _OXYGEN_SATURATION * extinction("oxyhaemoglobin", nm) + (1 - _OXYGEN_SATURATION) * extinction(
            "deoxyhaemoglobin", nm
        )
        # 150 g/l of haemoglobin, 64,500 g/mol; cm^-1
        blood = np.log(10) * molar * 150 / 64500
        absorption = _TYPICAL_BLOOD * blood + (1 - _TYPICAL_BLOOD) * (0.244 + 85.3 * np.exp(-(nm - 154) / 66.2))
        scattering = 0.75 * (2e5 * nm**-1.5 + 2e12 * nm**-4)
        ratio = 2 * absorption / scattering
        return nm**-3.33, blood * 2 / scattering / np.sqrt(ratio**2 + 2 * ratio)

    melanin, blood = at(WAVELENGTHS)
    return Absorbers(melanin / at(np.array([_MELANIN_REFERENCE]))[0], blood / at(np.array([_BLOOD_REFERENCE]))[1])


def measured_skin(
    subject: Subject,
    sites: np.ndarray,
    melanin: np.ndarray,
    blood: np.ndarray,
    hair: np.ndarray,
    hair_spectrum: np.ndarray,
) -> np.ndarray:
    """Reflectance float32 (n, band) of a subject's skin.

    ``ln R = sum_s w_s ln R_s - a_mel m(nm) - a_blood b(nm)``: the measured spectra blended over the face, and
    absorbance added by the pigment texture; hair covers a share of it.

    Parameters
    ----------
    subject : Subject
    sites : float array (n, 4)
        Weights of the sites; those of a site that was not measured go to the others.
    melanin, blood : float array (n,)
        Absorbance at 550 and 560 nm.
    hair : float array (n,)
        Share that is covered by hair.
    hair_spectrum : float array (band,)
        Reflectance of the hair.
    """
    terms = np.concatenate([site_weights(subject, sites), -melanin[:, None], -blood[:, None]], axis=1)
    measured = np.isfinite(subject.log_reflectance[:, 0])
    spectra = np.concatenate([subject.log_reflectance[measured], np.stack(absorbers())])
    skin = np.exp(product(terms.astype(np.float32), spectra.astype(np.float32)))
    return skin + hair[:, None].astype(np.float32) * (hair_spectrum - skin)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product by torch, whose threads data loaders hold to one a worker; those of numpy's BLAS they forget."""
    return (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()


def site_weights(subject: Subject, sites: np.ndarray) -> np.ndarray:
    """Weights (n, measured site) of sum 1: those of a site that was not measured go to the others."""
    weights = sites[:, np.isfinite(subject.log_reflectance[:, 0])] + 1e-6
    return weights / weights.sum(axis=1, keepdims=True)


class Palette(NamedTuple):
    """Reflectance spectra of what is not skin, float32 (band,) each."""

    hair: np.ndarray
    brow: np.ndarray
    cloth: np.ndarray
    iris: np.ndarray
    background: np.ndarray


def random_palette(rng: np.random.Generator, ita: float) -> Palette:
    """Colours of hair, clothes, eyes and background; the fairer the skin, the likelier are fair hair and eyes."""
    fair = float(np.clip((ita - 20) / 35, 0, 1))
    shape = (WAVELENGTHS / 550) ** -2.2
    # 0 black, 1 blond; what is not fair is mostly black or dark brown
    blond = fair * rng.beta(1.2, 1.2) + 0.25 * (1 - fair) * rng.beta(1, 3)
    hair = _strands(blond)
    brow = _strands(0.35 * blond)
    if rng.random() < 0.12:
        hair = np.full_like(shape, rng.uniform(0.15, 0.32))
    brown = 0.30 * np.exp(-1.3 * shape)
    blue = 0.06 + 0.16 * np.exp(-0.5 * ((WAVELENGTHS - 455) / 70) ** 2)
    hazel = 0.5 * brown + 0.08 * np.exp(-0.5 * ((WAVELENGTHS - 550) / 60) ** 2)
    iris = (
        brown * float(rng.uniform(0.4, 1.2)) if rng.random() > 0.8 * fair else (blue if rng.random() < 0.6 else hazel)
    )
    return Palette(
        *(np.asarray(spectrum, np.float32) for spectrum in (hair, brow, _paint(rng, 0.75), iris, _paint(rng, 0.3)))
    )


def _strands(blond: float) -> np.ndarray:
    """Reflectance of hair from black (0) to blond (1): melanin that thins out, and a little surface reflection."""
    melanin = 3.6 * (1 - blond) ** 1.3 + 0.55
    return 0.012 + 0.40 * np.exp(-melanin * (WAVELENGTHS / 550) ** -(1.0 + 1.2 * blond))


def sclera() -> np.ndarray:
    """White of the eye: a light, slightly warm grey, float32 (band,)."""
    return (0.52 - 0.10 * np.exp(-(WAVELENGTHS - 400) / 60)).astype(np.float32)


def _paint(rng: np.random.Generator, colourful: float) -> np.ndarray:
    """A smooth spectrum: a grey with an edge and a band."""
    base = np.exp(rng.uniform(np.log(0.05), np.log(0.6)))
    edge = 1 / (1 + np.exp(-(WAVELENGTHS - rng.uniform(450, 640)) / rng.uniform(12, 50) * rng.choice([-1, 1])))
    band = np.exp(-0.5 * ((WAVELENGTHS - rng.uniform(430, 660)) / rng.uniform(25, 80)) ** 2)
    tint = rng.random() * colourful
    return np.clip(base * ((1 - tint) + tint * (1.3 * edge + 0.7 * band)), 0.02, 0.9)


@functools.cache
def functions(count: int = 10) -> np.ndarray:
    """Orthonormal functions, float32 (count, band), that spectra of skin, hair, eyes, cloth and walls are sums of.

    Leading right singular vectors of training persons' sites with melanin and blood moved, and of 400 palettes; ten
    leave 0.002 of a reflectance (RMSE).
    """
    from msfit.synth.people import wearable

    rng = np.random.default_rng(0)
    logs = np.concatenate([one.log_reflectance for one in wearable("train")])
    logs = logs[np.isfinite(logs[:, 0])]
    pigments = rng.uniform([-0.2, -0.1], [0.8, 0.6], (len(logs), 2)) @ -np.stack(absorbers())
    others = np.concatenate([np.stack(random_palette(rng, ita)) for ita in rng.uniform(-60, 60, 400)])
    spectra = np.concatenate([np.exp(logs), np.exp(logs + pigments), others])
    return np.linalg.svd(spectra, full_matrices=False)[2][:count].astype(np.float32)
