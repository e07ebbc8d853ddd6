"""Faces with known maps, as small pictures under one light, to examine networks with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import msfit
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.errors import InputError
from msfit.io.results import load_result
from msfit.metrics import Decomposition
from msfit.rendering import render
from msfit.synth.files import TRUTH_SUFFIX, read_truth
from msfit.synth.truth import Truth, fitted_pigments

#: In which terms shading and albedo are compared. The skin model misses measured skin R by a scale and an offset,
#: ``R ~ scale r + offset``. "model": albedo r, shadings ``i_d scale`` and ``i_s + i_d offset``, as a fit finds them;
#: "measured": albedo R, shadings i_d and i_s, as they were rendered.
TERMS = ("model", "measured")
# In the pictures that networks are trained on a face takes up this share of the height.
_SHARE = 0.74


@dataclass(frozen=True, eq=False)
class Face:
    """A picture with its truth, reduced to the size of the exam.

    Attributes
    ----------
    name : str
    picture : float32 array (y, x, 3)
        Linear RGB under D65 through the mean camera.
    mask : bool array (y, x)
        The face: pixels that lie mostly on it.
    truth : dict of str to Decomposition
        For some of `TERMS`; means over the face in each pixel.
    attrs : dict
        Of the scene.
    """

    name: str
    picture: np.ndarray
    mask: np.ndarray
    truth: dict[str, Decomposition]
    attrs: dict[str, Any]


def read_exam(folder: str | Path, model: str, size: int = 64) -> list[Face]:
    """The faces in a folder.

    Parameters
    ----------
    folder : str or Path
        With scenes and their truth (NAME.mat, NAME_truth.nc, as `msfit synth` writes them), or results of `msfit fit`
        (NAME.h5), with the scene beside it (NAME.mat) or without: then the picture is that of the maps.
    model : str
        Skin model in whose terms pigments and shading are compared. Truth by another model is fitted anew; results are
        refused.
    size : int
        Side of the pictures [pixels].

    Returns
    -------
    list of Face

    Raises
    ------
    InputError
        No such folder; neither scenes with truth nor results in it; results of another model; a damaged file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; expected one with scenes and their truth, or results")
    if not 16 <= size <= 1024:
        raise InputError(f"size: found {size}; expected 16 to 1024 pixels")
    faces = list(_with_truth(folder, model, size)) or list(_with_results(folder, model, size))
    if not faces:
        raise InputError(
            f"{folder}: holds no scene with truth (NAME.mat, NAME_truth.nc) and no result (NAME.h5); make some with"
            " `msfit synth --stand-ins` or `msfit fit`"
        )
    return faces


def _with_truth(folder: Path, model: str, size: int) -> Iterator[Face]:
    for path in sorted(folder.glob(f"*{TRUTH_SUFFIX}")):
        name = path.name.removesuffix(TRUTH_SUFFIX)
        truth, scene = read_truth(path), path.with_name(f"{name}.mat")
        picture = render(msfit.load(scene), "D65", "mean")
        maps = _truth_maps(truth, model)
        mask, reduced = _reduced({**maps, "picture": picture}, truth.mask, size)
        yield Face(name, _small(picture, size), mask, _both_terms(reduced), dict(truth.attrs))


def _with_results(folder: Path, model: str, size: int) -> Iterator[Face]:
    for path in sorted(folder.glob("*.h5")):
        result, scene = load_result(path), path.with_suffix(".mat")
        if result.model != model:
            raise InputError(f"{path}: fitted with {result.model}; expected {model}, the network's: fit it with that")
        if len(result.shape) != 2 or not result.fitted.any():
            raise InputError(f"{path}: no fitted picture; expected the result of a scene")
        # what a result alone does not know, around the face, is black
        picture = np.nan_to_num(render(msfit.load(scene) if scene.is_file() else result, "D65", "mean"))
        where = _square(result.fitted)
        maps = {name: getattr(result, name)[where] for name in ("i_d", "i_s", "f_mel", "f_blood")}
        maps |= {"albedo": render(result, what="albedo")[where], "picture": picture[where]}
        usable = result.fitted[where] & np.isfinite(np.dstack(list(maps.values()))).all(axis=2)
        mask, reduced = _reduced(maps, usable, size)
        yield Face(path.stem, _small(maps["picture"], size), mask, {"model": Decomposition(**reduced)}, {})


def _truth_maps(truth: Truth, model: str) -> dict[str, np.ndarray]:
    """Maps of a scene, with pigments, scale and offset of this model's fit to its skin."""
    names = ("f_mel", "f_blood", "scale", "offset")
    maps = {name: getattr(truth, name) for name in ("i_d", "i_s", "albedo", *names)}
    if truth.attrs["model"] != model:
        pigments = fitted_pigments(truth.reflectance[truth.mask], truth.wavelengths, model)
        for name in names:
            maps[name] = np.full(truth.mask.shape, np.nan)
            maps[name][truth.mask] = pigments[name]
    return {**maps, "model_albedo": _albedo(maps["f_mel"], maps["f_blood"], truth, model)}


def _albedo(f_mel: np.ndarray, f_blood: np.ndarray, truth: Truth, model: str) -> np.ndarray:
    """The model's skin under D65 to the standard observer, linear sRGB."""
    colours = np.full((*truth.mask.shape, 3), np.nan)
    skin = msfit.reflectance(f_mel[truth.mask], f_blood[truth.mask], truth.wavelengths, model=model)
    colours[truth.mask] = fold_bands(skin, rgb_weights(truth.wavelengths))
    return colours


def _both_terms(maps: dict[str, np.ndarray]) -> dict[str, Decomposition]:
    same = {name: maps[name] for name in ("f_mel", "f_blood", "picture")}
    i_d, i_s = maps["i_d"], maps["i_s"]
    modelled = {"i_d": i_d * maps["scale"], "i_s": i_s + i_d * maps["offset"], "albedo": maps["model_albedo"]}
    return {
        "model": Decomposition(**same, **modelled),
        "measured": Decomposition(**same, i_d=i_d, i_s=i_s, albedo=maps["albedo"]),
    }


def _reduced(maps: dict[str, np.ndarray], mask: np.ndarray, size: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Means over the face in each of size x size cells, and which cells lie mostly on it."""
    share = _small(mask.astype(np.float32)[..., None], size)
    reduced = {}
    for name, values in maps.items():
        sheet = values.reshape(*mask.shape, -1)
        mean = _small(np.where(mask[..., None], sheet, 0), size) / np.maximum(share, 1e-6)
        reduced[name] = mean[..., 0] if values.ndim == 2 else mean
    return share[..., 0] > 0.5, reduced


def _small(values: np.ndarray, size: int) -> np.ndarray:
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32)).permute(2, 0, 1)[None]
    return np.ascontiguousarray(F.interpolate(tensor, (size, size), mode="area")[0].permute(1, 2, 0).numpy())


def _square(face: np.ndarray) -> tuple[slice, slice]:
    """The square around a face, with the margin of training pictures, as far as the picture goes."""
    rows, columns = np.flatnonzero(face.any(axis=1)), np.flatnonzero(face.any(axis=0))
    side = min(round(max(np.ptp(rows), np.ptp(columns)) / _SHARE) + 1, *face.shape)
    starts = [
        int(np.clip((indices[0] + indices[-1] - side) // 2, 0, length - side))
        for indices, length in zip((rows, columns), face.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)
