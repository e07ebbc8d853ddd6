"""What a photograph is taken apart into: the maps of a fit, and the pictures that only a network gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msfit.data.later import later
from msfit.data.result import FitResult
from msfit.errors import names_nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class FaceResult(FitResult):
    """Maps of a face, (y, x), as of `msfit.FitResult`: its tools save, render and draw them.

    `i_s` is gloss alone: what the skin model misses of measured skin is kept apart, in `misfit`. `std`, where the
    solver finished, are standard deviations under what the network says and how wrong that is in training's pictures.
    `rmse` is the root mean squared difference of reconstruction and photograph in linear RGB, over the three channels
    of a pixel. `status` says where a pigment's head is at the end of its range. `wavelengths` are the decoder's.

    Attributes
    ----------
    picture : float32 array (y, x, 3)
        What was taken apart: linear sRGB, white = 1.
    reconstruction : float32 array (y, x, 3)
        What the decoder makes of the maps under the light and camera found: linear sRGB.
    albedo : float32 array (y, x, 3)
        Diffuse reflectance of the skin under D65, linear sRGB: ``scale r + offset`` where the network tells these, else
        r.
    misfit : float32 array (y, x)
        What measured skin reflects beyond the model's for each unit of i_d [1]: ``picture = i_d C (r + misfit) + i_s C
        1``, C being light and camera. 0 where the network does not tell it.
    scale, offset : float32 array (y, x), optional
        Measured skin from the skin model's.
    lighting : float64 array (15,)
        Parameters of `msfit.colour.illuminants.IlluminationModel`.
    camera : float64 array (2,)
        Parameters of `msfit.colour.cameras.CameraModel`.

    Notes
    -----
    `attrs` holds `network`, `box` (x,y,width,height of the maps in the photograph), `lighting`, `camera`, `gains`: by
    what red, green and blue of the photograph differ in the median from what maps, light and camera make, where the
    solver finished; the reconstruction has them.
    """

    picture: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    albedo: np.ndarray | None = None
    misfit: np.ndarray | None = None
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    lighting: np.ndarray | None = None
    camera: np.ndarray | None = None

    def spectra(self, rows: slice = slice(None)) -> np.ndarray:
        """Reflectance of what was seen, ``i_d (r + misfit) + i_s`` [1]: as of `msfit.FitResult.spectra`."""
        found = super().spectra(rows)
        return found if self.misfit is None else found + (self.i_d * self.misfit)[rows][..., None]

    @names_nearest
    def plot(self, *, ranges: Mapping[str, tuple[float, float]] | None = None) -> Figure:  # type: ignore[override]
        """The panel: photograph, reconstruction, albedo, the four maps and what is left over.

        Parameters
        ----------
        ranges : mapping, optional
            {name of a map: (low, high)} of its colours, so that panels can be compared.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to a window; `savefig` writes it.
        """
        return later("biofacenet.panel").face_panel(self, ranges)
