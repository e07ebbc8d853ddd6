"""`msfit fetch`, `models` and `demo`: data sets, skin models, and the fit of the spectra that come with the library."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msfit.cli.console import Advance, progress_bar, say
from msfit.cli.options import DEFAULT_MODEL, Model, Quiet
from msfit.errors import InputError

if TYPE_CHECKING:
    from msfit.demo import Row
    from msfit.skin.registry import Parameter

_SERVER = re.compile(r"https?://[^\s/]+", re.IGNORECASE)


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="iset-faces or iset-faces-3m.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files. [default: ./NAME]")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="Another server that holds the same archives, ending in /.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow servers without encryption (http).")] = False,
    quiet: Quiet = False,
) -> None:
    """Download a data set, resume, check and unpack it."""
    from msfit.io.datasets import fetch as fetching

    chosen = fetching.data_set(name)
    if mirror is not None:
        if not _SERVER.match(mirror):
            raise InputError(
                f"--mirror: found {mirror!r}; expected the address of a server, such as https://host/files/"
            )
        chosen = replace(chosen, root=mirror.rstrip("/") + "/")
    folder = output or Path(name)
    with contextlib.ExitStack() as bars:
        current: dict[str, Advance | None] = {}

        def progress(file: str, done: int, total: int) -> None:
            if file not in current:
                bars.close()
                current[file] = bars.enter_context(progress_bar(file, quiet, in_bytes=True))
            advance = current[file]
            if advance is not None:
                advance(done, total)

        found = fetching.fetch(chosen, folder, progress=progress, insecure=insecure)
    if not quiet:
        say(f"{folder}: {len(found)} files of {chosen.title}; their owner and licence: {chosen.page}")


def models() -> None:
    """List the skin models: range, parameters, source, and how close they come to measured skin."""
    from msfit.skin.held_out import held_out_figures
    from msfit.skin.models import DEFAULT_MODEL, get_model, model_names

    figures = held_out_figures()
    lines = []
    for name in model_names():
        model = get_model(name)
        low, high = model.wavelength_range
        default = ", the default" if name == DEFAULT_MODEL else ""
        lines += [f"{name}  ({low:g}-{high:g} nm{default})", f"    {model.summary}"]
        lines += [_line(parameter) for parameter in model.parameters]
        if model.extras:
            lines.append("    and, held at their defaults unless they are fitted:")
        lines += [f"{_line(extra)}; default {extra.default:.4g}" for extra in model.extras]
        if name in figures:
            lines.append(f"    on held-out skin: {figures[name]}")
        lines += [f"    source: {model.source}", ""]
    say("\n".join(lines).rstrip())


def _line(parameter: Parameter) -> str:
    wide, paper = (f"{kind} {low:g}-{high:g}" for kind in ("wide", "paper") for low, high in [getattr(parameter, kind)])
    return f"    {parameter.name:<10} [{parameter.unit}]  {wide:<12}  {paper:<16} {parameter.description}"


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for result and figure.")] = Path(
        "demo"
    ),
    model: Model = DEFAULT_MODEL,
    quiet: Quiet = False,
) -> None:
    """Fit the 7,553 facial spectra that come with msfit."""
    from msfit.demo import run_demo

    with progress_bar("ISSA faces", quiet) as progress:
        outcome = run_demo(output, model=model, progress=progress)
    if not quiet:
        for by in ("group", "site"):
            say(_table(outcome.rows(by), by))
        say(f"{outcome.result.summary()}\nwritten: {', '.join(map(str, outcome.files))}")


def _table(rows: list[Row], by: str) -> str:
    """Medians by group or site, as text."""
    from rich.console import Console
    from rich.table import Table

    from msfit.data.result import MAPS

    table = Table(title=f"Median by {by}", title_justify="left", title_style="bold")
    table.add_column(by)
    for heading in ("spectra", "subjects", *MAPS):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.label == "all":
            table.add_section()
        numbers = [f"{row.values[name]:.4f}" for name in MAPS]
        table.add_row(row.label, f"{row.spectra:,}", f"{row.subjects:,}", *numbers)
    # a pipe has no width, and a narrow terminal may wrap the lines itself: no number is ever cut off
    console = Console(width=110)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
