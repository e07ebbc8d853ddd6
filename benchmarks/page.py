"""Is the page quick on a large scene? Opening, clicking, dragging a slider and memory, in Chromium without a GPU.

    python -m benchmarks.page [--side N] [--repeats N] [--page FILE]

The scene is skin in every pixel, with noise in every sample, so that nothing is masked and little compresses. Chromium
draws in software in two ways: as it does on a machine without a GPU (WebGL by SwiftShader, the window by its own
rasteriser), and all of it by SwiftShader. A frame counts when the next one is asked for, which Chromium does not do
before it has drawn; the last is waited for by reading a pixel back.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import msfit
from benchmarks.record import write

NM = np.arange(400.0, 701.0, 10.0)
WINDOW = (1440, 900)
SOFTWARE = {
    "no GPU": ["--enable-unsafe-swiftshader"],
    "SwiftShader alone": ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
}
SLIDERS = ("e_mel", "e_blood", "e_gloss", "e_light", "wipe")
_SECONDS = 1.0  # that a slider is dragged
_DRAG = """async ([id, seconds]) => {
  const e = $(id), low = +e.min, high = +e.max, start = performance.now(), pixel = new Uint8Array(4);
  let frames = 0;
  await new Promise(done => {
    const step = () => {
      if (performance.now() - start > 1000 * seconds) return done();
      e.value = low + (high - low) * (.5 + .5 * Math.sin(frames++ / 7));
      e.dispatchEvent(new Event("input"));
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  edit.gl.readPixels(0, 0, 1, 1, edit.gl.RGBA, edit.gl.UNSIGNED_BYTE, pixel);
  const speed = 1000 * frames / (performance.now() - start), drawn = [edit.canvas.height, edit.canvas.width];
  e.dispatchEvent(new Event("change"));
  return {speed, drawn, released: [edit.canvas.height, edit.canvas.width]};
}"""
# from the time stamp of the pointer's event to the second frame after it: by then the first has been drawn
_CLICK = """() => {
  const frame = next => requestAnimationFrame(next);
  const shown = new Promise(done => addEventListener(
    "pointerup", e => frame(() => frame(() => done(performance.now() - e.timeStamp))), {once: true}));
  return {shown};
}"""


def skin(side: int) -> msfit.FitResult:
    """A fit of skin in every pixel: shades and pigments of all tones, sd 0.003 of noise in every sample."""
    rng = np.random.default_rng(20)
    y, x = np.mgrid[0:side, 0:side] / side
    f_mel = np.clip(0.03 + 0.3 * x + 0.02 * rng.standard_normal(x.shape), 0.01, 0.4)
    f_blood = np.clip(0.015 + 0.04 * y + 0.004 * rng.standard_normal(x.shape), 0.002, 0.1)
    values = np.empty((side, side, NM.size), np.float32)
    for rows in np.array_split(np.arange(side), 16):
        bright = 0.6 + 0.4 * np.cos(3 * (x[rows] - 0.5)) ** 2
        values[rows] = bright[..., None] * msfit.reflectance(f_mel[rows], f_blood[rows], NM) + 0.03
        values[rows] += 0.003 * rng.standard_normal(values[rows].shape)
    return msfit.fit(values, NM)


def resident(ancestor: int) -> int:
    """Bytes that a process and those it started occupy; what they share is shared out (PSS of Linux)."""
    parents, found = {}, 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for process in parents:
        line = [process]
        while line[-1] in parents and line[-1] != ancestor:
            line.append(parents[line[-1]])
        if line[-1] != ancestor or "chrom" not in _command(process):
            continue
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        found += 1024 * int(text.partition("\nPss:")[2].split()[0])
    return found


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@contextmanager
def watched() -> Any:
    """A list that ends as the most that browsers started here have occupied [bytes]."""
    most, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.25):
            most[0] = max(most[0], resident(os.getpid()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def measure(browser: Any, path: Path) -> dict[str, Any]:
    """One opening of the page: seconds, milliseconds, frames a second, and what the console complains of."""
    context = browser.new_context(offline=True, viewport={"width": WINDOW[0], "height": WINDOW[1]})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector("body[data-complete=yes]")
    opened = page.evaluate("performance.getEntriesByName('complete')[0].startTime")  # since it was asked for
    figures: dict[str, Any] = {"open [s]": opened / 1000}
    clicks = []
    box = page.locator("#mapped").bounding_box()
    for number in range(10):
        waiting = page.evaluate_handle(_CLICK)
        page.mouse.click(box["x"] + (number + 0.5) / 10 * box["width"], box["y"] + 0.4 * box["height"])
        clicks.append(page.evaluate("waiting => waiting.shown", waiting))
    figures["click [ms]"] = statistics.median(clicks)
    figures["slowest click [ms]"] = max(clicks)
    page.locator("#edited").scroll_into_view_if_needed()
    figures["sliders"] = {name: page.evaluate(_DRAG, [name, _SECONDS]) for name in SLIDERS}
    page.evaluate("edit.drag = () => edit.draw()")  # never fewer rows and columns
    figures["in full"] = page.evaluate(_DRAG, ["e_mel", _SECONDS])["speed"]
    figures["errors"] = wrong
    context.close()
    return figures


def main() -> None:
    """Build the page, open it in Chromium, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="pixels (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="openings, of which medians are told")
    parser.add_argument("--page", type=Path, help="where the page is, or is built where it is not there yet")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium is installed: on Debian, apt install chromium")
    figures: dict[str, Any] = {"shape": [options.side, options.side, NM.size], "window": list(WINDOW)}
    with tempfile.TemporaryDirectory() as folder:
        path = (options.page or Path(folder) / "page.html").resolve()
        if not path.exists():
            skin(options.side).view(title="skin").save(path)
        figures["file [bytes]"] = path.stat().st_size
        for name, flags in SOFTWARE.items():
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
                runs = [measure(browser, path) for _ in range(options.repeats)]
                figures["browser"] = browser.version
                browser.close()
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
                with watched() as most:  # apart: counting takes time itself
                    measure(browser, path)
                browser.close()
            figures[name] = summary(runs) | {"memory [bytes]": most[0], "load average": os.getloadavg()[0]}
            print(name, figures[name], flush=True)
    print(write("page", figures))


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of several openings; of the sliders the slowest counts."""
    slowest = [min(run["sliders"].values(), key=lambda one: one["speed"]) for run in runs]
    told = ("open [s]", "click [ms]", "slowest click [ms]")
    return {key: statistics.median(run[key] for run in runs) for key in told} | {
        "frames a second": statistics.median(one["speed"] for one in slowest),
        "frames a second, all drawn": statistics.median(run["in full"] for run in runs),
        "drawn while dragged": min(one["drawn"] for one in slowest),
        "drawn when let go": min(one["released"] for one in slowest),
        "errors": [words for run in runs for words in run["errors"]],
    }


if __name__ == "__main__":
    main()
