"""The network's maps made exact: the three channels of each pixel fitted, with what the network says as a prior.

The network says what is likely (means) and how wrong it is (standard deviations, in bands of spatial frequency); the
solver says what the pixels say, see `msfit.solve.spatial.bands`. How wrong it is was measured on people that it was not
trained on and stands beside its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from biofacenet.networks.decoder import HIGHEST_FRACTIONS, Decoder
from biofacenet.networks.network import Prediction
from msfit.errors import InputError
from msfit.solve.spatial.bands import BandPrior, solve_in_bands

#: Of `refine`: bands of frequency, every pixel alone, the network alone.
REFINEMENTS = (True, "pixels", False)
WAYS = ("bands", "pixels")
_LEAST_SCALE = 0.05
_DARKEST = 1e-4
# Of logarithms of a precision's diagonal.
_LEAST_LOG, _MOST_LOG = -2.0, 7.0
# u of `fractions` is _LOWEST_U + (1 - _LOWEST_U) (m + 1) / 2
_LOWEST_U = 0.01


@dataclass(frozen=True, eq=False)
class NetworkErrors:
    """How wrong a network's maps are on people that it was not trained on.

    Attributes
    ----------
    deviations : float64 array (4,)
        Standard deviations of m_mel, m_blood, ln i_d, and of gloss in units of ``gloss_floor + gloss``; factors on the
        deviations of networks that tell covariances.
    gloss_floor : float
    bands : BandPrior
        Of errors in those units.
    widened : dict of str to float64 array (4,)
        By what the solver's standard deviations of m_mel, m_blood, ln i_d and gloss are multiplied so that 68 % of the
        errors lie within them: "bands", "pixels".
    """

    deviations: np.ndarray
    gloss_floor: float
    bands: BandPrior
    widened: Mapping[str, np.ndarray] = field(default_factory=lambda: {name: np.ones(4) for name in WAYS})

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> NetworkErrors | None:
        """What stands beside a network's weights; None where nothing does."""
        kept = training.get("errors")
        if kept is None:
            return None
        try:
            bands = BandPrior(
                tuple(float(scale) for scale in kept["scales"]), np.array(kept["shares"]), np.array(kept["noise"])
            )
            deviations = np.array(kept["deviations"], np.float64)
            if deviations.shape != (4,) or not (deviations > 0).all() or not np.isfinite(bands.shares).all():
                raise ValueError
            widened = {name: np.array(kept["widened"][name], np.float64).reshape(4) for name in WAYS}
            return cls(deviations, float(kept["gloss_floor"]), bands, widened)
        except (InputError, KeyError, TypeError, ValueError):
            raise InputError(
                "training.errors: not what `python -m benchmarks.network_errors` writes; measure them anew"
            ) from None

    def as_json(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "deviations": self.deviations.tolist(),
            "gloss_floor": self.gloss_floor,
            "scales": list(self.bands.scales),
            "shares": self.bands.shares.tolist(),
            "noise": self.bands.noise.tolist(),
            "widened": {name: factors.tolist() for name, factors in self.widened.items()},
        }

    def roots(self, mean: np.ndarray, prediction: Prediction, misfit: np.ndarray) -> np.ndarray:
        """Of the prior at means (y, x, 4), lower triangular: float32 (y, x, 4, 4)."""
        precision = getattr(prediction, "precision", None)
        if precision is not None:
            return np.asarray(_told(precision, mean, misfit) * self.deviations, np.float32)
        root = np.zeros((*mean.shape, 4), np.float32)
        for k in range(3):
            root[..., k, k] = self.deviations[k]
        root[..., 3, 3] = self.deviations[3] * (self.gloss_floor + mean[..., 3])
        return root


@dataclass(frozen=True, eq=False)
class Refined:
    """Maps (y, x), NaN outside the region, and standard deviations: of f_mel, f_blood, i_d and gloss by name.

    `deviations` (y, x, 4) are those of m_mel, m_blood, ln i_d and gloss.
    """

    m_mel: np.ndarray
    m_blood: np.ndarray
    i_d: np.ndarray
    gloss: np.ndarray
    std: dict[str, np.ndarray]
    deviations: np.ndarray


def unknowns(prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
    """What a network says of a picture as (m_mel, m_blood, ln i_d, gloss), (y, x, 4), and the model's misfit (y, x).

    The misfit is what measured skin reflects beyond the model's, ``offset / scale``, for each unit of i_d; gloss is
    what i_s has beyond it. Zero of networks that do not tell it.
    """
    m_mel, m_blood, i_d, i_s = (values[0, 0].float().cpu().numpy() for values in prediction[:4])
    misfit = misfit_of(prediction)
    gloss = np.maximum(i_s - i_d * misfit, 0)
    return np.stack([m_mel, m_blood, np.log(np.maximum(i_d, _DARKEST)), gloss], -1), misfit


def misfit_of(prediction: Prediction) -> np.ndarray:
    """``offset / scale`` (y, x), as far as i_s has it; zero of networks that do not tell them."""
    if prediction.scale is None or prediction.offset is None:
        return np.zeros(tuple(prediction.i_d.shape[-2:]), np.float32)
    ratio = prediction.offset[0, 0] / prediction.scale[0, 0].clamp(min=_LEAST_SCALE)
    most = prediction.i_s[0, 0] / prediction.i_d[0, 0].clamp(min=_DARKEST)
    return np.asarray(torch.minimum(ratio, most).float().cpu().numpy())


@torch.inference_mode()
def colours(decoder: Decoder, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the skin model over (m_blood, m_mel) and of white, under the light and camera found."""
    weights = decoder.weights(prediction.lighting, prediction.camera)[0]
    if (cast := getattr(prediction, "cast", None)) is not None:
        gains = torch.stack([cast[0, 0], torch.zeros_like(cast[0, 0]), cast[0, 1]]).exp()
        weights = weights * gains.to(weights)
    return (decoder.spectra @ weights.to(decoder.spectra)).float().cpu().numpy(), weights.sum(0).float().cpu().numpy()


def refine(
    decoder: Decoder,
    prediction: Prediction,
    picture: np.ndarray,
    region: np.ndarray,
    errors: NetworkErrors,
    width: float,
    doubted: np.ndarray | None = None,
    *,
    in_bands: bool = True,
) -> Refined:
    """Fit the three channels of the pixels of a region, with what the network says as a prior.

    Parameters
    ----------
    decoder : Decoder
        With a table.
    prediction : Prediction
        Of one picture.
    picture : array (y, x, 3)
        Linear sRGB.
    region : bool array (y, x)
    errors : NetworkErrors
    width : float
        Of the face [pixels].
    doubted : bool array (y, x), optional
        Clipped or in deep shadow.
    in_bands : bool
        Errors are split over bands of frequency; else every pixel stands alone.
    """
    mean, misfit = unknowns(prediction)
    table, white = colours(decoder, prediction)
    prior = errors.bands if in_bands else errors.bands.together()
    solution = solve_in_bands(
        picture,
        region,
        mean,
        errors.roots(mean, prediction, misfit),
        table,
        white,
        misfit,
        prior,
        width,
        doubted=doubted,
    )
    m_mel, m_blood, level, gloss = np.moveaxis(solution.x, -1, 0)
    i_d = np.exp(level)
    deviation = np.moveaxis(solution.std * errors.widened[WAYS[0] if in_bands else WAYS[1]].astype(np.float32), -1, 0)
    std = {
        "f_mel": _slope(m_mel, HIGHEST_FRACTIONS[0]) * deviation[0],
        "f_blood": _slope(m_blood, HIGHEST_FRACTIONS[1]) * deviation[1],
        "i_d": i_d * deviation[2],
        "i_s": deviation[3],
    }
    return Refined(m_mel, m_blood, i_d, gloss, std, np.moveaxis(deviation, 0, -1))


def _told(precision: torch.Tensor, mean: np.ndarray, misfit: np.ndarray) -> np.ndarray:
    """Root (y, x, 4, 4) of the covariance that a network tells of m_mel, m_blood, and i_d and i_s over i_d.

    `precision` (1, 10, y, x) is that of ``L L'``: four logarithms of a diagonal, six entries below it row by row. Gloss
    is ``i_s - i_d misfit``, and the relative error of i_d that of its logarithm.
    """
    told = precision[0].double().cpu().numpy()
    lower = np.zeros((*mean.shape[:2], 4, 4))
    for k in range(4):
        lower[..., k, k] = np.exp(np.clip(told[k], _LEAST_LOG, _MOST_LOG))
    for number, (row, column) in enumerate([(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]):
        lower[..., row, column] = told[4 + number]
    inverse = np.linalg.inv(lower)
    i_d = np.exp(mean[..., 2])
    turn = np.zeros_like(lower)
    turn[..., [0, 1, 2], [0, 1, 2]] = 1
    turn[..., 3, 2], turn[..., 3, 3] = -i_d * misfit, i_d
    half = turn @ np.swapaxes(inverse, -1, -2)
    return np.asarray(np.linalg.cholesky(half @ np.swapaxes(half, -1, -2) + 1e-8 * np.eye(4)))


def _slope(m: np.ndarray, highest: float) -> np.ndarray:
    """Of `biofacenet.networks.decoder.fractions` by m."""
    u = _LOWEST_U + (1 - _LOWEST_U) * (m + 1) / 2
    return np.asarray(highest * 3 * u**2 * (1 - _LOWEST_U) / 2)
