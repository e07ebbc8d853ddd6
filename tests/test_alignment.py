"""Bands that moved: displacements that were put in are found, whatever the contrast of the bands; refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

import msfit
from benchmarks.alignment import moved, random_fields
from msfit.align import flow
from msfit.cli import main
from msfit.errors import InputError

NM = np.arange(500.0, 641.0, 20.0)
SIDE = 96
NOISE = np.random.default_rng(0).random((SIDE, SIDE))
INNER = np.s_[12:-12, 12:-12]


def skin(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture (y, x, band) of skin with detail of every size in shading, melanin and blood; and its f_mel."""
    rng = np.random.default_rng(seed)

    def map_of(low: float, high: float) -> np.ndarray:
        found = sum(gaussian_filter(rng.standard_normal((SIDE, SIDE)), size) * size for size in (1.0, 2.0, 4.0, 8.0))
        found = (found - found.min()) / np.ptp(found)
        return np.asarray(low + (high - low) * found)

    f_mel = map_of(0.04, 0.14)
    return map_of(0.5, 1.0)[..., None] * msfit.reflectance(f_mel, map_of(0.01, 0.04), NM), f_mel


@pytest.fixture(scope="module")
def apart() -> tuple[msfit.Cube, np.ndarray, msfit.Cube, np.ndarray]:
    """Bands that moved, the fields, the bands before, and f_mel."""
    still, f_mel = skin()
    fields = random_fields((SIDE, SIDE), len(NM) // 2, len(NM), np.random.default_rng(1))
    away = np.stack([moved(still[..., b], fields[b]) for b in range(len(NM))], -1)
    noise = 0.002 * np.random.default_rng(2).standard_normal(still.shape)
    return msfit.Cube(away + noise, NM), fields, msfit.Cube(still + noise, NM), f_mel


@pytest.fixture(scope="module")
def aligned(apart: tuple) -> object:
    return msfit.align_bands(apart[0], fixed=float(NM[len(NM) // 2]))


def test_displacements_are_found(apart: tuple, aligned) -> None:
    fields = apart[1]
    left = np.hypot(*(aligned.fields - fields).swapaxes(0, 1))[:, *INNER]
    assert np.hypot(*fields.swapaxes(0, 1)).mean() > 1.5
    assert (left.mean((1, 2)) < 0.15).all()
    assert aligned.fixed == len(NM) // 2
    assert (aligned.correlation > 0.8).all()


def test_pigments_come_back(apart: tuple, aligned) -> None:
    away, _, still, f_mel = apart

    def rmse(cube: msfit.Cube) -> float:
        return float(np.sqrt(np.nanmean((msfit.fit(cube).f_mel - f_mel)[INNER] ** 2)))

    assert rmse(aligned.cube) < 1.2 * rmse(still)
    assert rmse(away) > 2 * rmse(still)


def test_what_lies_outside_of_a_band_is_missing_and_the_rest_is_not(apart: tuple, aligned) -> None:
    values = aligned.cube.reflectance
    assert np.isnan(values).any()
    assert np.isfinite(values[INNER]).all()
    assert aligned.cube.values.dtype == apart[0].values.dtype
    np.testing.assert_array_equal(aligned.before.values, apart[0].values)


def test_a_picture_in_register_stays(apart: tuple) -> None:
    still = apart[2]
    left = msfit.align_bands(msfit.Cube(still.values[..., ::2], NM[::2]))
    assert np.hypot(*left.fields.swapaxes(0, 1))[:, *INNER].mean() < 0.1


def test_white_reference_stays_where_it_was_taken(apart: tuple, aligned) -> None:
    cube = apart[0]
    light = np.linspace(1, 3, SIDE)[:, None, None] * np.linspace(1, 2, len(NM)) * np.ones((SIDE, SIDE, 1))
    lit = msfit.align_bands(msfit.Cube(cube.values * light, NM, light), fixed=float(NM[len(NM) // 2]))
    np.testing.assert_allclose(lit.cube.reflectance[INNER], aligned.cube.reflectance[INNER], atol=1e-6)


def test_fields_compose_and_invert() -> None:
    field = random_fields((64, 64), 1, 1, np.random.default_rng(3))[0]
    there_and_back = flow.composed(field, flow.inverted(field))
    assert np.abs(there_and_back[:, 8:-8, 8:-8]).max() < 0.02


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda v: v.__setitem__((..., 2), np.random.default_rng(0).random(v.shape[:2])),
            "band 540 nm cannot be aligned",
            marks=pytest.mark.slow,  # the bands before it are aligned first
        ),
        (lambda v: v.__setitem__((..., 2), 0.3), "band 540 nm cannot be aligned: it is empty"),
        (lambda v: v.__setitem__((..., 2), np.nan), "band 540 nm cannot be aligned: it is empty"),
    ],
)
def test_a_band_that_cannot_be_aligned_is_refused(apart: tuple, change, said: str) -> None:
    values = apart[0].values.copy()
    change(values)
    with pytest.raises(InputError, match=said):
        msfit.align_bands(msfit.Cube(values, NM))


def test_what_is_no_picture_is_refused() -> None:
    for shape, said in (
        ((100, 8), "expected a picture"),
        ((20, 100, 8), "48 pixels or more"),
        ((60, 60, 1), "found 1"),
    ):
        values = np.random.default_rng(0).random(shape)
        with pytest.raises(InputError, match=said):
            msfit.align_bands(msfit.Cube(values, NM[: shape[-1]]))


def test_command_line_and_figure(apart: tuple, aligned, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aligned.plot().savefig(tmp_path / "aligned.png")
    with Image.open(tmp_path / "aligned.png") as drawn:
        assert drawn.width > 1000
    savemat(tmp_path / "scene.mat", {"reflectance": apart[0].values, "wavelength": NM})
    out = tmp_path / "maps.h5"
    assert main(["fit", str(tmp_path / "scene.mat"), "-o", str(out), "--align"]) == 0
    assert "bands brought onto that at" in capsys.readouterr().err
    assert out.exists()
    refused = tmp_path / "no.h5"
    assert main(["fit", str(tmp_path / "scene.mat"), "-o", str(refused), "--align", "--memory", "1GiB"]) == 2
    assert "align: brings the bands of one picture" in capsys.readouterr().err
    assert not refused.exists()
