"""One scene through all methods: six figures a method and reference, and what is kept to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.table1.choices import Choices
from benchmarks.table1.exams import Exam
from biofacenet.data.augment import DEGRADATIONS
from msfit.colour.transforms import encode_srgb
from msfit.metrics import COLUMNS, Decomposition, compared, decomposition_rmse

# Of the noise that pictures are degraded with.
_SEED = 7


class Method(Protocol):
    """What is scored: a name, the skin model whose terms it answers in (None: any), a line about it, its version."""

    name: str
    model: str | None
    about: str
    version: str

    def __call__(self, picture: np.ndarray, model: str) -> Decomposition:
        """Decompose a linear RGB picture (y, x, 3), in the terms of a skin model if it has none of its own."""


def grade(exam: Exam, methods: Sequence[Method], choices: Choices) -> dict[str, Any]:
    """Figures of a scene, as JSON takes them.

    Returns
    -------
    dict
        name, kind, digest, tone, pixels, quality; scores: list of {method, model, reference, degradation, column: RMSE
        or None, ..., compared: share of the face's pixels that the method gave a number for}.
    """
    scores: list[dict[str, Any]] = []
    for model, references in exam.references.items():
        fitted = references["fit"]
        if (truth := references.get("truth")) is not None:
            scores.append(_row("msfit fit", model, "truth", "none", fitted, truth, exam, choices))
        for method in answering(methods, model, choices):
            for degradation, picture in _shown(exam, choices).items():
                estimate = method(picture, model)
                scores += [
                    _row(method.name, model, reference, degradation, estimate, reference_maps, exam, choices)
                    for reference, reference_maps in references.items()
                ]
    return {
        "name": exam.name,
        "kind": exam.kind,
        "digest": exam.digest,
        "tone": exam.tone,
        "pixels": int(exam.mask.sum()),
        "quality": exam.quality,
        "scores": scores,
    }


def answering(methods: Sequence[Method], model: str, choices: Choices) -> list[Method]:
    """Methods that are scored in the terms of a skin model: weights of another are left out unless asked for."""
    return [method for method in methods if method.model in (None, model) or choices.other_models]


def estimates(exam: Exam, methods: Sequence[Method], choices: Choices) -> dict[str, Decomposition]:
    """What every method says of the picture as it is, in terms of the first model; before them truth and the fit."""
    model = choices.models[0]
    reference_maps = {name: exam.references[model][name] for name in ("truth", "fit") if name in exam.references[model]}
    named = {"truth": "truth", "fit": "msfit fit"}
    answers = {method.name: method(exam.picture, model) for method in answering(methods, model, choices)}
    return {**{named[name]: maps for name, maps in reference_maps.items()}, **answers}


def _shown(exam: Exam, choices: Choices) -> dict[str, np.ndarray]:
    """The picture as it is, and degraded."""
    pictures = {"none": exam.picture}
    if choices.degradations:
        light = torch.from_numpy(exam.picture).permute(2, 0, 1)[None]
        for name, degrade in DEGRADATIONS.items():
            worse = degrade(light, torch.Generator().manual_seed(_SEED))
            pictures[name] = worse[0].permute(1, 2, 0).numpy()
    return pictures


def _row(
    method: str,
    model: str,
    reference: str,
    degradation: str,
    estimate: Decomposition,
    reference_maps: Decomposition,
    exam: Exam,
    choices: Choices,
) -> dict[str, Any]:
    if choices.encoding == "srgb":
        estimate, reference_maps = _displayed(estimate), _displayed(reference_maps)
    figures: Mapping[str, float | None] = decomposition_rmse(
        estimate,
        reference_maps,
        exam.mask,
        shading_scale=choices.shading_scale,
        pigments=choices.pigments,
        missing="omit",  # their share stands beside the figures
    )
    if method == "msfit fit":  # it is not shown the picture but the spectrum
        figures = {**figures, "reconstruction": None}
    shares = [
        compared(values, getattr(reference_maps, name), exam.mask).sum()
        / (exam.mask.sum() * (3 if values.ndim == 3 else 1))
        for name, values in estimate.maps().items()
        if getattr(reference_maps, name) is not None
    ]
    return {
        "method": method,
        "model": model,
        "reference": reference,
        "degradation": degradation,
        **{column: figures[column] for column in COLUMNS},
        "compared": float(min(shares)),
    }


def _displayed(maps: Decomposition) -> Decomposition:
    encoded = {
        name: encode_srgb(torch.from_numpy(np.asarray(values))).numpy()
        for name, values in maps.maps().items()
        if name in ("albedo", "picture")
    }
    return Decomposition(**{**maps.maps(), **encoded})
