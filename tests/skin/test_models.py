"""Skin models: published values, an independent implementation, derivatives, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat

import msfit
from benchmarks.reference_skin import GOLDEN, ReferenceSkin
from msfit.errors import InputError
from msfit.skin.chromophores import extinction
from msfit.skin.models import get_model, model_names
from msfit.skin.registry import BLOOD, MELANIN, add_model

PUBLISHED = ("alotaibi-smith-2019", "biofacenet-lut", "jacques-km")
VISIBLE = np.arange(400.0, 721.0, 10.0)


def test_authors_values(reference_data: Path) -> None:
    golden = loadmat(reference_data / "authors_skin_model.mat")
    found = msfit.reflectance(
        golden["f_mel"].T, golden["f_blood"], golden["wavelength"].ravel(), model="alotaibi-smith-2019"
    )
    assert found.shape == golden["R"].shape
    assert np.abs(found / golden["R"] - 1).max() < 1e-10


def test_golden_numbers() -> None:
    """As written by `python -m benchmarks.reference_skin` from the formulas as printed."""
    golden = json.loads(GOLDEN.read_text(encoding="ascii"))
    f_mel, f_blood = np.meshgrid(golden["f_mel"], golden["f_blood"], indexing="ij")
    for name, expected in golden["reflectance"].items():
        skin = msfit.reflectance(f_mel, f_blood, golden["wavelengths"], model=name)
        np.testing.assert_allclose(skin, expected, rtol=1e-10, err_msg=name)


def test_authors_chromophores(reference_data: Path) -> None:
    golden = loadmat(reference_data / "authors_chromophores.mat")
    for name, key in (
        ("eumelanin", "eumelanin_ext"),
        ("pheomelanin", "pheomelanin_ext"),
        ("oxyhaemoglobin", "oxy_hemo_ext_coeff"),
        ("deoxyhaemoglobin", "deoxy_hemo_ext_coeff"),
    ):
        np.testing.assert_allclose(extinction(name, golden["wavelength"].ravel()), golden[key].ravel(), rtol=1e-14)


@pytest.mark.parametrize("name", PUBLISHED)
@given(f_mel=st.floats(0, 0.43), f_blood=st.floats(0, 0.07), offset=st.floats(0, 10))
def test_equals_the_formulas_as_printed(name: str, f_mel: float, f_blood: float, offset: float) -> None:
    nm = 400 + offset + np.arange(0, 310, 7.5)
    expected = ReferenceSkin(name, nm)(f_mel, f_blood)
    np.testing.assert_allclose(msfit.reflectance(f_mel, f_blood, nm, model=name), expected, rtol=1e-10)


@pytest.mark.parametrize("name", model_names())
def test_jacobian_is_the_derivative(name: str) -> None:
    skin = get_model(name).at(VISIBLE)
    generator = torch.Generator().manual_seed(0)
    fractions = torch.rand(20, 2, generator=generator, dtype=torch.float64) * torch.tensor([0.43, 0.07])
    fractions = torch.cat((fractions, torch.tensor([[0.0, 0.0], [0.43, 0.07], [0.0, 0.07]], dtype=torch.float64)))
    reflectance, derivatives = skin.jacobian(fractions)
    torch.testing.assert_close(reflectance, skin.reflectance(fractions), rtol=1e-13, atol=0)
    for index, derivative in enumerate(derivatives):
        tangent = torch.zeros_like(fractions)
        tangent[:, index] = 1
        expected = torch.func.jvp(skin.reflectance, (fractions,), (tangent,))[1]
        torch.testing.assert_close(derivative, expected, rtol=1e-10, atol=1e-13)
    assert torch.autograd.gradcheck(skin.reflectance, (fractions[:4].requires_grad_(),))


@pytest.mark.parametrize("name", model_names())
@given(f_mel=st.floats(0, 0.42), f_blood=st.floats(0, 0.069), more=st.floats(1e-4, 1e-3))
def test_pigment_darkens(name: str, f_mel: float, f_blood: float, more: float) -> None:
    base = msfit.reflectance(f_mel, f_blood, VISIBLE, model=name)
    assert ((base > 0) & (base < 1)).all()
    assert (msfit.reflectance(f_mel + more, f_blood, VISIBLE, model=name) < base).all()
    absorbing = (VISIBLE >= 410) & (VISIBLE <= 590)
    assert (msfit.reflectance(f_mel, f_blood + more, VISIBLE, model=name) < base)[absorbing].all()


def test_numpy_in_numpy_out_torch_in_torch_out() -> None:
    f_mel = np.linspace(0.01, 0.4, 6).reshape(2, 3)
    plain = msfit.reflectance(f_mel, 0.03, VISIBLE, model="alotaibi-smith-2019")
    assert isinstance(plain, np.ndarray)
    assert plain.shape == (2, 3, 33)
    assert plain.dtype == np.float64
    single = msfit.reflectance(f_mel.astype(np.float32), np.float32(0.03), VISIBLE, model="alotaibi-smith-2019")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, plain, rtol=2e-5)
    tensor = torch.tensor(f_mel, requires_grad=True)
    found = msfit.reflectance(tensor, 0.03, VISIBLE, model="alotaibi-smith-2019")
    found.sum().backward()
    assert tensor.grad is not None
    assert bool((tensor.grad < 0).all())
    np.testing.assert_allclose(found.detach().numpy(), plain, rtol=1e-14)
    assert np.isnan(msfit.reflectance(np.nan, 0.03, VISIBLE, model="alotaibi-smith-2019")).all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((0.1, 0.03, [390.0, 500.0]), "400-720"),
        ((0.1, 0.03, [500.0, 721.0]), "400-720"),
        ((0.1, 0.03, [0.5, 0.6]), "400-720"),
        ((0.1, 0.03, [np.nan]), "finite"),
        ((10.0, 0.03, VISIBLE), "f_mel"),
        ((0.1, -0.03, VISIBLE), "f_blood"),
    ],
)
def test_refusals(arguments: tuple, word: str) -> None:
    with pytest.raises(InputError, match=word):
        msfit.reflectance(*arguments)


def test_unknown_model_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="alotaibi-smith-2019"):
        msfit.reflectance(0.1, 0.03, VISIBLE, model="no-such-skin")


def test_own_model_needs_no_jacobian() -> None:
    """A user's copy of a published model, written as one function, fits the published model's pixels."""
    reference = ReferenceSkin("jacques-km", VISIBLE)
    base, melanosome, mu_s = (torch.from_numpy(x) for x in (10 * reference.base, reference.melanosome, reference.mu_s))
    blood = torch.from_numpy(2.303 * (0.75 * reference.hbo2 + 0.25 * reference.hb) * 150 / 64500)

    def jacques(f_mel: torch.Tensor, f_blood: torch.Tensor, nm: torch.Tensor) -> torch.Tensor:
        mu_a = f_blood * blood + (1 - f_blood) * base
        ratio = 2 * mu_a / (0.75 * mu_s - mu_a / 4)
        dermis = 1 + ratio - torch.sqrt(ratio**2 + 2 * ratio)
        return torch.exp(-0.012 * (f_mel * melanosome + (1 - f_mel) * base)) * dermis

    model = msfit.register_model("own-jacques", jacques, wavelength_range=(400, 720), summary="a copy")
    truth = 0.8 * msfit.reflectance([0.05, 0.2], [0.01, 0.05], VISIBLE, model="jacques-km") + 0.05
    found = msfit.fit(truth, VISIBLE, model="own-jacques")
    np.testing.assert_allclose(found.f_mel, [0.05, 0.2], atol=1e-9)
    np.testing.assert_allclose(found.f_blood, [0.01, 0.05], atol=1e-9)
    with pytest.raises(InputError, match="taken"):
        add_model(model)
    with pytest.raises(InputError, match="f_mel and f_blood"):
        msfit.register_model("swapped", jacques, wavelength_range=(400, 720), parameters=(BLOOD, MELANIN))


def test_half_space_is_not_evaluated_where_it_does_not_hold() -> None:
    assert np.isnan(msfit.reflectance(0.1, 1.0, [420.0], model="jacques-km")).all()
    with pytest.raises(InputError, match="not finite and positive"):
        msfit.fit(np.full((1, 33), 0.3), VISIBLE, model="jacques-km", bounds={"f_blood": (0.0, 1.0)})


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (lambda f_mel, f_blood, nm: torch.exp(-f_mel * f_blood), "returns a tensor"),
        (lambda f_mel, f_blood, nm: torch.exp(-f_mel * 500 / nm).sum(-1), "returns a tensor"),
        (lambda f_mel, f_blood, nm: None, "NoneType"),
        (lambda f_mel, f_blood, nm: f_mel.no_such_method(), "fails"),
    ],
)
def test_own_model_that_returns_the_wrong_thing_is_refused(function: Callable, word: str) -> None:
    name = f"wrong-{id(function)}"
    msfit.register_model(name, function, wavelength_range=(400, 720))
    with pytest.raises(InputError, match=word):
        msfit.fit(np.full((3, 33), 0.3), VISIBLE, model=name)
    with pytest.raises(InputError, match=word):
        msfit.reflectance(0.1, 0.03, VISIBLE, model=name)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("", len, (400, 700)), "name"),
        (("x", 3, (400, 700)), "function"),
        (("x", len, (700, 400)), "lowest, highest"),
        (("x", len, (0.4, 0.7)), "lowest, highest"),
        (("x", len, "400:700"), "lowest, highest"),
    ],
)
def test_own_model_that_makes_no_sense_is_not_registered(arguments: tuple, word: str) -> None:
    name, function, wavelength_range = arguments
    with pytest.raises(InputError, match=word):
        msfit.register_model(name, function, wavelength_range=wavelength_range)
