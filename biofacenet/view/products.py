"""What the page can be asked for: of a photograph maps, front view, restored picture, texture; of a scene maps."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import msfit
from biofacenet.photo.face import Box
from biofacenet.photo.reading import Photo, write_photo
from biofacenet.prediction import Model, predict
from biofacenet.restoration.pipeline import restore
from biofacenet.surface.frontal import frontal
from biofacenet.surface.unwrap import unwrap
from msfit.data.cube import Cube
from msfit.errors import InputError
from msfit.io.either import load_either
from msfit.view.page import check_picture
from msfit.view.raw import make_raw_page

HTML = "text/html; charset=utf-8"
# What `msfit.load` takes for white that names no file: a page must not make the server open one.
_WHITE = re.compile(r"\d+:\d+,\d+:\d+|checker")


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
    whole : bool
        Whether it can be made of all of the picture, where no face is looked for.
    """

    label: str
    step: str
    kind: str
    ending: str
    make: Callable[[Photo, Model, Box | str, str], bytes]
    whole: bool = False


def _maps(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    result = predict(photo, model, box=box, mask="none" if box == "whole" else "auto")
    return result.view(title=name).encode("utf-8")


def _front(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    return _png(frontal(photo, model, box=_face(box)).rgb)


def _restored(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    found = restore(photo, model, box=box)
    return _png(found.rgb, found.alpha)


def _texture(photo: Photo, model: Model, box: Box | str, name: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="biofacenet-") as folder:
        path = Path(folder) / "texture.glb"
        unwrap(photo, model, box=_face(box)).save(path)
        return path.read_bytes()


def _png(rgb: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    with tempfile.TemporaryDirectory(prefix="biofacenet-") as folder:
        path = Path(folder) / "picture.png"
        write_photo(path, rgb, alpha)
        return path.read_bytes()


def _face(box: Box | str) -> Box | str:
    if box == "whole":
        raise InputError("--box: found all of the picture; expected a rectangle around the face, or auto")
    return box


#: Of photographs, by the name that the page asks for them with.
PRODUCTS: Mapping[str, Product] = {
    "maps": Product("maps, in a page", "looking for the face, estimating its maps", HTML, "", _maps, whole=True),
    "front": Product("front view", "looking for the face, turning the head", "image/png", "-front.png", _front),
    "restored": Product(
        "restored picture", "looking for the face, restoring it", "image/png", "-restored.png", _restored, whole=True
    ),
    "texture": Product("texture (.glb)", "looking for the face, unwrapping it", "model/gltf-binary", ".glb", _texture),
}


def scene_page(path: Path, white: str, name: str, step: Callable[[str], None]) -> bytes:
    """The page of a scene's maps; of counts without a light that of the scene, in which to find a white patch.

    Parameters
    ----------
    path : Path
        A scene, or a result of one.
    white : str
        "auto" for the file's own light; a patch ``"y0:y1,x0:x1"``, or "checker" (`msfit.load`).
    name : str
        What the file is called where it came from.
    step : callable
        Told how far it is; may raise.

    Raises
    ------
    InputError
        No scene; a list of spectra; more pixels than a page holds; another word for white.
    """
    if white != "auto" and not _WHITE.fullmatch(white):
        raise InputError(f"--white: found {white[:40]!r}; expected a patch y0:y1,x0:x1, or checker")
    step("reading the scene")
    found, raw = load_either(path, {} if white == "auto" else {"white": white})
    check_picture("scene" if isinstance(found, Cube) else "result", found.shape)
    if isinstance(found, Cube):
        if raw:
            return make_raw_page(found, raw=True, title=name).encode("utf-8")
        step("fitting")
        found = msfit.fit(found, progress=lambda done, total: step(f"fitting, {100 * done // max(total, 1)} %"))
    step("building the page")
    return found.view(title=name).encode("utf-8")
