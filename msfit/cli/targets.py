"""Where the results and figures of a command go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msfit.cli.arguments import check_apart
from msfit.errors import InputError

if TYPE_CHECKING:
    from msfit.data.result import FitResult

FIGURES = (".png", ".pdf", ".svg", ".jpg")


def output_paths(
    inputs: list[Path], output: Path, plot: Path | None, others: Iterable[Any] = (), *, overwrite: bool = False
) -> tuple[list[Path], list[Path | None]]:
    """Where each result and figure will go; all are tried before the work begins.

    `others` are further files that are read, such as a white reference: none is written over.
    """
    from msfit.io.output import check_absent, check_no_input, check_output
    from msfit.io.results import EXTENSIONS

    if len(inputs) > 1 or (output.is_dir() and output.suffix.lower() != ".zarr"):
        for option, folder in (("-o", output), ("--plot", plot)):
            if folder is not None and not folder.is_dir() and (option == "-o" or len(inputs) > 1):
                if folder.exists() or folder.suffix.lower() in (*EXTENSIONS, *FIGURES):
                    raise InputError(f"{option}: {folder} is no folder; expected one for {len(inputs)} inputs")
                make_folder(option, folder)
        results = [output / f"{Path(os.path.realpath(path)).stem}.h5" for path in inputs]
    else:
        results = [output]
    if plot is not None and plot.is_dir():
        figures: list[Path | None] = [plot / f"{Path(os.path.realpath(path)).stem}.png" for path in inputs]
    else:
        figures = [plot for _ in inputs]
    written = [*results, *(figure for figure in figures if figure is not None)]
    check_apart(written, inputs)
    for path in written:
        check_no_input(path, others)
    for result, figure in zip(results, figures, strict=True):
        check_output(result, EXTENSIONS)
        if figure is not None:
            check_output(figure, FIGURES)
    check_absent([*results, *figures], overwrite)
    return results, figures


def make_folder(option: str, folder: Path) -> None:
    """Make a folder for several results."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{option}: {folder} cannot be made ({error.strerror}); choose another folder") from None


def save_outputs(
    result: FitResult, path: Path, figure_path: Path | None, drawing: Mapping[str, Any] | None = None
) -> None:
    """Write a result, and its figure where one is wanted; the figure is drawn before anything is written."""
    from msfit.io.output import written_whole

    figure = result.plot(**drawing or {}) if figure_path is not None else None
    result.save(path)
    if figure is not None and figure_path is not None:
        with written_whole(figure_path) as part:
            figure.savefig(part)


def report_failures(failed: list[Path], inputs: list[Path], what: str) -> None:
    """Raise an InputError that names the inputs that failed, where some did; `what` says what they are and did not."""
    if failed:
        names = ", ".join(map(str, failed))
        others = "; the others are done" if len(failed) < len(inputs) else ""
        raise InputError(f"{len(failed)} of {len(inputs)} {what}: {names}{others}")
