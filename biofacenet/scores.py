"""The six figures of a network on samples with known truth."""

from __future__ import annotations

import torch
from torch import Tensor

from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import BioFaceNet, Prediction
from biofacenet.training.losses import Batch
from msfit.colour.colorimetry import rgb_weights


@torch.no_grad()
def score(network: BioFaceNet, batch: Batch, decoder: Decoder) -> tuple[dict[str, float], Prediction]:
    """RMSE over the faces of all pictures, and the prediction itself.

    "diffuse" and "specular" as they are, "albedo" of the model's reflectance under D65, pigments in the heads' unit,
    "reconstruction" of the decoder's picture; "skin", the measured albedo, of networks that tell scale and offset.

    Parameters
    ----------
    network : BioFaceNet
        Is left in evaluation mode.
    batch : Batch
        With its truth.
    decoder : Decoder
    """
    network.eval()
    prediction = network(batch.picture)
    face = batch.mask[:, 0] > 0

    def rmse(estimate: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        return float((estimate - truth).permute(0, 2, 3, 1)[face].double().square().mean().sqrt())

    assert batch.m_mel is not None
    assert batch.m_blood is not None
    observer = torch.from_numpy(rgb_weights(decoder.wavelengths))[None].to(prediction.m_mel)
    albedo = decoder.colour(prediction.m_mel, prediction.m_blood, observer)
    figures = {
        "diffuse": rmse(prediction.i_d, batch.i_d),
        "specular": rmse(prediction.i_s, batch.i_s),
        "albedo": rmse(albedo, decoder.colour(batch.m_mel, batch.m_blood, observer)),
        "melanin": rmse(prediction.m_mel, batch.m_mel),
        "haemoglobin": rmse(prediction.m_blood, batch.m_blood),
        "reconstruction": rmse(decoder(*prediction[:6]), batch.clean),
    }
    if prediction.scale is not None and prediction.offset is not None:
        figures["skin"] = rmse(prediction.scale * albedo + prediction.offset, batch.albedo)
    return figures, prediction
