"""The two networks: ranges, sizes, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from biofacenet.networks.network import BioFaceNet, NetworkConfig
from msfit.errors import InputError

CONFIGS = [NetworkConfig("compact", (8, 12, 16)), NetworkConfig("paper", (4, 6, 8))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.architecture)
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (3, 1)])
def test_maps_have_the_pictures_size_and_their_ranges(config: NetworkConfig, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    found = BioFaceNet(config).eval()(3 * torch.rand(2, 3, *size) - 1)
    for name in ("m_mel", "m_blood", "i_d", "i_s"):
        values = getattr(found, name)
        assert values.shape == (2, 1, *size)
        assert torch.isfinite(values).all()
    for m in (found.m_mel, found.m_blood):
        assert ((m >= -1) & (m <= 1)).all()
    assert (found.i_d >= 0).all()
    assert (found.i_s >= 0).all()
    assert found.lighting.shape == (2, 15)
    assert (found.camera.abs() <= 3).all()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.architecture)
def test_a_picture_does_not_depend_on_its_batch(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    network, pictures = BioFaceNet(config).eval(), torch.rand(3, 3, 32, 32)
    together, alone = network(pictures), network(pictures[1:2])
    for many, one in zip(together, alone, strict=True):
        if many is not None:
            torch.testing.assert_close(many[1:2], one)


def test_the_paper_has_five_levels_and_four_decoders() -> None:
    network = BioFaceNet(NetworkConfig("paper"))
    assert network.config.widths == (32, 64, 128, 256, 512)
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    # three a level; five levels down, four up in each of four decoders, and a head each
    assert len(convolutions) == 3 * 5 + 4 * (3 * 4 + 1)
    assert network.body.branch.in_features == 4 * 4 * 512
    assert network.body.branch.out_features == 15 + 2


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 4, 8, 8), (0, 3, 8, 8), (1, 3, 0, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected \\(n, 3, height, width\\)"):
        BioFaceNet(CONFIGS[0])(torch.zeros(shape))


def test_other_configurations_are_refused() -> None:
    with pytest.raises(InputError, match="architecture: found 'big'"):
        NetworkConfig("big")
    with pytest.raises(InputError, match="widths"):
        NetworkConfig("compact", (8, 0))
