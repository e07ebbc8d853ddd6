"""A run over scenes: each is graded once and kept, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msfit
from benchmarks.record import write as write_record
from benchmarks.table1 import report
from benchmarks.table1.choices import Choices
from benchmarks.table1.exams import make_exam
from benchmarks.table1.figures import save_comparison
from benchmarks.table1.scoring import Method, estimates, grade
from msfit.errors import InputError
from msfit.io.output import written_whole
from msfit.synth.files import truth_path


class Outcome(NamedTuple):
    """What became of a run: figures a scene, and why scenes failed, by file name."""

    graded: list[dict[str, Any]]
    failed: dict[str, str]


def grade_all(
    paths: Sequence[Path],
    methods: Sequence[Method],
    choices: Choices,
    folder: Path,
    *,
    figures: int = 3,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Grade scenes into FOLDER/scenes, and draw FOLDER/figures for the first few.

    Parameters
    ----------
    paths : sequence of Path
        Scenes.
    methods : sequence of Method
    choices : Choices
    folder : Path
        Of the report; made if absent.
    figures : int
        How many scenes to draw.
    strict : bool
        Raise at the first scene that fails instead of going on.
    progress : callable (done, total), optional
    """
    kept, drawn = folder / "scenes", folder / "figures"
    for place in (kept, drawn):
        _make(place)
    outcome = Outcome([], {})
    for number, path in enumerate(paths):
        draw = drawn / f"{path.stem}.png" if number < figures else None
        try:
            outcome.graded.append(_grade_one(path, methods, choices, kept / f"{path.stem}.json", draw))
        except InputError as error:
            if strict:
                raise
            outcome.failed[path.name] = str(error)
        if progress is not None:
            progress(number + 1, len(paths))
    return outcome


def write_report(folder: Path, outcome: Outcome, choices: Choices, methods: Sequence[Method]) -> None:
    """Write table1.md, .html, .json and per_scene.csv into the folder."""
    words = choices.described()
    about = {"msfit fit": "the fit itself, which sees the spectrum; scored where the truth is known"}
    about |= {method.name: method.about for method in methods}
    figures = sorted(path.relative_to(folder).as_posix() for path in (folder / "figures").glob("*.png"))
    text = report.markdown(outcome.graded, words, about)
    with written_whole(folder / "table1.md") as part:
        part.write_text(text, encoding="utf-8")
    with written_whole(folder / "table1.html") as part:
        part.write_text(report.as_html(text, figures), encoding="utf-8")
    with written_whole(folder / "per_scene.csv") as part:
        part.write_text(report.per_scene_csv(outcome.graded), encoding="utf-8")
    write_record("table1", {**report.as_json(outcome.graded, words, about), "failed": outcome.failed}, folder)


def _grade_one(
    path: Path, methods: Sequence[Method], choices: Choices, kept: Path, draw: Path | None
) -> dict[str, Any]:
    key = _key(path, methods, choices)
    if (cached := _read(kept, key)) is not None and (draw is None or draw.is_file()):
        return cached
    exam = make_exam(path, choices)
    figures = grade(exam, methods, choices)
    if draw is not None:
        with written_whole(draw) as part:
            title = f"{exam.name}: stand-in, no person" if exam.kind == "stand-in" else exam.name
            save_comparison(part, title, exam.mask, estimates(exam, methods, replace(choices, degradations=False)))
    with written_whole(kept) as part:
        part.write_text(json.dumps({"key": key, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    return figures


def _key(path: Path, methods: Sequence[Method], choices: Choices) -> str:
    """What decides a scene's figures: its files, the choices, the methods with their weights, the version."""
    digest = hashlib.sha256()
    for source in (path, truth_path(path)):
        if source.is_file():
            with source.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    settings = [choices.key(), [(method.name, method.version) for method in methods], msfit.__version__]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def _read(kept: Path, key: str) -> dict[str, Any] | None:
    """Figures that were kept under this key; None where there are none, or others."""
    try:
        content = json.loads(kept.read_text(encoding="utf-8"))
        found: dict[str, Any] = content["figures"]
        return found if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be made ({error.strerror}); choose another folder") from None
    if shutil.disk_usage(folder).free < 1 << 20:
        raise InputError(f"--out: {folder} lies on a disk that is full; make room or choose another")
