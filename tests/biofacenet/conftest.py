"""Rendered faces that stand in for photographs: nobody was photographed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biofacenet import Model, load_model
from biofacenet.networks.network import BioFaceNet, NetworkConfig
from biofacenet.networks.weights import save_weights
from msfit.rendering import render
from msfit.synth import Scene, make_scene


@pytest.fixture(scope="session")
def face_scene() -> Scene:
    """A face that dlib's detector finds."""
    return make_scene(4, size=192, mode="measured", split="validation", noise=False, model="alotaibi-smith-2019")


@pytest.fixture(scope="session")
def face(face_scene: Scene) -> np.ndarray:
    """Its picture under D65 to the mean camera: uint8 (192, 192, 3), sRGB."""
    picture = render(face_scene.cube, "D65", "mean", srgb=True)
    return np.rint(255 * picture).astype(np.uint8)


@pytest.fixture
def face_file(face: np.ndarray, tmp_path: Path) -> Path:
    """The face in the middle of a larger, blue picture: a PNG of 300 x 260 pixels."""
    rng = np.random.default_rng(0)
    picture = np.array([40, 60, 140], np.uint8) + rng.integers(0, 8, (260, 300, 3), np.uint8)
    picture[30:222, 60:252] = face
    path = tmp_path / "face.png"
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_bank(_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep heads and samples of tests of training together, traced once, away from the user's."""
    pytest.importorskip("embreex", reason="tracing heads needs embreex")
    monkeypatch.setenv("MSFIT_CACHE", str(_cache))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights whose maps vary."""
    torch.manual_seed(2)
    network = BioFaceNet(NetworkConfig("compact", (6, 8, 8, 8)))
    torch.nn.init.normal_(network.body.heads.weight, std=0.5)  # type: ignore[union-attr, arg-type]
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(network, path, {"skin_model": "alotaibi-smith-2019", "settings": {"data": {"size": 64}}})
    return path


@pytest.fixture(scope="session")
def model(weights: Path) -> Model:
    """That network, loaded."""
    return load_model(weights, "cpu")
