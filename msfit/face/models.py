"""MediaPipe's networks for faces, run by LiteRT."""

from __future__ import annotations

import importlib.util
import platform
import sys
import threading
from importlib import resources
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.io.extras import need

# An interpreter holds the values of its run, so every thread has its own.
_held = threading.local()


def run_model(name: str, picture: np.ndarray) -> list[np.ndarray]:
    """Outputs of a model that ships, in the model's own order.

    Parameters
    ----------
    name : {"face_landmark", "face_detection_short_range"}
    picture : float32 array (y, x, 3)
        Of the model's size and range.

    Raises
    ------
    InputError
        ai-edge-litert is not installed; it has no wheel for Macs with Intel processors.
    """
    interpreters = _held.__dict__.setdefault("interpreters", {})
    if name not in interpreters:
        interpreters[name] = _load(name)
    interpreter = interpreters[name]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.asarray(picture, np.float32)[None])
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]


def _load(name: str) -> Any:
    if sys.platform == "darwin" and platform.machine() == "x86_64" and not models_known():
        raise InputError("needs the package ai-edge-litert, which has no wheel for Macs with Intel processors")
    litert = need("ai_edge_litert.interpreter", "face")
    content = resources.files("msfit.face").joinpath("data", f"{name}.tflite").read_bytes()
    # without its delegate, which would write a line to stderr in every process
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    return interpreter


def models_known() -> bool:
    """Whether ai-edge-litert, which runs the models, is installed."""
    return importlib.util.find_spec("ai_edge_litert") is not None
