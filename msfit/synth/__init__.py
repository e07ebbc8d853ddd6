"""Face scenes with known truth, from measured skin on a varied head under varied light.

In: a seed. Out: `make_scene` makes one, `write_scenes` and `write_standins` write them as ISET files with their truth
beside them, `write_photographs` photographs of the second exam; `samples` draws small RGB training pictures; `subjects`
tells whose skin is for training, validation, test.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msfit.synth.bank import Bank as Bank
    from msfit.synth.files import read_truth as read_truth
    from msfit.synth.files import write_scene as write_scene
    from msfit.synth.files import write_scenes as write_scenes
    from msfit.synth.people import Subject as Subject
    from msfit.synth.people import split_table as split_table
    from msfit.synth.people import subjects as subjects
    from msfit.synth.photographs import Photograph as Photograph
    from msfit.synth.photographs import photograph_digest as photograph_digest
    from msfit.synth.photographs import read_photograph as read_photograph
    from msfit.synth.photographs import write_photographs as write_photographs
    from msfit.synth.sampling import samples as samples
    from msfit.synth.scene import Scene as Scene
    from msfit.synth.scene import make_scene as make_scene
    from msfit.synth.standins import write_standins as write_standins
    from msfit.synth.truth import Truth as Truth

_HOME = {
    "Bank": "bank",
    "Photograph": "photographs",
    "Scene": "scene",
    "Subject": "people",
    "Truth": "truth",
    "make_scene": "scene",
    "photograph_digest": "photographs",
    "read_photograph": "photographs",
    "read_truth": "files",
    "samples": "sampling",
    "split_table": "people",
    "subjects": "people",
    "write_photographs": "photographs",
    "write_scene": "files",
    "write_scenes": "files",
    "write_standins": "standins",
}
__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'msfit.synth' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"msfit.synth.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
