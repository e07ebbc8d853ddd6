"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

# msfit.skin.models says the same, but takes torch to be read.
DEFAULT_MODEL = "msfit-issa-2025"
REFERENCE_MODEL = "alotaibi-smith-2019"

Model = Annotated[str, typer.Option(metavar="NAME", help="Skin model; 'msfit models' lists them.")]
White = Annotated[
    str | None, typer.Option(metavar="REF", help="White reference: a patch y0:y1,x0:x1, or a file.", show_default=False)
]
Dark = Annotated[
    str | None,
    typer.Option(metavar="REF", help="Dark reference: a number, a patch, or a file.", show_default=False),
]
Variable = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which array to read, where a file holds several.", show_default=False),
]
Orientation = Annotated[
    str | None,
    typer.Option(metavar="ORDER", help="bands-last or bands-first, where a file leaves it open.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


def loading_options(
    white: str | None, dark: str | None, variable: str | None, orientation: str | None
) -> dict[str, Any]:
    """Those that were given, as `msfit.load` takes them."""
    options = {"white": white, "dark": dark, "variable": variable, "orientation": orientation}
    return {name: value for name, value in options.items() if value is not None}
