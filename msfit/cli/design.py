"""`msfit design`: which channels to buy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msfit.cli.arguments import check_apart, parse_names
from msfit.cli.console import say
from msfit.cli.options import DEFAULT_MODEL, Model, Overwrite, Quiet
from msfit.cli.targets import FIGURES


def design(
    channels: Annotated[int, typer.Option(metavar="N", help="How many channels.")] = 6,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Catalogue to choose from: responses as CSV, JSON or MAT.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            metavar="NM",
            help="Without a catalogue: full width at half maximum of Gaussians on every fifth nm. [default: 20]",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[float, typer.Option(metavar="SIGMA", help="Noise of a channel; white is 1.")] = 0.003,
    hold: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Held in fits: i_d, i_s, or both.", show_default=False)
    ] = None,
    model: Model = DEFAULT_MODEL,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Design as .json, for 'msfit fit --channels'.", show_default=False
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FIGURE", help="Figure: .png, .pdf, .svg or .jpg.", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Choose the channels that tell melanin and blood best, and print what each further one buys."""
    from msfit.data.channels import Channels
    from msfit.errors import InputError
    from msfit.io.output import check_absent, check_output, written_whole
    from msfit.metrics.design import design_channels

    if source is not None and width is not None:
        raise InputError("--width: given beside --from, whose channels have their own; leave out either")
    written = [path for path in (output, plot) if path is not None]
    check_apart(written, [] if source is None else [source])
    for path, endings in ((output, (".json",)), (plot, FIGURES)):
        if path is not None:
            check_output(path, endings)
    check_absent(written, overwrite)
    catalogue = None if source is None else Channels.from_file(source)
    held = () if hold is None else parse_names("--hold", hold)
    found = design_channels(
        channels, catalogue=catalogue, width=20.0 if width is None else width, noise=noise, model=model, hold=held
    )
    figure = None if plot is None else found.plot()
    if output is not None:
        found.save(output)
    if figure is not None and plot is not None:
        with written_whole(plot) as part:
            figure.savefig(part)
    if not quiet:
        say(str(found))
