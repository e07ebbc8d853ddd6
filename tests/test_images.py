"""Panels compared as pictures: what is drawn of a map is its values in the colours of its scale, pixel by pixel."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import msfit
from msfit.data.result import FitResult, Status
from msfit.plot.style import COLOUR_MAPS, MASKED

NM = np.arange(400.0, 701.0, 20.0)
SHAPE = (6, 9)
KNOWN = np.linspace(0.02, 0.4, SHAPE[1])  # f_mel, column by column
HIDDEN = (slice(1, 3), slice(2, 4))


@pytest.fixture(scope="module")
def result() -> FitResult:
    """Skin that darkens from left to right, in light that fades from top to bottom, a patch of it masked."""
    i_d = np.linspace(1.0, 0.5, SHAPE[0])[:, None, None]
    mask = np.ones(SHAPE, bool)
    mask[HIDDEN] = False
    return msfit.fit(i_d * msfit.reflectance(KNOWN, 0.03, NM, model="msfit-issa-2026"), NM, mask=mask, device="cpu")


@pytest.fixture(scope="module")
def panel(result: FitResult) -> Figure:
    figure = result.plot()
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()
    return figure


def axes_of(panel: Figure, title: str) -> Axes:
    """The axes under a title."""
    (axes,) = (axes for axes in panel.axes if any(text.get_text() == title for text in axes.findobj(mpl.text.Text)))
    return axes


def drawn(panel: Figure, axes: Axes) -> np.ndarray:
    """Colours (y, x, 3) in the middle of each pixel of the picture that the axes show, as they come out on paper."""
    canvas = panel.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    paper = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = axes.transData.transform(np.stack([x.ravel(), y.ravel()], 1)).round().astype(int)
    return paper[len(paper) - 1 - places[:, 1], places[:, 0]].reshape(*SHAPE, 3)


@pytest.mark.parametrize(("title", "name"), [("Melanin", "f_mel"), ("Diffuse shading", "i_d")])
def test_a_map_shows_its_values_in_the_colours_of_its_scale(
    result: FitResult, panel: Figure, title: str, name: str
) -> None:
    axes = axes_of(panel, title)
    low, high = axes.images[0].get_clim()
    share = np.clip((result.map(name) - low) / (high - low), 0, 1)
    expected = COLOUR_MAPS[name](share)[..., :3]
    fitted = result.status < Status.MASKED_BY_USER
    assert fitted.sum() == SHAPE[0] * SHAPE[1] - 4
    np.testing.assert_allclose(drawn(panel, axes)[fitted], expected[fitted], atol=2.5 / 255)


def test_what_is_masked_is_grey_in_the_status_map(panel: Figure) -> None:
    colours = drawn(panel, axes_of(panel, "Status"))
    grey = np.abs(colours - to_rgb(MASKED)).max(-1) < 2 / 255
    expected = np.zeros(SHAPE, bool)
    expected[HIDDEN] = True
    np.testing.assert_array_equal(grey, expected)


def test_darker_skin_looks_darker_in_the_picture(panel: Figure) -> None:
    picture = drawn(panel, axes_of(panel, "Picture"))
    luminance = picture @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[-1, :]) < 0).all()  # melanin rises along a row
    assert (np.diff(luminance[:, 0]) < 0).all()  # light fades along a column
    assert (picture[-1, :, 0] > picture[-1, :, 2]).all()  # and skin is redder than it is blue
