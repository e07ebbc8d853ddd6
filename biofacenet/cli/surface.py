"""`biofacenet unwrap` and `frontal`: photographs in, textures or a front view out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from biofacenet.cli.photos import BoxOption, Device, Photos, Weights, parse_place
from msfit.cli.arguments import check_apart
from msfit.cli.console import complain, say
from msfit.cli.options import Overwrite, Quiet
from msfit.errors import InputError, InputWarning

if TYPE_CHECKING:
    from biofacenet.surface.unwrap import FaceTexture

_Made = TypeVar("_Made")

Distance = Annotated[float, typer.Option(metavar="CM", help="From camera to head [cm], in perspective.")]
Camera = Annotated[str, typer.Option(metavar="perspective|weak-perspective")]
Texels = Annotated[int, typer.Option("--size", metavar="N", help="Texels along a side, 64 to 2048.")]


def unwrap(
    photos: Photos,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="Textures: .h5, .glb, or a folder of PNG files.")
    ],
    weights: Weights = "default",
    box: BoxOption = None,
    size: Texels = 512,
    camera: Camera = "perspective",
    distance: Distance = 100.0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Skin textures of a face, from one photograph or several of one person."""
    from biofacenet.prediction import load_model
    from biofacenet.surface.files import TEXTURE_EXTENSIONS, check_folder
    from biofacenet.surface.unwrap import unwrap as make_texture
    from msfit.io.output import check_absent, check_output

    if output.suffix:
        check_output(output, TEXTURE_EXTENSIONS)
    check_apart([output], photos)
    check_absent([output], overwrite)
    if not output.suffix:
        check_folder(output)
        if inside := [photo for photo in photos if output.is_dir() and photo.resolve().parent == output.resolve()]:
            raise InputError(f"{output}: holds the input {inside[0].name}, which would be lost; choose another folder")
    place, model = parse_place(box), load_model(weights, device)
    texture = _with_warnings(
        lambda: make_texture(photos, model, box=place, size=size, camera=camera, distance=distance)
    )
    texture.save(output)
    if not quiet:
        _say_notes(texture)
        say(f"{output}: {_in_words(texture.shares())} of the face; yaw {texture.attrs['yaw']} degrees")


def frontal(
    photos: Photos,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Picture: .png, .tif or .jpg.")],
    yaw: Annotated[float, typer.Option(metavar="DEG", help="Of the head in the picture, to its right.")] = 0.0,
    pitch: Annotated[float, typer.Option(metavar="DEG", help="Likewise, upwards.")] = 0.0,
    light: Annotated[
        str, typer.Option(metavar="as-is|NAME|FILE", help="The light's spectrum: as found, D65, A, ... or a CSV file.")
    ] = "as-is",
    face_only: Annotated[bool, typer.Option("--face-only", help="The face alone, on black.")] = False,
    show_invented: Annotated[
        bool, typer.Option("--show-invented", help="Mirrored parts blue, filled ones red.")
    ] = False,
    method: Annotated[
        str, typer.Option(metavar="geometric|network", help="network: a face drawn by a network; measures worse.")
    ] = "geometric",
    front_weights: Annotated[
        str, typer.Option(metavar="FILE", help="Of that network, as `biofacenet train --config frontal` wrote them.")
    ] = "default",
    weights: Weights = "default",
    box: BoxOption = None,
    camera: Camera = "perspective",
    distance: Distance = 100.0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """The face of a photograph, or of several of one person, seen from the front."""
    from biofacenet.photo.reading import PHOTO_EXTENSIONS, write_photo
    from biofacenet.prediction import load_model
    from biofacenet.surface.frontal import frontal as turn_to_front
    from msfit.io.output import check_absent, check_output

    check_output(output, PHOTO_EXTENSIONS)
    check_apart([output], photos)
    if front_weights != "default" and method != "network":
        raise InputError("--front-weights: goes with --method network")
    check_absent([output], overwrite)
    place, model = parse_place(box), load_model(weights, device)
    made = _with_warnings(
        lambda: turn_to_front(
            photos,
            model,
            yaw=yaw,
            pitch=pitch,
            light=light,
            face_only=face_only,
            show_invented=show_invented,
            method=method,
            front_weights=front_weights,
            box=place,
            camera=camera,
            distance=distance,
        )
    )
    write_photo(output, made.rgb)
    if not quiet:
        _say_notes(made.texture)
        say(f"{output}: {_in_words(made.shares())} of the face in it; yaw was {made.texture.attrs['yaw']} degrees")


def _with_warnings(make: Callable[[], _Made]) -> _Made:
    """What is made, with its warnings said as lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        made = make()
    for one in caught:
        if issubclass(one.category, InputWarning):
            complain(f"warning: {one.message}")
    return made


def _say_notes(texture: FaceTexture) -> None:
    for one in texture.records:
        for note in one.notes:
            complain(f"{one.source}: note: {note}")


def _in_words(shares: dict[str, Any]) -> str:
    return ", ".join(f"{100 * share:.0f} % {name}" for name, share in shares.items())
