"""The commands under their names."""

from __future__ import annotations

from typing import Annotated

import typer

from biofacenet.cli import data, photos, restoration, surface, training
from msfit.cli.console import say

# Plain help: typer's coloured one would load rich, which takes longer than all the rest.
app = typer.Typer(name="biofacenet", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        from msfit import __version__

        say(f"biofacenet {__version__}")
        raise typer.Exit()


@app.callback()
def biofacenet(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Takes faces in photographs apart into melanin, haemoglobin, diffuse and specular shading."""


_COMMANDS = (
    photos.predict,
    photos.edit,
    photos.view,
    surface.unwrap,
    surface.frontal,
    restoration.restore,
    training.train,
    data.evaluate,
    data.prepare,
)
for _command in _COMMANDS:
    app.command()(_command)
