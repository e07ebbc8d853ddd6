"""`msfit check`: is the data good, what to do about it, and doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from msfit.cli.arguments import check_apart
from msfit.cli.console import compiling_told, complain, say
from msfit.cli.options import (
    DEFAULT_MODEL,
    Dark,
    Model,
    Orientation,
    Overwrite,
    Saturation,
    Variable,
    Wavelengths,
    White,
    loading_options,
)


def check(
    file: Annotated[Path, typer.Argument(metavar="SCENE", help="A scene or spectra.", show_default=False)],
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix",
            metavar="OUT",
            help="Fit with what is proposed and write the result: .h5, .nc, .mat or .npz.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the measures of each band.", show_default=False)
    ] = None,
    model: Model = DEFAULT_MODEL,
    mask: Annotated[
        str | None,
        typer.Option(metavar="auto|FILE", help="Skin. Default: as stored, else found.", show_default=False),
    ] = None,
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
    wavelengths: Wavelengths = None,
    saturation: Saturation = None,
    overwrite: Overwrite = False,
) -> None:
    """Look for bad, noisy, clipped and moved bands, a wrong white and light that falls off; say what to do."""
    import msfit
    from msfit.fitting.inputs import masked
    from msfit.io.output import check_absent, check_no_input, check_output, written_whole
    from msfit.io.results import EXTENSIONS

    if fix is not None:
        check_output(fix, EXTENSIONS)
    if table is not None:
        check_output(table, (".csv",))
    outputs = [output for output in (fix, table) if output is not None]
    check_apart(outputs, [file])
    for output in outputs:
        check_no_input(output, [white, dark, mask, wavelengths])
    check_absent(outputs, overwrite)
    options = loading_options(white, dark, variable, orientation, wavelengths, saturation)
    cube = msfit.load(file, **options)
    cube = cube if mask is None else masked(cube, mask)
    with compiling_told():
        report = msfit.check(cube, model=model)
        say("\n".join([str(file), *(f"  {line}" for line in str(report).splitlines())]))
        if table is not None:
            with written_whole(table) as part:
                report.to_dataframe().to_csv(part)
            say(f"{table}: {report.wavelengths.size} bands")
        if fix is None:
            return
        if not report.is_mendable:
            complain("nothing is proposed: fitted as it is")
        fitting: dict[str, Any] = dict(report.options)
        result = msfit.fit(report.apply(cube), model=model, **fitting)
    result.save(fix)
    say(f"{fix}: {result.summary()}")
