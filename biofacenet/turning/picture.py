"""A learned front view put into the photograph: the network sees the crop of the face, the rest is carried along."""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from skimage.transform import warp

from biofacenet.networks.weights import read_tensors
from biofacenet.turning.crop import cut, to_crop
from biofacenet.turning.network import FrontNet
from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.errors import InputError

if TYPE_CHECKING:
    from biofacenet.surface.record import Record

#: Side of the crops that the shipped network was trained on [pixels].
SIZE = 96
# The crop fades into its surroundings over this share of its side.
_FEATHER = 0.08
_FORM = "expected weights that `biofacenet train` wrote for the task frontal"


def network_front(one: Record, picture: np.ndarray, weights: str | Path = "default") -> np.ndarray:
    """A front view drawn by the network over `picture`: float32 (y, x, 3), linear sRGB.

    Parameters
    ----------
    one : Record
        The photograph and the surface of the face in it.
    picture : float array (y, x, 3)
        Linear sRGB: what is around the face, turned to the front.
    weights : str or Path
        "default", or a .safetensors file.
    """
    network = load_front_network(weights)
    surface = one.surface
    encoded = encode_srgb(torch.from_numpy(one.linear.clip(0, 1))).numpy()
    crop = cut(encoded, surface.camera.project(surface.landmarks)[:, :2], SIZE)
    with torch.inference_mode():
        drawn = network(torch.from_numpy(np.moveaxis(crop, 2, 0)[None]))[0].numpy()
    linear = decode_srgb(torch.from_numpy(np.moveaxis(drawn, 0, 2))).numpy().astype(np.float32)
    inside = np.zeros((SIZE, SIZE), np.float32)
    inside[1:-1, 1:-1] = 1
    share = np.clip(distance_transform_edt(inside) / (_FEATHER * SIZE), 0, 1)
    back = to_crop(surface.turned().project(surface.landmarks)[:, :2], SIZE)
    laid = warp(np.dstack([linear, share]), back, output_shape=picture.shape[:2], order=1, mode="constant")
    weight = laid[..., 3:]
    return np.asarray(weight * laid[..., :3] + (1 - weight) * picture, np.float32)


@functools.lru_cache(maxsize=2)
def load_front_network(weights: str | Path = "default") -> FrontNet:
    """The network of a file of weights.

    Raises
    ------
    InputError
        No such file, or not of this network.
    """
    path = resources.files("biofacenet.turning").joinpath("data", "frontal.safetensors")
    file = Path(str(path)) if str(weights) == "default" else Path(weights)
    tensors = {name: value.float() for name, value in read_tensors(file, _FORM).items()}
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        notes = opened.metadata() or {}
    try:
        network = FrontNet(int(json.loads(notes["training"])["config"]["width"]))
        network.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError):
        raise InputError(f"{file}: not weights of a front view; {_FORM}") from None
    return network.eval()
