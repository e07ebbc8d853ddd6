"""Light unknown: lamps found from skin alone, by tone; what is stated of it; fits without a light; refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.io import savemat

import msfit
from msfit.cli import main
from msfit.colour.illuminants import illuminant
from msfit.colour.light_posterior import known_lights, posterior
from msfit.errors import InputError
from msfit.fitting.light import WIDTH, draws, estimate_illuminant
from msfit.fitting.light import angle as angles
from msfit.io.results import load_result
from msfit.skin.skin_logs import skin_logs
from msfit.synth.people import subjects

NM = np.arange(400.0, 701.0, 10.0)
LAMPS = ("A", "D50", "D65", "D10000", "F2", "F11", "LED-B3", "LED-V1")


def angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def people(tone: str, count: int = 4) -> list[np.ndarray]:
    """Mean reflectance of persons of the validation split, of whom the prior knows nothing."""
    theirs = [one for one in subjects("validation", 1) if one.ita_class == tone]
    return [np.exp(np.nanmean(one.log_reflectance, axis=0)) for one in theirs[:count]]


def pixels(skin: np.ndarray, light: np.ndarray, noise: float = 0.005, count: int = 400) -> np.ndarray:
    """Skin (pixel, band) of varied shading and gloss under a light, in arbitrary units, with noise."""
    rng = np.random.default_rng(3)
    i_d, i_s = rng.uniform(0.4, 1.0, (count, 1)), 0.02 * rng.exponential(size=(count, 1))
    values = 5000 * light / light.mean() * (i_d * skin + i_s)
    return np.asarray(values * (1 + noise * rng.standard_normal(values.shape)))


@pytest.mark.parametrize("lamp", LAMPS)
@pytest.mark.parametrize("tone", ["light", "intermediate", "tan", "brown", "dark"])
def test_the_light_is_found_from_skin_of_each_tone(lamp: str, tone: str) -> None:
    light = illuminant(lamp).on(NM)
    found = [estimate_illuminant(pixels(skin, light), NM) for skin in people(tone)]
    errors = [angle(estimate.power, light) for estimate in found]
    assert np.median(errors) < 2
    # three of the posterior's own widths, of which the stated one is a share that holds 68 %
    width = min(WIDTH.values()) if lamp[0] == "D" else WIDTH["Planckian" if lamp == "A" else "lamp"]
    assert all(error < 3 * estimate.error / width for error, estimate in zip(errors, found, strict=True))
    if lamp[0] in "FL":
        assert {estimate.likely[0][0] for estimate in found} == {lamp}
        assert max(errors) < 0.5


def test_the_posterior_covers_the_truth_as_often_as_said() -> None:
    rng = np.random.default_rng(8)
    lights, skin = known_lights(), skin_logs()
    smooth = np.linalg.cholesky(np.exp(-0.5 * ((NM[:, None] - NM) / 60) ** 2) + 1e-9 * np.eye(31))
    inside = []
    for _ in range(100):  # drawn from what is assumed
        lamp = lights.powers[rng.choice(len(lights.prior), p=lights.prior)][20:321:10]
        light = lamp * np.exp(0.01 * smooth @ rng.standard_normal(31))
        tone = rng.integers(len(skin.angles))
        logs = rng.multivariate_normal(skin.means[tone], skin.covariances[tone], method="cholesky")
        logs = logs + 0.02 * rng.standard_normal() * np.exp(-skin.means[tone])
        logs = np.log(light) + logs + 0.003 * rng.standard_normal(31)
        found = draws(posterior(logs - logs.mean(), NM))
        mean = found.mean(0)
        inside.append(angle(mean, light) <= np.quantile(angles(found, mean), 0.68))
    assert 0.58 < np.mean(inside) < 0.78


def test_what_is_stated_covers_the_truth_for_persons_it_does_not_know() -> None:
    """Persons of the validation split, with gloss, under daylight and tungsten that deviate from their tables."""
    rng = np.random.default_rng(4)
    smooth = np.linalg.cholesky(np.exp(-0.5 * ((NM[:, None] - NM) / 60) ** 2) + 1e-9 * np.eye(31))
    inside = []
    for number, tone in enumerate(np.repeat(["light", "intermediate", "tan", "brown", "dark"], 10)):
        skin = people(str(tone), 10)[number % 10] + 0.012 * np.exp(0.5 * rng.standard_normal())
        light = illuminant(("A", "D50", "D65", "D10000", "F2")[number % 5]).on(NM)
        light = light * np.exp(0.01 * smooth @ rng.standard_normal(31))
        estimate = estimate_illuminant(np.tile(light * skin, (60, 1)), NM)
        assert ((estimate.low < estimate.power) & (estimate.power < estimate.high)).all()
        inside.append(angle(estimate.power, light) <= estimate.error)
    assert 0.5 < np.mean(inside) < 0.86  # 0.68, within what 50 scenes tell


def test_evidence_is_that_of_the_gaussians() -> None:
    """The mixture against its definition: densities of all pairs, computed apart by scipy."""
    from scipy.stats import multivariate_normal

    skin, lights = skin_logs(), known_lights()
    logs = np.log(illuminant("F2").on(NM)) + skin.means[3]
    found = posterior(logs - logs.mean(), NM)
    d = 0.01**2 * np.exp(-0.5 * ((NM[:, None] - NM) / 60) ** 2)
    for pair in np.random.default_rng(1).choice(found.probability.size, 5):
        tone, light = found.tone[pair], found.light[pair]
        gloss = 0.02 * np.exp(-skin.means[tone])
        total = skin.covariances[tone] + d + np.outer(gloss, gloss) + 0.003**2 * np.eye(31) + 25.0
        mean = skin.means[tone] + np.log(lights.powers[light][20:321:10])
        best = found.probability.argmax()
        other = skin.covariances[found.tone[best]] + d
        gloss = 0.02 * np.exp(-skin.means[found.tone[best]])
        other = other + np.outer(gloss, gloss) + 0.003**2 * np.eye(31) + 25.0
        top = skin.means[found.tone[best]] + np.log(lights.powers[found.light[best]][20:321:10])
        residual = logs - logs.mean()
        ratio = multivariate_normal.logpdf(residual, mean, total) - multivariate_normal.logpdf(residual, top, other)
        ratio += np.log(lights.prior[light] / lights.prior[found.light[best]])
        with np.errstate(divide="ignore"):
            assert_allclose(
                max(np.log(found.probability[pair] / found.probability[best]), -600), max(ratio, -600), rtol=1e-5
            )


def test_level_unit_and_order_do_not_matter() -> None:
    skin, light = people("tan")[0], illuminant("F11").on(NM)
    values = pixels(skin, light)
    once = estimate_illuminant(values, NM)
    again = estimate_illuminant(1e12 * values[::-1], NM)
    assert_allclose(again.power, 1e12 * once.power, rtol=1e-6)
    photons = estimate_illuminant(values * NM, NM, unit="photons")
    assert_allclose(photons.power / NM / (photons.power / NM).mean(), once.power / once.power.mean(), rtol=2e-3)


def test_fits_without_a_light_find_what_fits_with_it_find() -> None:
    skin, light = people("tan")[0], illuminant("F11").on(NM)
    values = pixels(skin, light)
    known = msfit.fit(msfit.Cube(values, NM, 5000 * light / light.mean()))
    sought = msfit.fit(values, NM, illuminant="estimate")
    assert np.nanmedian(np.abs(sought.f_mel / known.f_mel - 1)) < 0.1
    assert np.nanmedian(np.abs(sought.f_blood / known.f_blood - 1)) < 0.15
    assert "light estimated from skin: F11" in sought.attrs["note"]
    spatial = msfit.fit_spatial(
        values[:100].reshape(10, 10, 31), NM, illuminant="estimate", mask=np.ones((10, 10), bool)
    )
    assert "F11" in spatial.attrs["note"]


def test_channels_without_a_light() -> None:
    channels = msfit.Channels.gaussian(np.linspace(440, 660, 8), 30)
    fine = np.arange(400.0, 701.0)
    weights, light = channels.on(fine), illuminant("LED-B3").on(fine)
    skin = np.exp(np.interp(fine, NM, np.log(people("brown")[0])))
    rng = np.random.default_rng(2)
    seen = (rng.uniform(0.4, 1, (200, 1)) * skin + 0.01) * light @ weights.T
    estimate = msfit.estimate_illuminant(seen, channels=channels)
    assert angle(estimate.power, weights @ light) < 1
    fit = msfit.fit(seen, channels=channels, illuminant="estimate")
    known = msfit.fit(seen / (weights @ light), channels=channels, illuminant="LED-B3")
    assert np.nanmedian(np.abs(fit.f_mel / known.f_mel - 1)) < 0.1


def test_a_picture_is_searched_for_skin() -> None:
    light = illuminant("LED-B3").on(NM)
    values = np.full((40, 40, 31), 2000.0) * light / light.mean()
    shading = np.linspace(0.5, 1, 30)[:, None, None]
    values[5:35, 5:35] *= (
        shading * people("light")[0] * (1 + 0.005 * np.random.default_rng(0).standard_normal((30, 30, 31)))
    )
    assert angle(estimate_illuminant(values, NM).power, light) < 1
    fit = msfit.fit(values, NM, illuminant="estimate", mask="auto")
    assert 500 < fit.fitted.sum() <= 900


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    light = illuminant("F2").on(NM)
    scene, out = tmp_path / "scene.mat", tmp_path / "maps.h5"
    seen = (pixels(people("tan")[0], light) * NM).reshape(20, 20, 31)
    savemat(scene, {"photons": seen, "wave": NM, "mask": np.ones((20, 20))})
    assert main(["fit", str(scene), "-o", str(out), "--light", "estimate"]) == 0
    said = capsys.readouterr()
    assert "light estimated from skin: F2 (100 %)" in said.err
    assert np.isfinite(load_result(out).f_mel).all()
    for more, message in (
        (["--white", "0:2,0:2"], "white: gives the light"),
        (["--memory", "1GiB"], "'estimate' looks at a whole picture"),
    ):
        assert main(["fit", str(scene), "-o", f"{tmp_path}/no.h5", "--light", "estimate", *more]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "no.h5").exists()


@pytest.mark.parametrize(
    ("values", "nm", "options", "said"),
    [
        (np.ones((100, 5)), NM[:5], {}, "cannot be known from 5 bands"),
        (np.ones((100, 8)), np.arange(500.0, 580.0, 10.0), {}, "over 70 nm of 400-700 nm"),
        (np.ones((10, 31)), NM, {}, "10 pixels of skin"),
        (np.full((100, 31), np.nan), NM, {}, "0 pixels of skin"),
        (
            (0.02 + np.exp(-(((NM - 530) / 40) ** 2))) * np.ones((100, 1)),
            NM,
            {},
            "cannot be known; under the likeliest",
        ),
        (np.ones((100, 31)), None, {}, "wavelengths: missing"),
        (np.ones((100, 31)), NM, {"unit": "lux"}, "unit: found 'lux'"),
        (np.full((100, 31), "a"), NM, {}, "cube: found shape"),
    ],
)
def test_what_cannot_be_known_is_refused(values: np.ndarray, nm: np.ndarray | None, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        estimate_illuminant(values, nm, **options)


def test_doors_that_do_not_look_for_light_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="estimate_illuminant"):
        msfit.fit_lazy(np.ones((4, 31)), NM, illuminant="estimate")
    with pytest.raises(InputError, match="estimate_illuminant"):
        msfit.fit_polarised(np.ones((4, 31)), np.ones((4, 31)), NM, illuminant="estimate")


def test_things_that_are_no_skin_are_mostly_refused(reference_data: Path) -> None:
    from scipy.io import loadmat

    held = loadmat(reference_data / "not_skin.mat")
    nm, kinds = held["wavelength"].ravel(), np.array([str(kind).strip("[]' ") for kind in held["kind"].ravel()])
    refused = []
    for spectrum in held["reflectance"][np.isin(kinds, ["hair", "clothes", "food"])][::4]:
        values = spectrum * illuminant("D65").on(nm) * np.linspace(0.5, 1, 100)[:, None]
        try:
            estimate_illuminant(values, nm)
            refused.append(False)
        except InputError:
            refused.append(True)
    assert np.mean(refused) > 0.8


def test_a_scene_far_from_the_archive_is_answered_with_wider_intervals(reference_data: Path) -> None:
    scene = msfit.load(reference_data / "iset_face_spatial_illuminant.mat")
    mask = msfit.skin_mask(scene)
    mask[np.arange(mask.shape[0]) % 4 > 0] = False
    light = np.asarray(scene.illuminant, np.float64)[mask].mean(0)
    seen = msfit.Cube(np.asarray(scene.values), scene.wavelengths, np.full(31, np.asarray(scene.values).max()), mask)
    estimate = estimate_illuminant(seen, unit="photons")
    assert estimate.misfit > 2.8
    assert angle(estimate.power, light) < 2 < estimate.error < 5
    assert f"{estimate.misfit:.1f} times as far from skin as skin is" in str(estimate)
    with pytest.raises(InputError, match="times as far from skin as skin is"):
        estimate_illuminant(np.asarray(scene.values)[mask], scene.wavelengths, unit="photons")
