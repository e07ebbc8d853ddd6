"""`msfit.fit` with extra parameters: a number a pixel, a number a picture, bounds, statuses, files, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import msfit
from msfit import Cube, InputError, Status
from msfit.io.datasets.issa import load_faces
from msfit.io.results import load_result
from msfit.plot import panel
from msfit.rendering import render

NM = np.arange(400.0, 701.0, 10.0)
FREE = ("f_mel", "f_blood", "saturation")


def skin(shape: tuple[int, ...], seed: int = 0, **extras: object) -> np.ndarray:
    rng = np.random.default_rng(seed)
    f_mel, f_blood = rng.uniform(0.02, 0.2, shape), rng.uniform(0.004, 0.03, shape)
    r = msfit.reflectance(f_mel, f_blood, NM, model="msfit-issa-2026", **extras)
    return 0.8 * r + 0.03


def test_a_number_a_pixel() -> None:
    saturation = np.linspace(0.3, 0.95, 12).reshape(3, 4)
    cube = Cube(skin((3, 4), saturation=saturation), NM)
    found = msfit.fit(cube, free=FREE)
    np.testing.assert_allclose(found.extra["saturation"], saturation, rtol=1e-6)
    assert (found.status == Status.CONVERGED).all()
    assert found.bounds["saturation"] == (0.0, 1.0)
    assert "saturation median" in found.summary()
    assert found.at_bound("saturation") == 0
    assert found.rmse.max() < 1e-8
    assert msfit.fit(cube).rmse.min() > 1e-5


def test_extras_at_their_bounds_are_counted_and_the_status_stays_the_pigments() -> None:
    cube = Cube(skin((40,), saturation=np.linspace(0.2, 0.9, 40)), NM)
    found = msfit.fit(cube, free=FREE, bounds={"saturation": (0.4, 0.7)}, dtype="float32")
    values = found.extra["saturation"]
    assert values.dtype == np.float32
    assert ((values >= np.float32(0.4)) & (values <= np.float32(0.7))).all()
    assert 15 < found.at_bound("saturation") < 25
    assert f"{found.at_bound('saturation')} at a bound" in found.summary()
    assert (found.status == Status.CONVERGED).sum() > 30
    paper = msfit.fit(cube, free=FREE, bounds="paper")
    assert paper.bounds["saturation"] == (0.5, 0.9)


def test_equal_ends_hold_an_extra_and_the_default_is_the_plain_fit() -> None:
    cube = Cube(skin((5,), saturation=0.6), NM)
    held = msfit.fit(cube, free=FREE, bounds={"saturation": (0.6, 0.6)})
    assert held.rmse.max() < 1e-8
    np.testing.assert_array_equal(held.extra["saturation"], 0.6)
    default = msfit.skin.models.get_model("msfit-issa-2026").extras[0].default
    plain = msfit.fit(cube, free=FREE, bounds={"saturation": (default, default)})
    np.testing.assert_array_equal(plain.f_mel, msfit.fit(cube).f_mel)


def test_pigments_can_be_held_beside() -> None:
    found = msfit.fit(skin((6,), saturation=0.6), NM, free=("f_mel", "saturation"))
    np.testing.assert_array_equal(found.f_blood, 0.01)
    assert np.isfinite(found.extra["saturation"]).all()


def test_masked_and_unlit_pixels_have_no_extras() -> None:
    values = skin((4,), saturation=0.6)
    values[1] = np.nan
    values[3, :5] = np.nan  # bands without weight
    found = msfit.fit(values, NM, free=FREE)
    np.testing.assert_array_equal(np.isnan(found.extra["saturation"]), [False, True, False, False])
    np.testing.assert_allclose(found.extra["saturation"][[0, 2, 3]], 0.6, rtol=1e-6)
    unlit = msfit.fit(np.linspace(0.5, 0.3, 31)[None], NM, model="alotaibi-smith-2019", free=FREE)
    assert unlit.status[0] == Status.NO_DIFFUSE
    assert np.isnan(unlit.extra["saturation"]).all()
    shared = msfit.fit(values[[0, 1, 3]], NM, shared=("saturation",))
    np.testing.assert_allclose(shared.extra["saturation"], [0.6, np.nan, 0.6], rtol=1e-5)


def test_standard_deviations_of_extras() -> None:
    rng = np.random.default_rng(1)
    pixel = skin((1,), seed=4, saturation=0.6)[0]
    found = msfit.fit(pixel + 0.0005 * rng.standard_normal((1500, 31)), NM, free=FREE, std=True)
    assert found.std is not None
    inside = (found.extra["saturation"] > 0) & (found.extra["saturation"] < 1) & (found.status == Status.CONVERGED)
    assert inside.mean() > 0.9
    spread = found.extra["saturation"][inside].std()
    assert np.median(found.std["saturation"][inside]) == pytest.approx(spread, rel=0.1)
    assert found.correlation is not None
    assert "f_blood,saturation" in found.correlation


@pytest.mark.parametrize("width", [1, 40])
def test_a_number_a_picture(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The least total over all pixels, whatever the blocks in which they are read."""
    rng = np.random.default_rng(3)
    values = skin((240,), saturation=rng.uniform(0.4, 0.8, 240)) + 0.001 * rng.standard_normal((240, 31))
    cube = Cube(values.reshape(-1, width, 31), NM)
    from msfit.fitting import shared

    monkeypatch.setattr(shared, "_SAMPLE", 60)
    monkeypatch.setattr(shared, "_CHUNK", 50)
    found = msfit.fit(cube, shared=("saturation",))
    value = float(found.extra["saturation"].flat[0])
    np.testing.assert_array_equal(found.extra["saturation"], value)
    assert "for all" in found.summary()

    def total(saturation: float) -> float:
        held = msfit.fit(values, NM, free=FREE, bounds={"saturation": (saturation, saturation)})
        return float((held.rmse**2).sum())

    least = total(value)
    assert least == pytest.approx(float((found.rmse**2).sum()), rel=1e-9)
    assert all(least <= total(value + step) for step in (-0.003, 0.003))
    assert least < min(total(s) for s in (0.1, 0.3, 0.5, 0.7, 0.9))
    # the parabola through three totals has its least at the same place
    low, middle, high = (total(value + step) for step in (-0.02, 0, 0.02))
    assert 0.01 * (low - high) / (low - 2 * middle + high) == pytest.approx(0, abs=2e-4)
    monkeypatch.setattr(shared, "_CHUNK", 7)
    again = msfit.fit(cube, shared=("saturation",))
    np.testing.assert_allclose(again.extra["saturation"], value, rtol=1e-9)


def test_shared_and_free_extras_together() -> None:
    saturation = np.linspace(0.4, 0.8, 30)
    values = skin((30,), saturation=saturation, scattering=1.3)
    found = msfit.fit(values, NM, free=FREE, shared=("scattering",))
    np.testing.assert_allclose(found.extra["scattering"], 1.3, rtol=1e-4)
    np.testing.assert_allclose(found.extra["saturation"], saturation, rtol=1e-3)


@pytest.mark.slow
def test_two_shared_extras() -> None:
    both = msfit.fit(skin((30,), saturation=0.6, scattering=1.3), NM, shared=("scattering", "saturation"))
    np.testing.assert_allclose(both.extra["scattering"], 1.3, rtol=1e-4)
    np.testing.assert_allclose(both.extra["saturation"], 0.6, rtol=1e-4)


def test_files_pictures_and_figures_know_extras(tmp_path: Path) -> None:
    cube = Cube(skin((4, 5), saturation=np.linspace(0.3, 0.9, 20).reshape(4, 5)), NM)
    found = msfit.fit(cube, free=FREE, shared=("scattering",), std=True)
    found.save(tmp_path / "maps.h5")
    again = load_result(tmp_path / "maps.h5")
    assert again.std is not None
    assert found.std is not None
    assert again.bounds == found.bounds
    assert again.summary() == found.summary()
    for name in ("saturation", "scattering"):
        np.testing.assert_array_equal(again.extra[name], found.extra[name])
    np.testing.assert_array_equal(again.std["saturation"], found.std["saturation"])
    described = again.to_xarray()["saturation"].attrs
    assert described["long_name"] == "oxygen saturation of the blood"
    assert (described["units"], described["lower_bound"], described["upper_bound"]) == ("1", 0.0, 1.0)
    np.testing.assert_allclose(render(again), render(cube), atol=1e-6)
    found.save(tmp_path / "maps.npz")
    assert "saturation" in np.load(tmp_path / "maps.npz").files
    for result in (found, msfit.fit(cube.values.reshape(-1, 31), NM, free=FREE)):
        words = [text.get_text() for text in panel(result).findobj(lambda artist: hasattr(artist, "get_text"))]
        assert "Saturation" in words


def test_own_models_fit_their_own_extras() -> None:
    import torch

    from msfit.skin.registry import Parameter

    def yellowish(f_mel: torch.Tensor, f_blood: torch.Tensor, nm: torch.Tensor, yellow: torch.Tensor) -> torch.Tensor:
        bumps = yellow * torch.exp(-(((nm - 460) / 40) ** 2)) + 20 * f_blood * torch.exp(-(((nm - 560) / 30) ** 2))
        return torch.exp(-f_mel * 8 * (500 / nm) ** 3 - bumps)

    yellow = Parameter("yellow", "mg/l", "a pigment", (0.0, 3.0), (0.0, 1.0), 0.0)
    msfit.register_model("yellowish", yellowish, wavelength_range=(400, 720), extras=(yellow,))
    truth = np.array([0.1, 0.5, 2.0])
    values = 0.9 * msfit.reflectance(0.1, 0.02, NM, model="yellowish", yellow=truth) + 0.02
    found = msfit.fit(values, NM, model="yellowish", free=("f_mel", "f_blood", "yellow"))
    np.testing.assert_allclose(found.extra["yellow"], truth, rtol=1e-6)
    assert found.to_xarray()["yellow"].attrs["units"] == "mg/l"


def test_saturation_helps_on_measured_skin() -> None:
    spectra = np.asarray(load_faces().cube.values[::75], float)
    four, five = msfit.fit(spectra, NM), msfit.fit(spectra, NM, free=FREE)
    assert (five.rmse <= four.rmse + 1e-9).all()
    assert np.median(five.rmse) < 0.9 * np.median(four.rmse)


@pytest.mark.parametrize(
    ("keywords", "word"),
    [
        ({"free": ("f_mel", "oxygen")}, "has f_mel, f_blood, saturation"),
        ({"shared": ("f_mel",)}, "differs by pixel"),
        ({"shared": "saturation"}, "list of names"),
        ({"bounds": {"saturation": (0, 1)}}, "name it in free or shared"),
        ({"free": FREE, "bounds": {"saturation": (-0.1, 1)}}, "0 <= lower"),
        ({"free": (*FREE, "scattering"), "bounds": {"scattering": (0.1, 1)}}, "0.5 <= lower"),
        ({"free": FREE, "huber": 0.01}, r"huber: does not go with extra parameters \(saturation.*; leave out either"),
        ({"free": FREE, "certify": True}, r"certify: does not go with extra parameters \(saturation"),
        ({"model": "jacques-km", "free": FREE, "bounds": {"f_blood": (0, 1)}}, "not finite and positive"),
    ],
)
def test_refusals(keywords: dict, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        msfit.fit(skin((3,)), NM, **keywords)
    assert "\n" not in str(caught.value)
