"""The two named camera pipelines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from msfit.colour import pipelines
from msfit.colour.cameras import CameraModel, read_sensitivities
from msfit.colour.illuminants import IlluminationModel, illuminant
from msfit.colour.spectra import standard_observer
from msfit.errors import InputError
from tests.colour.camera_steps import linear_rgb, raw_response

BANDS = np.arange(400.0, 721.0, 10.0)
LIGHTS = ("A", "E", "D4000", "D50", "D65", "D25000", *(f"F{n}" for n in range(1, 13)))
OBSERVER = torch.from_numpy(standard_observer().on(BANDS))


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_authors_pipeline_reproduces_the_released_code(reference_data: Path) -> None:
    file = scipy.io.loadmat(reference_data / "authors_rendering.mat")
    reflectance = torch.from_numpy(file["R"])
    light = torch.from_numpy(file["illuminant_A"][0])
    observer = torch.from_numpy(file["xyz_cmf"])
    # (99, camera) holds R, G and B below each other; a camera's axes are made to broadcast over pixels
    cameras = torch.from_numpy(file["sensitivity"]).T.reshape(14, 3, 33).mT
    pixels = cameras[:, None, None]
    authors = pipelines.pipeline("authors")
    raw = raw_response(reflectance, light, pixels)
    exactly = {"rtol": 0, "atol": 1e-12}
    np.testing.assert_allclose(raw, file["raw"], **exactly)
    np.testing.assert_allclose(pipelines.light_colour(light, cameras), file["light_colour"], **exactly)
    np.testing.assert_allclose(pipelines.raw_to_xyz_matrix(cameras, observer, authors), file["T_raw2xyz"], **exactly)
    linear = linear_rgb(reflectance, light, pixels, observer, authors)
    np.testing.assert_allclose(linear, file["linear_rgb"], **exactly)
    weights = pipelines.rgb_weights(light, pixels, observer, authors)
    np.testing.assert_allclose((reflectance[..., None, :] @ weights)[..., 0, :], file["linear_rgb"], **exactly)


def test_authors_light_and_observer_are_ours(reference_data: Path) -> None:
    file = scipy.io.loadmat(reference_data / "authors_rendering.mat")
    np.testing.assert_allclose(file["xyz_cmf"], OBSERVER, atol=1e-9)
    ours = illuminant("A").on(BANDS)
    np.testing.assert_allclose(file["illuminant_A"][0], ours / ours.sum(), rtol=1e-5)


def test_authors_white_is_off_neutral_by_three_thousandths() -> None:
    authors = pipelines.pipeline("authors")
    white = authors.xyz_to_rgb @ authors.white_xyz
    assert 1.002 < white.max() / white.min() < 1.004


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_neutral_white_is_one_under_every_light_and_measured_camera(reference_data: Path, dtype: torch.dtype) -> None:
    files = sorted((reference_data / "cameras").glob("*.json"))
    assert len(files) == 52
    cameras = torch.from_numpy(np.stack([read_sensitivities(path).on(BANDS) for path in files])).to(dtype)
    lights = torch.from_numpy(np.stack([illuminant(name).on(BANDS) for name in LIGHTS])).to(dtype)
    weights = pipelines.rgb_weights(lights[:, None], cameras, OBSERVER, pipelines.pipeline("neutral"))
    white = weights.sum(-2)
    assert white.shape == (len(LIGHTS), 52, 3)
    torch.testing.assert_close(white, torch.ones_like(white), rtol=0, atol=1e-6)


def test_neutral_white_is_one_in_the_models_of_light_and_camera() -> None:
    generator = torch.Generator().manual_seed(3)
    light = IlluminationModel(BANDS)(3 * torch.randn(200, 15, generator=generator, dtype=torch.float64))
    b = (6 * torch.rand(200, 2, generator=generator, dtype=torch.float64)) - 3
    camera = CameraModel(BANDS)(b)
    white = linear_rgb(torch.ones(33, dtype=torch.float64), light, camera, OBSERVER, pipelines.pipeline("neutral"))
    torch.testing.assert_close(white, torch.ones_like(white), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["neutral", "authors"])
def test_a_picture_does_not_depend_on_the_gains_of_light_and_channels(name: str) -> None:
    through = pipelines.pipeline(name)
    reflectance, light, camera = random(7, 33), random(33) + 0.1, CameraModel(BANDS)(random(2))
    gains = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64)
    plain = linear_rgb(reflectance, light, camera, OBSERVER, through)
    scaled = linear_rgb(reflectance, 9 * light, gains * camera, OBSERVER, through)
    torch.testing.assert_close(plain, scaled)


@pytest.mark.parametrize("name", ["neutral", "authors"])
def test_pipelines_are_differentiable_in_reflectance_light_and_camera(name: str) -> None:
    bands = BANDS[::4]
    observer = torch.from_numpy(standard_observer().on(bands))
    through = pipelines.pipeline(name)
    inputs = (random(2, 9), random(2, 9) + 0.2, CameraModel(bands)(random(2)) + 0.01)
    inputs = tuple(tensor.detach().requires_grad_() for tensor in inputs)
    assert torch.autograd.gradcheck(lambda r, e, s: linear_rgb(r, e, s, observer, through), inputs)
    assert torch.autograd.gradcheck(lambda e, s: pipelines.rgb_weights(e, s, observer, through), inputs[1:])


def test_an_unknown_pipeline_is_refused() -> None:
    with pytest.raises(InputError, match="'neutral' or 'authors'"):
        pipelines.pipeline("pink")
