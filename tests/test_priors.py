"""Priors at the doors: against scipy in all numbers, what they do where nothing is seen, files, doors, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import least_squares

import msfit
from msfit import Channels, InputError, SkinPrior
from msfit.cli import main
from msfit.io.datasets.issa import load_faces
from msfit.skin.prior import archive_prior
from tests.test_channels import LEDS, MODEL, NM, RGB, WIDE, channel_values, some_skin

NAMES = ("f_mel", "f_blood", "i_d", "i_s")
NOISE = 0.004
GAUSSIAN = {"f_mel": (0.12, 0.08), "f_blood": (0.03, 0.012), "i_s": (0.03, 0.02)}
_AXIS = np.exp(-0.5 * (np.subtract.outer(np.arange(31), np.arange(31)) / 4) ** 2)
MIXTURE = SkinPrior(
    [[0.06, 0.03, 0.03], [0.2, 0.02, 0.02]],
    [
        [[2e-3, -1e-4, 2e-4], [-1e-4, 1e-4, 0], [2e-4, 0, 4e-4]],
        [[6e-3, 2e-4, 1e-4], [2e-4, 2e-4, 5e-5], [1e-4, 5e-5, 4e-4]],
    ],
    ("f_mel", "f_blood", "i_s"),
    shares=[0.7, 0.3],
    residual=1e-5 * _AXIS,
    wavelengths=np.arange(400.0, 701.0, 10.0),
)


def posterior(prior: SkinPrior, channels: Channels) -> Callable[[np.ndarray, int], Callable[[np.ndarray], np.ndarray]]:
    """Residuals of a pixel under a component, whose squares sum to -2 log of noise times prior, but for a constant."""
    rows = np.stack([np.interp(NM, channels.wavelengths, row, 0, 0) for row in channels.responses])
    rows /= rows.sum(1, keepdims=True)
    noise = NOISE**2 * np.eye(len(rows))
    if prior.residual is not None:
        known = NM <= 700  # where residuals are known
        weights = rows[:, known] / rows[:, known].sum(1, keepdims=True)
        assert prior.wavelengths is not None
        seen = np.stack([np.interp(NM[known], prior.wavelengths, row) for row in np.eye(31)], 1)
        noise += weights @ seen @ prior.residual @ seen.T @ weights.T
    white = np.linalg.inv(np.linalg.cholesky(noise))
    places = [NAMES.index(name) for name in prior.names]

    def residuals(pixel: np.ndarray, component: int) -> Callable[[np.ndarray], np.ndarray]:
        mean, covariance = (np.asarray(part) for part in (prior.mean, prior.covariance))
        if prior.shares is not None:
            mean, covariance = mean[component], covariance[component]
        pull = np.linalg.inv(np.linalg.cholesky(covariance))

        def residual(v: np.ndarray) -> np.ndarray:
            model = v[2] * msfit.reflectance(v[0], v[1], model=MODEL, channels=channels) + v[3]
            return np.concatenate((white @ (pixel - model), pull @ (v[places] - mean)))

        return residual

    return residuals


def constant(prior: SkinPrior, component: int) -> float:
    if prior.shares is None:
        return 0.0
    return float(np.linalg.slogdet(prior.covariance[component])[1] - 2 * np.log(prior.shares[component]))


@pytest.mark.parametrize(
    ("channels", "prior", "options", "bounds"),
    [
        (RGB, SkinPrior.of(GAUSSIAN), {}, WIDE),
        (RGB, MIXTURE, {}, WIDE),
        (LEDS, MIXTURE, {}, WIDE),
        (RGB, SkinPrior.of(GAUSSIAN), {"bounds": {"i_d": (0.5, 0.7), "i_s": (0, 0.02)}},
         [*WIDE[:2], (0.5, 0.7), (0.0, 0.02)]),
        (RGB, SkinPrior.of(GAUSSIAN), {"hold": {"i_d": 0.8}}, [*WIDE[:2], (0.8, 0.8 + 1e-12), WIDE[3]]),
    ],
    ids=["gaussian", "mixture", "six LEDs", "bounded shadings", "level known"],
)  # fmt: skip
def test_no_start_of_scipy_ends_lower(
    channels: Channels, prior: SkinPrior, options: dict[str, Any], bounds: list[tuple[float, float]]
) -> None:
    y = channel_values(channels, some_skin(3, 3, noise=0.02)[1])
    result = msfit.fit(y, channels=channels, model=MODEL, dtype="float64", prior=prior, noise=NOISE, **options)
    of = posterior(prior, channels)
    low, high = np.array(bounds).T
    rng = np.random.default_rng(0)
    for k, pixel in enumerate(y):
        v = np.array([getattr(result, name)[k] for name in NAMES])
        components = range(1 if prior.shares is None else len(prior.shares))
        ours = min((of(pixel, c)(v) ** 2).sum() + constant(prior, c) for c in components)
        theirs = np.inf
        for component in components:
            residual = of(pixel, component)
            nodes = rng.uniform(low, np.minimum(high, 1.2), (60, 4))
            for start in sorted(nodes, key=lambda node: float((residual(node) ** 2).sum()))[:4]:
                end = least_squares(residual, start, bounds=(low, high), xtol=1e-14, ftol=1e-14)
                theirs = min(theirs, 2 * end.cost + constant(prior, component))
        assert ours <= theirs + 1e-4  # of -2 log density: 1e-8 times the noise's variance in reflectance squared


def test_where_nothing_is_seen_the_prior_comes_back_and_says_so() -> None:
    y = channel_values(RGB, some_skin(20)[1])
    blind = msfit.fit(y, channels=RGB, model=MODEL, prior={**GAUSSIAN, "i_d": (0.8, 0.1)}, noise=0.9, std=True)
    for name, (mean, deviation) in {**GAUSSIAN, "i_d": (0.8, 0.1)}.items():
        assert_allclose(getattr(blind, name), mean, atol=0.25 * deviation)
        assert blind.prior_share[name].min() > 0.95  # type: ignore[index]
        assert_allclose(blind.std[name], deviation, rtol=0.05)  # type: ignore[index]
    seen = msfit.fit(y, channels=RGB, model=MODEL, prior={**GAUSSIAN, "i_d": (0.8, 0.1)}, noise=1e-5)
    assert np.median(seen.prior_share["f_mel"]) < 0.05  # type: ignore[index]
    open_level = msfit.fit(y, channels=RGB, model=MODEL, prior=GAUSSIAN, noise=0.01)
    assert_array_equal(open_level.prior_share["i_d"], 0)  # type: ignore[index]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_standard_deviation_covers(dtype: str) -> None:
    """Numbers that come from the prior lie within one standard deviation in 66 to 70 % of all draws."""
    rng = np.random.default_rng(5)
    means, deviations = (np.array([pair[k] for pair in {**GAUSSIAN, "i_d": (0.8, 0.1)}.values()]) for k in (0, 1))
    deviations = 0.35 * deviations  # so that the bounds matter little
    x = means + deviations * rng.standard_normal((4000, 4))
    y = x[:, 3:] * msfit.reflectance(x[:, 0], x[:, 1], model=MODEL, channels=RGB) + x[:, 2:3]
    y += 0.01 * rng.standard_normal(y.shape)
    prior = dict(zip(("f_mel", "f_blood", "i_s", "i_d"), zip(means, deviations, strict=True), strict=True))
    result = msfit.fit(y.astype(dtype), channels=RGB, model=MODEL, prior=prior, noise=0.01, std=True, dtype=dtype)
    for name, true in zip(prior, x.T, strict=True):
        covered = np.abs(getattr(result, name) - true) < result.std[name]  # type: ignore[index]
        assert 0.66 < covered.mean() < 0.70, name


def test_a_missing_channel_is_left_out_of_correlated_noise_too() -> None:
    y = channel_values(LEDS, some_skin(12, 1, 0.003)[1])
    y[3, 1] = y[7, 4] = y[8, 1] = np.nan
    options: dict[str, Any] = {"model": MODEL, "prior": MIXTURE, "noise": NOISE, "dtype": "float64", "std": True}
    whole = msfit.fit(y, channels=LEDS, **options)
    for pixel, missing in ((3, 1), (7, 4), (8, 1)):
        others = [channel for channel in range(6) if channel != missing]
        alone = msfit.fit(y[pixel, others], channels=LEDS.take(others), **options)
        for name in NAMES:
            assert_allclose(alone.map(name)[0], whole.map(name)[pixel], rtol=1e-6, atol=1e-9)
            assert_allclose(alone.std[name][0], whole.std[name][pixel], rtol=1e-4)  # type: ignore[index]


def test_maps_are_a_prior_a_pixel_at_every_door(tmp_path: Path) -> None:
    y = channel_values(RGB, some_skin(24, 2)[1]).reshape(6, 4, 3).astype(np.float32)
    means = np.linspace(0.05, 0.3, 24).reshape(6, 4)
    means[2, 1] = np.nan
    prior = {**GAUSSIAN, "f_mel": (means, 0.01)}
    options: dict[str, Any] = {"channels": RGB, "model": MODEL, "noise": 0.02, "std": True}
    maps = msfit.fit(y, prior=prior, **options)
    assert maps.status[2, 1] == msfit.Status.MASKED_BY_USER
    for row, column in ((0, 0), (3, 2), (5, 3)):
        one = msfit.fit(y[row, column], prior={**GAUSSIAN, "f_mel": (means[row, column], 0.01)}, **options)
        assert_allclose(one.f_mel[0], maps.f_mel[row, column], rtol=1e-5)
    np.savez(tmp_path / "rgb.npz", reflectance=y, wavelengths=RGB.centres)
    streamed = msfit.fit_file(tmp_path / "rgb.npz", tmp_path / "maps.h5", prior=prior, **options)
    lazy = msfit.fit_lazy(y, prior=prior, **options)
    back = msfit.load_result(tmp_path / "maps.h5")
    for name in NAMES:
        for other in (streamed, lazy, back):
            assert_array_equal(np.asarray(getattr(other, name)), maps.map(name))
        assert_array_equal(np.asarray(back.prior_share[name]), maps.prior_share[name])  # type: ignore[index]
        assert_array_equal(np.asarray(lazy[f"prior_share_{name}"]), maps.prior_share[name])  # type: ignore[index]


@pytest.mark.parametrize("ending", [".h5", ".mat", ".npz", ".csv", ".zarr", ".hdr", ".tif"])
def test_shares_come_back_from_files(ending: str, tmp_path: Path) -> None:
    y = channel_values(RGB, some_skin(6)[1])
    result = msfit.fit(y, channels=RGB, model=MODEL, prior=GAUSSIAN, noise=0.003)
    result.save(tmp_path / f"maps{ending}")
    back = msfit.load_result(tmp_path / f"maps{ending}")
    assert back.attrs["prior"] == "f_mel=0.12:0.08, f_blood=0.03:0.012, i_s=0.03:0.02"
    for name, values in result.prior_share.items():  # type: ignore[union-attr]
        assert_allclose(back.prior_share[name], values)  # type: ignore[index]
    assert "prior_share_f_mel" in result.to_dataframe()


def test_the_command_line_takes_priors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = channel_values(RGB, some_skin(6)[1])
    np.savez(tmp_path / "rgb.npz", reflectance=y, wavelengths=RGB.centres)
    np.savez(
        tmp_path / "prior.npz", mean=MIXTURE.mean, covariance=MIXTURE.covariance, names=MIXTURE.names,
        shares=MIXTURE.shares,
    )  # fmt: skip
    command = ["fit", str(tmp_path / "rgb.npz"), "--fwhm", "60", "--noise", "0.003", "-q", "--model", MODEL]
    for number, (prior, given) in enumerate(
        [("f_mel=0.12:0.08,f_blood=0.03:0.012,i_s=0.03:0.02", GAUSSIAN),
         (str(tmp_path / "prior.npz"), SkinPrior.from_file(tmp_path / "prior.npz"))]
    ):  # fmt: skip
        out = tmp_path / f"maps{number}.npz"
        assert main([*command, "--prior", prior, "-o", str(out)]) == 0, capsys.readouterr().err
        expected = msfit.fit(tmp_path / "rgb.npz", fwhm=60, model=MODEL, prior=given, noise=0.003)
        assert_array_equal(msfit.load_result(out).f_mel, expected.f_mel)
    for words in ("f_mel=0.12", "nothing", "f_mel=0.1:0", "f_mel=a:b"):
        assert main([*command, "--prior", words, "-o", str(tmp_path / "none.npz")]) == 2
        error = capsys.readouterr().err
        assert "prior" in error
        assert error.count("\n") == 1


def test_bands_in_the_prior_of_a_pair(tmp_path: Path) -> None:
    x, spectra = some_skin(9, 4)
    x[:, 3] = 0
    dark = channel_values(RGB, spectra) - 0
    pair = msfit.fit_polarised(dark + 0.1, dark, channels=RGB, model=MODEL, prior=GAUSSIAN, noise=0.003)
    assert_allclose(pair.i_s, 0.1, atol=1e-6)
    assert "i_s" in pair.prior_share  # type: ignore[operator]
    assert np.isnan(pair.prior_share["i_s"]).all()  # type: ignore[index]


def test_the_archives_prior_is_of_each_model_it_was_made_for() -> None:
    prior = archive_prior("msfit-issa-2025", contact=True)
    assert prior.names == NAMES
    assert archive_prior("msfit-issa-2025").names == ("f_mel", "f_blood", "i_s")
    with pytest.raises(InputError, match="has none for model jacques-km; expected one of msfit-issa-2025"):
        msfit.fit(Y, channels=RGB, prior="archive", noise=0.003, model="jacques-km")
    people = load_faces()
    spectra = np.asarray(people.cube.reflectance, np.float64)[::40]
    rgb = Channels.gaussian([470, 530, 600], 60)
    y = spectra @ rgb.on(people.cube.wavelengths).T / rgb.on(people.cube.wavelengths).sum(1)
    fits = [msfit.fit(y, channels=rgb, prior=name, noise=0.003) for name in ("archive", "archive-contact")]
    whole = msfit.fit(spectra, people.cube.wavelengths)
    dark = whole.f_mel > 0.2
    # who is dark is not drawn to the middle where the level is known, and where it is not the map says so
    assert abs(np.median((fits[1].f_mel - whole.f_mel)[dark])) < 0.5 * np.sqrt(prior.variance[0])
    assert fits[0].prior_share is not None
    assert np.median(fits[0].prior_share["f_mel"][dark]) > 0.8 > 0.2 > np.median(fits[0].prior_share["f_mel"][~dark])


Y = np.full((1, 3), 0.3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prior": GAUSSIAN}, "prior: given without noise"),
        ({"prior": "people", "noise": 0.01}, "prior: found 'people'"),
        ({"prior": 3, "noise": 0.01}, "prior: found int"),
        ({"prior": {}, "noise": 0.01}, "prior: found no numbers"),
        ({"prior": {"gloss": (0, 1)}, "noise": 0.01}, "prior: found gloss"),
        ({"prior": {"f_mel": 0.1}, "noise": 0.01}, r"prior: found f_mel = 0.1; expected \(mean"),
        ({"prior": {"f_mel": (0.1, 0)}, "noise": 0.01}, "prior: found a standard deviation of f_mel"),
        ({"prior": {"f_mel": (np.zeros((3, 2)), 0.1), "i_s": (np.zeros(4), 1)}, "noise": 0.01}, "different shapes"),
        ({"prior": {"f_mel": (np.zeros((3, 2)), 0.1), "i_s": (0, 1)}, "noise": 0.01}, "3 x 2 pixels, the"),
        ({"prior": {"i_s": (0, 1)}, "noise": 0.01, "hold": {"i_s": 0}}, "nothing of that is free"),
        ({"prior": GAUSSIAN, "noise": 0.01, "huber": 0.01}, "prior: goes with normal noise"),
        ({"prior": GAUSSIAN, "noise": 0.01, "weights": [1, 1, 2]}, "prior: weighs bands by their noise"),
        ({"prior": GAUSSIAN, "noise": 0.01, "certify": True}, "prior: is beyond what certificates prove"),
        ({"prior": GAUSSIAN, "noise": 0.01, "free": ["f_mel", "f_blood", "saturation"]}, "prior: does not go"),
        ({"prior": {"f_mel": (0.1, 0.1)}, "noise": 0.01, "channels": RGB.take([0, 1])},
         "2 of them tell 3 numbers apart with the prior"),
        ({}, "or take a prior"),
    ],
)  # fmt: skip
def test_refusals(options: dict[str, Any], words: str) -> None:
    channels = options.pop("channels", RGB)
    with pytest.raises(InputError, match=words) as caught:
        msfit.fit(Y[:, : len(channels)], channels=channels, model=MODEL, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([0.1], [[0.0]], ("f_mel",)), "not positive"),
        (([0.1, 0.1], [[1, 0.5], [0.2, 1]], ("f_mel", "i_s")), "not symmetric"),
        (([0.1, 0.1], [[1, 2], [2, 1]], ("f_mel", "i_s")), "not positive"),
        (([0.1, 0.1], [[1.0]], ("f_mel", "i_s")), r"expected \(..., 2\)"),
        (([0.1, 0.1], np.eye(2), ("f_mel", "f_mel")), "found f_mel, f_mel"),
        (([[0.1]], [[[1.0]]], ("f_mel",), [-1.0]), "a positive one a component"),
    ],
)
def test_densities_that_are_refused(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SkinPrior(*given)
