"""Files in, cubes out: `load` finds out what a file is and reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from msfit.cube import Cube
from msfit.errors import InputError
from msfit.io.scan import Scan


def load(
    path: str | Path, *, variable: str | None = None, orientation: str | None = None, wavelengths: Any = None
) -> Cube:
    """Read spectra from a file.

    Parameters
    ----------
    path : str or Path
        A MATLAB file: an ISET scene, or reflectance with its wavelengths.
    variable : str, optional
        Name of the array to read, where the file holds several or an unusual one.
    orientation : {"bands-last", "bands-first"}, optional
        Which axis holds the bands, where the number of pixels equals the number of bands.
    wavelengths : array (band,), optional
        Band centres [nm], in place of the file's or where it has none.

    Returns
    -------
    Cube
        Radiance with its illuminant, or reflectance [1].

    Raises
    ------
    InputError
        The file is missing, unreadable, damaged, of an unknown kind, or holds no spectra that `Cube` accepts.
    """
    path = Path(path)
    try:
        scan = _read(path, variable, orientation, wavelengths)
        return replace(scan, provenance={"source": str(path), **scan.provenance}).to_cube()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"{path}: does not fit into memory") from None


def _read(path: Path, variable: str | None, orientation: str | None, wavelengths: Any) -> Scan:
    if not path.exists():
        raise InputError("no such file; expected spectra: check the path")
    if path.is_dir():
        raise InputError("is a folder; expected a file of spectra")
    if path.stat().st_size == 0:
        raise InputError("is empty; expected spectra: get the file anew")
    from msfit.io.iset import read_iset

    return read_iset(path, variable, orientation, wavelengths)
