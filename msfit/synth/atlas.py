"""Regions of the face on the texture sheet: where lips, brows, beard, cheeks and the four measured sites lie."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np
from matplotlib.path import Path
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from msfit.face import zones
from msfit.synth.mesh import FACE_VERTICES, template

# Mean size of the texture sheet on the canonical face [cm]: square root of surface over sheet area.
SHEET_CM = 23.5
SITES = ("cheek", "forehead", "nose", "chin")
# Centre (landmarks) and Gaussian radius [cm] of what each site's measurement stands for.
_SITE_PLACES = {
    "cheek": ((50, 187, 123), 2.4),
    "forehead": ((151, 108, 104, 10), 2.3),
    "nose": ((4, 195, 220), 1.5),
    "chin": ((199, 175, 18), 2.1),
}
_BEARD_EDGE = ([0.0, 1.0, 2.0, 2.8, 3.6, 5.0, 6.2, 7.2, 7.8], [-2.5, -2.5, -3.0, -4.4, -5.2, -5.0, -3.4, -0.8, 1.5])
# Folds: landmarks along them and half width [cm].
_FOLDS = (
    ((129, 203, 206, 216, 212), 0.22),
    ((247, 30, 29, 27, 28, 56, 190), 0.07),
    ((111, 117, 118, 119, 120, 47), 0.20),
)
_NOSTRIL = (79, 239, 238, 20, 60, 75, 59, 166)


class Atlas(NamedTuple):
    """Sheets of (size, size), rows along v and columns along u; masks float32 in [0, 1]."""

    size: int
    place: np.ndarray
    """float32 (size, size, 3): position on the canonical face [cm]."""
    inside: np.ndarray
    """Fades to 0 towards the rim of the face."""
    lips: np.ndarray
    brows: np.ndarray
    beard: np.ndarray
    nostrils: np.ndarray
    lash_line: np.ndarray
    lip_seam: np.ndarray
    folds: np.ndarray
    """float32 (3, size, size): beside the mouth, over the lid, under the eye."""
    brow_reach: np.ndarray
    """Where the forehead has lines."""
    crow_feet: np.ndarray
    """Lines that spread from the outer corners of the eyes."""
    sites: np.ndarray
    """float32 (4, size, size): weights of cheek, forehead, nose, chin, of sum 1."""

    def near(self, landmarks: tuple[int, ...], radius: float) -> np.ndarray:
        """Gaussian of the distance to the nearest of some landmarks and their mirror images, radius in cm."""
        return _near(self.size, landmarks, radius)


@functools.cache
def atlas(size: int) -> Atlas:
    """The atlas at a resolution of `size` x `size`."""
    base = template()
    uv = base.uv[:FACE_VERTICES]
    grid = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(grid, grid)
    fine_uv, fine = (base.refine @ base.uv), (base.refine @ base.vertices)
    of_face = np.unique(base.faces[base.part != 1])
    with threadpool_limits(1, "blas"):  # a small system for each triangle: threads would only wait for each other
        positions = LinearNDInterpolator(fine_uv[of_face], fine[of_face])(u, v)
    outside = np.isnan(positions[..., 0])
    positions[outside] = NearestNDInterpolator(fine_uv[of_face], fine[of_face])(u[outside], v[outside])
    cm = size / SHEET_CM
    inside = gaussian_filter(_polygon(uv[base.rim], size), 0.8 * cm)
    inside = np.clip(2.2 * inside - 1.2, 0, 1)
    lips = _polygon(uv[[*zones.UPPER_LIP_OUTER, *zones.LOWER_LIP_OUTER[-2:0:-1]]], size)
    brow = [*zones.BROW_UPPER, *zones.BROW_LOWER[::-1]]
    brows = _both(uv, brow, base.mirror, size)
    nostrils = _both(uv, list(_NOSTRIL), base.mirror, size)
    edge = np.interp(np.abs(positions[..., 0]), *_BEARD_EDGE)
    beard = 1 / (1 + np.exp(np.clip((positions[..., 1] - edge) / 0.30, -50, 50)))
    beard *= 1 - np.clip(2 * gaussian_filter(lips, 0.12 * cm), 0, 1)
    lash = np.maximum(_line(positions, zones.UPPER_LID, 0.055), 0.35 * _line(positions, zones.LOWER_LID, 0.05))
    weights = np.stack([_gaussian(positions, *spot) for spot in _SITE_PLACES.values()]) + 1e-6
    folds = np.stack([_line(positions, *fold) for fold in _FOLDS]).astype(np.float32)
    x, y = np.abs(positions[..., 0]), positions[..., 1]
    out, up = x - 4.7, y - 2.5
    fan = np.clip(np.cos(5.5 * np.arctan2(up, np.maximum(out, 0.05))), 0, 1) * (out > 0.2)
    masks = {
        "brow_reach": np.exp(-((x / 4.2) ** 4)),
        "crow_feet": fan * np.exp(-0.5 * ((np.hypot(out, up) - 0.9) / 0.5) ** 2),
        "inside": inside,
        "lips": gaussian_filter(lips, 0.09 * cm),
        "brows": gaussian_filter(brows, 0.14 * cm),
        "beard": beard,
        "nostrils": gaussian_filter(nostrils, 0.10 * cm),
        "lash_line": lash,
        "lip_seam": _line(positions, zones.UPPER_LIP_INNER, 0.05, mirrored=False),
    }
    return Atlas(
        size,
        positions.astype(np.float32),
        **{k: m.astype(np.float32) for k, m in masks.items()},
        folds=folds,
        sites=(weights / weights.sum(axis=0)).astype(np.float32),
    )


def sample(sheets: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear value of sheets (channel, size, size) at texture coordinates (n, 2): (n, channel)."""
    size = sheets.shape[-1]
    x, y = np.clip(uv * size - 0.5, 0, size - 1.001).T
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, down = (x - column).astype(np.float32)[:, None], (y - row).astype(np.float32)[:, None]
    flat = np.ascontiguousarray(sheets.reshape(sheets.shape[0], -1).T)
    corner = row * size + column
    upper = flat[corner] * (1 - right) + flat[corner + 1] * right
    lower = flat[corner + size] * (1 - right) + flat[corner + size + 1] * right
    return upper * (1 - down) + lower * down


def _distance_to_line(positions: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance [cm] of each place to a polyline (k, 3)."""
    nearest = np.full(positions.shape[:-1], np.inf)
    for start, stop in itertools.pairwise(points):
        along = stop - start
        share = np.clip((positions - start) @ along / max(float(along @ along), 1e-9), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(positions - start - share[..., None] * along, axis=-1))
    return nearest


@functools.cache
def _near(size: int, landmarks: tuple[int, ...], radius: float) -> np.ndarray:
    return _gaussian(atlas(size).place, landmarks, radius)


def _gaussian(positions: np.ndarray, landmarks: tuple[int, ...], radius: float) -> np.ndarray:
    base = template()
    spots = base.vertices[[*landmarks, *base.mirror[list(landmarks)]]]
    square = np.min([((positions - spot) ** 2).sum(axis=-1) for spot in spots], axis=0)
    return np.exp(-0.5 * square / radius**2)


def _line(positions: np.ndarray, landmarks: tuple[int, ...], radius: float, *, mirrored: bool = True) -> np.ndarray:
    base = template()
    paths = [np.array(landmarks)] + ([base.mirror[list(landmarks)]] if mirrored else [])
    # never thinner than a texel can show
    radius = max(radius, 0.4 * SHEET_CM / positions.shape[0])
    return np.max(
        [np.exp(-0.5 * (_distance_to_line(positions, base.vertices[path]) / radius) ** 2) for path in paths], axis=0
    )


def _polygon(corners: np.ndarray, size: int) -> np.ndarray:
    # drawn four times finer, so that thin regions keep their area
    grid = (np.arange(4 * size) + 0.5) / (4 * size)
    u, v = np.meshgrid(grid, grid)
    box = (np.abs(u - corners[:, 0].mean()) <= np.ptp(corners[:, 0])) & (
        np.abs(v - corners[:, 1].mean()) <= np.ptp(corners[:, 1])
    )
    fine = np.zeros(u.shape, np.float32)
    fine[box] = Path(corners).contains_points(np.stack([u[box], v[box]], axis=1))
    return fine.reshape(size, 4, size, 4).mean(axis=(1, 3))


def _both(uv: np.ndarray, corners: list[int], mirror: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(_polygon(uv[corners], size), _polygon(uv[mirror[corners]], size))
