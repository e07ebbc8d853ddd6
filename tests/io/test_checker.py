"""White from a ColorChecker in the picture: the light is that which shone, or the chart is said not to be there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import msfit
from msfit.cli import main
from msfit.errors import InputError
from msfit.io import checker

colour = pytest.importorskip("colour", reason="colour-science is not installed: pip install 'msfit[checker]'")
pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'msfit[checker]'")

NM = np.arange(400.0, 741.0, 20.0)
LIGHT = np.linspace(20_000, 45_000, NM.size)
SHAPE = (150, 210)
PATCH, GAP, TOP, LEFT = 18, 3, 30, 40
# right of the top, right and left of the bottom, left of the top; x, y
CORNERS = np.array([[6, 0], [6, 4], [0, 4], [0, 0]]) * (PATCH + GAP) + [LEFT - GAP / 2, TOP - GAP / 2]


@pytest.fixture(scope="module")
def reflectance() -> np.ndarray:
    """A chart in a black frame before a grey wall."""
    charts = colour.characterisation.SDS_COLOURCHECKERS["BabelColor Average"]
    swatches = [np.interp(NM, one.wavelengths, one.values) for one in charts.values()]
    values = np.full((*SHAPE, NM.size), 0.18)
    values[TOP - GAP : TOP + 4 * (PATCH + GAP), LEFT - GAP : LEFT + 6 * (PATCH + GAP)] = 0.03
    for number, swatch in enumerate(swatches):
        y, x = (start + index * (PATCH + GAP) for start, index in zip((TOP, LEFT), divmod(number, 6), strict=True))
        values[y : y + PATCH, x : x + PATCH] = swatch
    return values


def counts(reflectance: np.ndarray, path: Path, dark: float = 0) -> Path:
    noise = 60 * np.random.default_rng(3).standard_normal(reflectance.shape)
    np.savez(path, counts=np.clip(reflectance * LIGHT + dark + noise, 0, 65535).astype(np.uint16), wave=NM)
    return path


@pytest.mark.parametrize("turns", [0, 2])
def test_the_light_is_that_on_the_white_patch(
    reflectance: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    corners = CORNERS if turns == 0 else np.array([SHAPE[1], SHAPE[0]]) - CORNERS
    monkeypatch.setattr(checker, "_found", lambda picture: corners)
    scene = counts(np.rot90(reflectance, turns), tmp_path / "scene.npz", dark=500)
    cube = msfit.load(scene, white="checker", dark=500)
    known = NM <= 730
    np.testing.assert_allclose(np.asarray(cube.illuminant)[known], LIGHT[known], rtol=2e-3)
    assert np.isnan(np.asarray(cube.illuminant)[~known]).all()  # nobody says what the patch reflects there
    assert cube.provenance["white"].startswith("white patch of a ColorChecker, ")


def test_bands_that_the_patch_saturates_get_no_light(
    reflectance: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "_found", lambda picture: CORNERS)
    light = np.asarray(
        msfit.load(counts(reflectance, tmp_path / "a.npz"), white="checker", saturation=35_000).illuminant
    )
    assert np.isfinite(light[LIGHT < 36_000]).all()
    assert np.isnan(light[LIGHT > 40_000]).all()


def test_refusals(reflectance: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "list.npz", counts=reflectance[0].astype(np.float32), wave=NM)
    with pytest.raises(InputError, match="holds 210 spectra and no picture"):
        msfit.load(tmp_path / "list.npz", white="checker")
    scene = counts(reflectance, tmp_path / "scene.npz")
    monkeypatch.setattr(checker, "_found", lambda picture: CORNERS / 12)
    with pytest.raises(InputError, match=r"white patch has [0-8] pixels"):
        msfit.load(scene, white="checker")
    monkeypatch.setattr(checker, "_found", lambda picture: None)
    with pytest.raises(InputError, match="no ColorChecker Classic in the picture"):
        msfit.load(scene, white="checker")


@pytest.mark.slow
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_chart_is_found(reflectance: np.ndarray, tmp_path: Path, turns: int) -> None:
    pytest.importorskip("colour_checker_detection", reason="not installed: pip install 'msfit[checker]'")
    before = np.get_printoptions()
    scene = counts(np.rot90(reflectance, turns), tmp_path / "scene.npz")
    light = np.asarray(msfit.load(scene, white="checker").illuminant)
    np.testing.assert_allclose(light[NM <= 730], LIGHT[NM <= 730], rtol=2e-3)
    assert np.get_printoptions() == before


@pytest.mark.slow
def test_no_chart_is_found_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a face, on noise, on a board of equal squares, with exit status 2."""
    pytest.importorskip("colour_checker_detection", reason="not installed: pip install 'msfit[checker]'")
    rng = np.random.default_rng(1)
    y, x = np.indices(SHAPE)
    board = np.where(((y // 18 + x // 18) % 2)[..., None], 0.7, 0.1) * np.ones(NM.size)
    face = 0.05 + 0.4 * np.exp(-(((y - 75) / 50) ** 2) - ((x - 105) / 35) ** 2)[..., None] * np.linspace(
        0.3, 1, NM.size
    )
    for values in (face, rng.uniform(0.02, 0.9, (*SHAPE, NM.size)), board):
        scene = counts(values, tmp_path / "scene.npz")
        assert main(["info", str(scene), "--white", "checker"]) == 2
        assert "found no ColorChecker Classic" in capsys.readouterr().err
