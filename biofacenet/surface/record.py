"""One photograph taken over to the surface of the face in it."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from biofacenet.photo.face import Box
from biofacenet.photo.located import Face, locate
from biofacenet.photo.reading import Photo, as_photo, linear_light
from biofacenet.prediction import Model, as_model, predict_located
from biofacenet.surface.colour import SkinColour, photo_weights
from biofacenet.surface.completion import features
from biofacenet.surface.light import FoundLight, coarse, find_light
from msfit.colour.colorimetry import rgb_weights
from msfit.data.result import FitResult, Status, flagged
from msfit.errors import InputError
from msfit.face.canonical import canonical_face
from msfit.face.coordinates import rendered
from msfit.face.correction import corrected
from msfit.face.detector import detect_faces
from msfit.face.mesh import FaceMesh, find_mesh, looked_at_twice
from msfit.face.surface import DISTANCE, FaceSurface, lay_surface, without_pose
from msfit.face.texture import SHEET_CM, TEXTURE_SIZE, sample, texels
from msfit.io.results import EXTENSIONS, load_result
from msfit.rendering import to_display

#: A face that is turned further has no front view in the picture [degrees].
LARGEST_YAW = 80.0
# A texel counts in full where the cosine between its normal and the view is the second number, and not at the first.
_GRAZING, _FRANK = 0.30, 0.60
# Photographs that are finer than texels by more than this are taken apart at the fineness of texels.
_WORTHWHILE = 1.2
# Colours of a surface are not below this [linear sRGB].
_DARKEST = 1e-4
_MOST_GLOSS = 0.7
# Oblique texels this near the outline of the face [cm], and the far side of a head that is turned by more [degrees]
# without eyes, brows and lips, are compared with frank ones, this share of which is skin.
_SURELY_FACE, _NEARLY_ALL, _RIM, _TURNED = 0.75, 0.9, 1.2, 15.0
# Parts that the face itself hides, and that do not look like it, count from these widths on; what is seen fades towards
# them over the third length [cm].
_NARROW, _SPECK, _FADE = 1.0, 0.2, 0.7
# Side of the pixels in which the outline is drawn [cm].
_OUTLINE = 0.1


@dataclass(frozen=True, eq=False)
class Record:
    """What a photograph says of a face's surface. Squares are (size, size), NaN where it says nothing.

    Attributes
    ----------
    source : str
        File of the photograph, or "array".
    photo : Photo
    linear : float32 array (y, x, 3)
        The photograph, linear sRGB.
    result : FitResult
        Of the square around the face, or of the scene.
    surface : FaceSurface
        In the whole photograph.
    light : FoundLight
        From where the surface is lit.
    diffuse, gloss : float arrays (fine,)
        What that light makes of the vertices, as the head is turned in the photograph.
    colour : SkinColour
        Of skin under the light's spectrum and to the camera that were found.
    weight : float32 array
        0 to 1: how far a texel is seen frankly, from its obliqueness and what hides it.
    visible : float32 array
        1 where a texel is seen at all, however obliquely; fades towards hidden parts, narrow ones left out.
    facing : float32 array
        Cosine between normal and view.
    doubtful : bool array
        Seen, but clipped or in deep shadow.
    f_mel, f_blood, i_d, i_s : float32 arrays
        Maps of the result.
    std : dict of float32 arrays
        Standard deviations of f_mel and f_blood, where the network states them.
    body : float32 array (size, size, 3)
        The photograph less its gloss, over the light's diffuse shading: the colour of the surface itself.
    notes : tuple of str
        For the user.
    """

    source: str
    photo: Photo
    linear: np.ndarray
    result: FitResult
    surface: FaceSurface
    corner: np.ndarray
    light: FoundLight
    diffuse: np.ndarray
    gloss: np.ndarray
    colour: SkinColour
    weight: np.ndarray
    visible: np.ndarray
    facing: np.ndarray
    doubtful: np.ndarray
    f_mel: np.ndarray
    f_blood: np.ndarray
    i_d: np.ndarray
    i_s: np.ndarray
    std: dict[str, np.ndarray]
    body: np.ndarray
    notes: tuple[str, ...]

    @functools.cached_property
    def from_front(self) -> tuple[np.ndarray, np.ndarray]:
        """Diffuse and specular shading at the vertices (fine,) of the head that faces the camera."""
        return self.light.at(self.surface, self.surface.turned())


def record(
    photo: str | Path | Photo | np.ndarray | FitResult,
    model: Model | str | Path = "default",
    *,
    box: Box | str = "auto",
    size: int = TEXTURE_SIZE,
    camera: str = "perspective",
    distance: float = DISTANCE,
) -> Record:
    """Take a photograph, or a scene that was fitted, over to the surface of the face in it: as of `unwrap`."""
    if isinstance(photo, str | Path) and Path(photo).suffix.lower() in EXTENSIONS:
        photo = load_result(photo)
    taken = _scene(photo, box) if isinstance(photo, FitResult) else _photograph(photo, model, box, size)
    rgb = taken.photo.rgb
    picture = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
    mesh = corrected(looked_at_twice(picture, taken.mesh))
    return _laid(taken, size, lay_surface(mesh, camera, distance=distance))


class _Taken(NamedTuple):
    """A picture with its maps."""

    source: str
    photo: Photo
    linear: np.ndarray
    result: FitResult
    corner: np.ndarray
    """Where the maps' first pixel lies in the picture."""
    step: float
    """Pixels of the picture a pixel of the maps."""
    mesh: FaceMesh
    weights: np.ndarray
    """From reflectance to the picture's linear RGB: (band, 3)."""
    notes: tuple[str, ...] = ()


def _photograph(photo: str | Path | Photo | np.ndarray, model: Model | str | Path, box: Box | str, size: int) -> _Taken:
    source = str(photo) if isinstance(photo, str | Path) else "array"
    photograph = as_photo(photo)
    try:
        located = locate(photograph, box, whole=False)
        if located.mesh is None:
            raise InputError("no face found; give its place (box: x,y,width,height)")
        small, there, step = _as_fine_as_texels(photograph, located, located.mesh, size)
        result = predict_located(small, there, as_model(model), source)
        if result.misfit is not None:  # a haze over the skin, as which the light that is found has it
            result = replace(result, i_s=result.i_s + result.i_d * result.misfit)
    except InputError as error:
        raise InputError(f"{source}: {error}" if source != "array" else str(error)) from None
    notes = (*photograph.notes, *_faces(photograph, box))
    corner = np.array([located.crop.x, located.crop.y])
    linear = linear_light(photograph.rgb)
    return _Taken(source, photograph, linear, result, corner, step, located.mesh, photo_weights(result), notes)


def _as_fine_as_texels(photograph: Photo, face: Face, mesh: FaceMesh, size: int) -> tuple[Photo, Face, float]:
    """A photograph whose pixels are much finer than a square's texels, cut to the face and as fine as these.

    Returns
    -------
    Photo, Face
    float
        Pixels of the photograph a pixel of what is returned.
    """
    step = without_pose(mesh.vertices, mesh.shape)[1].scale * SHEET_CM / size
    if step < _WORTHWHILE:
        return photograph, face, 1.0
    crop = face.crop
    width, height = max(1, round(crop.width / step)), max(1, round(crop.height / step))

    def smaller(values: np.ndarray) -> np.ndarray:
        layers = torch.from_numpy(np.atleast_3d(values[crop.slices]).astype(np.float32)).permute(2, 0, 1)[None]
        made = torch.nn.functional.interpolate(layers, (height, width), mode="bilinear", antialias=True)
        return made[0].permute(1, 2, 0).numpy().round().astype(values.dtype).reshape(height, width, *values.shape[2:])

    alpha = None if photograph.alpha is None else smaller(photograph.alpha)
    vertices = (mesh.vertices - [crop.x, crop.y, 0]) * ([width / crop.width, height / crop.height, 1 / step])
    there = Face(Box(0, 0, width, height), mesh=replace(mesh, vertices=vertices, shape=(height, width)))
    return Photo(smaller(photograph.rgb), alpha, photograph.notes), there, crop.width / width


def _scene(result: FitResult, box: Box | str) -> _Taken:
    """A fitted scene: its rendered picture under D65, and its maps, whose shadings are in that picture's exposure."""
    if len(result.shape) != 2:
        raise InputError(f"photos: found a result of {result.shape[0]} spectra; expected a picture (y, x)")
    linear, exposure = rendered(result)
    photo = Photo(np.rint(255 * to_display(linear)).astype(np.uint8))
    mesh = find_mesh(photo.rgb, box if isinstance(box, Box) else None)
    if mesh is None:
        raise InputError("photos: no face found in the scene's picture; give its place (box: x,y,width,height)")
    scaled = {name: (getattr(result, name) / exposure).astype(np.float32) for name in ("i_d", "i_s")}
    source = str(result.attrs.get("source", "scene"))
    weights = rgb_weights(np.asarray(result.wavelengths))
    return _Taken(source, photo, linear, replace(result, **scaled), np.zeros(2, int), 1.0, mesh, weights)


def _laid(taken: _Taken, size: int, surface: FaceSurface) -> Record:
    source, photograph, linear, result, corner, step, _, weights, notes = taken
    if abs(surface.yaw) > LARGEST_YAW:
        raise InputError(
            f"{source}: the head is turned by {abs(surface.yaw):.0f} degrees; expected {LARGEST_YAW:.0f} or less, since"
            " hardly half of a face is seen beyond"
        )
    light, diffuse, gloss = _light(surface, result, corner, step)
    at = texels(size)
    points, normals = at.at(surface.vertices), at.at(surface.normals)
    places = surface.camera.project(points)[:, :2]
    facing = np.einsum("nc,nc->n", normals, surface.camera.view(points))
    seen = surface.seen(points, normals)
    frank = np.clip((facing - _GRAZING) / (_FRANK - _GRAZING), 0, 1) * seen
    # a texel that shows several pixels shows their mean
    factor = max(1, round(surface.camera.scale * SHEET_CM / size))
    maps = {name: getattr(result, name) for name in ("f_mel", "f_blood", "i_d", "i_s")}
    std = {name: values for name, values in (result.std or {}).items() if name in ("f_mel", "f_blood")}
    doubted = flagged(result.status, Status.DOUBTFUL).astype(np.float32)
    layers = np.stack([*maps.values(), doubted, *std.values()], axis=2)
    coarser = max(1, round(factor / step))
    read = sample(reduced(layers, coarser), (places - corner) / step / coarser)
    picture = sample(reduced(linear, factor), places / factor)
    inside = np.isfinite(picture).all(axis=1)
    body = without_light(picture, at.at(diffuse), at.at(gloss))
    far = (points[:, 0] * np.sign(surface.yaw) > 0) & (features(size).ravel()[at.texel] < 0.5)
    rim = ~_well_inside(surface, places) | (far & (abs(surface.yaw) > _TURNED))
    face = _of_the_face(body, facing, inside & seen, rim)
    on_sheet = at.square(np.ones(face.size, bool), False)
    # what a surface that is a little off hides at nostrils and between lips the picture shows beside it
    share = _feathered(at.square(inside & ~seen, False), on_sheet, _NARROW)
    share = (share * _feathered(at.square(inside & seen & ~face, False), on_sheet, _SPECK)).ravel()[at.texel]
    weight = np.where(inside & face, frank * frank * (3 - 2 * frank), 0) * share
    read[weight == 0] = np.nan
    f_mel, f_blood, i_d, i_s, doubt = read.T[:5]
    sheets = {
        "weight": at.square(weight.astype(np.float32), 0.0),
        "visible": at.square(share, 0.0),
        "facing": at.square(facing.astype(np.float32)),
        "doubtful": at.square(np.nan_to_num(doubt) > 0.5, False),
        "body": at.square(np.where((weight > 0)[:, None], body, np.nan)),
        "f_mel": at.square(f_mel),
        "f_blood": at.square(f_blood),
        "i_d": at.square(i_d),
        "i_s": at.square(i_s),
    }
    return Record(
        source=source,
        photo=photograph,
        linear=linear,
        result=result,
        corner=corner,
        surface=surface,
        light=light,
        diffuse=diffuse,
        gloss=gloss,
        colour=SkinColour(result.model, np.asarray(result.wavelengths), weights),
        std={name: at.square(values) for name, values in zip(std, read.T[5:], strict=True)},
        notes=notes,
        **sheets,
    )


def reduced(picture: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of factor x factor pixels of a picture (y, x[, channel]), leaving NaN out."""
    if factor == 1:
        return picture
    height, width = (side // factor for side in picture.shape[:2])
    cut = picture[: height * factor, : width * factor]
    blocks = cut.reshape(height, factor, width, factor, *picture.shape[2:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks of NaN alone
        return np.asarray(np.nanmean(blocks, axis=(1, 3)))


def _light(
    surface: FaceSurface, result: FitResult, corner: np.ndarray, step: float
) -> tuple[FoundLight, np.ndarray, np.ndarray]:
    few = slice(coarse())
    places = (surface.camera.project(surface.vertices[few])[:, :2] - corner) / step
    facing = np.clip(surface.facing[few], 0, 1) * surface.seen(surface.vertices[few], surface.normals[few])
    i_d, i_s = sample(np.stack([result.i_d, result.i_s], axis=2), places).T
    return find_light(surface, i_d, i_s, facing)


def _faces(photo: Photo, box: Box | str) -> tuple[str, ...]:
    if isinstance(box, Box):
        return ()
    picture = photo.rgb if photo.rgb.dtype == np.uint8 else (photo.rgb >> 8).astype(np.uint8)
    count = len(detect_faces(picture))
    return (f"{count} faces found; the largest is taken (box: x,y,width,height for another)",) if count > 1 else ()


def _well_inside(surface: FaceSurface, places: np.ndarray) -> np.ndarray:
    """Bool (n,): places in the picture (n, 2) that are further than `_RIM` from the outline of the face."""
    pixel = surface.camera.scale * _OUTLINE
    margin = 2
    points = surface.camera.project(surface.landmarks)[:, :2] / pixel
    corner = np.floor(points.min(axis=0)) - margin
    width, height = (np.ceil(points.max(axis=0)) - corner + margin).astype(int)
    sheet = Image.new("1", (int(width), int(height)))
    pen = ImageDraw.Draw(sheet)
    for triangle in (points - corner)[canonical_face().faces]:
        pen.polygon([(float(x), float(y)) for x, y in triangle - 0.5], fill=1)
    distance = distance_transform_edt(np.array(sheet)) * _OUTLINE
    column, row = np.clip((places / pixel - corner).astype(int), 0, [width - 1, height - 1]).T
    return np.asarray(distance[row, column] > _RIM)


def _feathered(hidden: np.ndarray, face: np.ndarray, narrow: float) -> np.ndarray:
    """Float32 (size, size): 0 in hidden parts, fading to 1 around them; parts narrower than `narrow` [cm] left out."""
    texel = SHEET_CM / len(hidden)
    core = distance_transform_edt(hidden) * texel > narrow / 2
    if not core.any():
        return face.astype(np.float32)
    away = distance_transform_edt(~core) * texel - narrow / 2
    share = np.clip(away / _FADE, 0, 1)
    return np.where(face, share * share * (3 - 2 * share), 0).astype(np.float32)


def _of_the_face(body: np.ndarray, facing: np.ndarray, seen: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Bool (texel,): not what lies behind the face, at a rim that the mesh reaches over.

    Oblique texels there whose colour is further from that of the frank ones than nearly all of these are.
    """
    frank = seen & (facing > _SURELY_FACE)
    if not frank.any():
        return seen
    colour = np.log(np.maximum(body, _DARKEST))
    middle = np.median(colour[frank], axis=0)
    covariance = np.cov(colour[frank].T) + 1e-4 * np.eye(3)
    offset = colour - middle
    distance = np.einsum("nc,cd,nd->n", offset, np.linalg.inv(covariance), offset)
    skin = distance < np.quantile(distance[frank], _NEARLY_ALL)
    return np.asarray(seen & (~rim | (facing > _SURELY_FACE) | skin))


def without_light(picture: np.ndarray, diffuse: np.ndarray, gloss: np.ndarray) -> np.ndarray:
    """Colours (..., 3) of the surface itself: the picture less gloss, over diffuse shading (...)."""
    # gloss is white, and at most a share of what the darkest channel has
    gloss = np.minimum(gloss, _MOST_GLOSS * np.nan_to_num(picture).min(axis=-1))
    return np.asarray(np.maximum(picture - gloss[..., None], _DARKEST) / diffuse[..., None])
