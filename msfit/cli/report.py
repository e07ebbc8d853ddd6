"""`msfit report`: several results as one document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msfit.cli.arguments import check_apart
from msfit.cli.console import say
from msfit.cli.options import Overwrite


def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT", help="Results of subjects and sites.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Report (.html).")],
    table: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the table alone, too.", show_default=False)
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "Melanin and haemoglobin",
    overwrite: Overwrite = False,
) -> None:
    """Gather results in a table by subject and site, with flags of quality, and small maps with shared colours."""
    from msfit.errors import InputError
    from msfit.io.output import check_absent, check_output, written_whole
    from msfit.io.results import load_result
    from msfit.view.cohort import cohort, make_report

    check_output(output, (".html", ".htm"))
    if table is not None:
        check_output(table, (".csv",))
    outputs = [path for path in (output, table) if path is not None]
    check_apart(outputs, results)
    check_absent(outputs, overwrite)
    if len({path.resolve() for path in results}) < len(results):
        raise InputError("RESULT: one is given twice; expected each once")
    loaded = {}
    for path in results:
        loaded[path.stem if path.stem not in loaded else str(path)] = load_result(path)
    text = make_report(loaded, title=title)
    if table is not None:
        with written_whole(table) as part:
            cohort(loaded).to_csv(part)
    with written_whole(output) as part:
        part.write_text(text, encoding="utf-8")
    say(f"{output}: {len(loaded)} results")
