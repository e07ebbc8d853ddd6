"""The rows of the table: what decomposes a picture, under a name and with a line about it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import msfit
from benchmarks.table1.rgb_fit import rgb_fit
from benchmarks.table1.scoring import Method
from benchmarks.table1.train_sfsnet import WEIGHTS, load_sfsnet
from benchmarks.table1.training import STATISTICS_VERSION
from biofacenet import load_model
from biofacenet.evaluation import training_mean
from msfit.errors import InputError
from msfit.metrics import Decomposition
from msfit.skin.models import REFERENCE_MODEL

_PAPER_LOSSES = WEIGHTS.with_name("paper_losses.safetensors")
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


class TrainingMean:
    """The constant predictor: what a method has to beat to have seen anything."""

    name = "training mean"
    model: str | None = REFERENCE_MODEL
    about = "the mean of every map over training pictures, whatever the picture"

    def __init__(self) -> None:
        means = training_mean(REFERENCE_MODEL)
        assert means is not None  # shipped
        self._means = means["model"]
        self.version = repr(sorted(self._means.items()))

    def __call__(self, picture: np.ndarray, model: str) -> Decomposition:
        shape = picture.shape[:2]
        return Decomposition(
            **{name: np.broadcast_to(value, (*shape, *np.shape(value))) for name, value in self._means.items()}
        )


class RgbLeastSquares:
    """`benchmarks.table1.rgb_fit`, for any skin model that there are statistics of."""

    name = "RGB least squares"
    model: str | None = None
    version = STATISTICS_VERSION
    about = (
        "each pixel's three numbers fitted through the decoder, light and camera given, "
        "with a Gaussian prior from the training stream"
    )

    def __call__(self, picture: np.ndarray, model: str) -> Decomposition:
        return rgb_fit(picture, model)


class Network:
    """A BioFaceNet by its weights."""

    def __init__(self, name: str, weights: str | Path, about: str) -> None:
        self.name = name
        self._network = load_model(weights, "cpu")
        self.model: str | None = self._network.decoder.model
        digest = hashlib.sha256()
        for tensor in self._network.network.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        self.version = f"{digest.hexdigest()} gloss and misfit"
        self.about = f"{about}; in the terms of {self.model}"

    def __call__(self, picture: np.ndarray, model: str) -> Decomposition:
        # no photograph holds less than black
        result = self._network.predict(np.maximum(picture, 0), encoding="linear", size=0)
        # the colour of the skin model's reflectance: the table's albedo is in its terms
        albedo = msfit.render(result, what="albedo")
        # a fit has gloss and misfit together
        specular = result.i_s if result.misfit is None else result.i_s + result.i_d * result.misfit
        return Decomposition(
            result.i_d,
            specular,
            albedo,
            result.f_mel,
            result.f_blood,
            result.reconstruction,
        )


class Sfs:
    """SfSNet: shading and albedo only, in the terms of the skin model whose albedo it was trained with."""

    name = "SfSNet (ours)"

    def __init__(self) -> None:
        self._network, training = load_sfsnet()
        self.model: str | None = str(training["model"])
        self.about = str(training["about"])
        self.version = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()

    def __call__(self, picture: np.ndarray, model: str) -> Decomposition:
        with torch.inference_mode():
            result = self._network(torch.from_numpy(picture).permute(2, 0, 1)[None].clamp(0, 1))
        albedo, shading, again = (
            values[0].permute(1, 2, 0).double().numpy() for values in (result.albedo, result.shading, result.picture)
        )
        return Decomposition(i_d=shading @ _LUMINANCE, albedo=albedo, picture=again)


def all_methods(extra: Sequence[Path] = ()) -> list[Method]:
    """The rows of the table in their order; weights of the user's own come last."""
    chosen: list[Method] = [Network("BioFaceNet (msfit)", "default", "our network and training, shipped weights")]
    chosen.append(Network("BioFaceNet, the paper's losses", _PAPER_LOSSES, "our network, the paper's losses alone"))
    chosen.append(Sfs())
    chosen += [RgbLeastSquares(), TrainingMean()]
    for path in extra:
        chosen.append(Network(path.stem, path, f"weights {path.name}"))
    if len({method.name for method in chosen}) < len(chosen):
        raise InputError("--weights: two methods of one name; rename the files")
    return chosen
