"""What the page of a photograph can be asked for: maps in a page, a front view, a texture."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from biofacenet.photo.face import Box
from biofacenet.photo.reading import Photo
from biofacenet.prediction import Model, predict
from biofacenet.surface.frontal import frontal
from biofacenet.surface.unwrap import unwrap
from msfit.errors import InputError
from msfit.io.extras import need

_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Product:
    """Something that is made of a photograph.

    Attributes
    ----------
    label : str
        In the page's list.
    step : str
        What is said while it is made.
    kind : str
        Media type.
    ending : str
        Of the file it is saved as; of a page none.
    make : callable
        (photo, model, place of the face, name) to bytes.
    """

    label: str
    step: str
    kind: str
    ending: str
    make: Callable[[Photo, Model, Box | str, str], bytes]


def _maps(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    result = predict(photo, model, box=box, mask="none" if box == "whole" else "auto")
    return result.view(title=name).encode("utf-8")


def _front(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    picture = io.BytesIO()
    need("PIL.Image").fromarray(frontal(photo, model, box=_face(box)).rgb).save(picture, "PNG")
    return picture.getvalue()


def _texture(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="biofacenet-") as folder:
        path = Path(folder) / "texture.glb"
        unwrap(photo, model, box=_face(box)).save(path)
        return path.read_bytes()


def _face(box: Box | str) -> Box | str:
    if box == "whole":
        raise InputError("--box: found all of the picture; expected a rectangle around the face, or auto")
    return box


PRODUCTS: Mapping[str, Product] = {
    "maps": Product("maps, in a page", "looking for the face, estimating its maps", _HTML, "", _maps),
    "front": Product("front view", "looking for the face, turning the head", "image/png", "-front.png", _front),
    "texture": Product("texture (.glb)", "looking for the face, unwrapping it", "model/gltf-binary", ".glb", _texture),
}
