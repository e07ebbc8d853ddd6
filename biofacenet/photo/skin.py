"""Where in an RGB picture there is skin: by colour, and by where in a face it can be."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from biofacenet.photo.face import Box

# Of (ln R/G, ln B/G), linear sRGB: mean and covariance over the 7,553 facial spectra of the International Skin Spectra
# Archive under D65, each with up to a few percent of white gloss and a white balance that misses by 8 %.
_MEAN = np.array([0.510, -0.313])
_COVARIANCE = np.array([[0.0230, 0.0028], [0.0028, 0.0239]])
# Squared Mahalanobis distance that 99 % of them keep (chi-squared with two degrees of freedom).
_FARTHEST = 9.21
# Skin darker than this share of the brightest skin is hair, or too dark for its colour to be trusted.
_DARKEST = 0.06
_SMALLEST = 0.001  # of the picture: smaller patches are chance
# Half width and half height of a face in units of the box that dlib finds, which ends above brows and below lips.
_FACE_RADII = (0.64, 0.78)


def skin_in_picture(linear: np.ndarray) -> np.ndarray:
    """Find skin in a picture by its colour.

    Parameters
    ----------
    linear : float array (y, x, 3)
        Linear sRGB, white = 1.

    Returns
    -------
    bool array (y, x)
        True on skin of any tone: of a colour that skin has, not too dark, without specks, with small holes filled.
        Wood, sand and some cloth have such colours too. Highlights that hide the skin's colour are left out.

    Notes
    -----
    The chromaticity (ln R/G, ln B/G) does not depend on the strength of the light. Skin is where it lies inside the
    ellipse that holds 99 % of measured facial skin under an imperfect white balance.
    """
    light = np.nan_to_num(np.asarray(linear, np.float32))
    size = float(np.sqrt(light.shape[0] * light.shape[1]))
    smooth = ndimage.gaussian_filter(light, (size / 250, size / 250, 0))
    valid = (smooth > 1e-4).all(axis=2)
    red, green, blue = np.where(valid, np.moveaxis(smooth, 2, 0), 1.0)
    offset = np.stack([np.log(red / green), np.log(blue / green)], axis=-1) - _MEAN
    distance = np.einsum("...i,ij,...j->...", offset, np.linalg.inv(_COVARIANCE), offset)
    found = valid & (distance < _FARTHEST)
    if not found.any():
        return found
    found &= smooth[..., 1] > _DARKEST * np.quantile(smooth[..., 1][found], 0.95)
    disc = _disc(max(1, round(size / 200)))
    found = ndimage.binary_opening(found, disc)
    found = _without_specks(found, _SMALLEST * found.size)
    return np.logical_not(_without_specks(~found, (size / 16) ** 2))


def face_ellipse(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """Where a face can be, given the box that dlib finds: bool array of the picture's shape (y, x)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    down = (y + 0.5 - box.y - 0.5 * box.height) / (_FACE_RADII[1] * box.height)
    across = (x + 0.5 - box.x - 0.5 * box.width) / (_FACE_RADII[0] * box.width)
    return np.asarray(down**2 + across**2 <= 1)


def feathered(mask: np.ndarray, width: float) -> np.ndarray:
    """A mask (y, x) that falls from 1 to exactly 0 inside its edge, over about `width` pixels: float32."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1, constant_values=True))[1:-1, 1:-1]
    share = np.clip(inside / max(width, 1e-6), 0, 1).astype(np.float32)
    return share * share * (3 - 2 * share) * mask


def _without_specks(found: np.ndarray, smallest: float) -> np.ndarray:
    labels, _ = ndimage.label(found)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return np.asarray(areas[labels] >= max(1.0, smallest))


def _disc(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x**2 + y**2 <= radius**2)
