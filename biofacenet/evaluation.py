"""How well a network takes faces apart: six figures on faces with known maps, beside those of a constant."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biofacenet.data.augment import DEGRADATIONS, degrade
from biofacenet.exam import TERMS, Face, read_exam
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions
from biofacenet.networks.network import Prediction
from biofacenet.networks.tiles import overview
from biofacenet.prediction import Model, as_model, skin_albedo
from msfit.errors import InputError, names_nearest
from msfit.metrics import COLUMNS, Decomposition, decomposition_rmse

_BATCH = 25
#: What the figures of a face are compared with: shading by one factor a scene, and as it is.
SCALES = ("scene", "none")


@dataclass(frozen=True)
class Score:
    """Six figures of one method.

    Attributes
    ----------
    method : str
    terms : {"model", "measured"}
        See `biofacenet.exam.TERMS`.
    shading_scale : {"scene", "none"}
        See `msfit.metrics.decomposition_rmse`.
    figures : dict of str to float or None
        RMSE over the face pixels of all scenes together, for each of `msfit.metrics.COLUMNS`.
    scenes : dict of str to dict
        The figures of each scene.
    """

    method: str
    terms: str
    shading_scale: str
    figures: dict[str, float | None]
    scenes: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Report:
    """What `evaluate` finds.

    Attributes
    ----------
    folder, network, skin_model, degradation : str
        "clean" where nothing was made worse.
    faces, pixels, size : int
    scores : tuple of Score
    """

    folder: str
    network: str
    skin_model: str
    degradation: str
    faces: int
    pixels: int
    size: int
    scores: tuple[Score, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def __str__(self) -> str:
        scaling = {"scene": "one factor a scene", "none": "as it is"}
        titles = [
            f"{entry.method}, {entry.terms} terms, shading {scaling[entry.shading_scale]}" for entry in self.scores
        ]
        width = max(map(len, titles))
        lines = [" " * width + "".join(f"{name:>16}" for name in COLUMNS)]
        for title, entry in zip(titles, self.scores, strict=True):
            figures = ("-" if value is None else f"{value:.4f}" for value in entry.figures.values())
            lines.append(title.ljust(width) + "".join(f"{text:>16}" for text in figures))
        head = (
            f"{self.folder}: {self.faces} faces, {self.size} x {self.size}, {self.pixels:,} pixels of face; RMSE;"
            f" pigments in the unit of the heads; pictures {self.degradation}"
        )
        return "\n".join([head, *lines])


@names_nearest
def evaluate(
    folder: str | Path,
    model: Model | str | Path = "default",
    *,
    degradation: str | None = None,
    size: int = 64,
    seed: int = 0,
) -> Report:
    """Score a network on faces with known maps.

    Parameters
    ----------
    folder : str or Path
        See `biofacenet.exam.read_exam`.
    model : Model, str or Path
        As of `biofacenet.load_model`.
    degradation : {"blur", "noise", "jpeg", "quarter-resolution"}, optional
        What is done to the pictures first, see `biofacenet.data.augment.degrade`. Truth stays that of the clean ones.
    size : int
        Side of the pictures [pixels].
    seed : int
        Of the noise.

    Returns
    -------
    Report
        Of the network, and of a constant: the mean of each map over training samples.

    Raises
    ------
    InputError
        As of `read_exam` and `load_model`; an unknown degradation.
    """
    if degradation is not None and degradation not in DEGRADATIONS:
        raise InputError(f"degrade: found {degradation!r}; expected one of {', '.join(DEGRADATIONS)}")
    model = as_model(model)
    faces = read_exam(folder, model.decoder.model, size)
    estimates = interpret(model, faces, degradation, seed)
    constant = training_mean(model.decoder.model)
    scores = []
    for terms in TERMS:
        if all(terms in face.truth for face in faces):
            for scale in SCALES:
                scores.append(score("network", faces, [one[terms] for one in estimates], terms, scale))
                if constant is not None:
                    means = [_spread(constant[terms], size)] * len(faces)
                    scores.append(score("training mean", faces, means, terms, scale))
    pixels = sum(int(face.mask.sum()) for face in faces)
    return Report(
        str(folder), model.name, model.decoder.model, degradation or "clean", len(faces), pixels, size, tuple(scores)
    )


@torch.inference_mode()
def interpret(
    model: Model, faces: Sequence[Face], degradation: str | None = None, seed: int = 0
) -> list[dict[str, Decomposition]]:
    """What a network says of faces: for each a decomposition in each of `TERMS`."""
    generator = torch.Generator().manual_seed(seed)
    estimates: list[dict[str, Decomposition]] = []
    for start in range(0, len(faces), _BATCH):
        stack = np.stack([face.picture for face in faces[start : start + _BATCH]])
        pictures = torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous()
        if degradation is not None:
            pictures = degrade(pictures, degradation, generator)
        pictures = pictures.to(model.device)
        prediction = model.network(pictures, overview(model.network, pictures, model.size))
        estimates += _decompositions(model, prediction)
    return estimates


def score(
    method: str, faces: Sequence[Face], estimates: Sequence[Decomposition], terms: str, shading_scale: str
) -> Score:
    """The figures of decompositions of faces, pooled over all their pixels, and of each face."""
    scenes = {
        face.name: decomposition_rmse(estimate, face.truth[terms], face.mask, shading_scale=shading_scale)
        for face, estimate in zip(faces, estimates, strict=True)
    }
    counts = np.array([face.mask.sum() for face in faces], float)
    figures: dict[str, float | None] = {}
    for column in COLUMNS:
        values = [scene[column] for scene in scenes.values()]
        finite = [value for value in values if value is not None]
        pooled = len(finite) == len(values)
        figures[column] = float(np.sqrt(np.average(np.square(finite), weights=counts))) if pooled else None
    return Score(method, terms, shading_scale, figures, scenes)


@functools.cache
def training_mean(skin_model: str) -> Mapping[str, Mapping[str, Any]] | None:
    """Means of the maps over training samples in each of `TERMS`, pigments meant in the heads' unit.

    None for a skin model that they are not known of.
    """
    text = resources.files("biofacenet").joinpath("data", "training_means.json").read_text(encoding="utf-8")
    means: dict[str, Mapping[str, Any]] = json.loads(text)["means"]
    return means.get(skin_model)


def _decompositions(model: Model, prediction: Prediction) -> list[dict[str, Decomposition]]:
    picture = model.decoder(*prediction[:6])
    albedo = {
        "model": skin_albedo(model.decoder, prediction._replace(scale=None, offset=None)),
        "measured": skin_albedo(model.decoder, prediction),
    }
    shading = {"model": (prediction.i_d, prediction.i_s), "measured": (prediction.i_d, prediction.i_s)}
    if prediction.scale is not None and prediction.offset is not None:
        i_d = prediction.i_d / prediction.scale.clamp(min=0.05)
        shading["measured"] = (i_d, (prediction.i_s - i_d * prediction.offset).clamp(min=0))
    pigments = [fractions(m, highest) for m, highest in zip(prediction[:2], HIGHEST_FRACTIONS, strict=True)]

    def arrays(values: torch.Tensor) -> np.ndarray:
        return values.permute(0, 2, 3, 1).squeeze(-1).float().cpu().numpy()

    f_mel, f_blood, pictures = (arrays(values) for values in (*pigments, picture))
    maps = {terms: [arrays(values) for values in (*shading[terms], albedo[terms])] for terms in TERMS}
    return [
        {
            terms: Decomposition(i_d[k], i_s[k], colour[k], f_mel[k], f_blood[k], pictures[k])
            for terms, (i_d, i_s, colour) in maps.items()
        }
        for k in range(len(pictures))
    ]


def _spread(means: Mapping[str, Any], size: int) -> Decomposition:
    """Maps of one value each, or one colour."""
    return Decomposition(
        **{name: np.broadcast_to(value, (size, size, *np.shape(value))) for name, value in means.items()}
    )
