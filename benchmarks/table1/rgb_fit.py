"""Least squares straight on the RGB picture: the same image formation as the network's decoder, light and camera known.

A pixel has three numbers for four unknowns, so a prior closes the problem: the Gaussian of the training stream over
both pigments and both shadings. The picture's linear sRGB are sums of the camera's channels with negative weights; the
channels follow by the inverse matrix, and are fitted by `msfit.fit`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

import msfit
from benchmarks.table1.training import statistics
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.data.prior import NUMBERS
from msfit.metrics import Decomposition
from msfit.skin.models import get_model
from msfit.synth.spectra import WAVELENGTHS

# Noise of the picture and error of the decoder [linear RGB].
_SIGMA = 0.01
_SAMPLES = 100_000
_TRUNCATE = 0.15  # a little of the camera's responses lies outside the range of the skin models


def rgb_fit(picture: np.ndarray, model: str) -> Decomposition:
    """Maximum a posteriori decomposition of a linear RGB picture (y, x, 3) under D65 through the mean camera."""
    camera, matrix = _camera(model)
    inverse = np.linalg.inv(matrix)
    noise = _SIGMA * np.linalg.norm(inverse, axis=0)
    bounds = dict(zip(("f_mel", "f_blood"), ((0.0, most) for most in HIGHEST_FRACTIONS), strict=True))
    fit = msfit.fit(
        picture @ inverse, channels=camera, model=model, prior=prior_of_training(model), noise=noise, bounds=bounds,
        truncate=_TRUNCATE,
    )  # fmt: skip
    seen = msfit.reflectance(fit.f_mel, fit.f_blood, None, model=model, channels=camera)
    again = (fit.i_d[..., None] * seen + fit.i_s[..., None]) @ matrix
    albedo = msfit.reflectance(fit.f_mel, fit.f_blood, WAVELENGTHS, model=model) @ rgb_weights(WAVELENGTHS)
    return Decomposition(fit.i_d, fit.i_s, albedo, fit.f_mel, fit.f_blood, again)


@cache
def _camera(model: str) -> tuple[msfit.Channels, np.ndarray]:
    """The camera's channels under D65, and the matrix (channel, RGB) to linear sRGB."""
    mean = mean_camera()
    camera = msfit.Channels(mean.values.T, mean.wavelengths, ("R", "G", "B")).under("D65")
    nm, weights, _ = camera.shares(*get_model(model).wavelength_range)
    return camera, np.linalg.lstsq(weights.T, rgb_weights(nm, "D65", mean), rcond=None)[0]


@cache
def prior_of_training(model: str) -> msfit.SkinPrior:
    """The training stream's Gaussian, whose pigments are in the unit of the network's heads, in fractions."""
    known = statistics(model)
    drawn = np.random.default_rng(0).multivariate_normal(known.mean, known.covariance, _SAMPLES)
    for k, most in enumerate(HIGHEST_FRACTIONS):
        drawn[:, k] = fractions(drawn[:, k].clip(-1, 1), most)
    return msfit.SkinPrior(drawn.mean(0), np.cov(drawn.T), NUMBERS)
