"""Extra parameters of the skin models: nothing changes at their defaults; derivatives; the formulas once more."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import msfit
from benchmarks.reference_skin import ReferenceSkin
from msfit.errors import InputError
from msfit.skin.calibrated import constants
from msfit.skin.chromophores import extinction
from msfit.skin.models import get_model, model_names
from msfit.skin.registry import Parameter

NM = np.arange(400.0, 721.0, 10.0)
NAMED = [name for name in model_names() if get_model(name).extras]
EXTRAS = ("saturation", "scattering", "epidermis")


def random_parameters(
    model: str, names: tuple[str, ...], count: int, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    spans = [(0.0, 0.43), (0.0, 0.07), *(p.wide for p in get_model(model).extra_parameters(names))]
    low, high = (torch.tensor(ends, dtype=dtype) for ends in zip(*spans, strict=True))
    return low + (high - low) * torch.rand(count, len(spans), generator=generator, dtype=dtype)


def test_every_named_model_has_them() -> None:
    assert {"alotaibi-smith-2019", "biofacenet-lut", "jacques-km", "msfit-issa-2025"} <= set(NAMED)
    for name in NAMED:
        extras = get_model(name).extras
        assert tuple(extra.name for extra in extras) == EXTRAS
        for extra in extras:
            assert extra.wide[0] <= extra.paper[0] < extra.default < extra.paper[1] <= extra.wide[1]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_defaults_nothing_changes_to_the_bit(name: str, dtype: torch.dtype) -> None:
    model = get_model(name)
    fractions = random_parameters(name, (), 200, dtype)
    plain = model.at(NM, dtype).reflectance(fractions)
    for count in (1, 2, 3):
        for names in itertools.permutations(EXTRAS, count):
            defaults = torch.tensor([p.default for p in model.extra_parameters(names)], dtype=dtype).expand(200, -1)
            skin = model.at(NM, dtype, free=names)
            assert torch.equal(skin.reflectance(torch.cat((fractions, defaults), 1)), plain)
    f_mel, f_blood = fractions.T.numpy()
    given = {extra.name: f_mel.dtype.type(extra.default) for extra in model.extras}
    found = msfit.reflectance(f_mel, f_blood, NM, model=name, **given)
    np.testing.assert_array_equal(found, msfit.reflectance(f_mel, f_blood, NM, model=name))


@pytest.mark.parametrize("name", NAMED)
def test_jacobian_is_the_derivative(name: str) -> None:
    for names in (EXTRAS, ("epidermis",), ("scattering", "saturation")):
        skin = get_model(name).at(NM, free=names)
        parameters = random_parameters(name, names, 30)
        reflectance, derivatives = skin.jacobian(parameters)
        torch.testing.assert_close(reflectance, skin.reflectance(parameters), rtol=1e-13, atol=0)
        for index, derivative in enumerate(derivatives):
            tangent = torch.zeros_like(parameters)
            tangent[:, index] = 1
            expected = torch.func.jvp(skin.reflectance, (parameters,), (tangent,))[1]
            torch.testing.assert_close(derivative, expected, rtol=1e-9, atol=1e-12)
        assert torch.autograd.gradcheck(skin.reflectance, (parameters[:3].requires_grad_(),))


@pytest.mark.parametrize("name", NAMED)
def test_held_equals_free_at_that_value(name: str) -> None:
    model = get_model(name)
    for x in random_parameters(name, EXTRAS, 5):
        expected = model.at(NM, free=EXTRAS).reflectance(x)
        held = dict(zip(EXTRAS, x[2:].tolist(), strict=True))
        torch.testing.assert_close(model.at(NM, held=held).reflectance(x[:2]), expected, rtol=1e-12, atol=0)
        scattering = {"scattering": held.pop("scattering")}
        found = model.at(NM, free=tuple(held), held=scattering).reflectance(torch.cat((x[:2], x[[2, 4]])))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("s", "c", "e"), [(0.0, 1.0, 1.0), (0.6, 1.3, 0.7), (1.0, 0.95, 2.0)])
def test_equals_the_published_formulas_with_other_constants(s: float, c: float, e: float) -> None:
    f_mel, f_blood = 0.08, 0.05
    given = {"saturation": s, "scattering": c, "epidermis": e}
    raw = ReferenceSkin("jacques-km", NM)
    blood = {
        name: 2.303 * 150 / mass * (s * raw.hbo2 + (1 - s) * raw.hb) for name, mass in (("j", 64500), ("a", 66500))
    }

    depth = e * 0.006 * (f_mel * raw.melanosome + (1 - f_mel) * 10 * raw.base)
    absorption = f_blood * blood["j"] + (1 - f_blood) * 10 * raw.base
    ratio = 2 * absorption / (0.75 * c * raw.mu_s - absorption / 4)
    expected = np.exp(-2 * depth) * (1 + ratio - np.sqrt(ratio**2 + 2 * ratio))
    np.testing.assert_allclose(msfit.reflectance(f_mel, f_blood, NM, model="jacques-km", **given), expected, rtol=1e-10)

    melanin = 0.02 * (0.61 * 80 * raw.eumelanin + 0.39 * 12 * raw.pheomelanin)
    molar = 2.303 * 150 / 66500
    a = f_blood * blood["a"] + (1 - f_blood) * raw.base
    k, b = np.sqrt(a * (a + 2 * c * raw.mu_s)), np.sqrt(a / (a + 2 * c * raw.mu_s))
    up, down = np.exp(0.3 * k), np.exp(-0.3 * k)
    dermis = (1 - b**2) * (up - down) / ((1 + b) ** 2 * up - (1 - b) ** 2 * down)
    h = 0.25 * f_blood
    for model, scale, epidermal in (
        ("alotaibi-smith-2019", 1.0, molar * (s**2 * raw.hbo2 + (1 - s) ** 2 * raw.hb)),
        ("biofacenet-lut", 1.25, molar * (1 - s) * raw.hb),
    ):
        depth = e * (f_mel * scale * melanin + h * epidermal + raw.base * (1 - f_mel - h))
        found = msfit.reflectance(f_mel, f_blood, NM, model=model, **given)
        np.testing.assert_allclose(found, np.exp(-2 * depth) * dermis, rtol=1e-10)


def test_saturation_of_the_calibrated_model_is_that_of_its_packed_blood() -> None:
    c = {row.name: row.estimate for row in constants("msfit-issa-2025")}
    molar, diameter = math.log(10) * c["haemoglobin"] / 64500, 1e-4 * c["vessel_diameter"]
    for s in (0.0, 0.5, 1.0):
        skin = get_model("msfit-issa-2025").at(NM, held={"saturation": s})
        mu = molar * (s * extinction("oxyhaemoglobin", NM) + (1 - s) * extinction("deoxyhaemoglobin", NM))
        packed = torch.from_numpy((1 - np.exp(-mu * diameter)) / diameter)
        torch.testing.assert_close(
            skin.layers.absorption_blood, packed - skin.layers.absorption, rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"saturation": 1.2}, "saturation: found values outside 0-1"),
        ({"scattering": [1.0, 0.1]}, "scattering: found values outside 0.5-2"),
        ({"oxygen": 0.5}, "has saturation, scattering, epidermis"),
        ({"saturation": "high"}, "saturation"),
        ({"saturation": np.zeros((4, 5, 6))}, "broadcast"),
    ],
)
def test_refusals(arguments: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        msfit.reflectance([0.1, 0.2], 0.03, NM, **arguments)


BILIRUBIN = Parameter("bilirubin", "1", "a yellow pigment", (0.0, 1.0), (0.0, 0.5), 0.1)


def yellow(f_mel: torch.Tensor, f_blood: torch.Tensor, nm: torch.Tensor, bilirubin: torch.Tensor) -> torch.Tensor:
    return torch.exp(-f_mel * (500 / nm) ** 3 - 5 * f_blood - bilirubin * torch.exp(-(((nm - 460) / 40) ** 2)))


def test_own_model_names_its_own() -> None:
    model = msfit.register_model("yellow", yellow, wavelength_range=(400, 720), extras=(BILIRUBIN,))
    plain = msfit.reflectance(0.1, 0.02, NM, model="yellow")
    np.testing.assert_array_equal(plain, msfit.reflectance(0.1, 0.02, NM, model="yellow", bilirubin=0.1))
    assert (msfit.reflectance(0.1, 0.02, NM, model="yellow", bilirubin=0.3) < plain)[NM < 600].all()
    x = torch.tensor([[0.1, 0.02, 0.3]], dtype=torch.float64)
    _, derivatives = model.at(NM, free=("bilirubin",)).jacobian(x)
    expected = -np.exp(-(((NM - 460) / 40) ** 2)) * msfit.reflectance(0.1, 0.02, NM, model="yellow", bilirubin=0.3)
    np.testing.assert_allclose(derivatives[2][0], expected, rtol=1e-12)
    with pytest.raises(InputError, match="has bilirubin"):
        model.at(NM, free=("saturation",))


def test_own_model_runs_on_several_cores() -> None:
    msfit.register_model("yellow-cores", yellow, wavelength_range=(400, 720), extras=(BILIRUBIN,))
    spectra = np.abs(np.random.default_rng(0).normal(0.5, 0.1, (5_000, NM.size)))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        found = msfit.fit(spectra, NM, model="yellow-cores")
    finally:
        torch.set_num_threads(threads)
    assert found.fitted.all()


@pytest.mark.parametrize(
    "extras",
    [
        (BILIRUBIN, BILIRUBIN),
        (Parameter("i_d", "1", "", (0.0, 1.0), (0.0, 0.5), 0.1),),
        (Parameter("two words", "1", "", (0.0, 1.0), (0.0, 0.5), 0.1),),
        (Parameter("x", "1", "", (0.0, 1.0), (0.0, 0.5), 0.7),),
        (Parameter("x", "1", "", (1.0, 1.0), (1.0, 1.0), 1.0),),
    ],
)
def test_own_extras_that_make_no_sense_are_refused(extras: tuple[Parameter, ...]) -> None:
    with pytest.raises(InputError, match="extras"):
        msfit.register_model("senseless", yellow, wavelength_range=(400, 720), extras=extras)
