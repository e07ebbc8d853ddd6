"""Choosing channels: the bound against its definition, exchange against every set there is, refusals."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from scipy.interpolate import CubicSpline
from scipy.stats import spearmanr

import msfit
from msfit import Channels, InputError
from msfit.cli import main
from msfit.io.datasets.issa import load_faces
from msfit.metrics import design
from msfit.metrics.design import archive_numbers, design_channels, residual_covariance, sensitivities
from msfit.skin import DEFAULT_MODEL
from msfit.synth.people import subjects

CATALOGUE = Channels.gaussian([445, 475, 505, 530, 545, 560, 577, 600, 630, 660], 20)
LEDS = Channels.gaussian([450, 505, 545, 577, 620, 660], 20)


@cache
def slopes_of(channels: Channels) -> np.ndarray:
    """Derivatives (person, channel, 4) of the model's values by finite differences."""
    numbers = archive_numbers(DEFAULT_MODEL)

    def values(v: np.ndarray) -> np.ndarray:
        seen = msfit.reflectance(v[:, 0], v[:, 1], model=DEFAULT_MODEL, channels=channels)
        return v[:, 2:3] * seen + v[:, 3:]

    # forward: some persons lie at f_blood = 0
    return np.stack([(values(numbers + step) - values(numbers)) / 1e-7 for step in 1e-7 * np.eye(4)], -1)


def bound(channels: Channels, some: tuple[int, ...] | None = None, noise: float = 0.003) -> np.ndarray:
    """Standard errors of the pigments in some of the channels, person after person."""
    chosen = list(range(len(channels)) if some is None else some)
    known = np.diag(1 / archive_numbers(DEFAULT_MODEL).var(0))
    left = residual_covariance(channels, DEFAULT_MODEL)[np.ix_(chosen, chosen)]
    variances = []
    for g in slopes_of(channels)[:, chosen]:
        gain = np.linalg.solve(known + g.T @ g / noise**2, g.T / noise**2)
        shrunk = np.eye(4) - gain @ g  # of what is known beforehand
        total = gain @ (left + noise**2 * np.eye(len(left))) @ gain.T + shrunk @ np.linalg.inv(known) @ shrunk.T
        variances.append(np.diag(total)[:2])
    return np.sqrt(np.mean(variances, 0))


def test_the_error_is_that_of_the_linear_estimate() -> None:
    found = design_channels(4, catalogue=CATALOGUE)
    assert_allclose(found.error[-1], bound(found.channels), rtol=1e-3)


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_no_set_of_a_catalogue_is_better(count: int) -> None:
    found = design_channels(count, catalogue=CATALOGUE)
    worth = (found.error[-1] / found.spread) ** 2
    every = [(bound(CATALOGUE, some) / found.spread) ** 2 for some in combinations(range(10), count)]
    assert worth.sum() <= min(one.sum() for one in every) * 1.001


def test_further_channels_never_hurt_and_beat_common_leds() -> None:
    found = design_channels(6)
    total = ((found.error / found.spread) ** 2).sum(1)
    assert (np.diff(total) < 0).all()
    assert total[0] < 2  # what is known without any channel
    assert total[-1] < ((bound(LEDS) / found.spread) ** 2).sum()
    assert len(str(found).splitlines()) == 8


def test_less_noise_and_held_gloss_tell_more() -> None:
    usual = design_channels(4, catalogue=CATALOGUE).error[-1]
    assert (design_channels(4, catalogue=CATALOGUE, noise=0.001).error[-1] < usual).all()
    held = design_channels(4, catalogue=CATALOGUE, hold=["i_s"])
    assert ((held.error[-1] / held.spread) ** 2).sum() < ((usual / held.spread) ** 2).sum()


def test_slopes_are_those_of_the_model() -> None:
    numbers = np.array([[0.05, 0.03, 0.8, 0.02]])
    slopes = sensitivities(LEDS, numbers)
    assert slopes.shape == (6, 1, 4)
    assert_allclose(slopes[:, 0, 2], msfit.reflectance(0.05, 0.03, model=DEFAULT_MODEL, channels=LEDS), rtol=1e-12)
    assert_allclose(slopes[:, 0, 3], 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0}, "count: found 0"),
        ({"count": 11, "catalogue": CATALOGUE}, "expected 1 to 10"),
        ({"count": 3, "noise": 0.0}, "noise: found 0"),
        ({"count": 3, "hold": ["f_mel"]}, "hold: found f_mel"),
        ({"count": 1, "catalogue": Channels.gaussian([350], 20)}, "lie outside"),
    ],
)
def test_refusals(arguments: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        design.design_channels(**arguments)


def test_six_designed_channels_beat_six_common_leds_on_held_out_people() -> None:
    faces = load_faces()
    nm, fine = faces.cube.wavelengths, np.arange(400.0, 701.0)
    theirs = np.flatnonzero(np.isin(faces.person, [one.person for one in subjects("test")]))
    spectra = np.asarray(faces.cube.reflectance, np.float64)[np.random.default_rng(5).permutation(theirs)[:250]]
    truth = msfit.fit(spectra, nm)

    def told(channels: Channels, noise: float) -> list[float]:
        """Rank correlations with the fit in 31 bands, and minus the 95 % errors, of f_mel and f_blood."""
        weights = channels.on(fine)
        values = CubicSpline(nm, spectra, axis=1)(fine) @ (weights / weights.sum(1, keepdims=True)).T
        fit = msfit.fit(values + noise * np.random.default_rng(6).standard_normal(values.shape), channels=channels)
        pairs = [(fit.f_mel, truth.f_mel), (fit.f_blood, truth.f_blood)]
        far = [-float(np.quantile(np.abs(one - other), 0.95)) for one, other in pairs]
        return [float(spearmanr(one, other)[0]) for one, other in pairs] + far

    designed = design_channels(6, width=20, noise=0.003).channels
    for noise in (0.0, 0.003):
        assert (np.array(told(designed, noise)) > told(LEDS, noise)).all()


def test_command_prints_the_table_and_writes_what_fit_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue, design_file, figure = tmp_path / "filters.csv", tmp_path / "design.json", tmp_path / "design.png"
    table = np.column_stack([CATALOGUE.wavelengths, CATALOGUE.responses.T])
    np.savetxt(catalogue, table, delimiter=",", header="nm," + ",".join(CATALOGUE.names), comments="")
    options = ["--from", str(catalogue), "--channels", "4", "-o", str(design_file), "--plot", str(figure)]
    assert main(["design", *options]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    found = design_channels(4, catalogue=CATALOGUE)
    assert said.out.splitlines() == str(found).splitlines()
    written = json.loads(design_file.read_text())
    assert [len(size["channels"]) for size in written["design"]["sizes"]] == [1, 2, 3, 4]
    assert_allclose(written["design"]["sizes"][-1]["error"]["f_mel"], found.error[-1, 0], rtol=1e-6)
    read = Channels.from_file(design_file)
    assert read.names == found.channels.names
    assert_allclose(read.centres, found.channels.centres, atol=0.02)
    with Image.open(figure) as drawn:
        assert drawn.width > 1000
    assert main(["design", *options]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--channels", "0"], "count: found 0"),
        (["--noise", "0"], "noise: found 0"),
        (["--noise", "1e300"], "noise: found 1e+300"),
        (["--noise", "1e-12"], "noise: found 1e-12; expected 1e-06 to 10"),
        (["--noise", "nan"], "noise: found nan"),
        (["--width", "-3"], "fwhm: found -3"),
        (["--width", "1e300"], "fwhm: found 1e+300; expected widths up to 2000 nm"),
        (["--width", "300"], "width: found 300; expected channels that lie within"),
        (["--hold", "f_mel"], "hold: found f_mel"),
        (["--from", "absent.csv"], "absent.csv: cannot be read"),
        (["--from", "absent.csv", "--width", "20"], "--width: given beside --from"),
        (["--model", "none"], "model"),
        (["-o", "design.txt"], "found the extension '.txt'"),
        (["--plot", "absent/design.png"], "there is no folder absent"),
    ],
)
def test_command_refuses_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["design", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("msfit: error: ")
    assert error.count("\n") == 1
    assert said in error
    assert not list(tmp_path.iterdir())
