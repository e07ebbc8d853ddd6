"""`biofacenet predict` and `edit`: photographs in, maps or changed photographs out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msfit.cli.arguments import check_apart
from msfit.cli.console import complain, say
from msfit.cli.options import Overwrite, Quiet
from msfit.cli.targets import output_paths, report_failures, save_outputs
from msfit.errors import InputError

if TYPE_CHECKING:
    from biofacenet.photo.face import Box
    from biofacenet.prediction import Model

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photographs of faces.", show_default=False)]
Weights = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="default, other shipped weights, or a .safetensors file.")
]
BoxOption = Annotated[
    str | None, typer.Option("--box", metavar="X,Y,W,H", help="Where the face is [pixels].", show_default=False)
]
Whole = Annotated[bool, typer.Option("--whole", help="Take the whole picture, face or not.")]
Size = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Shorter side at which detail is seen [pixels]; 0: the picture's. Default: up to 256."
    ),
]
Refine = Annotated[
    str | None,
    typer.Option(
        metavar="bands|pixels|none",
        help="How the solver finishes what the network says. Default: bands, where the network's errors are known.",
        show_default=False,
    ),
]
_REFINEMENTS = {None: None, "bands": True, "pixels": "pixels", "none": False}
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]


def predict(
    photos: Photos,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="Maps: .h5, .nc, .mat or .npz; a folder for several."),
    ],
    plot: Annotated[
        Path | None,
        typer.Option(metavar="PANEL", help="Figure: .png, .pdf, .svg or .jpg; a folder for several."),
    ] = None,
    weights: Weights = "default",
    box: BoxOption = None,
    whole: Whole = False,
    mask: Annotated[str, typer.Option(metavar="auto|none", help="Skin of the face alone, or everything.")] = "auto",
    size: Size = None,
    refine: Refine = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Take the faces in photographs apart into maps."""
    results, figures = output_paths(photos, output, plot, [weights], overwrite=overwrite)
    where = _where(box, whole)
    if mask not in ("auto", "none"):
        raise InputError(f"--mask: found {mask!r}; expected auto or none")
    if refine not in _REFINEMENTS:
        raise InputError(f"--refine: found {refine!r}; expected bands, pixels or none")
    model = _model(weights, device)
    from biofacenet.prediction import predict as predict_photo

    failed: list[Path] = []
    for path, result_path, figure_path in zip(photos, results, figures, strict=True):
        try:
            result = predict_photo(path, model, box=where, mask=mask, size=size, refine=_REFINEMENTS[refine])
            save_outputs(result, result_path, figure_path)
        except InputError as error:
            if len(photos) == 1:
                raise
            complain(f"error: {error}")
            failed.append(path)
            continue
        if not quiet:
            say(f"{result_path}: {result.summary()}; box {result.attrs['box']}")
    report_failures(failed, photos, "photographs could not be taken apart")


def _change(what: str) -> Any:
    return typer.Option(metavar="CHANGE", help=f"Of {what}: +0.05, -0.05, x1.5, or a value.", show_default=False)


def edit(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photograph of a face.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Picture: .png, .tif or .jpg.")],
    melanin: Annotated[str | None, _change("the melanosome fraction")] = None,
    blood: Annotated[str | None, _change("the blood fraction")] = None,
    diffuse: Annotated[str | None, _change("the diffuse shading")] = None,
    specular: Annotated[str | None, _change("the specular shading")] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="NAME=FROM:TO:COUNT",
            help="A contact sheet, as melanin=-0.05:0.2:5; twice for rows and columns.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = "default",
    box: BoxOption = None,
    whole: Whole = False,
    size: Size = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Change the skin in a photograph; every pixel outside the face stays."""
    from biofacenet.editing import Editor, parse_change
    from biofacenet.photo.reading import PHOTO_EXTENSIONS, write_photo
    from biofacenet.sheets import contact_sheet, parse_range
    from msfit.io.output import check_absent, check_output

    given = {"melanin": melanin, "blood": blood, "diffuse": diffuse, "specular": specular}
    changes: dict[str, Any] = {name: parse_change(name, text) for name, text in given.items() if text is not None}
    spans = [parse_range(text) for text in ranges or []]
    if not changes and not spans:
        raise InputError("nothing to change; give --melanin, --blood, --diffuse, --specular or --range")
    check_output(output, PHOTO_EXTENSIONS)
    check_apart([output], [photo])
    check_absent([output], overwrite)
    where = _where(box, whole)
    editor = Editor(photo, _model(weights, device), box=where, size=size)
    if spans:
        sheet, notes = contact_sheet(editor, spans, changes)
        write_photo(output, sheet)
    else:
        edited = editor.edit(changes)
        notes = edited.notes
        write_photo(output, edited.rgb, edited.alpha)
    if not quiet:
        for note in notes:
            complain(f"{photo}: note: {note}")
        say(f"{output}: {', '.join([f'{n} {c}' for n, c in changes.items()] + [f'{s.name} range' for s in spans])}")


def view(
    weights: Weights = "default",
    port: Annotated[int, typer.Option(metavar="N", help="Of the loopback interface; 0: a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    device: Device = "auto",
) -> None:
    """Open a page that takes photographs apart: drop one on it. Nothing leaves this machine, nothing is kept."""
    from biofacenet.view.server import PhotoServer

    with PhotoServer(_model(weights, device), port) as server:
        say(f"{server.url}\n  Ctrl-C ends it")
        if browser:
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever(poll_interval=0.1)


def _where(box: str | None, whole: bool) -> Box | str:
    if box is not None and whole:
        raise InputError("--box, --whole: both are given; expected one of them")
    return "whole" if whole else parse_place(box)


def parse_place(box: str | None) -> Box | str:
    """Where the face is, of --box."""
    from biofacenet.photo.face import parse_box

    return "auto" if box is None else parse_box(box)


def _model(weights: str, device: str) -> Model:
    from biofacenet.prediction import load_model

    return load_model(weights, device)
