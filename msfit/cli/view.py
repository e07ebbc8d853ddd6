"""`msfit view`: a result as one page, in a browser or in a file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msfit.cli.arguments import check_apart
from msfit.cli.console import say
from msfit.cli.options import (
    Dark,
    Orientation,
    Overwrite,
    Saturation,
    Scale,
    Variable,
    Wavelengths,
    White,
    loading_options,
)


def view(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A result of a picture, or a scene: to find a white patch.", show_default=False
        ),
    ],
    later: Annotated[
        Path | None,
        typer.Argument(metavar="[LATER]", help="A later result of the same face: changes.", show_default=False),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", "-o", metavar="PAGE", help="Write the page (.html) instead.", show_default=False),
    ] = None,
    scene: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The scene that was fitted: its spectra.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", help="Of the loopback interface; 0: a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
    wavelengths: Wavelengths = None,
    saturation: Saturation = None,
    scale: Scale = None,
    overwrite: Overwrite = False,
) -> None:
    """Show a page with the picture, maps, spectra, fits and regions of a result, to this machine alone; or a scene."""
    from msfit.data.result import FitResult
    from msfit.errors import InputError
    from msfit.io import load
    from msfit.io.either import load_either
    from msfit.io.output import check_absent, check_output
    from msfit.io.results import load_result
    from msfit.view.page import EXTENSIONS, make_page

    if export is not None:
        check_output(export, EXTENSIONS)
        check_apart([export], [path for path in (file, later, scene) if path is not None])
        check_absent([export], overwrite)
    options = loading_options(white, dark, variable, orientation, wavelengths, saturation, scale)
    found, raw = load_either(file, {} if scene is not None else options)
    title = file.name if later is None else f"{file.name}, {later.name}"
    if isinstance(found, FitResult):
        cube = None if scene is None else load(scene, **options)
        page = make_page(found, cube, second=None if later is None else load_result(later), title=title)
    elif later is not None or scene is not None:
        raise InputError(f"{file}: is a scene; expected a result, as `msfit fit` writes it, beside another file")
    else:
        from msfit.view.raw import make_raw_page

        page = make_raw_page(found, raw=raw, title=title)
    if export is not None:
        page.save(export)
        return
    from msfit.view.server import PageServer

    with PageServer(page, port) as server:
        say(f"{server.url}\n  Ctrl-C ends it")
        if browser:
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever(poll_interval=0.1)
