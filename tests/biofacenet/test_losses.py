"""Terms of the losses: zero for the truth, the published sums, gradients that lead the right way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import Prediction
from biofacenet.training.losses import Batch, paper, self_supervised, supervised, weighted
from msfit.colour.colorimetry import rgb_weights
from msfit.colour.pipelines import light_colour
from msfit.errors import InputError

DECODER = Decoder(nodes=32)


def truth(count: int = 2, size: int = 6) -> tuple[Prediction, Batch]:
    """A prediction and the batch that it describes exactly."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, count, 1, size, size, generator=generator, dtype=torch.float64)
    m_mel, m_blood, i_d, i_s, scale, offset = maps
    lighting, camera = (torch.randn(count, k, generator=generator, dtype=torch.float64) for k in (15, 2))
    found = Prediction(m_mel, m_blood, i_d, i_s, lighting, camera, scale, offset)
    picture = DECODER(*found[:6])
    observer = torch.from_numpy(rgb_weights(DECODER.wavelengths))[None]
    albedo = scale * DECODER.colour(m_mel, m_blood, observer) + offset
    mask = (torch.rand(count, 1, size, size, generator=generator) < 0.7).double()
    known = {name: getattr(found, name) for name in ("m_mel", "m_blood", "i_d", "i_s", "scale", "offset")}
    return found, Batch(picture, picture, mask, albedo=albedo, lighting=lighting, camera=camera, **known)


def test_the_truth_costs_nothing() -> None:
    found, batch = truth()
    terms = supervised(found, batch, DECODER)
    assert set(terms) == {
        *("melanin", "haemoglobin", "diffuse", "diffuse shape", "specular", "albedo", "skin", "scale", "offset"),
        *("reconstruction", "light", "camera"),
    }
    for term in terms.values():
        assert term.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "term"),
    [("m_mel", "melanin"), ("m_blood", "haemoglobin"), ("i_d", "diffuse"), ("i_s", "specular"), ("scale", "scale")],
)
def test_each_map_has_its_term_over_the_face_alone(name: str, term: str) -> None:
    found, batch = truth()
    right = getattr(found, name)
    outside = found._replace(**{name: right + 0.1 * (1 - batch.mask)})
    assert supervised(outside, batch, DECODER)[term].item() == pytest.approx(0, abs=1e-12)
    near, far = (supervised(found._replace(**{name: right + by}), batch, DECODER)[term].item() for by in (0.1, 0.2))
    assert far == pytest.approx(4 * near)
    assert near > 0


def test_the_shape_of_shading_is_blind_to_its_strength() -> None:
    found, batch = truth()
    terms = supervised(found._replace(i_d=3 * found.i_d), batch, DECODER)
    assert terms["diffuse shape"].item() == pytest.approx(0, abs=1e-12)
    assert terms["diffuse"].item() > 0.1


def test_the_published_loss_is_its_formula_pixel_by_pixel() -> None:
    found, batch = truth()
    found = found._replace(i_d=found.i_d + 0.2, camera=found.camera + 0.5, m_mel=found.m_mel - 0.1)
    terms = paper(found, batch, DECODER)
    picture, colour = DECODER(*found[:6]), light_colour(DECODER.light(found.lighting), DECODER.camera(found.camera))
    expected = dict.fromkeys(("appearance", "camera", "sparsity", "shading"), 0.0)
    assert batch.i_d is not None
    for n in range(2):
        face = batch.mask[n, 0] > 0
        difference = 255 * (picture[n] - batch.clean[n])[:, face]
        mine, known = found.i_d[n, 0][face], batch.i_d[n, 0][face]
        scale = (mine @ known) / (mine @ mine)
        expected["appearance"] += 1e-3 * float((difference**2).sum()) / 224**2 / 2
        expected["camera"] += 1e-4 * float((found.camera[n] ** 2).sum()) / 2
        expected["sparsity"] += 1e-5 * float(found.i_s[n].sum() * colour[n].sum()) / 2
        expected["shading"] += 1e-5 * float(((scale * mine - known) ** 2).sum()) / 2
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)


def test_without_the_scale_of_its_code_the_appearance_would_weigh_65025_times_less() -> None:
    found, batch = truth()
    terms = paper(found._replace(i_d=found.i_d + 0.2), batch, DECODER)
    picture = DECODER(*found._replace(i_d=found.i_d + 0.2)[:6])
    plain = 1e-3 * (batch.mask * (picture - batch.clean) ** 2).sum() / len(picture) / 224**2
    assert (terms["appearance"] / plain).item() == pytest.approx(65_025)


def test_photographs_need_no_truth_and_weak_highlights_cost_nothing() -> None:
    found, batch = truth()
    photo = Batch(batch.picture, batch.clean, batch.mask)
    weak = found._replace(i_s=torch.full_like(found.i_s, 1e-3))
    assert self_supervised(weak, photo, DECODER)["specular"].item() == 0
    strong = self_supervised(found, photo, DECODER)
    assert strong["specular"].item() > 0
    assert strong["reconstruction"].item() == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match="expected synthetic samples"):
        supervised(found, photo, DECODER)


@pytest.mark.parametrize("loss", [paper, supervised, self_supervised])
def test_every_loss_has_finite_gradients_even_of_a_picture_without_a_face(loss) -> None:  # type: ignore[no-untyped-def]
    found, batch = truth()
    empty = replace(batch, mask=torch.zeros_like(batch.mask))
    moved = Prediction(*(value.clone().requires_grad_() for value in found if value is not None))
    torch.stack([*loss(moved, empty, DECODER).values()]).sum().backward()
    told = [value for value in moved if value is not None]
    assert len(told) >= 6
    assert all(value.grad is None or bool(torch.isfinite(value.grad).all()) for value in told)


def test_weights_name_terms_that_there_are() -> None:
    terms = {"melanin": torch.tensor(2.0), "light": torch.tensor(3.0)}
    assert weighted(terms, {"light": 0.5}) == {"melanin": 2.0, "light": 1.5}
    with pytest.raises(InputError, match="loss weights: found 'hair'"):
        weighted(terms, {"hair": 1.0})
