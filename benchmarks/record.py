"""What every benchmark writes beside its figures: when, on which machine and commit, with which versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msfit.io.output import written_whole

RESULTS = Path(__file__).parent / "results"
_TOP = "benchmarks/results"  # of the repository: what is being measured is not changed by what was


def write(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write `figures` with machine, commit and versions to FOLDER/NAME.json and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _COMMIT,
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.system()},
        "versions": {
            "python": platform.python_version(),
            **{p: _version(p) for p in ("numpy", "scipy", "torch", "numba")},
        },
        "figures": figures,
    }
    with written_whole(path) as part:
        part.write_text(json.dumps(record, indent=2) + "\n")
    return path


def run(seconds: float) -> dict[str, Any]:
    """Day, commit and processor time of one part of a benchmark that is written part by part."""
    return {"date": datetime.now(UTC).date().isoformat(), "commit": _COMMIT, "processor seconds": round(seconds)}


def _commit() -> str:
    """The commit that is checked out, "-dirty" where tracked files other than results differ from it."""
    process = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ":/", f":(exclude,top){_TOP}"], check=False)
    return (process.stdout.strip() or "unknown") + ("-dirty" if changed.returncode == 1 else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


# As the process began: files may change while it measures.
_COMMIT = _commit()
