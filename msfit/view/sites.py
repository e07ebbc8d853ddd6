"""Named sites of a face in a result: where the mesh that is found in its picture says they are."""

from __future__ import annotations

import numpy as np

from msfit.data.result import FitResult
from msfit.face.mesh import FaceMesh, find_mesh
from msfit.face.models import models_known
from msfit.face.zones import SITES as SITES
from msfit.io.extras import need
from msfit.rendering import render, to_display

_SMALLEST_SIDE = 48  # pixels: the landmark model sees 192
_BRIGHT = 0.9  # where the 99th percentile of skin is shown, in linear light


def mesh_of(result: FitResult) -> FaceMesh | None:
    """The mesh on the largest face in the picture of a result, under D65.

    Parameters
    ----------
    result : FitResult
        A picture (y, x); what was fitted is looked at where it is at hand, the fitted spectra else.

    Returns
    -------
    FaceMesh or None
        None where there is no face, the picture is small, or the extra `face` is not installed.
    """
    if len(result.shape) != 2 or min(result.shape) < _SMALLEST_SIDE or not models_known() or not result.fitted.any():
        return None
    photograph = getattr(result, "picture", None)  # of a FaceResult
    linear = np.asarray(render(result if result.cube is None else result.cube) if photograph is None else photograph)
    linear = np.nan_to_num(linear, nan=0.0)
    level = float(np.percentile(linear[np.asarray(result.fitted)].max(axis=-1), 99))
    shown = to_display(linear * np.float32(_BRIGHT / level if level > 0 else 1))
    return find_mesh(np.rint(255 * shown).astype(np.uint8))


def named_sites(result: FitResult) -> np.ndarray | None:
    """Numbers of sites, one more than their place in `SITES`, 0 elsewhere: uint8 (y, x); None without a mesh.

    Of the pixels of a site those count that were fitted.
    """
    need("PIL.Image")
    mesh = mesh_of(result)
    if mesh is None:
        return None
    labels = np.zeros(result.shape, np.uint8)
    for number, mask in enumerate(mesh.sites().values(), 1):
        labels[mask & (labels == 0) & np.asarray(result.fitted)] = number
    return labels if labels.any() else None
