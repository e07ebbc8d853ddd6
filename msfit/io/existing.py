"""Whether a file is a result of msfit, by the names in it: no map is read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from msfit.data.result import MAPS


def holds_result(path: Path) -> bool:
    """Whether a file that ends as results do holds the maps of a result."""
    try:
        return {*MAPS, "status"} <= _names(path)
    except Exception:  # a file that is anything else makes its reader fail in any way
        return False


def _names(path: Path) -> set[str]:
    if path.suffix.lower() == ".npz":
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    if path.suffix.lower() == ".mat":
        from msfit.io.matlab.mat import mat_variables

        return set(mat_variables(path))
    if path.suffix.lower() in (".csv", ".hdr", ".tif", ".tiff", ".zarr"):
        from msfit.io.exports import names_in

        return names_in(path)
    import h5py

    with h5py.File(path) as file:
        return set(file)
