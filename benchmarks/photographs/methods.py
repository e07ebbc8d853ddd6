"""Ways to take a photograph of a face apart: the network alone, the network with the solver, and one without a network.

The way without is two solves of the three channels of each pixel for a skin model seen by the mean camera under D65,
without gloss: first with a level of its own for each pixel, then, after the logarithms of the levels are smoothed
within the face, with the level given. It keeps the picture's own resolution; what light does abruptly becomes pigment.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from benchmarks.photographs.folder import linear
from biofacenet.photo.face import Box
from biofacenet.photo.located import locate
from biofacenet.photo.reading import Photo
from biofacenet.prediction import Model, predict
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.colour.transforms import linear_srgb_to_xyz, xyz_to_lab
from msfit.errors import InputError
from msfit.skin.models import get_model, reflectance

# Nodes of the table of colours over melanin and blood, evenly spread over their square roots.
_NODES = (200, 80)
# Width of the Gaussian that smooths the light, as a share of the face's width.
_SMOOTH = 0.03
_BANDS = np.arange(400.0, 701.0, 10.0)


@dataclass(frozen=True, eq=False)
class Maps:
    """A face taken apart, (y, x) of a part of the photograph.

    Attributes
    ----------
    crop : Box
        The part.
    face : bool array
        What the mesh covers less eyes, inner mouth and nostrils; the whole part where there is no mesh.
    fitted : bool array
        Pixels that have maps.
    f_mel, f_blood, i_d, gloss : float array
        NaN where there are none. `gloss` is light off the surface alone, where a method tells it from the misfit.
    i_s : float array
        Gloss and misfit together, as a fit has it.
    picture, reconstruction, albedo : float array (y, x, 3)
        Linear sRGB.
    std : dict of str to float array
        Of the pigments, where a method says it.
    seconds : float
    """

    crop: Box
    face: np.ndarray
    fitted: np.ndarray
    f_mel: np.ndarray
    f_blood: np.ndarray
    i_d: np.ndarray
    gloss: np.ndarray
    i_s: np.ndarray
    picture: np.ndarray
    reconstruction: np.ndarray
    albedo: np.ndarray
    std: dict[str, np.ndarray]
    seconds: float

    def level(self, name: str = "f_mel") -> float:
        """Median of a map over the face."""
        return float(np.nanmedian(getattr(self, name)[self.face & self.fitted]))


Method = Callable[[np.ndarray, str], Maps]


def methods(model: Model) -> dict[str, Method]:
    """By name: functions of a picture (uint8, sRGB) and of where the face is, "auto" or "whole"."""
    return {
        "network": lambda rgb, box: _network(rgb, box, model, False),
        **(
            {}
            if model.errors is None
            else {
                "pixels": lambda rgb, box: _network(rgb, box, model, "pixels"),
                "refined": lambda rgb, box: _network(rgb, box, model, True),
            }
        ),
        "two solves": lambda rgb, box: _two_solves(rgb, box, model.decoder.model),
    }


def pixel_angle(rgb: np.ndarray, face: np.ndarray) -> float:
    """Typology angle [degrees] of the median colour of a face (y, x) in a picture: what pixels say of tone."""
    import torch

    colour = np.median(linear(rgb)[face], axis=0)
    lightness, _, yellow = xyz_to_lab(linear_srgb_to_xyz(torch.from_numpy(colour.astype(np.float64)))).tolist()
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def _network(rgb: np.ndarray, box: str, model: Model, how: bool | str) -> Maps:
    began = time.perf_counter()
    result = predict(Photo(rgb), model, box=box, refine=how)
    seconds = time.perf_counter() - began
    crop = Box(*(int(part) for part in str(result.attrs["box"]).split(",")))
    assert result.picture is not None
    assert result.misfit is not None
    assert result.reconstruction is not None
    assert result.albedo is not None
    return Maps(
        crop,
        _face(rgb, box),
        result.fitted,
        result.f_mel,
        result.f_blood,
        result.i_d,
        result.i_s,
        result.i_s + result.i_d * result.misfit,
        result.picture,
        result.reconstruction,
        result.albedo,
        {name: result.std[name] for name in ("f_mel", "f_blood")} if result.std is not None else {},
        seconds,
    )


def _face(rgb: np.ndarray, box: str) -> np.ndarray:
    face = locate(Photo(rgb), box)
    if face.mesh is None:
        return np.ones((face.crop.height, face.crop.width), bool)
    return face.mesh.skin()[face.crop.slices]


def _two_solves(rgb: np.ndarray, box: str, model: str) -> Maps:
    began = time.perf_counter()
    face = locate(Photo(rgb), box)
    if face.mesh is None:
        raise InputError("no face found")
    region = face.mesh.skin()[face.crop.slices]
    light = linear(rgb[face.crop.slices])
    colours, pigments, by_hue, by_colour = _colours(model)
    seen = np.maximum(light[region], 1e-4)
    size = np.linalg.norm(seen, axis=1)
    nearest = by_hue.query(seen / size[:, None])[1]
    free = np.log(size / np.linalg.norm(colours[nearest], axis=1))
    sheet, weight = np.zeros(region.shape), region.astype(float)
    sheet[region] = free
    sigma = _SMOOTH * face.width
    smooth = ndimage.gaussian_filter(sheet, sigma) / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-6)
    level = np.exp(smooth[region])
    nearest = by_colour.query(seen / level[:, None])[1]
    maps = {name: np.full(region.shape, np.nan) for name in ("f_mel", "f_blood", "i_d", "gloss")}
    maps["f_mel"][region], maps["f_blood"][region] = pigments[nearest].T
    maps["i_d"][region], maps["gloss"][region] = level, 0
    again, albedo = np.full(light.shape, np.nan), np.full(light.shape, np.nan)
    again[region] = level[:, None] * colours[nearest]
    albedo[region] = _albedo(model)[nearest]
    seconds = time.perf_counter() - began
    return Maps(face.crop, region, region, **maps, i_s=maps["gloss"], picture=light, reconstruction=again,
                albedo=albedo, std={}, seconds=seconds)  # fmt: skip


@functools.cache
def _spectra(model: str) -> tuple[np.ndarray, np.ndarray]:
    ends = [parameter.wide for parameter in get_model(model).parameters[:2]]
    axes = [np.linspace(low**0.5, high**0.5, n) ** 2 for (low, high), n in zip(ends, _NODES, strict=True)]
    pigments = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return pigments, reflectance(pigments[:, 0], pigments[:, 1], _BANDS, model=model)


@functools.cache
def _colours(model: str) -> tuple[np.ndarray, np.ndarray, KDTree, KDTree]:
    pigments, spectra = _spectra(model)
    colours = np.maximum(fold_bands(spectra, rgb_weights(_BANDS, "D65", mean_camera())), 1e-6)
    hues = colours / np.linalg.norm(colours, axis=1, keepdims=True)
    return colours, pigments, KDTree(hues), KDTree(colours)


@functools.cache
def _albedo(model: str) -> np.ndarray:
    return np.asarray(fold_bands(_spectra(model)[1], rgb_weights(_BANDS)))
