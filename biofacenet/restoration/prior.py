"""A linear prior of faces for what a hole hides: the most likely face under a Gaussian, given all that is seen.

Logarithms x of linear RGB on the texels of the canonical mesh, both sides of a face in turn, are factor analysed:

``x = m + W z + e,  z ~ N(0, 1),  e ~ N(0, D)``, so ``z = (1 + W' D^-1 W / c)^-1 W' D^-1 (x - m) / c``

over the texels that are seen, where c is the number of neighbours that err alike. What the answer misses around the
hole is carried into it (`filled`), so that there is no seam.

M. E. Tipping, C. M. Bishop, "Probabilistic principal component analysis", J. R. Stat. Soc. B 61, 1999; V. Blanz et al.,
"A statistical method for robust 3D surface reconstruction from sparse data", 3DPVT 2004.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from biofacenet.networks.weights import read_tensors
from biofacenet.photo.located import Face
from biofacenet.restoration.holes import continued, hemmed
from biofacenet.restoration.pigments import OFFSET
from msfit.face.canonical import canonical_face

#: Texels along a side of the square that faces are compared on.
SIZE = 96
#: Components that are kept.
COMPONENTS = 128
# Neighbouring texels whose errors are one error.
_ALIKE = 200.0
# The prior fades towards the rim of the mesh over this share of the face's width.
_RIM = 0.06
# Share of the likely face that is taken, as against a smooth continuation: of faces of the validation split.
_TAKEN = 0.8
# A hole in a face of which less than this is seen is left to its surroundings.
_LEAST_SEEN = 0.15
_FORM = "expected the prior of faces that ships with biofacenet"


class FacePrior(NamedTuple):
    """Of n texels.

    Attributes
    ----------
    texel : int array (n,)
        Of the flattened square.
    mean : float32 array (n, 3)
        Of the logarithm of linear RGB plus `OFFSET`.
    components : float32 array (COMPONENTS, n, 3)
        Times their standard deviations.
    residual : float32 array (n, 3)
        Standard deviation of what components leave.
    """

    texel: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    residual: np.ndarray

    def likely(self, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The most likely texture (n, 3), logarithms, given that of the texels (n,) that are known."""
        precision = known[:, None] / (_ALIKE * self.residual**2)
        weighted = self.components * precision
        basis = self.components.reshape(len(self.components), -1)
        normal = np.eye(len(basis)) + weighted.reshape(basis.shape) @ basis.T
        apart = np.where(known[:, None], seen - self.mean, 0).ravel()
        z = np.linalg.solve(normal, weighted.reshape(basis.shape) @ apart)
        return self.mean + (z @ basis).reshape(self.mean.shape)


def fitted(textures: np.ndarray, components: int = COMPONENTS) -> FacePrior:
    """The prior of textures (faces, SIZE, SIZE, 3), linear RGB, NaN outside the mesh; each counts mirrored as well."""
    texel = np.flatnonzero(np.isfinite(textures).all(axis=(0, 3)).ravel())
    both = np.concatenate([textures, textures[:, :, ::-1]])
    texel = texel[np.isfinite(both.reshape(len(both), -1, 3)[:, texel]).all(axis=(0, 2))]
    logs = np.log(np.clip(both.reshape(len(both), -1, 3)[:, texel], 0, None) + OFFSET)
    mean = logs.mean(axis=0)
    rows = (logs - mean).reshape(len(logs), -1)
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    kept = (s[:components, None] * vt[:components]) / np.sqrt(len(rows))
    left = rows - (u[:, :components] * s[:components]) @ vt[:components]
    residual = np.sqrt(np.square(left).mean(axis=0) * len(rows) / (len(rows) - components)) + 0.02
    shape = mean.shape
    return FacePrior(
        texel,
        mean.astype(np.float32),
        kept.reshape(components, *shape).astype(np.float32),
        residual.reshape(shape).astype(np.float32),
    )


def texture_of(picture: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """A picture (y, x, channel) on the square: float32 (SIZE, SIZE, channel), NaN outside the mesh.

    `vertices` (468, 2) in pixels.
    """
    places = _places(canonical_face().uv, vertices, _square())
    where = (places[:, ::-1] - 0.5).T
    found = _sampled(picture, where)
    found[~np.isfinite(where).all(axis=0)] = np.nan
    return found.reshape(SIZE, SIZE, -1)


def filled(light: np.ndarray, face: Face, scale: int, hole: np.ndarray, prior: FacePrior | None = None) -> np.ndarray:
    """A picture (y, x, 3), linear RGB, whose hole bool (y, x) holds the most likely face on its mesh.

    Where there is no mesh, or little of it is seen, the hole holds a smooth continuation of what surrounds it.
    """
    smooth = np.asarray(hemmed(light, hole), np.float32)
    if face.mesh is None or not hole.any():
        return smooth
    prior = shipped_prior() if prior is None else prior
    vertices = scale * face.mesh.vertices[:, :2]
    # a hole looks at texels that its own blurred rim does not touch
    clear = gaussian_filter(hole.astype(np.float32), 1.0) < 0.02
    texture = texture_of(np.dstack([smooth, clear]), vertices).reshape(-1, 4)[prior.texel]
    known = np.nan_to_num(texture[:, 3]) > 0.99
    if known.mean() < _LEAST_SEEN:
        return smooth
    seen = np.log(np.clip(np.nan_to_num(texture[:, :3]), 0, None) + OFFSET)
    likely = prior.likely(seen, known)
    # from texels to pixels around the hole
    rows, columns = _around(hole)
    grid = np.stack(np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)), axis=-1)
    uv = _places(vertices, canonical_face().uv, grid.reshape(-1, 2) + 0.5)
    square = np.zeros((SIZE * SIZE, 4), np.float32)
    square[prior.texel] = np.column_stack([likely, np.ones(len(likely))])
    laid = _sampled(square.reshape(SIZE, SIZE, 4), (uv[:, ::-1] * SIZE - 0.5).T).reshape(*grid.shape[:2], 4)
    inside = np.nan_to_num(laid[..., 3]) > 0.99
    rim = _RIM * scale * face.width
    share = np.clip(distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / max(rim, 1.0), 0, 1)[..., None]
    where = hole[rows, columns]
    part = np.log(np.clip(smooth[rows, columns], 0, None) + OFFSET)
    # what the likely face misses around the hole is carried into it, without slopes, which run away in large ones
    missed = np.where((inside & ~where)[..., None], part - laid[..., :3], 0).astype(np.float32)
    missed = continued(missed, where | ~inside, slopes=False)
    made = part + _TAKEN * share * (laid[..., :3] + missed - part)
    result = smooth.copy()
    result[rows, columns][where] = (np.exp(made) - OFFSET).clip(0, 1)[where]
    return result


@functools.cache
def shipped_prior() -> FacePrior:
    """The prior that ships: of faces of the training split."""
    path = resources.files("biofacenet").joinpath("restoration", "weights", "prior.safetensors")
    tensors = read_tensors(path, _FORM)  # type: ignore[arg-type]
    arrays = {name: value.float().numpy() for name, value in tensors.items()}
    return FacePrior(arrays["texel"].astype(np.int64), arrays["mean"], arrays["components"], arrays["residual"])


def tensors_of(prior: FacePrior) -> dict[str, torch.Tensor]:
    """What is written of a prior; halves, as its residual is far coarser."""
    found = {name: torch.from_numpy(np.ascontiguousarray(value)).half() for name, value in prior._asdict().items()}
    return {**found, "texel": torch.from_numpy(prior.texel.astype(np.int32))}


@functools.cache
def _square() -> np.ndarray:
    centres = (np.arange(SIZE) + 0.5) / SIZE
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def _places(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 2) carried along from some vertices to others; NaN outside."""
    return np.asarray(LinearNDInterpolator(before, after)(points))


def _sampled(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    safe = np.nan_to_num(where, nan=-1.0)
    layers = [map_coordinates(layer, safe, order=1, mode="nearest") for layer in np.moveaxis(picture, 2, 0)]
    return np.stack(layers, axis=1).astype(np.float32)


def _around(hole: np.ndarray) -> tuple[slice, slice]:
    """The rectangle around a hole, with what its continuation looks at."""
    rows, columns = np.nonzero(hole)
    margin = 16
    return (
        slice(max(0, int(rows.min()) - margin), min(len(hole), int(rows.max()) + margin + 1)),
        slice(max(0, int(columns.min()) - margin), min(hole.shape[1], int(columns.max()) + margin + 1)),
    )
