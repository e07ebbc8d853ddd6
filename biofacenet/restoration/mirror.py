"""Detail for a hole from the other side of the face, where that is seen."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates

from biofacenet.photo.located import Face
from msfit.face.canonical import canonical_face

# What is coarser than this share of the face's width comes from the hole's own surroundings.
_FINE = 0.06
# How much of the other side's detail is taken.
_TAKEN = 0.35


def mirrored(picture: np.ndarray, face: Face, scale: int, hole: np.ndarray) -> np.ndarray:
    """A picture (y, x, 3), linear RGB, whose hole has the fine detail of the mirrored place on the mesh.

    Detail is a ratio to the smoothed picture, so that light from the side does not come along. Where the other side is
    a hole as well, or beyond the mesh, or the picture has no mesh, the picture stays.
    """
    if face.mesh is None:
        return picture
    inside = np.argwhere(hole > 0.5)
    if not len(inside):
        return picture
    vertices = scale * face.mesh.vertices[:, :2]
    spread = _FINE * scale * face.width
    # around the hole both sides are seen: as far as they are alike there, the other side is believed
    around = np.argwhere(binary_dilation(hole > 0.5, iterations=max(2, round(spread))) & (hole < 0.5))
    opposite = LinearNDInterpolator(vertices, vertices[canonical_face().mirror])(
        np.concatenate([inside, around])[:, ::-1] + 0.5
    )
    smooth = gaussian_filter(picture, (spread, spread, 0)) + 0.01
    ratio = (picture + 0.01) / smooth
    where = (opposite[:, ::-1] - 0.5).T
    on_mesh = np.isfinite(where).all(axis=0)
    where = np.nan_to_num(where, nan=-1.0)
    covered = map_coordinates(gaussian_filter(hole.astype(np.float32), 1.0), where, order=1, mode="constant", cval=1.0)
    share = _TAKEN * on_mesh * np.clip(1 - 2 * covered, 0, 1)
    detail = np.stack([map_coordinates(ratio[..., c], where, order=1, mode="nearest") for c in range(3)], axis=1)
    made = picture.copy()
    rows, columns = around.T
    beside, share_beside = detail[len(inside) :], share[len(inside) :]
    detail, share = detail[: len(inside)], share[: len(inside)]
    share = share * _alike(ratio[rows, columns][share_beside > 0], beside[share_beside > 0])
    rows, columns = inside.T
    own = made[rows, columns]
    taken = smooth[rows, columns] * detail - 0.01
    made[rows, columns] = (1 - share)[:, None] * own + share[:, None] * taken
    return made


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two sets of detail, 0 where there is none or too little to tell."""
    if len(first) < 20:
        return 0.0
    a, b = np.log(np.maximum(first, 1e-3)).ravel(), np.log(np.maximum(second, 1e-3)).ravel()
    spread = float(a.std() * b.std())
    return max(0.0, float(((a - a.mean()) * (b - b.mean())).mean()) / spread) if spread > 0 else 0.0
