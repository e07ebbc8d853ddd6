"""Cameras whose channels are no needles: integrals, fits against an independent optimiser, holds, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.io import savemat
from scipy.optimize import least_squares

import msfit
from benchmarks.reference_skin import ReferenceSkin
from msfit import Channels
from msfit.errors import InputError
from msfit.skin.channels import through
from msfit.skin.models import get_model, model_names

LEDS = Channels.gaussian([450, 505, 545, 577, 620, 660], 20)
MOSAIC = Channels.gaussian(np.linspace(440, 680, 16), 30)
RGB = Channels.gaussian([600, 530, 470], 60, names=("R", "G", "B"))
NM = np.arange(400.0, 721.0)
MODEL = "alotaibi-smith-2019"


def channel_values(channels: Channels, spectra: np.ndarray) -> np.ndarray:
    """The integrals as they are written, of spectra (n, nm) on `NM`, channel by channel."""
    rows = [np.interp(NM, channels.wavelengths, row, 0, 0) for row in channels.responses]
    return np.stack([spectra @ row / row.sum() for row in rows], -1)


def some_skin(count: int, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, 4) and spectra i_d r + i_s (n, nm) of the published formulas."""
    rng = np.random.default_rng(seed)
    x = rng.uniform((0.01, 0.005, 0.4, 0.0), (0.35, 0.06, 1.1, 0.08), (count, 4))
    spectra = x[:, 2:3] * ReferenceSkin(MODEL, NM)(x[:, 0], x[:, 1]) + x[:, 3:]
    return x, spectra + noise * rng.standard_normal(spectra.shape)


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("channels", [LEDS, MOSAIC, RGB], ids=["leds", "mosaic", "rgb"])
def test_a_channel_is_the_integral_of_the_model_at_one_nanometre(model: str, channels: Channels) -> None:
    nm = np.arange(*np.add(get_model(model).wavelength_range, (0, 1)))
    rng = np.random.default_rng(1)
    f_mel, f_blood = rng.random(200) * 0.43, rng.random(200) * 0.07
    rows = np.stack([np.interp(nm, channels.wavelengths, row, 0, 0) for row in channels.responses])
    expected = msfit.reflectance(f_mel, f_blood, nm, model=model) @ rows.T / rows.sum(1)
    seen = msfit.reflectance(f_mel, f_blood, model=model, channels=channels)
    assert_allclose(seen, expected, atol=1e-6)


@pytest.mark.parametrize("channels", [LEDS, MOSAIC], ids=["leds", "mosaic"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_was_put_in_comes_back(channels: Channels, dtype: str) -> None:
    x, spectra = some_skin(300)
    result = msfit.fit(channel_values(channels, spectra).astype(dtype), channels=channels, model=MODEL, dtype=dtype)
    assert result.rmse.max() < 2e-6
    # few broad channels leave dark skin open: what the integrals miss, 5e-7, is amplified there
    for name, true, tolerance in zip(("f_mel", "f_blood", "i_d", "i_s"), x.T, (2e-2, 5e-3, 2e-1, 1e-3), strict=True):
        assert np.median(np.abs(getattr(result, name) - true)) < tolerance / 20
        assert np.abs(getattr(result, name) - true).max() < tolerance


def oracle(channels: Channels, y: np.ndarray, bounds: list[tuple[float, float]], held: dict[int, float]) -> float:
    """Least sum of squares from scipy, started from the ten best nodes of a grid, in all free numbers."""
    skin = ReferenceSkin(MODEL, NM)
    rows = np.stack([np.interp(NM, channels.wavelengths, row, 0, 0) for row in channels.responses])
    rows /= rows.sum(1, keepdims=True)
    free = [k for k in range(4) if k not in held]

    def residual(z: np.ndarray) -> np.ndarray:
        v = np.array([held.get(k, 0.0) for k in range(4)])
        v[free] = z
        return v[2] * (rows @ skin(v[0], v[1])) + v[3] - y

    low, high = (np.array([bounds[k][end] for k in free]) for end in (0, 1))
    nodes = np.random.default_rng(0).uniform(low, np.minimum(high, 1.2), (400, len(free)))
    best = sorted(nodes, key=lambda z: float((residual(z) ** 2).sum()))[:10]
    starts = np.clip(best, low + 1e-9, high - 1e-9)
    ends = [least_squares(residual, z, bounds=(low, high), xtol=1e-14, ftol=1e-14) for z in starts]
    return 2 * min(float(end.cost) for end in ends)


WIDE = [(0.0, 0.43), (0.0, 0.07), (0.0, np.inf), (0.0, np.inf)]


@pytest.mark.parametrize("count", [4, pytest.param(25, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("channels", "options", "bounds", "held"),
    [
        (LEDS, {}, WIDE, {}),
        (LEDS, {"hold": {"i_s": 0}}, WIDE, {3: 0.0}),
        (RGB, {"hold": {"i_d": 0.8}}, WIDE, {2: 0.8}),
        (LEDS, {"bounds": {"i_d": (0.5, 0.7), "i_s": (0, 0.02)}}, [*WIDE[:2], (0.5, 0.7), (0.0, 0.02)], {}),
        (RGB, {"hold": {"i_s": 0.0, "f_blood": 0.03}}, WIDE, {1: 0.03, 3: 0.0}),
    ],
    ids=["free", "no gloss", "level known", "bounded shadings", "two held"],
)
def test_no_start_of_scipy_ends_lower(
    channels: Channels, options: dict, bounds: list[tuple[float, float]], held: dict[int, float], count: int
) -> None:
    y = channel_values(channels, some_skin(count, 3, noise=0.02)[1])
    result = msfit.fit(y, channels=channels, model=MODEL, dtype="float64", **options)
    reached = result.rmse**2 * len(channels)
    for pixel, cost in zip(y, reached, strict=True):
        assert cost <= oracle(channels, pixel[np.arange(len(channels))], bounds, held) + 1e-8


def test_channels_in_any_order_are_the_same() -> None:
    y = channel_values(LEDS, some_skin(20, 4, 0.01)[1])
    order = np.array([3, 0, 5, 1, 4, 2])
    one, two = msfit.fit(y, channels=LEDS), msfit.fit(y[:, order], channels=LEDS.take(order))
    assert_allclose(two.f_mel, one.f_mel, atol=1e-12)
    assert one.attrs["channels"].startswith("450 nm: 450 nm, 20 nm wide; 505 nm")


def test_light_weighs_the_responses_and_its_level_does_not() -> None:
    nm = np.arange(380.0, 781.0)
    lamp = np.exp((nm - 550) / 100)
    lit = MOSAIC.under((nm, lamp))
    assert (lit.centres > MOSAIC.centres).all()
    assert_allclose(MOSAIC.under((nm, 7 * lamp)).centres, lit.centres)
    spectra = some_skin(30, 5)[1]
    y = channel_values(lit, spectra)
    right = msfit.fit(y, channels=MOSAIC, illuminant=(nm, lamp), model=MODEL, dtype="float64")
    wrong = msfit.fit(y, channels=MOSAIC, model=MODEL, dtype="float64")
    assert right.rmse.max() < 1e-6 < wrong.rmse.min()


def test_a_width_makes_bands_channels_and_zero_makes_them_needles() -> None:
    centres = np.arange(445.0, 681.0, 23.0)
    broad = Channels.gaussian(centres, 40)
    y = channel_values(broad, some_skin(20, 6)[1])
    assert msfit.fit(y, centres, fwhm=40, model=MODEL, dtype="float64").rmse.max() < 1e-6
    needles = msfit.fit(y, centres, model=MODEL, dtype="float64")
    assert np.median(needles.rmse) > 1e-4
    assert_allclose(msfit.fit(y, centres, fwhm=0, model=MODEL, dtype="float64").f_mel, needles.f_mel)


def test_a_missing_channel_counts_for_nothing_and_too_few_are_masked() -> None:
    x, spectra = some_skin(4, 7)
    y = channel_values(LEDS, spectra)
    y[0, 2] = np.nan
    y[1, :3] = np.nan
    result = msfit.fit(y, channels=LEDS, model=MODEL, dtype="float64")
    assert result.status[0] == msfit.Status.CONVERGED
    assert result.status[1] == msfit.Status.MASKED_TOO_FEW_BANDS
    assert abs(result.f_mel[0] - x[0, 0]) < 1e-3


def test_standard_deviations_cover_the_truth() -> None:
    x, spectra = some_skin(1, 8)
    rng = np.random.default_rng(9)
    y = channel_values(MOSAIC, spectra) + 0.001 * rng.standard_normal((1500, len(MOSAIC)))
    result = msfit.fit(y, channels=MOSAIC, model=MODEL, dtype="float64", std=True, noise=0.001)
    for name, true in zip(("f_mel", "f_blood", "i_d", "i_s"), x[0], strict=True):
        covered = np.abs(getattr(result, name) - true) < result.std[name]
        assert 0.64 < covered.mean() < 0.72, name


def test_a_certificate_holds_on_channels() -> None:
    y = channel_values(LEDS, some_skin(20, 10, 0.01)[1])
    result = msfit.fit(y, channels=LEDS, model=MODEL, dtype="float64", certify=True)
    assert (result.gap <= 1e-5).all()


def test_files_and_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from msfit.cli import main

    y = channel_values(LEDS, some_skin(60, 11)[1]).reshape(5, 12, 6)
    savemat(tmp_path / "leds.mat", {"reflectance": y, "wavelength": LEDS.centres})
    table = np.column_stack((LEDS.wavelengths, LEDS.responses.T))
    header = "nm," + ",".join(f"led{k}" for k in range(6))
    np.savetxt(tmp_path / "leds.csv", table, delimiter=",", header=header, comments="")
    document = {"wavelengths": LEDS.wavelengths.tolist(), "responses": LEDS.responses.tolist()}
    (tmp_path / "leds.json").write_text(json.dumps(document))
    savemat(tmp_path / "responses.mat", {"responses": LEDS.responses, "wavelengths": LEDS.wavelengths})
    expected = msfit.fit(y, channels=LEDS, model=MODEL)
    for name in ("leds.csv", "leds.json", "responses.mat"):
        out = tmp_path / f"{name}.h5"
        command = ["fit", str(tmp_path / "leds.mat"), "--channels", str(tmp_path / name), "--model", MODEL]
        assert main([*command, "-o", str(out), "-q"]) == 0, capsys.readouterr().err
        assert_allclose(msfit.load_result(out).f_mel, expected.f_mel, atol=1e-9)
    out = tmp_path / "held.h5"
    command = ["fit", str(tmp_path / "leds.mat"), "--fwhm", "20", "--hold", "i_s=0", "--light", "D65", "--model", MODEL]
    assert main([*command, "-o", str(out), "-q"]) == 0, capsys.readouterr().err
    assert msfit.load_result(out).i_s.max() == 0
    assert main(["fit", str(tmp_path / "leds.mat"), "--hold", "i_s", "-o", str(tmp_path / "no.h5")]) == 2
    assert "--hold: found 'i_s'" in capsys.readouterr().err


def test_a_polarised_pair_gives_gloss_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from msfit.cli import main

    x, _ = some_skin(120, 13)
    rng = np.random.default_rng(14)
    cross = channel_values(LEDS, x[:, 2:3] * ReferenceSkin(MODEL, NM)(x[:, 0], x[:, 1]))
    gloss = np.maximum(0, rng.normal(0, 0.1, len(x)))
    noise = 0.002 * rng.standard_normal((2, *cross.shape))
    dark, bright = (
        values.reshape(10, 12, 6) for values in (cross + noise[0], 0.9 * (cross + gloss[:, None]) + noise[1])
    )
    pair = msfit.fit_polarised(bright, dark, channels=LEDS, model=MODEL, dtype="float64")
    assert pair.attrs["transmission"] == pytest.approx(0.9, abs=0.005)
    assert np.sqrt(np.mean((pair.i_s.ravel() - gloss) ** 2)) < 0.005
    alone = msfit.fit(dark, channels=LEDS, model=MODEL, dtype="float64", hold={"i_s": 0})
    assert_allclose(pair.f_mel, alone.f_mel)
    given = msfit.fit_polarised(bright, dark, channels=LEDS, model=MODEL, dtype="float64", transmission=0.9)
    assert np.abs(given.i_s - pair.i_s).max() < 0.005
    with pytest.raises(InputError, match="parallel: is darker than cross"):
        msfit.fit_polarised(cross, cross + 0.1, channels=LEDS, model=MODEL)
    with pytest.raises(InputError, match=r"parallel: found a picture of \(9, 12\), cross has \(10, 12\)"):
        msfit.fit_polarised(bright[1:], dark, channels=LEDS, model=MODEL)
    for name, values in (("cross", dark), ("parallel", bright)):
        np.savez(tmp_path / f"{name}.npz", reflectance=values, wavelengths=LEDS.centres)
    out = tmp_path / "pair.h5"
    command = ["fit", str(tmp_path / "cross.npz"), "--parallel", str(tmp_path / "parallel.npz"), "--fwhm", "20", "-q"]
    assert main([*command, "--model", MODEL, "-o", str(out)]) == 0, capsys.readouterr().err
    assert_allclose(msfit.load_result(out).i_s, pair.i_s, atol=1e-6)


def test_from_disk_to_disk_is_the_same(tmp_path: Path) -> None:
    y = channel_values(LEDS, some_skin(40, 12, 0.01)[1]).astype(np.float32).reshape(8, 5, 6)
    np.savez(tmp_path / "leds.npz", reflectance=y, wavelengths=LEDS.centres)
    whole = msfit.fit(y, channels=LEDS)
    streamed = msfit.fit_file(tmp_path / "leds.npz", tmp_path / "maps.h5", channels=LEDS)
    np.testing.assert_array_equal(np.asarray(streamed.f_mel), whole.f_mel)


def test_a_measured_camera_is_read(reference_data: Path) -> None:
    camera = Channels.from_file(reference_data / "cameras" / "Canon_EOS_5D_380_780_5.json")
    assert camera.names == ("R", "G", "B")
    assert camera.centres[0] > camera.centres[1] > camera.centres[2]


GOOD = np.ones((2, 301))
GRID = np.arange(400.0, 701.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Channels(-GOOD, GRID), "channel 0 is negative, down to -1"),
        (lambda: Channels(GOOD * [[1], [0]], GRID), "channel 1 is 0 everywhere"),
        (lambda: Channels(GOOD, GRID[1:]), "wavelengths: "),
        (lambda: Channels(GOOD, GRID, ("one",)), "names: found 1 for 2 channels"),
        (lambda: Channels(GOOD * np.nan, GRID), "not finite"),
        (lambda: Channels.gaussian([500, 600], 0), "fwhm: found 0"),
        (lambda: LEDS.under((GRID, -np.ones(301))), "illuminant: found power that is negative"),
        (lambda: LEDS.under((GRID[:100], np.ones(100))), "lie outside; expected a light that reaches over"),
        (lambda: LEDS.under((GRID, np.ones(100))), "illuminant: found"),
        (lambda: LEDS.under("no such lamp"), "no such lamp"),
        (lambda: msfit.fit(np.ones((1, 5)), channels=LEDS), "channels: found 6"),
        (lambda: msfit.fit(np.ones((1, 3)) * 0.3, channels=RGB), "3 of them tell 3 numbers apart, and 4 are free"),
        (lambda: msfit.fit(np.ones((1, 6)) * 0.3, channels=LEDS, fwhm=20), "channels: says what the channels are"),
        (lambda: msfit.fit(np.ones((1, 6)) * 0.3, channels=LEDS, hold={"gloss": 0}), "hold: found 'gloss'"),
        (lambda: msfit.fit(np.ones((1, 6)) * 0.3, channels=LEDS, hold={"i_d": 0}), "hold: found i_d = 0"),
        (lambda: msfit.fit(np.ones((1, 31)) * 0.3, np.arange(400, 701, 10), illuminant="A"), "illuminant: it weighs"),
        (
            lambda: msfit.fit(np.ones((1, 6)) * 0.3, channels=Channels.gaussian([410, 505, 545, 577, 620, 660], 60)),
            "lie outside 400-",
        ),
        (lambda: msfit.fit(np.ones((1, 6)) * 0.3, channels=LEDS, bands="450:600:5"), "channels cannot be resampled"),
    ],
)
def test_refusals(make, words: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_cameras_do_not_share_what_is_kept() -> None:
    model = get_model(MODEL)
    assert through(model, LEDS) is through(model, Channels.gaussian([450, 505, 545, 577, 620, 660], 20))
    assert through(model, LEDS) is not through(model, Channels.gaussian([450, 505, 545, 577, 620, 660], 21))


def test_what_a_fit_left_out_of_responses_its_spectra_leave_out_too() -> None:
    broad = msfit.Channels.gaussian([450, 530, 600], 90)
    skin = msfit.reflectance([0.05, 0.15], 0.03, channels=broad, truncate=0.15)
    found = msfit.fit(0.8 * skin, channels=broad, truncate=0.15, hold={"i_s": 0})
    np.testing.assert_allclose(found.spectra(), 0.8 * skin, atol=1e-5)
    assert np.abs(found.residuals()).max() < 1e-5
    with pytest.raises(msfit.InputError, match="truncate"):
        msfit.reflectance(0.05, 0.03, channels=broad)
