"""The same place of a face twice: coordinates of the canonical face for the pixels of a result."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from msfit.data.later import later
from msfit.errors import InputError
from msfit.face.correction import corrected
from msfit.face.mesh import FaceMesh, find_mesh, looked_at_twice
from msfit.face.subdivision import fine_face
from msfit.face.surface import DISTANCE, FaceSurface, lay_surface
from msfit.face.texture import TEXTURE_SIZE, sample, texels, view

# Rendered pictures are exposed so that this share of their pixels is not clipped.
_NOT_CLIPPED = 0.98
# Texels whose normal is further off the view than this cosine are too oblique to be read.
_OBLIQUE = 0.3


@dataclass(frozen=True, eq=False)
class FaceCoordinates:
    """Where on the canonical face each pixel of a result lies.

    Attributes
    ----------
    uv : float32 array (y, x, 2)
        Texture coordinates of `msfit.face.canonical`, u to the picture's right in a face seen from the front and v from
        forehead to chin; NaN where a pixel shows no face.
    mesh : FaceMesh
        Landmarks in the result's pixels; `mesh.part(name)` and `mesh.sites()` are masks of it.
    surface : FaceSurface
        The person's own, with its camera.
    """

    uv: np.ndarray
    mesh: FaceMesh
    surface: FaceSurface

    def sites(self) -> dict[str, np.ndarray]:
        """Named sites as masks, bool (y, x): forehead, right_cheek, left_cheek, nose, chin, lips, right_under_eye,
        left_under_eye; left and right are the person's. A site that is turned away is empty."""
        return self.mesh.sites()

    def to_texture(self, values: np.ndarray, size: int = TEXTURE_SIZE) -> np.ndarray:
        """A map of the result in the canonical square, so that two visits are compared texel by texel.

        Parameters
        ----------
        values : float array (y, x) or (y, x, channel)
            On the pixels of the result; NaN where nothing is known.
        size : int
            Texels along a side.

        Returns
        -------
        float32 array (size, size) or (size, size, channel)
            Rows along v. NaN where the texel is hidden, more than 72 degrees oblique, or nothing is known.

        Raises
        ------
        InputError
            Values of another size.
        """
        values = np.asarray(values)
        if values.shape[:2] != self.uv.shape[:2]:
            raise InputError(f"values: found shape {values.shape}; expected the result's pixels, {self.uv.shape[:2]}")
        at = texels(size)
        read = sample(values, self._places(size))
        read[~self._readable(size)] = np.nan
        return at.square(read.astype(np.float32))

    def _places(self, size: int) -> np.ndarray:
        return self.surface.camera.project(texels(size).at(self.surface.vertices))[:, :2]

    def _readable(self, size: int) -> np.ndarray:
        at, surface = texels(size), self.surface
        points, normals = at.at(surface.vertices), at.at(surface.normals)
        frank = np.einsum("nc,nc->n", normals, surface.camera.view(points)) > _OBLIQUE
        return np.asarray(frank & surface.seen(points, normals))

    @functools.cached_property
    def seen(self) -> np.ndarray:
        """Bool (y, x): the pixel shows the face."""
        return np.isfinite(self.uv[..., 0])


def face_coordinates(
    result: Any, box: tuple[int, int, int, int] | None = None, *, distance: float = DISTANCE
) -> FaceCoordinates:
    """Coordinates of the canonical face for every pixel of a result.

    Two visits, or a scene and a photograph, are compared at the same place of the face by them.

    Parameters
    ----------
    result : FitResult, FaceResult or Cube
        A picture (y, x). A scene is rendered under D65 and the mesh laid on its picture.
    box : (x, y, width, height), optional
        From brow to chin [pixels], where the face is known; else it is looked for.
    distance : float
        From camera to head [cm].

    Returns
    -------
    FaceCoordinates

    Raises
    ------
    InputError
        A list of spectra; no face; ai-edge-litert or embreex is not installed (the extra `face`).

    Examples
    --------
    >>> one = msfit.face_coordinates(first_visit)  # doctest: +SKIP
    >>> two = msfit.face_coordinates(second_visit)  # doctest: +SKIP
    >>> change = two.to_texture(second_visit.f_mel) - one.to_texture(first_visit.f_mel)  # doctest: +SKIP
    >>> first_visit.f_mel[one.sites()["left_cheek"]].mean()  # doctest: +SKIP
    """
    if len(result.shape) != 2:
        raise InputError(f"result: found {result.shape[0]} spectra; expected a picture (y, x)")
    picture = np.rint(255 * later("msfit.rendering").to_display(rendered(result)[0])).astype(np.uint8)
    mesh = find_mesh(picture, box)
    if mesh is None:
        raise InputError("result: no face found in its picture; give its place (box: x,y,width,height)")
    mesh = corrected(looked_at_twice(picture, mesh))
    surface = lay_surface(mesh, distance=distance)
    shape = (int(result.shape[0]), int(result.shape[1]))
    shown = view(surface, surface.camera, shape)
    uv = np.full((*shape, 2), np.nan, np.float32)
    uv.reshape(-1, 2)[shown.pixel] = shown.at(fine_face().uv)
    return FaceCoordinates(uv, mesh, surface)


def rendered(result: Any) -> tuple[np.ndarray, float]:
    """The picture of a result, linear sRGB, float32 (y, x, 3), and by what it was divided so that little is clipped."""
    linear = getattr(result, "picture", None)
    if linear is None:  # a scene: what was fitted shows hair and eyes, which maps do not
        cube = getattr(result, "cube", None)
        linear = later("msfit.rendering").render(result if cube is None else cube)
    linear = np.nan_to_num(np.asarray(linear, np.float32))
    lit = linear.max(axis=2)
    exposure = float(np.quantile(lit[lit > 0], _NOT_CLIPPED)) if (lit > 0).any() else 1.0
    return (linear / exposure).astype(np.float32), exposure
