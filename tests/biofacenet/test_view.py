"""A photograph or a scene without a command line: dropped on a page, taken apart, and nothing kept."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import msfit
from biofacenet import Model
from biofacenet.view import server as photo_server
from biofacenet.view.products import PRODUCTS
from biofacenet.view.server import AT_ONCE, PhotoServer


@pytest.fixture
def server(model: Model) -> Iterator[PhotoServer]:
    with PhotoServer(model) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join(5)


def ask(server: PhotoServer, below: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    method = "GET" if body is None else "POST"
    own = {"Origin": f"http://{server.hosts[0]}"} if body is not None else {}
    connection.request(
        method, server.path + below, body, {**own, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )
    with connection.getresponse() as response:
        return response.status, response.read()


def sent(
    server: PhotoServer, body: bytes, where: str = "", what: str = "maps", name: str = "face.png"
) -> dict[str, Any]:
    status, content = ask(server, what + where, body, X_Name=name)
    assert status == 200
    key = json.loads(content)["job"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = json.loads(ask(server, f"state/{key}")[1])
        if state["done"]:
            return {**state, "key": key}
        time.sleep(0.05)
    pytest.fail("still at it")


def test_a_photograph_becomes_a_page_once_and_nothing_is_kept(server: PhotoServer, face_file: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("biofacenet-*"))
    done = sent(server, face_file.read_bytes())
    assert done["error"] is None
    status, page = ask(server, f"made/{done['key']}")
    assert status == 200
    assert b'"title": "face.png"' in page
    assert b'"f_mel"' in page
    assert ask(server, f"made/{done['key']}")[0] == 404
    assert server.jobs == {}
    assert set(Path(tempfile.gettempdir()).glob("biofacenet-*")) == before


@pytest.mark.parametrize(("content", "where", "words"), [
    (b"no photograph", "", "face.png: "),
    (b"", "", "face.png: the file is empty; expected a colour photograph"),
    (None, "/1,2,3", "--box: found '1,2,3'"),
    (None, "/0,0,9999,9999", "expected x,y,width,height inside 300 x 260 pixels"),
])  # fmt: skip
def test_refusals_are_those_of_the_command_line(
    server: PhotoServer, face_file: Path, content: bytes | None, where: str, words: str
) -> None:
    done = sent(server, face_file.read_bytes() if content is None else content, where=where)
    assert words in done["error"]
    assert "\n" not in done["error"]
    assert "biofacenet-" not in done["error"]  # where it lay
    assert server.jobs == {}


def test_a_head_is_not_turned_without_its_place(server: PhotoServer, face_file: Path) -> None:
    done = sent(server, face_file.read_bytes(), "/whole", "front")
    assert "expected a rectangle around the face" in done["error"]
    assert server.jobs == {}


NM = np.arange(400.0, 701.0, 10.0)


def scene_file(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.fixture(scope="module")
def reflectance() -> np.ndarray:
    skin = 0.8 * msfit.reflectance(np.linspace(0.02, 0.2, 30).reshape(6, 5), 0.03, NM) + 0.03
    skin[:2, :2] = 1  # a white patch
    return skin


def test_a_scene_becomes_a_page_of_its_maps(server: PhotoServer, reflectance: np.ndarray) -> None:
    before = set(Path(tempfile.gettempdir()).glob("biofacenet-*"))
    done = sent(server, scene_file(reflectance=reflectance, wavelengths=NM), what="scene", name="cheek.npz")
    assert done["error"] is None
    status, page = ask(server, f"made/{done['key']}")
    assert status == 200
    assert b'"title": "cheek.npz"' in page
    assert b'"shape": [6, 5]' in page
    assert b'"f_blood"' in page
    assert server.jobs == {}
    assert set(Path(tempfile.gettempdir()).glob("biofacenet-*")) == before


def test_counts_are_shown_until_their_white_patch_is_named(server: PhotoServer, reflectance: np.ndarray) -> None:
    counts = np.rint(40_000 * reflectance * np.linspace(0.3, 1, NM.size)).astype(np.uint16)
    scene = scene_file(counts=counts, wavelengths=NM)
    done = sent(server, scene, what="scene", name="raw.npz")
    assert b'"raw": true' in ask(server, f"made/{done['key']}")[1]
    done = sent(server, scene, "/0:2,0:2", "scene", "raw.npz")
    page = ask(server, f"made/{done['key']}")[1]
    assert b'"f_mel"' in page
    assert b'"raw"' not in page


@pytest.mark.parametrize(("where", "words"), [
    ("", "cheek.npz: "), ("/0:99,0:9", "cheek.npz: "), ("//etc/passwd", "--white: found '/etc/passwd'"),
    ("/unknown", "--white: found 'unknown'; expected a patch y0:y1,x0:x1, or checker"),
])  # fmt: skip
def test_scenes_are_refused_as_on_the_command_line(
    server: PhotoServer, reflectance: np.ndarray, where: str, words: str
) -> None:
    scene = scene_file(counts=np.rint(9e3 * reflectance).astype(np.uint16), wavelengths=NM) if where else b"no scene"
    done = sent(server, scene, where, "scene", "cheek.npz")
    assert words in done["error"]
    assert "\n" not in done["error"]
    assert "biofacenet-" not in done["error"]
    assert server.jobs == {}


def test_spectra_are_no_picture(server: PhotoServer, reflectance: np.ndarray) -> None:
    done = sent(server, scene_file(reflectance=reflectance[0], wavelengths=NM), what="scene")
    assert "scene: found 5 spectra; expected a picture (y, x)" in done["error"]


@pytest.mark.slow
def test_front_view_texture_and_restored_picture_are_made(server: PhotoServer, face_file: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'msfit[face]'")
    pytest.importorskip("embreex", reason="tracing shadows needs embreex")
    before = set(Path(tempfile.gettempdir()).glob("biofacenet-*"))
    for what, begins in (("front", b"\x89PNG"), ("restored", b"\x89PNG"), ("texture", b"glTF")):
        done = sent(server, face_file.read_bytes(), what=what)
        assert done["error"] is None
        status, content = ask(server, f"made/{done['key']}")
        assert status == 200
        assert content.startswith(begins)
        if what != "texture":
            assert Image.open(io.BytesIO(content)).size == (300, 260)
    assert server.jobs == {}
    assert set(Path(tempfile.gettempdir()).glob("biofacenet-*")) == before


def test_a_box_and_the_whole_are_taken(server: PhotoServer, face_file: Path) -> None:
    for where in ("/90,60,120,120", "/whole"):
        assert sent(server, face_file.read_bytes(), where=where)["error"] is None
        server.jobs.clear()


def test_what_is_cancelled_leaves_nothing(server: PhotoServer, face_file: Path) -> None:
    with server._turn:  # held up before it begins
        _, content = ask(server, "maps", face_file.read_bytes())
        key = json.loads(content)["job"]
        assert ask(server, f"cancel/{key}", b"")[0] == 200
        assert server.jobs == {}
    assert ask(server, f"state/{key}")[0] == 404


def test_limits_on_number_and_size(server: PhotoServer, face_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server._turn:
        for _ in range(AT_ONCE):
            assert ask(server, "maps", b"x")[0] == 200
        status, content = ask(server, "maps", b"x")
        assert status == 429
        assert "files are being taken apart" in json.loads(content)["error"]
        server.jobs.clear()
    with monkeypatch.context() as patched:
        patched.setattr(photo_server, "LARGEST", 100)
        status, content = ask(server, "maps", face_file.read_bytes()[:200], X_Name="face.png")
        assert status == 413
        assert json.loads(content)["error"].startswith("face.png: 0 MiB; expected at most")
    monkeypatch.setattr(PhotoServer, "largest", 100)
    assert ask(server, "maps", face_file.read_bytes()[:200])[0] == 413


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Host": "evil.example"},
])  # fmt: skip
def test_other_sites_cannot_send(server: PhotoServer, headers: dict[str, str]) -> None:
    assert ask(server, "maps", b"x", **headers)[0] in (403, 421)
    assert server.jobs == {}


def test_without_an_origin_or_the_address_nothing_is_taken(server: PhotoServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request("POST", server.path + "maps", b"x")
    assert connection.getresponse().status == 403
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request("POST", "/maps", b"x", {"Origin": f"http://{server.hosts[0]}"})
    assert connection.getresponse().status == 404
    for below in ("state/x", "made/x", "../maps", "maps", "photo", "other"):
        assert ask(server, below)[0] == 404
    assert ask(server, "cancel/x", b"")[0] == 404


def test_in_a_browser(
    server: PhotoServer,
    face_file: Path,
    reflectance: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turned = replace(PRODUCTS["front"], make=lambda *_: face_file.read_bytes())  # the slow test turns the head
    monkeypatch.setattr(photo_server, "PRODUCTS", {**PRODUCTS, "front": turned})
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed: on Debian, apt install chromium")
    (tmp_path / "none.png").write_bytes(b"no photograph")
    (tmp_path / "cheek.npz").write_bytes(scene_file(reflectance=reflectance, wavelengths=NM))
    software = ["--enable-unsafe-swiftshader"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *software])
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        page.set_input_files("#file", tmp_path / "none.png")
        page.click("#go")
        page.locator("#state", has_text="none.png: ").wait_for()
        page.set_input_files("#file", face_file)
        page.select_option("#make", "texture")
        assert page.locator("#whole").is_hidden()
        page.select_option("#make", "maps")
        assert page.locator("#whole").is_visible()
        page.evaluate("document.getElementById('image').decode()")
        spot = page.locator("#shown").bounding_box()
        page.mouse.move(spot["x"] + spot["width"] / 4, spot["y"] + spot["height"] / 4)
        page.mouse.down()
        page.mouse.move(spot["x"] + 0.75 * spot["width"], spot["y"] + 0.75 * spot["height"], steps=4)
        page.mouse.up()
        drawn = [int(n) for n in page.evaluate("box").split(",")]
        assert max(abs(n - m) for n, m in zip(drawn, (75, 65, 150, 130), strict=True)) < 4
        page.select_option("#make", "restored")
        assert page.locator("#whole").is_visible()
        with server._turn:  # held up before it begins
            page.click("#go")
            page.locator("#state", has_text="waiting").wait_for()
            with page.expect_response("**/cancel/*"):
                page.click("#cancel")
            assert page.inner_text("#state") == "cancelled"
        assert server.jobs == {}
        page.select_option("#make", "front")
        page.click("#go")  # at once: what was cancelled is not asked about any more
        page.locator("#seen").wait_for()
        with page.expect_download() as download:
            page.click("#link")
        assert download.value.suggested_filename == f"{face_file.stem}-front.png"
        assert download.value.path().read_bytes() == face_file.read_bytes()
        page.set_input_files("#file", tmp_path / "cheek.npz")
        assert page.locator("#making").is_hidden()
        assert page.locator("#shown").is_hidden()
        page.fill("#white", "unknown")
        page.click("#go")
        page.locator("#state", has_text="--white: found 'unknown'").wait_for()
        page.fill("#white", " ")
        page.click("#go")
        page.wait_for_selector("body[data-complete=yes]", timeout=120_000)
        assert page.inner_text("#title") == "cheek.npz"
        page.goto(server.url)
        page.set_input_files("#file", face_file)  # the face is found, as where nothing is drawn
        page.click("#go")
        page.wait_for_selector("body[data-complete=yes]", timeout=120_000)
        assert page.inner_text("#title") == "face.png"
        assert all(url.startswith((server.url, "blob:", "data:")) for url in asked)
        browser.close()
    assert server.jobs == {}
