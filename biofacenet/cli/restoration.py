"""`biofacenet restore`: photographs made worse in, restored ones out, and what happened to the skin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from biofacenet.cli.photos import BoxOption, Device, Photos, Weights, parse_place
from msfit.cli.arguments import check_apart
from msfit.cli.console import complain, say
from msfit.cli.options import Overwrite, Quiet
from msfit.cli.targets import report_failures
from msfit.errors import InputError


def restore(
    photos: Photos,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="Picture: .png, .tif or .jpg; a folder for several.")
    ],
    scale: Annotated[int, typer.Option(metavar="1|2|4", help="Enlargement.")] = 1,
    strength: Annotated[float, typer.Option(metavar="S", help="0: as it is; 1: in full.")] = 1.0,
    hole: Annotated[
        Path | None,
        typer.Option(metavar="MASK", help="Picture, white where the photograph is to be filled.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.json", help="What was done; a folder for several.", show_default=False),
    ] = None,
    show_invented: Annotated[
        bool, typer.Option("--show-invented", help="Filled holes red, added detail blue.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Look for no face: restore without physics.")] = False,
    restorer: Annotated[str, typer.Option(metavar="NAME|FILE", help="default, or a .safetensors file.")] = "default",
    weights: Weights = "default",
    box: BoxOption = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Restore photographs of faces that are blurred, noisy, small, compressed or partly covered."""
    from biofacenet.photo.reading import PHOTO_EXTENSIONS
    from biofacenet.prediction import load_model
    from biofacenet.restoration.pipeline import checked
    from biofacenet.restoration.pipeline import restore as restore_photo
    from biofacenet.restoration.reading import write_restored
    from biofacenet.restoration.weights import load_restorer
    from msfit.io.output import check_absent, check_output, written_whole

    if box is not None and whole:
        raise InputError("--box, --whole: both are given; expected one of them")
    checked(scale, strength)
    pictures = _targets(photos, output, ".png")
    reports: list[Path | None] = [None] * len(photos)
    if report is not None:
        reports = [*_targets(photos, report, ".json")]
    for path in pictures:
        check_output(path, PHOTO_EXTENSIONS)
    wanted = [path for path in reports if path is not None]
    for path in wanted:
        check_output(path, (".json",))
    targets = [*pictures, *wanted]
    check_apart(targets, [*photos, *([hole] if hole is not None else [])])
    check_absent(targets, overwrite)
    place = "whole" if whole else parse_place(box)
    model, network = load_model(weights, device), load_restorer(restorer)
    failed: list[Path] = []
    for photo, picture_path, report_path in zip(photos, pictures, reports, strict=True):
        try:
            made = restore_photo(photo, model, scale=scale, strength=strength, hole=hole, box=place, restorer=network)
        except InputError as error:
            if len(photos) == 1:
                raise
            complain(f"error: {error}")
            failed.append(photo)
            continue
        rgb = made.marked() if show_invented else made.rgb
        write_restored(picture_path, rgb, made.alpha, made.grey and not show_invented)
        if report_path is not None:
            with written_whole(report_path) as part:
                part.write_text(json.dumps(made.report, indent=2) + "\n", encoding="utf-8")
        if not quiet:
            for note in made.notes:
                complain(f"{photo}: note: {note}")
            skin = f"; {made.change}" if made.change is not None else ""
            say(f"{picture_path}: found {made.degradation}{skin}")
    report_failures(failed, photos, "photographs could not be restored")


def _targets(photos: list[Path], target: Path, extension: str) -> list[Path]:
    """Where the results of photographs go: the target itself, or files of their names in it."""
    if len(photos) == 1 and not target.is_dir():
        return [target]
    if not target.is_dir():
        raise InputError(f"{target}: found no folder; expected one for {len(photos)} photographs")
    paths = [target / f"{photo.stem}{extension}" for photo in photos]
    if len(set(paths)) < len(paths):
        raise InputError(f"{target}: two photographs have one name; restore them into different folders")
    return paths
