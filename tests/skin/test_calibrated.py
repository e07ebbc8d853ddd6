"""The calibrated skin model: its table, its formulas once more in plain numpy, and what it must do on measured skin."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import msfit
from benchmarks.calibration import Faces, Form, Weights, _normal_equations, calibrate, fit, objective
from msfit.errors import InputError
from msfit.skin import calibrated
from msfit.skin.calibrated import constants
from msfit.skin.chromophores import extinction
from msfit.skin.layers import HalfSpace
from msfit.skin.models import get_model

NAME, NEW = "msfit-issa-2025", "msfit-issa-2026"
NM = np.arange(400.0, 721.0, 5.0)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return Faces.load()


def test_estimates_lie_in_the_literature_and_in_their_intervals() -> None:
    rows = constants(NAME)
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert row.low <= row.lower <= row.estimate <= row.upper <= row.high, row.name
        assert row.role in {"fixed", "linear", "log", "cosine"}
        assert row.source
    corrections = [row for row in rows if row.role == "cosine"]
    assert {row.name.split("_")[0] for row in corrections} == {"melanin", "baseline"}
    assert max(abs(row.estimate) for row in corrections) < 0.5


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("0.598923", "5.98923", "internal_reflection outside"),
        ("18.8113", "nan", "vessel_diameter outside"),
        ("baseline_cosine_6,", "#", "25 rows"),
        ("18.8113", "many", "cannot be read"),
    ],
)
def test_a_damaged_table_is_refused(
    old: str, new: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (Path(calibrated.__file__).parent / "data" / "msfit_issa_2025.csv").read_text(encoding="ascii")
    assert old in whole
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "msfit_issa_2025.csv").write_text(whole.replace(old, new), encoding="ascii")
    monkeypatch.setattr(calibrated.resources, "files", lambda _: tmp_path)
    with pytest.raises(InputError, match=word):
        constants(NAME)


def test_2025_is_what_it_was_when_it_was_the_default() -> None:
    """Written by `msfit.reflectance` before another model took its place; digits beyond are those of exp."""
    golden = json.loads(Path(__file__).with_name("golden_2025.json").read_text(encoding="ascii"))
    f_mel, f_blood = np.meshgrid(golden["f_mel"], golden["f_blood"], indexing="ij")
    now = msfit.reflectance(f_mel, f_blood, golden["wavelengths"], model=NAME)
    np.testing.assert_allclose(now, golden["reflectance"], rtol=1e-13)


def test_equals_its_formulas_in_plain_numpy() -> None:
    c = {row.name: row.estimate for row in constants(NAME)}
    phase = math.pi * np.clip((NM - 400) / 300, 0, 1)
    mel_off, base_off = (
        sum(c[f"{s}_cosine_{k}"] * np.cos(k * phase) for k in range(1, 7)) for s in ("melanin", "baseline")
    )
    melanin = c["melanosome_550"] * (550 / NM) ** c["melanin_exponent"] * np.exp(mel_off)
    base = c["baseline_constant"] + c["baseline_amplitude"] * np.exp((154 - NM) / c["baseline_decay"])
    base = base * np.exp(base_off)
    s = c["oxygen_saturation"]
    blood = s * extinction("oxyhaemoglobin", NM) + (1 - s) * extinction("deoxyhaemoglobin", NM)
    blood = blood * math.log(10) * c["haemoglobin"] / 64500
    x = blood * c["vessel_diameter"] * 1e-4
    blood = blood * (1 - np.exp(-x)) / x
    share = c["rayleigh_share"]
    scattering = c["scattering_500"] * (share * (500 / NM) ** 4 + (1 - share) * (500 / NM) ** c["mie_exponent"])
    for f_mel, f_blood in ((0.0, 0.0), (0.05, 0.01), (0.43, 0.07)):
        epidermis = f_mel * melanin + (1 - f_mel) * c["epidermal_baseline"] * base
        ratio = 2 * (f_blood * blood + (1 - f_blood) * base) / (0.75 * scattering)
        q = np.exp(-2e-4 * c["epidermis_thickness"] * epidermis) * (1 + ratio - np.sqrt(ratio**2 + 2 * ratio))
        rho = c["internal_reflection"]
        expected = (1 - rho) * q / (1 - rho * q)
        np.testing.assert_allclose(msfit.reflectance(f_mel, f_blood, NM, model=NAME), expected, rtol=1e-10)


@pytest.mark.parametrize("loss", [0.0, 0.25])
def test_half_space_slope_and_limits(loss: float) -> None:
    half_space = HalfSpace(loss)
    absorption = torch.tensor([1e-3, 0.1, 10.0, 100.0], dtype=torch.float64, requires_grad=True)
    scattering = torch.full((4,), 40.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: half_space(a, scattering)[0], (absorption,))
    reflectance, slope = half_space(absorption, scattering)
    (expected,) = torch.autograd.grad(reflectance.sum(), absorption)
    torch.testing.assert_close(slope.detach(), expected)
    assert bool(((reflectance > 0) & (reflectance < 1)).all())


def test_noise_free_pixels_are_recovered() -> None:
    rng = np.random.default_rng(11)
    truth = np.stack([rng.uniform(*ends, 2000) for ends in ((1e-3, 0.43), (1e-3, 0.07), (0.1, 1.5), (0.0, 0.5))])
    bands = np.arange(400.0, 701.0, 10.0)
    pixels = truth[2][:, None] * msfit.reflectance(truth[0], truth[1], bands, model=NAME) + truth[3][:, None]
    found = msfit.fit(pixels, bands, model=NAME)
    np.testing.assert_allclose([found.f_mel, found.f_blood, found.i_d, found.i_s], truth, atol=2e-6, rtol=0)


def test_fits_persons_it_has_not_seen(faces: Faces) -> None:
    index = faces.of("test")
    assert not set(faces.archive.person[index]) & set(faces.archive.person[faces.of("train")])
    found = msfit.fit(faces.spectra[index].numpy(), faces.wavelengths, model=NAME)
    rmse = np.asarray(found.rmse)
    assert np.median(rmse) < 0.0040
    assert np.quantile(rmse, 0.95) < 0.0090
    assert np.median(found.i_s) < 0.06
    at_bound = [np.isin(getattr(found, p.name), p.wide) for p in get_model(NAME).parameters]
    assert np.logical_or(*at_bound).mean() < 0.05


def test_melanin_follows_the_typology_angle_and_blood_the_redness(faces: Faces) -> None:
    from scipy.stats import spearmanr

    from msfit.synth.people import lab

    index = faces.of("test")
    found = msfit.fit(faces.spectra[index].numpy(), faces.wavelengths, model=NAME)
    lightness, redness, yellowness = lab(faces.spectra[index].numpy(), faces.wavelengths).T
    typology = np.degrees(np.arctan2(lightness - 50, yellowness))
    assert spearmanr(found.f_mel, typology)[0] < -0.75
    design = np.stack((np.ones_like(lightness), lightness), 1)
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (found.f_blood, redness)]
    assert np.corrcoef(*left)[0, 1] > 0.6


@pytest.mark.parametrize("wavelengths", [NM, np.array([415.0, 543.0, 720.0])])
def test_2026_equals_its_formulas_in_plain_numpy(wavelengths: np.ndarray) -> None:
    nm, c = wavelengths, {row.name: row.estimate for row in constants(NEW)}
    phase = math.pi * np.clip((nm - 400) / 300, 0, 1)
    off = {
        s: np.exp(sum(c[f"{s}_cosine_{k}"] * np.cos(k * phase) for k in range(1, 7)))
        for s in ("melanin", "baseline", "blood", "scattering")
    }
    melanin = c["melanosome_550"] * (550 / nm) ** c["melanin_exponent"] * off["melanin"]
    base = c["baseline_constant"] + c["baseline_amplitude"] * np.exp((154 - nm) / c["baseline_decay"])
    base = base * off["baseline"]
    s = c["oxygen_saturation"]
    away = np.arange(-math.ceil(1.7 * c["bandwidth"]), math.ceil(1.7 * c["bandwidth"]) + 1.0)
    seen = np.exp(-4 * math.log(2) * (away / c["bandwidth"]) ** 2)  # of a nanometre so far from a band's centre
    blood = sum(
        weight * (s * extinction("oxyhaemoglobin", nm + step) + (1 - s) * extinction("deoxyhaemoglobin", nm + step))
        for weight, step in zip(seen / seen.sum(), away, strict=True)
    )
    blood = blood * math.log(10) * c["haemoglobin"] / 64500
    x = blood * c["vessel_diameter"] * 1e-4
    blood = blood * (1 - np.exp(-x)) / x * off["blood"]
    share = c["rayleigh_share"]
    scattering = share * (500 / nm) ** 4 + (1 - share) * (500 / nm) ** c["mie_exponent"]
    scattering = c["scattering_500"] * scattering * off["scattering"]
    for f_mel, f_blood in ((0.0, 0.0), (0.05, 0.01), (0.43, 0.2)):
        epidermis = f_mel * melanin + (1 - f_mel) * c["epidermal_baseline"] * base
        b = f_blood - c["baseline_blood"]
        ratio = 2 * (b * blood + (1 - b) * base) / (0.75 * scattering)
        q = np.exp(-2e-4 * c["epidermis_thickness"] * epidermis) * (1 + ratio - np.sqrt(ratio**2 + 2 * ratio))
        rho = c["internal_reflection"]
        found = msfit.reflectance(f_mel, f_blood, nm, model=NEW)
        np.testing.assert_allclose(found, (1 - rho) * q / (1 - rho * q), rtol=1e-10)


def test_2026_is_skin_without_blood_too() -> None:
    """Something of the baseline is left after its blood is taken out, also where blood is darkest."""
    skin = get_model(NEW).in_numpy(np.arange(400.0, 721.0, 1.0), np.float64)
    assert skin.layers.absorption.min() > 0
    assert skin.layers.absorption_blood.min() > 0


def test_2026_reaches_people_that_2025_does_not(faces: Faces) -> None:
    index = faces.of("test")
    spectra, group = faces.spectra[index].numpy(), faces.archive.group[index]
    old, new = (msfit.fit(spectra, faces.wavelengths, model=name) for name in (NAME, NEW))
    for name in np.unique(group):
        own = group == name
        assert np.median(new.rmse[own]) < np.median(old.rmse[own]), name
        assert ((new.f_mel == 0.43) | (new.f_mel == 0) | (new.f_blood == 0))[own].mean() < 0.02, name
    assert np.median(new.rmse) < 0.0033
    assert (new.f_mel == 0.43)[group == "African"].mean() < 0.02 < (old.f_mel == 0.43)[group == "African"].mean()
    assert np.std(np.log(new.i_d)) < np.std(np.log(old.i_d))


def test_calibration_gradient_is_that_of_the_objective(faces: Faces) -> None:
    spectra = faces.spectra[faces.of("train")[:60]]
    form, weights, counts = Form(constants(NAME), faces.wavelengths), Weights(level=0.0, gloss=0.0), torch.ones(60)
    z = 0.3 * torch.randn(len(form.free), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = z.clamp(form.low, form.high)
    _, descent = _normal_equations(form, z, fit(form.skin(z), spectra), spectra, counts, weights)
    for index in range(0, len(z), 3):
        step = torch.zeros_like(z)
        step[index] = 1e-4
        above, below = (
            objective(z + sign * step, fit(form.skin(z + sign * step), spectra), 31, counts, weights)
            for sign in (1, -1)
        )
        assert -2 * descent[index] == pytest.approx((above - below) / 2e-4, rel=2e-3, abs=1e-4)


@pytest.mark.slow
def test_calibration_finds_the_constants_of_spectra_that_it_made(faces: Faces) -> None:
    form = Form(constants(NAME), faces.wavelengths, corrected=())
    truth = form.start()
    truth[0], truth[1], truth[2] = 0.5, 0.6, -0.4
    rng = np.random.default_rng(3)
    fractions = torch.from_numpy(np.stack((rng.uniform(0.02, 0.3, 300), rng.uniform(0.002, 0.03, 300)), 1))
    spectra = form.skin(truth).reflectance(fractions) + 0.04
    found = calibrate(form, spectra, Weights(prior=1e-7, corner=1e-3), tolerance=1e-9)
    assert float((fit(form.skin(found.z), spectra).cost / 31).sqrt().max()) < 2e-4
    np.testing.assert_allclose(found.z[:3], truth[:3], atol=0.1)
