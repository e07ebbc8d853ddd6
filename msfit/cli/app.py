"""The commands under their names."""

from __future__ import annotations

from typing import Annotated

import typer

from msfit.cli import datasets, fit, scenes, synth
from msfit.cli.console import say

# Plain help: typer's coloured one would load rich, which takes longer than all the rest.
app = typer.Typer(name="msfit", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        from msfit import __version__

        say(f"msfit {__version__}")
        raise typer.Exit()


@app.callback()
def msfit(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Takes multispectral faces apart into melanin, haemoglobin, diffuse and specular shading."""


for _command in (fit.fit, scenes.info, scenes.render, synth.synth, datasets.fetch, datasets.models, datasets.demo):
    app.command()(_command)
