"""A scene as an exam: the picture that methods are shown, and what is known or fitted of its maps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import msfit
from benchmarks.table1.choices import Choices
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.data.result import AT_BOUND, flagged
from msfit.errors import InputError
from msfit.io.masks import read_mask
from msfit.mask import skin_mask
from msfit.metrics import Decomposition
from msfit.synth.files import COMMENT, truth_path
from msfit.synth.people import ita_class, typology_angle

# Share of the side of the network's training pictures that the face mask takes up (measured on 256 of them: 0.76).
_FACE_SHARE = 0.75
# The smallest face that says anything [pixels of the scene].
_SMALLEST_FACE = 400
# Shares of the face's values, and of its diffuse shading, that an exposure for face or light keeps below 1.
_BELOW_WHITE, _BELOW_LIGHT = 0.99, 0.95


@dataclass(frozen=True, eq=False)
class Exam:
    """One scene, ready to be shown and scored.

    Attributes
    ----------
    name, kind, digest : str
        File name; "stand-in" or "scene"; SHA-256 of the radiances, by which duplicates are found.
    picture : float32 array (y, x, 3)
        Linear RGB under D65 through the mean camera.
    mask : bool array (y, x)
    references : mapping of model to mapping of Decomposition
        By skin model: "fit", the pseudo ground truth; where truth is known also "truth", in the terms of the model:
        i_d r(f_mel, f_blood) + i_s is the scene.
    quality : mapping of model to mapping
        Of the pseudo ground truth: median RMSE in reflectance, share of pixels on a bound.
    tone : str
        Class of skin tone by the individual typology angle.
    """

    name: str
    kind: str
    digest: str
    picture: np.ndarray
    mask: np.ndarray
    references: dict[str, dict[str, Decomposition]]
    quality: dict[str, dict[str, float]]
    tone: str


def find_scenes(paths: Sequence[Path]) -> list[Path]:
    """Scene files: those named, and in named folders all that are not truth of another.

    Raises
    ------
    InputError
        A path that does not exist; nothing found.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in _SCENES)
            files += [p for p in inside if not p.name.endswith("_truth.nc")]
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path}: found neither a file nor a folder; expected scenes")
    if not files:
        raise InputError(
            f"{', '.join(map(str, paths))}: no scene found; expected {', '.join(sorted(_SCENES))} "
            "(msfit synth --stand-ins -o data_iset/scenes builds the stand-ins)"
        )
    names = [path.name for path in files]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{min(twice)}: two scenes of this name; results are kept by name, so rename one")
    return files


_SCENES = {".mat", ".nc", ".h5", ".hdf5", ".npz", ".hdr"}


def make_exam(path: Path, choices: Choices) -> Exam:
    """Load, mask, render and fit a scene.

    Raises
    ------
    InputError
        A file that cannot be read, or in which there is no face.
    """
    cube = msfit.load(path)
    if len(cube.shape) != 2:
        raise InputError(f"{path.name}: found a list of spectra; expected a picture (y, x, band)")
    truth = msfit.synth.read_truth(path) if truth_path(path).is_file() else None
    mask = _face(path, cube, truth, choices.mask)
    window = _window(mask, choices.crop)
    view = _View(window, mask, choices.size)
    weights = rgb_weights(cube.wavelengths, "D65", mean_camera())
    reflectance = cube.reflectance
    picture = view.picture(fold_bands(reflectance, weights))
    results = {
        model: msfit.fit(cube, model=model, bounds=choices.bounds, bands=choices.bands, mask=mask)
        for model in choices.models
    }
    gain = _gain(choices.exposure, picture[view.mask], results[choices.models[0]].i_d[mask])
    picture *= gain
    references, quality = {}, {}
    for model, result in results.items():
        inside = result.status[mask]
        quality[model] = {
            "rmse": float(np.nanmedian(result.rmse[mask])),
            "at a bound": float(flagged(inside, AT_BOUND).mean()),
        }
        fitted = _of_result(result)
        references[model] = {"fit": view.maps(_exposed(fitted, gain), picture)}
        if truth is not None and truth.attrs["model"] == model:
            valid = _in_terms_of_the_model(truth, result)
            references[model]["truth"] = view.maps(_exposed(valid, gain), picture)
    tone = str(truth.attrs["ita_class"]) if truth is not None else _tone(reflectance[mask], cube.wavelengths)
    content = hashlib.sha256(reflectance.tobytes()).hexdigest()
    # also where the truth was left behind
    made = truth is not None or cube.provenance.get("file_comment") == COMMENT
    scene_type = "stand-in" if made else "scene"
    return Exam(path.name, scene_type, content, picture, view.mask, references, quality, tone)


def _gain(exposure: str, picture: np.ndarray, i_d: np.ndarray) -> float:
    if exposure == "scene":
        return 1.0
    return 1 / float(np.quantile(picture, _BELOW_WHITE) if exposure == "face" else np.nanquantile(i_d, _BELOW_LIGHT))


def _face(path: Path, cube: msfit.Cube, truth: Any, wanted: str) -> np.ndarray:
    if wanted not in ("auto", "none"):
        mask = np.asarray(cube.with_mask(read_mask(wanted)).mask)
    elif wanted == "none":
        mask = np.ones(cube.shape, bool)
    else:
        mask = truth.mask if truth is not None else skin_mask(cube)
    if mask.sum() < _SMALLEST_FACE:
        raise InputError(
            f"{path.name}: {mask.sum()} pixels of skin found; expected a face of at least {_SMALLEST_FACE}: "
            "give a mask with --mask FILE"
        )
    return mask


def _window(mask: np.ndarray, crop: str) -> tuple[slice, slice]:
    """Rows and columns that are shown. May reach beyond the scene where a face fills it."""
    if crop == "none":
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    side = round(max(np.ptp(rows), np.ptp(columns)) / _FACE_SHARE)
    corner = [round((span[0] + span[-1] - side) / 2) for span in (rows, columns)]
    # a window that fits is moved inside: real surroundings are better than invented ones
    top, left = (
        min(max(start, 0), max(length - side, 0)) if side <= length else start
        for start, length in zip(corner, mask.shape, strict=True)
    )
    return slice(top, top + side), slice(left, left + side)


class _View:
    """How maps of a scene are cut and reduced to the size at which they are shown and compared."""

    def __init__(self, window: tuple[slice, slice], mask: np.ndarray, size: int) -> None:
        self._rows, self._columns = (
            np.clip(np.arange(part.start, part.stop), 0, length - 1)
            for part, length in zip(window, mask.shape, strict=True)
        )
        real = (np.arange(window[0].start, window[0].stop) == self._rows)[:, None] & (
            np.arange(window[1].start, window[1].stop) == self._columns
        )
        self._size = size
        self._inside = (self._cut(mask) & real).astype(np.float64)
        self._share = self._reduce(self._inside)
        #: The face at the size of comparison: cells that lie mostly on it.
        self.mask = self._share > 0.5

    def picture(self, values: np.ndarray) -> np.ndarray:
        """Mean light of every cell, face or not."""
        return self._reduce(np.nan_to_num(self._cut(values))).astype(np.float32)

    def maps(self, decomposition: Decomposition, picture: np.ndarray) -> Decomposition:
        """Means over the part of every cell that is face; NaN elsewhere. The picture that is shown goes with them."""
        valid = decomposition.each(self._over_the_face)
        return Decomposition(**{**valid.maps(), "picture": picture})

    def _over_the_face(self, values: np.ndarray) -> np.ndarray:
        cut = self._cut(values).astype(np.float64)
        valid = np.isfinite(cut) & (self._inside.reshape(self._inside.shape + (1,) * (cut.ndim - 2)) > 0)
        total, weight = self._reduce(np.where(valid, cut, 0)), self._reduce(valid.astype(np.float64))
        with np.errstate(invalid="ignore"):
            mean = total / weight
        return np.where(self.mask.reshape(self.mask.shape + (1,) * (cut.ndim - 2)), mean, np.nan)

    def _cut(self, values: np.ndarray) -> np.ndarray:
        return values[np.ix_(self._rows, self._columns)]

    def _reduce(self, values: np.ndarray) -> np.ndarray:
        if self._size == 0:
            return values
        channels = torch.from_numpy(values.reshape(*values.shape[:2], -1).astype(np.float64)).permute(2, 0, 1)
        small = F.interpolate(channels[None], (self._size, self._size), mode="area")[0]
        return small.permute(1, 2, 0).numpy().reshape(self._size, self._size, *values.shape[2:])


def _exposed(maps: Decomposition, gain: float) -> Decomposition:
    assert maps.i_d is not None
    assert maps.i_s is not None
    return replace(maps, i_d=gain * maps.i_d, i_s=gain * maps.i_s)


def _of_result(result: msfit.FitResult) -> Decomposition:
    albedo = msfit.render(result, what="albedo")
    return Decomposition(result.i_d, result.i_s, albedo, result.f_mel, result.f_blood)


def _in_terms_of_the_model(truth: Any, result: msfit.FitResult) -> Decomposition:
    """Truth such that i_d r(f_mel, f_blood) + i_s is the scene, as a fit and a network's decoder state it."""
    weights = rgb_weights(truth.wavelengths)
    skin = msfit.reflectance(truth.f_mel, truth.f_blood, truth.wavelengths, model=result.model)
    return Decomposition(
        i_d=truth.i_d * truth.scale,
        i_s=truth.i_s + truth.i_d * truth.offset,
        albedo=skin @ weights,
        f_mel=truth.f_mel,
        f_blood=truth.f_blood,
    )


def _tone(skin: np.ndarray, wavelengths: np.ndarray) -> str:
    """Class of the typology angle of the median spectrum. Shading darkens it: a class, not a measurement."""
    inside = (wavelengths >= 400) & (wavelengths <= 700)
    angle = typology_angle(np.nanmedian(skin, axis=0)[None, inside], wavelengths[inside])
    return ita_class(float(angle[0]))
