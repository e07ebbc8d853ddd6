"""biofacenet: takes the face in a photograph apart into melanin, haemoglobin, diffuse and specular shading.

In: a photograph. Out: a `FaceResult`, which is a FitResult of msfit with its pictures; edited photographs; scores.
`networks` estimate, `surface` sees the whole face, `photo` reads, `training` and `data` make the weights. The public
names below load at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biofacenet.data.folder import prepare as prepare
    from biofacenet.editing import edit as edit
    from biofacenet.evaluation import evaluate as evaluate
    from biofacenet.photo.face import Box as Box
    from biofacenet.photo.located import face_mesh as face_mesh
    from biofacenet.photo.reading import read_photo as read_photo
    from biofacenet.prediction import Model as Model
    from biofacenet.prediction import load_model as load_model
    from biofacenet.prediction import predict as predict
    from biofacenet.restoration.pipeline import Restored as Restored
    from biofacenet.restoration.pipeline import restore as restore
    from biofacenet.result import FaceResult as FaceResult
    from biofacenet.surface.frontal import FrontView as FrontView
    from biofacenet.surface.frontal import frontal as frontal
    from biofacenet.surface.unwrap import FaceTexture as FaceTexture
    from biofacenet.surface.unwrap import unwrap as unwrap
    from biofacenet.training.run import train as train

# Where each public name lives: loaded at first use, so that `import biofacenet` stays cheap.
_HOME = {
    "Box": "photo.face",
    "FaceResult": "result",
    "FaceTexture": "surface.unwrap",
    "FrontView": "surface.frontal",
    "Model": "prediction",
    "edit": "editing",
    "evaluate": "evaluation",
    "face_mesh": "photo.located",
    "frontal": "surface.frontal",
    "load_model": "prediction",
    "predict": "prediction",
    "prepare": "data.folder",
    "read_photo": "photo.reading",
    "Restored": "restoration.pipeline",
    "restore": "restoration.pipeline",
    "train": "training.run",
    "unwrap": "surface.unwrap",
}
__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'biofacenet' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"biofacenet.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
