"""The page: what it holds is what the result holds, and in a browser every control of it works."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.path import Path as MplPath
from PIL import Image

import msfit
from benchmarks.page import skin
from msfit.cli import main
from msfit.errors import InputError
from msfit.view import Page, make_page
from msfit.view.packing import pack_spectra, unpack
from msfit.view.skin_table import skin_table

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


def blobs(page: str) -> dict[str, np.ndarray]:
    found = re.findall(r'<script type="text/plain" id="b-([\w.]+)" data-type="(\w+)">([^<]*)</script>', page)
    return {name: unpack(text, kind) for name, kind, text in found}


def test_maps_and_statuses_are_those_of_the_result(result: msfit.FitResult) -> None:
    page = result.view()
    data, arrays = held(page), blobs(page)
    for item in data["maps"]:
        expected = np.asarray(getattr(result, item["name"]), np.float32)
        np.testing.assert_array_equal(arrays[item["name"]].reshape(SHAPE), expected)
    np.testing.assert_array_equal(arrays["status"].reshape(SHAPE), result.status)
    assert data["meanings"]["256"] == msfit.Status.MASKED_BY_USER.meaning
    assert data["layers"] == {"0": "converged inside the bounds", "8": "f blood upper", "256": "masked by user"}


def test_spectra_come_back_within_the_error_that_is_stated(result: msfit.FitResult) -> None:
    spectra = result.spectra().reshape(-1, NM.size)
    spectra[7] = np.nan
    packed, arrays = pack_spectra(spectra)
    coefficients = unpack(arrays["coefficients"].text, "i2").reshape(-1, len(spectra))
    again = np.array(packed["mean"]) + coefficients.T @ np.array(packed["basis"])
    known = unpack(arrays["known"].text, "u1").astype(bool)
    np.testing.assert_array_equal(known, np.isfinite(spectra).all(axis=1))
    assert np.sqrt(((again - spectra)[known] ** 2).mean()) == pytest.approx(packed["error"], rel=1e-6)
    assert packed["error"] < 1e-4
    assert len(packed["basis"]) <= 8


def test_noise_is_not_paid_for(result: msfit.FitResult) -> None:
    """Coefficients that are noise are few bits: eight of them take less than half of sixteen bits each."""
    rng = np.random.default_rng(2)
    spectra = np.tile(result.spectra().reshape(-1, NM.size), (10, 1))
    spectra = spectra[np.isfinite(spectra).all(axis=1)]
    packed, arrays = pack_spectra(spectra + 0.004 * rng.standard_normal(spectra.shape))
    assert len(base64.b64decode(arrays["coefficients"].text)) < 0.5 * 2 * 8 * len(spectra)
    assert packed["error"] < 0.004


@pytest.mark.parametrize("model", ["msfit-issa-2026", "alotaibi-smith-2019"])
def test_fits_come_from_a_table_within_the_error_that_is_stated(model: str) -> None:
    rng = np.random.default_rng(5)
    f_mel, f_blood = rng.uniform(0, 0.43, 300), rng.uniform(0, 0.07, 300)
    result = msfit.fit(0.9 * msfit.reflectance(f_mel, f_blood, NM, model=model) + 0.02, NM, model=model)
    table = skin_table(result)
    assert table is not None
    assert table[0]["error"] < 5e-4
    assert skin_table(replace(result, extra={"saturation": f_mel})) is None


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
    data = held((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "measured" not in data
    assert data["table"]["nodes"] == [96, 48]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; where there is none, the test is skipped."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed: on Debian, apt install chromium")
    with api.sync_playwright() as playwright:
        # as on a machine without a GPU: WebGL by a processor, and the window without it
        software = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        chromium = playwright.chromium.launch(executable_path=path, args=software)
        yield chromium
        chromium.close()


class Opened:
    """A page in a browser without a network, and what it complains of."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(offline=True, **context)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        hint = "GPU stall due to ReadPixels"  # of the driver: windows that WebGL does not draw read what it has drawn
        self.page.on("console", lambda message: hint in message.text or self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-complete=yes]")
        self.page.locator("#mapped").scroll_into_view_if_needed()
        spot = self.page.locator("#mapped").bounding_box()
        self.left, self.top = spot["x"], spot["y"]
        self.across, self.down = spot["width"] / SHAPE[1], spot["height"] / SHAPE[0]

    def at(self, y: float, x: float) -> tuple[float, float]:
        return self.left + self.across * (x + 0.5), self.top + self.down * (y + 0.5)

    def drag(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=3)
        self.page.mouse.up()

    def pixels(self, canvas: str) -> np.ndarray:
        """RGBA of a canvas."""
        values = self.page.evaluate(
            """canvas => { const c = document.querySelector(canvas), o = document.createElement("canvas");
            if (c === edit.canvas) edit.draw();  // what WebGL has drawn is gone once it was shown
            o.width = c.width; o.height = c.height; o.getContext("2d").drawImage(c, 0, 0);
            return Array.from(o.getContext("2d").getImageData(0, 0, c.width, c.height).data); }""",
            canvas,
        )
        return np.array(values, np.uint8).reshape(*SHAPE, 4)


@pytest.fixture(scope="module")
def saved(result: msfit.FitResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("view") / "page.html"
    result.view(title="skin").save(path)
    return path


@pytest.fixture
def opened(saved: Path, browser: Any) -> Iterator[Opened]:
    found = Opened(browser, saved, viewport={"width": 1440, "height": 900})
    yield found
    assert found.wrong == []
    found.context.close()


def test_a_click_shows_the_pixel(opened: Opened, result: msfit.FitResult) -> None:
    page = opened.page
    page.mouse.click(*opened.at(10, 30))
    assert page.inner_text("#place") == "y 10, x 30"
    shown = page.locator("#numbers td").all_inner_texts()
    assert float(shown[0]) == pytest.approx(float(result.f_mel[10, 30]), rel=1e-3)
    assert page.inner_text("#status") == msfit.Status(int(result.status[10, 30])).meaning
    assert page.locator("#plot path").count() == 7  # five lines of the grid, measured, fit
    assert "8 coefficients of 16 bits" in page.inner_text("#error")
    page.click("#pin")
    page.mouse.click(*opened.at(3, 5))
    assert page.inner_text("#status") == msfit.Status.MASKED_BY_USER.meaning
    assert page.locator("#plot path").count() == 7  # the pin, and what was measured of a pixel without a fit
    page.click("#unpin")
    page.fill("#radius", "2")
    page.keyboard.press("Enter")
    assert page.locator("#plot path").count() == 7
    page.focus("#picture")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert page.inner_text("#place") == "y 13, x 6"


def test_spectra_of_the_page_are_those_of_the_result(opened: Opened, result: msfit.FitResult) -> None:
    script = """([y, x]) => { const i = y * W + x, fit = new Float64Array(D.wavelengths.length), m = fit.slice();
        addFit(fit, i); add(m, D.measured, i); return [Array.from(fit), Array.from(m)]; }"""
    fit, measured = np.array(opened.page.evaluate(script, [10, 30]))
    assert result.cube is not None
    np.testing.assert_allclose(fit, result.spectra()[10, 30], atol=5e-4)
    np.testing.assert_allclose(measured, result.cube.reflectance[10, 30], atol=0.01)


def test_regions_have_numpys_statistics(opened: Opened, result: msfit.FitResult) -> None:
    page = opened.page

    def table() -> Any:
        with page.expect_download() as download:
            page.click("#csv")
        return np.genfromtxt(download.value.path(), delimiter=",", names=True, dtype=None, encoding="utf-8")

    def compare(rows: Any, inside: np.ndarray) -> None:
        for row in rows:
            values = np.asarray(getattr(result, row["map"]), np.float32)[inside].astype(np.float64)
            low, high = np.nanpercentile(values, (5, 95))
            expected = [np.nanmean(values), np.nanstd(values), np.isfinite(values).sum(), low, high]
            np.testing.assert_allclose([row[name] for name in ("mean", "sd", "n", "p5", "p95")], expected, rtol=1e-9)

    compare(table(), np.ones(SHAPE, bool))
    opened.drag((2, 4), (12, 20))
    assert page.inner_text("#box") == "rows 2:13, columns 4:21"
    inside = np.zeros(SHAPE, bool)
    inside[2:13, 4:21] = True
    compare(table(), inside)
    page.select_option("#tool", "lasso")
    opened.drag((5, 10), (5, 30), (20, 20))
    assert page.inner_text("#box") == "lasso"
    outline = page.evaluate("region.outline")
    places = np.zeros(SHAPE, bool)
    places.ravel()[list(page.evaluate("Array.from(region.places)"))] = True
    y, x = np.indices(SHAPE)
    centres = np.stack([y.ravel() + 0.5, x.ravel() + 0.5], axis=1)
    np.testing.assert_array_equal(places.ravel(), MplPath(outline).contains_points(centres))
    compare(table(), places)
    page.focus("#picture")
    page.keyboard.press("Escape")
    assert "until then all of it" in page.inner_text("#box")


def test_a_brush_adds_and_takes_away(opened: Opened, result: msfit.FitResult) -> None:
    page = opened.page
    page.select_option("#tool", "brush")
    page.fill("#size", "2")
    opened.drag((8, 10), (8, 20))
    places = np.zeros(SHAPE, bool)
    places.ravel()[list(page.evaluate("Array.from(region.places)"))] = True
    y, x = np.indices(SHAPE)
    distance = np.hypot(y - 8, np.clip(x, 10, 20) - x)  # from the stroke, between centres of pixels
    assert places[distance < 1.5].all()
    assert not places[distance > 2.6].any()
    assert page.inner_text("#box") == f"brush, {places.sum()} pixels"
    np.testing.assert_array_equal(opened.pixels("#picture canvas:nth-child(2)")[..., 3] > 0, places)
    with page.expect_download() as download:
        page.click("#csv")
    rows = np.genfromtxt(download.value.path(), delimiter=",", names=True, dtype=None, encoding="utf-8")
    np.testing.assert_allclose(rows["mean"][0], np.nanmean(np.asarray(result.f_mel, np.float32)[places]), rtol=1e-5)
    opened.drag((18, 30), (18, 33))
    both = page.evaluate("region.places.length")
    assert both > places.sum()  # the second stroke adds
    page.fill("#size", "3")
    page.keyboard.down("Shift")
    opened.drag((8, 8), (8, 22))
    page.keyboard.up("Shift")
    assert page.evaluate("region.places.length") == both - places.sum()
    page.focus("#picture")
    page.keyboard.press("Escape")
    assert (
        not (opened.pixels("#picture canvas:nth-child(2)")[..., 3] > 0).any()
        or page.locator("#picture canvas:nth-child(2)").is_hidden()
    )


@pytest.fixture(scope="module")
def face() -> msfit.FitResult:
    """A face of a scene, small, on which the mesh is found."""
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'msfit[face]'")
    pytest.importorskip("embreex", reason="tracing heads needs embreex")
    from msfit.synth import make_scene

    return msfit.fit(make_scene(4, size=128, mode="model", split="validation", noise=False).cube)


def test_named_sites_are_those_of_the_mesh(face: msfit.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    from msfit.face.zones import SITES
    from msfit.view.sites import mesh_of

    page = face.view()
    assert held(page)["sites"] == list(SITES)
    labels = blobs(page)["sites"].reshape(face.shape)
    mesh = mesh_of(face)
    assert mesh is not None
    for number, mask in enumerate(mesh.sites().values(), 1):
        assert not (labels == number)[~mask].any()
        assert (labels == number).sum() > 0.9 * (mask & face.fitted).sum() > 10
    monkeypatch.setattr("msfit.view.sites.models_known", lambda: False)
    assert "sites" not in held(face.view())


def test_a_site_is_a_region(face: msfit.FitResult, browser: Any, tmp_path: Path) -> None:
    page_text = face.view()
    page_text.save(tmp_path / "page.html")
    labels = blobs(page_text)["sites"]
    context = browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("body[data-complete=yes]")
    page.select_option("#site", label="left cheek")
    places = labels == held(page_text)["sites"].index("left_cheek") + 1
    assert page.inner_text("#box") == f"left cheek, {places.sum()} pixels"
    with page.expect_download() as download:
        page.click("#sitecsv")
    rows = np.genfromtxt(download.value.path(), delimiter=",", names=True, dtype=None, encoding="utf-8")
    row = rows[(rows["site"] == "left_cheek") & (rows["map"] == "f_blood")][0]
    values = np.asarray(face.f_blood, np.float32).ravel()[places].astype(np.float64)
    low, high = np.percentile(values, (5, 95))
    expected = [values.mean(), values.std(), values.size, low, high]
    np.testing.assert_allclose([row[name] for name in ("mean", "sd", "n", "p5", "p95")], expected, rtol=1e-6)
    page.select_option("#site", "")
    assert "until then all of it" in page.inner_text("#box")
    context.close()


def test_maps_ranges_lights_and_layers(opened: Opened, result: msfit.FitResult) -> None:
    page, base = opened.page, "#mapped canvas:nth-child(1)"
    before = opened.pixels(base)
    page.select_option("#map", label="haemoglobin, f_blood")
    assert (opened.pixels(base) != before).any()
    page.click("#fixed")
    assert [float(page.input_value(name)) for name in ("#low", "#high")] == [0, 0.12]
    page.fill("#low", "0.001")
    page.click("#auto")
    assert float(page.input_value("#low")) == pytest.approx(np.nanquantile(result.f_blood, 0.02), rel=1e-2)
    before = opened.pixels("#picture canvas:nth-child(1)")
    page.select_option("#light", "F2")
    assert (opened.pixels("#picture canvas:nth-child(1)") != before).any()
    page.select_option("#layer", label="masked by user")
    marked = opened.pixels("#mapped canvas:nth-child(2)")[..., 3] > 0
    np.testing.assert_array_equal(marked, result.status == msfit.Status.MASKED_BY_USER)
    page.click("#closer")
    assert "scale(1.5)" in page.locator("#picture .layers").get_attribute("style")
    page.mouse.click(*opened.at(0.7, 0.7))
    assert page.inner_text("#place") == "y 4, x 7"  # the middle stays, a sixth of each side goes out of sight
    page.click("#whole")


def test_the_picture_is_that_of_render(opened: Opened, result: msfit.FitResult) -> None:
    assert result.cube is not None
    expected = 255 * msfit.render(result.cube, "D65", srgb=True)
    assert np.abs(opened.pixels("#picture canvas:nth-child(1)")[..., :3] - expected).mean() < 2


def test_the_histogram_selects_pixels(opened: Opened, result: msfit.FitResult) -> None:
    spot = opened.page.locator("#histogram")
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    opened.page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"], steps=3)
    opened.page.mouse.up()
    low_mel, low_blood, high_mel, high_blood = opened.page.evaluate("brush")
    mel, blood = np.asarray(result.f_mel, np.float32), np.asarray(result.f_blood, np.float32)
    expected = (mel >= low_mel) & (mel <= high_mel) & (blood >= low_blood) & (blood <= high_blood)
    assert 50 < expected.sum() < expected.size
    np.testing.assert_array_equal(opened.pixels("#picture canvas:nth-child(2)")[..., 3] > 0, expected)
    assert opened.page.inner_text("#brushed") == f"{expected.sum()} pixels selected"


def test_edits_are_those_of_the_model(opened: Opened, result: msfit.FitResult) -> None:
    page = opened.page
    assert page.locator("#unable").is_hidden()

    def edited(**factors: float) -> np.ndarray:
        for name, value in factors.items():
            page.evaluate(
                "([id, v]) => { const e = $(id); e.value = v; e.dispatchEvent(new Event('change')); }",
                [name, value],
            )
        return opened.pixels("#edited canvas")[..., :3].astype(int)

    picture = opened.pixels("#picture canvas:nth-child(1)")[..., :3].astype(int)
    known = np.isfinite(result.f_mel)
    assert np.abs(edited() - picture)[known].max() <= 1
    changed = replace(result, cube=None, f_mel=1.5 * result.f_mel, f_blood=0.5 * result.f_blood, i_s=2 * result.i_s)
    expected = np.rint(255 * msfit.render(changed, srgb=True)).astype(int)
    inside = known & (1.5 * np.nan_to_num(result.f_mel) < result.bounds["f_mel"][1])  # the table ends there
    got = edited(e_mel=1.5, e_blood=0.5, e_gloss=2)
    assert np.abs(got - expected)[inside].mean() < 2.5  # noise of the picture stays in it
    wiped = edited(wipe=0.5)
    np.testing.assert_array_equal(wiped[:, 20:], got[:, 20:])
    assert np.abs(wiped - picture)[:, :20][known[:, :20]].max() <= 1
    with page.expect_download() as download:
        page.click("#png")
    assert np.asarray(Image.open(download.value.path())).shape[:2] == SHAPE
    page.click("#reset")
    lit = replace(result, cube=None, i_d=1.2 * result.i_d, i_s=1.2 * result.i_s)
    assert np.abs(edited(e_light=1.2) - np.rint(255 * msfit.render(lit, srgb=True)))[known].mean() < 2.5
    page.click("#reset")
    assert np.abs(edited() - picture)[known].max() <= 1


def test_a_slow_drag_draws_less_and_its_end_all(opened: Opened) -> None:
    script = """async pause => {
      const e = $("e_mel"), seen = [];
      await new Promise(done => setTimeout(done, 600));  // what was drawn before is no part of the drag
      for (const value of [1.2, 1.4]) {
        e.value = value; e.dispatchEvent(new Event("input"));
        seen.push([edit.canvas.height, edit.canvas.width]);
        const until = performance.now() + pause;
        while (performance.now() < until);
      }
      e.dispatchEvent(new Event("change"));
      return [...seen, [edit.canvas.height, edit.canvas.width]];
    }"""
    assert opened.page.evaluate(script, 100) == [[24, 40], [12, 20], [24, 40]]


def test_edits_follow_the_zoom(opened: Opened) -> None:
    page = opened.page
    whole = opened.pixels("#edited canvas")
    page.click("#closer")  # by 1.5 about the middle: two thirds of each side are seen
    y, x = np.indices(SHAPE)
    rows, columns = (((i + 0.5) / 1.5 + n / 6).astype(int) for i, n in ((y, SHAPE[0]), (x, SHAPE[1])))
    np.testing.assert_array_equal(opened.pixels("#edited canvas"), whole[rows, columns])
    page.click("#farther")
    np.testing.assert_array_equal(opened.pixels("#edited canvas"), whole)


@pytest.mark.slow
def test_a_page_of_a_quarter_of_a_million_spectra_is_small_and_opens_offline(browser: Any, tmp_path: Path) -> None:
    """Skin in every pixel and noise in every sample, 512 x 512 x 31: below 12 MB."""
    page = skin(512).view()
    assert held(page)["measured"]["error"] < 0.0031  # the noise itself, which is not kept
    assert len(held(page)["measured"]["basis"]) == 8
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 12e6
    context = browser.new_context(offline=True)
    opened, wrong = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto((tmp_path / "page.html").as_uri())
    opened.wait_for_selector("body[data-complete=yes]")
    assert wrong == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_column_without_scrolling_sideways(saved: Path, browser: Any, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(saved.as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 24)"
    assert dark == (scheme == "dark")
    context.close()
