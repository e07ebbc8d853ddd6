"""`biofacenet evaluate` and `prepare`: networks examined, photographs made into training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msfit.cli.console import progress_bar, say
from msfit.cli.options import Quiet
from msfit.errors import InputError


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Scenes with their truth, or results of msfit fit.", show_default=False),
    ],
    weights: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="default, other shipped weights, or a .safetensors file.")
    ] = "default",
    degradation: Annotated[
        str | None,
        typer.Option("--degrade", metavar="HOW", help="blur, noise, jpeg or quarter-resolution.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option(metavar="N", help="Side of the pictures [pixels].")] = 64,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the noise.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="All figures, of every face: .json.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Score a network on faces with known maps, beside a constant."""
    import json

    from biofacenet.evaluation import evaluate as examine
    from biofacenet.prediction import load_model
    from msfit.io.output import check_no_input, check_output, written_whole

    if output is not None:
        check_output(output, (".json",))
        check_no_input(output, [Path(weights), Path(weights).with_suffix(".json")])
    report = examine(folder, load_model(weights, device), degradation=degradation, size=size, seed=seed)
    if output is not None:
        with written_whole(output) as part:
            part.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    say(str(report))


def prepare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Folders of photographs, or photographs.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the training data.")],
    preset: Annotated[str, typer.Option(metavar="NAME", help="default, or imdb: 50,000 of 65,536 pixels skin.")] = (
        "default"
    ),
    shortest: Annotated[
        int | None, typer.Option(metavar="N", help="Least shorter side [pixels]; 100.", show_default=False)
    ] = None,
    difference: Annotated[
        int | None, typer.Option(metavar="N", help="Most that the sides differ by [pixels]; 100.", show_default=False)
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="N", help="Side of what is stored [pixels]; 256.", show_default=False)
    ] = None,
    skin: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Least share of skin; 0.4.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Turn folders of photographs into training data."""
    from collections import Counter
    from dataclasses import replace

    from biofacenet.data.folder import REPORT, SELECTIONS
    from biofacenet.data.folder import prepare as prepare_folders

    if preset not in SELECTIONS:
        raise InputError(f"--preset: found {preset!r}; expected one of {', '.join(SELECTIONS)}")
    given = {"shortest": shortest, "difference": difference, "size": size, "skin": skin}
    chosen = replace(SELECTIONS[preset], **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    with progress_bar("photographs", quiet) as progress:
        rows = prepare_folders(folders, output, chosen, progress=progress)
    counts = Counter(row.outcome for row in rows)
    if not counts["kept"]:
        raise InputError(f"{output}: none of {len(rows):,} photographs was kept; reasons in {output / REPORT}")
    if not quiet:
        say(f"{output}: {counts['kept']:,} kept, {counts['rejected']:,} rejected; reasons in {output / REPORT}")
