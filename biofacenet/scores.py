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
    found = network(batch.picture)
    face = batch.mask[:, 0] > 0

    def rmse(mine: Tensor, known: Tensor | None) -> float:
        assert known is not None
        return float((mine - known).permute(0, 2, 3, 1)[face].double().square().mean().sqrt())

    assert batch.m_mel is not None
    assert batch.m_blood is not None
    observer = torch.from_numpy(rgb_weights(decoder.wavelengths))[None].to(found.m_mel)
    albedo = decoder.colour(found.m_mel, found.m_blood, observer)
    figures = {
        "diffuse": rmse(found.i_d, batch.i_d),
        "specular": rmse(found.i_s, batch.i_s),
        "albedo": rmse(albedo, decoder.colour(batch.m_mel, batch.m_blood, observer)),
        "melanin": rmse(found.m_mel, batch.m_mel),
        "haemoglobin": rmse(found.m_blood, batch.m_blood),
        "reconstruction": rmse(decoder(*found[:6]), batch.clean),
    }
    if found.scale is not None and found.offset is not None:
        figures["skin"] = rmse(found.scale * albedo + found.offset, batch.albedo)
    return figures, found
