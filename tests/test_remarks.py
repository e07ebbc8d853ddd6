"""What a user may not expect is warned of and logged, once, where the call stands; what is as it should be is not."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import msfit
from msfit import InputWarning
from msfit.cli import main

NM = np.arange(400.0, 701.0, 10.0)
RNG = np.random.default_rng(3)


def skin(f_mel: float, count: int = 40, noise: float = 0.003) -> np.ndarray:
    """Spectra of light or dark skin with the noise of a camera."""
    pure = 0.9 * msfit.reflectance(RNG.uniform(0.8 * f_mel, 1.2 * f_mel, count), 0.03, NM) + 0.03
    return pure + noise * RNG.standard_normal(pure.shape)


@pytest.mark.parametrize("f_mel", [0.03, 0.15, 0.35])
def test_skin_as_it_is_needs_no_word(f_mel: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert msfit.fit(skin(f_mel), NM).attrs["note"] == ""
        assert msfit.fit(skin(f_mel, 1)[0], NM).attrs["note"] == ""


@pytest.mark.parametrize("f_mel", [0.03, 0.15, 0.35])
@pytest.mark.parametrize("door", ["fit", "fit_spatial", "fit_file"])
def test_a_bad_band_is_named(f_mel: float, door: str, tmp_path: Path) -> None:
    spoiled = skin(f_mel).reshape(5, 8, 31)
    spoiled[..., 4] += 0.15
    given: tuple[Any, ...] = (spoiled, NM)
    if door == "fit_file":
        scene = xarray.Dataset({"reflectance": (("y", "x", "wavelength"), spoiled)}, {"wavelength": NM})
        scene.to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
        given = (tmp_path / "scene.nc", tmp_path / "maps.h5")
    with pytest.warns(InputWarning, match=r"440 nm") as caught:
        result = getattr(msfit, door)(*given)
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    assert "440 nm" in result.attrs["note"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        msfit.fit(spoiled, NM, weights={(440, 440): 0})


def test_a_poor_fit_is_told_with_its_worst_bands() -> None:
    wavy = skin(0.1) + 0.06 * np.sin(NM / 12)
    with pytest.warns(InputWarning, match=r"RMSE has a median of .* where skin gives about 0.0031; worst bands"):
        msfit.fit(wavy, NM)


def test_other_remarks_are_warned_of_too(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(InputWarning, match="descending order"), caplog.at_level(logging.WARNING, "msfit"):
        result = msfit.fit(skin(0.1)[:, ::-1], NM[::-1])
    assert [record.message for record in caplog.records] == [result.attrs["note"]]
    with pytest.warns(InputWarning, match="percent"):
        msfit.fit(100 * (0.5 * msfit.reflectance(np.full(40, 0.35), 0.03, NM) + 0.01), NM)
    with pytest.warns(InputWarning, match="the data hold 430-700"):
        msfit.fit_lazy(skin(0.1)[:, 3:], NM[3:], bands="400:700")


def test_the_command_line_says_a_remark_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "scene.npz", reflectance=(skin(0.1) + 0.15 * (NM == 500))[:, ::-1], wavelengths=NM[::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["fit", str(tmp_path / "scene.npz"), "-o", str(tmp_path / "maps.h5")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum("descending order" in line for line in lines) == 1
    assert sum("500 nm" in line for line in lines) == 1


def test_nothing_process_wide_is_changed() -> None:
    before = (list(warnings.filters), logging.getLogger().handlers[:], logging.getLogger("msfit").level)
    with pytest.warns(InputWarning):
        msfit.fit(skin(0.1)[:, ::-1], NM[::-1])
    assert before[1:] == (logging.getLogger().handlers, logging.getLogger("msfit").level)
