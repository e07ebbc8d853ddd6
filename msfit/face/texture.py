"""The texture square: which point of the face each texel shows, and values of a picture taken over to it and back."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

from msfit.face.camera import Camera
from msfit.face.canonical import canonical_face
from msfit.face.rays import Tracer
from msfit.face.subdivision import fine_face
from msfit.face.surface import FaceSurface
from msfit.face.zones import loops

#: Texels along a side.
TEXTURE_SIZE = 512
#: Side of the square on the canonical face [cm]: square root of surface over texture area.
SHEET_CM = 23.5
# Points that are further beyond a picture have no values, however far they are [pixels].
_BEYOND = -10.0


class Texels(NamedTuple):
    """Where the texels of a square (size, size) lie on the fine mesh.

    Attributes
    ----------
    size : int
    texel : int array (n,)
        Those on the face, of the flattened square: rows along v, from forehead to chin, columns along u.
    corners : int array (n, 3)
        Vertices of their triangles.
    weights : float64 array (n, 3)
        Barycentric coordinates.
    """

    size: int
    texel: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    def at(self, values: np.ndarray) -> np.ndarray:
        """Values (fine, ...) of the vertices at the texels: (n, ...)."""
        return np.asarray(np.einsum("nk,nk...->n...", self.weights, values[self.corners]))

    def square(self, values: np.ndarray, outside: float = np.nan) -> np.ndarray:
        """Values (n, ...) of the texels as a square (size, size, ...)."""
        sheet = np.full((self.size**2, *values.shape[1:]), outside, values.dtype)
        sheet[self.texel] = values
        return sheet.reshape(self.size, self.size, *values.shape[1:])


@functools.lru_cache(maxsize=4)
def texels(size: int = TEXTURE_SIZE) -> Texels:
    """The texels of a square."""
    face = fine_face()
    centres = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(centres, centres)
    tracer = Tracer(np.pad(face.uv, ((0, 0), (0, 1)))[face.faces])
    origin = np.column_stack([u.ravel(), v.ravel(), np.ones(size * size)])
    hit = tracer.first(origin, np.tile([0.0, 0.0, -1.0], (size * size, 1)))
    index = np.flatnonzero(hit["face"] >= 0)
    u, v = hit["u"][index].astype(np.float64), hit["v"][index].astype(np.float64)
    return Texels(size, index, face.faces[hit["face"][index]], np.column_stack([1 - u - v, u, v]))


class View(NamedTuple):
    """A surface as a picture (y, x) shows it: n pixels of the face.

    Attributes
    ----------
    pixel : int array (n,)
        Of the flattened picture.
    corners, weights : arrays (n, 3)
        As of `Texels`.
    """

    pixel: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    def at(self, values: np.ndarray) -> np.ndarray:
        """Values (fine, ...) of the vertices at the pixels: (n, ...)."""
        return np.asarray(np.einsum("nk,nk...->n...", self.weights, values[self.corners]))


def view(surface: FaceSurface, camera: Camera, shape: tuple[int, int]) -> View:
    """What a camera sees of a face: one ray a pixel, through its centre."""
    points = camera.project(surface.vertices)
    low = np.maximum(np.floor(points[:, :2].min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(points[:, :2].max(axis=0)).astype(int), shape[::-1])
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    hit = surface.tracer.first(*camera.rays(pixels + 0.5))
    here = np.flatnonzero(hit["face"] >= 0)
    u, v = hit["u"][here].astype(np.float64), hit["v"][here].astype(np.float64)
    faces = fine_face().faces[hit["face"][here]]
    return View(pixels[here] @ [1, shape[1]], faces, np.column_stack([1 - u - v, u, v]))


def sample(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Bilinear values of a picture (y, x) or (y, x, channel) at points (n, 2) [pixels]; NaN where it has none.

    A point beside a NaN takes what its other neighbours say, so that a masked rim does not grow.
    """
    layers = np.atleast_3d(np.asarray(picture, np.float32))
    height, width = layers.shape[:2]
    known = np.isfinite(layers).all(axis=2, keepdims=True)
    stacked = np.concatenate([np.where(known, layers, 0), known], axis=2, dtype=np.float32)
    places = np.clip(np.nan_to_num(points, nan=_BEYOND), _BEYOND, [width - _BEYOND, height - _BEYOND])
    grid = torch.from_numpy((2 * places / [width, height] - 1).astype(np.float32))[None, None]
    source = torch.from_numpy(stacked).permute(2, 0, 1)[None]
    found = torch.nn.functional.grid_sample(source, grid, mode="bilinear", align_corners=False)[0, :, 0].numpy().T
    weight = found[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(weight > 0.25, found[:, :-1] / weight, np.nan)
    return values if np.ndim(picture) == 3 else values[:, 0]


def sample_square(square: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values of a texture square (size, size[, channel]) at texture coordinates (n, 2)."""
    size = len(square)
    return sample(square, uv * size)


@functools.lru_cache(maxsize=64)
def part_of_square(name: str, size: int = TEXTURE_SIZE) -> np.ndarray:
    """A named part of the face, see `msfit.face.zones`, in the texture square: bool (size, size), read-only."""
    inside, outside = loops()[name]
    sheet = Image.new("L", (size, size))
    pen = ImageDraw.Draw(sheet)
    places = canonical_face().uv * size - 0.5
    for polygons, value in ((inside, 1), (outside, 0)):
        for polygon in polygons:
            pen.polygon([(float(x), float(y)) for x, y in places[list(polygon)]], fill=value)
    part = np.array(sheet, bool)
    part.setflags(write=False)
    return part
