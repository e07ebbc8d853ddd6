"""Hidden texels by what was learned of other faces, beside the mirror and smooth continuation: for `frontal`.

Logarithms of f_mel and f_blood of a face in a coarse canonical square are taken for one draw of a Gaussian, of which
mean and principal components are learned on rendered training heads (probabilistic PCA: M. E. Tipping, C. M. Bishop,
Journal of the Royal Statistical Society B 61, 1999). Hidden texels are its mean given the seen ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from biofacenet.surface.completion import enlarged
from msfit.face.texture import texels
from msfit.io.output import written_whole
from msfit.synth.buffers import FACE
from msfit.synth.heads import see_head
from msfit.synth.people import wearable
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.truth import fitted_pigments

#: Side of the square that is learned [texels].
SIZE = 64
_SEED = 44
_COMPONENTS, _ROUNDS = 40, 6
_LEAST = 1e-4


class Learned(NamedTuple):
    """A Gaussian over faces."""

    mean: np.ndarray
    """(n,): of the logarithms, f_mel of all texels on the face and then f_blood."""
    axes: np.ndarray
    """(k, n): components, each with its standard deviation."""
    noise: float
    """Variance of what they leave."""

    def completed(self, pigments: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Pigments (size, size, 2), hidden where `weight` (size, size) falls to 0, of all texels on the face."""
        size = len(weight)
        step = size // SIZE
        share = weight.reshape(SIZE, step, SIZE, step).mean(axis=(1, 3))
        known = np.where((weight > 0)[..., None], pigments, 0).astype(np.float64)
        mean = (weight[..., None] * known).reshape(SIZE, step, SIZE, step, 2).mean(axis=(1, 3))
        on_face = texels(SIZE).texel
        seen = np.tile(share.ravel()[on_face], 2)
        coarse = (mean / np.maximum(share, 1e-6)[..., None]).reshape(-1, 2)[on_face].T.ravel()
        off = np.where(seen > 0, np.log(np.maximum(coarse, _LEAST)) - self.mean, 0)
        matrix = (self.axes * seen) @ self.axes.T + self.noise * np.eye(len(self.axes))
        found = self.mean + np.linalg.solve(matrix, self.axes @ (seen * off)) @ self.axes
        sheet = np.full((SIZE * SIZE, 2), np.nan)
        sheet[on_face] = np.exp(found).reshape(2, -1).T
        whole = enlarged(_outwards(sheet.reshape(SIZE, SIZE, 2)), size)
        return np.asarray(weight[..., None] * known + (1 - weight)[..., None] * whole, np.float32)


def learn(heads: int, work: Path | None, skin: str) -> Learned:
    """Learn from rendered heads of the training split, each as it is and mirrored."""
    maps = np.array([_map(number, work, skin) for number in range(heads)])
    on_face = texels(SIZE).texel
    flat = np.concatenate([maps, maps[:, :, ::-1]]).reshape(2 * heads, SIZE * SIZE, 2)[:, on_face]
    rows = np.log(np.maximum(flat.transpose(0, 2, 1).reshape(2 * heads, -1), _LEAST))
    known = np.isfinite(rows)
    mean = np.where(known, rows, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    mean[~known.any(axis=0)] = mean[known.any(axis=0)].mean()
    filled = np.where(known, rows, mean)
    for _ in range(_ROUNDS):  # what a head does not show takes what its components say
        _, spread, axes = np.linalg.svd(filled - mean, full_matrices=False)
        axes = axes[:_COMPONENTS]
        filled = np.where(known, rows, mean + (filled - mean) @ axes.T @ axes)
    left = float(np.square((filled - mean) - (filled - mean) @ axes.T @ axes)[known].mean())
    deviations = np.sqrt(np.maximum(spread[:_COMPONENTS] ** 2 / (2 * heads) - left, 1e-9))
    return Learned(mean, axes * deviations[:, None], left)


def _map(number: int, work: Path | None, skin: str) -> np.ndarray:
    """True f_mel and f_blood of a training head in the canonical square: (SIZE, SIZE, 2), NaN where none is seen."""
    path = work / "completion" / f"{number:05d}.npy" if work else None
    if path is not None and path.exists():
        return np.asarray(np.load(path))
    people = wearable("train")
    person = people[int(np.random.default_rng((_SEED, number)).integers(len(people)))]
    seen = see_head((_SEED, number, 1), (_SEED, number, 2), person, 160, count=8)
    own = seen.buffers.region == FACE
    truth = fitted_pigments(seen.spectra[own].astype(np.float32), WAVELENGTHS, skin, "float32")
    column, row = np.clip((seen.buffers.uv[own] * SIZE).astype(int), 0, SIZE - 1).T
    at = row * SIZE + column
    count = np.bincount(at, minlength=SIZE * SIZE)
    with np.errstate(invalid="ignore"):
        made = np.stack([np.bincount(at, truth[name], SIZE * SIZE) / count for name in ("f_mel", "f_blood")], axis=1)
    square = made.reshape(SIZE, SIZE, 2).astype(np.float32)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part, part.open("wb") as file:
            np.save(file, square)
    return square


def _outwards(sheet: np.ndarray) -> np.ndarray:
    """A square whose texels outside the face take the nearest value."""
    where = distance_transform_edt(~np.isfinite(sheet[..., 0]), return_distances=False, return_indices=True)
    return sheet[tuple(where)]
