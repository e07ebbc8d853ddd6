"""The page: what it holds is what the result holds, and in a browser every control of it works."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import msfit
from msfit.cli import main
from msfit.errors import InputError
from msfit.view import Page, make_page
from msfit.view.packing import pack_spectra

NM = np.arange(400.0, 701.0, 10.0)
SHAPE = (24, 40)


@pytest.fixture(scope="module")
def result() -> msfit.FitResult:
    """A picture of light to dark skin, one pixel of it masked."""
    rng = np.random.default_rng(8)
    f_mel = np.linspace(0.02, 0.38, SHAPE[1]) * np.ones(SHAPE)
    f_blood = np.linspace(0.01, 0.06, SHAPE[0])[:, None] * np.ones(SHAPE)
    skin = 0.8 * msfit.reflectance(f_mel, f_blood, NM) + 0.04
    mask = np.ones(SHAPE, bool)
    mask[3, 5] = False
    return msfit.fit(skin + 0.003 * rng.standard_normal(skin.shape), NM, mask=mask)


def held(page: str) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert text is not None
    return json.loads(text[1])


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def test_maps_and_statuses_are_those_of_the_result(result: msfit.FitResult) -> None:
    data = held(result.view())
    for item in data["maps"]:
        expected = np.asarray(getattr(result, item["name"]), np.float32)
        np.testing.assert_array_equal(unpacked(item["data"], "<f4").reshape(SHAPE), expected)
    np.testing.assert_array_equal(unpacked(data["status"], "<u2").reshape(SHAPE), result.status)
    assert data["meanings"]["256"] == msfit.Status.MASKED_BY_USER.meaning


def test_spectra_come_back_within_the_error_that_is_stated(result: msfit.FitResult) -> None:
    spectra = result.spectra().reshape(-1, NM.size)
    spectra[7] = np.nan
    packed = pack_spectra(spectra)
    coefficients = unpacked(packed["coefficients"], "<i2").reshape(-1, len(spectra))
    again = np.array(packed["mean"]) + coefficients.T @ np.array(packed["basis"])
    known = unpacked(packed["known"], "u1").astype(bool)
    np.testing.assert_array_equal(known, np.isfinite(spectra).all(axis=1))
    assert np.sqrt(((again - spectra)[known] ** 2).mean()) == pytest.approx(packed["error"], rel=1e-6)
    assert packed["error"] < 1e-4


def test_a_title_cannot_close_the_script(result: msfit.FitResult) -> None:
    page = make_page(result, title="</script><img src=x>")
    assert held(page)["title"] == "</script><img src=x>"
    assert page.count("<img") == 0


def test_the_page_names_no_other_machine(result: msfit.FitResult) -> None:
    page = result.view().replace("http://www.w3.org/2000/svg", "")
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)


def test_refusals(result: msfit.FitResult, tmp_path: Path) -> None:
    assert result.cube is not None
    with pytest.raises(InputError, match=r"cube: found pixels \(24, 39\)"):
        result.view(msfit.Cube(result.cube.values[:, :39], NM))
    with pytest.raises(InputError, match="no band at 400 nm"):
        result.view(msfit.Cube(result.cube.values[..., 1:], NM[1:]))
    with pytest.raises(InputError, match="expected a picture"):
        msfit.fit(result.cube.values[0], NM).view()
    with pytest.raises(InputError, match="html"):
        Page("").save(tmp_path / "page.png")


def test_command_writes_the_page(result: msfit.FitResult, tmp_path: Path) -> None:
    result.save(tmp_path / "maps.h5")
    assert main(["view", str(tmp_path / "maps.h5"), "--export", str(tmp_path / "page.html")]) == 0
    assert set(held((tmp_path / "page.html").read_text(encoding="utf-8"))["spectra"]) == {"fit"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; where there is none, the test is skipped."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed: on Debian, apt install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_every_control_works_offline(result: msfit.FitResult, browser: Any, tmp_path: Path) -> None:
    result.view(title="skin").save(tmp_path / "page.html")
    context = browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("body[data-ready=yes]")

    spot = page.locator("#mapped").bounding_box()
    scale = min(spot["width"] / SHAPE[1], spot["height"] / SHAPE[0])
    left = spot["x"] + (spot["width"] - scale * SHAPE[1]) / 2
    top = spot["y"] + (spot["height"] - scale * SHAPE[0]) / 2

    def at(y: int, x: int) -> tuple[float, float]:
        return left + scale * (x + 0.5), top + scale * (y + 0.5)

    page.mouse.click(*at(10, 30))
    assert page.inner_text("#place") == "y 10, x 30"
    shown = page.locator("#numbers td").all_inner_texts()
    assert float(shown[0]) == pytest.approx(float(result.f_mel[10, 30]), rel=1e-3)
    assert page.inner_text("#status") == msfit.Status(int(result.status[10, 30])).meaning
    assert page.locator("#plot path").count() == 7  # five lines of the grid, measured, fit

    page.mouse.click(*at(3, 5))
    assert page.inner_text("#status") == msfit.Status.MASKED_BY_USER.meaning
    page.focus("#picture")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert page.inner_text("#place") == "y 13, x 6"

    page.mouse.move(*at(2, 4))
    page.mouse.down()
    page.mouse.move(*at(12, 20))
    page.mouse.up()
    with page.expect_download() as download:
        page.click("#csv")
    table = np.genfromtxt(download.value.path(), delimiter=",", names=True, dtype=None, encoding="utf-8")
    for row in table:
        values = np.asarray(getattr(result, row["map"]), np.float32)[2:13, 4:21].astype(np.float64)
        low, high = np.nanpercentile(values, (5, 95))
        expected = [np.nanmean(values), np.nanstd(values), np.isfinite(values).sum(), low, high]
        np.testing.assert_allclose([row[name] for name in ("mean", "sd", "n", "p5", "p95")], expected, rtol=1e-9)

    before = page.evaluate("document.getElementById('mapped').toDataURL()")
    page.select_option("#map", label="haemoglobin, f_blood")
    assert page.evaluate("document.getElementById('mapped').toDataURL()") != before
    before = page.evaluate("document.getElementById('picture').toDataURL()")
    page.select_option("#light", "F2")
    assert page.evaluate("document.getElementById('picture').toDataURL()") != before
    page.fill("#low", "0")
    page.click("#auto")
    assert float(page.input_value("#low")) > 0
    page.focus("#picture")
    page.keyboard.press("Escape")
    assert "until then all of it" in page.inner_text("#box")
    assert wrong == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_column_without_scrolling_sideways(
    result: msfit.FitResult, browser: Any, tmp_path: Path, scheme: Any
) -> None:
    result.view(title="skin").save(tmp_path / "page.html")
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 24)"
    assert dark == (scheme == "dark")
    context.close()
