"""Figures of results: they draw whatever a result holds, and their colour maps tell no lies."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from msfit.data.cube import Cube
from msfit.data.result import MAPS, FitResult, Status
from msfit.errors import InputError
from msfit.fitting.in_memory import fit
from msfit.plot import maps, panel, uncertainty_panel
from msfit.plot.fits import pixel_of_rmse
from msfit.plot.residuals import residuals
from msfit.plot.style import COLOUR_MAPS, robust_range
from msfit.skin.models import reflectance

BANDS = np.arange(400.0, 701.0, 10.0)


def a_result(shape: tuple[int, ...], with_cube: bool = True, model: str = "alotaibi-smith-2019") -> FitResult:
    rng = np.random.default_rng(2)
    f_mel, f_blood = rng.uniform(0.02, 0.4, shape), rng.uniform(0.002, 0.06, shape)
    i_d, i_s = rng.uniform(0.4, 1.2, shape), rng.uniform(0, 0.2, shape)
    fitted = i_d[..., None] * reflectance(f_mel, f_blood, BANDS, model="alotaibi-smith-2019") + i_s[..., None]
    measured = fitted + 0.01 * rng.standard_normal(fitted.shape)
    status = rng.choice([0, 0, 0, 0, 1, 8, 10], shape).astype(np.uint16)
    return FitResult(
        f_mel,
        f_blood,
        i_d,
        i_s,
        rmse=np.sqrt(np.mean((measured - fitted) ** 2, axis=-1)),
        status=status,
        model=model,
        bounds={"f_mel": (0.0, 0.43), "f_blood": (0.0, 0.07)},
        wavelengths=BANDS,
        attrs={"source": "some/face_$1$.mat", "seconds": 0.1},
        cube=Cube(measured, BANDS) if with_cube else None,
    )


def masked(result: FitResult, where: np.ndarray) -> FitResult:
    maps = {name: np.where(where, np.nan, getattr(result, name)) for name in MAPS}
    return replace(result, **maps, status=np.where(where, Status.MASKED_BY_USER, result.status).astype(np.uint16))


def words(result: FitResult, laid_out: bool = False) -> str:
    figure = panel(result)
    if not laid_out:  # where things go is half of the time
        figure.set_layout_engine("none")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    found = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return "\n".join(found)


def test_a_picture_shows_its_maps_with_units_and_counts() -> None:
    text = words(a_result((12, 9)), laid_out=True)
    for expected in ("face_$1$.mat", "alotaibi-smith-2019", "f_mel 0 to 0.43", "31 bands, 400 to 700 nm", "Melanin"):
        assert expected in text
    for label in ("f_mel [1]", "f_blood [1]", "i_d [1]", "i_s [1]", "RMSE of reflectance [1]", "wavelength [nm]"):
        assert label in text
    assert "measured, under D65" in text
    assert "both at a bound" in text


def test_spectra_show_distributions() -> None:
    text = words(a_result((40,)), laid_out=True)
    assert "Melanin and blood" in text
    assert "middle half" in text
    assert "spectra fitted" in text


@pytest.mark.parametrize("shape", [(1, 1), (2, 60), (1,)])
def test_any_shape_can_be_drawn(shape: tuple[int, ...]) -> None:
    words(a_result(shape))


@pytest.mark.parametrize("shape", [(5, 6), pytest.param((9,), marks=pytest.mark.slow)])
def test_nothing_fitted_can_be_drawn(shape: tuple[int, ...]) -> None:
    result = masked(a_result(shape), np.ones(shape, bool))
    assert "nothing fitted" in words(result)


@pytest.mark.parametrize("shape", [(5, 6), (9,)])
def test_without_the_cube_the_fit_itself_is_shown(shape: tuple[int, ...]) -> None:
    text = words(a_result(shape, with_cube=False))
    assert ("rendered from the fit" in text) == (len(shape) == 2)


@pytest.mark.parametrize("shape", [(5, 6), pytest.param((9,), marks=pytest.mark.slow)])
def test_a_model_that_is_not_registered_has_no_curve(shape: tuple[int, ...]) -> None:
    text = words(a_result(shape, model="of-another-session"))
    assert "not registered here" in text or "no spectra with fits at hand" in text


def test_bands_without_colour_make_a_grey_picture() -> None:
    result = a_result((5, 6))
    infrared = np.arange(710.0, 720.0, 1.0)
    assert result.cube is not None
    cube = Cube(result.cube.values[..., :10], infrared)
    assert "mean of the bands" in words(replace(result, cube=cube, wavelengths=infrared))


@pytest.mark.parametrize("with_cube", [True, False])
def test_a_large_picture_is_thinned(with_cube: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_FINEST", 10)
    result = a_result((40, 20), with_cube)
    if result.cube is not None:
        light = np.ones((40, 20, BANDS.size))
        result = replace(result, cube=replace(result.cube, illuminant=light, dark=0 * light, mask=light[..., 0] > 0))
    (picture,) = panel(result).axes[0].images
    assert picture.get_array().shape == (10, 5, 3)
    assert picture.get_extent() == [-0.5, 19.5, 39.5, -0.5]


def test_the_shown_pixel_is_the_one_of_median_rmse() -> None:
    result = a_result((7, 9))
    middle = pixel_of_rmse(result, 50)
    assert middle is not None
    assert result.rmse[middle] == np.median(result.rmse)
    inside = pixel_of_rmse(result, 50, result.status == Status.CONVERGED)
    assert inside is not None
    assert result.status[inside] == Status.CONVERGED
    assert pixel_of_rmse(masked(result, np.ones(result.shape, bool)), 50) is None


def test_residuals_are_measured_minus_fitted() -> None:
    result = a_result((30,))
    found = residuals(result)
    assert found is not None
    np.testing.assert_allclose(np.sqrt((found**2).mean(axis=1)), result.rmse, rtol=1e-12)


@pytest.mark.parametrize("name", ["f_mel", "f_blood", "i_s", "rmse"])
def test_equal_steps_of_a_map_look_equal(name: str) -> None:
    colours = COLOUR_MAPS[name](np.linspace(0, 1, 65))[:, :3]
    lab = rgb2lab(colours[None])[0]
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.std() < 0.25 * steps.mean()
    lightness = np.diff(lab[:, 0])
    assert (lightness > 0).all() or (lightness < 0).all()


def test_ranges_leave_outliers_and_gaps_aside() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [50.0, np.nan, np.inf]])
    low, high = robust_range(values)
    assert 0 <= low < 0.05
    assert 0.95 < high < 1.05
    assert robust_range([np.nan]) == (0.0, 1.0)
    low, high = robust_range([0.3, 0.3])
    assert low < 0.3 < high


def test_uncertainty_shows_where_two_parameters_trade() -> None:
    source = a_result((7, 6))
    assert source.cube is not None
    result = fit(source.cube, model="alotaibi-smith-2019", std=True)
    figure = uncertainty_panel(result)
    figure.savefig(io.BytesIO(), dpi=40)
    text = "\n".join(found.get_text() for found in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    for expected in ("std of f_mel [1]", "std of i_s [1]", "Strongest correlation", "The two that trade most", "%"):
        assert expected in text
    assert len(result.plot_uncertainty().axes) == len(figure.axes)
    with pytest.raises(InputError, match="std=True"):
        uncertainty_panel(source)
    with pytest.raises(InputError, match="list of spectra"):
        uncertainty_panel(a_result((5,)))


def test_std_and_gap_are_shown_where_asked_for_with_titles_of_their_own() -> None:
    result = a_result((6, 7))
    noise = {name: np.full((6, 7), 0.01) for name in ("f_mel", "f_blood", "i_d", "i_s")}
    result = masked(replace(result, std=noise, gap=np.full((6, 7), 1e-6)), np.eye(6, 7) > 0)
    assert "std" not in titles(panel(result))
    shown = titles(panel(result, std=True, gap=True))
    for title in ("Melanin, std", "Haemoglobin, std", "Specular shading, std", "Gap of the certificate", "Melanin"):
        assert title in shown
    assert "Residual of each band" in shown
    with pytest.raises(InputError, match="std: this result has none"):
        panel(a_result((6, 7)), std=True)
    with pytest.raises(InputError, match="gap: this result has none"):
        panel(a_result((6, 7)), gap=True)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_panels_of_two_results_share_ranges() -> None:
    figures = [panel(a_result(shape), ranges={"f_mel": (0, 0.4), "rmse": (0, 0.02)}) for shape in ((6, 7), (9, 4))]
    for figure in figures:
        (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left") == "Melanin")
        assert axes.images[0].get_clim() == (0, 0.4)
    for ranges, words in (({"colour": (0, 1)}, "ranges: found 'colour'"), ({"f_mel": (1, 0)}, "low < high")):
        with pytest.raises(InputError, match=words):
            panel(a_result((6, 7)), ranges=ranges)
