"""Through how many files does a fit lead its reader?

Usage: python -m benchmarks.walk [--data DIR] [--files]

A tracer of Python calls, worker threads included, counts the files of the package that are entered and how often one
call follows another from a different file, thread by thread. What runs while a module is imported does not count, nor
while a name of the package is looked up, which imports it; nor do compiled kernels, comprehensions and generator
expressions, which are no calls of Python to a reader.

Cases: the first and the second fit of an array in a process, a fit from disk to disk by `msfit.fit_file`, and the
command line from a file to its result. Each runs in a process of its own. `--files` names the files. The bounds that
the project sets itself stand beside each count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

PACKAGE = Path(__file__).parents[1] / "msfit"
#: {case: (files, changes of file)} that should not be exceeded.
BOUNDS = {"first": (24, 60), "second": (14, 35), "command line": (32, 95), "streamed": (38, 150)}
_NO_CALLS = ("<module>", "__getattr__", "<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")


class Walk:
    """Counts calls into files under a folder while it is entered as a context."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder) + os.sep
        self.files: dict[str, int] = {}
        self.changes = 0
        self._last = threading.local()

    def __enter__(self) -> Walk:
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(self.folder):
            return
        if os.sep + "numba_" in code.co_filename and not code.co_filename.endswith("numba_bound.py"):
            return
        if code.co_name in _NO_CALLS or _importing(frame):
            return
        name = code.co_filename.removeprefix(self.folder)
        self.files[name] = self.files.get(name, 0) + 1
        last = getattr(self._last, "name", None)
        self.changes += last is not None and last != name
        self._last.name = name


def _importing(frame: FrameType | None) -> bool:
    """Whether a frame is run by the import of a module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _skin() -> np.ndarray:
    """A spectrum of skin (band,), made in another process: what is set up for it must not be at hand in this one."""
    code = "import msfit, numpy as np; print(msfit.reflectance(0.1, 0.03, np.arange(400.0, 701, 10)).tolist())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return np.array(json.loads(made.stdout), np.float32) * 0.8 + 0.05


def _fits(times: int) -> Callable[[], None]:
    import msfit

    nm = np.arange(400.0, 701.0, 10.0)
    pixels = np.tile(_skin(), (20, 10, 1))
    for _ in range(times - 1):
        msfit.fit(pixels, nm)
    return lambda: print(msfit.fit(pixels, nm).shape)


def _command(data: Path, folder: Path) -> Callable[[], None]:
    from msfit.cli import main

    return lambda: print(main(["fit", str(data / "iset_cheeks.mat"), "-o", str(folder / "cheeks.h5")]))


def _streamed(folder: Path) -> Callable[[], None]:
    import h5py

    import msfit

    with h5py.File(folder / "cube.h5", "w") as file:
        file["reflectance"] = np.tile(_skin(), (64, 64, 1))
        file["wavelengths"] = np.arange(400.0, 701.0, 10.0)
    return lambda: print(msfit.fit_file(folder / "cube.h5", folder / "maps.h5").shape)


def measure(case: str, data: Path) -> dict[str, Any]:
    """Files and changes of one case, in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = {
            "first": lambda: _fits(1),
            "second": lambda: _fits(2),
            "command line": lambda: _command(data, folder),
            "streamed": lambda: _streamed(folder),
        }[case]()
        with Walk(PACKAGE) as walk:
            work()
    return {"files": sorted(walk.files), "changes": walk.changes}


def main() -> None:
    """Count every case in a process of its own and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the reference data")
    parser.add_argument("--files", action="store_true", help="name the files")
    parser.add_argument("--case", choices=BOUNDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.data)))
        return
    for case, (files, changes) in BOUNDS.items():
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.walk", "--case", case, "--data", arguments.data]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        walk = json.loads(done.stdout.splitlines()[-1])
        print(f"{case}: {len(walk['files'])} files (at most {files}), {walk['changes']} changes (at most {changes})")
        if arguments.files:
            print("  " + "\n  ".join(walk["files"]))


if __name__ == "__main__":
    main()
