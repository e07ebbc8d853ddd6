"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from msfit.cli.arguments import parse_wavelengths
from msfit.skin import DEFAULT_MODEL as DEFAULT_MODEL

Model = Annotated[str, typer.Option(metavar="NAME", help="Skin model; 'msfit models' lists them.")]
READING = "Reading"  # a group of the help


def _reading(metavar: str, help: str) -> Any:
    return typer.Option(metavar=metavar, help=help, show_default=False, rich_help_panel=READING)


_WHITE = "White reference: a patch y0:y1,x0:x1, a file, or 'checker': a ColorChecker in the picture."
White = Annotated[str | None, _reading("REF", _WHITE)]
Dark = Annotated[str | None, _reading("REF", "Dark reference: a number, a patch, or a file.")]
Variable = Annotated[str | None, _reading("NAME", "Which array to read, where a file holds several.")]
Orientation = Annotated[str | None, _reading("ORDER", "bands-last or bands-first, where a file leaves it open.")]
Wavelengths = Annotated[
    str | None, _reading("FIRST:LAST:STEP|FILE", "Band centres [nm], where a file has none or wrong ones.")
]
Saturation = Annotated[float | None, _reading("LEVEL", "Samples from here on are saturated, in the file's numbers.")]
Scale = Annotated[float | None, _reading("NUMBER", "The file's numbers are divided by it: 100 for percent.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over results that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


def loading_options(
    white: str | None,
    dark: str | None,
    variable: str | None,
    orientation: str | None,
    wavelengths: str | None = None,
    saturation: float | None = None,
    scale: float | None = None,
) -> dict[str, Any]:
    """Those that were given, as `msfit.load` takes them."""
    options: dict[str, Any] = {"white": white, "dark": dark, "variable": variable, "orientation": orientation}
    options |= {"wavelengths": None if wavelengths is None else parse_wavelengths(wavelengths)}
    options |= {"saturation": saturation, "scale": scale}
    return {name: value for name, value in options.items() if value is not None}
