"""The commands under their names."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core

from msfit.cli import check, datasets, design, fit, report, scenes, synth, view
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


class Grouped(typer.core.TyperCommand):
    """Plain help with the options in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        for title in sorted(groups, key=lambda name: name not in ("Arguments", "Options")):
            with formatter.section(title):
                formatter.write_dl(groups[title])


for _command in (
    fit.fit,
    scenes.info,
    check.check,
    scenes.render,
    view.view,
    report.report,
    design.design,
    synth.synth,
    datasets.fetch,
    datasets.models,
    datasets.demo,
):
    app.command(cls=Grouped)(_command)
