"""A picture in tiles is taken apart as in one piece."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.networks.tiles import overview, predict_tiled


def lively(architecture: str) -> BioFaceNet:
    """A small network whose every part has a say, at random."""
    torch.manual_seed(0)
    widths = (4, 6, 8, 8) if architecture == "compact" else (3, 4, 4, 5, 6)
    network = BioFaceNet(NetworkConfig(architecture, widths)).eval()
    for name, values in network.named_parameters():
        if name.endswith("weight") and values.ndim > 1:
            torch.nn.init.normal_(values, std=1.5 / values[0].numel() ** 0.5)
    return network.double()


@pytest.mark.parametrize("architecture", ["compact", "gaussian", "paper"])
@pytest.mark.parametrize(("height", "width"), [(64, 700), (520, 72)])
def test_tiles_equal_the_whole(architecture: str, height: int, width: int) -> None:
    network = lively(architecture)
    picture = torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    picture[..., : width // 2] *= 0.2  # tiles that see different brightness
    with torch.inference_mode():
        whole = network(picture)
    assert float(whole.m_mel.std()) > 0.01
    tiled = predict_tiled(network, picture, tile=128)
    for name, expected in whole._asdict().items():
        if expected is not None:
            torch.testing.assert_close(getattr(tiled, name), expected, rtol=1e-8, atol=1e-9)


def test_a_tile_alone_would_differ() -> None:
    """The overview matters: without it, each tile would judge its light by itself."""
    network = lively("compact")
    picture = torch.rand(1, 3, 64, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    picture[..., :128] *= 0.1
    with torch.inference_mode():
        whole, alone = network(picture), network(picture[..., :128])
    assert float((whole.i_d[..., :16] / alone.i_d[..., :16] - 1).abs().max()) > 1e-3


@pytest.mark.parametrize("architecture", ["compact", "gaussian", "paper"])
def test_whole_pictures_are_judged_at_the_size_of_training(architecture: str) -> None:
    torch.manual_seed(0)
    network = BioFaceNet(NetworkConfig(architecture, (4, 6, 8))).eval()
    small = torch.rand(1, 3, 32, 40)
    large = small.repeat_interleave(4, dim=-2).repeat_interleave(4, dim=-1)
    assert overview(network, small, 32) is None
    seen = overview(network, large, 32)
    assert seen is not None
    found = predict_tiled(network, large, overview=seen)
    assert found.m_mel.shape == (1, 1, 128, 160)
    reduced = F.interpolate(large, (32, 40), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(found.lighting, network(reduced).lighting)
    for tiled, whole in zip(predict_tiled(network, large, tile=48, overview=seen), found, strict=True):
        if whole is not None:
            torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
