"""The command line of the benchmark: arguments, progress, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table1.choices import CROPS, ENCODINGS, EXPOSURES, Choices
from benchmarks.table1.exams import find_scenes
from benchmarks.table1.methods import all_methods
from benchmarks.table1.run import Outcome, grade_all, write_report
from msfit.cli.console import complain, flush, progress_bar, say
from msfit.errors import InputError
from msfit.metrics import PIGMENT_UNITS, SHADING_SCALES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0 done; 2 wrong arguments, or scenes that failed (the others are done and reported); 130 interrupted.
    """
    chosen = _parser().parse_args(arguments)
    try:
        outcome = _run(chosen)
    except InputError as error:
        complain(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on where this one stopped")
        return 130
    finally:
        flush()
    for name, reason in outcome.failed.items():
        complain(f"error: {name}: {reason.removeprefix(f'{name}: ')}")
    if outcome.failed:
        complain(
            f"error: {len(outcome.failed)} of {len(outcome.failed) + len(outcome.graded)} scenes failed: "
            f"{', '.join(outcome.failed)}; the others are reported"
        )
    return 2 if outcome.failed else 0


def _run(chosen: argparse.Namespace) -> Outcome:
    choices = Choices(
        models=tuple(dict.fromkeys(chosen.model)) if chosen.model else Choices.models,
        bounds=chosen.bounds,
        bands=chosen.bands,
        mask=chosen.mask,
        crop=chosen.crop,
        exposure=chosen.exposure,
        size=chosen.size,
        shading_scale=chosen.shading_scale,
        pigments=chosen.pigments,
        encoding=chosen.encoding,
        degradations=not chosen.no_degradations,
        other_models=chosen.other_models,
    )
    choices.check()
    if chosen.figures < 0:
        raise InputError(f"--figures: found {chosen.figures}; expected 0 scenes or more")
    paths = find_scenes(chosen.scenes)
    methods = all_methods(chosen.weights)
    with progress_bar("scenes") as bar:
        progress = bar or (lambda done, total: complain(f"{done} of {total} scenes are graded"))
        outcome = grade_all(
            paths, methods, choices, chosen.out, figures=chosen.figures, strict=chosen.strict, progress=progress
        )
    if outcome.graded:
        write_report(chosen.out, outcome, choices, methods)
        say((chosen.out / "table1.md").read_text(encoding="utf-8"))
        say(f"{chosen.out / 'table1.html'}: {len(outcome.graded)} scenes")
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.table1",
        description="Table 1 of Alotaibi & Smith, BMVC 2019: scenes are fitted, rendered under D65 through the mean "
        "camera, shown to networks and scored by RMSE over the face.",
    )
    add = parser.add_argument
    add("scenes", nargs="+", type=Path, metavar="SCENE_OR_DIR")
    add("--out", type=Path, required=True, metavar="DIR", help="report, figures, and what an interrupted run has done")
    add(
        "--model",
        action="append",
        metavar="M",
        help="skin model of the pseudo ground truth; may be repeated",
    )
    add("--bounds", default=Choices.bounds, help="wide or paper (default: %(default)s)")
    add("--bands", metavar="A:B[:STEP]", help="bands of the fit [nm] (default: all inside the model's range)")
    add("--mask", default=Choices.mask, metavar="auto|FILE|none", help="the face (default: %(default)s)")
    add("--crop", default=Choices.crop, choices=CROPS, help="what is shown of a scene (default: %(default)s)")
    add("--exposure", default=Choices.exposure, choices=EXPOSURES, help="brightness (default: %(default)s)")
    add("--size", type=int, default=Choices.size, help="side of the picture; 0: the scene's (default: %(default)s)")
    add("--shading-scale", default=Choices.shading_scale, choices=SHADING_SCALES, help="(default: %(default)s)")
    add("--pigments", default=Choices.pigments, choices=PIGMENT_UNITS, help="unit (default: %(default)s)")
    add("--encoding", default=Choices.encoding, choices=ENCODINGS, help="of compared RGB (default: %(default)s)")
    add("--no-degradations", action="store_true", help="leave out blurred, noisy and compressed pictures")
    add("--other-models", action="store_true", help="score weights in terms of other skin models too")
    add(
        "--weights",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="your network; may be repeated",
    )
    add("--figures", type=int, default=3, metavar="N", help="draw the first N scenes (default: %(default)s)")
    add("--strict", action="store_true", help="stop at the first scene that fails")
    return parser
