"""Raw counts are opened before a white reference is known: `msfit info` and `msfit view`."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import msfit
from msfit.cli import main
from msfit.errors import InputError, NoIlluminant
from msfit.view.raw import make_raw_page

NM = np.arange(400.0, 701, 10)
SHAPE = (40, 60)
LIGHT = np.linspace(0.3, 1, NM.size)
PATCH = (slice(5, 15), slice(40, 52))


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """Skin, a white patch, and one that is saturated, as a camera records them."""
    values = np.tile(0.7 * msfit.reflectance(np.full(SHAPE, 0.08), np.full(SHAPE, 0.03), NM), 1)
    values[PATCH] = 0.95
    values[30:36, 4:10] = 1.5
    np.savez(
        tmp_path / "raw.npz", counts=np.clip(np.rint(values * LIGHT * 50_000), 0, 65_535).astype(np.uint16), wave=NM
    )
    return tmp_path / "raw.npz"


def held(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]


def test_info_says_what_is_there_and_what_comes_next(counts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(counts)]) == 0
    said = capsys.readouterr().out
    stored = np.load(counts)["counts"]
    middle = float(re.search(r"levels +median ([\d.e+]+)", said)[1])  # type: ignore[index]
    assert middle == pytest.approx(np.median(stored), rel=0.01)
    assert "no white reference yet" in said
    assert "find a white patch: msfit view FILE; then --white y0:y1,x0:x1" in said
    assert re.search(r"saturated +[\d.]+ % of the samples, at or above 65535", said)
    with pytest.raises(NoIlluminant, match="no illuminant: counts are no reflectance"):  # to fit, it is wanted
        msfit.load(counts)


def test_the_page_holds_picture_and_spectra(counts: Path, tmp_path: Path) -> None:
    assert main(["view", str(counts), "-o", str(tmp_path / "page.html")]) == 0
    data = held(tmp_path / "page.html")
    assert (data["raw"], data["shape"], data["saturation"]) == (True, list(SHAPE), 65535)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["picture"]))))
    assert picture.shape == (*SHAPE, 3)
    assert (picture[PATCH].min(axis=(0, 1)) > picture[20, 20]).all()
    assert np.ptp(picture[8, 45].astype(int)) < 30  # white is shown without a colour
    np.savez(tmp_path / "skin.npz", reflectance=np.load(counts)["counts"] / 65_535, wave=NM)
    assert main(["view", str(tmp_path / "skin.npz"), "-o", str(tmp_path / "other.html")]) == 0
    assert held(tmp_path / "other.html")["raw"] is False


def test_what_is_no_picture_or_has_a_second_file_is_refused(
    counts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "list.npz", counts=np.load(counts)["counts"].reshape(-1, NM.size), wave=NM)
    assert main(["view", str(tmp_path / "list.npz"), "-o", str(tmp_path / "p.html")]) == 2
    assert "expected a picture (y, x)" in capsys.readouterr().err
    assert main(["view", str(counts), "--scene", str(counts), "-o", str(tmp_path / "p.html")]) == 2
    assert "is a scene; expected a result" in capsys.readouterr().err
    assert main(["render", str(counts), "-o", str(tmp_path / "p.png")]) == 2
    assert "no illuminant" in capsys.readouterr().err
    spectra = msfit.load(tmp_path / "list.npz", white="unknown")
    with pytest.raises(InputError, match="scene: found"):
        make_raw_page(spectra, raw=True)


def test_a_patch_in_the_browser_is_what_fit_takes(counts: Path, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed: on Debian, apt install chromium")
    assert main(["view", str(counts), "-o", str(tmp_path / "page.html")]) == 0
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector("body[data-complete=yes]")
        box = page.locator("#picture").bounding_box()

        def at(y: float, x: float) -> tuple[float, float]:
            return box["x"] + box["width"] * x / SHAPE[1], box["y"] + box["height"] * y / SHAPE[0]

        page.mouse.move(*at(6.5, 41.5))
        page.mouse.down()
        page.mouse.move(*at(13.5, 50.5), steps=3)
        page.mouse.up()
        words = page.inner_text("#words")
        assert words == "--white 6:14,41:51"
        page.click("#copy")
        page.locator("#copy", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == words
        assert "None is saturated" in page.inner_text("#advice")
        mean = page.evaluate("patchMean().mean")
        np.testing.assert_allclose(mean, np.load(counts)["counts"][6:14, 41:51].mean((0, 1)), rtol=2e-3)
        for name, value in (("y0", 30), ("y1", 36), ("x0", 4), ("x1", 10)):
            page.fill(f"#{name}", str(value))
            page.press(f"#{name}", "Enter")
        assert "saturated or lack a band: choose a patch that is not" in page.inner_text("#advice")
        page.focus("#picture")
        page.keyboard.press("ArrowUp")
        assert page.inner_text("#words") == "--white 29:35,4:10"
        assert wrong == []
        browser.close()
    option, value = words.split()
    assert main(["fit", str(counts), option, value, "-o", str(tmp_path / "maps.h5"), "-q"]) == 0
    found = msfit.load_result(tmp_path / "maps.h5")
    assert np.nanmedian(found.f_mel) == pytest.approx(0.08, abs=0.01)
