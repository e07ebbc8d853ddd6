"""Results as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msfit.data.pixel_axes import PixelAxes
from msfit.data.result import FitResult, Status
from msfit.io.parts import parts_of

if TYPE_CHECKING:
    import pandas


def to_dataframe(result: FitResult) -> pandas.DataFrame:
    """A result as a table, see `FitResult.to_dataframe`."""
    import pandas

    axes, parts = result.axes or PixelAxes.of_shape(result.shape), parts_of(result)
    columns = {name: np.asarray(values).ravel() for name, (_, values, _) in parts.variables.items() if name != "status"}
    codes, inverse = np.unique(np.asarray(result.status), return_inverse=True)
    words = [Status(code).label for code in codes.tolist()]
    columns["status"] = pandas.Categorical.from_codes(inverse.ravel(), words)
    coords = {}
    for name, (dims, values, _) in sorted(axes.coords.items()):
        along = np.asarray(values).reshape([result.shape[axes.dims.index(d)] if d in dims else 1 for d in axes.dims])
        coords[name] = np.broadcast_to(along, result.shape).ravel()
    grid = np.indices(result.shape, sparse=True)
    index = axes.index or axes.dims
    levels = [coords.pop(name, None) for name in index]
    for number, values in enumerate(levels):
        if values is None:
            levels[number] = np.broadcast_to(grid[number], result.shape).ravel()
    rows = (
        pandas.Index(levels[0], name=None if axes.index == ("pixel",) else index[0])
        if len(index) == 1
        else pandas.MultiIndex.from_arrays(levels, names=list(index))
    )
    return pandas.DataFrame({**columns, **coords}, index=rows)
