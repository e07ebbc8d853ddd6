"""`msfit synth`: face scenes with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msfit.cli.console import progress_bar, say
from msfit.cli.options import DEFAULT_MODEL, Model, Overwrite, Quiet


def synth(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the scenes.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many scenes.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the first; the next has the next.")] = 0,
    size: Annotated[int, typer.Option(metavar="N", help="Height and width of the picture [pixels].")] = 256,
    mode: Annotated[str, typer.Option(metavar="measured|model", help="Skin as measured, or as modelled.")] = "measured",
    model: Model = DEFAULT_MODEL,
    split: Annotated[
        str, typer.Option(metavar="train|validation|test", help="Whose measured skin it may be.")
    ] = "train",
    stand_ins: Annotated[
        bool, typer.Option("--stand-ins", help="The 25 frozen stand-ins for the ISET faces; no other option matters.")
    ] = False,
    photographs: Annotated[
        bool,
        typer.Option("--photographs", help="The 144 frozen photographs of 24 test persons; no other option matters."),
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make face scenes with known truth."""
    from msfit import synth
    from msfit.errors import InputError

    if stand_ins and photographs:
        raise InputError("--stand-ins and --photographs: found both; expected one of the two exams a folder")
    with progress_bar("scenes", quiet) as progress:
        if stand_ins:
            written = synth.write_standins(output, progress=progress, overwrite=overwrite)
        elif photographs:
            written = synth.write_photographs(output, progress=progress, overwrite=overwrite)
        else:
            written = synth.write_scenes(
                output,
                count,
                seed=seed,
                size=size,
                mode=mode,
                model=model,
                split=split,
                overwrite=overwrite,
                progress=progress,
            )
    if not quiet:
        what = "photograph" if photographs else "scene"
        say(f"{output}: {len(written)} {what}{'s' if len(written) != 1 else ''}, each with its truth beside it")
