"""Names and coordinates of the axes of pixels: what a labelled array or a table says of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msfit.errors import InputError


@dataclass(frozen=True, eq=False)
class PixelAxes:
    """What is known of the axes of a picture, or of a list of spectra, beside their lengths.

    Attributes
    ----------
    dims : tuple of str
        Names of the axes: ("y", "x"), ("pixel",) or those of the data.
    coords : mapping
        {name: (dims, values, attributes)}, of all or some of the axes.
    index : tuple of str
        Names of the coordinates that were the index of a table.
    attrs : mapping
        Attributes of the data, plain strings and numbers.
    """

    dims: tuple[str, ...]
    coords: Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]] = field(default_factory=dict)
    index: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_shape(cls, shape: tuple[int, ...]) -> PixelAxes:
        """Names alone, of (y, x) or (pixel,)."""
        return cls(("y", "x") if len(shape) == 2 else ("pixel",))

    def check(self, shape: tuple[int, ...]) -> None:
        """Make sure that the axes are those of such pixels."""
        lengths = dict(zip(self.dims, shape, strict=False))
        if len(self.dims) != len(shape) or any(
            tuple(np.shape(values)) != tuple(lengths.get(dim, -1) for dim in dims)
            for dims, values, _ in self.coords.values()
        ):
            raise InputError(f"axes: found {self.dims} with {', '.join(self.coords)}; expected axes of pixels {shape}")
