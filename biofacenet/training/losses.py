"""What training minimises: named terms, each logged, whose sum is the loss.

`paper` holds the published loss as the released code computes it; `supervised` ours, for samples with known truth;
`self_supervised` ours for photographs, of which only the appearance is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from biofacenet.networks.decoder import Decoder
from biofacenet.networks.gaussian import whitened
from biofacenet.networks.network import Prediction
from biofacenet.training.processes import averaged
from msfit.colour.colorimetry import rgb_weights
from msfit.colour.pipelines import light_colour
from msfit.errors import InputError

Terms = dict[str, Tensor]


@dataclass
class Batch:
    """Pictures and what is known of them; maps (n, channel, y, x), truth in the skin model's terms.

    Attributes
    ----------
    picture : tensor (n, 3, y, x)
        What the network sees: linear RGB in 0..1.
    clean : tensor (n, 3, y, x)
        The same before it was made worse: what the decoder has to return.
    mask : tensor (n, 1, y, x)
        1 on the face, else 0.
    m_mel, m_blood, i_d, i_s, scale, offset : tensor (n, 1, y, x), optional
        As of `biofacenet.networks.network.Prediction`. Any value outside the mask.
    albedo : tensor (n, 3, y, x), optional
        Measured diffuse reflectance under D65 to the CIE 1931 observer, linear sRGB.
    lighting, camera : tensor (n, 15), (n, 2), optional
        Parameters of the light and camera that the picture was made with.
    gloss : tensor (n, 1, y, x), optional
        What of `i_s` is reflected by the surface; the rest is the skin model's misfit.
    cast : tensor (n, 2), optional
        Natural logarithm of the gains of red and blue over green that the camera left on the face.
    """

    picture: Tensor
    clean: Tensor
    mask: Tensor
    m_mel: Tensor | None = None
    m_blood: Tensor | None = None
    i_d: Tensor | None = None
    i_s: Tensor | None = None
    scale: Tensor | None = None
    offset: Tensor | None = None
    albedo: Tensor | None = None
    lighting: Tensor | None = None
    camera: Tensor | None = None
    gloss: Tensor | None = None
    cast: Tensor | None = None

    def each(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to each of its tensors."""
        mapped = {name: function(value) for name, value in vars(self).items() if value is not None}
        return replace(self, **mapped)


# Mean squared error that each map's mean leaves on training samples: terms of this size are 1 where nothing is learnt.
_SPREAD = {
    "melanin": 0.086,
    "haemoglobin": 0.043,
    "diffuse": 0.065,
    "specular": 0.0058,
    "albedo": 0.0020,
    "skin": 0.0049,
    "scale": 0.0158,
    "offset": 0.0021,
    "reconstruction": 0.0187,
}
# Squared, of what white balance leaves.
_CAST = 0.006
_TERMS = {*_SPREAD, "diffuse shape", "light", "camera", "appearance", "sparsity", "shading"}
_TERMS |= {"gloss", "level", "cast", "likelihood", "level likelihood", "cast likelihood"}
# The paper's weights, eq 13; side of the pictures that its code divides by; scale of its pictures.
_PAPER = {"appearance": 1e-3, "camera": 1e-4, "sparsity": 1e-5, "shading": 1e-5}
_PAPER_SIDE, _PAPER_WHITE = 224, 255.0


def paper(prediction: Prediction, batch: Batch, decoder: Decoder) -> Terms:
    """The published loss.

    ``1e-3 |mask (I - I')|^2 / 224^2 + 1e-4 |b|^2 + 1e-5 sum i_s c + 1e-5 |mask (s i_d - i_d')|^2``, means over the
    batch of sums over pixels and channels: I 255 times linear RGB (its mean, which the code removes from both,
    cancels), c the light's colour seen by the camera, s the factor that brings the shading closest to its truth.

    Parameters
    ----------
    prediction : Prediction
    batch : Batch
        With `i_d`.
    decoder : Decoder

    Returns
    -------
    dict of tensor ()
        Weighted terms "appearance", "camera", "sparsity", "shading".

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, eq 13, and the
    code released with it, which fixes scale and sums.
    """
    picture = decoder(*prediction[:6])
    colour = light_colour(decoder.light(prediction.lighting), decoder.camera(prediction.camera))
    shading = batch.mask * (_aligned(prediction.i_d, _known(batch.i_d), batch.mask) - _known(batch.i_d))
    terms = {
        "appearance": _sums((_PAPER_WHITE * batch.mask * (picture - batch.clean)) ** 2) / _PAPER_SIDE**2,
        "camera": _sums(prediction.camera**2),
        "sparsity": _sums(prediction.i_s * colour[..., None, None]),
        "shading": _sums(shading**2),
    }
    return {name: _PAPER[name] * term.mean() for name, term in terms.items()}


def supervised(prediction: Prediction, batch: Batch, decoder: Decoder) -> Terms:
    """Squared errors of every map against known truth, each over what a constant would leave.

    Shading counts as it is and, a picture at a time, after the best factor. `albedo` compares the model's reflectance
    under D65, `skin` the measured one, for networks that tell scale and offset; `light` and `camera` hold the decoder's
    numbers to what the picture was made with, and where it does not show, to their mean.

    Parameters and answer as of `paper`; the batch with all that is known of a sample.
    """
    mask, count = batch.mask, averaged(batch.mask.sum()).clamp(min=1)

    def error(estimate: Tensor, truth: Tensor) -> Tensor:
        return (mask * (estimate - truth) ** 2).sum() / (count * estimate.shape[1])

    i_d = _known(batch.i_d)
    observer = _observer(decoder, prediction.m_mel)
    mine = decoder.colour(prediction.m_mel, prediction.m_blood, observer)
    model_albedo = decoder.colour(_known(batch.m_mel), _known(batch.m_blood), observer)
    weights = decoder.weights(prediction.lighting, prediction.camera)
    picture = decoder.picture(*prediction[:4], weights)
    true_weights = decoder.weights(_known(batch.lighting), _known(batch.camera))
    terms = {
        "melanin": error(prediction.m_mel, _known(batch.m_mel)),
        "haemoglobin": error(prediction.m_blood, _known(batch.m_blood)),
        "diffuse": error(prediction.i_d, i_d),
        "specular": error(prediction.i_s, _known(batch.i_s)),
        "albedo": error(mine, model_albedo),
        "reconstruction": error(picture, batch.clean),
    }
    if prediction.scale is not None and prediction.offset is not None:
        terms["scale"] = error(prediction.scale, _known(batch.scale))
        terms["offset"] = error(prediction.offset, _known(batch.offset))
        terms["skin"] = error(prediction.scale * mine + prediction.offset, _known(batch.albedo))
    terms = {name: term / _SPREAD[name] for name, term in terms.items()}
    terms["diffuse shape"] = error(_aligned(prediction.i_d, i_d, mask), i_d) / _SPREAD["diffuse"]
    terms["light"] = ((weights - true_weights) ** 2).sum() / averaged((true_weights**2).sum())
    terms["camera"] = ((prediction.camera - _known(batch.camera)) ** 2).mean()
    return terms


def self_supervised(prediction: Prediction, batch: Batch, decoder: Decoder) -> Terms:
    """What can be asked of photographs: the decoder returns them, under plausible light, camera and highlights.

    `specular` is the excess of i_s over a twentieth of the light, squared: unlike a sum of absolute values it leaves
    weak reflections alone. `light` and `camera` draw to the middle of their models.

    Parameters and answer as of `paper`; of the batch picture, clean and mask are read.
    """
    mask, count = batch.mask, averaged(batch.mask.sum()).clamp(min=1)
    picture = decoder(*prediction[:6])
    level = (mask * (prediction.i_d + prediction.i_s)).sum((1, 2, 3), keepdim=True) / mask.sum(
        (1, 2, 3), keepdim=True
    ).clamp(min=1)
    excess = (prediction.i_s - level / 20).clamp(min=0) * mask
    return {
        "reconstruction": (mask * (picture - batch.clean) ** 2).sum() / (3 * count) / _SPREAD["reconstruction"],
        "specular": (excess**2).sum() / count / _SPREAD["specular"],
        "light": (prediction.lighting**2).mean(),
        "camera": (prediction.camera**2).mean(),
    }


def likelihood(prediction: Prediction, batch: Batch, decoder: Decoder) -> Terms:
    """`supervised`, and the likelihood of what it leaves: means by squared errors, covariances around them.

    The mean of a distribution is what squared errors find; given it, the covariance of greatest likelihood is found
    without bending it (`likelihood`: ``|L^T r|^2 / 2 - log det L`` a pixel, r of m_mel, m_blood, i_d, i_s, the last two
    over the estimate of i_d; `level likelihood`: of the means over each face; `cast likelihood`). `level` is the
    squared error of each face's mean melanin, `gloss` that of i_s less the skin model's misfit ``i_d offset / scale``.

    Parameters and answer as of `supervised`; of the network `gaussian`.
    """
    terms = supervised(prediction, batch, decoder)
    if prediction.precision is None or prediction.cast is None:
        raise InputError('loss.name: "likelihood" needs the architecture "gaussian", which tells covariances')
    assert prediction.scale is not None
    assert prediction.offset is not None
    assert prediction.cast_std is not None
    assert prediction.level_std is not None
    mask, count = batch.mask, averaged(batch.mask.sum()).clamp(min=1)
    sums = batch.mask.sum((1, 2, 3))[:, None].clamp(min=1)
    scale = prediction.scale.clamp(min=0.05)
    gloss = prediction.i_s - prediction.i_d * prediction.offset / scale
    terms["gloss"] = (mask * (gloss - _known(batch.gloss)) ** 2).sum() / count / _SPREAD["specular"]
    unit = prediction.i_d.clamp(min=0.01)
    residual = torch.cat(
        [
            prediction.m_mel - _known(batch.m_mel),
            prediction.m_blood - _known(batch.m_blood),
            (prediction.i_d - _known(batch.i_d)) / unit,
            (prediction.i_s - _known(batch.i_s)) / unit,
        ],
        dim=1,
    )
    means = (mask * residual).sum((2, 3)) / sums
    terms["level"] = (means[:, 0] ** 2).mean() / _SPREAD["melanin"]
    # few pixels in deep shadow would rule both likelihoods: beyond four deviations at the start they count as there
    limit = torch.tensor([0.6, 0.8, 1.0, 0.5]).to(residual)[:, None, None]
    white, log = whitened(prediction.precision, torch.clamp(residual.detach(), -limit, limit))
    terms["likelihood"] = 0.1 * (mask[:, 0] * (0.5 * white.square().sum(1) - log)).sum() / count
    deviation = prediction.level_std
    terms["level likelihood"] = 0.1 * (0.5 * (means.detach() / deviation) ** 2 + deviation.log()).sum(1).mean()
    cast = prediction.cast - _known(batch.cast)
    terms["cast"] = cast.square().mean() / _CAST
    deviation = prediction.cast_std
    terms["cast likelihood"] = 0.1 * (0.5 * (cast.detach() / deviation) ** 2 + deviation.log()).sum(1).mean()
    return terms


LOSSES: Mapping[str, Callable[[Prediction, Batch, Decoder], Terms]] = {
    "likelihood": likelihood,
    "paper": paper,
    "supervised": supervised,
    "self-supervised": self_supervised,
}


def weighted(terms: Terms, weights: Mapping[str, float]) -> Terms:
    """Terms times their weights, 1 for those not named.

    Raises
    ------
    InputError
        A weight of a term that there is not.
    """
    if unknown := sorted(weights.keys() - _TERMS):
        raise InputError(f"loss weights: found {unknown[0]!r}; expected some of {', '.join(sorted(_TERMS))}")
    return {name: weights.get(name, 1.0) * term for name, term in terms.items()}


def _sums(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _aligned(estimate: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """`estimate` times the least-squares factor of each picture that matches it to `truth` on the mask."""
    power = _sums(mask * estimate**2)
    factor = _sums(mask * estimate * truth) / power.clamp(min=torch.finfo(power.dtype).tiny)
    return factor[:, None, None, None] * estimate


def _observer(decoder: Decoder, like: Tensor) -> Tensor:
    return torch.from_numpy(rgb_weights(decoder.wavelengths))[None].to(like)


def _known(value: Tensor | None) -> Tensor:
    if value is None:
        raise InputError("batch: this loss needs truth that the samples do not hold; expected synthetic samples")
    return value
