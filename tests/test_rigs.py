"""What rigs get wrong is refused on the command line: one line, exit code 2, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import msfit
from msfit.cli import main

NM = np.arange(400.0, 701.0, 10.0)
SIX = np.array([450.0, 505.0, 545.0, 577.0, 620.0, 660.0])
FINE = np.arange(400.0, 701.0)


def responses(folder: Path, name: str, table: np.ndarray, names: str = "") -> str:
    np.savetxt(folder / name, table, delimiter=",", header=names, comments="")
    return str(folder / name)


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """Scenes of six channels, of bands, of a pair through polarisers, and responses, good and bad."""
    leds = msfit.Channels.gaussian(SIX, 20)
    values = 0.8 * msfit.reflectance(np.full((5, 4), 0.06), 0.03, channels=leds)
    savemat(tmp_path / "six.mat", {"reflectance": values + 0.04, "wavelength": SIX})
    savemat(tmp_path / "three.mat", {"reflectance": values[..., :3], "wavelength": SIX[:3]})
    bands = 0.8 * msfit.reflectance(np.linspace(0.03, 0.1, 20).reshape(5, 4), 0.03, NM)
    savemat(tmp_path / "cross.mat", {"reflectance": bands, "wavelength": NM})
    savemat(tmp_path / "bright.mat", {"reflectance": bands + 0.1, "wavelength": NM})
    savemat(tmp_path / "wide.mat", {"reflectance": np.concatenate([bands, bands], 1), "wavelength": NM})
    green = np.ones((20, 20, 1)) * (0.02 + np.exp(-(((NM - 530) / 40) ** 2)))
    savemat(tmp_path / "green.mat", {"photons": green, "wave": NM, "mask": np.ones((20, 20))})
    savemat(tmp_path / "lit.mat", {"photons": 1e15 * bands, "wave": NM})
    light = np.ones((5, 4, 31)) * np.linspace(1, np.linspace(0.5, 1.5, 31), 5)[:, None]
    lamp = {"type": "illuminant", "spectrum": {"wave": NM}, "data": {"photons": light}}
    savemat(tmp_path / "two_lamps.mat", {"photons": light * bands, "wave": NM, "illuminant": lamp})
    good = np.column_stack([FINE, leds.on(FINE).T])
    responses(tmp_path, "good.csv", good)
    responses(tmp_path, "negative.csv", np.column_stack([FINE, leds.on(FINE).T - 0.1]))
    responses(tmp_path, "dead.csv", np.column_stack([good[:, :6], np.zeros(len(FINE))]))
    responses(tmp_path, "five.csv", good[:, :6])
    responses(tmp_path, "three.csv", good[:, :4])
    beyond = msfit.Channels.gaussian([*SIX[:5], 715.0], 40)
    responses(tmp_path, "beyond.csv", np.column_stack([np.arange(400.0, 781.0), beyond.on(np.arange(400.0, 781.0)).T]))
    responses(tmp_path, "short_lamp.csv", np.column_stack([FINE[:120], np.ones(120)]))
    (tmp_path / "unnamed.json").write_text('{"wavelengths": [500, 510], "responses": [[1, 1], [1, 2]], "names": ["a"]}')
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("six.mat --channels good.csv --light short_lamp.csv", "illuminant: known on 400-519 nm"),
        ("six.mat --channels good.csv --light no_lamp", "illuminant: 'no_lamp'"),
        ("six.mat --channels negative.csv", "responses: channel 0 is negative"),
        ("six.mat --channels dead.csv", "responses: channel 5 is 0 everywhere"),
        ("six.mat --channels beyond.csv", "of the response of"),
        ("six.mat --channels unnamed.json", "names: found 1 for 2 channels"),
        ("six.mat --channels five.csv", "channels: found 5, the data have 6 bands"),
        ("six.mat --channels absent.csv", "absent.csv: cannot be read"),
        ("three.mat --channels three.csv", "3 of them tell 3 numbers apart, and 4 are free"),
        ("six.mat --fwhm -1", "fwhm: found -1"),
        ("six.mat --fwhm 20 --channels good.csv", "channels: says what the channels are already"),
        ("two_lamps.mat --fwhm 20", "illuminant: its spectrum differs by up to"),
        ("six.mat --channels good.csv --hold gloss=0", "hold: found 'gloss'"),
        ("bright.mat --parallel cross.mat", "parallel: is darker than cross"),
        ("cross.mat --parallel wide.mat", "parallel: found a picture of (5, 8), cross has (5, 4)"),
        ("cross.mat --parallel six.mat", "parallel: found other wavelengths"),
        ("cross.mat --parallel absent.mat", "absent.mat: no such file"),
        ("cross.mat --parallel bright.mat --transmission 0", "transmission: found 0"),
        ("lit.mat", "no illuminant: radiance is no reflectance"),
        ("lit.mat --light estimate", "expected at least 50"),
        ("green.mat --light estimate", "illuminant: cannot be known"),
        ("six.mat --light estimate", "illuminant: skin has to be found first"),
        ("cross.mat --light estimate --parallel bright.mat", "'estimate' looks at a whole picture"),
    ],
)
def test_refused_in_one_line_with_nothing_left_behind(
    rig: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    monkeypatch.chdir(rig)
    before = sorted(path.name for path in rig.iterdir())
    assert main(["fit", *arguments.split(), "-o", "maps.h5", "--plot", "maps.png"]) == 2
    shown = capsys.readouterr()
    errors = [line for line in shown.err.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert said in errors[0], errors[0]
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert sorted(path.name for path in rig.iterdir()) == before


def test_a_response_that_is_cut_a_little_is_told(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    channels = msfit.Channels.gaussian([*SIX[:5], 703.0], 20)  # 2.3 % of the last lie beyond the model's 720 nm
    lost = float(channels.shares(400.0, 720.0)[2][-1])
    assert 0.01 < lost < 0.03
    values = 0.8 * msfit.reflectance([0.05, 0.1], 0.03, channels=channels) + 0.02
    with pytest.warns(msfit.InputWarning, match="left out: 2"):
        fit = msfit.fit(values, channels=channels)
    assert "are left out" in fit.attrs["note"]
    np.testing.assert_allclose(fit.f_mel, [0.05, 0.1], rtol=1e-4)


def test_a_light_that_varies_in_strength_alone_is_exact(rig: Path) -> None:
    channels = msfit.Channels.gaussian(SIX, 20)
    white = np.linspace(0.5, 2, 20).reshape(5, 4, 1) * np.array([3.0, 1.0, 2.0, 1.5, 1.0, 0.5])
    values = 0.8 * msfit.reflectance(np.full((5, 4), 0.06), 0.03, channels=channels) + 0.04
    fit = msfit.fit(msfit.Cube(white * values, None, white, channels=channels))
    np.testing.assert_allclose(fit.f_mel, 0.06, rtol=1e-4)
