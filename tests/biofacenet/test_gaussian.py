"""The network that says how sure it is, its likelihood, and the portraits that it is trained on."""

import dataclasses

import numpy as np
import pytest
import torch

from biofacenet.data.portraits import Portraits
from biofacenet.data.synthetic import Source
from biofacenet.networks.decoder import Decoder
from biofacenet.networks.gaussian import covariance, lower, whitened
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.networks.scales import predict_at_scales
from biofacenet.training.losses import LOSSES
from biofacenet.training.run import train
from msfit.errors import InputError

MODEL = "msfit-issa-2026"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def portraits(cache):
    return Portraits(Source("validation", 0, 2, MODEL, 32), 4, 8, workers=0)


def test_covariances_are_the_inverse_of_precisions():
    torch.manual_seed(0)
    numbers = torch.randn(2, 10, 3, 3)
    found = covariance(numbers)
    rows = lower(numbers.double())
    matrix = torch.zeros(2, 3, 3, 4, 4, dtype=torch.float64)
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            matrix[..., i, j] = entry
    assert torch.allclose(found @ (matrix @ matrix.mT), torch.eye(4, dtype=torch.float64).expand_as(found), atol=1e-6)
    assert (torch.linalg.eigvalsh(found) > 0).all()
    residual = torch.randn(2, 4, 3, 3)
    white, log = whitened(numbers, residual)
    r = residual.permute(0, 2, 3, 1).double()
    expected = (r[..., None, :] @ torch.linalg.solve(found, r[..., None]))[..., 0, 0]
    assert torch.allclose(white.double().square().sum(1), expected, rtol=1e-4)
    assert torch.allclose(2 * log.double(), -torch.logdet(found), atol=1e-4)


def test_likelihood_finds_the_covariance_of_what_it_sees():
    torch.manual_seed(1)
    mix = torch.tensor([[0.2, 0, 0, 0], [0.1, 0.1, 0, 0], [-0.15, 0, 0.2, 0], [0.0, 0.02, 0.0, 0.05]])
    residual = (torch.randn(4000, 4) @ mix.T).T[None, :, :, None]
    numbers = torch.zeros(1, 10, 1, 1, requires_grad=True)
    descent = torch.optim.LBFGS([numbers], max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        descent.zero_grad()
        white, log = whitened(numbers.expand(-1, -1, 4000, 1), residual)
        value = (0.5 * white.square().sum(1) - log).mean()
        value.backward()
        return value

    descent.step(loss)
    assert torch.allclose(covariance(numbers.detach())[0, 0, 0].float(), torch.cov(residual[0, :, :, 0]), atol=2e-3)


def test_it_begins_from_compact_weights():
    compact, gaussian = BioFaceNet(), BioFaceNet(NetworkConfig("gaussian"))
    gaussian.body.adopt(compact.body)
    ours, theirs = gaussian.state_dict(), compact.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if "widen" not in name)
    with pytest.raises(InputError, match="compact of the same"):
        BioFaceNet(NetworkConfig("gaussian", (8, 16))).body.adopt(compact.body)


def test_maps_hold_no_weave():
    """On noise, energy at the network's own periods is not above that of neighbouring periods."""
    torch.manual_seed(0)
    network = BioFaceNet(NetworkConfig("gaussian", (16, 24, 32, 48)))
    for _ in range(3):
        network.train()(torch.rand(4, 3, 64, 64))
    network.eval()
    with torch.no_grad():
        maps = network(torch.rand(8, 3, 128, 128)).m_mel[:, 0]
    power = torch.fft.rfft2(maps - maps.mean((1, 2), keepdim=True)).abs().square().mean(0)
    line = power[:, 0][1:64]
    for period in (4, 8, 16):
        here = 128 // period - 1
        neighbours = torch.cat([line[max(0, here - 4) : here - 1], line[here + 2 : here + 5]])
        assert line[here] < 3 * neighbours.mean()


def test_two_looks_keep_what_is_told_of_the_whole_picture():
    network = BioFaceNet(NetworkConfig("gaussian", (8, 16))).eval()
    found = predict_at_scales(network, torch.rand(1, 3, 96, 80), 32, 80)
    assert found.precision.shape == (1, 10, 96, 80)
    assert found.cast.shape == found.cast_std.shape == (1, 2)
    assert found.level_std.shape == (1, 4)
    assert (found.level_std > 0).all()


def test_portraits_repeat_and_are_seen_by_other_cameras_each_time(portraits):
    first, again, other = portraits[0], portraits[0], portraits[2]
    assert torch.equal(first.picture, again.picture)
    assert first.picture.shape == (4, 3, 32, 32)
    assert set(portraits.indices(0)) | set(portraits.indices(1)) == set(range(8))
    assert not torch.equal(first.picture, other.picture)
    face = first.mask[:, 0] > 0
    # truth in the model's terms makes the clean picture: albedo under the picture's own lamp aside, level agrees
    assert (first.i_s >= first.gloss - 1e-6).all()
    assert float(first.m_mel[:, 0][face].std()) > 0.05
    ratio = first.picture.mean(1)[face].mean() / first.clean.mean(1)[face].mean()
    assert 0.8 < float(ratio) < 1.25
    assert np.isfinite(portraits.ita).all()


def test_truth_of_portraits_makes_their_pictures(portraits):
    decoder = Decoder(MODEL, nodes=64).float()
    batch = portraits[0]
    made = decoder(batch.m_mel, batch.m_blood, batch.i_d, batch.i_s, batch.lighting, batch.camera)
    off = ((made - batch.clean).square().mean(1) * batch.mask[:, 0]).sum() / batch.mask.sum()
    assert float(off.sqrt()) < 0.03


def test_the_loss_needs_what_the_network_tells(portraits):
    batch, decoder = portraits[0], Decoder(MODEL, nodes=16).float()
    terms = LOSSES["likelihood"](BioFaceNet(NetworkConfig("gaussian", (8, 16)))(batch.picture), batch, decoder)
    assert {"likelihood", "level likelihood", "cast", "cast likelihood", "gloss", "level"} <= terms.keys()
    assert all(bool(torch.isfinite(term)) for term in terms.values())
    with pytest.raises(InputError, match="gaussian"):
        LOSSES["likelihood"](BioFaceNet(NetworkConfig("compact", (8, 16)))(batch.picture), batch, decoder)
    partial = dataclasses.replace(batch, gloss=None)
    with pytest.raises(InputError, match="truth that the samples do not hold"):
        LOSSES["likelihood"](BioFaceNet(NetworkConfig("gaussian", (8, 16)))(batch.picture), partial, decoder)


def test_a_run_on_portraits_writes_weights_that_tell_covariances(cache, tmp_path):
    config = {
        "network": {"architecture": "gaussian", "widths": [8, 16]},
        "data": {"model": MODEL, "portraits": 8, "heads": 2, "size": 32, "workers": 0, "validation": 8},
        "training": {"batch": 4, "steps": 3, "epoch": 3, "warmup": 0, "threads": 1, "panels": 0},
        "loss": {"name": "likelihood"},
    }
    made = train(config, tmp_path)
    assert made.training["skin_model"] == MODEL
    assert (tmp_path / "best.safetensors").is_file()
    with torch.no_grad():
        assert made.network(torch.rand(1, 3, 32, 32)).precision is not None
    with pytest.raises(InputError, match=r"data\.portraits"):
        train({**config, "data": {**config["data"], "samples": 8}}, tmp_path)
