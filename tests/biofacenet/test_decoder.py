"""Image formation: the released code's numbers, the table beside the exact model, gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torch import Tensor

from biofacenet.networks.decoder import HIGHEST_FRACTIONS, Decoder, fractions, head_units, lighting_of_daylight
from msfit.colour import pipelines
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.errors import InputError
from msfit.skin.models import reflectance, register_model
from tests.colour.camera_steps import linear_rgb


def random_inputs(count: int, size: int = 8, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    m_mel, m_blood, i_d, i_s = torch.rand(4, count, 1, size, size, generator=generator, dtype=torch.float64)
    lighting, camera = (torch.randn(count, k, generator=generator, dtype=torch.float64) for k in (15, 2))
    return 1.98 * m_mel - 0.99, 1.98 * m_blood - 0.99, i_d, i_s, lighting, camera


def test_authors_pictures_are_reproduced(reference_data: Path) -> None:
    file = scipy.io.loadmat(reference_data / "authors_rendering.mat")
    spectra = torch.from_numpy(file["R"])
    height, width, bands = spectra.shape
    cameras = torch.from_numpy(file["sensitivity"]).T.reshape(14, 3, 33).mT
    decoder = Decoder(pipeline="authors", nodes=None)
    light = torch.from_numpy(file["illuminant_A"])
    weights = pipelines.rgb_weights(light, cameras, decoder.observer, decoder.pipeline)
    assert weights.shape == (14, bands, 3)
    # the file's spectra are the reference skin model's: its pigments, and diffuse light of 1
    f_mel, f_blood = (torch.from_numpy(np.atleast_1d(np.squeeze(file[name]))) for name in ("f_mel", "f_blood"))
    assert (len(f_mel), len(f_blood)) == (height, width)
    m = [head_units(f, most) for f, most in zip((f_mel, f_blood), HIGHEST_FRACTIONS, strict=True)]
    m_mel, m_blood = (v.expand(14, 1, height, width) for v in (m[0][:, None], m[1][None, :]))
    one = torch.ones_like(m_mel)
    found = decoder.picture(m_mel, m_blood, one, 0 * one, weights)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), file["linear_rgb"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("pipeline", ["neutral", "authors"])
def test_a_picture_is_the_spectra_seen_by_the_camera(pipeline: str) -> None:
    """The short way (one matrix a picture) against every step on every pixel's radiance."""
    decoder = Decoder(pipeline=pipeline, nodes=None)
    m_mel, m_blood, i_d, i_s, lighting, camera = random_inputs(3)
    f_mel, f_blood = (fractions(m, most)[:, 0] for m, most in zip((m_mel, m_blood), HIGHEST_FRACTIONS, strict=True))
    skin = reflectance(f_mel, f_blood, decoder.wavelengths, model="alotaibi-smith-2019")
    spectra = i_d[:, 0, ..., None] * skin + i_s[:, 0, ..., None]
    light, sensitivities = decoder.light(lighting)[:, None, None], decoder.camera(camera)[:, None, None]
    rgb = linear_rgb(spectra, light, sensitivities, decoder.observer, pipelines.pipeline(pipeline))
    found = decoder(m_mel, m_blood, i_d, i_s, lighting, camera)
    torch.testing.assert_close(found, rgb.permute(0, 3, 1, 2), rtol=0, atol=1e-12)


def test_the_table_comes_close_to_the_model_the_closer_the_finer() -> None:
    inputs = random_inputs(4, 64)
    exact = Decoder(nodes=None)(*inputs)
    errors = [(Decoder(nodes=nodes)(*inputs) - exact).abs().max().item() for nodes in (32, 64, 256)]
    # halving the step quarters the error of a bilinear table
    assert errors[0] > 3 * errors[1] > 30 * errors[2]
    assert errors[2] < 5e-5


def test_the_table_is_exact_on_its_nodes_and_at_its_ends() -> None:
    m = torch.linspace(-1, 1, 5, dtype=torch.float64)
    m_mel, m_blood = m.expand(1, 1, 5, 5), m[:, None].expand(1, 1, 5, 5)
    rest = (torch.ones_like(m_mel), torch.zeros_like(m_mel), torch.zeros(1, 15).double(), torch.zeros(1, 2).double())
    torch.testing.assert_close(Decoder(nodes=5)(m_mel, m_blood, *rest), Decoder(nodes=None)(m_mel, m_blood, *rest))


def test_white_is_white() -> None:
    m_mel, m_blood, i_d, _, lighting, camera = random_inputs(5)
    white = Decoder()(m_mel, m_blood, 0 * i_d, torch.ones_like(i_d), lighting, camera)
    torch.testing.assert_close(white, torch.ones_like(white), rtol=0, atol=1e-6)


@pytest.mark.parametrize("nodes", [None, 9])
def test_every_input_has_its_gradient(nodes: int | None) -> None:
    decoder = Decoder(nodes=nodes)
    inputs = tuple(values.requires_grad_() for values in random_inputs(2, 2))
    assert torch.autograd.gradcheck(decoder, inputs)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    decoder, inputs = Decoder(), random_inputs(3)
    for number, picture in enumerate(decoder(*inputs)):
        torch.testing.assert_close(decoder(*(values[number : number + 1] for values in inputs))[0], picture)


def test_single_precision_is_enough_for_a_picture() -> None:
    inputs = random_inputs(2, 32)
    single = Decoder()(*(values.float() for values in inputs))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), Decoder()(*inputs), rtol=0, atol=2e-5)


def test_daylight_of_6500_k_through_the_mean_camera_is_the_reference_picture() -> None:
    decoder = Decoder()
    weights = decoder.weights(lighting_of_daylight(6504)[None].double(), torch.zeros(1, 2).double())[0]
    expected = rgb_weights(decoder.wavelengths, "D65", mean_camera())
    skin = reflectance(np.array([0.05, 0.1, 0.2]), 0.03, decoder.wavelengths, model="alotaibi-smith-2019")
    np.testing.assert_allclose(skin @ weights.numpy(), skin @ expected, atol=2e-3)


def test_heads_and_fractions_are_inverse() -> None:
    m = np.linspace(-1, 1, 11)
    for most in HIGHEST_FRACTIONS:
        np.testing.assert_allclose(head_units(fractions(m, most), most), m, atol=1e-12)
    assert fractions(np.array(1.0), 0.43) == pytest.approx(0.43)


def test_a_model_that_ends_sooner_is_used_inside_its_range() -> None:
    def grey(f_mel: Tensor, f_blood: Tensor, wavelengths: Tensor) -> Tensor:
        return torch.exp(-f_mel * 500 / wavelengths - f_blood)

    register_model("grey-to-700", grey, wavelength_range=(380, 700))
    assert Decoder("grey-to-700", nodes=4).wavelengths.tolist() == list(range(400, 701, 10))
    assert len(Decoder(nodes=4).wavelengths) == 33


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="model"):
        Decoder("nobody-2000")
    with pytest.raises(InputError, match="pipeline"):
        Decoder(pipeline="pink")
    with pytest.raises(InputError, match="nodes"):
        Decoder(nodes=1)
    with pytest.raises(InputError, match="4000 and 25000"):
        lighting_of_daylight(2856)
