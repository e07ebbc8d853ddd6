"""Two results of one subject: the later one laid over the first, and what has changed, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msfit.data.result import FitResult
from msfit.errors import InputError
from msfit.io.extras import need

COMPARED = ("f_mel", "f_blood", "i_d", "i_s")
_SMOOTH = 8.0  # pixels: slower changes are of light, not of edges
_PARTS = 20  # of a pixel, to which the shift is found
_STEP = 4  # pixels between places at which the displacement of a mesh is computed
_STIFF = 5.0  # of thin plates: landmarks of one face differ by a pixel or so from picture to picture
_NEAR = 5.0  # pixels by which a mesh may be off as a whole
_FEWEST = 100  # pixels that can be compared


@dataclass(frozen=True, eq=False)
class Change:
    """What has changed from one result to a later one.

    Attributes
    ----------
    maps : dict of float arrays (y, x)
        `change_f_mel` and so on, later minus first [1], NaN where either is; `std_change_*`, one standard deviation of
        each, where both results have standard deviations.
    shift : (float, float)
        By how many rows and columns the later result was moved to lie on the first; of a face that was laid on by the
        mesh the mean over it.
    by_mesh : bool
        Whether the mesh on both faces says which place is which, or one shift for all of the picture.
    """

    maps: dict[str, np.ndarray]
    shift: tuple[float, float]
    by_mesh: bool = False

    def __str__(self) -> str:
        down, right = self.shift
        how = "laid on the first by the mesh of the face, moved" if self.by_mesh else "moved"
        return f"the later result was {how} by {down:.2f} rows and {right:.2f} columns"


def change(first: FitResult, later: FitResult) -> Change:
    """Lay a later result over the first, and subtract.

    Parameters
    ----------
    first, later : FitResult
        Pictures of one face. Where the mesh is found in both (extra `face`), it may have turned a little, come nearer,
        and be of another size; else both are of one size, from one place.

    Returns
    -------
    Change
        By one shift, that of the largest cross-correlation of ln(i_d) without what is slow in it, to a twentieth of a
        pixel; or by the displacement of the mesh, smooth over the face (thin plates), and such a shift of what is left:
        whichever makes ln(i_d) of both more alike over the face. The later maps are interpolated linearly.

    Raises
    ------
    InputError
        Lists of spectra, pictures of different sizes without a face, or of different models.
    """
    if first.model != later.model:
        raise InputError(f"later: found the model {later.model}; expected the first's, {first.model}")
    if len(first.shape) != 2 or len(later.shape) != 2:
        raise InputError(f"later: found pixels {later.shape}; expected a picture of the first's, {first.shape}")
    ways = [] if first.shape != later.shape else [(_shifted(first, later), False)]
    if (places := _on_the_mesh(first, later)) is not None:
        ways.append((places, True))
    if not ways:
        raise InputError(f"later: found pixels {later.shape}; expected a picture of the first's, {first.shape}")
    places, by_mesh = max(ways, key=lambda way: _alike(first, later, way[0])) if len(ways) > 1 else ways[0]
    maps = {}
    for name in COMPARED:
        moved = _at(np.asarray(later.map(name), np.float64), places)
        maps[f"change_{name}"] = moved - np.asarray(first.map(name), np.float64)
    for name in COMPARED if first.std and later.std else ():
        assert first.std is not None
        assert later.std is not None
        moved = _at(np.asarray(later.std[name], np.float64), places)
        maps[f"std_change_{name}"] = np.hypot(moved, np.asarray(first.std[name], np.float64))
    known = np.isfinite(places).all(0)
    down, right = (float(np.mean((own - place)[known])) for own, place in zip(_grid(first), places, strict=True))
    return Change(maps, (down, right), by_mesh)


def _grid(result: FitResult) -> np.ndarray:
    """Row and column of each pixel (2, y, x)."""
    return np.indices(result.shape, np.float64)


def _shifted(first: FitResult, later: FitResult) -> np.ndarray:
    """Places in the later result (2, y, x) of the first's pixels, by one shift."""
    down, right = _shift(_edges(np.asarray(first.i_d, np.float64)), _edges(np.asarray(later.i_d, np.float64)))
    return _grid(first) - np.array([down, right])[:, None, None]


def _on_the_mesh(first: FitResult, later: FitResult) -> np.ndarray | None:
    """The same by the meshes of both faces, NaN off the face; None where one has none."""
    from scipy.interpolate import RBFInterpolator
    from scipy.ndimage import map_coordinates

    from msfit.view.sites import mesh_of

    meshes = [mesh_of(first), mesh_of(later)]
    if meshes[0] is None or meshes[1] is None:
        return None
    # rows and columns, from the centre of the first pixel
    own, other = (mesh.vertices[:, 1::-1] - 0.5 for mesh in meshes)  # type: ignore[union-attr]
    rows, columns = (np.arange(0, n + _STEP, _STEP) for n in first.shape)
    coarse = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    unique = np.unique(own.round(3), axis=0, return_index=True)[1]
    thin_plates = RBFInterpolator(own[unique], (other - own)[unique], neighbors=64, smoothing=_STIFF)
    moves = thin_plates(coarse).reshape(rows.size, columns.size, 2)
    grid = _grid(first)
    places = grid + np.stack([map_coordinates(moves[..., k], grid / _STEP, order=1) for k in (0, 1)])
    face = meshes[0].outline()
    detail = _edges(np.where(face, _at(np.asarray(later.i_d, np.float64), places), np.nan))
    down, right = _shift(_edges(np.where(face, np.asarray(first.i_d, np.float64), np.nan)), detail)
    if max(abs(down), abs(right)) < _NEAR:  # of what is left; more is no shift of a face that was found
        places = places - np.array([down, right])[:, None, None]
    return np.where(face, places, np.nan)


def _alike(first: FitResult, later: FitResult, places: np.ndarray) -> float:
    """Correlation of what varies fast in ln(i_d) of both."""
    from scipy.ndimage import gaussian_filter

    both = [np.asarray(first.i_d, np.float64), _at(np.asarray(later.i_d, np.float64), places)]
    known = np.logical_and.reduce([np.isfinite(one) & (one > 0) for one in both])
    if known.sum() < _FEWEST:
        return -1.0
    share = gaussian_filter(known.astype(float), _SMOOTH)
    fast = []
    for one in both:
        values = np.log(np.where(known, one, 1))
        fast.append((values - gaussian_filter(values, _SMOOTH) / np.maximum(share, 1e-6))[known])
    return float(np.corrcoef(*fast)[0, 1])


def _shift(*edges: np.ndarray) -> tuple[float, float]:
    registration = need("skimage.registration", "mask")
    found, _, _ = registration.phase_cross_correlation(*edges, upsample_factor=_PARTS, normalization=None)
    return float(found[0]), float(found[1])


def _edges(i_d: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(i_d) & (i_d > 0)
    if not known.any():
        return np.zeros(i_d.shape)
    values = np.log(np.where(known, i_d, 1))
    values = np.where(known, np.maximum(values, np.median(values[known]) - 3), np.median(values[known]))
    taper = np.hanning(i_d.shape[0])[:, None] * np.hanning(i_d.shape[1])
    return np.asarray((values - gaussian_filter(values, _SMOOTH)) * taper)


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolated linearly; NaN where a pixel that is drawn on is, or lies outside."""
    from scipy.ndimage import map_coordinates

    where, holes = np.nan_to_num(places, nan=-9.0), ~np.isfinite(values)
    if np.array_equal(where, np.indices(values.shape)) and values.shape == places.shape[1:]:
        return values
    moved = map_coordinates(np.where(holes, 0, values), where, order=1, mode="constant", cval=np.nan)
    unknown = map_coordinates(holes.astype(float), where, order=1, mode="constant", cval=1.0)
    return np.where(unknown > 1e-9, np.nan, moved)
