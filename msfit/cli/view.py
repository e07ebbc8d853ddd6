"""`msfit view`: a result as one page that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msfit.cli.arguments import check_apart
from msfit.cli.options import Dark, Orientation, Variable, White, loading_options


def view(
    file: Annotated[Path, typer.Argument(metavar="RESULT", help="A result of a picture.", show_default=False)],
    export: Annotated[Path, typer.Option("--export", "-o", metavar="PAGE", help="The page to write (.html).")],
    scene: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The scene that was fitted: its spectra.", show_default=False)
    ] = None,
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
) -> None:
    """Write a page with the picture, maps, spectra, fits and regions of a result."""
    from msfit.io import load
    from msfit.io.output import check_output
    from msfit.io.results import load_result
    from msfit.view.page import EXTENSIONS, make_page

    check_output(export, EXTENSIONS)
    check_apart([export], [file] if scene is None else [file, scene])
    options = loading_options(white, dark, variable, orientation)
    cube = None if scene is None else load(scene, **options)
    make_page(load_result(file), cube, title=file.name).save(export)
