"""What a file holds before it is a Cube: an array that may still lack its light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from msfit.data.cube import Cube
from msfit.data.pixel_axes import PixelAxes
from msfit.errors import NoIlluminant

Quantity = Literal["reflectance", "radiance", "counts"]


@dataclass(frozen=True, eq=False)
class Scan:
    """Spectra as a file states them.

    Attributes
    ----------
    values : array (y, x, band) or (pixel, band)
        Numpy, or dask where the file is read lazily.
    wavelengths : float64 array (band,)
        Band centres [nm].
    quantity : str
        "reflectance" [1] needs no light; "radiance" and "counts" do.
    illuminant : array (band,) or of the shape of `values`, optional
        In the unit of `values`.
    mask, saturation, provenance, dark, axes, fwhm
        As in `Cube`.
    """

    values: Any
    wavelengths: np.ndarray
    quantity: Quantity
    illuminant: Any = None
    mask: np.ndarray | None = None
    saturation: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    dark: Any = None
    axes: PixelAxes | None = None
    fwhm: np.ndarray | None = None

    def to_cube(self) -> Cube:
        """The checked cube.

        Raises
        ------
        InputError
            Radiance or counts without an illuminant; whatever `Cube` refuses.
        """
        if self.quantity != "reflectance" and self.illuminant is None:
            verb = "are" if self.quantity == "counts" else "is"
            raise NoIlluminant(
                f"no illuminant: {self.quantity} {verb} no reflectance; expected an illuminant in the file:"
                " give a white reference, --white y0:y1,x0:x1 or --white FILE (white=...)"
            )
        light = None if self.quantity == "reflectance" else self.illuminant
        return Cube(
            self.values,
            self.wavelengths,
            light,
            self.mask,
            self.saturation,
            self.provenance,
            dark=self.dark,
            axes=self.axes,
            fwhm=self.fwhm,
        )
