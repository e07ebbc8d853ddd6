"""Illuminants against colour-science, and the convex illumination model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msfit.colour.illuminants import ILLUMINATION_NAMES, IlluminationModel, daylight, illuminant
from msfit.colour.spectra import Spectrum
from msfit.errors import InputError

colour = pytest.importorskip("colour")
BANDS = np.arange(400.0, 721.0, 10.0)


@pytest.mark.parametrize("name", ["A", "D50", "D55", "D65", "D75", *(f"F{n}" for n in range(1, 13))])
def test_named_illuminants_are_the_tables_of_colour_science(name: str) -> None:
    theirs = colour.SDS_ILLUMINANTS[name.replace("F", "FL")]
    ours = illuminant(name)
    np.testing.assert_array_equal(ours.wavelengths, theirs.wavelengths)
    np.testing.assert_array_equal(ours.values, theirs.values)
    between = np.array([401.0, 433.25, 699.9])
    np.testing.assert_allclose(ours.on(between), theirs[between], rtol=1e-12)


@pytest.mark.parametrize("cct", [4000.0, 5000.0, 6504.0, 7000.0, 7001.0, 12000.0, 25000.0])
def test_daylight_is_that_of_colour_science(cct: float) -> None:
    xy = colour.temperature.CCT_to_xy_CIE_D(cct)
    exact = colour.sd_CIE_illuminant_D_series(xy, M1_M2_rounding=False)
    rounded = colour.sd_CIE_illuminant_D_series(xy)
    ours = daylight(torch.tensor(cct, dtype=torch.float64), exact.wavelengths).numpy()
    np.testing.assert_allclose(ours, exact.values, rtol=1e-12)
    assert np.abs(ours - rounded.values).max() < 2e-4 * rounded.values.max()
    np.testing.assert_array_equal(illuminant(f"D{cct:.0f}").values, ours)


def test_daylight_is_differentiable_on_both_sides_of_its_joint() -> None:
    cct = torch.tensor([4500.0, 6800.0, 7300.0, 20000.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: daylight(1000 * t, BANDS), (cct / 1000).detach().requires_grad_())


@pytest.mark.parametrize("cct", [3999.0, 25001.0, float("nan")])
def test_daylight_outside_its_range_is_refused(cct: float) -> None:
    with pytest.raises(InputError, match="4000-25000 K"):
        daylight(torch.tensor(cct), BANDS)


def test_illumination_model_mixes_illuminants_of_unit_sum() -> None:
    model = IlluminationModel(BANDS)
    generator = torch.Generator().manual_seed(0)
    parameters = 3 * torch.randn(7, 5, 15, generator=generator, dtype=torch.float64)
    light = model(parameters)
    assert light.shape == (7, 5, 33)
    assert (light > 0).all()
    torch.testing.assert_close(light.sum(-1), torch.ones(7, 5, dtype=torch.float64))


@pytest.mark.parametrize("index", range(14))
def test_each_weight_of_the_illumination_model_selects_its_illuminant(index: int) -> None:
    parameters = torch.zeros(15, dtype=torch.float64)
    parameters[index] = 1000
    parameters[14] = torch.logit(torch.tensor(2 / 21, dtype=torch.float64))  # t = 3: 6000 K
    name = ILLUMINATION_NAMES[index]
    pure = illuminant("D6000" if name == "D" else name).on(BANDS)
    np.testing.assert_allclose(IlluminationModel(BANDS)(parameters), pure / pure.sum(), rtol=1e-9)


@pytest.mark.parametrize(("raw", "cct"), [(-60.0, 4000), (60.0, 25000)])
def test_the_daylights_of_the_illumination_model_span_the_defined_range(raw: float, cct: int) -> None:
    parameters = torch.zeros(15, dtype=torch.float64)
    parameters[1], parameters[14] = 1000, raw
    pure = illuminant(f"D{cct}").on(BANDS)
    np.testing.assert_allclose(IlluminationModel(BANDS)(parameters), pure / pure.sum(), rtol=1e-9)


def test_illumination_model_is_differentiable() -> None:
    model = IlluminationModel(BANDS[::4])
    generator = torch.Generator().manual_seed(1)
    parameters = torch.randn(2, 15, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (parameters,))


def test_illumination_model_in_single_precision_follows_double() -> None:
    model = IlluminationModel(BANDS)
    parameters = torch.linspace(-1, 1, 15, dtype=torch.float64)
    torch.testing.assert_close(model(parameters.float()).double(), model(parameters), rtol=2e-6, atol=0)


def test_illumination_model_keeps_its_tables_in_its_state() -> None:
    assert set(IlluminationModel(BANDS).state_dict()) == {"lamps", "daylight_basis"}


def test_an_illuminant_from_a_file(tmp_path) -> None:
    path = tmp_path / "lamp.csv"
    path.write_text("# measured\nnm,W\n700,3\n500,2\n400,1\n")
    lamp = illuminant(path)
    np.testing.assert_allclose(lamp.on([400, 450, 600]), [1, 1.5, 2.5])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("D6", "neither a name nor a file"),
        ("F13", "neither a name nor a file"),
        ("D3000", "illuminant: found 'D3000'; daylight is defined on 4000-25000 K"),
        (Spectrum(np.array([400.0, 700.0]), np.array([-1.0, 1.0])), "negative or no power"),
        (Spectrum(np.array([400.0, 700.0]), np.zeros(2)), "negative or no power"),
        (Spectrum(np.array([400.0, 700.0]), np.ones((2, 3))), "one spectral power"),
    ],
)
def test_what_is_no_illuminant_is_refused(source, message: str) -> None:
    with pytest.raises(InputError, match=message):
        illuminant(source)


def test_shared_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        illuminant("A").values[0] = 1


def test_nothing_is_extrapolated() -> None:
    with pytest.raises(InputError, match="380-780 nm"):
        illuminant("F2").on([370.0, 400.0])
    with pytest.raises(InputError, match="380-780 nm"):
        IlluminationModel([370.0, 400.0])
